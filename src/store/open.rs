//! Opening the database: what it promises is read back, never assumed.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, SqliteConnection};

use super::{CommitError, LeaseError, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// How long a write waits for another process. Every transaction here is short.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// The write-ahead log is cut to this after it was folded in; a burst may make it larger.
const LOG_BYTES: &str = "67108864";
/// Readers at the same time; more wait.
const READERS: u32 = 4;

/// Connections of one database.
pub(super) struct Connections {
    /// For the writer alone.
    pub(super) writer: SqliteConnection,
    /// For the watcher alone: what it sees of others depends on the connection.
    pub(super) watcher: SqliteConnection,
    pub(super) readers: SqlitePool,
}

/// Opens `<data>/prentice.db`, makes it if it is missing, brings it to the newest schema.
pub(super) async fn connect(data: &Path) -> Result<Connections, StoreError> {
    let folder = data.to_owned();
    let opening = tokio::task::spawn_blocking(move || prepare(&folder))
        .await
        .map_err(|_| StoreError::Closed)??;
    let path = data.join("prentice.db");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("journal_size_limit", LOG_BYTES)
        .disable_statement_logging();
    let at = |why: sqlx::Error| match sorted(&why) {
        StoreError::Corrupt { what } => StoreError::Corrupt {
            what: format!("{} ({what})", path.display()),
        },
        other => other,
    };
    let mut writer = options.connect().await.map_err(at)?;
    migrate(&mut writer, &path).await?;
    let (mode, level) = promises(&mut writer).await.map_err(at)?;
    durable(&mode, level).map_err(|what| StoreError::Unsafe {
        path: path.clone(),
        what,
    })?;
    let reading = options.clone().pragma("query_only", "on");
    let watcher = reading.connect().await.map_err(at)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .min_connections(1)
        .connect_with(reading)
        .await
        .map_err(at)?;
    drop(opening);
    Ok(Connections {
        writer,
        watcher,
        readers,
    })
}

/// Makes the folder, refuses network file systems, and waits for others that are just
/// opening: first migration and switch to WAL are not safe side by side.
fn prepare(data: &Path) -> Result<File, StoreError> {
    let io = |what: &Path, why: std::io::Error| StoreError::from_io(what, &why);
    make_private_folder(data).map_err(|why| io(data, why))?;
    let kind = rustix::fs::statfs(data).map_err(|why| io(data, why.into()))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the magic number is 32 bits wide; its type differs by architecture"
    )]
    if let Some(name) = network_name(kind.f_type as u32) {
        return Err(StoreError::Unsafe {
            path: data.to_owned(),
            what: format!("it is on {name}, where locks and syncs are not reliable"),
        });
    }
    let path = data.join("open.lock");
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|why| io(&path, why))?;
    file.lock().map_err(|why| io(&path, why))?;
    Ok(file)
}

/// Makes a folder and what is missing above it, for this user alone.
pub(super) fn make_private_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The file systems, by `statfs` magic, that break `flock`, `fsync` or shared memory between hosts.
fn network_name(magic: u32) -> Option<&'static str> {
    match magic {
        0x6969 => Some("NFS"),
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
        0x5346_414F => Some("AFS"),
        0x00C3_6400 => Some("Ceph"),
        0x7375_7245 => Some("Coda"),
        _ => None,
    }
}

async fn promises(connection: &mut SqliteConnection) -> Result<(String, i64), sqlx::Error> {
    let mode = sqlx::query_scalar("pragma journal_mode")
        .fetch_one(&mut *connection)
        .await?;
    let level = sqlx::query_scalar("pragma synchronous")
        .fetch_one(connection)
        .await?;
    Ok((mode, level))
}

/// Whether a commit that returned survives a power cut: WAL, and FULL (2) or EXTRA (3).
fn durable(mode: &str, level: i64) -> Result<(), String> {
    if mode == "wal" && (level == 2 || level == 3) {
        return Ok(());
    }
    Err(format!(
        "the database runs with journal_mode={mode}, synchronous={level} and would lose what it acknowledged"
    ))
}

async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let path = || -> PathBuf { path.to_owned() };
    match MIGRATIONS.run_direct(None, connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(version)) => Err(StoreError::Newer {
            path: path(),
            version,
        }),
        Err(MigrateError::VersionMismatch(version)) => Err(StoreError::Corrupt {
            what: format!(
                "{}: its schema {version} is not the one of this program",
                path().display()
            ),
        }),
        Err(MigrateError::Execute(why)) => Err(why.into()),
        Err(MigrateError::ExecuteMigration(why, version)) => Err(match sorted(&why) {
            StoreError::Broken(what) => {
                StoreError::Broken(format!("schema {version} was refused: {what}"))
            }
            other => other,
        }),
        Err(other) => Err(StoreError::Broken(format!(
            "the schema could not be brought up to date: {other}"
        ))),
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(why: sqlx::Error) -> Self {
        sorted(&why)
    }
}

impl From<sqlx::Error> for CommitError {
    fn from(why: sqlx::Error) -> Self {
        Self::Store(sorted(&why))
    }
}

impl From<sqlx::Error> for LeaseError {
    fn from(why: sqlx::Error) -> Self {
        Self::Store(sorted(&why))
    }
}

/// Sorts what the driver says by what can be done about it.
fn sorted(why: &sqlx::Error) -> StoreError {
    let what = why.to_string();
    match why {
        sqlx::Error::Io(io) => StoreError::from_io(Path::new("the database"), io),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => StoreError::Closed,
        sqlx::Error::PoolTimedOut => StoreError::Busy,
        sqlx::Error::Database(engine) => {
            let code = engine.code().and_then(|code| code.parse::<i32>().ok());
            match code.unwrap_or(0) {
                // IOERR_WRITE, IOERR_FSYNC, IOERR_SHMSIZE: what is left when a disk is full.
                778 | 1034 | 4874 => StoreError::Disk { what },
                code => match code & 0xff {
                    5 | 6 => StoreError::Busy,
                    8 | 10 | 14 => StoreError::Io { what },
                    11 | 26 => StoreError::Corrupt { what },
                    13 => StoreError::Disk { what },
                    _ => StoreError::Broken(what),
                },
            }
        }
        _ => StoreError::Broken(what),
    }
}

/// Whether a statement broke a `unique` or primary key rule.
pub(super) fn is_unique(why: &sqlx::Error) -> bool {
    why.as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_wal_with_full_sync_is_refused() {
        assert_eq!(durable("wal", 2), Ok(()));
        assert_eq!(durable("wal", 3), Ok(()));
        insta::assert_snapshot!(durable("wal", 1).unwrap_err(), @"the database runs with journal_mode=wal, synchronous=1 and would lose what it acknowledged");
        assert!(durable("wal", 0).is_err());
        assert!(durable("delete", 2).is_err());
    }

    #[tokio::test]
    async fn the_writer_really_runs_with_wal_and_full_sync() {
        let data = tempfile::tempdir().unwrap();
        let mut connections = connect(data.path()).await.unwrap();
        let got = promises(&mut connections.writer).await.unwrap();
        assert_eq!(got, ("wal".to_owned(), 2));
        let keys: i64 = sqlx::query_scalar("pragma foreign_keys")
            .fetch_one(&mut connections.writer)
            .await
            .unwrap();
        assert_eq!(keys, 1);
        let refused = sqlx::query("delete from tasks")
            .execute(&connections.readers)
            .await;
        assert!(refused.is_err(), "readers must not write");
    }

    #[test]
    fn network_file_systems_are_named_and_local_ones_pass() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0xFF53_4D42), Some("SMB"));
        // ext4, tmpfs, btrfs, overlayfs
        for local in [0xEF53, 0x0102_1994, 0x9123_683E, 0x794C_7630] {
            assert_eq!(network_name(local), None);
        }
    }
}
