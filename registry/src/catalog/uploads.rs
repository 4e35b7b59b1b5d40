//! Uploads under way: the signature that came first, whose it is, and what came of it.

use std::time::{Duration, SystemTime};

use aci::{ImageId, Refusal};
use serde::{Deserialize, Serialize};

use super::{Catalog, CatalogError, seconds};
use crate::token::{TokenId, UploadId};

/// How long an upload may wait for its image.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How many uploads one token may have open; the oldest make room.
const OPEN_PER_TOKEN: i64 = 64;

/// An upload that waits for its image.
#[derive(Debug, Clone)]
pub(crate) struct StoredUpload {
    /// The signature, as it was sent.
    pub(crate) signature: Vec<u8>,
    /// What came of it.
    pub(crate) state: UploadState,
}

/// What came of an upload. Only the appc push protocol asks for it afterwards.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UploadState {
    /// Nothing so far.
    #[default]
    Open,
    /// The image is served.
    Published(ImageId),
    /// A part was refused.
    Refused(Box<Refusal>),
}

#[derive(sqlx::FromRow)]
struct UploadRow {
    signature: Vec<u8>,
    state: Option<String>,
}

impl TryFrom<UploadRow> for StoredUpload {
    type Error = CatalogError;

    fn try_from(row: UploadRow) -> Result<Self, CatalogError> {
        let state = row.state.map(|text| {
            serde_json::from_str(&text)
                .map_err(|_| CatalogError::Corrupt { wanted: "state of an upload", value: text })
        });
        Ok(Self { signature: row.signature, state: state.transpose()?.unwrap_or_default() })
    }
}

impl Catalog {
    /// Opens an upload, and forgets those nobody will finish.
    pub(crate) async fn open_upload(
        &self,
        id: &UploadId,
        token: &TokenId,
        signature: &[u8],
        now: SystemTime,
    ) -> Result<(), CatalogError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM uploads WHERE created_at < $1")
            .bind(seconds(now.checked_sub(LIFETIME).unwrap_or(SystemTime::UNIX_EPOCH)))
            .execute(&mut *transaction)
            .await?;
        // A client that opens uploads and never sends an image would fill the disk.
        sqlx::query(
            "DELETE FROM uploads WHERE rowid IN (
                 SELECT rowid FROM uploads WHERE token_id = $1
                 ORDER BY created_at DESC, rowid DESC LIMIT -1 OFFSET $2)",
        )
        .bind(token.as_str())
        .bind(OPEN_PER_TOKEN - 1)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO uploads (upload_id, token_id, signature, created_at)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(id.as_str())
        .bind(token.as_str())
        .bind(signature)
        .bind(seconds(now))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The upload of this ID, where this token opened it and it is not too old. It
    /// stays until then, so that a client which never saw the answer can ask again.
    pub(crate) async fn upload(
        &self,
        id: &UploadId,
        token: &TokenId,
        now: SystemTime,
    ) -> Result<Option<StoredUpload>, CatalogError> {
        let row: Option<UploadRow> = sqlx::query_as(
            "SELECT signature, state FROM uploads
             WHERE upload_id = $1 AND token_id = $2 AND created_at >= $3",
        )
        .bind(id.as_str())
        .bind(token.as_str())
        .bind(seconds(now.checked_sub(LIFETIME).unwrap_or(SystemTime::UNIX_EPOCH)))
        .fetch_optional(&self.pool)
        .await?;
        row.map(StoredUpload::try_from).transpose()
    }

    /// Gives an upload the signature that came after it was opened.
    pub(crate) async fn sign_upload(
        &self,
        id: &UploadId,
        signature: &[u8],
    ) -> Result<(), CatalogError> {
        sqlx::query("UPDATE uploads SET signature = $1 WHERE upload_id = $2")
            .bind(signature)
            .bind(id.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Notes what came of an upload.
    pub(crate) async fn settle_upload(
        &self,
        id: &UploadId,
        state: &UploadState,
    ) -> Result<(), CatalogError> {
        let state = serde_json::to_string(state)
            .map_err(|error| CatalogError::Sql(sqlx::Error::Encode(error.into())))?;
        sqlx::query("UPDATE uploads SET state = $1 WHERE upload_id = $2")
            .bind(state)
            .bind(id.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
