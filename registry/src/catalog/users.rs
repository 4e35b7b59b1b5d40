//! Users, and what is kept of their passwords.

use std::time::SystemTime;

use super::audit::{append, change};
use super::database::{Write as _, on};
use super::standing::still;
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

    /// Removes a user, who is as it was looked at; `false` where it is not, or is no more. The user's
    /// uploads end with it, for the next of that name is another; a collector removes what they held.
    pub(crate) async fn remove_user(
        &self,
        user: &StoredUser,
        by: &Changer,
        now: SystemTime,
    ) -> Result<bool, CatalogError> {
        let (action, top) = (AuditAction::UserRemove, user.grant.top());
        let event = Event::new(&by.actor, action, user.name.to_string()).below(top.as_ref());
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            still!(transaction, by, now);
            let removed = sqlx::query("DELETE FROM users WHERE user_name = $1 AND revision = $2")
                .bind(user.name.as_str())
                .bind(user.revision.0)
                .execute(&mut *transaction)
                .await?;
            if removed.rows_affected() == 0 {
                return Ok(false);
            }
            sqlx::query("UPDATE uploads SET moved_at = 0 WHERE caller = $1")
                .bind(CallerId::of_user(&user.name).as_str())
                .execute(&mut *transaction)
                .await?;
            append!(transaction, &event, now);
            transaction.commit().await?;
        });
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::access::{Action, Password};
    use crate::catalog::DatabaseUrl;
    use crate::catalog::database::Pool;
    use crate::token::UploadId;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    const DAY: Duration = Duration::from_secs(24 * 3600 * 100);

    #[tokio::test]
    async fn user_is_removed_with_the_uploads_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let database = DatabaseUrl::file(&folder.path().join("db"));
        let catalog = Catalog::open(&database.into()).await.unwrap();
        let by = Changer::admin();
        let user = StoredUser {
            name: "alice".parse().unwrap(),
            password: "a long password".parse::<Password>().unwrap().hash().unwrap(),
            grant: Grant::new(vec!["example.com".parse().unwrap()], vec![Action::Push]),
            revision: Revision::new().unwrap(),
            created: NOW,
            changed: NOW,
        };
        assert!(catalog.add_user(&user, &by).await.unwrap());
        let (id, caller) = (UploadId::generate().unwrap(), CallerId::of_user(&user.name));
        catalog.open_upload(&id, &caller, b"", NOW + DAY).await.unwrap();
        let Pool::Sqlite(pool) = &catalog.pool else { unreachable!() };
        let trouble = "CREATE TRIGGER trouble BEFORE UPDATE ON uploads
             BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
        sqlx::query(trouble).execute(pool).await.unwrap();
        catalog.remove_user(&user, &by, NOW + DAY).await.unwrap_err();
        assert!(catalog.user(&user.name).await.unwrap().is_some(), "the uploads are still there");
        sqlx::query("DROP TRIGGER trouble").execute(pool).await.unwrap();
        assert!(catalog.upload(&id, &caller, NOW + DAY).await.unwrap().is_some());
        assert!(catalog.remove_user(&user, &by, NOW + DAY).await.unwrap());
        assert!(!catalog.remove_user(&user, &by, NOW + DAY).await.unwrap());
        assert!(catalog.user(&user.name).await.unwrap().is_none());
        assert!(catalog.upload(&id, &caller, NOW + DAY).await.unwrap().is_none());
    }
}
