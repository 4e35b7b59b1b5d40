//! Labels of an image (spec: aci.md, "labels").

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{Identifier, NameError};
use crate::types::check_platform;

/// One label: `version=1.0.0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Label {
    /// What the label says: `version`, `os`, `arch`, or the author's own word.
    pub name: Identifier,
    /// Any text.
    pub value: String,
}

/// Why a list of labels is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Two labels have one name.
    #[error("the label {0:?} is given twice; label names are unique (aci.md)")]
    Duplicate(String),
    /// A label called `name`.
    #[error("no label may be called \"name\", to avoid confusion with the image's name (aci.md)")]
    Name,
    /// A label name that is no AC Identifier.
    #[error(transparent)]
    Identifier(#[from] NameError),
    /// A text that is not `name=value`.
    #[error("{0:?} is no label: write NAME=VALUE")]
    Form(String),
    /// An operating system the spec does not list.
    #[error("os {found:?} is not one of linux, freebsd, darwin (aci.md){}", suggestion(.suggest))]
    Os {
        /// The value found.
        found: String,
        /// What was probably meant.
        suggest: Option<&'static str>,
    },
    /// An architecture the spec does not list for this operating system.
    #[error("arch {found:?} is not one of {} for os {os:?} (aci.md){}", .allowed.join(", "), suggestion(.suggest))]
    Arch {
        /// The os label.
        os: String,
        /// The value found.
        found: String,
        /// What the spec allows.
        allowed: &'static [&'static str],
        /// What was probably meant.
        suggest: Option<&'static str>,
    },
}

fn suggestion(suggest: &Option<&'static str>) -> String {
    suggest.map_or_else(String::new, |s| format!("; did you mean {s:?}?"))
}

/// The labels of one image or of one request, in the author's order.
///
/// - names are unique
/// - no name is `name`
/// - `os` and `arch`, where both are given, are a pair the spec lists
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "Vec<Label>", into = "Vec<Label>")]
pub struct Labels(Vec<Label>);

impl Labels {
    /// The value of the label `name`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|label| label.name.as_str() == name).map(|label| label.value.as_str())
    }

    /// The labels in the author's order.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One text for one set of labels, whatever its order: `arch=amd64,os=linux,version=1`.
    /// Values are escaped, so two different sets never share a text.
    pub fn canonical(&self) -> String {
        let mut all: Vec<String> = self
            .0
            .iter()
            .map(|l| format!("{}={}", l.name, l.value.replace('\\', "\\\\").replace(',', "\\,")))
            .collect();
        all.sort();
        all.join(",")
    }

    /// These labels without `name`.
    pub fn without(&self, name: &str) -> Labels {
        Labels(self.0.iter().filter(|l| l.name.as_str() != name).cloned().collect())
    }

    /// The first label of `self` that `image` lacks or has with another value.
    /// A label of `image` that `self` does not name matches with any value
    /// (spec: discovery.md, "Validation").
    pub fn first_mismatch<'a>(&'a self, image: &'a Labels) -> Option<(&'a Label, Option<&'a str>)> {
        self.0.iter().find_map(|wanted| {
            let found = image.value(wanted.name.as_str());
            (found != Some(wanted.value.as_str())).then_some((wanted, found))
        })
    }
}

impl TryFrom<Vec<Label>> for Labels {
    type Error = LabelError;

    fn try_from(labels: Vec<Label>) -> Result<Self, LabelError> {
        let mut seen = HashSet::new();
        for label in &labels {
            if label.name.as_str() == "name" {
                return Err(LabelError::Name);
            }
            if !seen.insert(&label.name) {
                return Err(LabelError::Duplicate(label.name.to_string()));
            }
        }
        let labels = Self(labels);
        check_platform(labels.value("os"), labels.value("arch"))?;
        Ok(labels)
    }
}

impl From<Labels> for Vec<Label> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

impl std::str::FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let (name, value) =
            text.split_once('=').ok_or_else(|| LabelError::Form(text.to_owned()))?;
        Ok(Self { name: name.parse()?, value: value.to_owned() })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, label) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{label}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::host_platform;

    fn labels(texts: &[&str]) -> Result<Labels, LabelError> {
        texts.iter().map(|t| t.parse()).collect::<Result<Vec<Label>, _>>()?.try_into()
    }

    #[test]
    fn labels_are_unique_and_never_called_name() {
        assert!(labels(&["a=1", "b=2"]).is_ok());
        assert_eq!(labels(&["a=1", "a=1"]), Err(LabelError::Duplicate("a".into())));
        assert_eq!(labels(&["name=x"]), Err(LabelError::Name));
    }

    #[test]
    fn platform_pairs_follow_the_table_and_suggest() {
        assert!(labels(&["os=linux", "arch=amd64"]).is_ok());
        assert!(labels(&["arch=whatever"]).is_ok(), "arch means nothing without os");
        let error = labels(&["os=linux", "arch=arm64"]).map(|_| ()).unwrap_err().to_string();
        assert!(error.ends_with("did you mean \"aarch64\"?"), "{error}");
        assert!(labels(&["os=plan9"]).is_err());
        let (os, arch) = host_platform();
        assert!(labels(&[&format!("os={os}"), &format!("arch={arch}")]).is_ok());
    }

    #[test]
    fn canonical_ignores_order_and_keeps_sets_apart() -> Result<(), LabelError> {
        assert_eq!(labels(&["b=2", "a=1"])?.canonical(), labels(&["a=1", "b=2"])?.canonical());
        assert_ne!(labels(&["a=1,b=2"])?.canonical(), labels(&["a=1", "b=2"])?.canonical());
        Ok(())
    }

    #[test]
    fn match_asks_for_every_wanted_label_and_ignores_others() -> Result<(), LabelError> {
        let image = labels(&["version=1", "os=linux"])?;
        assert!(labels(&["version=1"])?.first_mismatch(&image).is_none());
        assert!(labels(&["version=2"])?.first_mismatch(&image).is_some());
        assert!(labels(&["channel=beta"])?.first_mismatch(&image).is_some());
        Ok(())
    }
}
