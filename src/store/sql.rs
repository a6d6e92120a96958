//! Every statement, once, for every engine: plain SQL with `$1`.
//!
//! Read by the adapters only. A claim on an engine with several writers needs
//! `for update skip locked` behind its inner select; nothing else differs.

/// Whether `$1` (tasks, as `,1,2,`, null = all) and `$2` (kinds, as `,run,wait,`) let a
/// job `j` through. Lists as text, since engines agree on no list type.
macro_rules! wanted {
    () => {
        "(cast($1 as text) is null or cast($1 as text) like '%,' || j.task || ',%') \
         and (cast($2 as text) is null or cast($2 as text) like '%,' || j.kind || ',%')"
    };
}

/// Whether nothing of the lane of `j` is in flight or goes before it.
macro_rules! lane_free {
    () => {
        "not exists (select 1 from jobs o where o.lane = j.lane and o.id <> j.id \
         and (o.state = 'claimed' or (o.state = 'pending' and j.state = 'pending' and o.id < j.id)))"
    };
}

macro_rules! task_columns {
    () => {
        "body, version, created_at, updated_at, finished_at"
    };
}

macro_rules! job_columns {
    () => {
        "key, task, effect, state, rearmed, epoch, attempts, holder, lease_until, next_at, why"
    };
}

/// The write of a claim: `$1` job, `$2` epoch.
macro_rules! fence {
    () => {
        " where id = $1 and epoch = $2 and state = 'claimed'"
    };
}

pub(super) const DELIVER: &str = "insert into deliveries (kind, task, dedup_key, body, received_at, state) \
     values ($1, $2, $3, $4, $5, 'new') on conflict (dedup_key) do nothing returning id";

pub(super) const DELIVERED: &str = "select id from deliveries where dedup_key = $1";

pub(super) const TASK_EXISTS: &str = "select count(*) from tasks where id = $1";

pub(super) const NEXT_INPUT: &str = "select id, kind, task, body, received_at from deliveries \
     where state = 'new' order by id limit 1";

pub(super) const OUTCOME: &str = "select state, task, seq, reason from deliveries where id = $1";

pub(super) const SETTLE: &str = "update deliveries set state = 'done', settled_at = $2, task = $3, seq = $4 \
     where id = $1 and state = 'new' and kind = $5 and (task is null or task = $3)";

pub(super) const IGNORE: &str = "update deliveries set state = 'ignored', settled_at = $2, reason = $3 \
     where id = $1 and state = 'new'";

pub(super) const LOAD: &str = concat!("select ", task_columns!(), " from tasks where id = $1");

pub(super) const TASKS: &str = concat!(
    "select ",
    task_columns!(),
    " from tasks where ($1 = 0 or finished_at is null) \
     and (cast($2 as text) is null or repository = $2) order by id desc"
);

/// The newest task is never removed, so the largest number is the last one given.
pub(super) const NEXT_TASK: &str = "select coalesce(max(id), 0) + 1 from tasks";

pub(super) const LIVE_TASK: &str = "select id from tasks \
     where forge = $1 and repository = $2 and number = $3 and finished_at is null";

pub(super) const CREATE_TASK: &str = "insert into tasks \
     (id, version, forge, repository, number, stage, body, created_at, updated_at, finished_at) \
     values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)";

/// `$7` = 1 when the task is final; then it keeps its first time and stays final.
pub(super) const MOVE_TASK: &str = "update tasks set version = $3, stage = $4, body = $5, updated_at = $6, \
     finished_at = case when $7 = 0 then null else coalesce(finished_at, $6) end \
     where id = $1 and version = $2 and (finished_at is null or $7 = 1)";

pub(super) const TASK_STAGE: &str = "select stage from tasks where id = $1";

pub(super) const TASK_VERSION: &str = "select version from tasks where id = $1";

pub(super) const WRITE_JOURNAL: &str =
    "insert into journal (task, seq, at, input, event, note) values ($1, $2, $3, $4, $5, $6)";

pub(super) const JOURNAL: &str = "select at, event, note from journal where task = $1 order by seq";

pub(super) const ADD_JOB: &str = "insert into jobs (key, task, kind, lane, effect, state, created_at, next_at) \
     values ($1, $2, $3, $4, $5, 'pending', $6, $7) on conflict (key) do nothing";

/// One row for ever: waiting, it is merged and keeps its back-off, but for one that is paced where the stage
/// changed (`$8` = 1); in flight, it is armed
/// again; done, it begins anew with a higher epoch to come.
pub(super) const ADD_PUBLISH: &str = "insert into jobs (key, task, kind, lane, effect, state, created_at, next_at) \
     values ($1, $2, $3, $4, $5, 'pending', $6, $7) on conflict (key) do update set \
     state = case when jobs.state = 'claimed' then 'claimed' else 'pending' end, \
     rearmed = case when jobs.state = 'claimed' then 1 else 0 end, \
     attempts = case when jobs.state = 'done' then 0 else jobs.attempts end, \
     next_at = case when jobs.state = 'done' or (jobs.why = 'paced' and $8 = 1) then excluded.next_at \
     else jobs.next_at end, \
     why = case when jobs.state = 'done' then null else jobs.why end, \
     finished_at = null";

/// Done, it begins anew: a person asked for it again.
pub(super) const ADD_AGAIN: &str = "insert into jobs (key, task, kind, lane, effect, state, created_at, next_at) \
     values ($1, $2, $3, $4, $5, 'pending', $6, $7) on conflict (key) do update set \
     state = 'pending', attempts = 0, next_at = excluded.next_at, why = null, finished_at = null \
     where jobs.state = 'done'";

/// A run that is to be stopped is not left to sit out its back-off: it answers now.
pub(super) const WAKE: &str =
    "update jobs set next_at = 0 where key in ($1, $2) and state = 'pending'";

/// What a final task need not do. What is in flight goes too when its lease lapsed and its
/// holder is not `$2`, who asks and so is alive; null leaves all that is in flight.
pub(super) const SUPERSEDE: &str = "update jobs set state = 'superseded', finished_at = $1, rearmed = 0, \
     holder = null, lease_until = null, why = 'the task is final' \
     where (state = 'pending' or (state = 'claimed' and lease_until <= $1 and holder <> cast($2 as text))) \
     and kind in ('run', 'check', 'open-pull', 'wait') \
     and exists (select 1 from tasks t where t.id = jobs.task and t.finished_at is not null)";

/// `$3` holder, `$4` now, `$5` end of the lease.
pub(super) const CLAIM: &str = concat!(
    "update jobs set state = 'claimed', epoch = epoch + 1, attempts = attempts + 1, rearmed = 0, \
     holder = $3, lease_until = $5 where id = (select j.id from jobs j \
     where ((j.state = 'pending' and j.next_at <= $4) \
     or (j.state = 'claimed' and j.lease_until <= $4 and j.holder <> $3)) and ",
    wanted!(),
    " and ",
    lane_free!(),
    " order by j.next_at, j.id limit 1) returning id, task, effect, epoch, attempts"
);

pub(super) const HEARTBEAT: &str = concat!("update jobs set lease_until = $3", fence!());

pub(super) const PROGRESS: &str = concat!(
    "update jobs set attempts = case when $3 > reached then 0 else attempts end, \
     reached = case when $3 > reached then $3 else reached end",
    fence!()
);

pub(super) const FINISH: &str = concat!(
    "update jobs set state = case when rearmed = 1 then 'pending' else 'done' end, \
     finished_at = case when rearmed = 1 then null else $3 end, \
     attempts = case when rearmed = 1 then 0 else attempts end, \
     next_at = 0, rearmed = 0, holder = null, lease_until = null, why = null",
    fence!()
);

/// `$5` = 0 takes the attempt back.
pub(super) const RELEASE: &str = concat!(
    "update jobs set state = 'pending', rearmed = 0, holder = null, lease_until = null, next_at = $3, \
     why = $4, attempts = case when $5 = 0 and attempts > 0 then attempts - 1 else attempts end",
    fence!()
);

pub(super) const RECOVER: &str = concat!(
    "update jobs set state = 'pending', rearmed = 0, holder = null, lease_until = null, next_at = 0, \
     why = 'the process that did it is gone' where state = 'claimed' and holder <> $1 returning ",
    job_columns!()
);

/// A back-off that ends after `$1`, since the clock was set back, ends then. Timers keep the time they were given.
pub(super) const CLAMP: &str =
    "update jobs set next_at = $1 where state = 'pending' and kind <> 'wait' and next_at > $1";

pub(super) const NEXT_DUE: &str = concat!(
    "select min(j.next_at) from jobs j where j.state = 'pending' and ",
    wanted!(),
    " and ",
    lane_free!()
);

pub(super) const PENDING: &str = "select (select count(*) from deliveries where state = 'new'), \
     (select count(*) from jobs where state = 'pending' and next_at <= $1), \
     (select count(*) from jobs where state = 'pending' and next_at > $1), \
     (select count(*) from jobs where state = 'claimed')";

pub(super) const JOBS: &str = concat!(
    "select ",
    job_columns!(),
    " from jobs where task = $1 order by id"
);

pub(super) const ADD_ARTIFACT: &str = "insert into artifacts (task, kind, sha256, bytes, created_at) \
     select $1, $2, $3, $4, $5 where not exists (select 1 from artifacts \
     where kind = $2 and sha256 = $3 and (task = $1 or (task is null and cast($1 as bigint) is null)))";

pub(super) const ARTIFACTS: &str =
    "select kind, sha256, bytes from artifacts where task = $1 order by created_at, sha256";

pub(super) const DROP_ARTIFACTS: &str =
    "delete from artifacts where task = $1 and kind = $2 returning sha256";

/// Tasks that ended by `$1` and have nothing left to do, but never the newest.
pub(super) const OVER: &str = concat!(
    "select ",
    task_columns!(),
    " from tasks t where finished_at <= $1 and id < (select max(id) from tasks) \
     and not exists (select 1 from jobs where task = t.id and state in ('pending', 'claimed')) \
     and not exists (select 1 from deliveries where task = t.id and state = 'new') \
     order by id limit $2"
);

pub(super) const FORGET_ARTIFACTS: &str = "delete from artifacts where task = $1 returning sha256";

/// What names the task first, the task last.
pub(super) const FORGET_TASK: [&str; 5] = [
    "delete from shown where task = $1",
    "delete from deliveries where task = $1",
    "delete from journal where task = $1",
    "delete from jobs where task = $1",
    "delete from tasks where id = $1",
];

pub(super) const FORGET_LOGS: &str =
    "delete from artifacts where task is null and created_at <= $1 returning sha256";

pub(super) const FORGET_INPUTS: &str =
    "delete from deliveries where state <> 'new' and settled_at <= $1";

pub(super) const NAMED: &str = "select count(*) from artifacts where sha256 = $1";

/// Goes on with rows, then [`RECEIVED`].
pub(super) const RECEIVE: &str =
    "insert into hooks (forge, delivery, event, body, sha256, received_at, state) ";

pub(super) const RECEIVED: &str = " on conflict do nothing returning id, forge, delivery";

pub(super) const HOOK_KNOWN: &str = "select count(*) from hooks where forge = $1 and delivery = $2";

pub(super) const HOOK_REPEATED: &str =
    "update hooks set repeats = repeats + 1 where forge = $1 and sha256 = $2";

/// The oldest that are not read, with their sizes.
pub(super) const UNREAD: &str = "select id, length(body) from hooks \
     where state = 'new' and forge = $1 and id > $2 order by id limit $3";

pub(super) const HOOKS: &str = "select id, forge, delivery, event, body, received_at from hooks \
     where state = 'new' and forge = $1 and id > $2 and id <= $3 order by id";

pub(super) const SETTLE_HOOK: &str = "update hooks set settled_at = $2, reason = $3, \
     state = case when cast($3 as text) is null then 'done' else 'ignored' end \
     where id = $1 and state = 'new'";

pub(super) const LAST_HOOK: &str = "select max(received_at) from hooks where forge = $1";

pub(super) const FORGET_HOOKS: &str = "delete from hooks where state <> 'new' and settled_at <= $1";

pub(super) const COUNT_HOOKS: &str = "select state, count(*), coalesce(sum(repeats), 0) from hooks \
     group by state order by state";

pub(super) const COUNT_TASKS: &str =
    "select stage, count(*) from tasks where finished_at is null group by stage order by stage";

pub(super) const COUNT_JOBS: &str = "select kind, state, count(*) from jobs \
     where state in ('pending', 'claimed') group by kind, state order by kind, state";
