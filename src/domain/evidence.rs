//! Evidence: what the bot saw when it ran the checks, and what follows from it.

mod doubt;

use serde::{Deserialize, Serialize};

pub use doubt::{Doubt, ran_no_tests};

use super::brief::{Brief, Criterion};
use super::ident::Digest;
use super::settings::{Check, Confirm};
use super::task::FailureClass;
use super::text;

/// How one command ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ended")]
pub enum Exit {
    /// By itself.
    Code {
        /// 0 is green, everything else red.
        code: i32,
    },
    /// By a signal that nothing of ours sent.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// Its time was up.
    TimedOut {
        /// The limit.
        after_secs: u64,
    },
    /// A limit of the sandbox ended it.
    Limit {
        /// Which one.
        limit: Limit,
    },
    /// It could not be started.
    NotStarted {
        /// Why, as the system said.
        why: String,
    },
}

/// A limit of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// `[sandbox] memory`.
    Memory,
    /// `[sandbox] pids`.
    Pids,
    /// `[sandbox] disk`.
    Disk,
    /// Bytes printed.
    Output,
}

impl Exit {
    /// Exit 0.
    #[must_use]
    pub fn is_green(&self) -> bool {
        matches!(self, Self::Code { code: 0 })
    }

    /// The exit code as a shell would tell it: 128 + signal for a signal, `None` where there is none.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Code { code } => Some(*code),
            Self::Signal { signal } => Some(128 + signal),
            Self::TimedOut { .. } | Self::Limit { .. } | Self::NotStarted { .. } => None,
        }
    }
}

/// One run of one check on one commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seen {
    /// How it ended.
    pub exit: Exit,
    /// Wall clock.
    pub duration_ms: u64,
    /// The stored log (capped; the digest is of what is stored).
    pub log: LogRef,
    /// The last lines, harmless to show: at most 20 lines and 4,000 characters.
    pub tail: String,
    /// Why it shows less than it seems, where something is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
}

/// A log in the store's artifacts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogRef {
    /// Digest of the stored bytes, and the name they are found by.
    pub sha256: Digest,
    /// Bytes stored.
    pub bytes: u64,
    /// Bytes printed but not stored, 0 when the log is whole.
    pub left_out: u64,
}

/// All that was seen of one check.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckEvidence {
    /// Its name.
    pub name: String,
    /// What was given to `sh -c`.
    pub command: String,
    /// Whether red fails the result.
    pub required: bool,
    /// Runs on the base commit, in order; empty when `baseline = false`.
    pub base: Vec<Seen>,
    /// Runs on the exact result, in order; empty when it did not apply.
    pub head: Vec<Seen>,
}

/// What the runs of one check say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Red on base, green on head: the change did it.
    Fixed,
    /// Green on head; green on base or not run there.
    Green,
    /// Green on head; on base it changed its mind, so it proves no criterion.
    GreenUnstableBase,
    /// Red on head and on base.
    StillRed,
    /// Green on base, red on head.
    TurnedRed,
    /// Red on head; not run on base, or unstable there.
    Red,
    /// It changed its mind on head: counts as red.
    Unstable,
    /// Not run on head, since nothing under its `paths` changed.
    NotApplicable,
}

/// A change of colour whose runs took less is run again by `confirm = "auto"`.
const QUICK_MS: u64 = 2 * 60 * 1000;

/// What the runs of one check on one side say together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Colour {
    Green,
    Red,
    /// Both were seen.
    Both,
}

impl Colour {
    fn of(runs: &[Seen]) -> Option<Self> {
        let green = runs.iter().filter(|seen| seen.exit.is_green()).count();
        match green {
            _ if runs.is_empty() => None,
            0 => Some(Self::Red),
            _ if green == runs.len() => Some(Self::Green),
            _ => Some(Self::Both),
        }
    }
}

impl CheckEvidence {
    /// What all runs of this check say together.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (Colour::of(&self.base), Colour::of(&self.head)) {
            (_, None) => Verdict::NotApplicable,
            (_, Some(Colour::Both)) => Verdict::Unstable,
            (Some(Colour::Red), Some(Colour::Green)) => Verdict::Fixed,
            (Some(Colour::Both), Some(Colour::Green)) => Verdict::GreenUnstableBase,
            (Some(Colour::Green) | None, Some(Colour::Green)) => Verdict::Green,
            (Some(Colour::Red), Some(Colour::Red)) => Verdict::StillRed,
            (Some(Colour::Green), Some(Colour::Red)) => Verdict::TurnedRed,
            (Some(Colour::Both) | None, Some(Colour::Red)) => Verdict::Red,
        }
    }

    /// Whether it changed its mind on either side.
    #[must_use]
    pub fn is_unstable(&self) -> bool {
        [&self.base, &self.head]
            .into_iter()
            .any(|runs| Colour::of(runs) == Some(Colour::Both))
    }

    /// Whether both sides were run twice or more.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.base.len() > 1 && self.head.len() > 1
    }

    /// The verdict in words, without the name: `red on base, green here, twice`.
    #[must_use]
    pub fn told(&self) -> String {
        let words = match self.verdict() {
            Verdict::Fixed => "red on base, green here",
            Verdict::Green if self.base.is_empty() => "green here, not run on base",
            Verdict::Green => "green on base and here",
            Verdict::GreenUnstableBase => "green here, but it changed its mind on base",
            Verdict::StillRed => "red on base and here",
            Verdict::TurnedRed => "green on base, red here",
            Verdict::Red if self.base.is_empty() => "red here, not run on base",
            Verdict::Red => "red here, and it changed its mind on base",
            Verdict::Unstable => "unstable: it changed its mind here",
            Verdict::NotApplicable => "not run: nothing under its paths changed",
        };
        let twice =
            matches!(self.verdict(), Verdict::Fixed | Verdict::TurnedRed) && self.is_confirmed();
        let doubt = self.doubt().map(|doubt| format!("; {}", doubt.told()));
        let twice = if twice { ", twice" } else { "" };
        format!("{words}{twice}{}", doubt.unwrap_or_default())
    }

    /// Why its runs here show less than they seem. What the checks change on base as well is the project's habit.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        let habits: Vec<&Doubt> = self.base.iter().flat_map(|seen| &seen.doubt).collect();
        let here = self.head.iter().filter_map(|seen| seen.doubt.clone());
        let unusual = |doubt| doubt::unusual(doubt, &habits);
        here.filter_map(unusual).next()
    }
}

impl Verdict {
    /// Whether a result with this verdict may be called green.
    #[must_use]
    pub fn is_green(self) -> bool {
        matches!(self, Self::Fixed | Self::Green | Self::GreenUnstableBase)
    }

    /// Whether it ran on head and failed there, once or always.
    #[must_use]
    pub fn is_red(self) -> bool {
        matches!(
            self,
            Self::StillRed | Self::TurnedRed | Self::Red | Self::Unstable
        )
    }
}

/// Whether a change of colour has to be run once more, on both sides, each in a fresh sandbox.
///
/// True until both sides ran twice, so that an interrupted confirmation goes on.
#[must_use]
pub fn wants_confirmation(check: &Check, base: &[Seen], head: &[Seen]) -> bool {
    let (Some(before), Some(after)) = (base.first(), head.first()) else {
        return false;
    };
    let changed = before.exit.is_green() != after.exit.is_green();
    let confirmed = base.len() > 1 && head.len() > 1;
    let wanted = match check.confirm {
        Confirm::Always => true,
        Confirm::Never => false,
        Confirm::Auto => before.duration_ms.max(after.duration_ms) < QUICK_MS,
    };
    changed && wanted && !confirmed
}

/// Whether a criterion is met, as far as checks can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Met {
    /// Every check that it names is green on head and stable, and nothing is in doubt about it.
    Yes,
    /// No check says so; a person looks.
    ForReviewer,
}

/// One criterion beside what the checks say about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CriterionVerdict {
    /// The criterion's number, from 1.
    pub number: u32,
    /// Whether the checks show it.
    pub met: Met,
    /// Names of the checks that it names, in the order of the criterion.
    pub checks: Vec<String>,
    /// Why, as Markdown for one table cell: ``check `tests`: red on base, green here, twice``.
    pub evidence: String,
}

/// What the checks say about every criterion, in order.
///
/// *Yes* stands only beside a criterion that names a check in backticks, when each check it
/// names is green on head and never changed its mind. What an agent claims is not asked.
/// `checks` are those in force; `evidence` is what was seen of them so far, on a result or nothing.
#[must_use]
pub fn judge_criteria(
    brief: &Brief,
    checks: &[Check],
    evidence: &[CheckEvidence],
) -> Vec<CriterionVerdict> {
    let is_check = |name: &&String| {
        checks.iter().any(|check| check.name == **name)
            || evidence.iter().any(|check| check.name == **name)
    };
    let judge = |criterion: &Criterion| {
        let mut named: Vec<&String> = Vec::new();
        for name in criterion.named.iter().filter(is_check) {
            if !named.contains(&name) {
                named.push(name);
            }
        }
        let seen = |name: &String| evidence.iter().find(|check| check.name == *name);
        let shows = |name: &&String| {
            seen(name).is_some_and(|check| {
                matches!(check.verdict(), Verdict::Fixed | Verdict::Green)
                    && check.doubt().is_none()
            })
        };
        let met = if !named.is_empty() && named.iter().all(shows) {
            Met::Yes
        } else {
            Met::ForReviewer
        };
        let told: Vec<String> = named
            .iter()
            .map(|name| match seen(name) {
                Some(check) => format!("check {}: {}", text::code(name), check.told()),
                None => format!("named check {} has not run on a result", text::code(name)),
            })
            .collect();
        CriterionVerdict {
            number: criterion.number,
            met,
            evidence: if told.is_empty() {
                unnamed(criterion)
            } else {
                told.join("; ")
            },
            checks: named.into_iter().cloned().collect(),
        }
    };
    brief.criteria.iter().map(judge).collect()
}

/// What stands beside a criterion that names no check: a word in backticks that could be a
/// check's name was probably meant for one.
fn unnamed(criterion: &Criterion) -> String {
    let could_be = |name: &&String| {
        name.len() <= 30
            && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    match criterion.named.iter().find(could_be) {
        Some(name) => format!("names {}, which is no check here", text::code(name)),
        None => "no check named".to_owned(),
    }
}

/// What all checks together allow to be said about a result.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "overall")]
pub enum Overall {
    /// At least one required check ran on head, and every one that did is green.
    Green,
    /// A required check is red or unstable on head.
    Red {
        /// Their names, in the order of the configuration.
        checks: Vec<String>,
    },
    /// No required check ran on head: nothing was shown, which is never success.
    NothingRequiredRan,
}

/// What follows from all checks.
#[must_use]
pub fn overall(evidence: &[CheckEvidence]) -> Overall {
    let ran = evidence
        .iter()
        .filter(|check| check.required && !check.head.is_empty());
    let red: Vec<String> = ran
        .clone()
        .filter(|check| !check.verdict().is_green())
        .map(|check| check.name.clone())
        .collect();
    match ran.count() {
        0 => Overall::NothingRequiredRan,
        _ if red.is_empty() => Overall::Green,
        _ => Overall::Red { checks: red },
    }
}

/// The failure class of a command that ended like this, and how that is told: `exits 101`.
#[must_use]
pub fn class_of(exit: &Exit) -> (FailureClass, String) {
    match exit {
        Exit::Code { code } => (FailureClass::Verify, format!("exits {code}")),
        Exit::Signal { signal } => (
            FailureClass::Verify,
            format!("was ended by signal {signal}"),
        ),
        Exit::TimedOut { after_secs } => (
            FailureClass::Timeout,
            format!("did not end within {after_secs} s"),
        ),
        Exit::Limit { limit } => (
            FailureClass::Limit,
            format!("hit the limit {}", limit.key()),
        ),
        Exit::NotStarted { why } => (FailureClass::Verify, format!("could not be started: {why}")),
    }
}

impl Limit {
    /// The key that raises it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Memory => "`[sandbox] memory`",
            Self::Pids => "`[sandbox] pids`",
            Self::Disk => "`[sandbox] disk`",
            Self::Output => "of printed output",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::brief;

    fn seen(code: i32) -> Seen {
        let log = LogRef {
            sha256: Digest::of(b""),
            bytes: 0,
            left_out: 0,
        };
        Seen {
            exit: Exit::Code { code },
            duration_ms: 5_000,
            log,
            tail: String::new(),
            doubt: None,
        }
    }

    /// `g` green, `r` red, in order.
    fn runs(colours: &str) -> Vec<Seen> {
        colours
            .chars()
            .map(|c| seen(if c == 'g' { 0 } else { 101 }))
            .collect()
    }

    fn evidence(name: &str, base: &str, head: &str) -> CheckEvidence {
        CheckEvidence {
            name: name.to_owned(),
            command: "true".to_owned(),
            required: true,
            base: runs(base),
            head: runs(head),
        }
    }

    fn check(confirm: Confirm) -> Check {
        Check {
            name: "tests".to_owned(),
            run: "true".to_owned(),
            required: true,
            timeout_secs: 60,
            paths: Vec::new(),
            baseline: true,
            confirm,
        }
    }

    /// All sequences of up to three runs.
    fn sequences() -> Vec<String> {
        let mut all = vec![String::new()];
        for at in 0..7 {
            for colour in ["g", "r"] {
                all.push(format!("{}{colour}", all[at]));
            }
        }
        all
    }

    #[test]
    fn every_pair_of_runs_has_the_verdict_of_its_definition() {
        assert_eq!(sequences().len(), 15);
        for base in sequences() {
            for head in sequences() {
                let verdict = evidence("t", &base, &head).verdict();
                let all = |runs: &str, c| !runs.is_empty() && runs.chars().all(|r| r == c);
                let mixed = |runs: &str| runs.contains('g') && runs.contains('r');
                let expected = if head.is_empty() {
                    Verdict::NotApplicable
                } else if mixed(&head) {
                    Verdict::Unstable
                } else if all(&head, 'g') {
                    if mixed(&base) {
                        Verdict::GreenUnstableBase
                    } else if all(&base, 'r') {
                        Verdict::Fixed
                    } else {
                        Verdict::Green
                    }
                } else if all(&base, 'r') {
                    Verdict::StillRed
                } else if all(&base, 'g') {
                    Verdict::TurnedRed
                } else {
                    Verdict::Red
                };
                assert_eq!(verdict, expected, "base {base:?} head {head:?}");
                let ran = verdict != Verdict::NotApplicable;
                assert_eq!(verdict.is_green() ^ verdict.is_red(), ran);
            }
        }
    }

    #[test]
    fn only_exit_0_is_green() {
        for exit in [
            Exit::Code { code: 1 },
            Exit::Signal { signal: 9 },
            Exit::TimedOut { after_secs: 1 },
            Exit::Limit {
                limit: Limit::Memory,
            },
            Exit::NotStarted {
                why: "no sh".to_owned(),
            },
        ] {
            let head = vec![Seen { exit, ..seen(0) }];
            let check = CheckEvidence {
                head,
                ..evidence("t", "g", "")
            };
            assert_eq!(check.verdict(), Verdict::TurnedRed);
        }
    }

    #[test]
    fn a_change_of_colour_is_confirmed_once() {
        use Confirm::{Always, Auto, Never};
        for (confirm, base, head, expected) in [
            (Auto, "r", "g", true),
            (Auto, "g", "r", true),
            (Auto, "g", "g", false),
            (Auto, "r", "r", false),
            (Auto, "", "g", false),
            (Auto, "r", "", false),
            (Auto, "rr", "gg", false),
            (Auto, "rr", "g", true),
            (Always, "r", "g", true),
            (Never, "r", "g", false),
        ] {
            let wants = wants_confirmation(&check(confirm), &runs(base), &runs(head));
            assert_eq!(wants, expected, "{confirm:?} {base} {head}");
        }
        let slow = vec![Seen {
            duration_ms: QUICK_MS,
            ..seen(0)
        }];
        assert!(!wants_confirmation(&check(Auto), &runs("r"), &slow));
        assert!(wants_confirmation(&check(Always), &runs("r"), &slow));
        let quick = vec![Seen {
            duration_ms: QUICK_MS - 1,
            ..seen(0)
        }];
        assert!(wants_confirmation(&check(Auto), &runs("r"), &quick));
    }

    #[test]
    fn a_criterion_is_met_only_by_a_green_check_that_it_names() {
        let text = "# Title\n\nGoal.\n\n## Acceptance criteria\n\
            - exit 2 (`tests`)\n- flag `--help` in `docs`\n- feels fast\n- `flaky` passes\n\
            - `tests` and `lint`\n- `late` is run\n- `tests` and `tests`\n- `new`\n- tests pass\n";
        let brief = brief::parse(text, 10_000).unwrap();
        let evidence = [
            evidence("tests", "rr", "gg"),
            evidence("docs", "g", "g"),
            evidence("flaky", "gr", "gg"),
            evidence("lint", "g", "r"),
            evidence("late", "g", ""),
            evidence("new", "", "g"),
        ];
        let told: Vec<String> = judge_criteria(&brief, &[], &evidence)
            .into_iter()
            .map(|verdict| {
                format!(
                    "{} {:?} · {}",
                    verdict.number, verdict.met, verdict.evidence
                )
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        1 Yes · check `tests`: red on base, green here, twice
        2 Yes · check `docs`: green on base and here
        3 ForReviewer · no check named
        4 ForReviewer · check `flaky`: green here, but it changed its mind on base
        5 ForReviewer · check `tests`: red on base, green here, twice; check `lint`: green on base, red here
        6 ForReviewer · check `late`: not run: nothing under its paths changed
        7 Yes · check `tests`: red on base, green here, twice
        8 Yes · check `new`: green here, not run on base
        9 ForReviewer · no check named
        ");
    }

    #[test]
    fn a_named_check_that_has_not_run_or_does_not_exist_is_told_as_that() {
        let text = "# T\n\n## Acceptance criteria\n- exit 2 (`tests`)\n- builds (`build`, `tests`)\n\
            - the greeting (`check-1`)\n- `--help` of `src/main.rs` and `Greeting`\n";
        let brief = brief::parse(text, 10_000).unwrap();
        let told = |evidence: &[CheckEvidence]| {
            let checks = [check(Confirm::Auto)];
            let judged = judge_criteria(&brief, &checks, evidence).into_iter();
            let lines = judged.map(|one| {
                let checks = one.checks.join(", ");
                format!("{} {:?} [{checks}] {}", one.number, one.met, one.evidence)
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(told(&[]), @r"
        1 ForReviewer [tests] named check `tests` has not run on a result
        2 ForReviewer [tests] named check `tests` has not run on a result
        3 ForReviewer [] names `check-1`, which is no check here
        4 ForReviewer [] no check named
        ");
        // A green one beside one that did not run shows nothing.
        insta::assert_snapshot!(told(&[evidence("build", "g", "g")]), @r"
        1 ForReviewer [tests] named check `tests` has not run on a result
        2 ForReviewer [build, tests] check `build`: green on base and here; named check `tests` has not run on a result
        3 ForReviewer [] names `check-1`, which is no check here
        4 ForReviewer [] no check named
        ");
    }

    #[test]
    fn success_needs_a_required_check_that_ran_on_head() {
        assert_eq!(overall(&[]), Overall::NothingRequiredRan);
        assert_eq!(
            overall(&[evidence("a", "g", "")]),
            Overall::NothingRequiredRan
        );
        let optional = |name, base, head| CheckEvidence {
            required: false,
            ..evidence(name, base, head)
        };
        assert_eq!(
            overall(&[optional("a", "g", "g")]),
            Overall::NothingRequiredRan
        );
        assert_eq!(
            overall(&[optional("a", "g", "r"), evidence("b", "r", "g")]),
            Overall::Green
        );
        for base in sequences() {
            for head in sequences().into_iter().filter(|head| !head.is_empty()) {
                let all = [evidence("a", &base, &head), evidence("b", "g", "g")];
                let green = !head.contains('r');
                let expected = if green {
                    Overall::Green
                } else {
                    Overall::Red {
                        checks: vec!["a".to_owned()],
                    }
                };
                assert_eq!(overall(&all), expected, "{base} {head}");
            }
        }
    }
}
