//! The audit log: who did what, to which image, when and from where.
//!
//! Records are appended in the transaction of what they tell, so there is none without the other. Each
//! holds the hash of the one before it: who changes, removes or inserts one later has to make all that
//! follow anew, and the last hash tells, for whoever has noted it elsewhere.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::SystemTime;

use aci::{ImageId, Name};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AuditAction {
    /// An image was published.
    Publish,
    /// The lost files of an image came back.
    Heal,
    /// An image gave way to another of its name and labels.
    Overwrite,
    /// An image was deleted.
    Delete,
    /// An image was withdrawn by its author.
    Yank,
    /// An image was no longer withdrawn.
    Unyank,
    /// A token was made.
    TokenCreate,
    /// A token was given another secret.
    TokenRotate,
    /// A token was revoked.
    TokenRevoke,
    /// A user was added.
    UserAdd,
    /// A user was given another password.
    UserPasswd,
    /// A user was removed.
    UserRemove,
    /// A prefix was told to say something.
    PolicySet,
    /// A prefix was told to say nothing.
    PolicyRemove,
    /// A rule for jobs was added.
    OidcAdd,
    /// A rule for jobs was removed.
    OidcRemove,
    /// A key was let sign for a prefix.
    KeysAdd,
    /// A key was let sign for a prefix no longer.
    KeysRemove,
    /// The registry was told to take nothing in, or again.
    ReadOnly,
    /// Files that nothing refers to were removed.
    Gc,
    /// The catalogue's images were made anew from their files.
    Rebuild,
}

/// No word for anything that is done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nothing that the audit log knows")]
pub struct NoAuditAction(String);

impl AuditAction {
    const ALL: [Self; 21] = [
        Self::Publish,
        Self::Heal,
        Self::Overwrite,
        Self::Delete,
        Self::Yank,
        Self::Unyank,
        Self::TokenCreate,
        Self::TokenRotate,
        Self::TokenRevoke,
        Self::UserAdd,
        Self::UserPasswd,
        Self::UserRemove,
        Self::PolicySet,
        Self::PolicyRemove,
        Self::OidcAdd,
        Self::OidcRemove,
        Self::KeysAdd,
        Self::KeysRemove,
        Self::ReadOnly,
        Self::Gc,
        Self::Rebuild,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Heal => "heal",
            Self::Overwrite => "overwrite",
            Self::Delete => "delete",
            Self::Yank => "yank",
            Self::Unyank => "unyank",
            Self::TokenCreate => "token-create",
            Self::TokenRotate => "token-rotate",
            Self::TokenRevoke => "token-revoke",
            Self::UserAdd => "user-add",
            Self::UserPasswd => "user-passwd",
            Self::UserRemove => "user-remove",
            Self::PolicySet => "policy-set",
            Self::PolicyRemove => "policy-remove",
            Self::OidcAdd => "oidc-add",
            Self::OidcRemove => "oidc-remove",
            Self::KeysAdd => "keys-add",
            Self::KeysRemove => "keys-remove",
            Self::ReadOnly => "read-only",
            Self::Gc => "gc",
            Self::Rebuild => "rebuild",
        }
    }
}

impl FromStr for AuditAction {
    type Err = NoAuditAction;

    fn from_str(text: &str) -> Result<Self, NoAuditAction> {
        let found = Self::ALL.into_iter().find(|action| action.as_str() == text);
        found.ok_or_else(|| NoAuditAction(text.to_owned()))
    }
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who does something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// `token:3a91c07b`, say; `admin` for who works on the data directory; `retention` and `gc` for
    /// what a server does by itself.
    #[serde(rename = "actor")]
    pub who: String,
    /// From where, where that is known.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
}

impl Actor {
    /// Who works on the data directory.
    pub fn admin() -> Self {
        Self::itself("admin")
    }

    /// Whatever has this word for a name, and no address.
    pub(crate) fn itself(who: &str) -> Self {
        Self { who: who.to_owned(), address: None }
    }
}

/// Something that is being done.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) actor: Actor,
    pub(crate) action: AuditAction,
    pub(crate) name: Option<&'a Name>,
    pub(crate) image: Option<&'a ImageId>,
    pub(crate) detail: Option<String>,
}

impl<'a> Event<'a> {
    /// Something that is done to no image.
    pub(crate) fn new(actor: &Actor, action: AuditAction, detail: String) -> Self {
        Self { actor: actor.clone(), action, name: None, image: None, detail: Some(detail) }
    }

    /// The same, of all that is at and below a name.
    pub(crate) fn below(self, name: Option<&'a Name>) -> Self {
        Self { name, ..self }
    }
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// Its number: 1, 2, 3, …
    pub sequence: i64,
    /// When.
    #[serde(with = "crate::stamp")]
    #[schema(value_type = String, format = DateTime)]
    pub at: SystemTime,
    /// Who, and from where.
    #[serde(flatten)]
    pub actor: Actor,
    /// What was done.
    pub action: AuditAction,
    /// To which name, or to what below it.
    pub name: Option<Name>,
    /// To which image.
    pub image_id: Option<ImageId>,
    /// What else there is to say.
    pub detail: Option<String>,
    /// The hash of the record before it; empty for the first.
    pub previous: String,
    /// Its own.
    pub hash: String,
}

/// What a record's hash is over: everything of it, unmistakably.
#[derive(Serialize)]
pub(crate) struct Hashed<'a> {
    pub(crate) sequence: i64,
    /// Seconds since 1970.
    pub(crate) at: i64,
    pub(crate) actor: &'a str,
    pub(crate) address: Option<&'a str>,
    pub(crate) action: &'a str,
    pub(crate) name: Option<&'a str>,
    #[serde(rename = "imageId")]
    pub(crate) image_id: Option<&'a str>,
    pub(crate) detail: Option<&'a str>,
    pub(crate) previous: &'a str,
}

impl Hashed<'_> {
    /// SHA-256 over the record as one line of JSON.
    pub(crate) fn hash(&self) -> Result<String, serde_json::Error> {
        let digest = Sha256::digest(serde_json::to_vec(self)?);
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// What a check of the log found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum AuditVerdict {
    /// Every record is as it was written, and none is missing.
    Whole {
        /// How many there are.
        records: i64,
        /// The hash of the last; empty where there is none.
        head: String,
    },
    /// The first that is not as it was written, is missing, or was put in.
    Broken {
        /// Its number.
        sequence: i64,
        /// What is wrong.
        fault: AuditFault,
    },
}

/// What is wrong with an audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AuditFault {
    /// Its hash is not that of what it says.
    #[error("the record is not as it was written")]
    Changed,
    /// It does not follow the one before.
    #[error("the record does not follow the one before it")]
    Unchained,
    /// There is none of this number, though there are later ones.
    #[error("the record is missing")]
    Missing,
    /// The log ends before the last record that was written.
    #[error("the log ends before the last record that was written")]
    CutOff,
    /// No record has the hash that somebody has noted.
    #[error("no record has the hash that was noted: the log was made anew")]
    OtherLog,
}
