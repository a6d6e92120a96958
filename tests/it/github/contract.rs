//! The contract of every forge on the fake GitHub, as App and with a token, public and as an Enterprise Server.

use std::sync::Arc;

use async_trait::async_trait;
use prentice::domain::ident::CommitId;
use prentice::forge::{Forge, Place, marker};

use super::server::Fake;
use super::world::{APP_BOT, REPO, TOKEN_BOT};
use crate::forges::{Behind, contract};

struct Hub {
    fake: Fake,
    forge: Arc<dyn Forge>,
    ours: &'static str,
    app: bool,
}

impl Hub {
    fn new(fake: Fake, app: bool) -> Self {
        let forge = fake.service(app).forge(&fake.repository(), fake.refs());
        Self {
            forge,
            ours: if app { APP_BOT } else { TOKEN_BOT },
            app,
            fake,
        }
    }

    fn bodies(&self, place: Place, ours: impl Fn(&str) -> bool) -> Vec<String> {
        let world = self.fake.world();
        let of = world
            .comments
            .iter()
            .filter(|one| one.issue == place.issue && one.author == self.ours);
        of.filter_map(|one| {
            let (mark, body) = one.body.split_once('\n')?;
            ours(mark).then(|| body.to_owned())
        })
        .collect()
    }
}

#[async_trait]
impl Behind for Hub {
    fn forge(&self) -> &dyn Forge {
        &*self.forge
    }

    async fn push(&self, branch: &str, head: &CommitId) {
        self.fake.world().push(branch, head);
    }

    async fn merge_into_main(&self, head: &CommitId) {
        let mut world = self.fake.world();
        let of = world.issues.iter().find(|(_, one)| {
            let pull = one.pull.as_ref();
            one.open && pull.is_some_and(|pull| pull.from == REPO && pull.head == head.as_str())
        });
        let number = *of.unwrap().0;
        world.merge(number, "dana");
    }

    async fn statuses(&self, place: Place) -> Vec<String> {
        self.bodies(place, |mark| mark == marker(place, None))
    }

    async fn notifications(&self, place: Place) -> Vec<String> {
        self.bodies(place, |mark| mark.contains(" key="))
    }

    async fn delete_status(&self, place: Place) {
        let mark = marker(place, None);
        let mut world = self.fake.world();
        world
            .comments
            .retain(|one| one.issue != place.issue || !one.body.starts_with(&mark));
    }

    async fn rewrite(&self, number: i64, body: &str) {
        self.fake.world().rewrite(number, body);
    }

    async fn pulls(&self, place: Place) -> Vec<(String, String)> {
        let mark = format!("{}\n", marker(place, None));
        let world = self.fake.world();
        let pulls = world.issues.values().filter(|one| one.pull.is_some());
        pulls
            .filter_map(|one| Some((one.title.clone(), one.body.strip_prefix(&mark)?.to_owned())))
            .collect()
    }

    async fn checks(&self, _place: Place) -> usize {
        let world = self.fake.world();
        if self.app {
            return world.runs.len();
        }
        // The newest of each context counts, as a reader sees it.
        let mut seen: Vec<(String, String)> = world
            .statuses
            .iter()
            .map(|one| (one.sha.clone(), one.fields["context"].to_string()))
            .collect();
        seen.sort();
        seen.dedup();
        seen.len()
    }
}

#[tokio::test]
async fn github_keeps_the_contract_as_an_app() {
    if let Some(fake) = Fake::public().await {
        contract(&Hub::new(fake, true)).await;
    }
}

#[tokio::test]
async fn github_keeps_the_contract_with_a_token() {
    if let Some(fake) = Fake::public().await {
        contract(&Hub::new(fake, false)).await;
    }
}

#[tokio::test]
async fn an_enterprise_server_keeps_the_contract_as_an_app() {
    if let Some(fake) = Fake::enterprise().await {
        contract(&Hub::new(fake, true)).await;
    }
}

#[tokio::test]
async fn an_enterprise_server_keeps_the_contract_with_a_token() {
    if let Some(fake) = Fake::enterprise().await {
        contract(&Hub::new(fake, false)).await;
    }
}

// Lists of one entry a page: whatever is found has to be looked for on every page.
#[tokio::test]
async fn github_keeps_the_contract_where_every_page_is_short() {
    if let Some(fake) = Fake::public().await {
        fake.world().page_max = 1;
        contract(&Hub::new(fake, true)).await;
    }
}
