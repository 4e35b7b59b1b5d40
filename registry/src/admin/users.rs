//! Users: added, listed, removed, given other passwords.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AdminError, within, within_new};
use crate::access::{Changer, Grant, Password, PasswordHash, Revision, UserName, WrittenGrant};
use crate::catalog::{Catalog, StoredUser};
use crate::data::Place;

/// What is known of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserInfo {
    /// The name.
    pub name: UserName,
    /// What is allowed.
    #[serde(flatten)]
    #[schema(value_type = WrittenGrant)]
    pub grant: Grant,
    /// When it was added.
    #[serde(with = "crate::stamp")]
    #[schema(value_type = String, format = DateTime)]
    pub created: SystemTime,
    /// When the password was set.
    #[serde(rename = "passwordSet", with = "crate::stamp")]
    #[schema(value_type = String, format = DateTime)]
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
    let (hash, by) = (password.hash()?, Changer::admin());
    within_new(place, async |catalog| add(catalog, name, hash, grant, &by, now).await).await
}

/// The same, in a catalogue.
pub(crate) async fn add(
    catalog: &Catalog,
    name: UserName,
    password: PasswordHash,
    grant: Grant,
    by: &Changer,
    now: SystemTime,
) -> Result<Option<UserInfo>, AdminError> {
    let revision = Revision::new()?;
    let user = StoredUser { name, password, grant, revision, created: now, changed: now };
    let added = catalog.add_user(&user, by).await?;
    Ok(added.then(|| user.into()))
}

/// Every user, by name.
pub async fn users(place: &Place) -> Result<Vec<UserInfo>, AdminError> {
    let users = within(place, Catalog::users).await?;
    Ok(users.into_iter().map(UserInfo::from).collect())
}

/// Sets a user's password; `false` where there is none of this name.
pub async fn change_password(
    place: &Place,
    name: &UserName,
    password: &Password,
    now: SystemTime,
) -> Result<bool, AdminError> {
    let (hash, by) = (password.hash()?, Changer::admin());
    within(place, async |catalog| match catalog.user(name).await? {
        Some(user) => catalog.change_password(&user, &hash, &by, now).await,
        None => Ok(false),
    })
    .await
}

/// Removes a user from this moment; `false` where there is none of this name.
pub async fn remove_user(
    place: &Place,
    name: &UserName,
    now: SystemTime,
) -> Result<bool, AdminError> {
    within(place, async |catalog| match catalog.user(name).await? {
        Some(user) => catalog.remove_user(&user, &Changer::admin(), now).await,
        None => Ok(false),
    })
    .await
}
