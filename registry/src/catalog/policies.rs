//! Policies of prefixes.

use std::time::SystemTime;

use aci::Name;

use super::database::on;
use super::{Catalog, CatalogError, parsed, seconds};
use crate::access::PolicyEntry;

#[derive(sqlx::FromRow)]
struct PolicyRow {
    prefix: String,
    read: Option<String>,
    overwrite: Option<String>,
}

impl TryFrom<PolicyRow> for PolicyEntry {
    type Error = CatalogError;

    fn try_from(row: PolicyRow) -> Result<Self, CatalogError> {
        Ok(Self {
            prefix: parsed("name prefix", row.prefix)?,
            read: row.read.map(|word| parsed("policy", word)).transpose()?,
            overwrite: row.overwrite.map(|word| parsed("policy", word)).transpose()?,
        })
    }
}

impl Catalog {
    /// What every prefix says, by prefix.
    pub(crate) async fn policies(&self) -> Result<Vec<PolicyEntry>, CatalogError> {
        let rows: Vec<PolicyRow> = on!(self, pool => sqlx::query_as(
            "SELECT prefix, read, overwrite FROM policies ORDER BY prefix",
        )
        .fetch_all(pool).await)?;
        rows.into_iter().map(PolicyEntry::try_from).collect()
    }

    /// Has a prefix say this, and what it said before where nothing new is said.
    pub(crate) async fn set_policy(
        &self,
        entry: &PolicyEntry,
        now: SystemTime,
    ) -> Result<PolicyEntry, CatalogError> {
        let row: PolicyRow = on!(self, pool => sqlx::query_as(
            "INSERT INTO policies (prefix, read, overwrite, changed_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (prefix) DO UPDATE SET
                 read = COALESCE(excluded.read, policies.read),
                 overwrite = COALESCE(excluded.overwrite, policies.overwrite),
                 changed_at = excluded.changed_at
             RETURNING prefix, read, overwrite",
        )
        .bind(entry.prefix.as_str())
        .bind(entry.read.map(|word| word.as_str()))
        .bind(entry.overwrite.map(|word| word.as_str()))
        .bind(seconds(now))
        .fetch_one(pool).await)?;
        row.try_into()
    }

    /// Has a prefix say nothing; `false` where it said nothing before.
    pub(crate) async fn remove_policy(&self, prefix: &Name) -> Result<bool, CatalogError> {
        let removed = on!(self, pool => sqlx::query("DELETE FROM policies WHERE prefix = $1")
            .bind(prefix.as_str())
            .execute(pool).await?.rows_affected());
        Ok(removed == 1)
    }
}
