//! What a server lets go of, and what it keeps.

use std::collections::BTreeSet;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::*;

pub(super) async fn database(data: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(data.join("prentice.db"))
        .busy_timeout(Duration::from_secs(5))
        .connect()
        .await
        .unwrap()
}

async fn count(db: &mut SqliteConnection, of: &'static str) -> i64 {
    sqlx::query_scalar(of).fetch_one(db).await.unwrap()
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Makes a file look written so much earlier.
fn age(path: &Path, days: u64) {
    let file = std::fs::File::options().append(true).open(path).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    let earlier = Duration::from_secs(days * 24 * 60 * 60);
    file.set_modified(written - earlier).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_goes_in_its_time_and_what_lives_stays() {
    let keys = Keys {
        server: "[retention]\nlogs = \"1h\"\ndeliveries = \"1h\"\ntasks = \"1h\"",
        ..Keys::default()
    };
    let name = "what_is_over_goes_in_its_time";
    let Some(mut world) = World::with(name, Hears::Hooks, keys).await else {
        return;
    };
    let data = world.folder.path().join("state/prentice");
    let (over, _) = world.in_review().await;
    world.prentice(&["tasks", "reject", "T-1"]);
    world.is_at(over, "rejected").await;
    let (living, pull) = world.in_review().await;
    let base = world.at("branches/main").await;
    let base = base["commit"]["id"].as_str().unwrap().to_owned();
    world.kill();

    // Two hours pass, and a killed process left layers.
    let mut db = database(&data).await;
    for statement in [
        "update tasks set finished_at = finished_at - 7200000 where finished_at is not null",
        "update hooks set settled_at = settled_at - 7200000 where settled_at is not null",
        "update deliveries set settled_at = settled_at - 7200000 where settled_at is not null",
    ] {
        let done = sqlx::query(statement).execute(&mut db).await.unwrap();
        assert!(done.rows_affected() > 0, "{statement}");
    }
    let newest = count(&mut db, "select max(id) from hooks").await;
    let (work, repos) = (data.join("work"), data.join("repos"));
    for left in ["T-1", "T-2", "verify-main-7-1", "verify-abcdef", "other"] {
        std::fs::create_dir_all(work.join(left).join("base-1/upper")).unwrap();
    }
    let served = format!("main-{}", world.repo.id);
    for (unserved, days) in [("main-999999", 8), ("main-999998", 1)] {
        std::fs::create_dir_all(repos.join(unserved).join("mirror.git")).unwrap();
        let lock = repos.join(format!("{unserved}.lock"));
        std::fs::write(&lock, "").unwrap();
        age(&lock, days);
    }
    age(&repos.join(format!("{served}.lock")), 8);
    // One base that nothing names, beside the one of the living task.
    let marks = repos.join(&served).join("mirror.git/refs/prentice/base");
    for (mark, days) in [("1", 3), ("2", 2)] {
        let mark = marks.join(mark.repeat(40));
        std::fs::write(&mark, format!("{base}\n")).unwrap();
        age(&mark, days);
    }
    age(&marks.join(&base), 8);
    world.serve(AGENT).await;

    world
        .until("the idle mirror is gone", 30, async || {
            !repos.join("main-999999").exists()
        })
        .await;
    assert_eq!(
        names(&work),
        BTreeSet::from(["other"].map(str::to_owned)),
        "what no living process holds goes, and nothing of others"
    );
    let list = world.prentice(&["tasks", "list"]);
    assert!(!list.contains("T-1 ") && list.contains("T-2 "), "{list}");
    assert!(!data.join("tasks/T-1").exists());
    for (of, left) in [
        ("select count(*) from journal where task = 1", 0),
        ("select count(*) from artifacts where task = 1", 0),
        ("select count(*) from deliveries where task = 1", 0),
    ] {
        assert_eq!(count(&mut db, of).await, left, "{of}");
    }
    let read = "select count(*) from hooks where state <> 'new' and id <= ";
    let read = sqlx::AssertSqlSafe(format!("{read}{newest}"));
    let read: i64 = sqlx::query_scalar(read).fetch_one(&mut db).await.unwrap();
    assert_eq!(read, 0, "bodies of deliveries");
    assert!(repos.join(&served).exists() && repos.join("main-999998").exists());
    let marks = names(&marks);
    assert!(marks.contains(&base), "{marks:?}");
    assert!(!marks.contains(&"1".repeat(40)), "{marks:?}");

    // What lives goes on: its logs are there, and so is its pull request.
    assert!(count(&mut db, "select count(*) from artifacts where task = 2").await > 0);
    assert_eq!(world.stage(living).await, "needs-review");
    let (gitea, owner) = (&world.gitea, &world.owner);
    gitea
        .comment(owner, &world.repo, pull, "/agent reject enough")
        .await;
    world.is_at(living, "rejected").await;
    db.close().await.unwrap();
}
