//! Which images stay: rules for the names below a prefix.
//!
//! ```toml
//! [[retention]]
//! prefix = "example.com/nightly"
//! keep-newest = 10
//! keep-younger = "30d"
//! keep-versions = ["1.0.0", "2.*"]
//! keep-labels = { channel = "stable" }
//! ```
//!
//! An image stays where any of these keeps it. Of several rules, the one with the longest prefix
//! speaks for a name, alone; names without a rule keep everything.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, SystemTime};

use aci::{Identifier, ImageId, Name};
use serde::{Deserialize, Serialize, Serializer};

use super::age::Age;
use super::{FILES_STAY, KeepError, Keeper};
use crate::access::Changer;
use crate::catalog::{Duty, StoredImage};
use crate::select::rank;

/// Names that are looked at together.
const BATCH: u32 = 256;

/// A rule for the names at and below a prefix.
///
/// - It keeps something: a rule that kept nothing would delete everything.
/// - So does each of its parts, as far as that can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Retention(Written);

/// A rule, as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Written {
    /// The names it is for: at and below this one.
    pub prefix: Name,
    /// So many of the newest versions of each name stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_newest: Option<u32>,
    /// What was pushed not longer ago than this stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_younger: Option<Age>,
    /// These versions stay. One that ends in a star stands for all that begin so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep_versions: Vec<String>,
    /// What has one of these labels stays.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keep_labels: BTreeMap<Identifier, String>,
}

/// A rule that keeps nothing, or has a part that does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepsNothing {
    /// There is no part.
    #[error(
        "the retention of {0} keeps nothing: give keep-newest, keep-younger, keep-versions or keep-labels"
    )]
    Rule(Name),
    /// No version is newest.
    #[error("keep-newest of the retention of {0} keeps nothing: give at least 1, or leave it out")]
    Newest(Name),
    /// No image is young.
    #[error(
        "keep-younger of the retention of {0} keeps nothing: give at least 1s, or leave it out"
    )]
    Younger(Name),
    /// No version is like this one.
    #[error(
        "{pattern:?} in keep-versions of the retention of {prefix} keeps nothing: write a version, or \
         its beginning and one * at the end"
    )]
    Version {
        /// Whose rule.
        prefix: Name,
        /// What was to be a version, or its beginning.
        pattern: String,
    },
}

impl TryFrom<Written> for Retention {
    type Error = KeepsNothing;

    fn try_from(rule: Written) -> Result<Self, KeepsNothing> {
        let Written { prefix, keep_newest, keep_younger, keep_versions, keep_labels } = &rule;
        if *keep_newest == Some(0) {
            return Err(KeepsNothing::Newest(prefix.clone()));
        }
        if keep_younger.is_some_and(|age| age.time().is_zero()) {
            return Err(KeepsNothing::Younger(prefix.clone()));
        }
        let none = |pattern: &&String| {
            let beginning = pattern.strip_suffix('*').unwrap_or(pattern);
            pattern.is_empty() || beginning.contains('*')
        };
        if let Some(pattern) = keep_versions.iter().find(none) {
            let (prefix, pattern) = (prefix.clone(), pattern.clone());
            return Err(KeepsNothing::Version { prefix, pattern });
        }
        let keeps = keep_newest.is_some()
            || keep_younger.is_some()
            || !keep_versions.is_empty()
            || !keep_labels.is_empty();
        if keeps { Ok(Self(rule)) } else { Err(KeepsNothing::Rule(prefix.clone())) }
    }
}

impl From<Retention> for Written {
    fn from(rule: Retention) -> Self {
        rule.0
    }
}

/// Why an image stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is of one of the newest versions.
    Newest(u32),
    /// It was pushed a short time ago.
    Younger(Duration),
    /// Its version is named.
    Version(String),
    /// It has a label that is named.
    Label(String, String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(newest) => write!(f, "of the newest {newest} versions"),
            Self::Younger(time) => write!(f, "younger than {}", Age::of(*time)),
            Self::Version(pattern) => write!(f, "version {pattern}"),
            Self::Label(name, value) => write!(f, "label {name}={value}"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An image that rules were asked about.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// Which image.
    pub image_id: ImageId,
    /// Its name and labels.
    pub reference: String,
    /// What its two files take.
    pub bytes: u64,
    /// Why it stays; with none, it goes.
    pub stays: Vec<Reason>,
}

impl Retention {
    /// The names it is for.
    pub fn prefix(&self) -> &Name {
        &self.0.prefix
    }

    /// Which of the images of one name stay, and why.
    fn judge(&self, images: &[StoredImage], now: SystemTime) -> Vec<Judged> {
        let newest = self.newest_versions(images);
        let judge = |image: &StoredImage| Judged {
            image_id: image.image_id.clone(),
            reference: image.reference().to_string(),
            bytes: image.file_bytes.saturating_add(image.signature_bytes),
            stays: self.reasons(image, &newest, now),
        };
        images.iter().map(judge).collect()
    }

    fn reasons(
        &self,
        image: &StoredImage,
        newest: &[Option<&str>],
        now: SystemTime,
    ) -> Vec<Reason> {
        let rule = &self.0;
        let version = image.labels.value("version");
        let mut reasons = Vec::new();
        if let Some(count) = rule.keep_newest
            && newest.contains(&version)
        {
            reasons.push(Reason::Newest(count));
        }
        // One from the future is young.
        let age = now.duration_since(image.pushed).unwrap_or_default();
        if let Some(young) = rule.keep_younger.map(Age::time).filter(|young| age <= *young) {
            reasons.push(Reason::Younger(young));
        }
        let named = |pattern: &&String| match (pattern.strip_suffix('*'), version) {
            (Some(beginning), Some(version)) => version.starts_with(beginning),
            (None, Some(version)) => version == pattern.as_str(),
            (_, None) => false,
        };
        let versions = rule.keep_versions.iter().filter(named);
        reasons.extend(versions.map(|pattern| Reason::Version(pattern.clone())));
        let labels = rule
            .keep_labels
            .iter()
            .filter(|(name, value)| image.labels.value(name.as_str()) == Some(value.as_str()));
        reasons.extend(labels.map(|(name, value)| Reason::Label(name.to_string(), value.clone())));
        reasons
    }

    /// The newest versions, in the order by which `latest` is found. One that its author has
    /// withdrawn takes no place of another.
    fn newest_versions<'a>(&self, images: &'a [StoredImage]) -> Vec<Option<&'a str>> {
        let mut versions = HashMap::new();
        for image in images.iter().filter(|image| !image.yanked) {
            let newest =
                versions.entry(image.labels.value("version")).or_insert_with(|| rank(image));
            *newest = rank(image).max(newest.clone());
        }
        let mut versions: Vec<_> = versions.into_iter().collect();
        versions.sort_by(|(_, one), (_, other)| other.cmp(one));
        let count = usize::try_from(self.0.keep_newest.unwrap_or(0)).unwrap_or(usize::MAX);
        versions.into_iter().take(count).map(|(version, _)| version).collect()
    }
}

/// The rule that speaks for a name.
fn rule_for<'a>(rules: &'a [Retention], name: &Name) -> Option<&'a Retention> {
    let for_name = rules.iter().filter(|rule| name.is_under(rule.prefix()));
    for_name.max_by_key(|rule| rule.prefix().as_str().len())
}

impl Keeper {
    /// What the rules say of every image they are for.
    pub(crate) async fn judge(&self, rules: &[Retention]) -> Result<Vec<Judged>, KeepError> {
        let mut all = Vec::new();
        for rule in rules {
            let mut last: Option<Name> = None;
            loop {
                let names = self
                    .catalog
                    .names(rule.prefix(), last.as_ref().map_or("", Name::as_str), BATCH)
                    .await?;
                let Some(end) = names.last() else { break };
                last = Some(end.name.clone());
                for summary in &names {
                    if rule_for(rules, &summary.name) != Some(rule) {
                        continue;
                    }
                    let images = self.catalog.images(&summary.name).await?;
                    all.extend(rule.judge(&images, self.clock.now()));
                }
            }
        }
        Ok(all)
    }

    /// Deletes what no rule keeps, and gives it; `None` where somebody else is at it.
    pub(crate) async fn retain(
        &self,
        rules: &[Retention],
        by: &Changer,
    ) -> Result<Option<Vec<Judged>>, KeepError> {
        if !self.catalog.take_duty(Duty::Collect, &self.name, self.clock.now()).await? {
            return Ok(None);
        }
        let deleted = self.delete_unkept(rules, by).await;
        self.catalog.leave_duty(Duty::Collect, &self.name).await?;
        deleted
    }

    async fn delete_unkept(
        &self,
        rules: &[Retention],
        by: &Changer,
    ) -> Result<Option<Vec<Judged>>, KeepError> {
        let mut deleted = Vec::new();
        for judged in self.judge(rules).await?.into_iter().filter(|judged| judged.stays.is_empty())
        {
            let now = self.clock.now();
            if !self.catalog.take_duty(Duty::Collect, &self.name, now).await? {
                return Ok(None);
            }
            let (id, stay) = (&judged.image_id, now + FILES_STAY);
            if self.catalog.delete(id, by, now, stay).await?.is_some() {
                tracing::info!(image = %id, reference = judged.reference, "no rule keeps it: deleted");
                deleted.push(judged);
            }
        }
        Ok(Some(deleted))
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
