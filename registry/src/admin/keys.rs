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
    /// Why it cannot sign today, whoever trusts it: it is revoked, or has expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
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
    /// Whether it may today; where not, whatever a shorter prefix says.
    pub may_sign: bool,
    /// Why it cannot, whoever trusts it: it is revoked, or has expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
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

impl KeyInfo {
    /// What a file says of a key, and what the key can do today.
    pub(crate) fn new(entry: TrustEntry, now: SystemTime) -> Self {
        let TrustEntry { scope, fingerprint, certificate, path, .. } = entry;
        let user_ids = certificate.as_ref().map_or_else(Vec::new, Certificate::user_ids);
        let unusable = certificate.as_ref().and_then(|certificate| unusable(certificate, now));
        let may_sign = certificate.is_some() && unusable.is_none();
        Self { scope, fingerprint, user_ids, may_sign, unusable, path: Some(path) }
    }
}

/// Why nothing in a key can sign today.
fn unusable(key: &Certificate, now: SystemTime) -> Option<String> {
    if key.can_sign(now) {
        return None;
    }
    let primary = key.parts(now).into_iter().next();
    let why = primary.and_then(|primary| match primary.revoked {
        Some(reason) => Some(format!("it is revoked ({reason})")),
        None => primary.expired.then(|| "it has expired".to_owned()),
    });
    Some(why.unwrap_or_else(|| "nothing in it can sign today".to_owned()))
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
        let work = tokio::task::spawn_blocking(move || {
            let added = store.add(&scope, &key, &limits)?;
            // What another copy knows of it counts as well.
            let (entries, _) = store.list(&limits)?;
            let mut all = entries.into_iter().filter(|entry| entry.fingerprint == fingerprint);
            let known = all.find_map(|entry| entry.certificate).unwrap_or(key);
            Ok::<_, TrustError>((added, unusable(&known, now)))
        });
        Ok::<_, AdminError>((work.await??, Some(event.below(Some(prefix)))))
    };
    let (keys::Added { path, new }, unusable) = catalog.told(by, now, work).await?;
    let (prefix, path) = (prefix.clone(), Some(path));
    Ok(AddedKey { fingerprint, user_ids, prefix, path, new, unusable })
}

/// The keys that may sign, by scope, and the files that were passed over.
pub fn keys(place: &Place, limits: &Limits, now: SystemTime) -> Result<KeyList, AdminError> {
    let (entries, warnings) = list(&DataDir::open_existing(&place.data)?, limits)?;
    let keys = entries.into_iter().map(|entry| KeyInfo::new(entry, now)).collect();
    Ok(KeyList { keys, warnings })
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
