//! A person wrote another text over that of our pull request, so that nothing but its number tells whose it is: what
//! becomes of it is heard all the same, and no second one is opened beside it.

use super::*;

/// Its rounds take long enough for a person to close what they are about.
pub(in crate::served) const SLOW_ROUNDS: &str =
    "brief=$(cat); [ -e answer.txt ] && { sleep 8; echo why > why.txt; }; echo 42 > answer.txt";

/// A task in review whose pull request says what a person wrote; the server was started anew and remembers nothing.
async fn rewritten(app: bool) -> Option<(Hub, i64, i64)> {
    let mut hub = Hub::quiet(app, Hears::Hooks).await?;
    hub.serve(SLOW_ROUNDS).await;
    let issue = hub.labelled();
    hub.is_at(issue, "needs-review").await;
    let number = hub.pulls()[0];
    // Nothing is shown any more that would put it right.
    hub.is_settled().await;
    hub.kill();
    hub.fake.world().rewrite(number, "all mine");
    hub.serve(SLOW_ROUNDS).await;
    Some((hub, issue, number))
}

impl Hub {
    /// Nothing that was decided is still to be done.
    async fn is_settled(&self) {
        let url = format!("http://127.0.0.1:{}/metrics", self.port());
        self.until("all jobs are done", 60, async || {
            let page = reqwest::get(&url).await.unwrap().text().await.unwrap();
            let mut jobs = page
                .lines()
                .filter(|line| line.starts_with("prentice_jobs{"));
            jobs.all(|line| line.ends_with(" 0"))
        })
        .await;
    }

    async fn leaves_nothing(&self, issue: i64, number: i64) {
        self.is_at(issue, "rejected").await;
        self.until("the branch is gone", 30, async || self.branches() == 0)
            .await;
        self.no_label(issue).await;
        assert_eq!(self.pulls(), [number]);
        self.is_settled().await;
    }

    /// A round is asked for and under way.
    async fn works_again(&self, issue: i64, number: i64) {
        self.fake
            .world()
            .comment(number, "lee", "/agent fix Say why.");
        self.is_at(issue, "running").await;
    }
}

async fn closed(app: bool) {
    let Some((hub, issue, number)) = rewritten(app).await else {
        return;
    };
    hub.fake.world().close(number, "dana");
    hub.leaves_nothing(issue, number).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_an_app_a_rewritten_pull_request_that_is_closed_is_rejected_and_leaves_nothing() {
    closed(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_a_rewritten_pull_request_that_is_closed_is_rejected_and_leaves_nothing() {
    closed(false).await;
}

async fn merged(app: bool) {
    let Some((hub, issue, number)) = rewritten(app).await else {
        return;
    };
    hub.fake.world().merge(number, "dana");
    hub.is_at(issue, "merged").await;
    hub.no_label(issue).await;
    assert_eq!(hub.pulls(), [number]);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_an_app_a_rewritten_pull_request_that_is_merged_is_done() {
    merged(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_a_rewritten_pull_request_that_is_merged_is_done() {
    merged(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_pull_request_that_is_closed_while_a_round_runs_ends_that_round() {
    let Some((hub, issue, number)) = rewritten(true).await else {
        return;
    };
    hub.works_again(issue, number).await;
    hub.fake.world().close(number, "dana");
    hub.leaves_nothing(issue, number).await;
}

/// `end`: what a person does while a round runs, and nobody tells of it before the round is over.
async fn unheard(app: bool, end: impl Fn(&Hub, i64)) -> Option<(Hub, i64, i64)> {
    let (mut hub, issue, number) = rewritten(app).await?;
    hub.works_again(issue, number).await;
    hub.has_looked(number).await;
    hub.fake.world().hook = None;
    end(&hub, number);
    // A look that was under way may have heard of it, which ends the round at once.
    hub.until("the round is over", 60, async || {
        ["failed", "rejected", "merged"].contains(&hub.stage(issue).as_str())
    })
    .await;
    let told = hub.by_us(issue, "task=").remove(0);
    let says = ["closed", "merged"].map(|end| format!("(it was {end}) is not there"));
    let is_failed = hub.stage(issue) == "failed";
    assert!(
        !is_failed || says.iter().any(|words| told.contains(words)),
        "{told}"
    );
    assert_eq!(hub.pulls(), [number], "no second one\n{}", hub.log());
    // The next sweep hears of it.
    hub.kill();
    hub.serve(AGENT).await;
    Some((hub, issue, number))
}

#[tokio::test(flavor = "multi_thread")]
async fn as_an_app_no_second_pull_request_is_opened_beside_one_that_was_closed_unheard() {
    let close = |hub: &Hub, number| hub.fake.world().close(number, "dana");
    let Some((hub, issue, number)) = unheard(true, close).await else {
        return;
    };
    hub.leaves_nothing(issue, number).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_no_second_pull_request_is_opened_beside_one_that_was_merged_unheard() {
    let merge = |hub: &Hub, number| hub.fake.world().merge(number, "dana");
    let Some((hub, issue, number)) = unheard(false, merge).await else {
        return;
    };
    hub.is_at(issue, "merged").await;
    assert_eq!(hub.pulls(), [number]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_round_puts_a_rewritten_pull_request_right() {
    let Some((hub, issue, number)) = rewritten(true).await else {
        return;
    };
    let first = hub.head(number);
    hub.works_again(issue, number).await;
    hub.until("the round is pushed", 60, async || {
        hub.head(number) != first
    })
    .await;
    hub.is_at(issue, "needs-review").await;
    assert_eq!(hub.pulls(), [number]);
    hub.of(number, |one| {
        assert!(
            one.body.starts_with("<!-- prentice v1 task=T-1 "),
            "{}",
            one.body
        );
    });
}
