//! Tokens: made, listed, given other secrets, revoked.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AdminError, within, within_new};
use crate::access::{Changer, Grant, WrittenGrant};
use crate::catalog::{Catalog, StoredToken};
use crate::data::Place;
use crate::token::{Token, TokenId};

/// What a new token is to be.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is called, in its maker's words.
    pub name: String,
    /// What it allows.
    pub grant: Grant,
    /// How long it is good; `None` for ever.
    pub lifetime: Option<Duration>,
}

/// How a token's secret is changed.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// How long the secret it had stays good.
    pub grace: Duration,
    /// How long the token is good from now on (`None` for ever), where that changes.
    pub lifetime: Option<Option<Duration>>,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenInfo {
    /// Its ID.
    pub id: TokenId,
    /// What it is called, in its maker's words.
    pub name: String,
    /// What it allows.
    #[serde(flatten)]
    #[schema(value_type = WrittenGrant)]
    pub grant: Grant,
    /// When it was made.
    #[serde(with = "crate::stamp")]
    #[schema(value_type = String, format = DateTime)]
    pub created: SystemTime,
    /// Until when it is good; `None` for ever.
    #[serde(with = "crate::stamp::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires: Option<SystemTime>,
    /// When it was last used, to the minute.
    #[serde(with = "crate::stamp::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used: Option<SystemTime>,
    /// When it was revoked.
    #[serde(with = "crate::stamp::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked: Option<SystemTime>,
}

impl From<StoredToken> for TokenInfo {
    fn from(token: StoredToken) -> Self {
        let StoredToken { id, name, grant, created, expires, last_used, revoked } = token;
        Self { id, name, grant, created, expires, last_used, revoked }
    }
}

/// Makes a token. Its text is nowhere else, so it is to be given to its holder now.
pub async fn create_token(
    place: &Place,
    new: NewToken,
    now: SystemTime,
) -> Result<(Token, TokenInfo), AdminError> {
    within_new(place, async |catalog| make(catalog, new, &Changer::admin(), now).await).await
}

/// The same, in a catalogue.
pub(crate) async fn make(
    catalog: &Catalog,
    new: NewToken,
    by: &Changer,
    now: SystemTime,
) -> Result<(Token, TokenInfo), AdminError> {
    let NewToken { name, grant, lifetime } = new;
    let expires = end(lifetime, now)?;
    let (token, id) = (Token::generate()?, TokenId::generate()?);
    let stored =
        StoredToken { id, name, grant, created: now, expires, last_used: None, revoked: None };
    catalog.add_token(&stored, &token.hash(), by).await?;
    Ok((token, stored.into()))
}

/// Every token, oldest first.
pub async fn tokens(place: &Place) -> Result<Vec<TokenInfo>, AdminError> {
    let tokens = within(place, Catalog::tokens).await?;
    Ok(tokens.into_iter().map(TokenInfo::from).collect())
}

/// When what is good for so long from now on ends.
fn end(lifetime: Option<Duration>, now: SystemTime) -> Result<Option<SystemTime>, AdminError> {
    let end = |lifetime| {
        let end = now.checked_add(lifetime);
        end.filter(|end| jiff::Timestamp::try_from(*end).is_ok()).ok_or(AdminError::Expiry)
    };
    lifetime.map(end).transpose()
}

/// Gives a token another secret; `None` where there is none of this ID that is not revoked.
pub async fn rotate_token(
    place: &Place,
    id: &TokenId,
    rotation: Rotation,
    now: SystemTime,
) -> Result<Option<(Token, TokenInfo)>, AdminError> {
    let by = Changer::admin();
    within(place, async |catalog| rotate(catalog, id, rotation, &by, now).await).await
}

/// The same, in a catalogue.
pub(crate) async fn rotate(
    catalog: &Catalog,
    id: &TokenId,
    rotation: Rotation,
    by: &Changer,
    now: SystemTime,
) -> Result<Option<(Token, TokenInfo)>, AdminError> {
    let old_until = now.checked_add(rotation.grace).ok_or(AdminError::Expiry)?;
    let expires = rotation.lifetime.map(|lifetime| end(lifetime, now)).transpose()?;
    let token = Token::generate()?;
    let rotated = catalog.rotate_token(id, &token.hash(), old_until, expires, by, now).await?;
    Ok(rotated.map(|stored| (token, stored.into())))
}

/// Revokes a token from this moment; `false` where there is none, or it was revoked before.
pub async fn revoke_token(
    place: &Place,
    id: &TokenId,
    now: SystemTime,
) -> Result<bool, AdminError> {
    within(place, async |catalog| catalog.revoke_token(id, &Changer::admin(), now).await).await
}
