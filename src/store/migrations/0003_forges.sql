-- What forges need: repositories and how far they were read, acts of people, notes of ours.

-- A repository of a forge, from the first time it was seen. Acts from before have no effect.
create table repositories (
    forge        text   not null check (forge <> ''),
    id           bigint not null,
    name         text   not null check (name <> ''),
    first_seen   bigint not null,
    -- Everything that changed before was looked at.
    looked_until bigint not null,
    primary key (forge, id)
);

-- Acts of people: each is consumed once, whoever tells of it.
create table acts (
    forge      text   not null check (forge <> ''),
    repository bigint not null,
    kind       text   not null check (kind in ('entry', 'comment', 'review')),
    act        bigint not null,
    -- Issue or pull request.
    number     bigint not null check (number >= 1),
    actor      text   not null,
    state      text   not null check (state in ('open', 'settled')),
    seen_at    bigint not null,
    settled_at bigint,
    -- What came of it.
    outcome    text,
    primary key (forge, repository, kind, act),
    check ((state = 'settled') = (settled_at is not null)),
    check ((state = 'settled') = (outcome is not null))
);

create index acts_open on acts (forge, repository, number) where state = 'open';
create index acts_of_actor on acts (forge, repository, actor, seen_at);

-- Comments of ours by what they say: found again by id.
create table notes (
    forge      text   not null check (forge <> ''),
    repository bigint not null,
    key        text   not null check (key <> ''),
    comment    bigint not null,
    primary key (forge, repository, key)
);

create index tasks_of_issue on tasks (forge, repository, number);

-- What the referee is asked about pull requests: one row each, the newest question counts.
create table verdicts (
    forge       text   not null check (forge <> ''),
    repository  bigint not null,
    pull        bigint not null check (pull >= 1),
    head        text   not null check (length(head) >= 40),
    base_branch text   not null check (base_branch <> ''),
    asker       text   not null,
    asked_at    bigint not null,
    state       text   not null check (state in ('queued', 'running', 'done')),
    -- Times that it was begun for this question.
    attempts    bigint not null default 0 check (attempts >= 0),
    outcome     text,
    primary key (forge, repository, pull),
    check ((state = 'done') = (outcome is not null))
);

create index verdicts_open on verdicts (asked_at) where state <> 'done';
