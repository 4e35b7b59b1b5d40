//! The images there are.

use std::time::SystemTime;

use aci::{Extension, FileDigest, ImageId, Label, Labels, Name, Reference};
use keys::Fingerprint;

use super::database::on;
use super::{Catalog, CatalogError, count, parsed, time};
use crate::blobs::BlobKey;

/// An image the registry serves.
#[derive(Debug, Clone)]
pub(crate) struct StoredImage {
    /// Its place in the order of pushes.
    pub(crate) sequence: i64,
    pub(crate) image_id: ImageId,
    pub(crate) name: Name,
    pub(crate) labels: Labels,
    pub(crate) file_digest: FileDigest,
    pub(crate) file_bytes: u64,
    pub(crate) signature_digest: FileDigest,
    pub(crate) signature_bytes: u64,
    /// Fingerprint of the signer's primary key.
    pub(crate) signer: Fingerprint,
    pub(crate) pushed: SystemTime,
    /// Whether its author has withdrawn it.
    pub(crate) yanked: bool,
}

impl StoredImage {
    /// Where one of its two files is.
    pub(crate) fn blob(&self, extension: Extension) -> BlobKey {
        match extension {
            Extension::Image => BlobKey::image(&self.file_digest),
            Extension::Signature => BlobKey::signature(&self.file_digest, &self.signature_digest),
        }
    }

    /// The name and all labels.
    pub(crate) fn reference(&self) -> Reference {
        Reference::new(self.name.clone(), self.labels.clone())
    }
}

/// Reads rows of images: what follows the columns.
macro_rules! select {
    ($from:literal) => {
        concat!(
            "SELECT images.sequence, image_id, name, labels, file_digest, file_bytes,
                 signature_digest, signature_bytes, signer, pushed_at, images.yanked ",
            $from
        )
    };
}
pub(super) use select;

#[derive(sqlx::FromRow)]
pub(super) struct ImageRow {
    sequence: i64,
    image_id: String,
    name: String,
    labels: String,
    file_digest: String,
    file_bytes: i64,
    signature_digest: String,
    signature_bytes: i64,
    signer: String,
    pushed_at: i64,
    yanked: i64,
}

impl TryFrom<ImageRow> for StoredImage {
    type Error = CatalogError;

    fn try_from(row: ImageRow) -> Result<Self, CatalogError> {
        Ok(Self {
            sequence: row.sequence,
            labels: parsed_labels(&row.labels)?,
            image_id: parsed("image ID", row.image_id)?,
            name: parsed("image name", row.name)?,
            file_digest: parsed("file digest", row.file_digest)?,
            file_bytes: count(row.file_bytes),
            signature_digest: parsed("file digest", row.signature_digest)?,
            signature_bytes: count(row.signature_bytes),
            signer: parsed("fingerprint", row.signer)?,
            pushed: time(row.pushed_at),
            yanked: row.yanked != 0,
        })
    }
}

/// Labels as they are kept.
pub(super) fn parsed_labels(text: &str) -> Result<Labels, CatalogError> {
    let labels: Option<Vec<Label>> = serde_json::from_str(text).ok();
    labels
        .and_then(|labels| labels.try_into().ok())
        .ok_or_else(|| CatalogError::Corrupt { wanted: "list of labels", value: text.to_owned() })
}

impl Catalog {
    /// The image of this ID.
    pub(crate) async fn image(&self, id: &ImageId) -> Result<Option<StoredImage>, CatalogError> {
        let row: Option<ImageRow> = on!(self, pool => sqlx::query_as(
            select!("FROM images WHERE image_id = $1"),
        )
        .bind(id.as_str())
        .fetch_optional(pool).await)?;
        row.map(StoredImage::try_from).transpose()
    }

    /// The image that has this name and exactly these labels.
    pub(crate) async fn image_with(
        &self,
        name: &Name,
        labels: &Labels,
    ) -> Result<Option<ImageId>, CatalogError> {
        let row: Option<(String,)> = on!(self, pool => {
            sqlx::query_as("SELECT image_id FROM images WHERE name = $1 AND labels_canonical = $2")
                .bind(name.as_str())
                .bind(labels.canonical())
                .fetch_optional(pool)
                .await?
        });
        row.map(|(id,)| parsed("image ID", id)).transpose()
    }

    /// The images of a name, newest push first.
    pub(crate) async fn images(&self, name: &Name) -> Result<Vec<StoredImage>, CatalogError> {
        let rows: Vec<ImageRow> = on!(self, pool => {
            sqlx::query_as(select!("FROM images WHERE name = $1 ORDER BY sequence DESC"))
                .bind(name.as_str())
                .fetch_all(pool)
                .await?
        });
        rows.into_iter().map(StoredImage::try_from).collect()
    }

    /// The images of a name and of one version, or without one, newest push first.
    pub(crate) async fn images_of_version(
        &self,
        name: &Name,
        version: Option<&str>,
    ) -> Result<Vec<StoredImage>, CatalogError> {
        // Said in one text, neither database would look into the index.
        let sql = match version {
            Some(_) => {
                select!("FROM images WHERE name = $1 AND version = $2 ORDER BY sequence DESC")
            }
            None => {
                select!(
                    "FROM images WHERE name = $1 AND version IS NULL AND $2 IS NULL
                     ORDER BY sequence DESC"
                )
            }
        };
        let rows: Vec<ImageRow> = on!(self, pool => {
            sqlx::query_as(sql).bind(name.as_str()).bind(version).fetch_all(pool).await?
        });
        rows.into_iter().map(StoredImage::try_from).collect()
    }

    /// How many connections to the database there are, and how many of them are idle.
    pub(crate) fn connections(&self) -> (usize, usize) {
        on!(self, pool => (pool.size() as usize, pool.num_idle()))
    }
}
