//! Images, and the names they make up.

use std::collections::{BTreeSet, HashSet};
use std::time::SystemTime;

use aci::{FileDigest, Identifier, ImageId, Label, Labels, Name, Reference};
use keys::{Fingerprint, VerifiedImage};

use super::uploads::brought;
use super::{Catalog, CatalogError, count, parsed, seconds, stored, time};
use crate::token::{TokenId, UploadId};

/// An image about to be recorded. Made from a [`VerifiedImage`] alone, so nothing
/// else can become visible.
pub(crate) struct NewImage<'a> {
    pub(crate) verified: &'a VerifiedImage,
    pub(crate) signature_digest: FileDigest,
    pub(crate) signature_bytes: u64,
    pub(crate) pushed: SystemTime,
    pub(crate) pushed_by: &'a TokenId,
    /// The upload that brought it.
    pub(crate) upload: &'a UploadId,
}

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
}

impl StoredImage {
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

/// The label names by which images of one name and version are told apart, beyond
/// the two every client fills in.
fn extra_labels(labels: &Labels) -> String {
    let names: BTreeSet<&str> = labels
        .iter()
        .map(|label| label.name.as_str())
        .filter(|name| !matches!(*name, "version" | "os" | "arch"))
        .collect();
    names.into_iter().collect::<Vec<_>>().join(",")
}

impl Catalog {
    /// Makes an image visible: one transaction, after its files are on disk. That no
    /// other image has its name and labels is asked before (see [`Catalog::image_with`]);
    /// the table holds to it whatever was asked.
    pub(crate) async fn record(&self, new: &NewImage<'_>) -> Result<(), CatalogError> {
        let inspected = new.verified.inspected();
        let manifest = inspected.manifest();
        let signature = new.verified.signature();
        let labels: Vec<Label> = manifest.labels.clone().into();
        let labels = serde_json::to_string(&labels)
            .map_err(|error| CatalogError::Sql(sqlx::Error::Encode(error.into())))?;
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        // An image that is there already gets here only where its files had been
        // lost; then these are its files and this is its signature.
        sqlx::query(
            "INSERT INTO images (image_id, name, version, labels, labels_canonical, extra_labels,
                 manifest, compression, file_digest, file_bytes, tar_bytes, signature_digest,
                 signature_bytes, signer, signing_key, signed_at, pushed_at, pushed_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
             ON CONFLICT (image_id) DO UPDATE SET compression = excluded.compression,
                 file_digest = excluded.file_digest, file_bytes = excluded.file_bytes,
                 signature_digest = excluded.signature_digest,
                 signature_bytes = excluded.signature_bytes, signer = excluded.signer,
                 signing_key = excluded.signing_key, signed_at = excluded.signed_at",
        )
        .bind(inspected.image_id().as_str())
        .bind(manifest.name.as_str())
        .bind(manifest.labels.value("version"))
        .bind(labels)
        .bind(manifest.labels.canonical())
        .bind(extra_labels(&manifest.labels))
        .bind(inspected.manifest_bytes())
        .bind(inspected.compression().as_str())
        .bind(inspected.file_digest().as_str())
        .bind(stored(inspected.file_bytes()))
        .bind(stored(inspected.tar_bytes()))
        .bind(new.signature_digest.as_str())
        .bind(stored(new.signature_bytes))
        .bind(signature.signer().to_string())
        .bind(signature.signing_key().to_string())
        .bind(seconds(signature.created()))
        .bind(seconds(new.pushed))
        .bind(new.pushed_by.as_str())
        .execute(&mut *transaction)
        .await?;
        // Whoever asks what came of the upload is told the same as whoever asks for the image.
        brought(new.upload, inspected.image_id()).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The image of this ID.
    pub(crate) async fn image(&self, id: &ImageId) -> Result<Option<StoredImage>, CatalogError> {
        let row: Option<ImageRow> = sqlx::query_as(
            "SELECT sequence, image_id, name, labels, file_digest, file_bytes, signature_digest,
                 signature_bytes, signer, pushed_at
             FROM images WHERE image_id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(&self.pool)
        .await?;
        row.map(StoredImage::try_from).transpose()
    }

    /// The image that has this name and exactly these labels.
    pub(crate) async fn image_with(
        &self,
        name: &Name,
        labels: &Labels,
    ) -> Result<Option<ImageId>, CatalogError> {
        let row: Option<(String,)> =
            sqlx::query_as("SELECT image_id FROM images WHERE name = $1 AND labels_canonical = $2")
                .bind(name.as_str())
                .bind(labels.canonical())
                .fetch_optional(&self.pool)
                .await?;
        row.map(|(id,)| parsed("image ID", id)).transpose()
    }

    /// The images of a name, of one version where one is given, newest push first.
    pub(crate) async fn images(
        &self,
        name: &Name,
        version: Option<&str>,
    ) -> Result<Vec<StoredImage>, CatalogError> {
        let rows: Vec<ImageRow> = sqlx::query_as(
            "SELECT sequence, image_id, name, labels, file_digest, file_bytes, signature_digest,
                 signature_bytes, signer, pushed_at
             FROM images WHERE name = $1 AND ($2 IS NULL OR version = $2) ORDER BY sequence DESC",
        )
        .bind(name.as_str())
        .bind(version)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(StoredImage::try_from).collect()
    }

    /// The names at and below `top` that have images, in alphabetical order, those
    /// after `after` where it is given.
    pub(crate) async fn names(
        &self,
        top: &Name,
        after: Option<&Name>,
        limit: u32,
    ) -> Result<Vec<NameSummary>, CatalogError> {
        // What follows "/" in ASCII is "0": between the two lies all that is below.
        let rows: Vec<NameRow> = sqlx::query_as(
            "SELECT name, COUNT(*) AS images, MAX(pushed_at) AS pushed_at FROM images
             WHERE (name = $1 OR (name > $1 || '/' AND name < $1 || '0')) AND name > $2
             GROUP BY name ORDER BY name LIMIT $3",
        )
        .bind(top.as_str())
        .bind(after.map_or("", Name::as_str))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(NameSummary::try_from).collect()
    }

    /// The sets of labels beyond version, os and arch that images of a name carry.
    pub(crate) async fn label_sets(
        &self,
        name: &Name,
        limit: u32,
    ) -> Result<Vec<BTreeSet<Identifier>>, CatalogError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT DISTINCT extra_labels FROM images WHERE name = $1 AND extra_labels <> ''
             ORDER BY extra_labels LIMIT $2",
        )
        .bind(name.as_str())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let set = |(text,): (String,)| {
            text.split(',').map(|word| parsed("label name", word.to_owned())).collect()
        };
        rows.into_iter().map(set).collect()
    }

    /// How much there is.
    pub(crate) async fn totals(&self) -> Result<Totals, CatalogError> {
        Ok(sqlx::query_as(
            "SELECT COUNT(*) AS images, COUNT(DISTINCT name) AS names,
                 CAST(COALESCE(SUM(file_bytes + signature_bytes), 0) AS BIGINT) AS bytes FROM images",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// How many connections to the database there are, and how many of them are idle.
    pub(crate) fn connections(&self) -> (usize, usize) {
        (self.pool.size() as usize, self.pool.num_idle())
    }

    /// The image IDs whose digits begin with these two.
    pub(crate) async fn ids_beginning(
        &self,
        digits: &str,
    ) -> Result<HashSet<ImageId>, CatalogError> {
        let rows: Vec<(String,)> =
            sqlx::query_as("SELECT image_id FROM images WHERE image_id >= $1 AND image_id < $2")
                .bind(format!("sha512-{digits}"))
                // `g` follows every hex digit.
                .bind(format!("sha512-{digits}g"))
                .fetch_all(&self.pool)
                .await?;
        rows.into_iter().map(|(id,)| parsed("image ID", id)).collect()
    }
}
