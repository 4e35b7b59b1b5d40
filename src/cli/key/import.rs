//! `gantry key import`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use aci::Limits;
use anyhow::{Context as _, anyhow};
use keys::{Change, Fingerprint, KeyFolder, KeyMaterial, LockedKeys, Revocation, SecretKey};
use serde_json::json;

use super::super::files::{in_json, read_small};
use super::client::now;
use super::{Context, Failure, Kind, place};

/// Take keys into the folder: of gpg, of a file, or what is new about one that is there
///
/// Secret keys as `gpg --export-secret-keys` or `--export-secret-subkeys` writes them, locked or
/// not; and, for a key that is there already, public keys and revocations. What is there is never
/// lost: a secret part stays as it is. Nothing is taken in unless all of it can be.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry key import author.key
  gpg --export-secret-keys --armor ci@example.com | gantry key import /dev/stdin
  gantry key import ci.asc --key-dir ./keys           # on the machine that signs
  gantry key import author.pub.asc                    # with its new expiry, from where the primary key lies
  gantry key import revoke.asc                        # the key is revoked")]
pub(crate) struct Args {
    /// Files of keys, armored or binary
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What a file brings.
enum Brought {
    Key(KeyMaterial),
    Revocation(Box<Revocation>),
}

struct Imported {
    key: SecretKey,
    new: bool,
    changes: Vec<Change>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut brought = Vec::new();
        for path in &self.files {
            brought.extend(read(path)?);
        }
        let folder = context.key_folder();
        let locked = folder.lock().map_err(place::failure)?;
        let known = folder.list(&Limits::default()).map_err(place::failure)?.0;
        let imported = merge(&locked, &known, brought)?;
        for one in &imported {
            if one.new || !one.changes.is_empty() {
                locked.write(&one.key).map_err(place::failure)?;
            }
        }
        print(context, &folder, &imported)
    }
}

fn read(path: &Path) -> Result<Vec<Brought>, Failure> {
    let limits = Limits::default();
    let bytes = read_small(path, limits.key_bytes)?;
    let revocations = Revocation::read_all(&bytes, &limits);
    if !revocations.is_empty() {
        return Ok(revocations.into_iter().map(Box::new).map(Brought::Revocation).collect());
    }
    let keys = KeyMaterial::read_all(&bytes, &limits)
        .with_context(|| path.display().to_string())
        .map_err(|error| Failure::new(Kind::Refused, error))?;
    Ok(keys.into_iter().map(Brought::Key).collect())
}

fn merge(
    locked: &LockedKeys<'_>,
    known: &[SecretKey],
    brought: Vec<Brought>,
) -> Result<Vec<Imported>, Failure> {
    let limits = Limits::default();
    let mut before: BTreeMap<Fingerprint, Option<SecretKey>> = BTreeMap::new();
    let mut after: BTreeMap<Fingerprint, SecretKey> = BTreeMap::new();
    for one in brought {
        let fingerprint = match &one {
            Brought::Key(material) => *material.fingerprint(),
            Brought::Revocation(revocation) => {
                let new = after.keys().chain(known.iter().map(SecretKey::fingerprint));
                let named = new.copied().find(|one| revocation.names(one));
                named.ok_or_else(|| absent(&revocation.issuer()))?
            }
        };
        if let Entry::Vacant(unread) = before.entry(fingerprint) {
            let there = locked.read(&fingerprint, &limits).map_err(place::failure)?;
            after.extend(unread.insert(there).clone().map(|key| (fingerprint, key)));
        }
        let merged = match (after.get(&fingerprint), one) {
            (Some(key), Brought::Key(material)) => key.merge(&material)?,
            (None, Brought::Key(KeyMaterial::Secret(key))) => *key,
            (None, _) => return Err(absent(&fingerprint.to_string())),
            (Some(key), Brought::Revocation(revocation)) => key
                .revoked_by(&revocation)
                .ok_or_else(|| anyhow!("the revocation is not by key {fingerprint}"))?,
        };
        after.insert(fingerprint, merged);
    }
    let imported = after.into_iter().map(|(fingerprint, key)| {
        let there = before.remove(&fingerprint).flatten();
        let changes = there.as_ref().map(|there| key.changes_since(there, now()));
        Imported { new: there.is_none(), changes: changes.unwrap_or_default(), key }
    });
    Ok(imported.collect())
}

fn absent(key: &str) -> Failure {
    let error = anyhow!(
        "no secret part of key {key} is here, and the folder is for keys to sign with: \
         `gantry trust add` trusts somebody's public key"
    );
    Failure::new(Kind::NotFound, error)
}

fn print(context: &Context, folder: &KeyFolder, imported: &[Imported]) -> Result<(), Failure> {
    let (mut text, mut values) = (Vec::new(), Vec::new());
    for one in imported {
        let fingerprint = one.key.fingerprint();
        let changes: Vec<String> = one.changes.iter().map(ToString::to_string).collect();
        text.push(match (one.new, changes.is_empty()) {
            (true, _) => format!("{fingerprint}: new ({})", one.key.user_ids().join(", ")),
            (false, true) => format!("{fingerprint}: unchanged"),
            (false, false) => format!("{fingerprint}:\n  {}", changes.join("\n  ")),
        });
        values.push(json!({
            "fingerprint": fingerprint,
            "userIds": one.key.user_ids(),
            "path": in_json(&folder.file(fingerprint)),
            "new": one.new,
            "changes": changes,
        }));
    }
    Ok(context.print(&json!({ "imported": values }), text.join("\n"))?)
}
