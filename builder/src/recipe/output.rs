//! The images that a recipe makes.

use std::collections::BTreeMap;

use aci::{Identifier, Label, Labels, Name};
use serde::Deserialize;

use super::fault::RecipeFault;
use super::text::{SourcePath, Version};
use crate::manifest::Edit;

/// One image that is made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "OutputFields")]
pub struct Output {
    /// For which platform.
    pub platform: Platform,
    /// The file it is written to; unsaid, [`Output::file_name`] beside the recipe.
    pub file: Option<SourcePath>,
    /// Labels besides those of all outputs, or in their place.
    pub labels: BTreeMap<Identifier, String>,
}

/// The platform of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Platform {
    /// That of the machine it is made on.
    #[default]
    Machine,
    /// This one.
    Given {
        /// The label `os`.
        os: String,
        /// The label `arch`.
        arch: String,
    },
    /// None: the image has neither label, as one of data has.
    None,
}

impl Platform {
    /// Its labels `os` and `arch`, where the machine has these.
    pub fn labels<'a>(&'a self, machine: (&'a str, &'a str)) -> Option<(&'a str, &'a str)> {
        match self {
            Self::Machine => Some(machine),
            Self::Given { os, arch } => Some((os, arch)),
            Self::None => None,
        }
    }
}

/// The words of the key `platform`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PlatformWord {
    Machine,
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct OutputFields {
    os: Option<String>,
    arch: Option<String>,
    platform: Option<PlatformWord>,
    file: Option<SourcePath>,
    #[serde(default)]
    labels: BTreeMap<Identifier, String>,
}

impl TryFrom<OutputFields> for Output {
    type Error = RecipeFault;

    fn try_from(fields: OutputFields) -> Result<Self, RecipeFault> {
        let OutputFields { os, arch, platform, file, labels } = fields;
        let platform = match (os, arch, platform) {
            (Some(os), Some(arch), None) => Platform::Given { os, arch },
            (Some(_), None, None) => {
                return Err(RecipeFault::Missing { key: "arch", beside: "os" });
            }
            (None, Some(_), None) => {
                return Err(RecipeFault::Missing { key: "os", beside: "arch" });
            }
            (Some(_), _, Some(_)) => return Err(RecipeFault::Both("os", "platform")),
            (None, Some(_), Some(_)) => return Err(RecipeFault::Both("arch", "platform")),
            (None, None, Some(PlatformWord::None)) => Platform::None,
            (None, None, Some(PlatformWord::Machine) | None) => Platform::Machine,
        };
        let given = match &platform {
            Platform::Given { os, arch } => vec![("os", os.as_str()), ("arch", arch.as_str())],
            Platform::Machine | Platform::None => Vec::new(),
        };
        check_labels(&labels, &given)?;
        Ok(Self { platform, file, labels })
    }
}

/// Checks a table of labels, together with those that are given in another way.
pub(super) fn check_labels(
    labels: &BTreeMap<Identifier, String>,
    more: &[(&str, &str)],
) -> Result<(), RecipeFault> {
    for (label, instead) in [
        ("version", "version of the whole recipe"),
        ("os", "os of an [[output]]"),
        ("arch", "arch of an [[output]]"),
    ] {
        if labels.keys().any(|name| name.as_str() == label) {
            return Err(RecipeFault::LabelElsewhere { label: label.to_owned(), instead });
        }
    }
    let label =
        |(name, value): (&Identifier, &String)| Label { name: name.clone(), value: value.clone() };
    let mut all: Vec<Label> = labels.iter().map(label).collect();
    for (name, value) in more {
        all.push(format!("{name}={value}").parse()?);
    }
    Labels::try_from(all)?;
    Ok(())
}

impl Output {
    /// The edits that make the manifest of this output of that of all, on a machine of this os and
    /// arch.
    pub fn edits(&self, machine: (&str, &str)) -> Vec<Edit> {
        let platform = self.platform.labels(machine);
        let platform = platform.map(|(os, arch)| [("os", os), ("arch", arch)]);
        let own = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all = platform.into_iter().flatten().chain(own);
        all.map(|(name, value)| Edit::AddLabel(name.to_owned(), value.to_owned())).collect()
    }

    /// What its file is called where the recipe does not say: the last segment of the name, the
    /// version, os and arch, as far as there are such, with hyphens between. What could be no part
    /// of a file's name in every shell becomes `_`.
    pub fn file_name(
        &self,
        name: &Name,
        version: Option<&Version>,
        machine: (&str, &str),
    ) -> String {
        let mut parts = vec![name.last_segment()];
        parts.extend(version.map(Version::as_str));
        parts.extend(self.platform.labels(machine).into_iter().flat_map(|(os, arch)| [os, arch]));
        let plain =
            |c: char| if c.is_ascii_alphanumeric() || "-._+~".contains(c) { c } else { '_' };
        let name: String = parts.join("-").chars().map(plain).collect();
        format!("{name}.aci")
    }
}
