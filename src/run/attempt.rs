//! The tries of the agent, and what the host makes of each.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::checks::{self, Side};
use super::referee::{base_evidence, file_stats, gate, head_evidence};
use super::talk::{BRIEF_JSON, Tried, talk};
use super::workspace::{self, Layers};
use super::{Bench, Control, Exit, Halt, News, RunError, blocking, failed};
use super::{by_hand, exposed, rules};
use crate::agent::{Agent, Heard};
use crate::domain::brief::{self, AgentContext, Failing};
use crate::domain::event::{Event, RunOutcome};
use crate::domain::evidence::{CheckEvidence, Overall, class_of, overall};
use crate::domain::gates::{self, Odd, Outcome};
use crate::domain::ident::{CommitId, RepoPath};
use crate::domain::report;
use crate::domain::task::{FailureClass, RunFacts, RunResult, Step, Task, Unfinished};
use crate::git::{self, Collected};
use crate::sandbox::Facts;
use crate::store::{ArtifactKind, Content};

/// Longest instruction file given to the agent.
const INSTRUCTIONS_CAP: u64 = 256 << 10;
/// Longest patch stored.
const PATCH_CAP: usize = 64 << 20;
/// Droppings told by name.
const DROPPINGS_CAP: usize = 50;

pub(super) async fn attempts(
    bench: &Bench,
    task: &Task,
    agent: &dyn Agent,
    control: &Control<'_>,
) -> Result<RunOutcome, Exit> {
    let mut sofar = Unfinished::default();
    let mut outcome = tries(bench, task, agent, control, &mut sofar).await;
    if let Ok(outcome) | Err(Exit::Outcome(outcome)) = &mut outcome
        && let RunOutcome::Asked { seen, .. } | RunOutcome::Failed { seen, .. } = outcome
    {
        **seen = sofar;
    }
    outcome
}

/// The tries; `seen` has what is known by then wherever they end.
async fn tries(
    bench: &Bench,
    task: &Task,
    agent: &dyn Agent,
    control: &Control<'_>,
    seen: &mut Unfinished,
) -> Result<RunOutcome, Exit> {
    let settings = &task.settings;
    workspace::empty(bench).await?;
    step(control, task, Step::Prepare).await?;
    let base_layers = Layers::of(bench, &task.base, &task.base, "base", true).await?;
    // Work starts from what was kept, if anything was.
    let from = task.kept.clone().unwrap_or_else(|| task.base.clone());
    let work_layers = Layers::of(bench, &task.base, &from, "work", false).await?;

    step(control, task, Step::Base).await?;
    let mut before = Side::new(bench, Some(task.id), settings, control, base_layers, "base");
    let judged = base_evidence(&mut seen.evidence, &mut before).await;
    seen.facts.told.clone_from(&bench.toolchains.told);
    if let Some(facts) = before.facts() {
        sandbox_facts(&mut seen.facts, facts);
    }
    judged?;
    before.end().await?;
    let on_base = seen.evidence.clone();

    let mut work = Work {
        bench,
        task,
        control,
        from,
        layers: work_layers,
        set_up: None,
        facts: seen.facts.clone(),
    };
    let mut failing: Vec<Failing> = Vec::new();
    let most = settings.task.attempts.max(1);
    for attempt in 1..=most {
        step(control, task, Step::Work { attempt }).await?;
        let asked = work.ask(agent, attempt, &failing).await;
        work.facts.attempts = attempt;
        seen.facts.clone_from(&work.facts);
        let (tried, overlay) = asked?;
        let heard = match tried {
            Tried::Ready(heard) => heard,
            Tried::Asked(heard) => {
                let kept = work.keep(overlay).await?;
                seen.questions_left_out = heard.questions_left_out;
                return Ok(RunOutcome::Asked {
                    questions: questions(heard),
                    kept,
                    seen: Box::default(),
                });
            }
            Tried::Halted(Halt::Interrupt { by }) => {
                let kept = work.keep(overlay).await?;
                return Ok(RunOutcome::Interrupted { by, kept });
            }
            Tried::Halted(Halt::Lost) => return Err(Exit::Error(RunError::Lost)),
            Tried::Halted(Halt::Stop) => {
                // The patch is kept for the person who stopped it.
                if let Some(kept) = work.keep(overlay).await? {
                    work.store_patch(&kept).await?;
                }
                return Ok(RunOutcome::Cancelled);
            }
            Tried::Failed {
                class,
                message,
                tail,
            } => {
                let failure = crate::domain::task::Failure {
                    class,
                    message,
                    tail,
                };
                return Ok(RunOutcome::Failed {
                    failure,
                    kept: None,
                    seen: Box::default(),
                });
            }
        };

        step(control, task, Step::Judge { attempt }).await?;
        let collected = work.collect(overlay).await?;
        let (odd, droppings) = told_of(&collected);
        let parent = task
            .pull
            .as_ref()
            .map_or(&task.base, |pull| &pull.head)
            .clone();
        let (tree, by_hand) = by_hand::split(bench, task, collected.tree, &parent).await?;
        // A round that changes nothing would be published as an answer to a review.
        if task.pull.is_some() && work.is_tree_of(&parent, &tree).await? {
            by_hand::alone(bench, task, by_hand, seen).await?;
            let message = "the agent ended this round without changing any file that counts".into();
            return Err(failed(FailureClass::NoChange, message, heard.last_words));
        }
        let head = work
            .commit(
                &tree,
                &parent,
                bench.redactor.redact(&report::commit_message(task)),
            )
            .await?;
        let (changes, findings) = gate(
            bench,
            settings,
            &task.brief.scope,
            (&task.base, &head),
            &odd,
        )
        .await?;
        if changes.is_empty() && findings.is_empty() {
            by_hand::alone(bench, task, by_hand, seen).await?;
            let message = "the agent ended without changing any file that counts".to_owned();
            return Err(failed(FailureClass::NoChange, message, heard.last_words));
        }
        work.store_patch(&head).await?;
        let mut result = RunResult {
            head: head.clone(),
            base: task.base.clone(),
            files: file_stats(&changes),
            evidence: Vec::new(),
            findings,
            claims: heard.claims,
            droppings,
            exposure: None,
            by_hand,
            repository_file: rules::repository_file(bench, (&task.base, &head)).await?,
            facts: work.facts.clone(),
        };
        exposed::ask(bench, task, &mut result).await?;
        if gates::outcome(&result.findings) == Outcome::Refuse {
            return Ok(RunOutcome::Result {
                result: Box::new(result),
            });
        }

        step(control, task, Step::Verify { attempt }).await?;
        let layers = Layers::of(bench, &task.base, &head, "head", true).await?;
        let mut after = Side::new(bench, Some(task.id), settings, control, layers, "head");
        (seen.head, seen.evidence) = (Some(head.clone()), on_base.clone());
        head_evidence(&mut seen.evidence, &mut before, &mut after, &changes)
            .await
            .map_err(|exit| keeping(exit, &head))?;
        result.evidence.clone_from(&seen.evidence);
        match overall(&result.evidence) {
            Overall::Red { .. } if attempt < most => failing = red(&result.evidence),
            _ => {
                return Ok(RunOutcome::Result {
                    result: Box::new(result),
                });
            }
        }
    }
    Err(Exit::Error(RunError::Broken(
        "a run ended without an outcome".to_owned(),
    )))
}

/// The agent's side of a run.
struct Work<'a> {
    bench: &'a Bench,
    task: &'a Task,
    control: &'a Control<'a>,
    /// The commit that the agent's files began as.
    from: CommitId,
    layers: Layers,
    /// Whether the layer of set-up holds only what changed; `None` where nothing was set up.
    set_up: Option<bool>,
    facts: RunFacts,
}

/// The layer that holds what the agent wrote, over all its tries.
const AGENT: &str = "agent";
/// The layer that holds what set-up wrote before it; frozen, never collected.
const SET_UP: &str = "agent-set-up";

impl Work<'_> {
    /// One try of the agent, in a sandbox over all that it wrote before. Gives whether its upper is an overlay's.
    async fn ask(
        &mut self,
        agent: &dyn Agent,
        attempt: u32,
        failing: &[Failing],
    ) -> Result<(Tried, bool), Exit> {
        let settings = &self.task.settings;
        if attempt == 1 && !settings.setup.run.is_empty() {
            let mut session =
                workspace::session(self.bench, settings, &self.layers, SET_UP, Vec::new()).await?;
            let (task, control) = (Some(self.task.id), self.control);
            checks::set_up(
                self.bench,
                task,
                settings,
                control,
                session.as_mut(),
                "the agent's copy",
            )
            .await?;
            session.kill().await?;
            let overlay = workspace::is_overlay(session.as_ref());
            let upper = workspace::upper(self.bench, SET_UP);
            self.layers = self.layers.under(upper, !overlay);
            self.set_up = Some(overlay);
        }
        let context = self.context(attempt, failing).await?;
        let json = brief::to_json(&self.task.brief, &context)
            .to_string()
            .into_bytes();
        let mut files = vec![(PathBuf::from(BRIEF_JSON), json)];
        files.extend(agent.files());
        let mut session =
            workspace::session(self.bench, settings, &self.layers, AGENT, files).await?;
        let overlay = workspace::is_overlay(session.as_ref());
        let facts = session.facts();
        sandbox_facts(&mut self.facts, facts);
        if let (Some(why), 1) = (&facts.no_overlay, attempt) {
            self.facts
                .told
                .push(format!("files were copied, not overlaid: {why}"));
        }
        let words = brief::render_for_agent(&self.task.brief, &context);
        let begun = Instant::now();
        let tried = talk(
            self.bench,
            self.task,
            self.control,
            agent,
            session.as_mut(),
            words,
        )
        .await;
        session.kill().await?;
        self.facts.agent_ms += u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok((tried?, overlay))
    }

    async fn context(&self, attempt: u32, failing: &[Failing]) -> Result<AgentContext, Exit> {
        let (mirror, base) = (self.bench.mirror.clone(), self.task.base.clone());
        let paths = self.task.settings.context.instructions.clone();
        let instructions = blocking(move || {
            let mut found = Vec::new();
            for path in paths {
                if let Some(bytes) =
                    mirror.file_at(&base, &RepoPath::from(path.as_str()), INSTRUCTIONS_CAP)?
                {
                    found.push((path, String::from_utf8_lossy(&bytes).into_owned()));
                }
            }
            Ok(found)
        })
        .await?;
        let checks = self.task.settings.checks.iter();
        let context = AgentContext {
            task: self.task.id.to_string(),
            round: self.task.round,
            attempt,
            checks: checks
                .map(|check| (check.name.clone(), check.run.clone()))
                .collect(),
            instructions,
            failing: failing.to_vec(),
            notes: self
                .task
                .notes
                .iter()
                .map(|note| note.text.clone())
                .collect(),
            ..AgentContext::default()
        };
        Ok(context.with_scope(&self.task.settings.scope))
    }

    /// Reads what the agent wrote, as data.
    async fn collect(&self, overlay: bool) -> Result<Collected, Exit> {
        let (mirror, from) = (self.bench.mirror.clone(), self.from.clone());
        let (agent, set_up) = [AGENT, SET_UP]
            .map(|name| workspace::upper(self.bench, name))
            .into();
        let before = self.set_up.filter(|_| !overlay);
        let collected = blocking(move || {
            let (skip, limits) = ([RepoPath::from(".git")], git::Limits::default());
            let read = |upper: &Path, overlay| match overlay {
                true => mirror.collect_upper(upper, &from, &skip, &limits),
                false => mirror.collect_full(upper, &from, &skip, &limits),
            };
            let after = read(&agent, overlay)?;
            match before {
                // An overlay keeps what set-up wrote apart by itself.
                None => Ok(after),
                Some(overlay) => mirror.without(&from, &read(&set_up, overlay)?, after),
            }
        });
        match collected.await {
            Ok(collected) => Ok(collected),
            Err(error @ git::Error::Limit { .. }) => Err(failed(
                FailureClass::Limit,
                error.to_string(),
                String::new(),
            )),
            Err(error @ git::Error::Hostile { .. }) => Err(failed(
                FailureClass::Scope,
                error.to_string(),
                String::new(),
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a commit has this tree.
    async fn is_tree_of(&self, commit: &CommitId, tree: &str) -> Result<bool, Exit> {
        let (mirror, commit, tree) = (self.bench.mirror.clone(), commit.clone(), tree.to_owned());
        Ok(blocking(move || Ok(mirror.tree(&commit)? == tree)).await?)
    }

    async fn commit(
        &self,
        tree: &str,
        parent: &CommitId,
        message: String,
    ) -> Result<CommitId, Exit> {
        let (mirror, tree, parent) = (self.bench.mirror.clone(), tree.to_owned(), parent.clone());
        let steps = Arc::clone(&self.bench.steps);
        let time = self.task.accepted_at;
        let author = self.bench.author.clone();
        let made = blocking(move || {
            steps.around("mirror result", || {
                mirror.commit(&tree, &[parent], &message, &author, time)
            })
        });
        Ok(made.await?)
    }

    /// Keeps unfinished work as a commit in the mirror; `None` where there is none.
    async fn keep(&self, overlay: bool) -> Result<Option<CommitId>, Exit> {
        let collected = self.collect(overlay).await?;
        let (mirror, base) = (self.bench.mirror.clone(), self.task.base.clone());
        if blocking(move || mirror.tree(&base)).await? == collected.tree {
            return Ok(None);
        }
        let message = format!("{}: unfinished work, kept", self.task.id);
        Ok(Some(
            self.commit(&collected.tree, &self.task.base, message)
                .await?,
        ))
    }

    async fn store_patch(&self, head: &CommitId) -> Result<(), Exit> {
        let (mirror, base, head) = (
            self.bench.mirror.clone(),
            self.task.base.clone(),
            head.clone(),
        );
        let patch = blocking(move || mirror.patch(&base, &head, PATCH_CAP)).await?;
        let content = Content::Bytes(patch.bytes);
        self.bench
            .store
            .put_artifact(Some(self.task.id), ArtifactKind::Patch, content)
            .await?;
        Ok(())
    }
}

fn sandbox_facts(facts: &mut RunFacts, of: &Facts) {
    facts.workspace = of.method.name().to_owned();
    facts.launcher = of.launcher.to_owned();
    facts.limits_tier = of.limits.name().to_owned();
    facts.prepare_ms = of.prepare_ms;
}

async fn step(control: &Control<'_>, task: &Task, step: Step) -> Result<(), Exit> {
    if let Some(halt) = control.halted() {
        return Err(Exit::halted(halt));
    }
    let run = task.run;
    let progressed = Event::Progressed { run, step };
    let stored = control.watch.happened(progressed).await;
    stored.map_err(Exit::Error)?;
    let what = match step {
        Step::Prepare => "workspace: prepare",
        Step::Work { .. } => "agent: at work",
        Step::Judge { .. } => "gates: read and judge the result",
        // Each set-up command and check is told by itself.
        Step::Base | Step::Verify { .. } => return Ok(()),
    };
    let said = match step {
        Step::Work { attempt } if attempt > 1 => {
            format!("{what} (try {attempt} of {})", task.settings.task.attempts)
        }
        _ => what.to_owned(),
    };
    control.watch.told(News::Begun(&said));
    Ok(())
}

/// An interruption of the checks keeps what they were about.
fn keeping(exit: Exit, head: &CommitId) -> Exit {
    match exit {
        Exit::Outcome(RunOutcome::Interrupted { by, .. }) => {
            let kept = Some(head.clone());
            Exit::Outcome(RunOutcome::Interrupted { by, kept })
        }
        other => other,
    }
}

/// The agent's questions; without one, its last words are the question.
fn questions(heard: Heard) -> Vec<crate::domain::task::Question> {
    if heard.questions.is_empty() {
        let text = match heard.last_words.trim() {
            "" => "The agent has a question but did not say which.".to_owned(),
            words => words.to_owned(),
        };
        return vec![crate::domain::task::Question {
            text,
            choices: Vec::new(),
            default: None,
        }];
    }
    heard.questions
}

fn red(evidence: &[CheckEvidence]) -> Vec<Failing> {
    evidence
        .iter()
        .filter(|check| check.verdict().is_red())
        .filter_map(|check| {
            let seen = check.head.iter().find(|seen| !seen.exit.is_green())?;
            Some(Failing {
                check: check.name.clone(),
                ended: class_of(&seen.exit).1,
                log_tail: seen.tail.clone(),
            })
        })
        .collect()
}

/// What the collector left out, as the gates and the report want it.
fn told_of(collected: &Collected) -> (Vec<Odd>, Vec<RepoPath>) {
    let odd = collected.odd.iter().chain(&collected.hostile);
    let odd = odd.map(|(path, what)| Odd {
        path: path.clone(),
        what: (*what).to_owned(),
    });
    let droppings = collected.droppings.iter().take(DROPPINGS_CAP).cloned();
    (odd.collect(), droppings.collect())
}
