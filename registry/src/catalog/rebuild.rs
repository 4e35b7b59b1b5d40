//! The images' rows made anew, and what can be saved of a database that is damaged.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::SystemTime;

use aci::{FileDigest, ImageId};
use keys::VerifiedImage;
use sqlx::{AssertSqlSafe, Connection as _};

use super::database::{Database, DatabaseUrl, Pool, Write as _, on};
use super::dump::{Batch, Dialect as _, Table, in_order, tables};
use super::newest::variant;
use super::order::version_order;
use super::publish::{RECORD, extra_labels, labels_json};
use super::{Catalog, CatalogError, parsed, seconds, stored, time};
use crate::blobs::BlobKey;

/// Tables that are made from the files, and what is under way.
const MADE_ANEW: [&str; 2] = ["images", "blobs"];

/// What only the database knew of an image.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
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

type RecordedRow = (String, i64, i64, String, i64, String, String);
type YankRow = (String, String, String, i64);

impl Catalog {
    /// Whether the database is what its own rules say.
    pub(crate) async fn is_sound(&self) -> bool {
        let Pool::Sqlite(pool) = &self.pool else { return true };
        let checked = sqlx::query_scalar("PRAGMA integrity_check(1)").fetch_one(pool).await;
        checked.is_ok_and(|found: String| found == "ok")
    }

    /// What only the database knows of its images.
    pub(crate) async fn recorded(&self) -> Result<HashMap<ImageId, Recorded>, CatalogError> {
        let rows: Vec<RecordedRow> = on!(self, pool => {
            sqlx::query_as(
                "SELECT image_id, sequence, pushed_at, pushed_by, yanked, image_blob, signature_blob
                 FROM images",
            )
            .fetch_all(pool)
            .await?
        });
        let of = |row: RecordedRow| {
            let (id, sequence, pushed, pushed_by, yanked, image_blob, signature_blob) = row;
            let pushed = time(pushed);
            let recorded =
                Recorded { sequence, pushed, pushed_by, yanked, image_blob, signature_blob };
            Ok((parsed("image ID", id)?, recorded))
        };
        rows.into_iter().map(of).collect()
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
        let names = || names().filter(|name| !MADE_ANEW.contains(&&**name));
        let all = || Salvaged { lost: names().collect(), recorded: HashMap::new() };
        let damaged = Database::from(DatabaseUrl::file(damaged));
        let Ok(Pool::Sqlite(old)) = damaged.connect().await else { return Ok(all()) };
        let theirs = async { Ok::<Vec<Table>, CatalogError>(tables!(old, &old)) };
        let Ok(theirs) = theirs.await else { return Ok(all()) };
        let mut lost = Vec::new();
        for name in names() {
            let table = theirs.iter().find(|table| table.name == name);
            let copied = match table {
                Some(table) => {
                    let rows = sqlx::query_scalar::<_, String>(AssertSqlSafe(old.select(table)));
                    match rows.fetch_all(&old).await {
                        Ok(rows) => insert_all(new, table, rows).await.is_ok(),
                        Err(_) => false,
                    }
                }
                None => false,
            };
            if !copied {
                lost.push(name);
            }
        }
        let old = Self { pool: Pool::Sqlite(old) };
        let recorded = old.recorded().await;
        if recorded.is_err() {
            lost.push("images".to_owned());
        }
        old.close().await;
        Ok(Salvaged { lost, recorded: recorded.unwrap_or_default() })
    }

    /// Puts these images in the place of all that there are, in this order. What was said of them by
    /// their authors stays.
    pub(crate) async fn renew(
        &self,
        images: &[Renewed],
        now: SystemTime,
    ) -> Result<(), CatalogError> {
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            let yanks: Vec<YankRow> =
                sqlx::query_as("SELECT image_id, statement, signature, issued_at FROM yanks")
                    .fetch_all(&mut *transaction)
                    .await?;
            for sql in [
                "DELETE FROM yanks",
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
                    sqlx::query(
                        "INSERT INTO blobs (blob_key, bytes, leased_until, leased_by)
                         VALUES ($1, $2, 0, '') ON CONFLICT (blob_key) DO NOTHING",
                    )
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
                sqlx::query("UPDATE images SET yanked = $1 WHERE image_id = $2")
                    .bind(recorded.map_or(0, |recorded| recorded.yanked))
                    .bind(inspected.image_id().as_str())
                    .execute(&mut *transaction)
                    .await?;
            }
            for (id, statement, signature, issued_at) in yanks {
                sqlx::query(
                    "INSERT INTO yanks (image_id, statement, signature, issued_at)
                     VALUES ($1, $2, $3, $4)",
                )
                .bind(id)
                .bind(statement)
                .bind(signature)
                .bind(issued_at)
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await?;
        });
        Ok(())
    }
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
