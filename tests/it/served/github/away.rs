//! What people do while the server is away, or while the forge fails us, comes to the same end as what they do before
//! its eyes.

use super::*;
use crate::github::world::{Fault, Kind, said};

/// What a person does.
#[derive(Clone, Copy)]
enum Act {
    /// On the issue.
    Says(&'static str),
    /// On the pull request.
    Remarks(&'static str),
    Labels,
    Unlabels,
    /// Closes the issue, and opens it again.
    Closes,
    Reopens,
    Approves,
    AsksForChanges,
}
use Act::*;

/// Fast the first time; the second takes long enough for whatever else is done meanwhile.
const SLOW_AGAIN: &str =
    "cat >/dev/null; [ -e answer.txt ] && sleep 12 && echo why > why.txt; echo 42 > answer.txt";

impl Hub {
    /// Somebody without rights is answered last, by a thumb alone: whatever stood on this before was looked at.
    pub(super) async fn has_looked(&self, number: i64) {
        let passer = format!("passer{}", self.fake.world().comments.len());
        let said = {
            let mut world = self.fake.world();
            world.person(&passer, "User", None);
            world.comment(number, &passer, "/agent run")
        };
        let what = format!("#{number} is looked at");
        self.until(&what, 60, async || self.reactions(said) == ["-1"])
            .await;
    }

    fn does(&self, act: Act, issue: i64) -> Option<i64> {
        let pull = self.pulls().first().copied().unwrap_or(0);
        let mut world = self.fake.world();
        match act {
            Says(text) => return Some(world.comment(issue, "dana", text)),
            Remarks(text) => return Some(world.comment(pull, "dana", text)),
            Labels => world.label(issue, "dana", "agent"),
            Unlabels => {
                world.unlabel(issue, "dana", "agent");
            }
            Closes => world.close(issue, "dana"),
            Reopens => world.reopen(issue, "dana"),
            Approves => {
                world.review(pull, "lee", "APPROVED", "good", &[]);
            }
            AsksForChanges => {
                world.review(pull, "lee", "CHANGES_REQUESTED", "Say why.", &[]);
            }
        }
        None
    }

    /// Rules that give whoever closes a pull request so long to think again.
    fn is_patient(&self, grace: &str) {
        let rules = format!(
            "version = 1\n[[verify]]\nname = \"tests\"\nrun = \"sh test.sh\"\n[pr]\nclose_grace = \"{grace}\"\n"
        );
        self.rule(&rules);
    }

    pub(super) fn rule(&self, rules: &str) {
        let made = self.commit(&[(".github/prentice.toml", rules)], "refs/heads/main");
        self.fake.world().push("main", &made);
    }
}

/// How a script ends: the stage of each task, our reaction to each command, and whether the pull request is a draft.
type End = (Vec<String>, Vec<Vec<String>>, Option<bool>);

/// Does what a script says; `reviewed`: to a task in review, else to an issue without a task. `away`: all of it before
/// the server hears of anything.
async fn end(script: &[Act], reviewed: bool, away: bool, stages: &[&str]) -> Option<End> {
    let mut hub = Hub::quiet(false, Hears::Hooks).await?;
    hub.poll = "10s";
    let agent = if reviewed { SLOW_AGAIN } else { SLOW };
    hub.serve(agent).await;
    let issue = match reviewed {
        true => hub.labelled(),
        false => hub.fake.world().open_issue("dana", "No answer", ISSUE),
    };
    let mut on = issue;
    if reviewed {
        hub.is_at(issue, "needs-review").await;
        on = hub.pulls()[0];
    }
    hub.has_looked(on).await;
    if away {
        hub.kill();
    }
    let mut said = Vec::new();
    for act in script {
        // The forge tells whole seconds.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        said.extend(hub.does(*act, issue));
        if !away {
            hub.has_looked(on).await;
        }
    }
    if away {
        hub.serve(agent).await;
        hub.has_looked(on).await;
    }
    // What it says otherwise is told by the comparison.
    let started = Instant::now();
    while hub.stages() != stages && started.elapsed() < Duration::from_secs(25) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    hub.has_looked(on).await;
    let draft = reviewed.then(|| hub.of(on, |one| one.pull.as_ref().unwrap().draft));
    let answers = said.iter().map(|said| hub.reactions(*said)).collect();
    Some((hub.stages(), answers, draft))
}

async fn is_the_same(script: &[Act], reviewed: bool, stages: &[&str]) {
    let (before_its_eyes, while_away) = tokio::join!(
        end(script, reviewed, false, stages),
        end(script, reviewed, true, stages)
    );
    let (Some(before_its_eyes), Some(while_away)) = (before_its_eyes, while_away) else {
        return;
    };
    assert_eq!(before_its_eyes.0, stages);
    assert_eq!(while_away, before_its_eyes);
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_for_by_comment_and_label_and_withdrawn_while_away_it_stays_stopped() {
    let script = [Says("/agent run"), Labels, Unlabels];
    is_the_same(&script, false, &["stopped"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_for_anew_by_label_after_a_rejection_while_away_it_starts_again() {
    let script = [Says("/agent run"), Says("/agent reject no"), Labels];
    is_the_same(&script, false, &["running", "rejected"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_by_comment_and_labelled_anew_while_away_it_starts_again() {
    let script = [Labels, Says("/agent stop"), Unlabels, Labels];
    is_the_same(&script, false, &["running", "stopped"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_and_opened_again_while_away_its_issue_has_no_task_at_work() {
    let script = [Labels, Closes, Reopens, Says("/agent status")];
    is_the_same(&script, false, &["stopped"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn approved_after_another_round_was_asked_for_while_away_it_stays_a_draft() {
    let script = [Remarks("/agent fix say why"), Approves];
    is_the_same(&script, true, &["needs-review"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_after_a_review_while_away_it_is_rejected_and_both_were_heard() {
    let script = [AsksForChanges, Remarks("/agent reject no")];
    is_the_same(&script, true, &["rejected"]).await;
}

/// From now on, and after this many others, a reaction is not taken once.
fn reaction_fails(hub: &Hub, skip: usize) {
    hub.fake.world().faults.push_back(Fault {
        method: "POST",
        at: "/reactions",
        call: None,
        kind: Kind::Instead(503, Vec::new(), said("down for a while")),
        skip,
        times: 1,
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_reaction_failed_is_not_judged_by_what_it_did_itself() {
    let Some(hub) = Hub::new(false, Hears::Hooks).await else {
        return;
    };
    let issue = hub.fake.world().open_issue("dana", "No answer", ISSUE);
    // That it was seen is told; that it is done is not.
    let obeyed = async |number: i64, who: &str, text: &str| {
        // The forge tells whole seconds: what is approved in the second in which it came may be older.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        reaction_fails(&hub, 1);
        let said = hub.fake.world().comment(number, who, text);
        hub.until("it is answered", 60, async || {
            let answers = hub.reactions(said);
            // The first one is taken back once the other is there.
            !answers.is_empty() && !answers.contains(&"eyes".to_owned())
        })
        .await;
        assert_eq!(hub.reactions(said), ["+1"], "{text}");
        assert_eq!(
            hub.by_us(number, &format!("comment-{said}")),
            [""; 0],
            "{text}"
        );
        assert!(hub.fake.world().faults.is_empty(), "the fault was met");
    };
    obeyed(issue, "dana", "/agent run").await;
    hub.is_at(issue, "needs-review").await;
    let pull = hub.pulls()[0];
    obeyed(pull, "lee", "/agent approve").await;
    hub.is_ready(pull).await;
    obeyed(pull, "lee", "/agent reject not wanted").await;
    hub.is_at(issue, "rejected").await;
    assert_eq!(hub.stages(), ["rejected"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_and_reopened_within_its_grace_while_away_it_is_in_review_again() {
    let Some(mut hub) = Hub::quiet(false, Hears::Hooks).await else {
        return;
    };
    hub.is_patient("8s");
    hub.serve(AGENT).await;
    let issue = hub.labelled();
    hub.is_at(issue, "needs-review").await;
    let pull = hub.pulls()[0];
    hub.fake.world().close(pull, "dana");
    let closed = |hub: &Hub| hub.by_us(issue, "task=")[0].contains("Closed by dana");
    hub.until("it is closed to the task", 7, async || closed(&hub))
        .await;
    hub.kill();
    hub.fake.world().reopen(pull, "dana");
    tokio::time::sleep(Duration::from_secs(9)).await;
    // The forge is away for a while, and then no sweep tells what happened.
    hub.fake.world().fault_call(
        "GET issues/#",
        Kind::Instead(503, Vec::new(), said("down for a while")),
        2,
    );
    hub.fake.world().fault_call(
        "GET issues",
        Kind::Instead(503, Vec::new(), said("down for a while")),
        1_000,
    );
    hub.serve(AGENT).await;
    hub.until("it is open to the task, or gone", 60, async || {
        !closed(&hub) || hub.stages() != ["needs-review"]
    })
    .await;
    assert_eq!(hub.stage(issue), "needs-review");
    assert!(hub.of(pull, |one| one.open));
    assert_eq!(
        (hub.stages(), hub.branches()),
        (vec!["needs-review".to_owned()], 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answered_in_time_while_away_it_goes_on() {
    let Some(mut hub) = Hub::quiet(false, Hears::Hooks).await else {
        return;
    };
    hub.rule(
        "version = 1\n[[verify]]\nname = \"tests\"\nrun = \"sh test.sh\"\n[task]\nask_timeout = \"8s\"\n",
    );
    hub.serve(AGENT).await;
    let issue = {
        let mut world = hub.fake.world();
        let issue = world.open_issue("dana", "Do something", "Please.");
        world.label(issue, "dana", "agent");
        issue
    };
    hub.is_at(issue, "needs-info").await;
    hub.kill();
    let answer =
        hub.fake
            .world()
            .comment(issue, "dana", "/agent answer 42 belongs into answer.txt");
    tokio::time::sleep(Duration::from_secs(9)).await;
    hub.serve(AGENT).await;
    hub.until("it is answered", 60, async || {
        let answers = hub.reactions(answer);
        !answers.is_empty() && answers != ["eyes"]
    })
    .await;
    assert_eq!(hub.reactions(answer), ["+1"]);
    assert_eq!(hub.by_us(issue, "task=").len(), 1);
    assert_ne!(hub.stages(), ["stopped"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_asked_for_nothing_when_it_was_put_there_asks_for_nothing_later() {
    let Some(mut hub) = Hub::new(false, Hears::Hooks).await else {
        return;
    };
    let (kept, taken) = {
        let mut world = hub.fake.world();
        let kept = world.open_issue("dana", "No answer", ISSUE);
        let taken = world.open_issue("dana", "No answer", ISSUE);
        for issue in [kept, taken] {
            world.label(issue, "dana", "other");
        }
        world.unlabel(taken, "dana", "other");
        (kept, taken)
    };
    hub.has_looked(kept).await;
    hub.has_looked(taken).await;
    hub.kill();
    hub.rule(
        "version = 1\n[trigger]\nlabel = \"other\"\n[[verify]]\nname = \"tests\"\nrun = \"sh test.sh\"\n",
    );
    hub.serve(AGENT).await;
    hub.has_looked(kept).await;
    hub.has_looked(taken).await;
    assert_eq!(hub.stages(), [""; 0]);
    // It asks from now on.
    hub.fake.world().unlabel(kept, "dana", "other");
    hub.fake.world().label(kept, "dana", "other");
    hub.is_at(kept, "needs-review").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_called_by_its_slug() {
    let Some(hub) = Hub::new(true, Hears::Hooks).await else {
        return;
    };
    let slug = APP_BOT.strip_suffix("[bot]").unwrap();
    let (issue, asked) = {
        let mut world = hub.fake.world();
        let issue = world.open_issue("dana", "No answer", ISSUE);
        let asked = world.comment(issue, "dana", &format!("@{slug} run"));
        (issue, asked)
    };
    hub.is_at(issue, "needs-review").await;
    assert_eq!(hub.reactions(asked), ["+1"]);
}

/// The status comment says it, so that an answer would only be another comment.
#[tokio::test(flavor = "multi_thread")]
async fn asked_for_its_status_it_is_shown_again_and_answered_only_where_that_is_far_up() {
    let Some(hub) = Hub::new(false, Hears::Hooks).await else {
        return;
    };
    let issue = hub.labelled();
    hub.is_at(issue, "needs-review").await;
    // A person wrote over it.
    let status = {
        let mut world = hub.fake.world();
        let mut ours = world
            .comments
            .iter_mut()
            .filter(|one| one.issue == issue && one.body.contains("task="));
        let status = ours.next().unwrap();
        status.body = format!("{} gone", status.body.lines().next().unwrap());
        status.id
    };
    let asks = async || {
        let asked = hub.fake.world().comment(issue, "dana", "/agent status");
        hub.until("it is answered", 60, async || {
            hub.reactions(asked) == ["+1"]
        })
        .await;
        hub.by_us(issue, &format!("comment-{asked}")).len()
    };
    assert_eq!(asks().await, 0);
    hub.until("the status is shown again", 30, async || {
        let world = hub.fake.world();
        let shown = world.comments.iter().find(|one| one.id == status).unwrap();
        shown.body.contains("needs-review")
    })
    .await;
    for _ in 0..31 {
        hub.fake.world().comment(issue, "lee", "hm");
    }
    assert_eq!(asks().await, 1);
}
