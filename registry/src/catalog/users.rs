//! Users, and what is kept of their passwords.

use std::time::SystemTime;

use super::audit::append;
use super::database::{Write as _, on};
use super::standing::still;
use super::tokens::{grant, lists};
use super::{Catalog, CatalogError, parsed, seconds, time};
use crate::access::{Changer, Grant, PasswordHash, Revision, UserName};
use crate::audit::{AuditAction, Event};

/// A user as the catalogue knows it.
#[derive(Debug, Clone)]
pub(crate) struct StoredUser {
    pub(crate) name: UserName,
    pub(crate) password: PasswordHash,
    pub(crate) grant: Grant,
    pub(crate) revision: Revision,
    pub(crate) created: SystemTime,
    /// When the password was set.
    pub(crate) changed: SystemTime,
}

#[derive(sqlx::FromRow)]
struct UserRow {
    user_name: String,
    password_hash: String,
    prefixes: String,
    actions: String,
    revision: i64,
    created_at: i64,
    changed_at: i64,
}

impl TryFrom<UserRow> for StoredUser {
    type Error = CatalogError;

    fn try_from(row: UserRow) -> Result<Self, CatalogError> {
        // Not shown, whatever it is.
        let hash = row.password_hash.parse().map_err(|()| CatalogError::Corrupt {
            wanted: "password's hash",
            value: "another text".to_owned(),
        })?;
        Ok(Self {
            name: parsed("user's name", row.user_name)?,
            password: hash,
            grant: grant(&row.prefixes, &row.actions)?,
            revision: Revision(row.revision),
            created: time(row.created_at),
            changed: time(row.changed_at),
        })
    }
}

impl Catalog {
    /// Adds a user; `false` where there is one of this name.
    pub(crate) async fn add_user(
        &self,
        user: &StoredUser,
        by: &Changer,
    ) -> Result<bool, CatalogError> {
        let (prefixes, actions) = lists(&user.grant);
        let detail = format!("{}: {}", user.name, user.grant);
        let event = Event::new(&by.actor, AuditAction::UserAdd, detail);
        let top = user.grant.top();
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            still!(transaction, by, user.created);
            let added = sqlx::query(
            "INSERT INTO users (user_name, password_hash, prefixes, actions, revision, created_at,
                 changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_name) DO NOTHING",
        )
        .bind(user.name.as_str())
        .bind(user.password.as_str())
        .bind(&*prefixes)
        .bind(&*actions)
        .bind(user.revision.0)
        .bind(seconds(user.created))
        .bind(seconds(user.changed))
        .execute(&mut *transaction).await?.rows_affected();
            if added == 0 {
                return Ok(false);
            }
            append!(transaction, &event.below(top.as_ref()), user.created);
            transaction.commit().await?;
        });
        Ok(true)
    }

    /// The user of this name.
    pub(crate) async fn user(&self, name: &UserName) -> Result<Option<StoredUser>, CatalogError> {
        let row: Option<UserRow> = on!(self, pool => sqlx::query_as(
            "SELECT user_name, password_hash, prefixes, actions, revision, created_at, changed_at
             FROM users WHERE user_name = $1",
        )
        .bind(name.as_str())
        .fetch_optional(pool).await)?;
        row.map(StoredUser::try_from).transpose()
    }

    /// Every user, by name.
    pub(crate) async fn users(&self) -> Result<Vec<StoredUser>, CatalogError> {
        let rows: Vec<UserRow> = on!(self, pool => sqlx::query_as(
            "SELECT user_name, password_hash, prefixes, actions, revision, created_at, changed_at
             FROM users ORDER BY user_name",
        )
        .fetch_all(pool).await)?;
        rows.into_iter().map(StoredUser::try_from).collect()
    }

    /// Sets a user's password, where the user is as it was looked at; `false` where it is not, or
    /// is no more.
    pub(crate) async fn change_password(
        &self,
        user: &StoredUser,
        password: &PasswordHash,
        by: &Changer,
        now: SystemTime,
    ) -> Result<bool, CatalogError> {
        let (name, revision) = (&user.name, Revision::new().map_err(sqlx::Error::Io)?);
        let event = Event::new(&by.actor, AuditAction::UserPasswd, name.to_string());
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            still!(transaction, by, now);
            let changed = sqlx::query(
                "UPDATE users SET password_hash = $1, revision = $2, changed_at = $3
                 WHERE user_name = $4 AND revision = $5",
            )
            .bind(password.as_str())
            .bind(revision.0)
            .bind(seconds(now))
            .bind(name.as_str())
            .bind(user.revision.0)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            if changed == 0 {
                return Ok(false);
            }
            let top = user.grant.top();
            append!(transaction, &event.below(top.as_ref()), now);
            transaction.commit().await?;
        });
        Ok(true)
    }

    /// Removes a user, who is as it was looked at; `false` where it is not, or is no more.
    pub(crate) async fn remove_user(
        &self,
        user: &StoredUser,
        by: &Changer,
        now: SystemTime,
    ) -> Result<bool, CatalogError> {
        let event = Event::new(&by.actor, AuditAction::UserRemove, user.name.to_string());
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            still!(transaction, by, now);
            let removed = sqlx::query("DELETE FROM users WHERE user_name = $1 AND revision = $2")
                .bind(user.name.as_str())
                .bind(user.revision.0)
                .execute(&mut *transaction)
                .await?
                .rows_affected();
            if removed == 0 {
                return Ok(false);
            }
            let top = user.grant.top();
            append!(transaction, &event.below(top.as_ref()), now);
            transaction.commit().await?;
        });
        Ok(true)
    }
}
