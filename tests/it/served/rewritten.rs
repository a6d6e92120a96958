//! A person wrote another text over that of our pull request, so that nothing but its number tells whose it is: what
//! becomes of it is heard all the same, and no second one is opened beside it.

use super::*;

/// A task in review whose pull request says what a person wrote; the server was started anew and remembers nothing.
/// Rounds take long enough for a person to close what they are about.
async fn rewritten(test: &str) -> Option<(World, i64, i64)> {
    let agent = github::rewritten::SLOW_ROUNDS;
    let mut world = World::governed(test, Hears::Hooks, FILE, agent).await?;
    let (issue, pull) = world.in_review().await;
    // Nothing is shown any more that would put it right.
    world.is_settled().await;
    world.kill();
    world.rewrite(pull).await;
    world.serve(agent).await;
    Some((world, issue, pull))
}

impl World {
    async fn rewrite(&self, pull: i64) {
        let change = json!({ "body": "all mine" });
        self.gitea.edit(&self.owner, &self.repo, pull, change).await;
    }

    /// A round is asked for and under way.
    async fn works_again(&self, issue: i64, pull: i64) {
        self.gitea
            .comment(&self.owner, &self.repo, pull, "/agent fix say why")
            .await;
        self.is_at(issue, "running").await;
    }

    async fn has_one_pull(&self, pull: i64) {
        let numbers = self.pulls().await;
        let numbers: Vec<i64> = numbers
            .iter()
            .filter_map(|one| one["number"].as_i64())
            .collect();
        assert_eq!(numbers, [pull], "{}", self.said());
    }

    async fn leaves_nothing(&self, issue: i64, pull: i64) {
        self.is_at(issue, "rejected").await;
        self.until("nothing is left", 30, async || {
            let labels = self.gitea.labels(&self.repo, issue).await;
            let branches = self.at("branches").await;
            labels.is_empty() && branches.as_array().unwrap().len() == 1
        })
        .await;
        self.has_one_pull(pull).await;
    }

    /// From now on nothing is told of what people do.
    async fn tells_nothing(&self) {
        let hooks = self.at("hooks").await;
        for hook in hooks.as_array().unwrap() {
            let path = format!("repos/{}/hooks/{}", self.repo.name, hook["id"]);
            let site = &self.gitea.server.admin;
            self.gitea
                .does(site, Method::DELETE, &path, Value::Null)
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_pull_request_that_is_closed_is_rejected_and_leaves_nothing() {
    let Some((world, issue, pull)) = rewritten("rewritten and closed").await else {
        return;
    };
    world.gitea.close(&world.owner, &world.repo, pull).await;
    world.leaves_nothing(issue, pull).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_pull_request_that_is_merged_is_done() {
    let Some((world, issue, pull)) = rewritten("rewritten and merged").await else {
        return;
    };
    let (gitea, repo, owner) = (&world.gitea, &world.repo, &world.owner);
    world.approved(owner, pull).await;
    // It was put right with that.
    world.is_settled().await;
    world.rewrite(pull).await;
    gitea.merge(owner, repo, pull).await;
    world.is_at(issue, "merged").await;
    world.has_one_pull(pull).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_pull_request_that_is_closed_while_a_round_runs_ends_that_round() {
    let Some((world, issue, pull)) = rewritten("rewritten and closed in a round").await else {
        return;
    };
    world.works_again(issue, pull).await;
    world.gitea.close(&world.owner, &world.repo, pull).await;
    world.leaves_nothing(issue, pull).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_second_pull_request_is_opened_beside_one_that_was_closed_unheard() {
    let Some((mut world, issue, pull)) = rewritten("rewritten and closed unheard").await else {
        return;
    };
    world.works_again(issue, pull).await;
    world.has_looked(pull).await;
    world.tells_nothing().await;
    world.gitea.close(&world.owner, &world.repo, pull).await;
    // A look that was under way may have heard of it, which ends the round at once.
    world
        .until("the round is over", 60, async || {
            let stage = world.stage(issue).await;
            let told = world.status_text(issue).await;
            stage == "rejected" || told.contains("(it was closed) is not there")
        })
        .await;
    world.has_one_pull(pull).await;
    // The next sweep hears of it.
    world.kill();
    world.serve(AGENT).await;
    world.leaves_nothing(issue, pull).await;
}
