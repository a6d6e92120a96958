//! What runs make: results, revisions, and the pull request that shows them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::evidence::CheckEvidence;
use super::super::gates::{Cause, Finding, Outcome};
use super::super::ident::{CommitId, Digest, RepoPath};

/// A result with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Revision {
    /// From 1; `r1` to people.
    pub number: u32,
    /// The run that made it, or that checked a person's commit.
    pub run: u32,
    /// What it is.
    pub result: RunResult,
    /// Causes that a person granted.
    pub granted: BTreeSet<Cause>,
    /// The head is a person's commit, and what is known of it replaced what was known of ours. Claims and facts stay
    /// those of the agent.
    pub theirs: bool,
}

impl Revision {
    /// Takes what was seen of `head`, a commit that came after the result. Whatever a person granted was for ours.
    pub fn judged_anew(
        &mut self,
        head: &CommitId,
        files: &[FileStat],
        evidence: &[CheckEvidence],
        findings: &[Finding],
        repository_file: Option<&RepositoryFile>,
    ) {
        if self.result.head != *head {
            self.theirs = true;
            self.granted.clear();
            self.result.droppings.clear();
            // Whoever pushed there has applied it, or decided otherwise.
            let by_hand = self.result.by_hand.take();
            self.result.by_hand = by_hand.filter(|left| {
                let pushed = |path: &RepoPath| files.iter().any(|file| file.path == *path);
                !left.files.iter().any(pushed)
            });
        }
        self.result.head = head.clone();
        self.result.files = files.to_vec();
        self.result.evidence = evidence.to_vec();
        self.result.findings = findings.to_vec();
        self.result.repository_file = repository_file.cloned();
    }

    /// The asking findings that nobody granted yet.
    pub fn open_asks(&self) -> impl Iterator<Item = &Finding> {
        self.result.findings.iter().filter(|finding| {
            finding.outcome == Outcome::Ask && !self.granted.contains(&finding.cause())
        })
    }
}

/// What one run made, as the host saw it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunResult {
    /// The commit.
    pub head: CommitId,
    /// The commit it is compared with.
    pub base: CommitId,
    /// Files that differ.
    pub files: Vec<FileStat>,
    /// Checks on base and head; empty where a gate refused first.
    pub evidence: Vec<CheckEvidence>,
    /// What the gates found.
    pub findings: Vec<Finding>,
    /// What the agent said of its work: claims, never facts.
    pub claims: Claims,
    /// Droppings of tools that were left out.
    pub droppings: Vec<RepoPath>,
    /// Of the workflows that a push would run with secrets, where that is asked about.
    #[serde(default)]
    pub exposure: Option<Digest>,
    /// What is left for a person to apply, since only a person may publish it.
    #[serde(default)]
    pub by_hand: Option<ByHand>,
    /// What the commit makes of the repository file; `None` where it leaves it as it is.
    #[serde(default)]
    pub repository_file: Option<RepositoryFile>,
    /// How it was run.
    pub facts: RunFacts,
}

/// What a commit makes of the repository file. It governs nothing before it is on the default branch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "file")]
pub enum RepositoryFile {
    /// It can be read.
    Valid {
        /// Where it is then.
        path: String,
    },
    /// There is none any more.
    Gone {
        /// Where it was.
        path: String,
    },
    /// It cannot be read, so that nothing would start.
    Broken {
        /// Where it is then.
        path: String,
        /// What is wrong with it, in the order of the text. Never empty.
        mistakes: Vec<FileMistake>,
        /// Further mistakes.
        more: usize,
    },
}

/// A mistake in a repository file that is not ours: its words are not, either.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileMistake {
    /// What `prentice explain` takes; empty where the file was not read.
    pub code: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub col: usize,
    /// What is wrong and what to do, in one line.
    pub message: String,
}

/// Changes that are no part of the commit. No gate judged them, and no check ran on them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ByHand {
    /// Where.
    pub files: Vec<RepoPath>,
    /// Further files.
    pub files_left_out: usize,
    /// What `git apply` takes on top of the commit; without the files that did not fit.
    pub patch: String,
    /// Whether the patch is all of it, as it was.
    pub whole: bool,
}

/// What a run saw that ended without a result: the agent asked or failed, or something broke.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unfinished {
    /// The last try that the checks ran on, in whole or in part.
    pub head: Option<CommitId>,
    /// Checks on base, and on that try.
    pub evidence: Vec<CheckEvidence>,
    /// How it was run, as far as it came; empty texts where no sandbox stood.
    pub facts: RunFacts,
    /// Questions of the agent beyond those shown.
    pub questions_left_out: usize,
    /// What is left for a person to apply, where the agent changed nothing else.
    #[serde(default)]
    pub by_hand: Option<ByHand>,
}

/// One changed file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileStat {
    /// Where.
    pub path: RepoPath,
    /// Lines added.
    pub added: u32,
    /// Lines removed.
    pub removed: u32,
}

/// What the agent said. Data, shown as its claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claims {
    /// Its summary, at most 6 lines.
    pub summary: String,
    /// Risks and what it did not do.
    pub notes: Vec<String>,
}

/// Figures of a run, for the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunFacts {
    /// `overlay` or `copy`.
    pub workspace: String,
    /// Time until the agent's workspace stood.
    pub prepare_ms: u64,
    /// Which launcher.
    pub launcher: String,
    /// Which tier of limits: `cgroup-v2`, `cgroup-v1` or `rlimits`.
    pub limits_tier: String,
    /// Tries of the agent.
    pub attempts: u32,
    /// Wall clock of the agent.
    pub agent_ms: u64,
    /// Lines telling what was mounted and what was left out.
    pub told: Vec<String>,
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pull {
    /// Its number on the forge; locally the task's.
    pub number: i64,
    /// Where a person sees it: a URL, locally the path of `PR.md`.
    pub location: String,
    /// Head it was last brought to.
    pub head: CommitId,
}
