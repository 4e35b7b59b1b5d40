//! Which database the catalogue is in, and how one text of SQL runs on either.
//!
//! ```text
//! sqlite:///var/lib/gantry-registry/gantry.db      a file, for one node
//! postgres://gantry@db.example.com/gantry          a server, for as many nodes as are needed
//! ```
//!
//! SQL is written once, in what the two have in common: `$1`, `ON CONFLICT`, `RETURNING`. Where
//! they differ, the difference stands beside it.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{
    Connection, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction,
};

use super::CatalogError;

/// How long a writer waits for another one, as an admin command beside the server.
const BUSY: Duration = Duration::from_secs(15);
/// How long a server is given to say why it cannot be used.
const AGAIN: Duration = Duration::from_secs(5);
/// One writer at a time is all SQLite has; the rest are readers.
const SQLITE_CONNECTIONS: u32 = 8;
/// A PostgreSQL server takes a hundred unless told otherwise, of all nodes together.
const POSTGRES_CONNECTIONS: u32 = 16;

/// Bytes of a password's file that are read.
const PASSWORD_BYTES: u64 = 4 << 10;

/// The database a catalogue is in.
///
/// - A file is given by its whole path; it is made where it is missing.
/// - A server's database must be there; its tables are made where they are missing.
/// - The password is never shown.
#[derive(Clone)]
pub struct DatabaseUrl(Kind);

#[derive(Clone)]
enum Kind {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

/// A database, and how its password is had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Its address.
    pub url: DatabaseUrl,
    /// A file with the password, read when it is connected to.
    pub password_file: Option<PathBuf>,
}

impl From<DatabaseUrl> for Database {
    fn from(url: DatabaseUrl) -> Self {
        Self { url, password_file: None }
    }
}

/// Why a text is no database's address.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseUrlError {
    /// Of another kind than the two.
    #[error("a database is sqlite:///PATH or postgres://USER@HOST/DATABASE, not {0:?}")]
    Scheme(String),
    /// Not a path from the root on.
    #[error("the path of {0:?} does not begin at the root: write sqlite:///PATH")]
    Relative(String),
    /// Not what a PostgreSQL client takes.
    #[error("this is no address of a PostgreSQL database: {0}")]
    Postgres(#[source] sqlx::Error),
}

impl DatabaseUrl {
    /// A file.
    pub fn file(path: &Path) -> Self {
        Self(Kind::Sqlite(path.to_owned()))
    }

    /// Whether it can be what was shown as this text: the same file, or a database of the same name. A
    /// server has many names.
    pub(crate) fn is_as(&self, shown: &str) -> bool {
        match (&self.0, shown.parse().map(|Self(kind)| kind)) {
            (Kind::Postgres(here), Ok(Kind::Postgres(there))) => called(here) == called(&there),
            _ => self.to_string() == shown,
        }
    }

    /// The same with this password.
    fn with_password(self, password: &str) -> Self {
        match self.0 {
            Kind::Postgres(options) => Self(Kind::Postgres(Box::new(options.password(password)))),
            file => Self(file),
        }
    }
}

/// The name of a database; where none is said, the server takes its user's.
fn called(options: &PgConnectOptions) -> &str {
    options.get_database().unwrap_or_else(|| options.get_username())
}

impl Database {
    /// The file it is in, where it is in one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.url.0 {
            Kind::Sqlite(path) => Some(path),
            Kind::Postgres(_) => None,
        }
    }

    /// Where the tables of a file are locked while they are brought up to date.
    pub(super) fn lock(&self) -> Option<PathBuf> {
        match &self.url.0 {
            Kind::Sqlite(path) => {
                let mut lock = path.clone().into_os_string();
                lock.push(".lock");
                Some(lock.into())
            }
            Kind::Postgres(_) => None,
        }
    }

    pub(super) async fn connect(&self) -> Result<Pool, CatalogError> {
        let url = match &self.password_file {
            Some(path) => {
                let password = password(path)
                    .map_err(|source| CatalogError::Password { path: path.clone(), source })?;
                self.url.clone().with_password(&password)
            }
            None => self.url.clone(),
        };
        Ok(match &url.0 {
            Kind::Sqlite(path) => Pool::Sqlite(sqlite(path).await?),
            Kind::Postgres(options) => Pool::Postgres(
                postgres(options)
                    .await
                    .map_err(|fault| CatalogError::Connect { database: url.to_string(), fault })?,
            ),
        })
    }

    /// Whether what it names beside the database is there. Nobody is asked.
    pub(crate) fn check(&self) -> Result<(), CatalogError> {
        let Some(path) = &self.password_file else { return Ok(()) };
        let read = password(path).map(drop);
        read.map_err(|source| CatalogError::Password { path: path.clone(), source })
    }
}

/// Whether a file has images in it. It is only looked at.
pub(super) async fn has_images(path: &Path) -> Result<bool, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'images'";
    let mut has = sqlx::query(table).fetch_optional(&mut connection).await?.is_some();
    if has {
        let image = sqlx::query("SELECT 1 FROM images LIMIT 1");
        has = image.fetch_optional(&mut connection).await?.is_some();
    }
    connection.close().await?;
    Ok(has)
}

/// The text of a file, without the end of its line.
fn password(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(PASSWORD_BYTES).read_to_string(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

async fn postgres(options: &PgConnectOptions) -> Result<PgPool, sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(POSTGRES_CONNECTIONS).acquire_timeout(BUSY);
    match pool.connect_with(options.clone()).await {
        // It has tried all the time, and kept to itself what was wrong.
        Err(sqlx::Error::PoolTimedOut) => {
            let again = tokio::time::timeout(AGAIN, PgConnection::connect_with(options)).await;
            Err(again.ok().and_then(Result::err).unwrap_or(sqlx::Error::PoolTimedOut))
        }
        connected => connected,
    }
}

async fn sqlite(path: &Path) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A transaction that was answered for must survive a power cut.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .foreign_keys(true);
    // SQLite would let everybody read a new one; what it makes beside has the same mode.
    let (mode, flags) =
        (Mode::RUSR | Mode::WUSR, OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC);
    rustix::fs::open(path, flags, mode).map_err(std::io::Error::from)?;
    SqlitePoolOptions::new()
        .max_connections(SQLITE_CONNECTIONS)
        // Where the disk is full, SQLite itself rolls back. sqlx does not see it, counts
        // the transaction as open for ever, and every later one on this connection fails.
        .before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(std::future::ready(Ok(usable)))
        })
        .connect_with(options)
        .await
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        match text.split_once("://") {
            Some(("sqlite", path)) if path.starts_with('/') => Ok(Self::file(Path::new(path))),
            Some(("sqlite", _)) => Err(DatabaseUrlError::Relative(text.to_owned())),
            Some(("postgres" | "postgresql", _)) => {
                let options = text.parse().map_err(DatabaseUrlError::Postgres)?;
                Ok(Self(Kind::Postgres(Box::new(options))))
            }
            // Whatever stands behind the colon may be secret.
            _ => {
                let scheme = text.split(':').next().unwrap_or_default();
                Err(DatabaseUrlError::Scheme(scheme.to_owned()))
            }
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Sqlite(path) => write!(f, "sqlite://{}", path.display()),
            Kind::Postgres(options) => {
                let (user, host) = (options.get_username(), options.get_host());
                let database = options.get_database().unwrap_or(user);
                let port = options.get_port();
                match options.get_socket() {
                    // A folder of sockets is no host's name, so it stands apart.
                    Some(folder) => {
                        write!(
                            f,
                            "postgres://{user}@localhost:{port}/{database}?host={}",
                            folder.display()
                        )
                    }
                    None => write!(f, "postgres://{user}@{host}:{port}/{database}"),
                }
            }
        }
    }
}

impl PartialEq for DatabaseUrl {
    /// By what is shown of them: two that differ in their password are the same database.
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for DatabaseUrl {}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The connections to either.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Runs the same code on the connections to either database.
macro_rules! on {
    ($catalog:expr, $pool:ident => $work:expr) => {
        match &$catalog.pool {
            $crate::catalog::database::Pool::Sqlite($pool) => $work,
            $crate::catalog::database::Pool::Postgres($pool) => $work,
        }
    };
}
pub(super) use on;

/// A transaction that is going to write.
pub(super) trait Write {
    type Of: sqlx::Database;

    fn write(&self) -> impl Future<Output = sqlx::Result<Transaction<'static, Self::Of>>> + Send;

    /// Counts the images that come and go in a transaction before its end.
    fn count_now(&self) -> &'static str;

    /// Locks the row of a blob and gives it; nothing where another has it.
    fn lock_blob(&self) -> &'static str;
}

impl Write for SqlitePool {
    type Of = Sqlite;

    async fn write(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        // One that began by reading could not wait for another that writes.
        self.begin_with("BEGIN IMMEDIATE").await
    }

    fn count_now(&self) -> &'static str {
        // They are counted already.
        "SELECT 1"
    }

    fn lock_blob(&self) -> &'static str {
        // Who writes has all.
        "SELECT 1 FROM blobs WHERE blob_key = $1"
    }
}

impl Write for PgPool {
    type Of = Postgres;

    async fn write(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        self.begin().await
    }

    fn count_now(&self) -> &'static str {
        "SET CONSTRAINTS ALL IMMEDIATE"
    }

    fn lock_blob(&self) -> &'static str {
        "SELECT 1 FROM blobs WHERE blob_key = $1 FOR UPDATE SKIP LOCKED"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_url_is_read_and_hides_its_password() {
        let shown = |text: &str| text.parse::<DatabaseUrl>().map(|url| format!("{url} {url:?}"));
        assert_eq!(shown("sqlite:///a/b.db").unwrap(), "sqlite:///a/b.db sqlite:///a/b.db");
        let secret = shown("postgres://u:secret@db.example.com:5433/gantry").unwrap();
        assert!(secret.starts_with("postgres://u@db.example.com:5433/gantry "), "{secret}");
        let socket = shown("postgres://u@%2Frun%2Fdb/gantry").unwrap();
        let (socket, _) = socket.split_once(' ').unwrap();
        assert_eq!(socket, "postgres://u@localhost:5432/gantry?host=/run/db");
        assert_eq!(socket.parse::<DatabaseUrl>().unwrap().to_string(), socket);
        let later: DatabaseUrl = "postgresql://u@db.example.com/gantry".parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "secret\r\n").unwrap();
        assert_eq!(password(&file).unwrap(), "secret");
        for shown in [secret, format!("{:?}", later.with_password("secret"))] {
            assert!(!shown.contains("secret"), "{shown}");
        }
        for bad in ["", "gantry.db", "sqlite://gantry.db", "mysql://u@h/d", "postgres://u@h:x/d"] {
            assert!(shown(bad).is_err(), "{bad}");
        }
    }
}
