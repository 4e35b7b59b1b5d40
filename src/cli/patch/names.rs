//! NameEdits of what an image is called, and of what it is built on.

use aci::manifest::Dependency;
use aci::{AcVersion, Document, Identifier, ImageId, Label, Labels, Name, Reference};
use serde_json::{Value, json};

use super::Failure;
use crate::cli::files::pair;
use builder::manifest::{Edit, Editor, named, path, same_dependency};

#[derive(clap::Args)]
#[command(next_help_heading = "The image")]
pub(super) struct NameEdits {
    /// The image's name
    #[arg(long)]
    name: Option<Name>,
    /// The version of the spec the manifest is written for
    #[arg(long, value_name = "VERSION")]
    ac_version: Option<AcVersion>,
    /// The label `version`
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Add or replace a label
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<Label>,
    /// Remove a label
    #[arg(long, value_name = "NAME")]
    remove_label: Vec<Identifier>,
    /// Add or replace an annotation
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = pair::<String>)]
    annotations: Vec<(String, String)>,
    /// Remove an annotation
    #[arg(long, value_name = "NAME")]
    remove_annotation: Vec<Identifier>,
    /// Add a dependency, or give the one of the same name and labels what is said here:
    /// NAME[:VERSION][,LABEL=VALUE…][,imageID=ID]; or the JSON object, which may have a size too
    #[arg(long = "dependency", value_name = "IMAGE", value_parser = dependency)]
    dependencies: Vec<String>,
    /// Remove all dependencies of this name that have these labels
    #[arg(long, value_name = "NAME[:VERSION][,LABEL=VALUE…]")]
    remove_dependency: Vec<Reference>,
    /// Add a path to the path whitelist
    #[arg(long, value_name = "PATH")]
    path_whitelist: Vec<String>,
    /// Remove a path from the path whitelist
    #[arg(long, value_name = "PATH")]
    remove_path_whitelist: Vec<String>,
}

impl NameEdits {
    pub(super) fn is_empty(&self) -> bool {
        self.name.is_none()
            && self.ac_version.is_none()
            && self.version.is_none()
            && self.labels.is_empty()
            && self.remove_label.is_empty()
            && self.annotations.is_empty()
            && self.remove_annotation.is_empty()
            && self.dependencies.is_empty()
            && self.remove_dependency.is_empty()
            && self.path_whitelist.is_empty()
            && self.remove_path_whitelist.is_empty()
    }

    pub(super) fn remove(&self, editor: &mut Editor) -> Result<(), Failure> {
        for (list, what, names) in [
            ("labels", "label", &self.remove_label),
            ("annotations", "annotation", &self.remove_annotation),
        ] {
            for name in names {
                let what = format!("{what} {name}");
                editor.remove_items(&path(&[list]), &what, named(name.as_str()))?;
            }
        }
        for wanted in &self.remove_dependency {
            Edit::RemoveDependency(wanted.clone()).make(editor)?;
        }
        for one in &self.remove_path_whitelist {
            let what = format!("path {one} in the path whitelist");
            editor.remove_items(&path(&["pathWhitelist"]), &what, |item| item == one)?;
        }
        Ok(())
    }

    pub(super) fn put(&self, editor: &mut Editor) -> Result<(), Failure> {
        if let Some(version) = &self.ac_version {
            editor.set(&path(&["acVersion"]), &version.to_string().into())?;
        }
        if let Some(name) = &self.name {
            editor.set(&path(&["name"]), &name.as_str().into())?;
        }
        let labels = path(&["labels"]);
        if let Some(version) = &self.version {
            editor.put_value(&labels, "version", &json!(version).to_string())?;
        }
        for label in &self.labels {
            editor.put_value(&labels, label.name.as_str(), &json!(label.value).to_string())?;
        }
        for (name, value) in &self.annotations {
            editor.put_value(&path(&["annotations"]), name, &json!(value).to_string())?;
        }
        for text in &self.dependencies {
            let one: Value = serde_json::from_str(text)?;
            editor.put(&path(&["dependencies"]), text, &[], same_dependency(&one))?;
        }
        for one in &self.path_whitelist {
            editor.put_text(&path(&["pathWhitelist"]), one)?;
        }
        Ok(())
    }
}

/// A dependency as a reference with an image ID, or as the JSON object of the manifest, which
/// it gives.
fn dependency(text: &str) -> Result<String, String> {
    if text.starts_with('{') {
        let document = Document::parse(text.as_bytes()).map_err(|error| error.to_string())?;
        return Ok(document.text().to_owned());
    }
    // No label can be called so: label names are in lower case.
    let (ids, parts): (Vec<&str>, Vec<&str>) =
        text.split(',').partition(|part| part.starts_with("imageID="));
    let image_id = match ids.as_slice() {
        [] => None,
        [id] => Some(id["imageID=".len()..].parse::<ImageId>().map_err(|error| error.to_string())?),
        _ => return Err("imageID is given twice".to_owned()),
    };
    let reference: Reference =
        parts.join(",").parse().map_err(|error: aci::ReferenceError| error.to_string())?;
    let labels: Labels = reference.labels().clone();
    let image_name = reference.name().clone();
    let dependency =
        Dependency { image_name, image_id, labels, size: None, extra: Default::default() };
    serde_json::to_string(&dependency).map_err(|error| error.to_string())
}
