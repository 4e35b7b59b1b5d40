//! Work that one at a time does, over all nodes, and what holds up the removal of blobs.
//!
//! Whoever does it renews its lease while it works. One that died is followed when its lease has run
//! out; one that was only slow finds out with the next thing it does, for that asks first.

use std::time::{Duration, SystemTime};

use super::database::on;
use super::{Catalog, CatalogError, seconds};

/// How long a lease is good that is not renewed.
const LEASE: Duration = Duration::from_secs(60);

/// What one at a time does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// Removing images by the rules of retention, and blobs that nothing refers to.
    Collect,
    /// Reading blobs again.
    Scrub,
}

impl Duty {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Scrub => "scrub",
        }
    }
}

impl Catalog {
    /// Takes a duty, or renews it; `false` where somebody else has it.
    pub(crate) async fn take_duty(
        &self,
        duty: Duty,
        holder: &str,
        now: SystemTime,
    ) -> Result<bool, CatalogError> {
        self.hold(duty.as_str(), holder, now).await
    }

    /// Gives a duty back before its time is over.
    pub(crate) async fn leave_duty(&self, duty: Duty, holder: &str) -> Result<(), CatalogError> {
        self.let_go(duty.as_str(), holder).await
    }

    /// From now on no blob is removed, until this has run out or is given back. Any number may do
    /// so at once.
    pub(crate) async fn hold_blobs(
        &self,
        holder: &str,
        now: SystemTime,
    ) -> Result<(), CatalogError> {
        self.hold(&format!("backup.{holder}"), holder, now).await.map(drop)
    }

    /// Blobs may be removed again, as far as this one is concerned.
    pub(crate) async fn let_blobs_go(&self, holder: &str) -> Result<(), CatalogError> {
        self.let_go(&format!("backup.{holder}"), holder).await
    }

    /// Ends what a node held: it has just started, so it does none of it.
    pub(crate) async fn leave_duties(&self, holder: &str) -> Result<(), CatalogError> {
        on!(self, pool => {
            sqlx::query("DELETE FROM leases WHERE holder = $1").bind(holder).execute(pool).await?;
        });
        Ok(())
    }

    async fn hold(&self, name: &str, holder: &str, now: SystemTime) -> Result<bool, CatalogError> {
        let held = on!(self, pool => {
            sqlx::query(
                "INSERT INTO leases (name, holder, held_until) VALUES ($1, $2, $3)
                 ON CONFLICT (name) DO UPDATE
                     SET holder = excluded.holder, held_until = excluded.held_until
                     WHERE leases.holder = excluded.holder OR leases.held_until <= $4",
            )
            .bind(name)
            .bind(holder)
            .bind(seconds(now + LEASE))
            .bind(seconds(now))
            .execute(pool)
            .await?
            .rows_affected()
        });
        Ok(held == 1)
    }

    async fn let_go(&self, name: &str, holder: &str) -> Result<(), CatalogError> {
        on!(self, pool => {
            sqlx::query("DELETE FROM leases WHERE name = $1 AND holder = $2")
                .bind(name)
                .bind(holder)
                .execute(pool)
                .await?;
        });
        Ok(())
    }
}
