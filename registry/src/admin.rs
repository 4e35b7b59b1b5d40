//! What an administrator does to a registry's data: tokens and keys. All of it works
//! beside a running server, which sees it with the next request.

mod keeping;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aci::Limits;
use keys::{Certificate, KeyError, Scope, TrustEntry, TrustError, TrustStore, Warning};

use crate::access::Grant;
use crate::audit::{AuditRecord, AuditVerdict};
use crate::catalog::{Catalog, CatalogError, StoredToken};
use crate::data::{DataDir, DataError, Place};
use crate::token::{Token, TokenId};

pub use keeping::{back_up, collect, collectable, judge, restore, retain, scrub};

/// Why an administrator's command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The catalogue cannot be used.
    #[error("the catalogue cannot be used")]
    Catalog(#[from] CatalogError),
    /// The trusted keys cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The file holds no public keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No randomness for a new token.
    #[error("no random bytes for a token: {0}")]
    Random(#[from] std::io::Error),
    /// An expiry no clock can show.
    #[error("the token would expire after the end of time")]
    Expiry,
}

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

/// What is known of a token.
#[derive(Debug, Clone)]
pub struct TokenInfo {
    /// Its ID.
    pub id: TokenId,
    /// What it is called, in its maker's words.
    pub name: String,
    /// What it allows.
    pub grant: Grant,
    /// When it was made.
    pub created: SystemTime,
    /// Until when it is good; `None` for ever.
    pub expires: Option<SystemTime>,
    /// When it was last used, to the minute.
    pub last_used: Option<SystemTime>,
    /// When it was revoked.
    pub revoked: Option<SystemTime>,
}

/// A key that was added.
#[derive(Debug, Clone)]
pub struct AddedKey {
    /// The key.
    pub certificate: Certificate,
    /// Its file.
    pub path: PathBuf,
    /// Whether it was not there before.
    pub new: bool,
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
    let NewToken { name, grant, lifetime } = new;
    let expires = end(lifetime, now)?;
    let (token, id) = (Token::generate()?, TokenId::generate()?);
    let stored =
        StoredToken { id, name, grant, created: now, expires, last_used: None, revoked: None };
    let catalog = open(DataDir::open(&place.data)?, place).await?;
    catalog.add_token(&stored, &token.hash()).await?;
    catalog.close().await;
    Ok((token, stored.into()))
}

/// Every token, oldest first.
pub async fn tokens(place: &Place) -> Result<Vec<TokenInfo>, AdminError> {
    let catalog = open(DataDir::open_existing(&place.data)?, place).await?;
    let tokens = catalog.tokens().await?;
    catalog.close().await;
    Ok(tokens.into_iter().map(TokenInfo::from).collect())
}

/// When what is good for so long from now on ends.
fn end(lifetime: Option<Duration>, now: SystemTime) -> Result<Option<SystemTime>, AdminError> {
    lifetime.map(|lifetime| now.checked_add(lifetime).ok_or(AdminError::Expiry)).transpose()
}

/// How a token's secret is changed.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// How long the secret it had stays good.
    pub grace: Duration,
    /// How long the token is good from now on (`None` for ever), where that changes.
    pub lifetime: Option<Option<Duration>>,
}

/// Gives a token another secret; `None` where there is none of this ID that is not revoked.
pub async fn rotate_token(
    place: &Place,
    id: &TokenId,
    rotation: Rotation,
    now: SystemTime,
) -> Result<Option<(Token, TokenInfo)>, AdminError> {
    let old_until = now.checked_add(rotation.grace).ok_or(AdminError::Expiry)?;
    let expires = rotation.lifetime.map(|lifetime| end(lifetime, now)).transpose()?;
    let token = Token::generate()?;
    let catalog = open(DataDir::open_existing(&place.data)?, place).await?;
    let rotated = catalog.rotate_token(id, &token.hash(), old_until, expires, now).await?;
    catalog.close().await;
    Ok(rotated.map(|stored| (token, stored.into())))
}

/// Revokes a token from this moment; `false` where there is none, or it was revoked before.
pub async fn revoke_token(
    place: &Place,
    id: &TokenId,
    now: SystemTime,
) -> Result<bool, AdminError> {
    let catalog = open(DataDir::open_existing(&place.data)?, place).await?;
    let revoked = catalog.revoke_token(id, now).await?;
    catalog.close().await;
    Ok(revoked)
}

/// The last records of the audit log, in their order.
pub async fn audit_records(place: &Place, most: u32) -> Result<Vec<AuditRecord>, AdminError> {
    let catalog = open(DataDir::open_existing(&place.data)?, place).await?;
    let records = catalog.last_audit_records(most).await?;
    catalog.close().await;
    Ok(records)
}

/// Checks the audit log, and that it holds the record with the hash that somebody has noted.
pub async fn verify_audit(place: &Place, noted: Option<&str>) -> Result<AuditVerdict, AdminError> {
    let catalog = open(DataDir::open_existing(&place.data)?, place).await?;
    let verdict = catalog.verify_audit(noted).await?;
    catalog.close().await;
    Ok(verdict)
}

async fn open(data: DataDir, place: &Place) -> Result<Catalog, AdminError> {
    Ok(Catalog::open(&data.database(place.database.as_ref())).await?)
}

/// Lets the keys of a file (armored or not, one or several) sign for a scope.
pub fn add_keys(
    data: &Path,
    scope: &Scope,
    file: &[u8],
    limits: &Limits,
) -> Result<Vec<AddedKey>, AdminError> {
    let store = TrustStore::open(&DataDir::open(data)?.trusted_keys());
    let add = |certificate: Certificate| {
        let added = store.add(scope, &certificate, limits)?;
        Ok(AddedKey { certificate, path: added.path, new: added.new })
    };
    Certificate::read_all(file, limits)?.into_iter().map(add).collect()
}

/// The keys that may sign, by scope, and the files that were passed over.
pub fn keys(data: &Path, limits: &Limits) -> Result<(Vec<TrustEntry>, Vec<Warning>), AdminError> {
    let data = DataDir::open_existing(data)?;
    Ok(TrustStore::open(&data.trusted_keys()).list(limits)?)
}
