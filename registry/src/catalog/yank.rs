//! What authors say of their images afterwards.

use std::collections::HashMap;
use std::time::SystemTime;

use aci::yank::Yank;
use aci::{ImageId, Name};

use super::audit::append;
use super::database::{Write as _, on};
use super::standing::Holds as _;
use super::{Catalog, CatalogError, parsed};
use crate::access::Caller;
use crate::audit::{AuditAction, Event};
use crate::yank::VerifiedYank;

/// A statement and its signature, as they came.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct StoredYank {
    pub(crate) statement: String,
    pub(crate) signature: String,
}

/// What became of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yanked {
    /// It counts from now on.
    Taken,
    /// It was there already.
    Known,
    /// There is a later one about the same image.
    Stale,
    /// There is no such image.
    Absent,
}

/// Whether the author of an image has withdrawn it; none where nothing was said of it.
macro_rules! withdrawn {
    ($transaction:expr, $id:expr) => {{
        let id: &aci::ImageId = $id;
        let said: Option<(String,)> =
            sqlx::query_as("SELECT statement FROM yanks WHERE image_id = $1")
                .bind(id.as_str())
                .fetch_optional(&mut *$transaction)
                .await?;
        let withdraws = |statement: &str| {
            aci::yank::Yank::read(statement.as_bytes()).is_ok_and(|yank| yank.yanked)
        };
        said.map(|(statement,)| withdraws(&statement))
    }};
}
pub(super) use withdrawn;

impl Catalog {
    /// Takes a statement about an image, where it is the latest.
    pub(crate) async fn yank(
        &self,
        yank: &VerifiedYank,
        caller: &Caller,
        now: SystemTime,
    ) -> Result<Yanked, CatalogError> {
        let said = yank.said();
        let issued = said.issued.as_microsecond();
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            if !transaction.holds(caller.standing(), now).await? {
                return Err(CatalogError::CallerEnded);
            }
            // The image's row stays locked, so that statements about it come one after the other.
            let there = sqlx::query("UPDATE images SET yanked = yanked WHERE image_id = $1")
                .bind(said.image_id.as_str())
                .execute(&mut *transaction)
                .await?
                .rows_affected();
            if there == 0 {
                return Ok(Yanked::Absent);
            }
            let last: Option<(String, i64)> =
                sqlx::query_as("SELECT statement, issued_at FROM yanks WHERE image_id = $1")
                    .bind(said.image_id.as_str())
                    .fetch_optional(&mut *transaction)
                    .await?;
            match last {
                Some((statement, _)) if statement == yank.statement() => return Ok(Yanked::Known),
                Some((_, last)) if last >= issued => return Ok(Yanked::Stale),
                _ => {}
            }
            sqlx::query(
                "INSERT INTO yanks (image_id, statement, signature, issued_at)
                 VALUES ($1, $2, $3, $4)
                 ON CONFLICT (image_id) DO UPDATE SET statement = excluded.statement,
                     signature = excluded.signature, issued_at = excluded.issued_at",
            )
            .bind(said.image_id.as_str())
            .bind(yank.statement())
            .bind(yank.signature())
            .bind(issued)
            .execute(&mut *transaction)
            .await?;
            sqlx::query("UPDATE images SET yanked = $1 WHERE image_id = $2")
                .bind(i64::from(said.yanked))
                .bind(said.image_id.as_str())
                .execute(&mut *transaction)
                .await?;
            let action = if said.yanked { AuditAction::Yank } else { AuditAction::Unyank };
            let (name, image) = (Some(&said.name), Some(&said.image_id));
            let detail = Some(said.reason.clone()).filter(|reason| !reason.is_empty());
            let actor = caller.actor();
            append!(transaction, &Event { actor, action, name, image, detail }, now);
            transaction.commit().await?;
        });
        Ok(Yanked::Taken)
    }

    /// Why those of so many newest images of a name were withdrawn that were.
    pub(crate) async fn yank_reasons(
        &self,
        name: &Name,
        limit: u32,
    ) -> Result<HashMap<ImageId, String>, CatalogError> {
        let rows: Vec<(String, String)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT newest.image_id, statement FROM (
                     SELECT image_id, yanked FROM images WHERE name = $1
                     ORDER BY version_order DESC, sequence DESC LIMIT $2
                 ) AS newest JOIN yanks ON yanks.image_id = newest.image_id
                 WHERE newest.yanked = 1",
            )
            .bind(name.as_str())
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await?
        });
        let reason = |(id, statement): (String, String)| match Yank::read(statement.as_bytes()) {
            Ok(yank) => Ok((parsed("image ID", id)?, yank.reason)),
            Err(_) => Err(CatalogError::Corrupt { wanted: "statement", value: statement }),
        };
        rows.into_iter().map(reason).collect()
    }

    /// The last statement about an image.
    pub(crate) async fn last_yank(&self, id: &ImageId) -> Result<Option<StoredYank>, CatalogError> {
        Ok(on!(self, pool => {
            sqlx::query_as("SELECT statement, signature FROM yanks WHERE image_id = $1")
                .bind(id.as_str())
                .fetch_optional(pool)
                .await?
        }))
    }
}
