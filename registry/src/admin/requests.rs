//! What is asked of the API, and the answers that are lists.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use aci::{Identifier, Name};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{AddedKey, NewToken, Rotation, RuleInfo, TokenInfo, UserInfo};
use crate::access::{
    Action, ClaimPattern, Grant, IssuerUrl, PolicyEntry, Rule, RuleError, RuleId, UserName,
};
use crate::keeping::{Age, Damaged, KeepsNothing, Retention, WrittenRetention};

/// How long something is good: so many seconds, or `"never"` an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Lifetime {
    /// So many seconds.
    Seconds(u64),
    /// For ever.
    Word(Never),
}

/// The word for what has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Never {
    /// It has none.
    Never,
}

impl From<Option<Duration>> for Lifetime {
    fn from(lifetime: Option<Duration>) -> Self {
        lifetime.map_or(Self::Word(Never::Never), |time| Self::Seconds(time.as_secs()))
    }
}

impl From<Lifetime> for Option<Duration> {
    fn from(lifetime: Lifetime) -> Self {
        match lifetime {
            Lifetime::Seconds(seconds) => Some(Duration::from_secs(seconds)),
            Lifetime::Word(Never::Never) => None,
        }
    }
}

/// A token that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What to call it in lists.
    #[serde(default)]
    pub name: String,
    /// For these names and all below them.
    pub prefixes: Vec<Name>,
    /// What is allowed there.
    pub allow: Vec<Action>,
    /// How long it is good.
    pub lifetime: Lifetime,
}

impl From<NewToken> for TokenRequest {
    fn from(new: NewToken) -> Self {
        let (prefixes, allow) = (new.grant.prefixes().to_vec(), new.grant.actions().to_vec());
        Self { name: new.name, prefixes, allow, lifetime: new.lifetime.into() }
    }
}

impl From<TokenRequest> for NewToken {
    fn from(wanted: TokenRequest) -> Self {
        let TokenRequest { name, prefixes, allow, lifetime } = wanted;
        Self { name, grant: Grant::new(prefixes, allow), lifetime: lifetime.into() }
    }
}

/// A token, and its secret, which is shown this once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// The token.
    #[serde(flatten)]
    pub info: TokenInfo,
    /// What its holder sends.
    pub token: String,
}

/// Every token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// The tokens, oldest first.
    pub tokens: Vec<TokenInfo>,
}

/// Another secret for a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RotateRequest {
    /// How many seconds the secret it had stays good.
    pub grace_seconds: u64,
    /// How long the token is good from now on; where it is not said, as long as it would have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Lifetime>,
}

impl From<Rotation> for RotateRequest {
    fn from(rotation: Rotation) -> Self {
        let lifetime = rotation.lifetime.map(Lifetime::from);
        Self { grace_seconds: rotation.grace.as_secs(), lifetime }
    }
}

impl From<RotateRequest> for Rotation {
    fn from(wanted: RotateRequest) -> Self {
        let lifetime = wanted.lifetime.map(Option::from);
        Self { grace: Duration::from_secs(wanted.grace_seconds), lifetime }
    }
}

/// A user who is wanted.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRequest {
    /// The name.
    pub name: UserName,
    /// The password: at least 12 characters.
    pub password: String,
    /// For these names and all below them.
    pub prefixes: Vec<Name>,
    /// What is allowed there.
    pub allow: Vec<Action>,
}

/// Every user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UserList {
    /// The users, by name.
    pub users: Vec<UserInfo>,
}

/// Another password for a user.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    /// The password: at least 12 characters.
    pub password: String,
}

/// Keys that are to sign for a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeysRequest {
    /// For this name and all below it.
    pub prefix: Name,
    /// The public keys, ASCII-armored.
    pub keys: String,
}

/// Keys that were added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddedKeys {
    /// The keys.
    pub added: Vec<AddedKey>,
}

/// A rule that is wanted: which jobs may do what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleRequest {
    /// What to call it.
    pub name: RuleId,
    /// Who vouches for the jobs: the `iss` of their tokens.
    pub issuer: IssuerUrl,
    /// Whom their tokens must be made for.
    pub audience: String,
    /// What the claims must be, or how they must begin where a star stands at the end.
    pub claims: BTreeMap<String, ClaimPattern>,
    /// For these names and all below them.
    pub prefixes: Vec<Name>,
    /// What is allowed there.
    pub allow: Vec<Action>,
}

impl From<Rule> for RuleRequest {
    fn from(rule: Rule) -> Self {
        let Rule { id: name, issuer, audience, claims, grant } = rule;
        let (prefixes, allow) = (grant.prefixes().to_vec(), grant.actions().to_vec());
        Self { name, issuer, audience, claims, prefixes, allow }
    }
}

impl TryFrom<RuleRequest> for Rule {
    type Error = RuleError;

    fn try_from(wanted: RuleRequest) -> Result<Self, RuleError> {
        let RuleRequest { name, issuer, audience, claims, prefixes, allow } = wanted;
        Self::new(name, issuer, audience, claims, Grant::new(prefixes, allow))
    }
}

/// Every rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleList {
    /// The rules, by name.
    pub rules: Vec<RuleInfo>,
}

/// What prefixes say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyList {
    /// What each says, by prefix.
    pub policies: Vec<PolicyEntry>,
}

/// Which prefix; every one that the caller looks after, where none is given and that makes sense.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PrefixQuery {
    /// This name and all below it.
    pub prefix: Option<Name>,
}

/// Which records of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// So many, 1000 at most; 50 where it is not said.
    pub last: Option<u32>,
    /// Those before this number; the last, where it is not said.
    pub before: Option<i64>,
}

/// What a check of the audit log is to find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct VerifyQuery {
    /// A hash that an earlier check gave.
    #[param(value_type = Option<String>, pattern = "^[0-9a-f]{64}$")]
    pub noted: Option<RecordHash>,
}

/// The hash of a record of the audit log: 64 digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct RecordHash(String);

/// Not the form of a record's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("wanted the hash that `audit verify` gave, 64 digits")]
pub struct NoRecordHash;

impl RecordHash {
    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RecordHash {
    type Error = NoRecordHash;

    fn try_from(text: String) -> Result<Self, NoRecordHash> {
        let digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 64 && text.bytes().all(digit) { Ok(Self(text)) } else { Err(NoRecordHash) }
    }
}

impl FromStr for RecordHash {
    type Err = NoRecordHash;

    fn from_str(text: &str) -> Result<Self, NoRecordHash> {
        text.to_owned().try_into()
    }
}

/// Whether the registry is to take nothing in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadOnlyRequest {
    /// Whether.
    pub read_only: bool,
}

/// Removal of files that nothing refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GcRequest {
    /// Whether to remove nothing, and tell what would be.
    pub dry_run: bool,
}

/// Deletion of the images of a prefix that nothing keeps. At least one thing must keep some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetainRequest {
    /// Of this name and all below it.
    pub prefix: Name,
    /// Keep so many of the newest versions of each name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_newest: Option<u32>,
    /// Keep what was pushed not longer ago than this: `30d`, `12h`, `1y`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_younger: Option<Age>,
    /// Keep these versions; a star at the end of one stands for anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep_versions: Vec<String>,
    /// Keep what has one of these labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub keep_labels: BTreeMap<Identifier, String>,
    /// Whether to delete nothing, and tell what would be, and why the rest stays.
    pub dry_run: bool,
}

impl RetainRequest {
    /// The rule, which is tried or followed.
    pub fn new(rule: Retention, dry_run: bool) -> Self {
        let WrittenRetention { prefix, keep_newest, keep_younger, keep_versions, keep_labels } =
            rule.into();
        Self { prefix, keep_newest, keep_younger, keep_versions, keep_labels, dry_run }
    }
}

impl TryFrom<RetainRequest> for Retention {
    type Error = KeepsNothing;

    fn try_from(wanted: RetainRequest) -> Result<Self, KeepsNothing> {
        let RetainRequest { prefix, keep_newest, keep_younger, keep_versions, keep_labels, .. } =
            wanted;
        WrittenRetention { prefix, keep_newest, keep_younger, keep_versions, keep_labels }
            .try_into()
    }
}

/// What is known to be lost or damaged.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DamagedList {
    /// The files.
    pub damaged: Vec<Damaged>,
}
