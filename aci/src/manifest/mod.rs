//! Image and pod manifests (spec: aci.md, "Image Manifest Schema"; pods.md, "Pod Manifest Schema").
//!
//! Every field of the spec has a typed home. Fields the spec does not name are kept in `extra`
//! and written out again. An image's own manifest bytes are never re-encoded (see
//! [`crate::archive::InspectedImage::manifest_bytes`]); a manifest is edited in its text, with
//! [`crate::Document`], so that nothing but the edit changes.
//!
//! A manifest is read in one pass that finds everything at once. The value exists only where no
//! finding is an error:
//!
//! ```
//! let checked = aci::ImageManifest::check(br#"{
//!   "acKind": "ImageManifest", "acVersion": "0.8.11",
//!   "name": "Example.com/app",
//!   "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "arm64"}]
//! }"#);
//! let told: Vec<String> = checked.findings.iter().map(|f| format!("{}:{} {}", f.line, f.path, f.code)).collect();
//! assert_eq!(told, ["3:name identifier", "4:labels[1].value label-platform"]);
//! assert!(checked.value.is_none());
//! ```

mod app;
mod image;
mod outline;
mod parts;
mod pod;
mod text;

#[cfg(test)]
mod tests;

use crate::finding::{Checked, Finding};

pub use app::{App, EnvironmentVariable, EventHandler, Isolator, MountPoint, Port};
pub use image::{Annotation, Dependency, ImageManifest};
pub use outline::Outline;
pub use pod::{ExposedPort, Mount, PodApp, PodImage, PodManifest, Volume, VolumeKind};
pub use text::TextError;

pub use crate::json::Extra;

/// Bytes are no acceptable manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    kind: &'static str,
    findings: Vec<Finding>,
}

/// How many findings an error's text tells; [`ManifestError::findings`] has them all.
const TOLD: usize = 5;

impl ManifestError {
    /// What is wrong, at least one thing, in the order of the text.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn result<T>(kind: &'static str, checked: Checked<T>) -> Result<T, Self> {
        checked.into_result().map_err(|findings| Self { kind, findings })
    }
}

impl std::error::Error for ManifestError {}

impl std::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the {} manifest is not acceptable: ", self.kind)?;
        for (at, finding) in self.findings.iter().take(TOLD).enumerate() {
            let before = if at == 0 { "" } else { "; " };
            write!(f, "{before}{finding}")?;
        }
        match self.findings.len().saturating_sub(TOLD) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
