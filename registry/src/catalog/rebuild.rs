//! The images' rows made anew, and what can be saved of a database that is damaged.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::SystemTime;

use aci::{FileDigest, ImageId, Name};
use futures_util::TryStreamExt as _;
use keys::VerifiedImage;
use sqlx::{AssertSqlSafe, Connection as _};

use super::audit::append;
use super::database::{Database, DatabaseUrl, Pool, Write as _, on};
use super::dump::{Batch, Dialect as _, Table, in_order, tables};
use super::newest::variant;
use super::order::version_order;
use super::publish::{RECORD, extra_labels, labels_json};
use super::yank::withdrawn;
use super::{Catalog, CatalogError, parsed, seconds, stored, time};
use crate::access::ReadPolicy;
use crate::audit::{Actor, AuditAction, Event};
use crate::blobs::BlobKey;

/// Tables that are made from the files, and what is under way.
const MADE_ANEW: [&str; 2] = ["images", "blobs"];

/// What only the database knew of an image.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) sequence: i64,
    pub(crate) pushed: SystemTime,
    pub(crate) pushed_by: String,
    pub(crate) yanked: i64,
    pub(crate) image_blob: String,
    pub(crate) signature_blob: String,
}

/// An image whose files are there and verified.
pub(crate) struct Renewed {
    pub(crate) verified: VerifiedImage,
    pub(crate) signature: Vec<u8>,
    pub(crate) recorded: Option<Recorded>,
}

/// An image as the audit log tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) sequence: i64,
    pub(crate) at: SystemTime,
    pub(crate) by: String,
}

impl Renewed {
    /// The keys of its two files, and their sizes.
    pub(crate) fn blobs(&self) -> [(BlobKey, u64); 2] {
        let inspected = self.verified.inspected();
        let file = inspected.file_digest();
        let signature = FileDigest::of_bytes(&self.signature);
        [
            (BlobKey::image(file), inspected.file_bytes()),
            (BlobKey::signature(file, &signature), self.signature.len() as u64),
        ]
    }
}

/// What could be saved of a damaged database.
#[derive(Debug, Default)]
pub(crate) struct Salvaged {
    /// Tables of which not all could be read.
    pub(crate) lost: Vec<String>,
    pub(crate) recorded: HashMap<ImageId, Recorded>,
}

/// The images of a new catalogue.
pub(crate) struct Renewal<'a> {
    /// In the order of their pushes.
    pub(crate) images: &'a [Renewed],
    /// Where whoever may read is served from now on, and nobody else: what was said there is lost.
    pub(crate) closed: &'a [Name],
    /// What the audit log says of it.
    pub(crate) detail: String,
}

#[derive(sqlx::FromRow)]
struct RecordedRow {
    image_id: String,
    name: String,
    version: Option<String>,
    sequence: i64,
    pushed_at: i64,
    pushed_by: String,
    yanked: i64,
    image_blob: String,
    signature_blob: String,
}

impl Catalog {
    /// What in the database is not as its own rules say; PostgreSQL has tools of its own for that.
    pub(crate) async fn fault(&self) -> Option<String> {
        let Pool::Sqlite(pool) = &self.pool else { return None };
        let mut rows = sqlx::query_scalar::<_, String>("PRAGMA integrity_check(3)").fetch(pool);
        let mut found = String::new();
        // It may tell of some faults, and fail at the next.
        let failed = loop {
            match rows.try_next().await {
                Ok(Some(row)) => found.push_str(&format!("{row}\n")),
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
            }
        };
        // Before what is wrong stands a heading, in a line of its own.
        let told: Vec<&str> = found.lines().filter(|line| !line.starts_with("*** ")).collect();
        match (&*told, failed) {
            (["ok"], None) => None,
            ([], failed) => {
                Some(failed.unwrap_or_else(|| "it does not say what is wrong".to_owned()))
            }
            (told, _) => Some(told.join("; ")),
        }
    }

    /// What only the database knows of its images.
    pub(crate) async fn recorded(&self) -> Result<HashMap<ImageId, Recorded>, CatalogError> {
        let rows: Vec<RecordedRow> = on!(self, pool => {
            sqlx::query_as(
                "SELECT image_id, name, version, sequence, pushed_at, pushed_by, yanked, image_blob,
                     signature_blob FROM images",
            )
            .fetch_all(pool)
            .await?
        });
        let of = |row: RecordedRow| {
            let recorded = Recorded {
                name: row.name,
                version: row.version,
                sequence: row.sequence,
                pushed: time(row.pushed_at),
                pushed_by: row.pushed_by,
                yanked: row.yanked,
                image_blob: row.image_blob,
                signature_blob: row.signature_blob,
            };
            Ok((parsed("image ID", row.image_id)?, recorded))
        };
        rows.into_iter().map(of).collect()
    }

    /// What the audit log knows of images that were published, and may have no row any more: when
    /// that was last, and by whom.
    pub(crate) async fn published(&self) -> Result<HashMap<ImageId, Published>, CatalogError> {
        let rows: Vec<(String, i64, i64, String)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT image_id, sequence, at, actor FROM audit
                 WHERE action = $1 AND image_id IS NOT NULL ORDER BY sequence",
            )
            .bind(AuditAction::Publish.as_str())
            .fetch_all(pool)
            .await?
        });
        let of = |(id, sequence, at, by)| {
            Ok((parsed("image ID", id)?, Published { sequence, at: time(at), by }))
        };
        rows.into_iter().map(of).collect()
    }

    /// The tables of what is nowhere but in the database.
    pub(crate) async fn only_here(&self) -> Result<Vec<String>, CatalogError> {
        let tables: Vec<Table> = on!(self, pool => tables!(pool, pool));
        let names = tables.into_iter().map(|table| table.name);
        Ok(names.filter(|name| name != "blobs").collect())
    }

    /// Knows of blobs that it did not know: nothing refers to them or leases them.
    pub(crate) async fn take_up(&self, blobs: &[(BlobKey, u64)]) -> Result<(), CatalogError> {
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            for (key, bytes) in blobs {
                sqlx::query(TAKE_UP)
                    .bind(key.as_str())
                    .bind(stored(*bytes))
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Every blob there is a row of.
    pub(crate) async fn known_blobs(&self) -> Result<BTreeMap<BlobKey, i64>, CatalogError> {
        let rows: Vec<(String, i64)> = on!(self, pool => {
            sqlx::query_as("SELECT blob_key, bytes FROM blobs").fetch_all(pool).await?
        });
        rows.into_iter().map(|(key, bytes)| Ok((parsed("blob key", key)?, bytes))).collect()
    }

    /// Copies what can be read of a damaged database into this one, which is new, and tells of which
    /// tables not all could be. What is made from the files is left out; what only that database
    /// knows of images is given.
    pub(crate) async fn salvage(&self, damaged: &Path) -> Result<Salvaged, CatalogError> {
        let Pool::Sqlite(new) = &self.pool else { return Ok(Salvaged::default()) };
        let ours: Vec<Table> = tables!(new, new);
        let names = || ours.iter().map(|table| table.name.clone());
        let everything = self.only_here().await?;
        let all = || Salvaged { lost: everything.clone(), recorded: HashMap::new() };
        let names = || names().filter(|name| !MADE_ANEW.contains(&&**name));
        let damaged = Database::from(DatabaseUrl::file(damaged));
        let Ok(Pool::Sqlite(old)) = damaged.connect().await else { return Ok(all()) };
        let theirs = async { Ok::<Vec<Table>, CatalogError>(tables!(old, &old)) };
        let Ok(theirs) = theirs.await else { return Ok(all()) };
        let mut lost = Vec::new();
        for name in names() {
            let table = theirs.iter().find(|table| table.name == name);
            let copied = match table {
                Some(table) => {
                    let whole = is_whole(&old, &name).await;
                    let rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(old.select(table)));
                    match rows.fetch_all(&old).await {
                        // Of policies a part is worse than nothing: what is missing may hide names.
                        Ok(_) if !whole && name == "policies" => false,
                        Ok(rows) => insert_all(new, table, rows).await.is_ok() && whole,
                        Err(_) => false,
                    }
                }
                None => false,
            };
            if !copied {
                lost.push(name);
            }
        }
        if lost.iter().any(|name| name == "audit_head") {
            // The log goes on from the last record that is there.
            sqlx::query(
                "UPDATE audit_head SET
                     sequence = COALESCE((SELECT MAX(sequence) FROM audit), 0),
                     hash = COALESCE((SELECT hash FROM audit ORDER BY sequence DESC LIMIT 1), '')",
            )
            .execute(new)
            .await?;
        }
        let old = Self { pool: Pool::Sqlite(old) };
        let recorded = old.recorded().await;
        if recorded.is_err() {
            lost.push("images".to_owned());
        }
        old.close().await;
        Ok(Salvaged { lost, recorded: recorded.unwrap_or_default() })
    }

    /// Puts these images in the place of all that there are. What authors said of images stays,
    /// whether or not these are among them, and what was withdrawn comes back so.
    pub(crate) async fn renew(
        &self,
        renewal: Renewal<'_>,
        now: SystemTime,
    ) -> Result<(), CatalogError> {
        let (images, admin) = (renewal.images, Actor::admin());
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            for sql in [
                "DELETE FROM images",
                // Whatever was counted wrong is counted anew.
                "DELETE FROM names",
                "DELETE FROM blobs WHERE blob_key NOT IN (SELECT blob_key FROM upload_parts)",
            ] {
                sqlx::query(sql).execute(&mut *transaction).await?;
            }
            for image in images {
                let inspected = image.verified.inspected();
                let (manifest, signature) = (inspected.manifest(), image.verified.signature());
                let blobs = image.blobs();
                for (key, bytes) in &blobs {
                    sqlx::query(TAKE_UP)
                    .bind(key.as_str())
                    .bind(stored(*bytes))
                    .execute(&mut *transaction)
                    .await?;
                }
                let recorded = image.recorded.as_ref();
                sqlx::query(RECORD)
                    .bind(inspected.image_id().as_str())
                    .bind(manifest.name.as_str())
                    .bind(manifest.labels.value("version"))
                    .bind(labels_json(&manifest.labels)?)
                    .bind(manifest.labels.canonical())
                    .bind(extra_labels(&manifest.labels))
                    .bind(inspected.manifest_bytes())
                    .bind(inspected.compression().as_str())
                    .bind(inspected.file_digest().as_str())
                    .bind(stored(inspected.file_bytes()))
                    .bind(stored(inspected.tar_bytes()))
                    .bind(FileDigest::of_bytes(&image.signature).as_str().to_owned())
                    .bind(stored(image.signature.len() as u64))
                    .bind(blobs[0].0.as_str())
                    .bind(blobs[1].0.as_str())
                    .bind(signature.signer().to_string())
                    .bind(signature.signing_key().to_string())
                    .bind(seconds(signature.created()))
                    .bind(seconds(recorded.map_or(now, |recorded| recorded.pushed)))
                    .bind(recorded.map_or("rebuild", |recorded| &*recorded.pushed_by))
                    .bind(version_order(manifest.labels.value("version")))
                    .bind(variant(&manifest.labels))
                    .bind(0_i64)
                    .execute(&mut *transaction)
                    .await?;
                let yanked = match withdrawn!(transaction, inspected.image_id()) {
                    Some(withdrawn) => i64::from(withdrawn),
                    None => recorded.map_or(0, |recorded| recorded.yanked),
                };
                sqlx::query("UPDATE images SET yanked = $1 WHERE image_id = $2")
                    .bind(yanked)
                    .bind(inspected.image_id().as_str())
                    .execute(&mut *transaction)
                    .await?;
            }
            for prefix in renewal.closed {
                sqlx::query(
                    "INSERT INTO policies (prefix, read, overwrite, changed_at)
                     VALUES ($1, $2, NULL, $3)
                     ON CONFLICT (prefix) DO UPDATE SET read = excluded.read,
                         changed_at = excluded.changed_at",
                )
                .bind(prefix.as_str())
                .bind(ReadPolicy::Token.as_str())
                .bind(seconds(now))
                .execute(&mut *transaction)
                .await?;
                let detail = "read=token, for what was said here is lost".to_owned();
                let event = Event::new(&admin, AuditAction::PolicySet, detail);
                append!(transaction, &event.below(Some(prefix)), now);
            }
            append!(transaction, &Event::new(&admin, AuditAction::Rebuild, renewal.detail), now);
            transaction.commit().await?;
        });
        Ok(())
    }
}

/// What a row of it means is that a collector may remove it.
const TAKE_UP: &str = "INSERT INTO blobs (blob_key, bytes, leased_until, leased_by)
     VALUES ($1, $2, 0, '') ON CONFLICT (blob_key) DO NOTHING";

/// Whether a table of a damaged database is whole. Where rows are missing, reading them does not always
/// fail.
async fn is_whole(damaged: &sqlx::SqlitePool, table: &str) -> bool {
    let check = AssertSqlSafe(format!("PRAGMA integrity_check(\"{table}\")"));
    let checked = sqlx::query_scalar(check).fetch_one(damaged).await;
    checked.is_ok_and(|found: String| found == "ok")
}

/// Fills a new table.
async fn insert_all(
    new: &sqlx::SqlitePool,
    table: &Table,
    rows: Vec<String>,
) -> Result<(), CatalogError> {
    let mut connection = new.acquire().await?;
    // What it refers to may come later, or be lost.
    sqlx::query("PRAGMA foreign_keys = OFF").execute(&mut *connection).await?;
    let done = insert_rows(&mut connection, new, table, rows).await;
    sqlx::query("PRAGMA foreign_keys = ON").execute(&mut *connection).await?;
    done
}

async fn insert_rows(
    connection: &mut sqlx::SqliteConnection,
    new: &sqlx::SqlitePool,
    table: &Table,
    rows: Vec<String>,
) -> Result<(), CatalogError> {
    let mut transaction = connection.begin().await?;
    let empty = format!("DELETE FROM \"{}\"", table.name);
    sqlx::query(AssertSqlSafe(empty)).execute(&mut *transaction).await?;
    for rows in rows.chunks(super::dump::BATCH_ROWS) {
        let mut batch = Batch::default();
        rows.iter().for_each(|row| batch.add(row));
        if let Some(rows) = batch.take() {
            let insert = sqlx::query(AssertSqlSafe(new.insert(table))).bind(rows);
            insert.execute(&mut *transaction).await?;
        }
    }
    Ok(transaction.commit().await?)
}
