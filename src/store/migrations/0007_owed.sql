-- Issues and pull requests whose look came to no end: looked at again by every sweep, whatever is read otherwise.
create table owed_looks (
    forge      text   not null check (forge <> ''),
    repository bigint not null,
    number     bigint not null check (number >= 1),
    -- How far the repository was read when the look failed first: what people did since is not forgotten.
    since      bigint not null,
    primary key (forge, repository, number)
);
