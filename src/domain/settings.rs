//! What governs one task, resolved: built-in defaults, repository file, command line.
//!
//! `config` reads files into this; a task keeps the copy it was accepted with.
//! Durations are whole seconds, sizes bytes.

mod forge;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::command::Grant;
pub use forge::{
    CommentsFrom, Draft, FixOn, Mention, Messages, OnVerifyFail, Progress, PullSettings, RefereeOn,
    Review, Trigger,
};

/// The longest time that a file can give to anything; a grant gives no more.
const LONGEST_SECS: u64 = 24 * 60 * 60;

/// Everything that governs one task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Settings {
    /// Repository path of the file this came from, `None` where the repository has none.
    pub file: Option<String>,
    /// Who and what starts something.
    #[serde(default)]
    pub trigger: Trigger,
    /// What is read beside the brief.
    pub context: Context,
    /// Branch, time and tries.
    pub task: TaskSettings,
    /// What a change may touch.
    pub scope: Scope,
    /// Limits and environment of the sandbox, as the repository asks for them.
    pub sandbox: SandboxSettings,
    /// Commands before any work.
    pub setup: Setup,
    /// Validation commands, in order.
    pub checks: Vec<Check>,
    /// Where `checks` and `setup` came from.
    pub checks_from: ChecksFrom,
    /// How the result is published.
    pub pull: PullSettings,
    /// What a review does, and who approves.
    #[serde(default)]
    pub review: Review,
    /// What is written on the issue.
    #[serde(default)]
    pub messages: Messages,
}

/// `[context]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// Whose comments the agent is shown.
    pub comments_from: CommentsFrom,
    /// Repository paths whose text at the base commit the agent is given.
    pub instructions: Vec<String>,
    /// Longest issue text, in characters.
    pub max_chars: u32,
}

/// `[task]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskSettings {
    /// Branch to start from; empty = the default branch (locally: HEAD).
    pub base: String,
    /// Pattern of the task branch; holds `{number}`, may hold `{slug}`.
    pub branch: String,
    /// Wall clock of one run.
    pub timeout_secs: u64,
    /// Silence told as stalled; twice that is stopped.
    pub stall_after_secs: u64,
    /// Tries of the agent while a required check is red.
    pub attempts: u32,
    /// Rounds without a grant by name.
    pub max_rounds: u32,
    /// Pull requests of ours that may wait for a review before further tasks wait too.
    pub max_open: u32,
    /// How long patch and logs stay after the end.
    pub keep_secs: u64,
    /// How long a question waits.
    pub ask_timeout_secs: u64,
}

/// What a gate does with what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatePolicy {
    /// Refuses the result.
    Block,
    /// Asks a person.
    Approve,
    /// Lets it pass.
    Allow,
}

/// `[scope]`. Patterns are globs over repository paths.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// Only these may be touched.
    pub allow: Vec<String>,
    /// Never touched.
    pub deny: Vec<String>,
    /// Touched only with approval.
    pub protected: Vec<String>,
    /// What touching a protected path means; never `Allow`.
    pub protected_policy: GatePolicy,
    /// Named in the brief or touched: approval.
    pub sensitive: Vec<String>,
    /// Manifests and lockfiles.
    pub dependencies: GatePolicy,
    /// Tests removed or weakened.
    pub tests_removed: GatePolicy,
    /// Most files in one change.
    pub max_files: u32,
    /// Most lines added plus removed, generated files apart.
    pub max_lines: u32,
    /// Files that do not count for `max_lines`.
    pub generated: Vec<String>,
}

/// `[sandbox]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SandboxSettings {
    /// Memory of everything inside.
    pub memory_bytes: u64,
    /// Thousandths of a processor.
    pub cpu_millis: u32,
    /// Processes and threads.
    pub pids: u32,
    /// Bytes written to the workspace and temporary folders.
    pub disk_bytes: u64,
    /// Plain values; names that look like secrets are refused by `config`.
    pub env: BTreeMap<String, String>,
}

/// `[setup]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Setup {
    /// Commands, each run as `sh -c`.
    pub run: Vec<String>,
    /// Limit of all of them together.
    pub timeout_secs: u64,
}

/// When a change of colour is run a second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confirm {
    /// When it took under two minutes.
    Auto,
    /// Every time.
    Always,
    /// Not at all.
    Never,
}

/// One `[[verify]]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Check {
    /// `[a-z0-9-]{1,30}`, unique.
    pub name: String,
    /// Run as `sh -c`.
    pub run: String,
    /// A red one fails the result.
    pub required: bool,
    /// Limit of one run.
    pub timeout_secs: u64,
    /// Only when one of these changed; empty = always.
    pub paths: Vec<String>,
    /// Also run on the base commit.
    pub baseline: bool,
    /// Second runs.
    pub confirm: Confirm,
}

/// Where the checks came from: a reader of evidence has to know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum ChecksFrom {
    /// The repository file at the base commit.
    File,
    /// `--verify` on the command line.
    CommandLine,
    /// A build system was recognised.
    Guess {
        /// What was recognised, and by which file: ``Cargo (`Cargo.toml`)``.
        build_system: String,
    },
    /// No check is known; nothing may run.
    Nowhere,
}

impl Settings {
    /// Gives more time, as a person granted it. Whichever limit ended the run, it grows: so many
    /// times as much of each; or minutes for the whole run, and each other limit in proportion.
    pub fn grant(&mut self, grant: Grant) {
        let was = self.task.timeout_secs.max(1);
        let (many, one) = match grant {
            Grant::Times(times) => (u64::from(times), 1),
            Grant::Minutes(minutes) => (u64::from(minutes) * 60, was),
        };
        let longer = |secs: &mut u64| {
            let more = secs.saturating_mul(many) / one;
            *secs = more.min(LONGEST_SECS).max(*secs);
        };
        longer(&mut self.task.timeout_secs);
        longer(&mut self.task.stall_after_secs);
        longer(&mut self.setup.timeout_secs);
        for check in &mut self.checks {
            longer(&mut check.timeout_secs);
        }
    }
}

/// Texts of our own as a list.
fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

impl Default for Context {
    fn default() -> Self {
        Self {
            comments_from: CommentsFrom::Write,
            instructions: list(&["AGENTS.md"]),
            max_chars: 60_000,
        }
    }
}

impl Default for TaskSettings {
    fn default() -> Self {
        Self {
            base: String::new(),
            branch: "agent/{number}-{slug}".to_owned(),
            timeout_secs: 60 * 60,
            stall_after_secs: 10 * 60,
            attempts: 2,
            max_rounds: 2,
            max_open: 3,
            keep_secs: 14 * 24 * 60 * 60,
            ask_timeout_secs: 7 * 24 * 60 * 60,
        }
    }
}

impl Default for Settings {
    /// The built-in values: those of an empty repository file. No checks.
    fn default() -> Self {
        Self {
            file: None,
            trigger: Trigger::default(),
            context: Context::default(),
            task: TaskSettings::default(),
            scope: Scope {
                allow: list(&["**"]),
                deny: Vec::new(),
                protected: list(&[
                    ".github/**",
                    ".forgejo/**",
                    ".gitea/**",
                    "**/CODEOWNERS",
                    "AGENTS.md",
                    "CLAUDE.md",
                    ".*/**",
                    "LICENSE*",
                ]),
                protected_policy: GatePolicy::Approve,
                sensitive: list(&[
                    "**/auth/**",
                    "**/billing/**",
                    "**/security/**",
                    "**/migrations/**",
                ]),
                dependencies: GatePolicy::Approve,
                tests_removed: GatePolicy::Approve,
                max_files: 30,
                max_lines: 800,
                generated: list(&["**/*.lock"]),
            },
            sandbox: SandboxSettings {
                memory_bytes: 4 << 30,
                cpu_millis: 2000,
                pids: 512,
                disk_bytes: 10 << 30,
                env: BTreeMap::new(),
            },
            setup: Setup {
                run: Vec::new(),
                timeout_secs: 10 * 60,
            },
            checks: Vec::new(),
            checks_from: ChecksFrom::Nowhere,
            pull: PullSettings::default(),
            review: Review::default(),
            messages: Messages::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole run, silence, set-up, check: seconds.
    fn granted(grants: &[Grant]) -> [u64; 4] {
        let mut settings = Settings::default();
        settings.task.stall_after_secs = 2;
        settings.task.timeout_secs = 60;
        settings.setup.timeout_secs = 30;
        settings.checks = vec![Check {
            name: "tests".to_owned(),
            run: "true".to_owned(),
            required: true,
            timeout_secs: 20,
            paths: Vec::new(),
            baseline: true,
            confirm: Confirm::Auto,
        }];
        for grant in grants {
            settings.grant(*grant);
        }
        let task = &settings.task;
        [
            task.timeout_secs,
            task.stall_after_secs,
            settings.setup.timeout_secs,
            settings.checks[0].timeout_secs,
        ]
    }

    #[test]
    fn a_grant_of_time_reaches_every_limit_that_can_end_a_run() {
        assert_eq!(granted(&[Grant::Times(2)]), [120, 4, 60, 40]);
        // So many times the last one.
        assert_eq!(granted(&[Grant::Times(2); 2]), [240, 8, 120, 80]);
        assert_eq!(granted(&[Grant::Minutes(3)]), [180, 6, 90, 60]);
        // A grant takes nothing away, and ends where a file's longest value does.
        assert_eq!(granted(&[Grant::Times(1)]), [60, 2, 30, 20]);
        assert_eq!(granted(&[Grant::Minutes(1)]), [60, 2, 30, 20]);
        assert_eq!(granted(&[Grant::Times(10); 9]), [LONGEST_SECS; 4]);
    }

    #[test]
    fn a_task_stored_before_these_keys_existed_reads_with_the_built_in_values() {
        let settings = Settings::default();
        let mut stored = serde_json::to_value(&settings).unwrap();
        for gone in ["trigger", "review", "messages"] {
            stored.as_object_mut().unwrap().remove(gone).unwrap();
        }
        for (table, keys) in [
            ("context", &["comments_from"][..]),
            ("task", &["max_open"]),
            (
                "pull",
                &[
                    "draft",
                    "reviewers",
                    "labels",
                    "closes_issue",
                    "sign_off",
                    "on_verify_fail",
                ],
            ),
        ] {
            let table = stored[table].as_object_mut().unwrap();
            for key in keys {
                table.remove(*key).unwrap();
            }
        }
        assert_eq!(
            serde_json::from_value::<Settings>(stored).unwrap(),
            settings
        );
    }
}
