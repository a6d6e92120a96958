-- Texts of a task's issue that the forge showed, each under its name in the task.
create table shown (
    task bigint not null,
    text text   not null check (text <> ''),
    -- When it stood there first, by the forge's own clock.
    at   bigint not null,
    primary key (task, text)
);
