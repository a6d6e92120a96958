//! Every call that the two roads make, with everything that can go wrong with it, through the whole server.
//!
//! A call's first requests of a road meet the fault, then it goes right. The road then ends as without it, or the
//! task says what a person has to do, and comes to the same end once he did it. Never are there two of anything.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::github::world::call;
use crate::served::faults::{Cell, End, Road, all, is_refusal, judge, kind, picked, some, told};

/// Whether a call asks what there is at all: what is gone for a moment is found again by the next sweep.
fn is_reach(call: &str) -> bool {
    let all = [
        "GET ",
        "GET /app/installations",
        "GET /installation/repositories",
        "GET issues/#",
    ];
    all.contains(&call)
}

/// One server on one fake, until it is away.
struct Walk {
    hub: Hub,
    issue: i64,
    /// What failed tasks said.
    said: Vec<String>,
    /// How long anything may take.
    patience: Duration,
}

impl Walk {
    /// What the fault may do to the road before there is a task, or to how long it takes.
    async fn expects(&mut self, cell: &Cell) {
        // The first sweep may have asked before the fault was there: then the next one meets it.
        if is_reach(&cell.call) {
            self.patience = Duration::from_secs(300);
        }
        // Who has no account may only propose: the label of somebody who may accepts it.
        if cell.fault == "404" && cell.call.starts_with("GET collaborators/") {
            let met = Instant::now();
            let is_proposed = |hub: &Hub, issue| {
                let labelled = hub.of(issue, |one| one.labels.contains(&"agent".to_owned()));
                hub.stage(issue) == "proposed" && !labelled
            };
            while !is_proposed(&self.hub, self.issue) {
                self.in_time(met, "it is proposed, and its label taken back")
                    .await;
            }
            // The forge tells whole seconds.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            let fake = &self.hub.fake;
            fake.world().label(self.issue, "dana", "agent");
        }
    }

    /// The stage is reached; where the task fails first, a person reads why and asks for it again.
    async fn comes_to(&mut self, stage: &str) {
        let issue = self.issue;
        self.gets_past(stage, |hub| hub.stage(issue) == stage).await;
    }

    async fn gets_past(&mut self, what: &str, is: impl Fn(&Hub) -> bool) {
        let (issue, started) = (self.issue, Instant::now());
        while !is(&self.hub) {
            if self.hub.stage(issue) == "failed" {
                let status = self.hub.by_us(issue, "task=").remove(0);
                assert!(self.said.len() < 2, "failed again and again: {status}");
                self.said.push(told(&status));
                let fake = &self.hub.fake;
                fake.world().comment(issue, "dana", "/agent retry");
                while self.hub.stage(issue) == "failed" {
                    self.in_time(started, "it is retried").await;
                }
            }
            self.in_time(started, what).await;
        }
    }

    /// The evidence stands at the head, and a person is asked to look at it.
    async fn shows_evidence(&mut self, pull: i64, is_asked: bool) {
        self.gets_past("the evidence is there", |hub| {
            let asked = |one: &Thread| !one.pull.as_ref().unwrap().asked.is_empty();
            let is_there = hub.check(&hub.head(pull), "prentice / verify") == "success";
            is_there && (!is_asked || hub.of(pull, asked))
        })
        .await;
    }

    async fn in_time(&self, started: Instant, what: &str) {
        if started.elapsed() > self.patience {
            panic!("{what}: not in time\n{}", self.hub.log());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Walks a road on a world of its own; `fault`: which call, what with it, and how often. Gives how it ended and which
/// calls were made.
async fn walk(app: bool, road: Road, fault: Option<&Cell>) -> Option<(End, BTreeSet<String>)> {
    let mut hub = Hub::quiet(app, Hears::Hooks).await?;
    hub.serve(AGENT).await;
    // What is asked before anything happens is not of the roads.
    let before = hub.fake.world().requests.len();
    if let Some(cell) = fault {
        let kind = kind(cell.fault, hub.fake.base());
        let mut world = hub.fake.world();
        world.fault_call(&cell.call, kind, cell.times);
        world.faults.back_mut().unwrap().skip = cell.skip;
    }
    let mut said = Vec::new();
    let issue = match road {
        Road::Merged => hub.labelled(),
        Road::Closed => {
            let mut world = hub.fake.world();
            let issue = world.open_issue("dana", "No answer", ISSUE);
            said.push(world.comment(issue, "dana", "/agent run"));
            issue
        }
    };
    let mut walk = Walk {
        hub,
        issue,
        said: Vec::new(),
        patience: Duration::from_secs(90),
    };
    if let Some(cell) = fault {
        walk.expects(cell).await;
    }
    walk.comes_to("needs-review").await;
    let number = walk.hub.pulls()[0];
    // Whom GitHub does not let be asked is not.
    let is_asked =
        fault.is_none_or(|cell| cell.fault != "422" || !cell.call.ends_with("requested_reviewers"));
    walk.shows_evidence(number, is_asked).await;
    let first = walk.hub.head(number);
    {
        let mut world = walk.hub.fake.world();
        match road {
            Road::Merged => {
                world.review(number, "lee", "CHANGES_REQUESTED", "Say why.", &[]);
            }
            Road::Closed => {
                said.push(world.comment(issue, "dana", "/agent status"));
                said.push(world.comment(number, "lee", "/agent fix Say why."));
            }
        }
    }
    walk.gets_past("the round is pushed", |hub| hub.head(number) != first)
        .await;
    walk.comes_to("needs-review").await;
    walk.shows_evidence(number, true).await;
    match road {
        Road::Merged => {
            let fake = &walk.hub.fake;
            fake.world().review(number, "lee", "APPROVED", "good", &[]);
            walk.gets_past("it is ready", |hub| {
                hub.of(number, |one| !one.pull.as_ref().unwrap().draft)
            })
            .await;
            walk.hub.fake.world().merge(number, "dana");
            walk.comes_to("merged").await;
        }
        Road::Closed => {
            walk.hub.fake.world().close(number, "dana");
            walk.comes_to("rejected").await;
            walk.gets_past("the branch is gone", |hub| hub.branches() == 0)
                .await;
        }
    }
    walk.gets_past("no label is left", |hub| {
        hub.of(issue, |one| one.labels.is_empty())
    })
    .await;
    // What GitHub does not let be shown is not tried again.
    let is_untold = |cell: &Cell| is_refusal(cell.fault) && cell.call.contains("/reactions");
    for one in said.into_iter().filter(|_| !fault.is_some_and(is_untold)) {
        walk.gets_past("the command was obeyed", |hub| {
            let answers = hub.reactions(one);
            assert_ne!(answers, ["confused"], "judged by its own effect");
            answers == ["+1"]
        })
        .await;
    }
    // Some calls are made again only by the next look; and what was found done the first time is not done again.
    let times = fault.map_or(0, |cell| cell.times);
    walk.gets_past("the fault was met", |hub| {
        let world = hub.fake.world();
        world.faults.iter().all(|left| left.times < times)
    })
    .await;
    let (hub, said) = (&walk.hub, walk.said);
    assert_eq!(hub.pulls(), [number], "one pull request\n{}", hub.log());
    assert_eq!(hub.by_us(issue, "task=").len(), 1, "one status comment");
    assert!(hub.branches() <= 1, "one branch");
    let fake = hub.fake.world();
    let made = fake.requests[before..].iter().map(|request| {
        let (method, path) = request.split_once(' ').unwrap();
        call(method, path)
    });
    let end = match said.is_empty() {
        true => End::Right,
        false => End::Said(said.join(" | ")),
    };
    Some((end, made.collect()))
}

/// The answer to a command.
const REACTS: &str = "POST issues/comments/#/reactions";

/// Where a refusal stops the task, and a person is told: what it published is what was refused.
fn may_stop(cell: &Cell) -> bool {
    let publishes = ["git-receive-pack", "pulls", "access_tokens"];
    is_refusal(cell.fault) && publishes.iter().any(|part| cell.call.contains(part))
}

/// `long`: every cell, else one or two of each row and many of each column.
async fn matrix(app: bool) {
    let long = std::env::var_os("PRENTICE_TEST_LONG").is_some();
    let mut roads: BTreeMap<String, Road> = BTreeMap::new();
    for road in [Road::Closed, Road::Merged] {
        let Some((end, made)) = walk(app, road, None).await else {
            return;
        };
        assert_eq!(end, End::Right);
        roads.extend(made.into_iter().map(|call| (call, road)));
    }
    // Asked once by the first sweep, which may be over before the road begins.
    for of_the_sweep in ["GET issues", "GET /app/hook/deliveries"] {
        roads.remove(of_the_sweep);
    }
    assert!(roads.len() > 25, "{roads:?}");
    let mut cells = Vec::new();
    for (call, road) in &roads {
        let of = (call.as_str(), *road);
        if long {
            cells.extend(Cell::every(of));
            continue;
        }
        // As an App it differs only in how it gets its tokens; what only asks is walked through with a token.
        if app && call.starts_with("GET ") && !call.contains("/app") {
            continue;
        }
        // The same cells each time, whatever else there is.
        let at: usize = call.bytes().map(usize::from).sum();
        // Both ways of asking shift against each other, so that together they see more.
        let shift = if app { 0 } else { 5 };
        cells.push(Cell::of(of, picked(at * 3 + shift, is_reach(call))));
        // What makes something is where a second one could come from.
        let makes = [
            "POST issues/#/comments",
            "POST pulls",
            "POST git/git-receive-pack",
        ];
        if makes.contains(&call.as_str()) {
            cells.extend(["500 done", "cut done", "403"].map(|fault| Cell::of(of, fault)));
        }
        // The first tells that a command was seen; the next, that it was obeyed.
        if call == REACTS {
            let later = |fault| Cell {
                skip: 1,
                ..Cell::of(of, fault)
            };
            cells.extend(["500 done", "502", "429"].map(later));
        }
    }
    let ends = all(some(cells), move |cell| async move {
        let walked = walk(app, cell.road, Some(&cell)).await;
        walked.unwrap().0
    });
    judge(&ends.await, may_stop);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_an_app_whatever_goes_wrong_with_a_call_the_road_ends_right_or_says_what_to_do() {
    matrix(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_whatever_goes_wrong_with_a_call_the_road_ends_right_or_says_what_to_do() {
    matrix(false).await;
}
