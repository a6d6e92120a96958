//! Commands: one table of what a person may type, the parser, and the texts made from the table.

mod parse;
mod render;

use serde::{Deserialize, Serialize};

pub use parse::{arguments, parse};
pub use render::{help, reference, typed};

/// What a person asked for, understood and with its arguments checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verb")]
pub enum Command {
    /// Which verbs are valid now; with a verb, all about that one.
    Help {
        /// The verb asked about.
        about: Option<Verb>,
    },
    /// Show the state again.
    Status,
    /// Start, as the label does.
    Run,
    /// Accept exactly what is asked.
    Approve {
        /// What; `None` = the one thing that is asked now.
        target: Option<Target>,
    },
    /// Refuse one request; the work goes on without it.
    RejectRequest {
        /// Which request.
        target: Target,
    },
    /// End the task and clean up.
    Reject {
        /// Why, as written; empty when no reason was given.
        reason: String,
    },
    /// Answer the questions.
    Answer {
        /// As written: `1: A; 2: …`, `defaults` or plain words. Never empty.
        text: String,
    },
    /// Stop, keep the work.
    Stop,
    /// Try again.
    Retry {
        /// A larger budget.
        budget: Option<Grant>,
        /// Ignore kept work.
        fresh: bool,
    },
    /// One more round.
    Fix {
        /// What to do, as written, without quotes and hidden parts. Never empty.
        text: String,
    },
    /// The referee on this pull request.
    Verify,
    /// A person owns the branch from here.
    TakeOver,
    /// The bot goes on from the person's head.
    HandBack,
}

/// The verbs of the table, also those that this build does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "each is described once, by its row of the table"
)]
pub enum Verb {
    Help,
    Status,
    Plan,
    Run,
    Approve,
    Reject,
    Verify,
    Fix,
    Answer,
    Retry,
    Rebase,
    Stop,
    Finish,
    Undo,
    TakeOver,
    HandBack,
}

/// What an approval or a refusal is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "target", content = "of")]
pub enum Target {
    /// `p1`: a plan.
    Plan(u32),
    /// `r1`: a result, with everything asked about it.
    Revision(u32),
    /// `b1`: the brief.
    Brief(u32),
    /// `3f9a1c`: the result with this commit or the text with this digest, 6 to 64 lower-case digits of it; a text by
    /// 32 or more.
    Digest(String),
    /// What gates other than dependencies asked.
    Scope,
    /// Manifests and lockfiles.
    Deps,
    /// Network access.
    Network,
    /// More budget.
    Budget,
    /// One more round.
    Round,
    /// A push that runs workflows which hold secrets.
    Ci,
}

/// A budget larger than the one that was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "unit", content = "of")]
pub enum Grant {
    /// So many times the last one, 2 to 10.
    Times(u32),
    /// Minutes, 1 to 1440.
    Minutes(u32),
}

/// Where a comment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// On the issue (locally: anywhere).
    Issue,
    /// On the pull request.
    Pull,
}

/// Where people read and type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "surface")]
pub enum Surface {
    /// A terminal.
    Local,
    /// Comments.
    Forge {
        /// What commands begin with, as written in the settings: `/agent`.
        prefix: String,
    },
}

/// Who may use a verb, at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// Anyone who can read.
    Read,
    /// `[trigger] allow` or `allow_users`.
    Trigger,
    /// `[trigger] allow` while proposed, else `[review] approve_min`.
    Approve,
    /// Triage on the issue, write on the pull request.
    Reject,
    /// Triage; for a larger budget `[review] approve_min`.
    Retry,
    /// Triage.
    Triage,
    /// Triage, or whoever started the task.
    TriageOrRequester,
    /// Write.
    Write,
}

/// A stage as people read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(
    missing_docs,
    reason = "these are the words of house.md, explained there"
)]
pub enum StageWord {
    /// There is no task.
    None,
    Proposed,
    Queued,
    Running,
    NeedsInfo,
    NeedsApproval,
    NeedsReview,
    TakenOver,
    Failed,
    Merged,
    Rejected,
    Stopped,
}

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// The verb.
    pub verb: Verb,
    /// As it is typed.
    pub name: &'static str,
    /// Its arguments, as shown in help; empty when it takes none.
    pub arguments: &'static str,
    /// Whole commands without the prefix; each parses.
    pub examples: &'static [&'static str],
    /// Where it works.
    pub places: &'static [Place],
    /// Who may use it.
    pub need: Need,
    /// When it is valid.
    pub stages: &'static [StageWord],
    /// What it does, as a sentence without a full stop.
    pub effect: &'static str,
    /// Whether this build has it; help and errors are silent about others.
    pub available: bool,
    /// What is typed in a terminal, `{task}` being the task; `None` = nothing.
    pub local: Option<&'static str>,
}

const BOTH: &[Place] = &[Place::Issue, Place::Pull];
const ISSUE: &[Place] = &[Place::Issue];
const PULL: &[Place] = &[Place::Pull];

use StageWord as S;
const FINAL: &[StageWord] = &[S::None, S::Merged, S::Rejected, S::Stopped];
const LIVE: &[StageWord] = &[
    S::Proposed,
    S::Queued,
    S::Running,
    S::NeedsInfo,
    S::NeedsApproval,
    S::NeedsReview,
    S::TakenOver,
    S::Failed,
];
const UNOWNED: &[StageWord] = &[
    S::Queued,
    S::Running,
    S::NeedsInfo,
    S::NeedsApproval,
    S::NeedsReview,
    S::Failed,
];
const ANY: &[StageWord] = &[
    S::None,
    S::Proposed,
    S::Queued,
    S::Running,
    S::NeedsInfo,
    S::NeedsApproval,
    S::NeedsReview,
    S::TakenOver,
    S::Failed,
    S::Merged,
    S::Rejected,
    S::Stopped,
];

/// Everything that can be typed, in the order that help shows.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    Row { verb: Verb::Help, name: "help", arguments: "[verb]", examples: &["help", "help approve"], places: BOTH, need: Need::Read, stages: ANY, effect: "lists what you can do here now", available: true, local: Some("prentice help") },
    Row { verb: Verb::Status, name: "status", arguments: "", examples: &["status"], places: BOTH, need: Need::Read, stages: ANY, effect: "shows the state as it is now", available: true, local: Some("prentice tasks show {task}") },
    Row { verb: Verb::Plan, name: "plan", arguments: "[text]", examples: &["plan", "plan keep the old flag"], places: ISSUE, need: Need::Triage, stages: &[S::Proposed, S::Queued, S::NeedsApproval], effect: "writes a plan and waits for approval", available: false, local: None },
    Row { verb: Verb::Run, name: "run", arguments: "", examples: &["run"], places: ISSUE, need: Need::Trigger, stages: FINAL, effect: "starts a task, as the label does", available: true, local: Some("prentice run") },
    Row { verb: Verb::Approve, name: "approve", arguments: "[target]", examples: &["approve", "approve r1", "approve b1", "approve 3f9a1c", "approve deps"], places: BOTH, need: Need::Approve, stages: &[S::Proposed, S::NeedsInfo, S::NeedsApproval, S::NeedsReview], effect: "accepts exactly what is asked; never merges", available: true, local: Some("prentice tasks approve {task}") },
    Row { verb: Verb::Reject, name: "reject", arguments: "[target | reason]", examples: &["reject", "reject deps", "reject r1", "reject this belongs in the library"], places: BOTH, need: Need::Reject, stages: LIVE, effect: "with a target refuses that request and works on without it; else ends the task and cleans up", available: true, local: Some("prentice tasks reject {task}") },
    Row { verb: Verb::Verify, name: "verify", arguments: "", examples: &["verify"], places: PULL, need: Need::Write, stages: ANY, effect: "runs base and head checks and gates for this pull request, without an agent", available: true, local: Some("prentice verify") },
    Row { verb: Verb::Fix, name: "fix", arguments: "<text>", examples: &["fix also handle an empty file"], places: PULL, need: Need::Write, stages: &[S::NeedsReview], effect: "starts one round with this text", available: true, local: None },
    Row { verb: Verb::Answer, name: "answer", arguments: "<text>", examples: &["answer 1: A; 2: keep it", "answer defaults"], places: ISSUE, need: Need::TriageOrRequester, stages: &[S::NeedsInfo], effect: "answers the questions and continues", available: true, local: Some("prentice tasks answer {task}") },
    Row { verb: Verb::Retry, name: "retry", arguments: "[--budget=2x] [--fresh]", examples: &["retry", "retry --budget=2x", "retry --budget=90 --fresh"], places: BOTH, need: Need::Retry, stages: &[S::Failed, S::NeedsInfo], effect: "tries again; `--fresh` ignores kept work", available: true, local: Some("prentice tasks retry {task}") },
    Row { verb: Verb::Rebase, name: "rebase", arguments: "", examples: &["rebase"], places: PULL, need: Need::Write, stages: &[S::NeedsReview], effect: "updates onto the base and verifies again", available: false, local: None },
    Row { verb: Verb::Stop, name: "stop", arguments: "", examples: &["stop"], places: BOTH, need: Need::TriageOrRequester, stages: &[S::Queued, S::Running], effect: "stops within 30 s and keeps the patch", available: true, local: Some("prentice tasks stop {task}") },
    Row { verb: Verb::Finish, name: "finish", arguments: "", examples: &["finish"], places: BOTH, need: Need::Triage, stages: &[S::Running], effect: "wraps up with what exists", available: false, local: None },
    Row { verb: Verb::Undo, name: "undo", arguments: "", examples: &["undo"], places: PULL, need: Need::Write, stages: &[S::NeedsReview], effect: "restores the tree of the round before", available: false, local: None },
    Row { verb: Verb::TakeOver, name: "take-over", arguments: "", examples: &["take-over"], places: BOTH, need: Need::Write, stages: UNOWNED, effect: "hands the branch to you; I do not push any more", available: false, local: None },
    Row { verb: Verb::HandBack, name: "hand-back", arguments: "", examples: &["hand-back"], places: BOTH, need: Need::Write, stages: &[S::TakenOver], effect: "lets me go on from your head", available: false, local: None },
];

impl Verb {
    /// Its row. Every verb has one.
    #[must_use]
    pub fn row(self) -> &'static Row {
        // The first row answers for a verb without one; a test shows that there is none.
        TABLE
            .iter()
            .find(|row| row.verb == self)
            .unwrap_or(&TABLE[0])
    }

    /// The verb of that name; `None` for one that this build does not have.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let row = TABLE
            .iter()
            .find(|row| row.name.eq_ignore_ascii_case(name))?;
        Some(row.verb)
    }
}

/// What can be typed at a place in a stage, whoever types it.
#[must_use]
pub fn valid(place: Place, stage: StageWord) -> Vec<Verb> {
    TABLE
        .iter()
        .filter(|row| row.available && row.places.contains(&place) && row.stages.contains(&stage))
        .map(|row| row.verb)
        .collect()
}

/// What one comment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Its first line that is not quoted.
    pub heard: Heard,
    /// Further lines that look like commands and were not read, at most [`IGNORED_CAP`] of them.
    pub ignored: Vec<String>,
}

/// What the first line of a comment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Not addressed to us.
    Nothing,
    /// A command.
    Command(Command),
    /// Addressed to us and not understood; nothing is done.
    Mistake(Mistake),
}

/// Why a line that is addressed to us is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// No such verb.
    Unknown {
        /// What was typed, harmless to show.
        typed: String,
        /// The verb that was probably meant.
        meant: Option<Verb>,
    },
    /// Nothing after the prefix.
    NoVerb,
    /// Characters that cannot be seen, or that only look like a letter.
    Disguised {
        /// The first of them, as `U+200B`.
        character: String,
    },
    /// A verb with arguments that it does not take; a whole sentence.
    Argument(String),
}

/// Most lines listed as ignored.
pub const IGNORED_CAP: usize = 10;
/// Longest text of `fix`, `answer` and `reject`, in characters.
pub const TEXT_CAP: usize = 20_000;

impl Mistake {
    /// The reply, where `valid` are the verbs that this caller can use here now.
    #[must_use]
    pub fn reply(&self, prefix: &str, valid: &[Verb]) -> String {
        let names: Vec<&str> = valid.iter().map(|verb| verb.row().name).collect();
        let now = match names.is_empty() {
            true => String::new(),
            false => format!(" Valid here now: {}.", names.join(", ")),
        };
        match self {
            Self::Unknown { typed, meant } => {
                let meant = meant.map_or_else(String::new, |verb| {
                    format!(" Did you mean `{prefix} {}`?", verb.row().name)
                });
                format!("`{prefix} {typed}` is not a command.{meant}{now}")
            }
            Self::NoVerb => format!("`{prefix}` needs a verb.{now}"),
            Self::Disguised { character } => format!(
                "The line after `{prefix}` holds {character}, which cannot be seen or only looks like a letter. \
                 Nothing was changed; please type the command by hand."
            ),
            Self::Argument(sentence) => format!("{sentence} Nothing was changed."),
        }
    }
}

impl Command {
    /// Its verb.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self {
            Self::Help { .. } => Verb::Help,
            Self::Status => Verb::Status,
            Self::Run => Verb::Run,
            Self::Approve { .. } => Verb::Approve,
            Self::RejectRequest { .. } | Self::Reject { .. } => Verb::Reject,
            Self::Answer { .. } => Verb::Answer,
            Self::Stop => Verb::Stop,
            Self::Retry { .. } => Verb::Retry,
            Self::Fix { .. } => Verb::Fix,
            Self::Verify => Verb::Verify,
            Self::TakeOver => Verb::TakeOver,
            Self::HandBack => Verb::HandBack,
        }
    }

    /// Its arguments as they are typed, and whether they are free text.
    fn typed_arguments(&self) -> (String, bool) {
        match self {
            Self::Approve {
                target: Some(target),
            }
            | Self::RejectRequest { target } => (target.to_string(), false),
            Self::Reject { reason: text } | Self::Answer { text } | Self::Fix { text } => {
                (text.clone(), true)
            }
            Self::Help { about: Some(verb) } => (verb.row().name.to_owned(), false),
            Self::Retry { budget, fresh } => {
                let budget = budget.map(|grant| match grant {
                    Grant::Times(times) => format!("--budget={times}x"),
                    Grant::Minutes(minutes) => format!("--budget={minutes}"),
                });
                let fresh = fresh.then(|| "--fresh".to_owned());
                (
                    budget
                        .into_iter()
                        .chain(fresh)
                        .collect::<Vec<_>>()
                        .join(" "),
                    false,
                )
            }
            Self::Approve { target: None }
            | Self::Help { about: None }
            | Self::Status
            | Self::Run
            | Self::Stop
            | Self::Verify
            | Self::TakeOver
            | Self::HandBack => (String::new(), false),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plan(number) => write!(f, "p{number}"),
            Self::Revision(number) => write!(f, "r{number}"),
            Self::Brief(number) => write!(f, "b{number}"),
            Self::Digest(digest) => f.write_str(digest),
            Self::Scope => f.write_str("scope"),
            Self::Deps => f.write_str("deps"),
            Self::Network => f.write_str("network"),
            Self::Budget => f.write_str("budget"),
            Self::Round => f.write_str("round"),
            Self::Ci => f.write_str("ci"),
        }
    }
}

impl StageWord {
    /// Those that a label shows: where a task is not over.
    pub const SHOWN: [Self; 8] = [
        Self::Proposed,
        Self::Queued,
        Self::Running,
        Self::NeedsInfo,
        Self::NeedsApproval,
        Self::NeedsReview,
        Self::Failed,
        Self::TakenOver,
    ];

    /// As people read it on every surface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Proposed => "proposed",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::NeedsInfo => "needs-info",
            Self::NeedsApproval => "needs-approval",
            Self::NeedsReview => "needs-review",
            Self::TakenOver => "taken-over",
            Self::Failed => "failed",
            Self::Merged => "merged",
            Self::Rejected => "rejected",
            Self::Stopped => "stopped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ident::TaskId;
    use super::*;

    fn forge() -> Surface {
        Surface::Forge {
            prefix: "/agent".to_owned(),
        }
    }

    #[test]
    fn every_verb_has_one_row_and_a_name_of_its_own() {
        for row in TABLE {
            assert_eq!(row.verb.row().name, row.name);
            assert_eq!(
                TABLE.iter().filter(|other| other.name == row.name).count(),
                1
            );
            assert!(!row.examples.is_empty() && !row.stages.is_empty());
        }
        // `HandBack` is the last variant.
        assert_eq!(TABLE.len(), Verb::HandBack as usize + 1);
    }

    #[test]
    fn every_row_parses_its_own_examples_and_types_them_again() {
        for row in TABLE {
            for example in row.examples {
                let text = format!("/agent {example}");
                let heard = parse(&text, &["/agent"]).heard;
                match (row.available, heard) {
                    (true, Heard::Command(command)) => {
                        assert_eq!(command.verb(), row.verb, "{example}");
                        assert_eq!(typed(&forge(), TaskId(1), &command), Some(text));
                    }
                    (false, Heard::Mistake(Mistake::Unknown { meant, .. })) => {
                        assert_eq!(meant, None)
                    }
                    (_, other) => panic!("{example}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_command_is_typed_for_where_the_reader_is() {
        let told = |surface: &Surface, command: Command| {
            typed(surface, TaskId(1), &command).unwrap_or_default()
        };
        let approve = || Command::Approve {
            target: Some(Target::Plan(1)),
        };
        let answer = || Command::Answer {
            text: "1: it's A".to_owned(),
        };
        assert_eq!(told(&forge(), approve()), "/agent approve p1");
        assert_eq!(
            told(&Surface::Local, approve()),
            "prentice tasks approve T-1 p1"
        );
        assert_eq!(
            told(&Surface::Local, answer()),
            "prentice tasks answer T-1 \"1: it's A\""
        );
        assert_eq!(
            told(
                &Surface::Local,
                Command::Retry {
                    budget: Some(Grant::Times(2)),
                    fresh: true
                }
            ),
            "prentice tasks retry T-1 --budget=2x --fresh"
        );
        assert_eq!(
            told(
                &Surface::Local,
                Command::Reject {
                    reason: String::new()
                }
            ),
            "prentice tasks reject T-1"
        );
        assert_eq!(told(&Surface::Local, Command::TakeOver), "");
    }

    #[test]
    fn no_text_names_a_verb_that_this_build_does_not_have() {
        let verbs: Vec<Verb> = TABLE
            .iter()
            .filter(|row| row.available)
            .map(|row| row.verb)
            .collect();
        let texts = [
            reference(),
            help(&forge(), &verbs, None),
            help(&Surface::Local, &verbs, None),
        ]
        .concat();
        for row in TABLE {
            assert_eq!(
                texts.contains(&format!("`{}", row.name)),
                row.available,
                "{}",
                row.name
            );
        }
        for place in [Place::Issue, Place::Pull] {
            for stage in ANY {
                assert!(valid(place, *stage).iter().all(|verb| verb.row().available));
            }
        }
    }

    #[test]
    fn help_lists_what_is_valid_now() {
        insta::assert_snapshot!(help(&forge(), &valid(Place::Issue, StageWord::NeedsApproval), None), @"
        Valid here now:
        - `/agent help [verb]`: lists what you can do here now
        - `/agent status`: shows the state as it is now
        - `/agent approve [target]`: accepts exactly what is asked; never merges
        - `/agent reject [target | reason]`: with a target refuses that request and works on without it; else ends the task and cleans up
        ");
        insta::assert_snapshot!(help(&Surface::Local, &valid(Place::Issue, StageWord::NeedsApproval), None), @"
        Valid here now:
        - `prentice help [verb]`: lists what you can do here now
        - `prentice tasks show T-1`: shows the state as it is now
        - `prentice tasks approve T-1 [target]`: accepts exactly what is asked; never merges
        - `prentice tasks reject T-1 [target | reason]`: with a target refuses that request and works on without it; else ends the task and cleans up
        ");
        insta::assert_snapshot!(help(&forge(), &[], Some(Verb::Approve)), @"
        - `/agent approve [target]`: accepts exactly what is asked; never merges
          Needs `[trigger] allow` while proposed, else `[review] approve_min`. Works on both. Valid when proposed, needs-info, needs-approval, needs-review.
          Examples: `/agent approve`, `/agent approve r1`, `/agent approve b1`, `/agent approve 3f9a1c`, `/agent approve deps`
        ");
        insta::assert_snapshot!(help(&Surface::Local, &[], Some(Verb::TakeOver)), @"Nothing can be done here now.");
        insta::assert_snapshot!(help(&forge(), &[], None), @"Nothing can be done here now.");
    }

    #[test]
    fn the_reference_is_made_from_the_table() {
        insta::assert_snapshot!(reference(), @r"
        | Verb | Where | Needs | Valid when | Effect |
        |---|---|---|---|---|
        | `help [verb]` | on both | read | always | lists what you can do here now |
        | `status` | on both | read | always | shows the state as it is now |
        | `run` | on the issue | `[trigger] allow` | there is no task or it has ended | starts a task, as the label does |
        | `approve [target]` | on both | `[trigger] allow` while proposed, else `[review] approve_min` | proposed, needs-info, needs-approval, needs-review | accepts exactly what is asked; never merges |
        | `reject [target \| reason]` | on both | triage on the issue, write on the pull request | the task has not ended | with a target refuses that request and works on without it; else ends the task and cleans up |
        | `verify` | on the pull request | write | always | runs base and head checks and gates for this pull request, without an agent |
        | `fix <text>` | on the pull request | write | needs-review | starts one round with this text |
        | `answer <text>` | on the issue | triage, or to have started the task | needs-info | answers the questions and continues |
        | `retry [--budget=2x] [--fresh]` | on both | triage; `--budget` `[review] approve_min` | failed, needs-info | tries again; `--fresh` ignores kept work |
        | `stop` | on both | triage, or to have started the task | queued, running | stops within 30 s and keeps the patch |
        ");
    }

    #[test]
    fn every_mistake_has_one_wording() {
        let reply = |text: &str| match parse(text, &["/agent"]).heard {
            Heard::Mistake(mistake) => mistake.reply("/agent", &[Verb::Approve, Verb::Help]),
            other => format!("{other:?}"),
        };
        let all = [
            "/agent aprove",
            "/agent frobnicate",
            "/agent plan",
            "/agent",
            "/agent appr\u{200b}ove",
            "/agent\u{a0}stop",
            "/agent retry --budget=lots",
            "/agent retry --bugdet=2x",
            "/agent approve this",
            "/agent stop now",
            "/agent fix",
            "/agent answer",
            "/agent reject r1 too risky",
            "/agent help aprove",
        ]
        .map(reply)
        .join("\n");
        insta::assert_snapshot!(all, @"
        `/agent aprove` is not a command. Did you mean `/agent approve`? Valid here now: approve, help.
        `/agent frobnicate` is not a command. Valid here now: approve, help.
        `/agent plan` is not a command. Valid here now: approve, help.
        `/agent` needs a verb. Valid here now: approve, help.
        The line after `/agent` holds U+200B, which cannot be seen or only looks like a letter. Nothing was changed; please type the command by hand.
        The line after `/agent` holds U+00A0, which cannot be seen or only looks like a letter. Nothing was changed; please type the command by hand.
        `--budget` takes `2x` or a number of minutes, got `lots`. Nothing was changed.
        `retry` takes `--budget=2x` and `--fresh`, got `--bugdet=2x`. Nothing was changed.
        `approve` takes p1, r1, b1, a digest, scope, deps, network, budget, round or ci, got `this`. Nothing was changed.
        `stop` takes nothing, got `now`. Nothing was changed.
        `fix` needs a text, as in `fix also handle an empty file`. Nothing was changed.
        `answer` needs a text, as in `answer 1: A; 2: keep it`. Nothing was changed.
        `reject r1` refuses only r1, `reject` with a reason ends the task; `r1 too risky` could be both. Give the target alone, or begin the reason with another word. Nothing was changed.
        `help` takes a verb, got `aprove`. Did you mean `help approve`? Nothing was changed.
        ");
    }
}
