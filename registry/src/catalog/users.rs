//! Users, and what is kept of their passwords.

use std::time::SystemTime;

use super::audit::change;
use super::database::on;
use super::tokens::{grant, lists};
use super::{Catalog, CatalogError, parsed, seconds, time};
use crate::access::{CallerId, Changer, Grant, PasswordHash, Revision, UserName};
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
        let (top, now) = (user.grant.top(), user.created);
        let event = Event::new(&by.actor, AuditAction::UserAdd, detail).below(top.as_ref());
        let statement = "INSERT INTO users (user_name, password_hash, prefixes, actions, revision,
                 created_at, changed_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_name) DO NOTHING";
        Ok(change!(
            self,
            by,
            now,
            &event,
            sqlx::query(statement)
                .bind(user.name.as_str())
                .bind(user.password.as_str())
                .bind(&*prefixes)
                .bind(&*actions)
                .bind(user.revision.0)
                .bind(seconds(user.created))
                .bind(seconds(user.changed))
        ))
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
        let (action, top) = (AuditAction::UserPasswd, user.grant.top());
        let event = Event::new(&by.actor, action, name.to_string()).below(top.as_ref());
        let statement = "UPDATE users SET password_hash = $1, revision = $2, changed_at = $3
             WHERE user_name = $4 AND revision = $5";
        Ok(change!(
            self,
            by,
            now,
            &event,
            sqlx::query(statement)
                .bind(password.as_str())
                .bind(revision.0)
                .bind(seconds(now))
                .bind(name.as_str())
                .bind(user.revision.0)
        ))
    }

    /// Removes a user, who is as it was looked at; `false` where it is not, or is no more.
    pub(crate) async fn remove_user(
        &self,
        user: &StoredUser,
        by: &Changer,
        now: SystemTime,
    ) -> Result<bool, CatalogError> {
        let (action, top) = (AuditAction::UserRemove, user.grant.top());
        let event = Event::new(&by.actor, action, user.name.to_string()).below(top.as_ref());
        let removed = change!(
            self,
            by,
            now,
            &event,
            sqlx::query("DELETE FROM users WHERE user_name = $1 AND revision = $2")
                .bind(user.name.as_str())
                .bind(user.revision.0)
        );
        if removed {
            self.end_uploads_of(&CallerId::of_user(&user.name)).await?;
        }
        Ok(removed)
    }
}
