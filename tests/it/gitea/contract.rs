//! The contract of every forge, on the real Gitea.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use async_trait::async_trait;
use prentice::domain::ident::CommitId;
use prentice::forge::{Forge, Place, marker};
use reqwest::Method;
use serde_json::Value;

use super::refs::GitRefs;
use super::world::{Gitea, Repo, User};
use crate::forges::{Behind, contract};

struct Real {
    gitea: Gitea,
    repo: Repo,
    bot: User,
    token: String,
    person: User,
    refs: Arc<GitRefs>,
    forge: Arc<dyn Forge>,
    commits: Mutex<BTreeMap<char, CommitId>>,
}

impl Real {
    async fn new(test: &str) -> Option<Self> {
        let gitea = Gitea::start(test)?;
        let bot = gitea.user("bot").await;
        let person = gitea.user("dana").await;
        let repo = gitea.repo(&person, "thing", false).await;
        gitea.collaborator(&repo, &bot, "write").await;
        for number in 1..=8 {
            let made = gitea
                .issue(&person, &repo, "Empty input", "# Empty input\n")
                .await;
            assert_eq!(made, number);
        }
        let refs = Arc::new(GitRefs::new(&gitea, &repo, &bot));
        let token = gitea.token(&bot, super::world::LEAST).await;
        let service = gitea.service_with(&token);
        let repository = service.repository(&repo.name).await.unwrap();
        let forge = service.forge(&repository, refs.clone());
        Some(Self {
            gitea,
            repo,
            bot,
            token,
            person,
            refs,
            forge,
            commits: Mutex::new(BTreeMap::new()),
        })
    }

    async fn ours(&self, place: Place) -> Vec<Value> {
        let mut all = self.gitea.comments(&self.repo, place.issue).await;
        all.retain(|one| one["user"]["id"] == self.bot.id);
        all
    }

    async fn open_pulls(&self, state: &str) -> Vec<Value> {
        let path = format!("repos/{}/pulls?state={state}", self.repo.name);
        self.gitea.get(&path).await.as_array().unwrap().clone()
    }
}

fn after_mark(comment: &Value, mark: &str) -> Option<String> {
    let body = comment["body"].as_str()?;
    Some(body.strip_prefix(mark)?.strip_prefix('\n')?.to_owned())
}

#[async_trait]
impl Behind for Real {
    fn forge(&self) -> &dyn Forge {
        &*self.forge
    }

    async fn commit(&self, digit: char) -> CommitId {
        let mut commits = self.commits.lock().unwrap();
        let make = || self.refs.commit(&format!("file-{digit}"), "text\n");
        commits.entry(digit).or_insert_with(make).clone()
    }

    fn writer(&self) -> String {
        self.person.login.clone()
    }

    async fn push(&self, branch: &str, head: &CommitId) {
        self.refs.force(branch, head);
    }

    async fn merge_into_main(&self, head: &CommitId) {
        for pull in self.open_pulls("open").await {
            if pull["head"]["sha"] == head.as_str() {
                let number = pull["number"].as_i64().unwrap();
                // A draft cannot be merged.
                let title = pull["title"].as_str().unwrap().replace("WIP: ", "");
                let change = serde_json::json!({ "title": title });
                self.gitea
                    .edit(&self.person, &self.repo, number, change)
                    .await;
                self.gitea.merge(&self.person, &self.repo, number).await;
            }
        }
    }

    async fn statuses(&self, place: Place) -> Vec<String> {
        let mark = marker(place, None);
        let all = self.ours(place).await;
        all.iter()
            .filter_map(|one| after_mark(one, &mark))
            .collect()
    }

    async fn notifications(&self, place: Place) -> Vec<String> {
        let all = self.ours(place).await;
        let keyed = |one: &Value| {
            let body = one["body"].as_str()?;
            let (mark, text) = body.split_once('\n')?;
            let of_task = format!(
                "<!-- prentice v1 task={} issue={} key=",
                place.task, place.issue
            );
            mark.starts_with(&of_task).then(|| text.to_owned())
        };
        all.iter().filter_map(keyed).collect()
    }

    async fn delete_status(&self, place: Place) {
        let mark = marker(place, None);
        for one in self.ours(place).await {
            if after_mark(&one, &mark).is_some() {
                let id = one["id"].as_i64().unwrap();
                self.gitea
                    .delete_comment(&self.person, &self.repo, id)
                    .await;
            }
        }
    }

    async fn rewrite(&self, number: i64, body: &str) {
        let change = serde_json::json!({ "body": body });
        self.gitea
            .edit(&self.person, &self.repo, number, change)
            .await;
    }

    async fn pulls(&self, place: Place) -> Vec<(String, String)> {
        let mark = marker(place, None);
        let all = self.open_pulls("all").await;
        all.iter()
            .filter_map(|one| {
                let title = one["title"].as_str()?.trim_start_matches("WIP: ");
                Some((title.to_owned(), after_mark(one, &mark)?))
            })
            .collect()
    }

    async fn checks(&self, _place: Place) -> usize {
        let commits: Vec<CommitId> = self.commits.lock().unwrap().values().cloned().collect();
        let mut count = 0;
        for commit in commits {
            let path = format!("repos/{}/commits/{commit}/status", self.repo.name);
            let admin = &self.gitea.server.admin;
            // One that was never pushed is not there.
            let (_, answer) = self.gitea.ask(admin, Method::GET, &path, None).await;
            count += answer["statuses"].as_array().map_or(0, Vec::len);
        }
        count
    }
}

#[tokio::test]
async fn the_real_gitea_keeps_the_contract_of_every_forge_with_the_least_token() {
    let Some(world) = Real::new("the contract of a forge on Gitea").await else {
        return;
    };
    contract(&world).await;
    if let Some(done) = world.gitea.done(&world.token) {
        insta::assert_snapshot!(done, @"
        DELETE /repos/{owner}/{repo}/issues/{index}/labels/{identifier} 204
        GET /repos/{owner}/{repo} 200
        GET /repos/{owner}/{repo}/assignees 200
        GET /repos/{owner}/{repo}/commits/{ref}/status 200
        GET /repos/{owner}/{repo}/issues 200
        GET /repos/{owner}/{repo}/issues/comments/{id} 200
        GET /repos/{owner}/{repo}/issues/{index} 200
        GET /repos/{owner}/{repo}/issues/{index}/comments 200
        GET /repos/{owner}/{repo}/issues/{index}/labels 200
        GET /repos/{owner}/{repo}/issues/{index}/timeline 200
        GET /repos/{owner}/{repo}/labels 200
        GET /repos/{owner}/{repo}/pulls/{index} 200
        GET /repositories/{id} 200
        GET /user 200
        PATCH /repos/{owner}/{repo}/issues/comments/{id} 200
        PATCH /repos/{owner}/{repo}/pulls/{index} 201
        POST /repos/{owner}/{repo}/issues/{index}/comments 201
        POST /repos/{owner}/{repo}/issues/{index}/labels 200
        POST /repos/{owner}/{repo}/labels 201
        POST /repos/{owner}/{repo}/pulls 201
        POST /repos/{owner}/{repo}/statuses/{sha} 201
        ");
    }
}
