-- Workflows that our push may run with a repository's secrets, as somebody allowed them: by the digest of them all.
create table exposures (
    forge      text   not null check (forge <> ''),
    repository bigint not null,
    digest     text   not null check (digest <> ''),
    by         text   not null,
    at         bigint not null,
    primary key (forge, repository, digest)
);
