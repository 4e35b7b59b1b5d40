//! Editing manifests: in their own text, and checked before they count.

mod edit;
mod editor;
mod history;

use aci::Severity;
use aci::archive::{ImageFinding, Validated, validate_manifest};
use aci::{ImageManifest, JsonPath};

pub use edit::{Edit, dependency, same_dependency};
pub use editor::{EditFault, Editor, named};
pub use history::{Recorded, record};

/// A path of keys.
pub fn path(keys: &[&str]) -> JsonPath {
    keys.iter().fold(JsonPath::default(), |path, key| path.key(key))
}

/// A manifest that is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the manifest would not be acceptable:{}", lines(.0))]
pub struct Unacceptable(pub Vec<ImageFinding>);

fn lines(findings: &[ImageFinding]) -> String {
    findings.iter().map(|finding| format!("\n  {finding}")).collect()
}

/// Checks an edited manifest: the errors in it, or the manifest and the warnings that are new in
/// it. What other tools refuse and we can read is an error where it is new, so that an image that
/// has it already can be edited.
pub fn check(old: &[u8], new: &[u8]) -> Result<(ImageManifest, Vec<ImageFinding>), Unacceptable> {
    let (read, Validated { findings, .. }) = validate_manifest(new);
    let before = validate_manifest(old).1.findings;
    let known = |one: &ImageFinding| {
        before.iter().any(|other| (&other.code, &other.message) == (&one.code, &one.message))
    };
    let is_error =
        |one: &&ImageFinding| one.severity == Severity::Error && !(read.is_some() && known(one));
    let errors: Vec<_> = findings.iter().filter(is_error).cloned().collect();
    match read {
        Some(manifest) if errors.is_empty() => {
            Ok((manifest, findings.into_iter().filter(|one| !known(one)).collect()))
        }
        _ => Err(Unacceptable(errors)),
    }
}
