//! What holds for every node at once, and what is used of quotas.

use std::time::SystemTime;

use aci::Name;

use super::audit::change;
use super::database::on;
use super::{Catalog, CatalogError, count, parsed, seconds, time};
use crate::access::Changer;
use crate::audit::{AuditAction, Event};

/// Since when the registry takes nothing in.
const READ_ONLY: &str = "read-only";

/// What the images of a prefix come to: its name, and all that is below it. What follows "/" in ASCII
/// is "0".
pub(super) const USAGE: &str = "SELECT CAST(COALESCE(SUM(images), 0) AS BIGINT),
         CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM names
     WHERE name = $1 OR (name > $1 || '/' AND name < $1 || '0')";

/// What the images of a prefix come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) images: u64,
    pub(crate) bytes: u64,
}

impl From<(i64, i64)> for Used {
    fn from((images, bytes): (i64, i64)) -> Self {
        Self { images: count(images), bytes: count(bytes) }
    }
}

/// The first quota that the images of these names exceed, and what they come to. Who publishes holds
/// the lock of the audit log's head from its record on, so nobody else publishes before the end.
macro_rules! exceeded {
    ($pool:expr, $transaction:expr, $quotas:expr, $names:expr) => {{
        let mut exceeded = None;
        for quota in $quotas {
            if !$names.iter().any(|name: &&aci::Name| name.is_under(&quota.prefix)) {
                continue;
            }
            sqlx::query($pool.count_now()).execute(&mut *$transaction).await?;
            let used: (i64, i64) = sqlx::query_as($crate::catalog::settings::USAGE)
                .bind(quota.prefix.as_str())
                .fetch_one(&mut *$transaction)
                .await?;
            let used = $crate::catalog::Used::from(used);
            if quota.is_exceeded(used.images, used.bytes) {
                exceeded = Some((quota.clone(), used));
                break;
            }
        }
        exceeded
    }};
}
pub(super) use exceeded;

impl Catalog {
    /// What the images at and below a prefix come to.
    pub(crate) async fn used(&self, prefix: &Name) -> Result<Used, CatalogError> {
        let used: (i64, i64) = on!(self, pool => {
            sqlx::query_as(USAGE).bind(prefix.as_str()).fetch_one(pool).await?
        });
        Ok(used.into())
    }

    /// What the images of each name at and below a prefix come to, in the order of names; of all,
    /// where none is given.
    pub(crate) async fn used_by_name(
        &self,
        prefix: Option<&Name>,
    ) -> Result<Vec<(Name, Used)>, CatalogError> {
        let rows: Vec<(String, i64, i64)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT name, images, bytes FROM names
                 WHERE $1 = '' OR name = $1 OR (name > $1 || '/' AND name < $1 || '0')
                 ORDER BY name",
            )
            .bind(prefix.map_or("", Name::as_str))
            .fetch_all(pool)
            .await?
        });
        let used =
            |(name, images, bytes)| Ok((parsed("image name", name)?, (images, bytes).into()));
        rows.into_iter().map(used).collect()
    }

    /// Whether the registry takes nothing in.
    pub(crate) async fn is_read_only(&self) -> Result<bool, CatalogError> {
        Ok(self.read_only_since().await?.is_some())
    }

    /// Since when the registry takes nothing in, where it does not.
    pub(crate) async fn read_only_since(&self) -> Result<Option<SystemTime>, CatalogError> {
        let row: Option<(i64,)> = on!(self, pool => {
            sqlx::query_as("SELECT set_at FROM settings WHERE name = $1")
                .bind(READ_ONLY)
                .fetch_optional(pool)
                .await?
        });
        Ok(row.map(|(at,)| time(at)))
    }

    /// Lets the registry take nothing in, or again. Every node sees it with its next request.
    pub(crate) async fn set_read_only(
        &self,
        on: bool,
        by: &Changer,
        now: SystemTime,
    ) -> Result<(), CatalogError> {
        let sql = match on {
            true => {
                "INSERT INTO settings (name, value, set_at) VALUES ($1, 'on', $2)
                 ON CONFLICT (name) DO NOTHING"
            }
            false => "DELETE FROM settings WHERE name = $1 AND $2 = $2",
        };
        let detail = if on { "on" } else { "off" };
        let event = Event::new(&by.actor, AuditAction::ReadOnly, detail.to_owned());
        change!(self, by, now, &event, sqlx::query(sql).bind(READ_ONLY).bind(seconds(now)));
        Ok(())
    }
}
