//! What `doctor` asks of GitHub, as App and with a token.

use prentice::forge::{Examine, HookSeen, examine_github};
use secrecy::SecretString;
use std::sync::Arc;

use super::description::cached;
use super::server::Fake;
use super::world::{APP, TOKEN, TOKEN_BOT};

fn app(fake: &Fake) -> Arc<dyn Examine> {
    let key = SecretString::from(String::from_utf8(cached("app.pem").unwrap()).unwrap());
    let id = u64::try_from(APP).unwrap();
    let none = SecretString::default();
    examine_github(Some(fake.base()), Some((id, &key)), &none).unwrap()
}

fn by_token(fake: &Fake) -> Arc<dyn Examine> {
    let token = SecretString::from(TOKEN.to_owned());
    examine_github(Some(fake.base()), None, &token).unwrap()
}

#[tokio::test]
async fn an_app_is_told_each_permission_that_it_lacks_and_how_its_deliveries_went() {
    let Some(fake) = Fake::public().await else {
        return;
    };
    let (examine, repository) = (app(&fake), fake.repository());
    let about = examine.about().await.unwrap();
    assert!(about.account.login.ends_with("[bot]") && about.clock.is_some());
    let lacks = async || {
        let grants = examine.grants("acme/widget").await.unwrap();
        let lacks = grants.into_iter().filter(|one| one.held != Some(true));
        lacks.map(|one| one.name).collect::<Vec<_>>()
    };
    assert_eq!(lacks().await, Vec::<String>::new());
    let give = |name: &str, access: &str| {
        let mut world = fake.world();
        world.permissions.insert(name.to_owned(), access.to_owned());
    };
    give("checks", "read");
    assert_eq!(lacks().await, ["checks: write"]);
    give("checks", "write");
    // It is told where it cannot be helped, as it is when it is asked for, and no more than is needed.
    assert_eq!(
        examine.credential().needs,
        [
            "issues: write",
            "pull_requests: write",
            "contents: write",
            "checks: write",
            "metadata: read"
        ]
    );
    fake.world().hook = Some((
        "https://prentice.example.org/hooks/main".to_owned(),
        String::new(),
    ));
    let seen = examine.hook(&repository, "main").await.unwrap();
    let HookSeen::There { deliveries, .. } = seen else {
        panic!("{seen:?}");
    };
    let told = deliveries.unwrap();
    assert_eq!(told.all, fake.world().deliveries.len());
    assert_eq!(fake.wrong(), Vec::<String>::new());
}

#[tokio::test]
async fn whether_we_could_merge_is_known_only_where_nothing_or_everything_stands_before_it() {
    let Some(fake) = Fake::public().await else {
        return;
    };
    for as_app in [true, false] {
        let (examine, service) = match as_app {
            true => (app(&fake), fake.app()),
            false => (by_token(&fake), fake.token()),
        };
        let could = async || {
            let repository = service.repository("acme/widget").await.unwrap();
            let reach = examine.reach(&repository).await.unwrap();
            assert_eq!(reach.merge, reach.push);
            reach.merge
        };
        let may_write = |may: bool| {
            let mut world = fake.world();
            let access = if may { "write" } else { "read" };
            world
                .permissions
                .insert("contents".to_owned(), access.to_owned());
            let role = if may {
                ("write", "push")
            } else {
                ("read", "pull")
            };
            world.person(TOKEN_BOT, "User", Some(role));
        };
        assert_eq!(could().await, Some(true), "nothing guards it");
        may_write(false);
        assert_eq!(could().await, Some(false), "one who may not write");
        may_write(true);
        // Whom these let by is told to administrators only.
        fake.world().protected = true;
        assert_eq!(could().await, None, "protected");
        fake.world().protected = false;
        fake.world().rules = vec!["deletion"];
        assert_eq!(could().await, None, "a rule");
        fake.world().rules.clear();
    }
    assert_eq!(fake.wrong(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_token_may_is_not_known_before_it_is_tried() {
    let Some(fake) = Fake::public().await else {
        return;
    };
    let examine = by_token(&fake);
    assert!(!examine.about().await.unwrap().account.login.is_empty());
    let grants = examine.grants("acme/widget").await.unwrap();
    assert!(grants.iter().all(|one| one.held.is_none()), "{grants:?}");
    let named = |what: &str| grants.iter().any(|one| one.name == what);
    // No token may be given check runs.
    assert!(named("statuses: write") && !named("checks: write"));
    let seen = examine.hook(&fake.repository(), "main").await.unwrap();
    assert!(matches!(seen, HookSeen::Hidden { .. }), "{seen:?}");
    assert_eq!(fake.wrong(), Vec::<String>::new());
}
