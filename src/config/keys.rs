//! The table of the repository file's keys. Reading, `show`, the schema and the reference all
//! follow it; default values are those of the type it fills.

use super::forge_keys::{MESSAGES, PULL, REVIEW, TRIGGER};
use super::forms::Form;
use super::kinds::{
    DAY, GATE, HOUR, Kind, SECOND, Section, disk, duration, globs, inherited, key, memory, pids,
    processors, required,
};
use crate::domain::settings::{Check, Settings};

/// The repository file, `[[verify]]` apart.
pub(super) static REPOSITORY: &[Section<Settings>] = &[
    TRIGGER,
    Section {
        name: "context",
        doc: "What is read beside the issue.",
        keys: &[
            key(
                "comments_from",
                Kind::Word {
                    words: &["none", "triage", "write", "anyone"],
                    at: |s| &mut s.context.comments_from,
                },
                "Whose comments the agent is shown: of nobody, of those with this right, of anyone.",
            ),
            key(
                "instructions",
                Kind::List {
                    form: Form::RepoPath,
                    max: 20,
                    at: |s| &mut s.context.instructions,
                },
                "Files whose text at the base commit the agent is given.",
            ),
            key(
                "max_chars",
                Kind::Whole {
                    min: 1000,
                    max: 400_000,
                    at: |s| &mut s.context.max_chars,
                },
                "Longest issue text, in characters; a longer one is asked about, never cut.",
            ),
        ],
    },
    Section {
        name: "task",
        doc: "Branch, time and tries.",
        keys: &[
            key(
                "base",
                Kind::Text {
                    form: Form::Base,
                    at: |s| &mut s.task.base,
                },
                "Branch to start from; empty = the default branch (locally: HEAD).",
            ),
            key(
                "branch",
                Kind::Text {
                    form: Form::Branch,
                    at: |s| &mut s.task.branch,
                },
                "Pattern of the task branch; must hold `{number}`, may hold `{slug}`.",
            ),
            key(
                "timeout",
                duration(SECOND, DAY, |s| &mut s.task.timeout_secs),
                "Limit of one run.",
            ),
            key(
                "stall_after",
                duration(SECOND, 2 * HOUR, |s| &mut s.task.stall_after_secs),
                "Shorter than `timeout`; no output that long is told as stalled, twice that long is stopped.",
            ),
            key(
                "attempts",
                Kind::Whole {
                    min: 1,
                    max: 5,
                    at: |s| &mut s.task.attempts,
                },
                "Tries of the agent while a required check is red.",
            ),
            key(
                "max_rounds",
                Kind::Whole {
                    min: 1,
                    max: 20,
                    at: |s| &mut s.task.max_rounds,
                },
                "The work and its correction passes; each further round is granted by name.",
            ),
            key(
                "max_open",
                Kind::Whole {
                    min: 1,
                    max: 50,
                    at: |s| &mut s.task.max_open,
                },
                "Pull requests of ours that wait for a review; further tasks wait while there are as many.",
            ),
            key(
                "keep",
                duration(0, 400 * DAY, |s| &mut s.task.keep_secs),
                "How long patch and logs stay after the end.",
            ),
            key(
                "ask_timeout",
                duration(SECOND, 90 * DAY, |s| &mut s.task.ask_timeout_secs),
                "How long a question waits for its answer.",
            ),
        ],
    },
    Section {
        name: "scope",
        doc: "What a change may touch.",
        keys: &[
            key(
                "allow",
                globs(|s| &mut s.scope.allow),
                "Only these; an issue may narrow it.",
            ),
            key(
                "deny",
                globs(|s| &mut s.scope.deny),
                "Never touched: a result that does is refused.",
            ),
            key(
                "protected",
                globs(|s| &mut s.scope.protected),
                "Touched only as `protected_policy` says, as is a built-in list that nothing shortens.",
            ),
            key(
                "protected_policy",
                Kind::Word {
                    words: &["block", "approve"],
                    at: |s| &mut s.scope.protected_policy,
                },
                "What touching a protected path means.",
            ),
            key(
                "sensitive",
                globs(|s| &mut s.scope.sensitive),
                "Named in the issue or touched: a person approves first.",
            ),
            key(
                "dependencies",
                Kind::Word {
                    words: GATE,
                    at: |s| &mut s.scope.dependencies,
                },
                "What a changed manifest or lockfile means.",
            ),
            key(
                "tests_removed",
                Kind::Word {
                    words: GATE,
                    at: |s| &mut s.scope.tests_removed,
                },
                "What removed or weakened tests mean.",
            ),
            key(
                "max_files",
                Kind::Whole {
                    min: 1,
                    max: 500,
                    at: |s| &mut s.scope.max_files,
                },
                "Most files in one change.",
            ),
            key(
                "max_lines",
                Kind::Whole {
                    min: 1,
                    max: 20_000,
                    at: |s| &mut s.scope.max_lines,
                },
                "Most lines added plus removed, generated files apart.",
            ),
            key(
                "generated",
                globs(|s| &mut s.scope.generated),
                "Not counted by `max_lines`, still listed.",
            ),
        ],
    },
    Section {
        name: "sandbox",
        doc: "Limits and environment of everything that runs, up to the server's ceiling.",
        keys: &[
            inherited(
                "cpus",
                processors(|s| &mut s.sandbox.cpu_millis),
                "Processors.",
            ),
            inherited(
                "memory",
                memory(|s| &mut s.sandbox.memory_bytes),
                "Memory of everything inside.",
            ),
            inherited(
                "disk",
                disk(|s| &mut s.sandbox.disk_bytes),
                "What may be written.",
            ),
            inherited(
                "pids",
                pids(|s| &mut s.sandbox.pids),
                "Processes and threads.",
            ),
            key(
                "env",
                Kind::Variables {
                    max: 64,
                    at: |s| &mut s.sandbox.env,
                },
                "Plain values; names that hold KEY, TOKEN, SECRET or PASSWORD are refused.",
            ),
        ],
    },
    Section {
        name: "setup",
        doc: "Commands before any work.",
        keys: &[
            key(
                "run",
                Kind::List {
                    form: Form::Command,
                    max: 50,
                    at: |s| &mut s.setup.run,
                },
                "Each run as `sh -c`, in order.",
            ),
            key(
                "timeout",
                duration(SECOND, DAY, |s| &mut s.setup.timeout_secs),
                "Limit of all of them together.",
            ),
        ],
    },
    PULL,
    REVIEW,
    MESSAGES,
];

/// `[[verify]]` of the repository file.
pub(super) static VERIFY: Section<Check> = Section {
    name: "verify",
    doc: "Checks, zero or more: commands that judge the result. Without any, the build system is guessed.",
    keys: &[
        required(
            "name",
            Kind::Text {
                form: Form::Name,
                at: |c| &mut c.name,
            },
            "Unique; criteria name it.",
        ),
        required(
            "run",
            Kind::Text {
                form: Form::Command,
                at: |c| &mut c.run,
            },
            "Run as `sh -c`; exit 0 is green.",
        ),
        key(
            "required",
            Kind::Bool(|c| &mut c.required),
            "A red one fails the result.",
        ),
        key(
            "timeout",
            duration(SECOND, DAY, |c| &mut c.timeout_secs),
            "Limit of one run.",
        ),
        key(
            "paths",
            globs(|c| &mut c.paths),
            "Only when one of these changed; empty = always.",
        ),
        key(
            "baseline",
            Kind::Bool(|c| &mut c.baseline),
            "Also run on the base commit, to show red → green.",
        ),
        key(
            "confirm",
            Kind::Word {
                words: &["auto", "always", "never"],
                at: |c| &mut c.confirm,
            },
            "Whether a change of colour is run a second time; `auto` = when it took under two minutes.",
        ),
    ],
};

/// Most `[[verify]]` tables in a file.
pub(super) const MOST_CHECKS: usize = 50;
