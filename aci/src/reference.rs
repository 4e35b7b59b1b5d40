//! Image references: `NAME[:VERSION][,LABEL=VALUE…]` (spec: discovery.md; rkt's App string).

use std::fmt;
use std::str::FromStr;

use crate::labels::{Label, LabelError, Labels};
use crate::name::{Name, NameError};

/// A request for an image: a name, and labels it must have.
///
/// - at most one `:`, and it stands before the first `,`; what follows it is the label `version`
/// - so a name holds no port: `example.com:8080/app` asks `example.com` for version `8080/app`
/// - label names are unique, none is `name`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    name: Name,
    labels: Labels,
}

/// Why a text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The name is no AC Identifier.
    #[error("{text:?} is no image reference (NAME[:VERSION][,LABEL=VALUE…]): {source}")]
    Name {
        /// The whole text.
        text: String,
        /// What is wrong with the name.
        #[source]
        source: NameError,
    },
    /// A label is malformed, or given twice.
    #[error("{text:?} is no image reference (NAME[:VERSION][,LABEL=VALUE…]): {source}")]
    Label {
        /// The whole text.
        text: String,
        /// What is wrong with the labels.
        #[source]
        source: LabelError,
    },
    /// A second colon, or one after a comma.
    #[error(
        "{0:?} has a colon where none can stand: one may follow the name, before the first comma"
    )]
    Colon(String),
}

impl Reference {
    /// A reference to `name` with these labels.
    pub fn new(name: Name, labels: Labels) -> Self {
        Self { name, labels }
    }

    /// The image name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The labels asked for.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let label_error = |source| ReferenceError::Label { text: text.to_owned(), source };
        let mut parts = text.split(',');
        let head = parts.next().unwrap_or_default();
        let (name, version) = match head.split_once(':') {
            Some((name, version)) => (name, Some(version)),
            None => (head, None),
        };
        // A colon in a label's value would make `name,a=b:1` and `name:1,a=b` two
        // readings of one text; every appc tool refuses it.
        if version.is_some_and(|v| v.contains(':')) || text[head.len()..].contains(':') {
            return Err(ReferenceError::Colon(text.to_owned()));
        }
        let name = name
            .parse()
            .map_err(|source| ReferenceError::Name { text: text.to_owned(), source })?;
        let labels: Result<Vec<Label>, LabelError> = version
            .map(|v| format!("version={v}").parse())
            .into_iter()
            .chain(parts.map(str::parse))
            .collect();
        let labels = labels.and_then(Labels::try_from).map_err(label_error)?;
        Ok(Self { name, labels })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(version) = self.labels.value("version") {
            write!(f, ":{version}")?;
        }
        for label in self.labels.without("version").iter() {
            write!(f, ",{label}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_reads_name_version_and_labels() -> Result<(), ReferenceError> {
        let reference: Reference = "example.com/app:1.2.3,special=!*'();@&+$/?#[],k=a=b".parse()?;
        assert_eq!(reference.name().as_str(), "example.com/app");
        assert_eq!(reference.labels().value("version"), Some("1.2.3"));
        assert_eq!(reference.labels().value("special"), Some("!*'();@&+$/?#[]"));
        assert_eq!(reference.labels().value("k"), Some("a=b"));
        assert_eq!(reference.to_string().parse::<Reference>()?, reference);
        Ok(())
    }

    #[test]
    fn reference_has_no_port() -> Result<(), ReferenceError> {
        let reference: Reference = "example.com:8080/app".parse()?;
        assert_eq!(reference.name().as_str(), "example.com");
        assert_eq!(reference.labels().value("version"), Some("8080/app"));
        Ok(())
    }

    #[test]
    fn reference_refuses() {
        for bad in [
            "",
            "not a name",
            "example.com/app,",
            "example.com/app,os",
            "example.com/app,=x",
            "example.com/app,channel=beta:1.2.3",
            "example.com/app:1:2",
            "EXAMPLE.com/app",
            "example.com/app:1,version=2",
            "example.com/app,name=foo",
            "foo,a=1,a=2",
            "example.com/app,Version=1",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
    }
}
