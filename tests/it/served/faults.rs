//! Every call that a road on a real Gitea makes, with what can go wrong with it, through the whole server; and what
//! such tables have in common. Beside it: `github::faults`, on the fake.
//!
//! A proxy stands before the forge, and has one request of a call meet the fault; then it goes right. The road then
//! ends as without it, or the task says what a person has to do, and comes to the same end once he did it. Never are
//! there two of anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::front::{Fate, Front};
use super::*;
use crate::github::world::{Kind, call, said};

/// What goes wrong. Each is a column of the table.
pub(super) const FAULTS: &[&str] = &[
    "500 done", "502", "cut", "cut done", "403", "404", "422", "429", "slow", "301", "307",
];

/// What a fault is for this call.
pub(super) fn kind(fault: &str, base: &str) -> Kind {
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

pub(super) fn is_refusal(fault: &str) -> bool {
    matches!(fault, "403" | "404" | "422" | "301" | "307")
}

/// The two roads. Together they make every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Road {
    /// Label, changes requested, approved, merged.
    Merged,
    /// Asked for by a comment, asked how it stands, changed by a comment, closed.
    Closed,
}

/// How a cell ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As without the fault.
    Right,
    /// The task said this, and came right after `retry`.
    Said(String),
}

/// What the status of a failed task says, without its frame.
pub(super) fn told(status: &str) -> String {
    let lines = status.lines().filter(|line| !line.starts_with("<!--"));
    lines.take(6).collect::<Vec<_>>().join(" ")
}

/// One cell of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cell {
    pub(super) call: String,
    pub(super) fault: &'static str,
    pub(super) times: usize,
    /// So many go right first.
    pub(super) skip: usize,
    pub(super) road: Road,
}

impl Cell {
    /// The fault meets the first request of the call.
    pub(super) fn of((call, road): (&str, Road), fault: &'static str) -> Self {
        Self {
            call: call.to_owned(),
            fault,
            times: 1,
            skip: 0,
            road,
        }
    }

    /// All of a call, for the long table.
    pub(super) fn every(of: (&str, Road)) -> Vec<Self> {
        let once = FAULTS.iter().map(|fault| Self::of(of, fault));
        let twice = ["500 done", "cut done"].map(|fault| Self {
            times: 2,
            ..Self::of(of, fault)
        });
        once.chain(twice).collect()
    }
}

/// The fault of a call in the short table, where `n` picks one. What is only asked for by sweeps is not refused: it
/// would wait for the next one, three minutes.
pub(super) fn picked(n: usize, is_reach: bool) -> &'static str {
    let quick = FAULTS.iter().copied().filter(|fault| *fault != "slow");
    let quick: Vec<&'static str> = quick.collect();
    match quick[n % quick.len()] {
        refused if is_reach && is_refusal(refused) => "502",
        other => other,
    }
}

/// How many walks at once. They wait more than they work.
const AT_ONCE: usize = 8;

/// Walks each cell; what each came to, or why it came to nothing.
pub(super) async fn all<F: Future<Output = End>>(
    cells: Vec<Cell>,
    walk: impl Fn(Cell) -> F + Clone + Send + 'static,
) -> BTreeMap<Cell, Result<End, String>> {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut walks = JoinSet::new();
    for cell in cells {
        let (room, walk) = (Arc::clone(&room), walk.clone());
        walks.spawn(async move {
            let _place = room.acquire_owned().await.unwrap();
            let started = Instant::now();
            let here = tokio::runtime::Handle::current();
            let walking = cell.clone();
            let walked = tokio::task::spawn_blocking(move || here.block_on(walk(walking)));
            let end = walked.await.map_err(|why| {
                let why = why.into_panic();
                let words = why.downcast_ref::<String>().cloned();
                words.unwrap_or_else(|| "panicked".to_owned())
            });
            let took = started.elapsed().as_secs();
            match &end {
                Ok(end) => println!("{cell:?}: {end:?}, {took} s"),
                // The rest of it is the server's log.
                Err(why) => println!(
                    "{cell:?}: WRONG after {took} s: {}",
                    why.lines().next().unwrap_or("")
                ),
            }
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

/// Those that are walked: each once, all or what is asked for.
pub(super) fn some(mut cells: Vec<Cell>) -> Vec<Cell> {
    cells.sort();
    cells.dedup();
    if let Some(only) = std::env::var_os("PRENTICE_TEST_ONLY") {
        let only = only.into_string().unwrap();
        cells.retain(|cell| format!("{} × {}", cell.call, cell.fault).contains(&only));
    }
    cells
}

/// Prints the table; fails where a cell came to no right end. `may_stop`: where a person may have to do something.
pub(super) fn judge(ends: &BTreeMap<Cell, Result<End, String>>, may_stop: impl Fn(&Cell) -> bool) {
    println!("{}", table(ends));
    let wrong = ends.iter().filter_map(|(cell, end)| match end {
        Ok(End::Right) => None,
        Ok(End::Said(words)) if may_stop(cell) && !words.is_empty() => None,
        Ok(End::Said(words)) => Some(format!("{cell:?}: {words}")),
        Err(why) => Some(format!("{cell:?}: {why}")),
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
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

/// What went by, and what goes wrong with it.
#[derive(Default)]
struct Traffic {
    calls: BTreeSet<String>,
    /// The call, what with it, how many go right first, and how many then meet it.
    fault: Option<(String, Kind, usize, usize)>,
}

impl Traffic {
    fn pass(&mut self, request: &str) -> Fate {
        let (method, path) = request.split_once(' ').unwrap();
        let made = call(method, path.strip_prefix("/api/v1").unwrap_or(path));
        self.calls.insert(made.clone());
        match &mut self.fault {
            Some((at, _, skip, _)) if *at == made && *skip > 0 => *skip -= 1,
            Some((at, kind, _, times)) if *at == made && *times > 0 => {
                *times -= 1;
                return Fate::Wrong(kind.clone());
            }
            _ => {}
        }
        Fate::Pass
    }
}

/// One server before one repository of the real Gitea, until it is away.
struct Walk {
    world: World,
    front: Front,
    traffic: Arc<Mutex<Traffic>>,
    issue: i64,
    /// What failed tasks said.
    said: Vec<String>,
    /// How long anything may take.
    patience: Duration,
}

impl Walk {
    /// The stage is reached; where the task fails first, a person reads why and asks for it again.
    async fn comes_to(&mut self, stage: &str) {
        let issue = self.issue;
        let what = format!("it is {stage}");
        self.gets_past(&what, async |world| world.stage(issue).await == stage)
            .await;
    }

    async fn gets_past(&mut self, what: &str, is: impl AsyncFn(&World) -> bool) {
        let (issue, started) = (self.issue, Instant::now());
        while !is(&self.world).await {
            if self.world.stage(issue).await == "failed" {
                let status = self.world.status_text(issue).await;
                assert!(self.said.len() < 2, "failed again and again: {status}");
                self.said.push(told(&status));
                let (gitea, owner, repo) = (&self.world.gitea, &self.world.owner, &self.world.repo);
                gitea.comment(owner, repo, issue, "/agent retry").await;
                while self.world.stage(issue).await == "failed" {
                    self.in_time(started, "it is retried").await;
                }
            }
            self.in_time(started, what).await;
        }
    }

    async fn in_time(&self, started: Instant, what: &str) {
        if started.elapsed() > self.patience {
            let task = self.world.prentice(&["tasks", "show", "T-1"]);
            panic!("{what}: not in time\n{}\n{task}", self.world.said());
        }
        tokio::time::sleep(Duration::from_millis(800)).await;
    }

    /// The evidence stands at the head, and a person is asked to look at it.
    async fn shows_evidence(&mut self, pull: i64, is_asked: bool) {
        self.gets_past("the evidence is there", async |world| {
            let head = world.head(pull).await;
            let asked = &world.at(&format!("pulls/{pull}")).await["requested_reviewers"];
            world.status(&head, "prentice / verify").await == "success"
                && world.status(&head, "prentice / scope").await == "success"
                && (!is_asked || asked.as_array().is_some_and(|all| !all.is_empty()))
        })
        .await;
    }

    async fn branches(&self) -> usize {
        let all = self.world.at("branches").await;
        all.as_array().unwrap().len() - 1
    }
}

/// Walks a road in a repository of its own; `fault`: which call, what with it, and how often. Gives how it ended and
/// which calls were made.
async fn walk(road: Road, fault: Option<&Cell>) -> Option<(End, BTreeSet<String>)> {
    let name = "faults on the real Gitea";
    let mut world = World::quiet(name, Hears::Hooks, FILE, Keys::default()).await?;
    let lee = world.person("lee", "write").await;
    let front = Front::of(&world).await;
    world.front = Some(front.url.clone());
    world.serve(AGENT).await;
    // What is asked before anything happens is not of the road.
    let traffic = Arc::new(Mutex::new(Traffic::default()));
    if let Some(cell) = fault {
        let kind = kind(cell.fault, &front.url);
        traffic.lock().unwrap().fault = Some((cell.call.clone(), kind, cell.skip, cell.times));
    }
    let passes = Arc::clone(&traffic);
    front.does(move |request| passes.lock().unwrap().pass(request));
    let mut said = Vec::new();
    let issue = match road {
        Road::Merged => world.labelled().await,
        Road::Closed => {
            let (gitea, owner, repo) = (&world.gitea, &world.owner, &world.repo);
            let issue = gitea.issue(owner, repo, "No answer", ISSUE).await;
            said.push(gitea.comment(owner, repo, issue, "/agent run").await);
            issue
        }
    };
    let mut walk = Walk {
        world,
        front,
        traffic,
        issue,
        said: Vec::new(),
        patience: Duration::from_secs(90),
    };
    walk.comes_to("needs-review").await;
    let number = walk.world.pulls().await[0]["number"].as_i64().unwrap();
    // Whom the forge does not let be asked is not.
    let is_asked = fault
        .is_none_or(|cell| !is_refusal(cell.fault) || !cell.call.contains("requested_reviewers"));
    walk.shows_evidence(number, is_asked).await;
    let first = walk.world.head(number).await;
    {
        let (gitea, owner, repo) = (&walk.world.gitea, &walk.world.owner, &walk.world.repo);
        match road {
            Road::Merged => {
                let changes = "REQUEST_CHANGES";
                gitea
                    .review(&lee, repo, number, changes, "Say why.", &[])
                    .await;
            }
            Road::Closed => {
                said.push(gitea.comment(owner, repo, issue, "/agent status").await);
                said.push(
                    gitea
                        .comment(&lee, repo, number, "/agent fix Say why.")
                        .await,
                );
            }
        }
    }
    walk.gets_past("the round is pushed", async |world| {
        world.head(number).await != first
    })
    .await;
    walk.comes_to("needs-review").await;
    walk.shows_evidence(number, is_asked).await;
    match road {
        Road::Merged => {
            let (gitea, repo) = (&walk.world.gitea, &walk.world.repo);
            gitea
                .review(&lee, repo, number, "APPROVED", "good", &[])
                .await;
            walk.gets_past("it is ready", async |world| {
                world.at(&format!("pulls/{number}")).await["draft"] == false
            })
            .await;
            let (gitea, repo) = (&walk.world.gitea, &walk.world.repo);
            gitea.merge(&walk.world.owner, repo, number).await;
            walk.comes_to("merged").await;
        }
        Road::Closed => {
            let (gitea, repo) = (&walk.world.gitea, &walk.world.repo);
            gitea.close(&walk.world.owner, repo, number).await;
            walk.comes_to("rejected").await;
            walk.gets_past("the branch is gone", async |world| {
                world.at("branches").await.as_array().unwrap().len() == 1
            })
            .await;
        }
    }
    walk.gets_past("no label is left", async |world| {
        world.gitea.labels(&world.repo, issue).await.is_empty()
    })
    .await;
    // What the forge does not let be shown is not tried again.
    let is_untold = |cell: &Cell| is_refusal(cell.fault) && cell.call.contains("/reactions");
    for one in said.into_iter().filter(|_| !fault.is_some_and(is_untold)) {
        walk.gets_past("the command was obeyed", async |world| {
            let answer = world.reaction(one).await;
            assert_ne!(answer, "confused", "judged by its own effect");
            answer == "+1"
        })
        .await;
    }
    // Some calls are made again only by the next look.
    let traffic = Arc::clone(&walk.traffic);
    walk.gets_past("the fault was met", async |_| {
        let all = traffic.lock().unwrap();
        let times = fault.map_or(0, |cell| cell.times);
        all.fault.as_ref().is_none_or(|(.., left)| *left < times)
    })
    .await;
    let pulls = walk.world.pulls().await;
    assert_eq!(pulls.len(), 1, "one pull request\n{}", walk.world.said());
    let statuses = walk.world.by_bot(issue, "task=").await;
    assert_eq!(statuses.len(), 1, "one status comment");
    assert!(walk.branches().await <= 1, "one branch");
    walk.front.does(|_| Fate::Pass);
    let end = match walk.said.is_empty() {
        true => End::Right,
        false => End::Said(walk.said.join(" | ")),
    };
    let made = std::mem::take(&mut traffic.lock().unwrap().calls);
    Some((end, made))
}

/// Where a refusal stops the task, and a person is told: what it published is what was refused.
fn may_stop(cell: &Cell) -> bool {
    let publishes = ["git-receive-pack", "pulls", "statuses"];
    is_refusal(cell.fault) && publishes.iter().any(|part| cell.call.contains(part))
}

/// What makes something is where a second one could come from.
const MAKES: &[&str] = &[
    "POST issues/#/comments",
    "POST pulls",
    "POST git/git-receive-pack",
    "POST statuses/#",
    "POST issues/#/labels",
    "POST labels",
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_with_a_call_the_road_ends_right_or_says_what_to_do() {
    let long = std::env::var_os("PRENTICE_TEST_LONG").is_some();
    let (closed, merged) = tokio::join!(walk(Road::Closed, None), walk(Road::Merged, None));
    let mut roads: BTreeMap<String, Road> = BTreeMap::new();
    for (walked, road) in [(closed, Road::Closed), (merged, Road::Merged)] {
        let Some((end, made)) = walked else { return };
        assert_eq!(end, End::Right);
        roads.extend(made.into_iter().map(|call| (call, road)));
    }
    // Asked once by the first sweep, which may be over before the road begins.
    roads.remove("GET issues");
    println!("{roads:#?}");
    assert!(roads.len() > 20, "{roads:?}");
    for call in MAKES {
        assert!(roads.contains_key(*call), "{call} is made");
    }
    let mut cells = Vec::new();
    for (at, (call, road)) in roads.iter().enumerate() {
        let of = (call.as_str(), *road);
        if long {
            cells.extend(Cell::every(of));
            continue;
        }
        // What only asks is walked through on the fake, in a third of the time.
        if !call.starts_with("GET ") {
            cells.push(Cell::of(of, picked(at, false)));
        }
        if MAKES.contains(&call.as_str()) {
            cells.push(Cell::of(of, "cut done"));
        }
    }
    let ends = all(some(cells), |cell: Cell| async move {
        let walked = walk(cell.road, Some(&cell)).await;
        walked.unwrap().0
    });
    judge(&ends.await, may_stop);
}
