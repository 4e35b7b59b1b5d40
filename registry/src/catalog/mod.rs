//! What the registry knows, in SQL: images and their blobs, who may do what, uploads
//! under way.
//!
//! This is the only place of the server with SQL in it. A row goes in whole, in
//! one transaction, after everything it speaks of is on disk.

mod audit;
mod blobs;
mod checks;
mod database;
mod delete;
mod dump;
mod duties;
mod failures;
mod images;
mod names;
mod newest;
mod order;
mod parts;
mod policies;
mod publish;
mod rebuild;
mod rules;
mod settings;
mod standing;
mod tokens;
mod uploads;
mod users;
mod yank;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aci::Refusal;
use aci::stage::{Hold, Lock};
use sqlx::migrate::MigrateError;

pub(crate) use blobs::{Lease, Remover};
pub use database::{Database, DatabaseUrl, DatabaseUrlError};
use database::{Pool, Write as _, on};
pub use dump::DumpError;
pub(crate) use dump::{Dump, Glance, KeyFile, is_dump};
pub(crate) use duties::Duty;
pub(crate) use images::StoredImage;
pub(crate) use names::NameSummary;
pub(crate) use order::version_order;
pub(crate) use parts::{Added, NewPart, PartLimits, StoredPart};
pub(crate) use publish::{NewImage, NotPublished};
pub(crate) use rebuild::{Published, Recorded, Renewal, Renewed, Salvaged};
pub(crate) use settings::Used;
pub(crate) use tokens::StoredToken;
pub(crate) use uploads::{NewUpload, StoredUpload};
pub(crate) use users::StoredUser;
pub(crate) use yank::Yanked;

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
    /// The database cannot be connected to.
    #[error("the database {database} cannot be used: {}", words(.fault))]
    Connect {
        /// Its address, without the password.
        database: String,
        /// Why not.
        fault: sqlx::Error,
    },
    /// A newer program made the tables.
    #[error("the catalogue is of a newer version of this program")]
    Newer {
        /// The version of the tables.
        found: i64,
        /// The newest version that is known here.
        known: i64,
    },
    /// The database's password could not be read.
    #[error("the database's password cannot be read from {path:?}: {source}")]
    Password {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Who wanted something done is no longer who may.
    #[error("the caller's credentials ended before it was done")]
    CallerEnded,
    /// What these files are is not known any more.
    #[error("{0:?} holds files of images, and the catalogue of them is gone")]
    Gone(PathBuf),
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
    /// Whether a newer program, or another one, made the tables.
    pub(crate) fn is_of_another_version(&self) -> bool {
        use sqlx::migrate::MigrateError::{VersionMismatch, VersionMissing, VersionTooNew};
        if let Self::Newer { .. } = self {
            return true;
        }
        let Self::Migrate(error) = self else { return false };
        matches!(error, VersionMismatch(_) | VersionMissing(_) | VersionTooNew(..))
    }

    /// Whether the database's file is damaged, or is none of a database.
    pub(crate) fn is_damaged(&self) -> bool {
        let mut next: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = next {
            if let Some(sqlx::Error::Database(error)) = error.downcast_ref()
                && let Some(error) = error.try_downcast_ref::<sqlx::sqlite::SqliteError>()
            {
                // SQLITE_CORRUPT and SQLITE_NOTADB, whatever stands above the lower byte.
                let code = sqlx::error::DatabaseError::code(error);
                let code = code.and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
                return matches!(code & 0xff, 11 | 26);
            }
            next = error.source();
        }
        false
    }

    /// What was wanted, what was found and what to do next, where that can be said.
    pub fn refusal(&self) -> Option<Refusal> {
        if let Self::Newer { found, known } = self {
            return Some(Refusal {
                code: "catalogue-newer".to_owned(),
                message: self.to_string(),
                wanted: format!("tables of version {known} at most"),
                found: format!("tables of version {found}"),
                rule: "an older program would not know what a newer one has written".to_owned(),
                next: "use the newer program; or to go back, restore a backup that the older one \
                       made"
                    .to_owned(),
            });
        }
        let (code, found) = match self {
            Self::Gone(data) => (
                "catalogue-gone",
                format!("files of images in {data:?}, and no catalogue, or an empty one"),
            ),
            error if error.is_damaged() => {
                ("catalogue-damaged", "a file that is damaged, or no database".to_owned())
            }
            _ => return None,
        };
        Some(Refusal {
            code: code.to_owned(),
            message: match std::error::Error::source(self) {
                Some(cause) => format!("{self}: {cause}"),
                None => self.to_string(),
            },
            wanted: "the catalogue of the images that are there".to_owned(),
            found,
            rule: "no catalogue is begun anew beside images: policies and deletions would be \
                   forgotten"
                .to_owned(),
            next: "see that --data and --database are those of this registry; then restore a \
                   backup, or make a new catalogue of the files: \
                   `gantry registry fsck --data DATA --rebuild`"
                .to_owned(),
        })
    }

    /// Whether the disk had no room for the database.
    pub(crate) fn is_full_disk(&self) -> bool {
        let Self::Sql(sqlx::Error::Database(error)) = self else { return false };
        // SQLITE_FULL (sqlite.org/rescode.html), disk_full (PostgreSQL's manual, appendix A).
        matches!(error.code().as_deref(), Some("13" | "53100"))
    }
}

/// The catalogue, in one database or the other.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    pool: Pool,
}

impl Catalog {
    /// Opens the database, and creates or updates its tables.
    pub(crate) async fn open(database: &Database) -> Result<Self, CatalogError> {
        // Two processes that open a new file at once would both create its tables. A server sees to
        // that itself.
        let held = match database.lock() {
            Some(path) => Some(
                tokio::task::spawn_blocking(move || Lock::wait(&path, Hold::Exclusive))
                    .await
                    .map_err(|error| CatalogError::Lock(error.into()))?
                    .map_err(CatalogError::Lock)?,
            ),
            None => None,
        };
        let catalog = Self { pool: database.connect().await? };
        catalog.bring_up_to_date().await?;
        drop(held);
        Ok(catalog)
    }

    /// Whether a database's file has images in it.
    pub(crate) async fn has_images(file: &Path) -> Result<bool, CatalogError> {
        Ok(database::has_images(file).await?)
    }

    /// Brings the tables up to date, and what they hold.
    async fn bring_up_to_date(&self) -> Result<(), CatalogError> {
        self.migrate(None).await?;
        self.order_images().await
    }

    /// Brings the tables up to date, or to this version of them.
    async fn migrate(&self, version: Option<i64>) -> Result<(), CatalogError> {
        let mut migrations = match &self.pool {
            Pool::Sqlite(_) => sqlx::migrate!("src/catalog/migrations/sqlite"),
            Pool::Postgres(_) => sqlx::migrate!("src/catalog/migrations/postgres"),
        };
        if let Some(version) = version {
            migrations.migrations.to_mut().retain(|migration| migration.version <= version);
        }
        let known = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
        let ran = on!(self, pool => migrations.run(pool).await);
        ran.map_err(|error| match error {
            MigrateError::VersionMissing(found) if found > known => {
                CatalogError::Newer { found, known }
            }
            error => error.into(),
        })
    }

    /// Whether nothing was ever done with it: it has just been made, or was emptied.
    pub(crate) async fn is_blank(&self) -> Result<bool, CatalogError> {
        let anything = "SELECT 1 FROM audit UNION ALL SELECT 1 FROM blobs
             UNION ALL SELECT 1 FROM tokens LIMIT 1";
        let found = on!(self, pool => sqlx::query(anything).fetch_optional(pool).await?.is_some());
        Ok(!found)
    }

    /// Whether the database answers, and lets this process write.
    pub(crate) async fn writable(&self) -> Result<(), CatalogError> {
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            sqlx::query("SELECT 1 FROM images LIMIT 1").fetch_optional(&mut *transaction).await?;
            transaction.rollback().await?;
        });
        Ok(())
    }

    /// Closes every connection; SQLite folds its write-ahead log into the database.
    pub(crate) async fn close(&self) {
        on!(self, pool => pool.close().await);
    }
}

/// What is wrong, without what only a programmer of the database's could use.
fn words(fault: &sqlx::Error) -> String {
    match fault {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        fault => fault.to_string(),
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

/// A size as a database keeps it. Limits keep sizes far below the end of `i64`.
fn stored(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn parsed<T: std::str::FromStr>(wanted: &'static str, value: String) -> Result<T, CatalogError> {
    value.parse().map_err(|_| CatalogError::Corrupt { wanted, value })
}

#[cfg(test)]
mod scale_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Action, CallerId, Changer, Grant};
    use crate::token::{Token, TokenId, UploadId};

    #[tokio::test]
    async fn tables_of_a_newer_program_are_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::from(DatabaseUrl::file(&folder.path().join("db")));
        let catalog = Catalog::open(&database).await.unwrap();
        let Pool::Sqlite(pool) = &catalog.pool else { unreachable!() };
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum,
             execution_time) VALUES (999, 'later', 1, x'00', 1)";
        sqlx::query(newer).execute(pool).await.unwrap();
        catalog.close().await;
        let error = Catalog::open(&database).await.unwrap_err();
        assert!(error.is_of_another_version());
        let refusal = error.refusal().unwrap();
        assert!(refusal.message.contains("newer version of this program"), "{refusal}");
        assert!(refusal.found.contains("999"), "{refusal}");
    }

    #[tokio::test]
    async fn server_that_is_not_there_is_said_to_be() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("postgres://u:secret@127.0.0.1:{}/d", closed.port());
        let started = std::time::Instant::now();
        let error = Catalog::open(&url.parse::<DatabaseUrl>().unwrap().into()).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("onnection refused"), "{said} after {:?}", started.elapsed());
        assert!(said.contains("127.0.0.1") && !said.contains("secret"), "{said}");
    }

    #[tokio::test]
    async fn database_that_another_writes_to_is_not_writable() {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Catalog::open(&DatabaseUrl::file(&folder.path().join("db")).into()).await.unwrap();
        catalog.writable().await.unwrap();
        let Pool::Sqlite(pool) = &catalog.pool else { unreachable!() };
        let other = pool.write().await.unwrap();
        let soon = Duration::from_millis(100);
        assert!(tokio::time::timeout(soon, catalog.writable()).await.is_err());
        other.rollback().await.unwrap();
        catalog.writable().await.unwrap();
    }

    #[tokio::test]
    async fn full_database_is_told_from_a_broken_one() {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Catalog::open(&DatabaseUrl::file(&folder.path().join("db")).into()).await.unwrap();
        let Pool::Sqlite(pool) = &catalog.pool else { unreachable!() };
        let mut connection = pool.acquire().await.unwrap();
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
            Catalog::open(&DatabaseUrl::file(&folder.path().join("db")).into()).await.unwrap();
        let Pool::Sqlite(pool) = &catalog.pool else { unreachable!() };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let token = StoredToken {
            id: TokenId::generate().unwrap(),
            name: String::new(),
            grant: Grant::new(vec!["example.com".parse().unwrap()], vec![Action::Push]),
            created: now,
            expires: None,
            last_used: None,
            revoked: None,
        };
        let hash = Token::generate().unwrap().hash();
        catalog.add_token(&token, &hash, &Changer::admin()).await.unwrap();
        // As a full disk does: the statement fails, and the transaction is gone with it.
        sqlx::query(
            "CREATE TRIGGER full BEFORE INSERT ON uploads
             BEGIN SELECT RAISE(ROLLBACK, 'full'); END",
        )
        .execute(pool)
        .await
        .unwrap();
        let upload = || UploadId::generate().unwrap();
        let caller = CallerId::of_token(&token.id);
        for _ in 0..3 {
            let failed = catalog.open_upload(&upload(), &caller, b"s", now).await.unwrap_err();
            assert!(matches!(failed, CatalogError::Sql(sqlx::Error::Database(_))), "{failed:?}");
        }
        sqlx::query("DROP TRIGGER full").execute(pool).await.unwrap();
        catalog.open_upload(&upload(), &caller, b"s", now).await.unwrap();
    }

    /// Every schema that ever was goes forward, and keeps what it holds.
    #[tokio::test]
    async fn older_tables_are_brought_up_to_date_with_what_they_hold() {
        for version in 1..=2 {
            let folder = tempfile::tempdir().unwrap();
            let url = Database::from(DatabaseUrl::file(&folder.path().join("db")));
            let Pool::Sqlite(pool) = url.connect().await.unwrap() else { unreachable!() };
            let mut older = sqlx::migrate!("src/catalog/migrations/sqlite");
            older.migrations.to_mut().retain(|migration| migration.version <= version);
            older.run(&pool).await.unwrap();
            let (a, b, c) = ("a".repeat(128), "b".repeat(128), "c".repeat(128));
            let mut rows = vec![
                "INSERT INTO tokens (token_id, token_hash, prefix, actions, created_at)
                 VALUES ('00000001', 'x', 'example.com', 'push', 1)"
                    .to_owned(),
                format!(
                    "INSERT INTO uploads (upload_id, token_id, signature, created_at)
                     VALUES ('{}', '00000001', x'00', 1000000000)",
                    "e".repeat(64)
                ),
            ];
            rows.extend([
                format!(
                    "INSERT INTO images (image_id, name, version, labels, labels_canonical,
                         extra_labels, manifest, compression, file_digest, file_bytes, tar_bytes,
                         signature_digest, signature_bytes, signer, signing_key, signed_at,
                         pushed_at, pushed_by)
                     VALUES ('sha512-{a}', 'example.com/a', '1',
                         '[{{\"name\":\"version\",\"value\":\"1\"}}]', 'version=1', '', x'7b7d', 'gzip',
                         'sha512-{b}', 10, 20, 'sha512-{c}', 5, '{d}', '{d}', 1, 2, '00000001')",
                    d = "D".repeat(40)
                ),
            ]);
            for sql in rows {
                sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
            }
            pool.close().await;

            let catalog = Catalog::open(&url).await.unwrap();
            let image = catalog.image(&format!("sha512-{a}").parse().unwrap()).await.unwrap();
            let image = image.unwrap();
            assert_eq!(image.reference().to_string(), "example.com/a:1", "from {version}");
            assert_eq!(image.pushed, time(2));
            let token: TokenId = "00000001".parse().unwrap();
            let id = "e".repeat(64).parse().unwrap();
            let caller = CallerId::of_token(&token);
            let upload = catalog.upload(&id, &caller, time(1_000_000_001));
            assert_eq!(upload.await.unwrap().unwrap().signature, [0]);
            // Its token is what it was.
            let tokens = catalog.tokens().await.unwrap();
            let before = vec!["example.com".parse().unwrap()];
            assert_eq!(tokens[0].grant, Grant::new(before, vec![Action::Push]));
            let Pool::Sqlite(pool) = &catalog.pool else { unreachable!() };
            let pushed_by: (String,) =
                sqlx::query_as("SELECT pushed_by FROM images").fetch_one(pool).await.unwrap();
            assert_eq!(pushed_by.0, "token:00000001");
            // It is counted, and has its place in the order of versions.
            let name = "example.com/a".parse().unwrap();
            let names = catalog.names(&name, "", 9).await.unwrap();
            assert_eq!((names[0].images, names[0].pushed), (1, time(2)));
            assert_eq!(catalog.used(&name).await.unwrap(), Used { images: 1, bytes: 15 });
            let order: (String,) =
                sqlx::query_as("SELECT version_order FROM images").fetch_one(pool).await.unwrap();
            assert_eq!(order.0, version_order(Some("1")));
            // Its files are known, and kept.
            assert_eq!(catalog.free_blobs(None, 9, time(2_000_000_000)).await.unwrap(), []);
            catalog.close().await;
        }
    }
}
