//! The table of the server file's keys, as `keys` is that of the repository file's.

use super::forms::Form;
use super::kinds::{
    DAY, GATE, HOUR, Kind, SECOND, Section, disk, duration, key, memory, pids, processors,
};
use super::server::Server;

/// Rights that a rule can demand.
const RIGHTS: &[&str] = &["triage", "write", "maintain", "admin"];

/// The server file, `[[forge]]` apart.
pub(super) static SERVER: &[Section<Server>] = &[
    Section {
        name: "server",
        doc: "The program itself.",
        keys: &[
            key(
                "data_dir",
                Kind::Text {
                    form: Form::Folder,
                    at: |s| &mut s.data_dir,
                },
                "Where tasks, logs and caches are kept; empty = `$STATE_DIRECTORY`, else `$XDG_STATE_HOME/prentice`, else `~/.local/state/prentice`.",
            ),
            key(
                "log",
                Kind::Text {
                    form: Form::LogFilter,
                    at: |s| &mut s.log,
                },
                "What `serve` logs: error, warn, info, debug, trace, or filter directives. `-v` on the command line is for more.",
            ),
            key(
                "log_format",
                Kind::Word {
                    words: &["auto", "text", "json"],
                    at: |s| &mut s.log_format,
                },
                "How `serve` writes its log. `auto` = text on a terminal, else json.",
            ),
            key(
                "listen",
                Kind::Text {
                    form: Form::Address,
                    at: |s| &mut s.listen,
                },
                "Address and port that deliveries and pages are served on.",
            ),
            key(
                "public_url",
                Kind::Text {
                    form: Form::PublicUrl,
                    at: |s| &mut s.public_url,
                },
                "Where `listen` is reached from outside; empty = nowhere, so nothing links to it.",
            ),
            key(
                "metrics",
                Kind::Bool(|s| &mut s.metrics),
                "Serve `/metrics` there.",
            ),
            key(
                "shutdown_grace",
                duration(0, HOUR, |s| &mut s.shutdown_grace_secs),
                "How long what is under way may go on when the program is to end.",
            ),
        ],
    },
    Section {
        name: "workers",
        doc: "Who performs jobs.",
        keys: &[
            key(
                "slots",
                Kind::Whole {
                    min: 1,
                    max: 256,
                    at: |s| &mut s.workers.slots,
                },
                "Runs at the same time.",
            ),
            key(
                "per_repo",
                Kind::Whole {
                    min: 1,
                    max: 256,
                    at: |s| &mut s.workers.per_repo,
                },
                "Of those, runs in one repository.",
            ),
            key(
                "heartbeat",
                duration(SECOND, HOUR, |s| &mut s.workers.heartbeat_secs),
                "How often a worker shows that it lives.",
            ),
            key(
                "lost_after",
                duration(2 * SECOND, DAY, |s| &mut s.workers.lost_after_secs),
                "Without a heartbeat for that long its work is given to another; longer than two heartbeats.",
            ),
        ],
    },
    Section {
        name: "sandbox",
        doc: "What a repository gets that asks for nothing.",
        keys: &[
            key(
                "toolchains",
                Kind::List {
                    form: Form::HostPath,
                    max: 100,
                    at: |s| &mut s.sandbox.toolchains,
                },
                "Host paths made readable inside: compilers, caches without credentials. `/usr` is.",
            ),
            key(
                "kind",
                Kind::Word {
                    words: &["auto", "native"],
                    at: |s| &mut s.sandbox.kind,
                },
                "Which launcher. There is no \"none\": without a working sandbox nothing runs.",
            ),
            key(
                "cpus",
                processors(|s| &mut s.sandbox.cpu_millis),
                "Processors.",
            ),
            key(
                "memory",
                memory(|s| &mut s.sandbox.memory_bytes),
                "Memory of everything inside.",
            ),
            key(
                "disk",
                disk(|s| &mut s.sandbox.disk_bytes),
                "What may be written.",
            ),
            key(
                "pids",
                pids(|s| &mut s.sandbox.pids),
                "Processes and threads.",
            ),
        ],
    },
    Section {
        name: "agents.default",
        doc: "Who edits on served forges. Without a command the server only verifies pull requests.",
        keys: &[key(
            "command",
            Kind::List {
                form: Form::Argument,
                max: 100,
                at: |s| &mut s.agent.command,
            },
            "Program and arguments, seen inside the sandbox; the brief is on standard input, the work tree is the folder.",
        )],
    },
    Section {
        name: "policy",
        doc: "Ceilings: a repository may narrow, never widen.",
        keys: &[
            key(
                "timeout",
                duration(SECOND, DAY, |s| &mut s.policy.timeout_secs),
                "Of `task.timeout`.",
            ),
            key(
                "max_rounds",
                Kind::Whole {
                    min: 1,
                    max: 20,
                    at: |s| &mut s.policy.max_rounds,
                },
                "Of `task.max_rounds`.",
            ),
            key(
                "cpus",
                processors(|s| &mut s.policy.cpu_millis),
                "Of `sandbox.cpus`.",
            ),
            key(
                "memory",
                memory(|s| &mut s.policy.memory_bytes),
                "Of `sandbox.memory`.",
            ),
            key(
                "disk",
                disk(|s| &mut s.policy.disk_bytes),
                "Of `sandbox.disk`.",
            ),
            key("pids", pids(|s| &mut s.policy.pids), "Of `sandbox.pids`."),
            key(
                "protected_policy",
                Kind::Word {
                    words: &["block", "approve"],
                    at: |s| &mut s.policy.protected_policy,
                },
                "Of `scope.protected_policy`: the stricter one holds.",
            ),
            key(
                "dependencies",
                Kind::Word {
                    words: GATE,
                    at: |s| &mut s.policy.dependencies,
                },
                "Of `scope.dependencies`: the stricter one holds.",
            ),
            key(
                "trigger_allow_min",
                Kind::Word {
                    words: RIGHTS,
                    at: |s| &mut s.policy.trigger_allow_min,
                },
                "Of `trigger.allow`: the higher one holds.",
            ),
            key(
                "comments_from_min",
                Kind::Word {
                    words: &["none", "write", "triage", "anyone"],
                    at: |s| &mut s.policy.comments_from_min,
                },
                "Of `context.comments_from`: the stricter one holds.",
            ),
            key(
                "verify_max",
                Kind::Word {
                    words: &["asked", "label", "agents", "all"],
                    at: |s| &mut s.policy.verify_max,
                },
                "Of `trigger.verify`: the narrower one holds.",
            ),
            key(
                "ci_exposure",
                Kind::Word {
                    words: &["ask", "allow"],
                    at: |s| &mut s.policy.ci_exposure,
                },
                "Where a push of ours would run workflows that hold secrets, or that run on machines of your own: `ask` = once for each repository and state of its workflows.",
            ),
        ],
    },
    Section {
        name: "retention",
        doc: "How long records stay.",
        keys: &[
            key(
                "logs",
                duration(HOUR, 4000 * DAY, |s| &mut s.retention.logs_secs),
                "Logs of finished tasks.",
            ),
            key(
                "deliveries",
                duration(HOUR, 4000 * DAY, |s| &mut s.retention.deliveries_secs),
                "Deliveries that were read. One that is sent again later is taken for new.",
            ),
            key(
                "tasks",
                duration(HOUR, 4000 * DAY, |s| &mut s.retention.tasks_secs),
                "Finished tasks and their journals.",
            ),
        ],
    },
];
