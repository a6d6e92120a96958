//! The contract of conversations, on the real Gitea.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use prentice::domain::ident::CommitId;
use prentice::forge::{CommentId, Conversation, Reaction, ReviewVerdict};
use reqwest::Method;
use serde_json::{Value, json};

use super::world::{Gitea, LEAST, Repo, User};
use crate::conversation::{People, contract};

struct Real {
    gitea: Gitea,
    repo: Mutex<Repo>,
    bot: User,
    token: String,
    owner: User,
    reviewer: User,
    talk: Arc<dyn Conversation>,
    files: AtomicU32,
}

impl Real {
    async fn new(test: &str) -> Option<Self> {
        let gitea = Gitea::start(test)?;
        let bot = gitea.user("bot").await;
        let owner = gitea.user("dana").await;
        let reviewer = gitea.user("lee").await;
        let repo = gitea.repo(&owner, "thing", false).await;
        gitea.collaborator(&repo, &bot, "write").await;
        gitea.collaborator(&repo, &reviewer, "write").await;
        gitea.define_label(&repo, "agent").await;
        let token = gitea.token(&bot, LEAST).await;
        let service = gitea.service_with(&token);
        let repository = service.repository(&repo.name).await.unwrap();
        let talk = service.conversation(&repository);
        Some(Self {
            gitea,
            repo: Mutex::new(repo),
            bot,
            token,
            owner,
            reviewer,
            talk,
            files: AtomicU32::new(0),
        })
    }

    fn repo(&self) -> Repo {
        self.repo.lock().unwrap().clone()
    }

    async fn as_owner(&self, method: Method, tail: &str, body: Value) -> Value {
        let path = format!("repos/{}/{tail}", self.repo().name);
        self.gitea
            .does(&self.owner.token, method, &path, body)
            .await
    }
}

fn content(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Seen => "eyes",
        Reaction::Done => "+1",
        Reaction::Confused => "confused",
        Reaction::Refused => "-1",
    }
}

#[async_trait]
impl People for Real {
    fn conversation(&self) -> &dyn Conversation {
        &*self.talk
    }

    fn owner(&self) -> String {
        self.owner.login.clone()
    }

    fn reviewer(&self) -> String {
        self.reviewer.login.clone()
    }

    fn bot(&self) -> String {
        self.bot.login.clone()
    }

    async fn tick(&self) {
        // Its times are whole seconds.
        tokio::time::sleep(Duration::from_millis(1_050)).await;
    }

    async fn open_issue(&self, title: &str, body: &str) -> i64 {
        self.gitea
            .issue(&self.owner, &self.repo(), title, body)
            .await
    }

    async fn delete_issue(&self, number: i64) {
        let tail = format!("issues/{number}");
        self.as_owner(Method::DELETE, &tail, Value::Null).await;
    }

    async fn comment(&self, number: i64, body: &str) -> CommentId {
        let repo = self.repo();
        CommentId(self.gitea.comment(&self.owner, &repo, number, body).await)
    }

    async fn edit_comment(&self, id: CommentId, body: &str) {
        let repo = self.repo();
        self.gitea
            .edit_comment(&self.owner, &repo, id.0, body)
            .await;
    }

    async fn delete_comment(&self, id: CommentId) {
        let repo = self.repo();
        self.gitea.delete_comment(&self.owner, &repo, id.0).await;
    }

    async fn label(&self, number: i64, name: &str) {
        let repo = self.repo();
        self.gitea.label(&self.owner, &repo, number, &[name]).await;
    }

    async fn unlabel(&self, number: i64, name: &str) {
        let repo = self.repo();
        self.gitea.unlabel(&self.owner, &repo, number, name).await;
    }

    async fn assign(&self, number: i64, login: Option<&str>) {
        let all: Vec<&str> = login.into_iter().collect();
        let change = json!({ "assignees": all });
        let repo = self.repo();
        self.gitea.edit(&self.owner, &repo, number, change).await;
    }

    async fn rename(&self, number: i64, title: &str) {
        let change = json!({ "title": title });
        let repo = self.repo();
        self.gitea.edit(&self.owner, &repo, number, change).await;
    }

    async fn close(&self, number: i64) {
        let repo = self.repo();
        self.gitea.close(&self.owner, &repo, number).await;
    }

    async fn reopen(&self, number: i64) {
        let repo = self.repo();
        self.gitea.reopen(&self.owner, &repo, number).await;
    }

    async fn open_pull(&self, branch: &str) -> (i64, CommitId) {
        let repo = self.repo();
        let readme = self
            .as_owner(Method::GET, "contents/README.md", Value::Null)
            .await;
        let text = format!(
            "# {branch} {}\n",
            self.files.fetch_add(1, Ordering::Relaxed)
        );
        let change = json!({
            "content": super::world::base64_text(text.as_bytes()), "sha": readme["sha"],
            "branch": "main", "new_branch": branch, "message": branch,
        });
        let made = self
            .as_owner(Method::PUT, "contents/README.md", change)
            .await;
        let head = made["commit"]["sha"].as_str().unwrap().parse().unwrap();
        let number = self.gitea.pull(&self.owner, &repo, branch, branch).await;
        (number, head)
    }

    async fn ask_review(&self, number: i64) {
        let tail = format!("pulls/{number}/requested_reviewers");
        let body = json!({ "reviewers": [self.reviewer.login] });
        self.as_owner(Method::POST, &tail, body).await;
    }

    async fn review(
        &self,
        number: i64,
        verdict: ReviewVerdict,
        body: &str,
        remark: Option<(&str, u32, &str)>,
    ) {
        let event = match verdict {
            ReviewVerdict::Approves => "APPROVED",
            ReviewVerdict::RequestsChanges => "REQUEST_CHANGES",
            ReviewVerdict::Comments => "COMMENT",
        };
        let remarks: Vec<_> = remark.into_iter().collect();
        let repo = self.repo();
        self.gitea
            .review(&self.reviewer, &repo, number, event, body, &remarks)
            .await;
    }

    async fn merge(&self, number: i64) {
        let repo = self.repo();
        self.gitea.merge(&self.owner, &repo, number).await;
    }

    async fn reacted(&self, comment: CommentId, reaction: Reaction) {
        let tail = format!("issues/comments/{}/reactions", comment.0);
        let body = json!({ "content": content(reaction) });
        self.as_owner(Method::POST, &tail, body).await;
    }

    async fn reactions(&self, comment: CommentId) -> BTreeSet<(String, String)> {
        let tail = format!("issues/comments/{}/reactions", comment.0);
        let all = self.as_owner(Method::GET, &tail, Value::Null).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let all = all.as_array().cloned().unwrap_or_default();
        all.iter()
            .map(|one| (text(&one["user"]["login"]), text(&one["content"])))
            .collect()
    }

    async fn comments(&self, number: i64) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let all = self.gitea.comments(&self.repo(), number).await;
        all.iter()
            .map(|one| (text(&one["user"]["login"]), text(&one["body"])))
            .collect()
    }

    async fn checks(&self, commit: &CommitId) -> Vec<(String, String)> {
        let tail = format!("commits/{commit}/status");
        let answer = self.as_owner(Method::GET, &tail, Value::Null).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let all = answer["statuses"].as_array().unwrap();
        all.iter()
            .map(|one| {
                let details = format!("{}: {}", text(&one["status"]), text(&one["description"]));
                (text(&one["context"]), details)
            })
            .collect()
    }

    async fn rename_repository(&self) -> String {
        let path = format!("repos/{}", self.repo().name);
        let body = json!({ "name": "other-thing" });
        let made = self
            .gitea
            .does(&self.owner.token, Method::PATCH, &path, body)
            .await;
        let name = made["full_name"].as_str().unwrap().to_owned();
        self.repo.lock().unwrap().name.clone_from(&name);
        name
    }
}

#[tokio::test]
async fn the_real_gitea_keeps_the_contract_of_conversations_with_the_least_token() {
    let Some(world) = Real::new("the contract of a conversation on Gitea").await else {
        return;
    };
    contract(&world).await;
    if let Some(done) = world.gitea.done(&world.token) {
        insta::assert_snapshot!(done, @"
        DELETE /repos/{owner}/{repo}/issues/comments/{id}/reactions 204
        GET /repos/{owner}/{repo} 200
        GET /repos/{owner}/{repo}/assignees 200
        GET /repos/{owner}/{repo}/commits/{ref}/status 200
        GET /repos/{owner}/{repo}/issues 200
        GET /repos/{owner}/{repo}/issues/comments/{id} 200
        GET /repos/{owner}/{repo}/issues/comments/{id}/reactions 200
        GET /repos/{owner}/{repo}/issues/{index} 200
        GET /repos/{owner}/{repo}/issues/{index}/comments 200
        GET /repos/{owner}/{repo}/issues/{index}/timeline 200
        GET /repos/{owner}/{repo}/pulls/{index} 200
        GET /repos/{owner}/{repo}/pulls/{index}/reviews 200
        GET /repos/{owner}/{repo}/pulls/{index}/reviews/{id}/comments 200
        GET /repositories/{id} 200
        GET /user 200
        PATCH /repos/{owner}/{repo}/issues/comments/{id} 200
        POST /repos/{owner}/{repo}/issues/comments/{id}/reactions 201
        POST /repos/{owner}/{repo}/issues/{index}/comments 201
        POST /repos/{owner}/{repo}/statuses/{sha} 201
        ");
    }
}
