//! The keys that may sign: added, listed, removed. They are files of the data directory.

use std::path::PathBuf;
use std::time::SystemTime;

use aci::{Limits, Name};
use keys::{Certificate, Fingerprint, Scope, TrustEntry, TrustError, TrustStore};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AdminError, within, within_new};
use crate::access::Changer;
use crate::audit::{AuditAction, Event};
use crate::catalog::Catalog;
use crate::data::{DataDir, Place};

/// A key that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddedKey {
    /// The key.
    #[schema(value_type = String, pattern = "^[0-9a-f]{40}$")]
    pub fingerprint: Fingerprint,
    /// Whom it says it is of.
    pub user_ids: Vec<String>,
    /// For what it may sign.
    pub prefix: Name,
    /// Its file, for who works on the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub path: Option<PathBuf>,
    /// Whether it was not there before.
    pub new: bool,
}

/// A key, and for what it may sign or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyInfo {
    /// For what: a prefix, or all.
    #[schema(value_type = WrittenScope)]
    pub scope: Scope,
    /// The key.
    #[schema(value_type = String, pattern = "^[0-9a-f]{40}$")]
    pub fingerprint: Fingerprint,
    /// Whom it says it is of.
    pub user_ids: Vec<String>,
    /// Whether it may; where not, whatever a shorter prefix says.
    pub may_sign: bool,
    /// Its file, for who works on the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub path: Option<PathBuf>,
}

/// For what a key may sign, as it is written.
#[derive(ToSchema)]
#[schema(as = Scope, rename_all = "lowercase")]
#[expect(dead_code, reason = "it is told of in the document of the API, where `keys` has none")]
enum WrittenScope {
    /// For every name.
    Root,
    /// For this name and all below it.
    Prefix(Name),
}

/// The keys that may sign, by scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyList {
    /// The keys.
    pub keys: Vec<KeyInfo>,
    /// Which files were passed over, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl From<TrustEntry> for KeyInfo {
    fn from(entry: TrustEntry) -> Self {
        let TrustEntry { scope, fingerprint, certificate, path, .. } = entry;
        let user_ids = certificate.as_ref().map_or_else(Vec::new, Certificate::user_ids);
        let may_sign = certificate.is_some();
        Self { scope, fingerprint, user_ids, may_sign, path: Some(path) }
    }
}

/// Lets the keys of a file (armored or not, one or several) sign for a prefix.
pub async fn add_keys(
    place: &Place,
    prefix: &Name,
    file: &[u8],
    limits: &Limits,
    now: SystemTime,
) -> Result<Vec<AddedKey>, AdminError> {
    let keys = Certificate::read_all(file, limits)?;
    let (data, by) = (DataDir::open(&place.data)?, Changer::admin());
    within_new(place, async |catalog| {
        let mut added = Vec::new();
        for key in keys {
            added.push(add(catalog, &data, prefix, key, limits, &by, now).await?);
        }
        Ok::<_, AdminError>(added)
    })
    .await
}

/// Lets a key sign for a prefix, in a catalogue's log and a data directory.
pub(crate) async fn add(
    catalog: &Catalog,
    data: &DataDir,
    prefix: &Name,
    key: Certificate,
    limits: &Limits,
    by: &Changer,
    now: SystemTime,
) -> Result<AddedKey, AdminError> {
    let (fingerprint, user_ids) = (*key.fingerprint(), key.user_ids());
    let store = TrustStore::open(&data.trusted_keys());
    let (scope, limits) = (Scope::Prefix(prefix.clone()), limits.clone());
    let event = Event::new(&by.actor, AuditAction::KeysAdd, fingerprint.to_string());
    let work = async {
        let work = tokio::task::spawn_blocking(move || store.add(&scope, &key, &limits));
        Ok::<_, AdminError>((work.await??, Some(event.below(Some(prefix)))))
    };
    let keys::Added { path, new } = catalog.told(by, now, work).await?;
    Ok(AddedKey { fingerprint, user_ids, prefix: prefix.clone(), path: Some(path), new })
}

/// The keys that may sign, by scope, and the files that were passed over.
pub fn keys(place: &Place, limits: &Limits) -> Result<KeyList, AdminError> {
    let (entries, warnings) = list(&DataDir::open_existing(&place.data)?, limits)?;
    Ok(KeyList { keys: entries.into_iter().map(KeyInfo::from).collect(), warnings })
}

pub(crate) fn list(
    data: &DataDir,
    limits: &Limits,
) -> Result<(Vec<TrustEntry>, Vec<String>), TrustError> {
    let (entries, warnings) = TrustStore::open(&data.trusted_keys()).list(limits)?;
    Ok((entries, warnings.iter().map(ToString::to_string).collect()))
}

/// Lets a key sign for a prefix no longer; `false` where it could not.
pub async fn remove_key(
    place: &Place,
    prefix: &Name,
    fingerprint: &Fingerprint,
    limits: &Limits,
    now: SystemTime,
) -> Result<bool, AdminError> {
    let (data, by) = (DataDir::open_existing(&place.data)?, Changer::admin());
    within(place, async |catalog| {
        remove(catalog, &data, prefix, fingerprint, limits, &by, now).await
    })
    .await
}

/// The same, in a catalogue's log and a data directory.
pub(crate) async fn remove(
    catalog: &Catalog,
    data: &DataDir,
    prefix: &Name,
    fingerprint: &Fingerprint,
    limits: &Limits,
    by: &Changer,
    now: SystemTime,
) -> Result<bool, AdminError> {
    let store = TrustStore::open(&data.trusted_keys());
    let (scope, key, limits) = (Scope::Prefix(prefix.clone()), *fingerprint, limits.clone());
    let event = Event::new(&by.actor, AuditAction::KeysRemove, fingerprint.to_string());
    let work = async {
        let work = tokio::task::spawn_blocking(move || store.remove(&scope, &key, &limits));
        let removed = work.await??.happened();
        Ok::<_, AdminError>((removed, removed.then(|| event.below(Some(prefix)))))
    };
    catalog.told(by, now, work).await
}
