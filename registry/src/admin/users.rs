//! Users: added, listed, removed, given other passwords.

use std::time::SystemTime;

use super::{AdminError, open};
use crate::access::{Grant, Password, Revision, UserName};
use crate::catalog::StoredUser;
use crate::data::{DataDir, Place};

/// What is known of a user.
#[derive(Debug, Clone)]
pub struct UserInfo {
    /// The name.
    pub name: UserName,
    /// What is allowed.
    pub grant: Grant,
    /// When it was added.
    pub created: SystemTime,
    /// When the password was set.
    pub changed: SystemTime,
}

impl From<StoredUser> for UserInfo {
    fn from(user: StoredUser) -> Self {
        let StoredUser { name, grant, created, changed, .. } = user;
        Self { name, grant, created, changed }
    }
}

/// Adds a user; `None` where there is one of this name.
pub async fn add_user(
    place: &Place,
    name: UserName,
    password: &Password,
    grant: Grant,
    now: SystemTime,
) -> Result<Option<UserInfo>, AdminError> {
    let (password, revision) = (password.hash()?, Revision::new()?);
    let user = StoredUser { name, password, grant, revision, created: now, changed: now };
    let catalog = open(DataDir::open(&place.data)?, place).await?;
    let added = catalog.add_user(&user).await?;
    catalog.close().await;
    Ok(added.then(|| user.into()))
}

/// Every user, by name.
pub async fn users(place: &Place) -> Result<Vec<UserInfo>, AdminError> {
    let catalog = open(DataDir::open_existing(&place.data)?, place).await?;
    let users = catalog.users().await?;
    catalog.close().await;
    Ok(users.into_iter().map(UserInfo::from).collect())
}

/// Sets a user's password; `false` where there is none of this name.
pub async fn change_password(
    place: &Place,
    name: &UserName,
    password: &Password,
    now: SystemTime,
) -> Result<bool, AdminError> {
    let (password, revision) = (password.hash()?, Revision::new()?);
    let catalog = open(DataDir::open_existing(&place.data)?, place).await?;
    let changed = catalog.change_password(name, &password, revision, now).await?;
    catalog.close().await;
    Ok(changed)
}

/// Removes a user from this moment; `false` where there is none of this name.
pub async fn remove_user(place: &Place, name: &UserName) -> Result<bool, AdminError> {
    let catalog = open(DataDir::open_existing(&place.data)?, place).await?;
    let removed = catalog.remove_user(name).await?;
    catalog.close().await;
    Ok(removed)
}
