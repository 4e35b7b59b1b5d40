//! Recipes: how an image is built, written in one file of TOML.
//!
//! ```toml
//! name = "example.com/web"
//! version = "1.0.0"
//!
//! [base]
//! image = "example.com/base:1.0.0"
//!
//! [[step]]
//! shell = "apt-get update && apt-get install -y nginx-light"
//! network = true
//!
//! [[step]]
//! copy = "site"
//! to = "/srv/www"
//!
//! [app]
//! exec = ["/usr/sbin/nginx", "-g", "daemon off;"]
//! ports = [{ name = "http", protocol = "tcp", port = 80 }]
//! ```
//!
//! `docs/recipes.md` has all keys, and `docs/recipe.schema.json` the same for editors. Nothing is
//! executed here, and no file is read but the text that is given.

mod app;
mod base;
mod command;
mod fault;
mod lock;
mod metadata;
mod output;
mod place;
mod step;
mod step_fields;
mod text;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use aci::archive::Compression;
use aci::{Identifier, ImageId, Name, Reference};
use serde::{Deserialize, Deserializer};
use serde_json::json;

use crate::UtcTime;
use crate::manifest::{Edit, EditFault, check};

pub use app::{App, EventHandlers, IsolatorValue, Mount, Port};
pub use base::Base;
pub use command::{Command, Exec, Run, Secret, Test};
pub use fault::{RecipeError, RecipeFault};
pub use lock::{Lock, LockedImage};
pub use metadata::{Attributes, Capabilities, Ids, Mode, SourceOwner};
pub use output::{Output, Platform};
pub use step::{Change, Copy, Directory, File, Link, Remove, Sources, Step};
pub use text::{
    Account, Argument, Digest, IgnorePattern, ImagePath, KeyName, PathPattern, SecretName,
    SourcePath, TextFault, VariableName, Version,
};

use output::check_labels;

/// How an image is built.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recipe {
    /// What the image is called.
    pub name: Name,
    /// The label `version`.
    pub version: Option<Version>,
    /// The time of what the recipe adds; unsaid, `SOURCE_DATE_EPOCH`, else 0.
    pub epoch: Option<Epoch>,
    /// How the image is compressed; unsaid, with gzip.
    #[serde(default = "gzip")]
    pub compression: Compression,
    /// What it begins with; unsaid, with nothing.
    pub base: Option<Base>,
    /// The images below it.
    #[serde(default, rename = "dependency")]
    pub dependencies: Vec<Dependency>,
    /// Labels of all outputs, besides version, os and arch.
    #[serde(default, deserialize_with = "labels")]
    pub labels: BTreeMap<Identifier, String>,
    /// Annotations.
    #[serde(default)]
    pub annotations: BTreeMap<Identifier, String>,
    /// What is done, in order.
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
    /// How the image is run.
    pub app: Option<App>,
    /// The images that are made: at least one.
    #[serde(default, rename = "output")]
    pub outputs: Vec<Output>,
    /// With what they are signed.
    pub sign: Option<Sign>,
    /// What has to succeed in the finished image.
    #[serde(default, rename = "test")]
    pub tests: Vec<Test>,
}

fn gzip() -> Compression {
    Compression::Gzip
}

fn labels<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Identifier, String>, D::Error> {
    let labels = BTreeMap::deserialize(deserializer)?;
    check_labels(&labels, &[]).map_err(serde::de::Error::custom)?;
    Ok(labels)
}

/// A point in time in whole seconds since 1970, no later than the end of 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "i64")]
pub struct Epoch(i64);

impl Epoch {
    /// The seconds.
    pub fn seconds(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Epoch {
    type Error = RecipeFault;

    fn try_from(seconds: i64) -> Result<Self, RecipeFault> {
        UtcTime::try_from(seconds)?;
        Ok(Self(seconds))
    }
}

/// An image below this one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dependency {
    /// Its name and the labels it has to have.
    #[serde(deserialize_with = "text::text")]
    pub image: Reference,
    /// The ID it has to have.
    pub id: Option<ImageId>,
    /// Bytes that its file has to have.
    pub size: Option<u64>,
}

/// With what the outputs are signed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sign {
    /// The key.
    pub key: KeyName,
}

impl Recipe {
    /// Reads a recipe: the whole of it, or the first fault and its place.
    ///
    /// ```
    /// use builder::recipe::Recipe;
    ///
    /// let error = Recipe::parse("name = \"example.com/a\"\n[[step]]\nremove = \"/tmp/*\"\nto = \"/b\"");
    /// assert_eq!(
    ///     error.unwrap_err().to_string(),
    ///     "line 2, column 1, step[0]: to means nothing beside remove"
    /// );
    /// ```
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        let mut recipe: Self = place::read(text)?;
        if recipe.outputs.is_empty() {
            recipe.outputs.push(Output::default());
        }
        recipe.check_outputs(text)?;
        recipe.check_dependencies(text)?;
        recipe.check_app(text)?;
        recipe.check_edits(text)?;
        Ok(recipe)
    }

    fn check_outputs(&self, text: &str) -> Result<(), RecipeError> {
        let mut seen = HashSet::new();
        for (at, output) in self.outputs.iter().enumerate() {
            let own = match &output.file {
                Some(file) => file.to_string(),
                None => format!("/{:?}", output.platform),
            };
            if !seen.insert(own) {
                let key = ["output", &at.to_string()];
                return Err(place::fault(text, &key, &RecipeFault::SameOutput));
            }
        }
        Ok(())
    }

    fn check_dependencies(&self, text: &str) -> Result<(), RecipeError> {
        let mut seen = HashSet::new();
        for (at, Dependency { image, .. }) in self.dependencies.iter().enumerate() {
            if !seen.insert((image.name(), image.labels().canonical())) {
                let fault = RecipeFault::DependencyTwice(image.to_string());
                return Err(place::fault(text, &["dependency", &at.to_string(), "image"], &fault));
            }
        }
        Ok(())
    }

    /// Checks that no port and no mount point takes the place of another one.
    fn check_app(&self, text: &str) -> Result<(), RecipeError> {
        let Some(app) = &self.app else { return Ok(()) };
        let mut seen = HashSet::new();
        let mut check = |list: &str, at: usize, key: &str, value: &str, told| {
            if seen.insert([list, key, value].map(str::to_owned)) {
                return Ok(());
            }
            let key = ["app", list, &at.to_string(), key];
            Err(place::fault(text, &key, &RecipeFault::Another(told)))
        };
        for (at, port) in app.ports.iter().enumerate() {
            check("ports", at, "name", port.name.as_str(), "port has this name")?;
        }
        for (at, mount) in app.mounts.iter().enumerate() {
            check("mounts", at, "name", mount.name.as_str(), "mount point has this name")?;
            check("mounts", at, "path", mount.path.as_str(), "mount point has this path")?;
        }
        Ok(())
    }

    /// Makes the edits in a manifest that has nothing else, so that its own rules judge them.
    fn check_edits(&self, text: &str) -> Result<(), RecipeError> {
        let mut manifest =
            json!({ "acKind": "ImageManifest", "acVersion": "0.8.11", "name": self.name })
                .to_string()
                .into_bytes();
        for (key, edit) in self.keyed_edits() {
            let key: Vec<&str> = key.iter().map(String::as_str).collect();
            let fault = |told: String| place::fault(text, &key, &RecipeFault::Manifest(told));
            let edited =
                edit.apply(&manifest).map_err(|error: EditFault| fault(error.to_string()))?;
            if let Err(unacceptable) = check(&manifest, &edited) {
                let first = unacceptable.0.first().map(|finding| finding.message.to_string());
                return Err(fault(first.unwrap_or_else(|| unacceptable.to_string())));
            }
            manifest = edited;
        }
        Ok(())
    }

    /// The edits that give a manifest what the recipe says of all outputs: name, labels,
    /// annotations, dependencies, then the app; tables in the order of their keys, lists in their
    /// own. Those of one output come after them ([`Output::edits`]).
    pub fn edits(&self) -> Vec<Edit> {
        self.keyed_edits().into_iter().map(|(_, edit)| edit).collect()
    }

    /// The same, each with its key.
    fn keyed_edits(&self) -> Vec<(Vec<String>, Edit)> {
        let key = |parts: &[&str]| parts.iter().map(|&part| part.to_owned()).collect();
        let mut all = vec![(key(&["name"]), Edit::SetName(self.name.to_string()))];
        if let Some(version) = &self.version {
            let label = Edit::AddLabel("version".to_owned(), version.to_string());
            all.push((key(&["version"]), label));
        }
        for (name, value) in &self.labels {
            let label = Edit::AddLabel(name.to_string(), value.clone());
            all.push((key(&["labels", name.as_str()]), label));
        }
        for (name, value) in &self.annotations {
            let annotation = Edit::AddAnnotation(name.to_string(), value.clone());
            all.push((key(&["annotations", name.as_str()]), annotation));
        }
        let mut seen = HashSet::new();
        for (at, dependency) in self.dependencies.iter().enumerate() {
            // The first of a name takes the place of what a base has; others stand beside it.
            let another = !seen.insert(dependency.image.name());
            all.push((key(&["dependency", &at.to_string()]), dependency.edit(another)));
        }
        for (below, edit) in self.app.iter().flat_map(App::edits) {
            all.push(([key(&["app"]), below].concat(), edit));
        }
        all
    }
}

impl Dependency {
    fn edit(&self, another: bool) -> Edit {
        let dependency = aci::manifest::Dependency {
            image_name: self.image.name().clone(),
            image_id: self.id.clone(),
            labels: self.image.labels().clone(),
            size: self.size,
            extra: Default::default(),
        };
        Edit::AddDependency { dependency: Box::new(dependency), another }
    }
}
