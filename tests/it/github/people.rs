//! The contract of conversations on the fake GitHub, as App and with a token, public and as an Enterprise Server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use prentice::domain::ident::CommitId;
use prentice::forge::{CommentId, Conversation, Reaction, ReviewVerdict};

use super::server::Fake;
use super::world::{APP_BOT, REPO, TOKEN_BOT};
use crate::conversation::{People, contract};

struct Hub {
    fake: Fake,
    talk: Arc<dyn Conversation>,
    ours: &'static str,
    commits: AtomicU32,
}

impl Hub {
    async fn keeps(fake: Option<Fake>, app: bool) {
        let Some(fake) = fake else { return };
        let world = Self {
            talk: fake.service(app).conversation(&fake.repository()),
            ours: if app { APP_BOT } else { TOKEN_BOT },
            commits: AtomicU32::new(0xc0ffee),
            fake,
        };
        contract(&world).await;
    }
}

#[async_trait]
impl People for Hub {
    fn conversation(&self) -> &dyn Conversation {
        &*self.talk
    }

    fn owner(&self) -> String {
        "dana".to_owned()
    }

    fn reviewer(&self) -> String {
        "lee".to_owned()
    }

    fn bot(&self) -> String {
        self.ours.to_owned()
    }

    async fn tick(&self) {
        self.fake.world().tick();
    }

    async fn open_issue(&self, title: &str, body: &str) -> i64 {
        self.fake.world().open_issue("dana", title, body)
    }

    async fn delete_issue(&self, number: i64) {
        self.fake.world().delete_issue(number);
    }

    async fn comment(&self, number: i64, body: &str) -> CommentId {
        CommentId(self.fake.world().comment(number, "dana", body))
    }

    async fn edit_comment(&self, id: CommentId, body: &str) {
        self.fake.world().edit(id.0, body);
    }

    async fn delete_comment(&self, id: CommentId) {
        self.fake.world().comments.retain(|one| one.id != id.0);
    }

    async fn label(&self, number: i64, name: &str) {
        self.fake.world().label(number, "dana", name);
    }

    async fn unlabel(&self, number: i64, name: &str) {
        self.fake.world().unlabel(number, "dana", name);
    }

    async fn assign(&self, number: i64, login: Option<&str>) {
        let mut world = self.fake.world();
        match login {
            Some(login) => world.assign(number, "dana", login),
            None => {
                for login in world.thread(number).assignees.clone() {
                    world.unassign(number, "dana", &login);
                }
            }
        }
    }

    async fn rename(&self, number: i64, title: &str) {
        self.fake.world().rename(number, "dana", title);
    }

    async fn close(&self, number: i64) {
        self.fake.world().close(number, "dana");
    }

    async fn reopen(&self, number: i64) {
        self.fake.world().reopen(number, "dana");
    }

    async fn open_pull(&self, branch: &str) -> (i64, CommitId) {
        let commit = self.commits.fetch_add(1, Ordering::Relaxed);
        let head: CommitId = format!("{commit:040x}").parse().unwrap();
        let mut world = self.fake.world();
        world.push(branch, &head);
        let number = world.pull("dana", (branch, REPO, "main"), (branch, ""), false);
        (number, head)
    }

    async fn ask_review(&self, number: i64) {
        let mut world = self.fake.world();
        world.touch(number);
        let pull = world.thread(number).pull.as_mut().unwrap();
        pull.asked.push("lee".to_owned());
    }

    async fn review(
        &self,
        number: i64,
        verdict: ReviewVerdict,
        body: &str,
        remark: Option<(&str, u32, &str)>,
    ) {
        let state = match verdict {
            ReviewVerdict::Approves => "APPROVED",
            ReviewVerdict::RequestsChanges => "CHANGES_REQUESTED",
            ReviewVerdict::Comments => "COMMENTED",
        };
        let remarks: Vec<(&str, i64, &str)> = remark
            .into_iter()
            .map(|(path, line, text)| (path, i64::from(line), text))
            .collect();
        let mut world = self.fake.world();
        world.review(number, "lee", state, body, &remarks);
    }

    async fn merge(&self, number: i64) {
        self.fake.world().merge(number, "dana");
    }

    async fn reacted(&self, comment: CommentId, reaction: Reaction) {
        let content = match reaction {
            Reaction::Seen => "eyes",
            Reaction::Done => "+1",
            Reaction::Confused => "confused",
            Reaction::Refused => "-1",
        };
        let mut world = self.fake.world();
        let id = world.id();
        let mut all = world.comments.iter_mut();
        let one = all.find(|one| one.id == comment.0).unwrap();
        one.reactions
            .push((id, "dana".to_owned(), content.to_owned()));
    }

    async fn reactions(&self, comment: CommentId) -> BTreeSet<(String, String)> {
        let world = self.fake.world();
        let one = world.comments.iter().find(|one| one.id == comment.0);
        one.unwrap()
            .reactions
            .iter()
            .map(|(_, who, what)| (who.clone(), what.clone()))
            .collect()
    }

    async fn comments(&self, number: i64) -> Vec<(String, String)> {
        let world = self.fake.world();
        let of = world.comments.iter().filter(|one| one.issue == number);
        of.map(|one| (one.author.clone(), one.body.clone()))
            .collect()
    }

    async fn checks(&self, commit: &CommitId) -> Vec<(String, String)> {
        self.fake
            .world()
            .checks(commit.as_str())
            .into_iter()
            .map(|(name, (state, title))| (name, format!("{state}: {title}")))
            .collect()
    }

    async fn rename_repository(&self) -> String {
        let name = "acme/other-widget";
        self.fake.world().rename_repository(name);
        name.to_owned()
    }
}

#[tokio::test]
async fn github_keeps_the_contract_of_conversations_as_an_app() {
    Hub::keeps(Fake::public().await, true).await;
}

#[tokio::test]
async fn github_keeps_the_contract_of_conversations_with_a_token() {
    Hub::keeps(Fake::public().await, false).await;
}

#[tokio::test]
async fn an_enterprise_server_keeps_the_contract_of_conversations_as_an_app() {
    Hub::keeps(Fake::enterprise().await, true).await;
}

#[tokio::test]
async fn an_enterprise_server_keeps_the_contract_of_conversations_with_a_token() {
    Hub::keeps(Fake::enterprise().await, false).await;
}
