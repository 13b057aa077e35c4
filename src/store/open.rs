//! Where the database is, and how it is made ready: found or made, locked, its tables brought up to this version.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyPool, Executor as _, SqlSafeStr as _};
use thiserror::Error;

use super::Store;

/// Where things are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// SQLite in this folder, which is made where it is missing.
    Folder(PathBuf),
    /// Postgres: `postgres://…`.
    Url(String),
}

/// Why the store cannot be used. Each says what to do.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The data folder or a file in it.
    #[error("cannot use {path}: {error}; give a folder of this user by --data")]
    File {
        /// What was tried.
        path: PathBuf,
        /// What happened.
        error: io::Error,
    },
    /// Two bridges would contradict each other.
    #[error("another bridge keeps its data in {0}; give each a folder of its own by --data")]
    Taken(PathBuf),
    /// No connection.
    #[error("cannot open the database: {0}; see --database and --data")]
    Connect(sqlx::Error),
    /// It was made by a later version.
    #[error(
        "the database was made by a later version of Plenary (its tables are at {0}); run that one"
    )]
    Later(i64),
    /// The tables cannot be brought up to this version.
    #[error("the tables of the database cannot be made: {0}")]
    Migrate(MigrateError),
    /// It cannot be read.
    #[error("the database cannot be read: {0}")]
    Query(sqlx::Error),
}

impl Store {
    /// Opens the database, and makes what is missing: folder, file and tables.
    ///
    /// # Errors
    /// [`StoreError`], which says what to do.
    pub async fn open(place: &Place) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let (url, lock) = match place {
            Place::Folder(folder) => {
                let lock = claim(folder)?;
                (sqlite_url(&folder.join(FILE)), Some(lock))
            }
            Place::Url(url) => (url.clone(), None),
        };
        let is_sqlite = lock.is_some();
        let pool = AnyPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if is_sqlite {
                        connection.execute(PRAGMAS).await?;
                    }
                    Ok(())
                })
            })
            .connect(&url)
            .await
            .map_err(StoreError::Connect)?;
        migrate(&pool).await?;
        Ok(Self { pool, _lock: lock })
    }
}

/// That the folder is ours.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    /// To close the file is not enough: a program that is just being started has a copy of it until it begins to run.
    fn drop(&mut self) {
        drop(self.0.unlock());
    }
}

/// Makes the folder (mode 0700) and the file (mode 0600, as are those that SQLite puts beside it), and takes the lock.
fn claim(folder: &Path) -> Result<Lock, StoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::File { path, error }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed(folder))?;
    let open = |name: &str| {
        let path = folder.join(name);
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        opened.map_err(failed(&path))
    };
    let lock = open(LOCK)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => StoreError::Taken(folder.to_owned()),
        TryLockError::Error(error) => failed(&folder.join(LOCK))(error),
    })?;
    drop(open(FILE)?);
    let file = folder.join(FILE);
    fs::set_permissions(&file, Permissions::from_mode(0o600)).map_err(failed(&file))?;
    Ok(Lock(lock))
}

/// The file as a URL; what could be read as part of the URL is escaped.
fn sqlite_url(file: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;

    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    let escaped = file.as_os_str().as_bytes().iter().map(|&byte| {
        if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    format!("sqlite://{}", escaped.collect::<String>())
}

/// Brings the tables up to this version: each step once, in a transaction of its own.
async fn migrate(pool: &AnyPool) -> Result<(), StoreError> {
    let step = |(at, (name, sql)): (usize, &(&'static str, &'static str))| {
        let version = i64::try_from(at + 1).unwrap_or(i64::MAX);
        Migration::new(version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let steps = STEPS.iter().enumerate().map(step).collect();
    Migrator::with_migrations(steps).run(pool).await.map_err(|error| {
        if let MigrateError::VersionMissing(version) = error {
            return StoreError::Later(version);
        }
        StoreError::Migrate(error)
    })
}

/// In this order; none is ever changed, only more are added.
const STEPS: [(&str, &str); 6] = [
    ("documents", include_str!("migrations/0001_documents.sql")),
    ("records", include_str!("migrations/0002_records.sql")),
    ("events", include_str!("migrations/0003_events.sql")),
    ("rooms", include_str!("migrations/0004_rooms.sql")),
    ("deliveries", include_str!("migrations/0005_deliveries.sql")),
    ("recordings", include_str!("migrations/0006_recordings.sql")),
];
/// What a commit returns from is on the disk. Readers do not wait for the writer, nor it for them.
const PRAGMAS: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000";
const FILE: &str = "plenary.db";
const LOCK: &str = "plenary.lock";
/// One writes, the others read.
const CONNECTIONS: u32 = 4;
/// How long a connection is waited for.
const CONNECT: Duration = Duration::from_secs(3);
