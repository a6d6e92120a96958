-- What the referee judges though nobody asked: so many in an hour of a repository, and no sooner.

alter table verdicts add column unasked integer not null default 0 check (unasked in (0, 1));
alter table verdicts add column not_before bigint not null default 0;

-- When one that nobody asked for was, or is to be, begun.
create table unasked_verdicts (
    forge      text   not null check (forge <> ''),
    repository bigint not null,
    at         bigint not null
);

create index unasked_verdicts_of on unasked_verdicts (forge, repository, at);
