//! The newest images of a name, found without reading all of them.

use aci::{Labels, Name};
use sha2::{Digest as _, Sha256};

use super::database::{Write as _, on};
use super::images::{ImageRow, parsed_labels, select};
use super::order::version_order;
use super::{Catalog, CatalogError, StoredImage};

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
        let rows: Vec<ImageRow> = on!(self, pool => {
            sqlx::query_as(NEWEST_OF_EACH_VARIANT).bind(name.as_str()).fetch_all(pool).await?
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
pub(super) const NEWEST: &str = select!(
    "FROM images WHERE name = $1 ORDER BY version_order DESC, images.sequence DESC LIMIT $2"
);

/// From one variant to the next, however many images are of it.
pub(super) const NEWEST_OF_EACH_VARIANT: &str = concat!(
    "WITH RECURSIVE variants (variant) AS (
         SELECT MIN(variant) FROM images WHERE name = $1
         UNION ALL
         SELECT (SELECT MIN(images.variant) FROM images
                 WHERE images.name = $1 AND images.variant > variants.variant)
         FROM variants WHERE variants.variant IS NOT NULL
     ) ",
    select!(
        "FROM variants CROSS JOIN (SELECT 0 AS yanked UNION ALL SELECT 1) AS kinds
         CROSS JOIN images
         WHERE images.sequence = (
             SELECT of_it.sequence FROM images AS of_it
             WHERE of_it.name = $1 AND of_it.variant = variants.variant
                 AND of_it.yanked = kinds.yanked
             ORDER BY of_it.version_order DESC, of_it.sequence DESC LIMIT 1)"
    )
);
