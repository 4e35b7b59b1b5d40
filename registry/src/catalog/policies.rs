//! Policies of prefixes.

use std::time::SystemTime;

use aci::Name;

use super::audit::{append, change};
use super::database::{Write as _, on};
use super::standing::still;
use super::{Catalog, CatalogError, parsed, seconds};
use crate::access::{Changer, PolicyEntry};
use crate::audit::{AuditAction, Event};

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

    /// What a prefix says; `None` where it says nothing.
    pub(crate) async fn policy(&self, prefix: &Name) -> Result<Option<PolicyEntry>, CatalogError> {
        let row: Option<PolicyRow> = on!(self, pool => {
            sqlx::query_as("SELECT prefix, read, overwrite FROM policies WHERE prefix = $1")
                .bind(prefix.as_str())
                .fetch_optional(pool)
                .await?
        });
        row.map(PolicyEntry::try_from).transpose()
    }

    /// Has a prefix say this, and what it said before where nothing new is said.
    pub(crate) async fn set_policy(
        &self,
        entry: &PolicyEntry,
        by: &Changer,
        now: SystemTime,
    ) -> Result<PolicyEntry, CatalogError> {
        let event = Event::new(&by.actor, AuditAction::PolicySet, entry.to_string());
        let row: PolicyRow = on!(self, pool => {
            let mut transaction = pool.write().await?;
            still!(transaction, by, now);
            let row = sqlx::query_as(
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
            .fetch_one(&mut *transaction)
            .await?;
            append!(transaction, &event.below(Some(&entry.prefix)), now);
            transaction.commit().await?;
            row
        });
        row.try_into()
    }

    /// Has a prefix say nothing, which says what was looked at; `false` where it does not.
    pub(crate) async fn remove_policy(
        &self,
        entry: &PolicyEntry,
        by: &Changer,
        now: SystemTime,
    ) -> Result<bool, CatalogError> {
        let (action, prefix) = (AuditAction::PolicyRemove, &entry.prefix);
        let event = Event::new(&by.actor, action, entry.to_string()).below(Some(prefix));
        let statement = "DELETE FROM policies WHERE prefix = $1 AND COALESCE(read, '') = $2
                 AND COALESCE(overwrite, '') = $3";
        Ok(change!(
            self,
            by,
            now,
            &event,
            sqlx::query(statement)
                .bind(prefix.as_str())
                .bind(entry.read.map_or("", |word| word.as_str()))
                .bind(entry.overwrite.map_or("", |word| word.as_str()))
        ))
    }
}
