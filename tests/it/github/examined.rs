//! What `doctor` asks of GitHub, as App and with a token.

use prentice::forge::{Examine, HookSeen, examine_github};
use secrecy::SecretString;
use std::sync::Arc;

use super::description::cached;
use super::server::Fake;
use super::world::{APP, TOKEN};

fn app(fake: &Fake) -> Arc<dyn Examine> {
    let key = SecretString::from(String::from_utf8(cached("app.pem").unwrap()).unwrap());
    let id = u64::try_from(APP).unwrap();
    let none = SecretString::default();
    examine_github(Some(fake.base()), Some((id, &key)), &none).unwrap()
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
    assert_eq!(lacks().await, ["statuses"], "the fake App was made without");
    let give = |name: &str| {
        let mut world = fake.world();
        world
            .permissions
            .insert(name.to_owned(), "write".to_owned());
    };
    give("statuses");
    assert_eq!(lacks().await, Vec::<&str>::new());
    fake.world()
        .permissions
        .insert("checks".to_owned(), "read".to_owned());
    assert_eq!(lacks().await, ["checks"]);
    let reach = examine.reach(&repository).await.unwrap();
    assert_eq!((reach.merge, reach.push), (None, None), "never guessed");
    let seen = examine.hook(&repository, "main").await.unwrap();
    let HookSeen::There { deliveries, .. } = seen else {
        panic!("{seen:?}");
    };
    let told = deliveries.unwrap();
    assert_eq!(told.all, fake.world().deliveries.len());
    assert_eq!(fake.wrong(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_token_may_is_not_known_before_it_is_tried() {
    let Some(fake) = Fake::public().await else {
        return;
    };
    let token = SecretString::from(TOKEN.to_owned());
    let examine = examine_github(Some(fake.base()), None, &token).unwrap();
    assert!(!examine.about().await.unwrap().account.login.is_empty());
    let grants = examine.grants("acme/widget").await.unwrap();
    assert!(grants.iter().all(|one| one.held.is_none()), "{grants:?}");
    let seen = examine.hook(&fake.repository(), "main").await.unwrap();
    assert!(matches!(seen, HookSeen::Hidden { .. }), "{seen:?}");
    assert_eq!(fake.wrong(), Vec::<String>::new());
}
