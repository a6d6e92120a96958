//! Whole roads, each as an App and with a token.

use super::*;
use crate::github::world::{Fault, Kind, said};
use crate::served::retention::database;

async fn merged(app: bool, hears: Hears) {
    let Some(hub) = Hub::new(app, hears).await else {
        return;
    };
    let issue = hub.labelled();
    hub.is_at(issue, "needs-review").await;
    let pulls = hub.pulls();
    let [number] = pulls[..] else {
        panic!("{pulls:?}");
    };
    let head = hub.head(number);
    hub.of(number, |thread| {
        let pull = thread.pull.as_ref().unwrap();
        assert!(pull.draft && thread.open);
        assert_eq!(thread.author, hub.us());
        assert_eq!(pull.branch, format!("agent/{issue}-no-answer"));
        assert_eq!(pull.asked, ["dana"]);
        for words in [
            "| `tests` | `sh test.sh` | 1 twice | 0 twice |",
            "red on base, green here, twice",
            &format!("Closes #{issue}"),
        ] {
            assert!(thread.body.contains(words), "{words}\n{}", thread.body);
        }
    });
    hub.until("the checks are there", 20, async || {
        hub.check(&head, "prentice / verify") == "success"
            && hub.check(&head, "prentice / scope") == "success"
    })
    .await;
    // What a reader of the branch sees is what was published, on git too.
    let bare = hub.fake.world().git.clone().unwrap();
    let answer = crate::git::git(&bare, &["show", &format!("{head}:answer.txt")]);
    assert_eq!(answer, "42");
    let labels = hub.of(issue, |one| one.labels.clone());
    assert_eq!(labels, ["agent", "agent:needs-review"]);

    hub.fake
        .world()
        .review(number, "lee", "APPROVED", "good", &[]);
    hub.is_ready(number).await;
    hub.fake.world().merge(number, "dana");
    hub.is_at(issue, "merged").await;
    hub.no_label(issue).await;
    assert!(hub.of(issue, |one| !one.open), "closed by the merge");
    assert_eq!(hub.by_us(issue, "").len(), 1, "one comment in all");
    assert_eq!(hub.pulls(), [number]);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_an_app_a_label_becomes_a_pull_request_that_a_person_merges() {
    merged(true, Hears::Hooks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_a_label_becomes_a_pull_request_that_a_person_merges() {
    merged(false, Hears::Hooks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_an_app_polling_alone_comes_to_the_same_end() {
    merged(true, Hears::Polling).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_polling_alone_comes_to_the_same_end() {
    merged(false, Hears::Polling).await;
}

async fn closed(app: bool) {
    let Some(hub) = Hub::new(app, Hears::Hooks).await else {
        return;
    };
    let issue = hub.labelled();
    hub.is_at(issue, "needs-review").await;
    let number = hub.pulls()[0];
    let first = hub.head(number);
    let remarks = [("answer.txt", 1, "why 42?")];
    hub.fake
        .world()
        .review(number, "lee", "CHANGES_REQUESTED", "Say why.", &remarks);
    hub.until("the round is pushed", 60, async || {
        hub.head(number) != first
    })
    .await;
    hub.is_at(issue, "needs-review").await;
    let bare = hub.fake.world().git.clone().unwrap();
    let range = format!("main..{}", hub.head(number));
    let commits = crate::git::git(&bare, &["rev-list", "--count", &range]);
    assert_eq!(commits, "2", "one push, one commit");
    assert_eq!(hub.pulls(), [number]);
    // Who reviewed is asked again, with new evidence.
    let head = hub.head(number);
    hub.until("the checks are there", 20, async || {
        hub.check(&head, "prentice / verify") == "success"
    })
    .await;
    hub.until("a review is asked for again", 20, async || {
        hub.of(number, |one| {
            one.pull.as_ref().unwrap().asked.contains(&"lee".to_owned())
        })
    })
    .await;

    hub.fake.world().close(number, "dana");
    hub.is_at(issue, "rejected").await;
    hub.until("the branch is gone", 30, async || hub.branches() == 0)
        .await;
    hub.no_label(issue).await;
    assert_eq!(hub.by_us(issue, "").len(), 1, "one comment in all");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_an_app_requested_changes_are_one_round_and_closing_leaves_nothing() {
    closed(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_requested_changes_are_one_round_and_closing_leaves_nothing() {
    closed(false).await;
}

/// Whether the one comment of the referee says this about this commit.
fn says(hub: &Hub, pull: i64, word: &str, sha: &str) -> bool {
    let comments = hub.by_us(pull, "note=verify");
    assert!(comments.len() <= 1, "{comments:?}");
    let start = format!("**Referee: {word}** · commit `{}`", &sha[..7]);
    comments.iter().any(|comment| comment.contains(&start))
}

async fn judged(app: bool) {
    let Some(hub) = Hub::new(app, Hears::Hooks).await else {
        return;
    };
    // Rules of the pull request itself are not what judges it.
    let easy = "version = 1\n[[verify]]\nname = \"tests\"\nrun = \"true\"\n";
    let (number, head) = hub.pull_of_a_fork(&[(".github/prentice.toml", easy)]);
    let ask = |who| hub.fake.world().comment(number, who, "/agent verify");
    let strangers = ask("mallory");
    hub.until("the stranger is refused", 30, async || {
        hub.reactions(strangers) == ["-1"]
    })
    .await;
    assert_eq!(hub.by_us(number, ""), [""; 0], "no word to a stranger");

    let asked = ask("dana");
    hub.until("it is judged", 60, async || {
        says(&hub, number, "not verified", &head)
    })
    .await;
    assert!(hub.by_us(number, "note=verify")[0].contains("`sh test.sh`"));
    hub.until("the check and the reaction are there", 20, async || {
        hub.check(&head, "prentice / verify") == "failure" && hub.reactions(asked) == ["+1"]
    })
    .await;

    // Put right and asked again: told in the same comment.
    let better = hub.commit(&[("answer.txt", "42\n")], "refs/pull/0/head");
    hub.fake
        .world()
        .head_moved(number, better.as_str(), "mallory");
    ask("lee");
    hub.until("it is told again", 60, async || {
        says(&hub, number, "verified", better.as_str())
            || says(&hub, number, "verified, with questions", better.as_str())
    })
    .await;
    // Its head came from the repository's own ref; of the fork nothing was asked.
    let world = hub.fake.world();
    let git = world
        .requests
        .iter()
        .filter(|request| request.contains(".git/"));
    for request in git {
        assert!(request.contains(" /acme/widget.git/"), "{request}");
    }
    assert_eq!(world.count("POST", "git-receive-pack"), 0, "nothing pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn as_an_app_a_stranger_s_fork_is_judged_by_our_rules() {
    judged(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_a_stranger_s_fork_is_judged_by_our_rules() {
    judged(false).await;
}

/// What a check prints differs each time, so that each run of it leaves a log of its own.
const TIMED: &str = "version = 1\n[[verify]]\nname = \"tests\"\nrun = \"date +%s%N; sh test.sh\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_for_now_is_told_later_and_not_judged_again() {
    let Some(mut hub) = Hub::quiet(false, Hears::Hooks).await else {
        return;
    };
    hub.rule(TIMED);
    hub.serve(AGENT).await;
    let mut runs = Vec::new();
    // The first of each tells that it is begun.
    for call in ["", "PATCH issues/comments/#", "POST statuses/#"] {
        let (number, head) = hub.pull_of_a_fork(&[("answer.txt", "42\n"), ("for.txt", call)]);
        let logs = || {
            let inside =
                |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten();
            let all = inside(hub.folder().join("state/prentice/artifacts"));
            all.flat_map(|one| inside(one.path())).count()
        };
        let before = logs();
        {
            let mut world = hub.fake.world();
            if !call.is_empty() {
                let busy = Kind::Instead(503, Vec::new(), said("Busy"));
                world.fault_call(call, busy, 2);
                world.faults.back_mut().unwrap().skip = 1;
            }
            world.comment(number, "dana", "/agent verify");
        }
        hub.until("it is told", 60, async || {
            says(&hub, number, "verified", &head)
                && hub.check(&head, "prentice / verify") == "success"
                && hub.check(&head, "prentice / scope") == "success"
        })
        .await;
        let left = hub.fake.world().faults.iter().any(|one| one.times > 0);
        assert!(!left, "{call}: it went wrong");
        runs.push(logs() - before);
    }
    // Twice on base and twice on the head.
    assert_eq!(runs, [4, 4, 4]);
}

/// A branch that the repository's rules do not take: the task says which rule, and where it is set.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_a_rule_refuses_fails_with_the_rule_s_own_words() {
    let Some(mut hub) = Hub::quiet(true, Hears::Hooks).await else {
        return;
    };
    let bare = hub.fake.world().git.clone().unwrap();
    let hook = bare.join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    let script = "#!/bin/sh\necho 'error: GH013: Repository rule violations found for refs/heads/agent.'\n\
                  echo '- Commits must have verified signatures.'\nexit 1\n";
    std::fs::write(&hook, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, mode).unwrap();
    hub.serve(AGENT).await;
    let issue = hub.labelled();
    hub.is_at(issue, "failed").await;
    let status = hub.by_us(issue, "task=").remove(0);
    assert!(status.contains("signatures"), "{status}");
    assert!(status.contains("rules for commits"), "{status}");
    assert_eq!(hub.pulls(), [0; 0]);
    assert_eq!(hub.branches(), 0);
}

/// Asked while nobody hears it, then pushed over: GitHub tells of that, with a moment of its own.
async fn pushed_over(app: bool) {
    let Some(mut hub) = Hub::new(app, Hears::Polling).await else {
        return;
    };
    let (number, head) = hub.pull_of_a_fork(&[("answer.txt", "41\n")]);
    hub.kill();
    let asked = hub.fake.world().comment(number, "dana", "/agent verify");
    // Of the same second nothing would be proven.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let over = hub.commit(&[("answer.txt", "42\n")], "refs/pull/0/head");
    {
        let mut world = hub.fake.world();
        world.happened(number, "mallory", "head_ref_force_pushed", "");
        world.head_moved(number, over.as_str(), "mallory");
    }
    hub.serve(AGENT).await;
    hub.until("it is said that nothing is judged", 60, async || {
        hub.reactions(asked) == ["confused"]
    })
    .await;
    let replies = hub.by_us(number, &format!("note=comment-{asked}"));
    assert!(
        replies.len() == 1 && replies[0].contains("the commit that you asked about is gone"),
        "{replies:?}"
    );
    assert_eq!(hub.by_us(number, "note=verify"), [""; 0]);
    for sha in [head.as_str(), over.as_str()] {
        assert_eq!(hub.check(sha, "prentice / verify"), "");
    }
    hub.fake.world().comment(number, "dana", "/agent verify");
    hub.until("it is judged when asked again", 60, async || {
        says(&hub, number, "verified", over.as_str())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_an_app_what_was_asked_about_and_pushed_over_is_not_judged() {
    pushed_over(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_what_was_asked_about_and_pushed_over_is_not_judged() {
    pushed_over(false).await;
}

/// However often the forge does not let it be judged, it is judged once it does.
async fn waits_for_the_forge(kind: impl Fn() -> Kind) {
    let Some(hub) = Hub::new(false, Hears::Hooks).await else {
        return;
    };
    let (number, head) = hub.pull_of_a_fork(&[("answer.txt", "42\n")]);
    hub.fake.world().fault("POST", "/statuses/", kind(), 4);
    hub.fake.world().comment(number, "dana", "/agent verify");
    hub.until("it is judged", 90, async || {
        says(&hub, number, "verified", &head)
    })
    .await;
    hub.until("the status is there", 20, async || {
        hub.check(&head, "prentice / verify") == "success"
    })
    .await;
    assert!(hub.fake.world().faults.is_empty(), "all were met");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_waits_for_a_limit_of_the_forge_however_often_it_is_met() {
    waits_for_the_forge(|| {
        let after = vec![("retry-after", "1".to_owned())];
        Kind::Instead(429, after, said("You have exceeded a secondary rate limit"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_waits_for_a_forge_that_does_not_answer() {
    waits_for_the_forge(|| Kind::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_given_up_is_told_even_if_the_forge_does_not_take_that_at_first() {
    let Some(hub) = Hub::new(false, Hears::Hooks).await else {
        return;
    };
    hub.rule("version = 1\n[[verify]]\nname = \"tests\"\nrunn = \"sh test.sh\"\n");
    let (number, head) = hub.pull_of_a_fork(&[("answer.txt", "42\n")]);
    // That it runs is taken; how it ends is not, once.
    hub.fake.world().faults.push_back(Fault {
        method: "PATCH",
        at: "/issues/comments/",
        call: None,
        kind: Kind::Instead(503, Vec::new(), said("down for a while")),
        skip: 1,
        times: 1,
    });
    hub.fake.world().comment(number, "dana", "/agent verify");
    hub.until("it is told", 60, async || {
        let told = hub.by_us(number, "note=verify");
        told.iter().any(|told| told.contains("prentice.toml:4:1"))
    })
    .await;
    assert!(hub.fake.world().faults.is_empty(), "the fault was met");
    hub.until("the status is not pending", 20, async || {
        let state = hub.check(&head, "prentice / verify");
        !state.is_empty() && state != "pending"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_whose_reaction_failed_asks_the_referee_once() {
    let Some(hub) = Hub::new(false, Hears::Hooks).await else {
        return;
    };
    let (number, head) = hub.pull_of_a_fork(&[("answer.txt", "42\n")]);
    // That it was seen is taken; that it is done is not, once.
    hub.fake.world().faults.push_back(Fault {
        method: "POST",
        at: "/reactions",
        call: None,
        kind: Kind::Instead(503, Vec::new(), said("down for a while")),
        skip: 1,
        times: 1,
    });
    let asked = hub.fake.world().comment(number, "dana", "/agent verify");
    let asked_at = async || {
        let mut db = database(&hub.folder().join("state/prentice")).await;
        let at = sqlx::query_scalar("select asked_at from verdicts");
        let at: Option<i64> = at.fetch_optional(&mut db).await.unwrap();
        at
    };
    hub.until("it is asked", 30, async || asked_at().await.is_some())
        .await;
    let first = asked_at().await;
    hub.until("it is answered", 60, async || {
        hub.reactions(asked) == ["+1"] && says(&hub, number, "verified", &head)
    })
    .await;
    assert!(hub.fake.world().faults.is_empty(), "the fault was met");
    assert_eq!(asked_at().await, first);
}
