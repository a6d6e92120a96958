//! Every call that the two roads make, with everything that can go wrong with it, through the whole server.
//!
//! A call's first requests of a road meet the fault, then it goes right. The road then ends as without it, or the
//! task says what a person has to do, and comes to the same end once he did it. Never are there two of anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::*;
use crate::github::world::{Kind, call, said};

/// What goes wrong. Each is a column of the table.
const FAULTS: &[&str] = &[
    "500 done", "502", "cut", "cut done", "403", "404", "422", "429", "slow", "301", "307",
];

/// What a fault is for this call.
fn kind(fault: &str, base: &str) -> Kind {
    let elsewhere = |status| {
        let location = vec![("location", format!("{base}/elsewhere"))];
        Kind::Instead(status, location, said("Moved"))
    };
    match fault {
        "500 done" => Kind::After(500, said("Server Error")),
        "502" => Kind::Instead(502, Vec::new(), said("Bad Gateway")),
        "cut" => Kind::Cut,
        "cut done" => Kind::CutAfter,
        "403" => Kind::Instead(403, Vec::new(), said("Resource not accessible")),
        "404" => Kind::Instead(404, Vec::new(), said("Not Found")),
        "422" => {
            let mut body = said("Validation Failed");
            body["errors"] = json!([{ "resource": "x", "field": "x", "code": "invalid" }]);
            Kind::Instead(422, Vec::new(), body)
        }
        "429" => {
            let after = vec![("retry-after", "1".to_owned())];
            Kind::Instead(429, after, said("You have exceeded a secondary rate limit"))
        }
        "slow" => Kind::Slow(22),
        "301" => elsewhere(301),
        "307" => elsewhere(307),
        other => panic!("{other}"),
    }
}

fn is_refusal(fault: &str) -> bool {
    matches!(fault, "403" | "404" | "422" | "301" | "307")
}

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

/// The two roads. Together they make every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Road {
    /// Label, changes requested, approved, merged.
    Merged,
    /// Asked for by a comment, asked how it stands, changed by a comment, closed.
    Closed,
}

/// How a cell ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// As without the fault.
    Right,
    /// The task said this, and came right after `retry`.
    Said(String),
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
        let is_refused = is_refusal(cell.fault);
        if is_refused && is_reach(&cell.call) {
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

/// What the status of a failed task says, without its frame.
fn told(status: &str) -> String {
    let lines = status.lines().filter(|line| !line.starts_with("<!--"));
    lines.take(6).collect::<Vec<_>>().join(" ")
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
    // Some calls are made again only by the next look.
    walk.gets_past("the fault was met", |hub| {
        hub.fake.world().faults.is_empty()
    })
    .await;
    let (hub, said) = (&walk.hub, walk.said);
    assert_eq!(hub.pulls(), [number], "one pull request");
    assert_eq!(hub.by_us(issue, "task=").len(), 1, "one status comment");
    assert!(hub.branches() <= 1, "one branch");
    let fake = hub.fake.world();
    assert!(fake.faults.is_empty(), "the fault was met");
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

/// One cell of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cell {
    call: String,
    fault: &'static str,
    times: usize,
    /// So many go right first.
    skip: usize,
    road: Road,
}

/// How many walks at once. They wait more than they work.
const AT_ONCE: usize = 8;

/// Walks each cell; what each came to, or why it came to nothing.
async fn all(app: bool, cells: Vec<Cell>) -> BTreeMap<Cell, Result<End, String>> {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut walks = JoinSet::new();
    for cell in cells {
        let room = Arc::clone(&room);
        walks.spawn(async move {
            let _place = room.acquire_owned().await.unwrap();
            let walked = tokio::spawn({
                let cell = cell.clone();
                async move { walk(app, cell.road, Some(&cell)).await }
            });
            let end = match walked.await {
                Ok(walked) => Ok(walked.unwrap().0),
                Err(why) => {
                    let why = why.into_panic();
                    let words = why.downcast_ref::<String>().cloned();
                    Err(words.unwrap_or_else(|| "panicked".to_owned()))
                }
            };
            (cell, end)
        });
    }
    let mut ends = BTreeMap::new();
    while let Some(done) = walks.join_next().await {
        let (cell, end) = done.unwrap();
        ends.insert(cell, end);
    }
    ends
}

/// Where a refusal stops the task, and a person is told: what it published is what was refused.
fn may_stop(cell: &Cell) -> bool {
    let publishes = ["git-receive-pack", "pulls", "access_tokens"];
    is_refusal(cell.fault) && publishes.iter().any(|part| cell.call.contains(part))
}

fn table(ends: &BTreeMap<Cell, Result<End, String>>) -> String {
    let mut rows: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut said = BTreeSet::new();
    for (cell, end) in ends {
        let word = match end {
            Ok(End::Right) => "right",
            Ok(End::Said(words)) => {
                said.insert(format!("{} × {}: {words}", cell.call, cell.fault));
                "said"
            }
            Err(_) => "WRONG",
        };
        let row = rows.entry(&cell.call).or_default();
        // The worst counts where a cell was walked more than once.
        if row.get(cell.fault).is_none_or(|before| *before == "right") {
            row.insert(cell.fault, word);
        }
    }
    let mut text = format!("{:<52}", "");
    FAULTS
        .iter()
        .for_each(|fault| text += &format!("{fault:>9}"));
    for (call, row) in rows {
        text += &format!("\n{call:<52}");
        for fault in FAULTS {
            text += &format!("{:>9}", row.get(fault).copied().unwrap_or("·"));
        }
    }
    let said: Vec<String> = said.into_iter().collect();
    format!("{text}\n{}\n", said.join("\n"))
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
    let quick: Vec<&'static str> = FAULTS
        .iter()
        .copied()
        .filter(|fault| *fault != "slow")
        .collect();
    for (call, road) in &roads {
        // The same cells each time, whatever else there is.
        let at: usize = call.bytes().map(usize::from).sum();
        let cell = |fault, times| Cell {
            call: call.clone(),
            fault,
            times,
            skip: 0,
            road: *road,
        };
        if long {
            cells.extend(FAULTS.iter().map(|fault| cell(*fault, 1)));
            cells.extend(["500 done", "cut done"].map(|fault| cell(fault, 2)));
            continue;
        }
        // Both ways of asking shift against each other, so that together they see more.
        let shift = if app { 0 } else { 5 };
        let fault = match quick[(at * 3 + shift) % quick.len()] {
            // It waits for the next sweep, three minutes.
            refused if is_reach(call) && is_refusal(refused) => "502",
            other => other,
        };
        cells.push(cell(fault, 1));
        // What makes something is where a second one could come from.
        let makes = [
            "POST issues/#/comments",
            "POST pulls",
            "POST git/git-receive-pack",
        ];
        if makes.contains(&call.as_str()) {
            cells.extend(["500 done", "cut done", "403"].map(|fault| cell(fault, 1)));
        }
        // The first tells that a command was seen; the next, that it was obeyed.
        if call == REACTS {
            let later = |fault| Cell {
                skip: 1,
                ..cell(fault, 1)
            };
            cells.extend(["500 done", "502", "429"].map(later));
        }
    }
    cells.sort();
    cells.dedup();
    if let Some(only) = std::env::var_os("PRENTICE_TEST_ONLY") {
        let only = only.into_string().unwrap();
        cells.retain(|cell| format!("{} × {}", cell.call, cell.fault).contains(&only));
    }
    let ends = all(app, cells).await;
    println!("{}", table(&ends));
    let wrong = ends.iter().filter_map(|(cell, end)| match end {
        Ok(End::Right) => None,
        Ok(End::Said(words)) if may_stop(cell) && !words.is_empty() => None,
        Ok(End::Said(words)) => Some(format!("{cell:?}: {words}")),
        Err(why) => Some(format!("{cell:?}: {why}")),
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_an_app_whatever_goes_wrong_with_a_call_the_road_ends_right_or_says_what_to_do() {
    matrix(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_whatever_goes_wrong_with_a_call_the_road_ends_right_or_says_what_to_do() {
    matrix(false).await;
}
