//! The newest images of a name, found without reading all of them.

use aci::{Labels, Name};
use sha2::{Digest as _, Sha256};
use sqlx::AssertSqlSafe;

use super::database::{Write as _, on};
use super::images::{ImageRow, parsed_labels, select};
use super::order::version_order;
use super::{Catalog, CatalogError, StoredImage};

/// Rows that are read together.
const ROWS: usize = 500;

/// One text for one set of labels beyond the version. An index of PostgreSQL takes no row of any
/// length, so it is a digest.
pub(super) fn variant(labels: &Labels) -> String {
    let digest = Sha256::digest(labels.without("version").canonical());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Catalog {
    /// So many images of a name, newest version first and, of one version, newest push first.
    pub(crate) async fn newest(
        &self,
        name: &Name,
        limit: u32,
    ) -> Result<Vec<StoredImage>, CatalogError> {
        let rows: Vec<ImageRow> = on!(self, pool => {
            sqlx::query_as(NEWEST)
                .bind(name.as_str())
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await?
        });
        rows.into_iter().map(StoredImage::try_from).collect()
    }

    /// Of each set of labels beyond the version that images of a name have, the newest image, and
    /// the newest that was withdrawn.
    pub(crate) async fn newest_of_each_variant(
        &self,
        name: &Name,
    ) -> Result<Vec<StoredImage>, CatalogError> {
        let mut rows: Vec<ImageRow> = Vec::new();
        on!(self, pool => {
            let found: Vec<(Option<i64>,)> =
                sqlx::query_as(NEWEST_OF_EACH_VARIANT).bind(name.as_str()).fetch_all(pool).await?;
            let found: Vec<String> =
                found.into_iter().filter_map(|(found,)| Some(found?.to_string())).collect();
            for some in found.chunks(ROWS) {
                let of = format!("{}({})", select!("FROM images WHERE sequence IN "), some.join(","));
                // Each is another text, and not worth remembering.
                let query = sqlx::query_as(AssertSqlSafe(of)).persistent(false);
                rows.extend(query.fetch_all(pool).await?);
            }
        });
        rows.into_iter().map(StoredImage::try_from).collect()
    }

    /// Gives images of older tables their place in the order of versions, which SQL does not know.
    pub(super) async fn order_images(&self) -> Result<(), CatalogError> {
        on!(self, pool => {
            if sqlx::query(WITHOUT_ORDER).fetch_optional(pool).await?.is_none() {
                return Ok(());
            }
            let mut transaction = pool.write().await?;
            let rows: Vec<(i64, String)> =
                sqlx::query_as(WITHOUT_ORDER).fetch_all(&mut *transaction).await?;
            for (sequence, labels) in rows {
                let labels = parsed_labels(&labels)?;
                sqlx::query(
                    "UPDATE images SET version_order = $1, variant = $2 WHERE sequence = $3",
                )
                .bind(version_order(labels.value("version")))
                .bind(variant(&labels))
                .bind(sequence)
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await?;
        });
        Ok(())
    }
}

const WITHOUT_ORDER: &str =
    "SELECT sequence, labels FROM images WHERE version_order = '' ORDER BY sequence";

/// Of which name, how many.
const NEWEST: &str = select!(
    "FROM images WHERE name = $1 ORDER BY version_order DESC, images.sequence DESC LIMIT $2"
);

/// From one variant to the next, however many images are of it. Rows are read apart from this: where
/// PostgreSQL knows too little of the table, it would read all of it.
const NEWEST_OF_EACH_VARIANT: &str = "WITH RECURSIVE variants (variant) AS (
         SELECT MIN(variant) FROM images WHERE name = $1
         UNION ALL
         SELECT (SELECT MIN(images.variant) FROM images
                 WHERE images.name = $1 AND images.variant > variants.variant)
         FROM variants WHERE variants.variant IS NOT NULL
     )
     SELECT (SELECT images.sequence FROM images
             WHERE images.name = $1 AND images.variant = variants.variant
                 AND images.yanked = kinds.yanked
             ORDER BY images.version_order DESC, images.sequence DESC LIMIT 1)
     FROM variants CROSS JOIN (SELECT 0 AS yanked UNION ALL SELECT 1) AS kinds";
