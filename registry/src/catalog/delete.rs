//! An image goes: its row, not yet its files, and a tombstone stays.

use std::time::SystemTime;

use aci::{ImageId, Labels, Name};

use super::audit::append;
use super::database::{Write as _, on};
use super::images::parsed_labels;
use super::publish::KEEP_FOR_A_WHILE;
use super::standing::still;
use super::{Catalog, CatalogError, StoredImage, parsed, seconds};
use crate::access::Changer;
use crate::audit::{AuditAction, Event};

impl Catalog {
    /// Deletes an image, and gives what it was; `None` where there is none of this ID. Its files stay
    /// until then, for who has just looked it up. A caller has to be one still. Its name and labels are never another image's.
    pub(crate) async fn delete(
        &self,
        id: &ImageId,
        by: &Changer,
        now: SystemTime,
        files_until: SystemTime,
    ) -> Result<Option<StoredImage>, CatalogError> {
        let Some(image) = self.image(id).await? else { return Ok(None) };
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            still!(transaction, by, now);
            let row: Option<(String, String, String, String)> = sqlx::query_as(
                "DELETE FROM images WHERE image_id = $1
                 RETURNING labels, labels_canonical, image_blob, signature_blob",
            )
            .bind(id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
            let Some((labels, labels_canonical, image_blob, signature_blob)) = row else {
                return Ok(None);
            };
            sqlx::query(
                "INSERT INTO tombstones (name, labels_canonical, labels, image_id, deleted_at,
                     deleted_by)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (name, labels_canonical) DO UPDATE SET image_id = excluded.image_id,
                     deleted_at = excluded.deleted_at, deleted_by = excluded.deleted_by",
            )
            .bind(image.name.as_str())
            .bind(labels_canonical)
            .bind(labels)
            .bind(id.as_str())
            .bind(seconds(now))
            .bind(&*by.actor.who)
            .execute(&mut *transaction)
            .await?;
            sqlx::query(KEEP_FOR_A_WHILE)
            .bind(seconds(files_until))
            .bind(image_blob)
            .bind(signature_blob)
            .execute(&mut *transaction)
            .await?;
            let (action, name) = (AuditAction::Delete, Some(&image.name));
            let detail = Some(image.reference().to_string());
            let event = Event { actor: by.actor.clone(), action, name, image: Some(id), detail };
            append!(transaction, &event, now);
            transaction.commit().await?;
        });
        Ok(Some(image))
    }

    /// The labels of images of this name that were deleted: of any that had exactly `labels`, and of so
    /// many more.
    pub(crate) async fn deleted_labels(
        &self,
        name: &Name,
        labels: &Labels,
        most: u32,
    ) -> Result<Vec<Labels>, CatalogError> {
        let rows: Vec<(String,)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT labels FROM tombstones WHERE name = $1 AND labels_canonical = $2
                 UNION ALL
                 SELECT labels FROM (SELECT labels FROM tombstones WHERE name = $1 LIMIT $3) AS others",
            )
            .bind(name.as_str())
            .bind(labels.canonical())
            .bind(i64::from(most))
            .fetch_all(pool)
            .await?
        });
        rows.into_iter().map(|(text,)| parsed_labels(&text)).collect()
    }

    /// The name an image of this ID had that was deleted.
    pub(crate) async fn deleted(&self, id: &ImageId) -> Result<Option<Name>, CatalogError> {
        let row: Option<(String,)> = on!(self, pool => {
            sqlx::query_as("SELECT name FROM tombstones WHERE image_id = $1 ORDER BY name LIMIT 1")
                .bind(id.as_str())
                .fetch_optional(pool)
                .await?
        });
        row.map(|(name,)| parsed("image name", name)).transpose()
    }
}
