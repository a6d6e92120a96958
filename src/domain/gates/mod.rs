//! Gates: rules over a diff. Each passes, asks a person or refuses, with file, line and reason.

mod code;
mod forms;
pub mod globs;
mod keys;
mod languages;
mod lexis;
mod lines;
mod manifests;
mod names;
mod places;
mod runners;
pub mod secrets;
mod show;
mod steering;
mod suite;
mod weakened;

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::ident::RepoPath;
use super::settings::{GatePolicy, Scope};

/// Most findings of one gate; further ones are counted in one more finding.
pub const FINDINGS_CAP: usize = 25;

/// Something in the workspace that the collector left out of the result: it cannot be in a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Odd {
    /// Where it was.
    pub path: RepoPath,
    /// What it was, as a noun: `a FIFO`, `a socket`, `a nested .git folder`.
    pub what: String,
}

/// What the gates know beside the change and the settings; empty = nothing is known of it.
#[derive(Clone, Copy, Default)]
pub struct Beside<'a> {
    /// Narrows `scope.allow`; empty = not narrowed.
    pub brief_scope: &'a [String],
    /// What checks and set-up run, as `sh -c` gets it: what these read is asked about.
    pub commands: &'a [&'a str],
    /// Every file of the base commit, for names that some system takes for each other.
    pub base: &'a [RepoPath],
    /// What the collector left out.
    pub odd: &'a [Odd],
    /// Values that must never leave: tokens and keys of this host.
    pub known: &'a [String],
}

/// Everything the gates find in one change, sorted by gate, path and line.
///
/// The order of `changes` does not matter. Empty = every gate passes.
#[must_use]
pub fn judge(changes: &[Change], scope: &Scope, beside: &Beside<'_>) -> Vec<Finding> {
    let odd = beside.odd;
    let known = secrets::Known::new(beside.known);
    // A name that holds a secret is refused without being repeated, so no other gate may name it.
    let (telling, plain): (Vec<&Change>, Vec<&Change>) = changes
        .iter()
        .partition(|change| !secrets::find(change.path.as_bytes(), &known).is_empty());
    let (telling_odd, plain_odd): (Vec<&Odd>, Vec<&Odd>) = odd
        .iter()
        .partition(|odd| !secrets::find(odd.path.as_bytes(), &known).is_empty());
    let mut found = Vec::new();
    if !telling.is_empty() || !telling_odd.is_empty() {
        found.push(Finding {
            gate: Gate::Secrets,
            outcome: Outcome::Refuse,
            path: None,
            line: None,
            reason: format!(
                "the name of {} changed file(s) holds what looks like a credential; it is not repeated here",
                telling.len() + telling_odd.len()
            ),
        });
    }
    found.extend(places::size(changes, &plain, scope));
    found.extend(places::paths(&plain, scope, beside.brief_scope));
    let before = secrets::Before::new(&changes.iter().collect::<Vec<_>>());
    for change in &plain {
        found.extend(names::git(change));
        found.extend(names::symlink(change));
        found.extend(places::mode(change));
        found.extend(places::binary(change));
        found.extend(manifests::judge(change, scope.dependencies));
        found.extend(secrets::judge(change, &known, &before));
    }
    found.extend(plain_odd.iter().map(|odd| names::odd(odd)));
    found.extend(names::elsewhere(&plain, beside.base));
    found.extend(steering::judge(&plain, scope, beside.commands, &found));
    found.extend(weakened::judge(&plain, scope.tests_removed));
    cap(found)
}

/// The worst outcome of all findings; `Pass` when there is none.
#[must_use]
pub fn outcome(findings: &[Finding]) -> Outcome {
    findings
        .iter()
        .map(|finding| finding.outcome)
        .max()
        .unwrap_or(Outcome::Pass)
}

/// Sorts, and keeps the worst [`FINDINGS_CAP`] findings of each gate.
fn cap(mut found: Vec<Finding>) -> Vec<Finding> {
    fn place(finding: &Finding) -> impl Ord + '_ {
        let (path, line) = (&finding.path, &finding.line);
        (path.is_none(), path, line, &finding.reason)
    }
    found.sort_by(|a, b| {
        (a.gate, Reverse(a.outcome))
            .cmp(&(b.gate, Reverse(b.outcome)))
            .then_with(|| place(a).cmp(&place(b)))
    });
    found.dedup();
    let mut kept: Vec<Finding> = Vec::with_capacity(found.len());
    for mut group in found.chunk_by(|a, b| a.gate == b.gate).map(<[_]>::to_vec) {
        let rest = group.split_off(group.len().min(FINDINGS_CAP));
        group.sort_by(|a, b| place(a).cmp(&place(b)));
        if let Some(first) = rest.first() {
            group.push(Finding {
                gate: first.gate,
                outcome: outcome(&rest),
                path: None,
                line: None,
                reason: format!("{} more findings of this gate are not listed", rest.len()),
            });
        }
        kept.append(&mut group);
    }
    kept
}

impl GatePolicy {
    /// What a gate under this policy says of what it finds; `None` = nothing.
    fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Block => Some(Outcome::Refuse),
            Self::Approve => Some(Outcome::Ask),
            Self::Allow => None,
        }
    }

    /// As it is written in the settings.
    fn word(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Approve => "approve",
            Self::Allow => "allow",
        }
    }
}

/// What a tree holds at one path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// What kind of thing.
    pub kind: EntryKind,
    /// Bytes.
    pub size: u64,
    /// The bytes where they are at most [`CONTENT_CAP`], for files and links.
    pub content: Option<Vec<u8>>,
}

/// Content above this is judged by size and kind alone.
pub const CONTENT_CAP: u64 = 2 << 20;

/// What git can hold at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// Mode 100644.
    File,
    /// Mode 100755.
    Executable,
    /// Mode 120000; the content is the target.
    Symlink,
    /// Mode 160000.
    Gitlink,
}

/// One path that differs between base and head.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// Where.
    pub path: RepoPath,
    /// At base; `None` = added.
    pub old: Option<Entry>,
    /// At head; `None` = deleted.
    pub new: Option<Entry>,
    /// Lines added, 0 for binaries.
    pub added: u32,
    /// Lines removed, 0 for binaries.
    pub removed: u32,
    /// Whether either side is binary, as git judges it (a NUL in the first 8,000 bytes).
    pub binary: bool,
}

/// Which rule spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// `[scope] deny`, or outside `[scope] allow` and the brief's scope.
    Paths,
    /// `[scope] protected`.
    Protected,
    /// `[scope] sensitive`.
    Sensitive,
    /// Manifests and lockfiles.
    Dependencies,
    /// Too many files or lines.
    Size,
    /// Binary content.
    Binary,
    /// A symlink that leaves the tree, or that changed.
    Symlink,
    /// A changed mode.
    Mode,
    /// Gitlinks, `.gitmodules` and names that git or another system takes for `.git`.
    Git,
    /// Credentials in content.
    Secrets,
    /// Tests removed or weakened.
    Tests,
    /// Workflows with secrets that a push would run.
    Exposure,
}

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing to say.
    Pass,
    /// A person decides.
    Ask,
    /// The result is not published.
    Refuse,
}

/// What `approve` can grant by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Everything but the others.
    Scope,
    /// Manifests and lockfiles.
    Deps,
    /// Workflows that a push would run with the repository's secrets.
    Ci,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Scope, Self::Deps, Self::Ci];

    /// What `approve` and `reject` call it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::Deps => "deps",
            Self::Ci => "ci",
        }
    }
}

/// One thing that a gate found. A gate that found nothing passes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Finding {
    /// Which gate.
    pub gate: Gate,
    /// `Ask` or `Refuse`; `Pass` only for a note that a reviewer should see.
    pub outcome: Outcome,
    /// Where, `None` for the change as a whole.
    pub path: Option<RepoPath>,
    /// Line in the new content (in the old one for something removed), from 1.
    pub line: Option<u32>,
    /// One sentence, harmless to show, naming the rule and its place in the settings. Never holds the secret it found.
    pub reason: String,
}

impl Finding {
    /// What an approval of this finding is called.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self.gate {
            Gate::Dependencies => Cause::Deps,
            Gate::Exposure => Cause::Ci,
            Gate::Paths
            | Gate::Protected
            | Gate::Sensitive
            | Gate::Size
            | Gate::Binary
            | Gate::Symlink
            | Gate::Mode
            | Gate::Git
            | Gate::Secrets
            | Gate::Tests => Cause::Scope,
        }
    }
}

impl Change {
    /// The content at head where it was read.
    fn new_content(&self) -> Option<&[u8]> {
        self.new.as_ref()?.content.as_deref()
    }

    /// The content at base where it was read.
    fn old_content(&self) -> Option<&[u8]> {
        self.old.as_ref()?.content.as_deref()
    }
}

impl EntryKind {
    /// Whether it holds text or data, rather than a link.
    fn is_file(self) -> bool {
        matches!(self, Self::File | Self::Executable)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::settings::Settings;
    use super::*;

    fn change(path: &str, old: Option<&str>, new: Option<&str>) -> Change {
        let entry = |content: &str| Entry {
            kind: EntryKind::File,
            size: content.len() as u64,
            content: Some(content.as_bytes().to_vec()),
        };
        Change {
            path: path.into(),
            old: old.map(entry),
            new: new.map(entry),
            added: 1,
            removed: 0,
            binary: false,
        }
    }

    fn added(path: &str) -> Change {
        change(path, None, Some("x\n"))
    }

    fn scope() -> Scope {
        Settings::default().scope
    }

    fn told(changes: &[Change], scope: &Scope, brief: &[&str]) -> String {
        let brief: Vec<String> = brief.iter().map(|glob| (*glob).to_owned()).collect();
        judge(
            changes,
            scope,
            &Beside {
                brief_scope: &brief,
                ..Beside::default()
            },
        )
        .iter()
        .map(|finding| {
            format!(
                "{:?} {:?}: {}\n",
                finding.gate, finding.outcome, finding.reason
            )
        })
        .collect()
    }

    #[test]
    fn an_ordinary_change_passes() {
        let found = judge(&[added("src/main.rs")], &scope(), &Beside::default());
        assert_eq!((outcome(&found), found), (Outcome::Pass, Vec::new()));
    }

    #[test]
    fn the_gates_for_names_dependencies_tests_and_left_out_things_are_asked() {
        let changes = [
            added(".GIT/x"),
            added("Cargo.toml"),
            change("x_test.rs", Some("#[test]\nfn a() {}\n"), None),
        ];
        let odd = [Odd {
            path: "pipe".into(),
            what: "a FIFO".to_owned(),
        }];
        let found = judge(
            &changes,
            &scope(),
            &Beside {
                odd: &odd,
                ..Beside::default()
            },
        );
        for gate in [Gate::Git, Gate::Dependencies, Gate::Tests, Gate::Mode] {
            assert!(found.iter().any(|finding| finding.gate == gate), "{gate:?}");
        }
    }

    #[test]
    fn a_denied_path_is_refused() {
        let scope = Scope {
            deny: vec!["vendor/**".to_owned()],
            ..scope()
        };
        insta::assert_snapshot!(
            told(&[added("vendor/a")], &scope, &[]),
            @"Paths Refuse: `vendor/a` must not be touched (`[scope] deny` holds `vendor/**`)"
        );
    }

    #[test]
    fn a_path_outside_what_is_allowed_or_what_the_brief_declares_asks() {
        let narrow = Scope {
            allow: vec!["src/**".to_owned()],
            ..scope()
        };
        insta::assert_snapshot!(
            told(&[added("docs/a"), added("src/b"), added("src/c/d")], &narrow, &["src/c"]),
            @"
        Paths Ask: `docs/a` is outside `[scope] allow`
        Paths Ask: `src/b` is outside the scope that the brief declares
        "
        );
    }

    #[test]
    fn a_protected_path_asks_or_refuses_as_the_policy_says() {
        insta::assert_snapshot!(
            told(&[added(".github/workflows/ci.yml")], &scope(), &[]),
            @"Protected Ask: `.github/workflows/ci.yml` is protected (`[scope] protected` holds `.github/**`, `protected_policy` = approve)"
        );
        for (policy, expected) in [
            (GatePolicy::Block, Outcome::Refuse),
            (GatePolicy::Approve, Outcome::Ask),
            (GatePolicy::Allow, Outcome::Ask),
        ] {
            let scope = Scope {
                protected_policy: policy,
                ..scope()
            };
            let found = judge(&[added("AGENTS.md")], &scope, &Beside::default());
            assert_eq!(outcome(&found), expected);
        }
    }

    #[test]
    fn our_own_file_is_protected_whatever_the_list_says() {
        let scope = Scope {
            protected: Vec::new(),
            ..scope()
        };
        insta::assert_snapshot!(
            told(&[added("prentice.toml")], &scope, &[]),
            @"Protected Ask: `prentice.toml` holds the rules for later tasks, so it is always protected (`[scope] protected_policy` = approve)"
        );
    }

    #[test]
    fn what_the_gates_know_beside_the_change_is_used() {
        let scope = Scope {
            protected: Vec::new(),
            protected_policy: GatePolicy::Block,
            ..scope()
        };
        let beside = Beside {
            commands: &["sh t.sh"],
            base: &["src/a".into()],
            ..Beside::default()
        };
        let changes = [added("sub/AGENTS.md"), added("t.sh"), added("SRC/b")];
        let found = judge(&changes, &scope, &beside);
        let told: Vec<String> = found
            .iter()
            .map(|finding| {
                format!(
                    "{:?} {:?}: {}",
                    finding.gate, finding.outcome, finding.reason
                )
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"), @"
        Protected Refuse: `sub/AGENTS.md` instructs coding agents, so it is always protected (`[scope] protected_policy` = block)
        Protected Ask: `t.sh` steers the checks that judge this change
        Git Ask: `SRC/b` is the same as `src` to systems that ignore case
        ");
    }

    #[test]
    fn a_link_named_as_a_protected_folder_asks() {
        // One that the settings name, and one of the built-in list.
        for folder in ["deploy", ".github"] {
            let mut link = added(folder);
            link.new = Some(Entry {
                kind: EntryKind::Symlink,
                size: 2,
                content: Some(b"ci".to_vec()),
            });
            let scope = Scope {
                protected: vec!["deploy/**".to_owned()],
                ..scope()
            };
            let found = judge(&[link], &scope, &Beside::default());
            let asked = found.iter().any(|finding| finding.gate == Gate::Protected);
            assert!(asked, "{folder}");
        }
    }

    #[test]
    fn a_sensitive_path_asks() {
        insta::assert_snapshot!(
            told(&[added("src/auth/login.rs")], &scope(), &[]),
            @"Sensitive Ask: `src/auth/login.rs` is in a sensitive area (`[scope] sensitive` holds `**/auth/**`)"
        );
    }

    #[test]
    fn a_pattern_that_cannot_be_read_refuses() {
        let scope = Scope {
            deny: vec!["a[".to_owned()],
            ..scope()
        };
        insta::assert_snapshot!(
            told(&[added("b")], &scope, &[]),
            @"Paths Refuse: `[scope] deny` holds `a[`, which is not a pattern: unclosed character class; missing ']'"
        );
    }

    #[test]
    fn too_many_files_or_lines_ask_and_generated_files_do_not_count() {
        let many: Vec<Change> = (0..31).map(|n| added(&format!("f{n}"))).collect();
        insta::assert_snapshot!(told(&many, &scope(), &[]), @"Size Ask: 31 files changed (`[scope] max_files` = 30)");
        assert_eq!(told(&many[..30], &scope(), &[]), "");
        let long = Change {
            added: 700,
            removed: 101,
            ..added("a.txt")
        };
        insta::assert_snapshot!(
            told(std::slice::from_ref(&long), &scope(), &[]),
            @"Size Ask: 801 lines added and removed, generated files apart (`[scope] max_lines` = 800)"
        );
        let generated = Change {
            path: "a.lock".into(),
            ..long
        };
        assert_eq!(told(&[generated], &scope(), &[]), "");
    }

    #[test]
    fn content_too_large_to_be_judged_asks() {
        let mut large = added("big.txt");
        large.new = Some(Entry {
            kind: EntryKind::File,
            size: 200 << 20,
            content: None,
        });
        insta::assert_snapshot!(
            told(&[large], &scope(), &[]),
            @"Size Ask: `big.txt` has 209715200 bytes, above the 2097152 that the gates read; its content was not judged"
        );
    }

    #[test]
    fn new_binary_content_asks_and_its_removal_does_not() {
        let binary = Change {
            binary: true,
            ..added("a.bin")
        };
        insta::assert_snapshot!(told(std::slice::from_ref(&binary), &scope(), &[]), @"Binary Ask: `a.bin` is binary (2 bytes), so its diff cannot be read");
        let removed = Change {
            old: binary.new.clone(),
            new: None,
            ..binary
        };
        assert_eq!(told(&[removed], &scope(), &[]), "");
    }

    #[test]
    fn a_changed_mode_asks() {
        let kinds = |old: Option<EntryKind>, new: EntryKind| {
            let entry = |kind| Entry {
                kind,
                size: 1,
                content: Some(b"x".to_vec()),
            };
            let change = Change {
                old: old.map(entry),
                new: Some(entry(new)),
                ..added("a")
            };
            told(&[change], &scope(), &[])
        };
        use EntryKind::{Executable, File, Symlink};
        insta::assert_snapshot!(kinds(None, Executable), @"Mode Ask: `a` is a new executable file");
        insta::assert_snapshot!(kinds(Some(File), Executable), @"Mode Ask: `a` became executable");
        insta::assert_snapshot!(kinds(Some(Executable), File), @"Mode Ask: `a` is no longer executable");
        insta::assert_snapshot!(kinds(Some(File), Symlink), @"
        Symlink Pass: `a` is a new or changed symlink to `x`
        Mode Ask: `a` was a file and is now a symlink
        ");
        assert_eq!(kinds(Some(Executable), Executable), "");
        assert_eq!(kinds(Some(File), File), "");
    }

    #[test]
    fn a_name_that_holds_a_secret_is_refused_and_never_repeated() {
        let canary = "canary-q7ZkR2mXw9TbL4vNc8".to_owned();
        let changes = [added(&format!(".github/{canary}"))];
        let odd = [Odd {
            path: canary.as_str().into(),
            what: "a FIFO".to_owned(),
        }];
        let found = judge(
            &changes,
            &scope(),
            &Beside {
                odd: &odd,
                known: std::slice::from_ref(&canary),
                ..Beside::default()
            },
        );
        assert_eq!(outcome(&found), Outcome::Refuse);
        assert!(!serde_json::to_string(&found).unwrap().contains("canary"));
        insta::assert_snapshot!(found[0].reason, @"the name of 2 changed file(s) holds what looks like a credential; it is not repeated here");
    }

    #[test]
    fn a_known_secret_in_content_is_refused_and_never_repeated() {
        let canary = "canary-q7ZkR2mXw9TbL4vNc8".to_owned();
        let changes = [change("a", None, Some(&format!("x\ny {canary} z\n")))];
        let found = judge(
            &changes,
            &scope(),
            &Beside {
                known: std::slice::from_ref(&canary),
                ..Beside::default()
            },
        );
        assert_eq!((outcome(&found), found[0].line), (Outcome::Refuse, Some(2)));
        assert!(!serde_json::to_string(&found).unwrap().contains("canary"));
    }

    #[test]
    fn findings_are_capped_and_the_rest_counted_without_losing_a_refusal() {
        let mut changes: Vec<Change> = (0..60).map(|n| added(&format!(".a/{n:02}"))).collect();
        let scope = Scope {
            deny: vec!["z".to_owned()],
            max_files: 500,
            allow: vec!["z".to_owned()],
            ..scope()
        };
        changes.push(added("z"));
        let found = judge(&changes, &scope, &Beside::default());
        assert_eq!(found.len(), 2 * (FINDINGS_CAP + 1));
        assert_eq!(outcome(&found), Outcome::Refuse);
        assert!(found.iter().any(|finding| finding.path == Some("z".into())));
        insta::assert_snapshot!(found[FINDINGS_CAP].reason, @"36 more findings of this gate are not listed");
    }

    #[test]
    fn asks_refusals_and_notes_give_the_worst_outcome() {
        let finding = |outcome| Finding {
            gate: Gate::Mode,
            outcome,
            path: None,
            line: None,
            reason: String::new(),
        };
        let (pass, ask, refuse) = (
            finding(Outcome::Pass),
            finding(Outcome::Ask),
            finding(Outcome::Refuse),
        );
        assert_eq!(outcome(&[]), Outcome::Pass);
        assert_eq!(outcome(std::slice::from_ref(&pass)), Outcome::Pass);
        assert_eq!(outcome(&[pass.clone(), ask.clone()]), Outcome::Ask);
        assert_eq!(outcome(&[refuse, ask, pass]), Outcome::Refuse);
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let kind = prop_oneof![
            Just(EntryKind::File),
            Just(EntryKind::Executable),
            Just(EntryKind::Symlink),
            Just(EntryKind::Gitlink)
        ];
        let content = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200));
        (kind, content).prop_map(|(kind, content)| Entry {
            kind,
            size: 3,
            content,
        })
    }

    fn any_change() -> impl Strategy<Value = Change> {
        let path = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..20),
            "(src|tests|\\.git|a)/(x|Cargo|test_a)\\.(rs|py|toml|sh)".prop_map(String::into_bytes)
        ];
        let sides = (
            proptest::option::of(any_entry()),
            proptest::option::of(any_entry()),
        );
        (path, sides, any::<u32>(), any::<bool>()).prop_map(|(path, (old, new), added, binary)| {
            Change {
                path: RepoPath::new(path),
                old,
                new,
                added,
                removed: added / 2,
                binary,
            }
        })
    }

    proptest! {
        #[test]
        fn any_change_is_judged_the_same_in_any_order(changes in proptest::collection::vec(any_change(), 0..6)) {
            let mut back = changes.clone();
            back.reverse();
            let known = ["canary-value-of-some-length".to_owned()];
            let beside = Beside { known: &known, commands: &["cargo test", "sh src/x.sh"], ..Beside::default() };
            let found = judge(&changes, &scope(), &beside);
            prop_assert_eq!(&found, &judge(&back, &scope(), &beside));
            prop_assert!(found.iter().all(|finding| !finding.reason.contains(char::is_control)));
        }
    }
}
