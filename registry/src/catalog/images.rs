//! Images, and the names they make up.

use std::collections::BTreeSet;
use std::time::SystemTime;

use aci::{Extension, FileDigest, Identifier, ImageId, Label, Labels, Name, Reference};
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

/// One name and how much there is of it.
#[derive(Debug, Clone)]
pub(crate) struct NameSummary {
    pub(crate) name: Name,
    pub(crate) images: u64,
    pub(crate) pushed: SystemTime,
}

/// How much there is in a catalogue.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub(crate) struct Totals {
    pub(crate) images: i64,
    pub(crate) names: i64,
    /// Of images and signatures.
    pub(crate) bytes: i64,
}

#[derive(sqlx::FromRow)]
struct ImageRow {
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

#[derive(sqlx::FromRow)]
struct NameRow {
    name: String,
    images: i64,
    pushed_at: i64,
}

impl TryFrom<ImageRow> for StoredImage {
    type Error = CatalogError;

    fn try_from(row: ImageRow) -> Result<Self, CatalogError> {
        let labels: Vec<Label> = serde_json::from_str(&row.labels).map_err(|_| corrupt(&row))?;
        Ok(Self {
            sequence: row.sequence,
            labels: labels.try_into().map_err(|_| corrupt(&row))?,
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

fn corrupt(row: &ImageRow) -> CatalogError {
    CatalogError::Corrupt { wanted: "list of labels", value: row.labels.clone() }
}

impl TryFrom<NameRow> for NameSummary {
    type Error = CatalogError;

    fn try_from(row: NameRow) -> Result<Self, CatalogError> {
        Ok(Self {
            name: parsed("image name", row.name)?,
            images: count(row.images),
            pushed: time(row.pushed_at),
        })
    }
}

impl Catalog {
    /// The image of this ID.
    pub(crate) async fn image(&self, id: &ImageId) -> Result<Option<StoredImage>, CatalogError> {
        let row: Option<ImageRow> = on!(self, pool => sqlx::query_as(
            "SELECT sequence, image_id, name, labels, file_digest, file_bytes, signature_digest,
                 signature_bytes, signer, pushed_at, yanked
             FROM images WHERE image_id = $1",
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

    /// The images of a name, of one version where one is given, newest push first.
    pub(crate) async fn images(
        &self,
        name: &Name,
        version: Option<&str>,
    ) -> Result<Vec<StoredImage>, CatalogError> {
        let rows: Vec<ImageRow> = on!(self, pool => sqlx::query_as(
            "SELECT sequence, image_id, name, labels, file_digest, file_bytes, signature_digest,
                 signature_bytes, signer, pushed_at, yanked
             FROM images WHERE name = $1 AND ($2 IS NULL OR version = $2) ORDER BY sequence DESC",
        )
        .bind(name.as_str())
        .bind(version)
        .fetch_all(pool).await)?;
        rows.into_iter().map(StoredImage::try_from).collect()
    }

    /// The names at and below `top` that have images, in alphabetical order, those
    /// after `after`.
    pub(crate) async fn names(
        &self,
        top: &Name,
        after: &str,
        limit: u32,
    ) -> Result<Vec<NameSummary>, CatalogError> {
        // What follows "/" in ASCII is "0": between the two lies all that is below.
        let rows: Vec<NameRow> = on!(self, pool => sqlx::query_as(
            "SELECT name, COUNT(*) AS images, MAX(pushed_at) AS pushed_at FROM images
             WHERE (name = $1 OR (name > $1 || '/' AND name < $1 || '0')) AND name > $2
             GROUP BY name ORDER BY name LIMIT $3",
        )
        .bind(top.as_str())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(pool).await)?;
        rows.into_iter().map(NameSummary::try_from).collect()
    }

    /// The sets of labels beyond version, os and arch that images of a name carry.
    pub(crate) async fn label_sets(
        &self,
        name: &Name,
        limit: u32,
    ) -> Result<Vec<BTreeSet<Identifier>>, CatalogError> {
        let rows: Vec<(String,)> = on!(self, pool => sqlx::query_as(
            "SELECT DISTINCT extra_labels FROM images WHERE name = $1 AND extra_labels <> ''
             ORDER BY extra_labels LIMIT $2",
        )
        .bind(name.as_str())
        .bind(i64::from(limit))
        .fetch_all(pool).await)?;
        let set = |(text,): (String,)| {
            text.split(',').map(|word| parsed("label name", word.to_owned())).collect()
        };
        rows.into_iter().map(set).collect()
    }

    /// How much there is.
    pub(crate) async fn totals(&self) -> Result<Totals, CatalogError> {
        Ok(on!(self, pool => {
            sqlx::query_as(
                "SELECT COUNT(*) AS images, COUNT(DISTINCT name) AS names,
                     CAST(COALESCE(SUM(file_bytes + signature_bytes), 0) AS BIGINT) AS bytes
                 FROM images",
            )
            .fetch_one(pool)
            .await?
        }))
    }

    /// How many connections to the database there are, and how many of them are idle.
    pub(crate) fn connections(&self) -> (usize, usize) {
        on!(self, pool => (pool.size() as usize, pool.num_idle()))
    }
}
