-- The newest head of a pull request that nobody asked about and that waits behind what a person asked there: one row each.
create table verdicts_behind (
    forge       text   not null check (forge <> ''),
    repository  bigint not null,
    pull        bigint not null check (pull >= 1),
    head        text   not null check (length(head) >= 40),
    base_branch text   not null check (base_branch <> ''),
    asked_at    bigint not null,
    not_before  bigint not null,
    primary key (forge, repository, pull)
);
