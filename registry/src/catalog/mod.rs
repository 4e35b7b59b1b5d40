//! What the registry knows, in SQL: images, tokens, uploads under way.
//!
//! This is the only place of the server with SQL in it. A row goes in whole, in
//! one transaction, after everything it speaks of is on disk.

mod images;
mod tokens;
mod uploads;

use std::path::Path;
use std::time::{Duration, SystemTime};

use aci::stage::{Hold, Lock};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqlitePool};

pub(crate) use images::{NameSummary, NewImage, StoredImage};
pub(crate) use tokens::StoredToken;
pub(crate) use uploads::StoredUpload;

/// How long a writer waits for another one, as an admin command beside the server.
const BUSY: Duration = Duration::from_secs(15);
/// One writer at a time is all SQLite has; the rest are readers.
const CONNECTIONS: u32 = 8;

/// Why the catalogue could not answer.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The database could not be asked.
    #[error("the catalogue's database failed")]
    Sql(#[from] sqlx::Error),
    /// The tables could not be brought up to date.
    #[error("the catalogue's tables could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The lock beside the database could not be taken.
    #[error("the catalogue could not be locked while its tables are brought up to date")]
    Lock(#[source] std::io::Error),
    /// A stored text is not what was written.
    #[error("the catalogue holds {value:?} where a {wanted} should be")]
    Corrupt {
        /// What the column is for.
        wanted: &'static str,
        /// What is there.
        value: String,
    },
}

impl CatalogError {
    /// Whether the disk had no room for the database.
    pub(crate) fn is_full_disk(&self) -> bool {
        // SQLITE_FULL (sqlite.org/rescode.html).
        matches!(self, Self::Sql(sqlx::Error::Database(error)) if error.code().as_deref() == Some("13"))
    }
}

/// The catalogue of one data directory.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    pool: SqlitePool,
}

impl Catalog {
    /// Opens the database, and creates or updates its tables.
    pub(crate) async fn open(database: &Path, lock: &Path) -> Result<Self, CatalogError> {
        let options = SqliteConnectOptions::new()
            .filename(database)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A transaction that was answered for must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true);
        // Two processes that open a new database at once would both create its tables.
        let lock = lock.to_owned();
        let held = tokio::task::spawn_blocking(move || Lock::wait(&lock, Hold::Exclusive))
            .await
            .map_err(|error| CatalogError::Lock(error.into()))?
            .map_err(CatalogError::Lock)?;
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            // Where the disk is full, SQLite itself rolls back. sqlx does not see it, counts
            // the transaction as open for ever, and every later one on this connection fails.
            .before_acquire(|connection, _| {
                let usable = !connection.is_in_transaction();
                Box::pin(std::future::ready(Ok(usable)))
            })
            .connect_with(options)
            .await?;
        sqlx::migrate!("src/catalog/migrations").run(&pool).await?;
        drop(held);
        Ok(Self { pool })
    }

    /// Whether the database answers, and lets this process write.
    pub(crate) async fn writable(&self) -> Result<(), CatalogError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("SELECT 1 FROM images LIMIT 1").fetch_optional(&mut *transaction).await?;
        transaction.rollback().await?;
        Ok(())
    }

    /// Closes every connection, and folds the write-ahead log into the database.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Seconds since 1970, as the database keeps times.
fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn count(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or_default()
}

/// A size as SQLite keeps it. Limits keep sizes far below the end of `i64`.
fn stored(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn parsed<T: std::str::FromStr>(wanted: &'static str, value: String) -> Result<T, CatalogError> {
    value.parse().map_err(|_| CatalogError::Corrupt { wanted, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Action, Token, TokenId, UploadId};

    #[tokio::test]
    async fn database_that_another_writes_to_is_not_writable() {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Catalog::open(&folder.path().join("db"), &folder.path().join("lock")).await.unwrap();
        catalog.writable().await.unwrap();
        let other = catalog.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let soon = Duration::from_millis(100);
        assert!(tokio::time::timeout(soon, catalog.writable()).await.is_err());
        other.rollback().await.unwrap();
        catalog.writable().await.unwrap();
    }

    #[tokio::test]
    async fn full_database_is_told_from_a_broken_one() {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Catalog::open(&folder.path().join("db"), &folder.path().join("lock")).await.unwrap();
        let mut connection = catalog.pool.acquire().await.unwrap();
        for sql in ["CREATE TABLE rows (bytes BLOB)", "PRAGMA max_page_count = 1"] {
            sqlx::query(sql).execute(&mut *connection).await.unwrap();
        }
        let full = "INSERT INTO rows VALUES (zeroblob(1000000))";
        let full = sqlx::query(full).execute(&mut *connection).await.unwrap_err();
        assert!(CatalogError::from(full).is_full_disk());
        let broken = sqlx::query("SELECT absent").execute(&mut *connection).await.unwrap_err();
        assert!(!CatalogError::from(broken).is_full_disk());
    }

    #[tokio::test]
    async fn transaction_that_sqlite_ended_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Catalog::open(&folder.path().join("db"), &folder.path().join("lock")).await.unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let token = StoredToken {
            id: TokenId::generate().unwrap(),
            prefix: "example.com".parse().unwrap(),
            actions: vec![Action::Push],
            created: now,
            expires: None,
            last_used: None,
            revoked: None,
        };
        catalog.add_token(&token, &Token::generate().unwrap().hash()).await.unwrap();
        // As a full disk does: the statement fails, and the transaction is gone with it.
        sqlx::query(
            "CREATE TRIGGER full BEFORE INSERT ON uploads
             BEGIN SELECT RAISE(ROLLBACK, 'full'); END",
        )
        .execute(&catalog.pool)
        .await
        .unwrap();
        let upload = || UploadId::generate().unwrap();
        for _ in 0..3 {
            let failed = catalog.open_upload(&upload(), &token.id, b"s", now).await.unwrap_err();
            assert!(matches!(failed, CatalogError::Sql(sqlx::Error::Database(_))), "{failed:?}");
        }
        sqlx::query("DROP TRIGGER full").execute(&catalog.pool).await.unwrap();
        catalog.open_upload(&upload(), &token.id, b"s", now).await.unwrap();
    }
}
