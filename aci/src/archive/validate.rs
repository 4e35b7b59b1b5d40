//! Everything that is wrong with an image, at once.
//!
//! Reading for use stops at the first fault; whoever mends an image wants to know them all. So
//! here the reader goes on wherever it still knows where the next entry begins, and tells besides
//! what is allowed and probably not meant. An image without errors here is one that
//! [`inspect`](super::inspect()) accepts; some of those it accepts have errors here, because the
//! specification, or the tools it came with, do not take them.

mod folder;

use super::decompress::Hashing;
use std::fmt;
use std::io::{self, Cursor, Read};

use serde::Serialize;

use super::entry::PathBytes;
use super::header::MAGIC;
use super::inspect::{Archive, close, manifest_bytes, open};
use super::layout::{Layout, Place};
use super::names::Names;
use super::read::TarReader;
use super::{ArchiveError, Compression, Limited};
use crate::digest::ImageId;
use crate::finding::{Checked, Finding, MAX_FINDINGS, Severity};
use crate::limits::Limits;
use crate::manifest::{ImageManifest, PodManifest};
use crate::refusal::{Refusal, Refuse};

pub use folder::validate_layout;

/// One thing found in an image, or in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageFinding {
    /// How much it matters.
    pub severity: Severity,
    /// A stable word for programs.
    pub code: String,
    /// What was found, and what was wanted.
    pub message: String,
    /// Where the rule stands.
    pub rule: String,
    /// Where in the manifest; absent where it is not about the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Spot>,
}

impl fmt::Display for ImageFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(Spot { path, line, .. }) if path.is_empty() => write!(f, "line {line}: ")?,
            Some(Spot { path, line, .. }) => write!(f, "line {line}, {path}: ")?,
            None => {}
        }
        write!(f, "{} ({})", self.message, self.rule)
    }
}

/// A place in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spot {
    /// The JSON path, as `app.ports[0].port`; empty for the whole text.
    pub path: String,
    /// The line, counted from 1.
    pub line: u32,
    /// The character in the line, counted from 1.
    pub column: u32,
}

/// What [`validate()`] has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validated {
    /// The findings, in the order in which they were met; those about the manifest come first
    /// among those that only the end can tell.
    pub findings: Vec<ImageFinding>,
    /// How many more there were than are kept.
    pub left_out: u64,
    /// The image ID, where the archive could be read to its end.
    pub image_id: Option<ImageId>,
    errors: usize,
    warnings: usize,
}

const FORMATS: &str = "spec: aci.md, Image Archives";

impl From<Finding> for ImageFinding {
    fn from(finding: Finding) -> Self {
        let Finding { severity, code, path, line, column, message, rule } = finding;
        Self {
            severity,
            code: code.to_owned(),
            message,
            rule: rule.to_owned(),
            place: Some(Spot { path, line, column }),
        }
    }
}

impl From<ArchiveError> for ImageFinding {
    fn from(error: ArchiveError) -> Self {
        error.refusal().into()
    }
}

impl From<Refusal> for ImageFinding {
    fn from(refusal: Refusal) -> Self {
        Self {
            severity: Severity::Error,
            code: refusal.code,
            message: refusal.found,
            rule: refusal.rule,
            place: None,
        }
    }
}

impl Validated {
    /// Whether something has this severity.
    pub fn has(&self, severity: Severity) -> bool {
        self.findings.iter().any(|finding| finding.severity == severity)
    }

    /// Adds a finding, or counts it where there are enough.
    pub fn push(&mut self, finding: impl Into<ImageFinding>) {
        let finding = finding.into();
        let kept = match finding.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        if *kept < MAX_FINDINGS {
            *kept += 1;
            self.findings.push(finding);
        } else {
            self.left_out += 1;
        }
    }

    /// Adds what was found in a part.
    pub(super) fn append(&mut self, other: Validated) {
        other.findings.into_iter().for_each(|finding| self.push(finding));
        self.left_out += other.left_out;
    }

    fn add(&mut self, severity: Severity, code: &str, message: String, rule: &str) {
        let (code, rule) = (code.to_owned(), rule.to_owned());
        self.push(ImageFinding { severity, code, message, rule, place: None });
    }

    pub(super) fn warn(&mut self, code: &str, message: String, rule: &str) {
        self.add(Severity::Warning, code, message, rule);
    }
}

/// Checks the text of an image manifest: what [`ImageManifest::check`] finds, and what it lets
/// pass although other tools refuse it.
pub fn validate_manifest(bytes: &[u8]) -> (Option<ImageManifest>, Validated) {
    judged(ImageManifest::check(bytes))
}

/// Checks the text of a pod manifest, as [`validate_manifest`] does an image's.
pub fn validate_pod_manifest(bytes: &[u8]) -> (Option<PodManifest>, Validated) {
    judged(PodManifest::check(bytes))
}

fn judged<T>(checked: Checked<T>) -> (Option<T>, Validated) {
    let mut found = Validated::default();
    for mut finding in checked.findings {
        // actool refuses the whole manifest for an isolator of an app that it does not know.
        // A version of the spec that nobody can know is no version of it.
        if matches!(finding.code, "isolator-unknown" | "isolator-outside-spec" | "version-later") {
            finding.severity = Severity::Error;
        }
        found.push(finding);
    }
    found.left_out += checked.left_out as u64;
    (checked.value, found)
}

/// Reads an image file to its end, or as far as it can be read, and tells everything that is
/// wrong with it. An error is one of reading alone.
pub fn validate(mut file: impl Read, limits: &Limits) -> io::Result<Validated> {
    let mut found = Validated::default();
    let mut head = Vec::new();
    file.by_ref().take(512).read_to_end(&mut head)?;
    let unmarked = head.get(MAGIC.start..MAGIC.start + 5) != Some(b"ustar");
    let (archive, compression) = match open(Cursor::new(head).chain(file), Hashing::Wanted, limits)
    {
        Ok(opened) => opened,
        Err(ArchiveError::Io(error)) => return Err(error),
        Err(error) => {
            found.push(error);
            return Ok(found);
        }
    };
    if compression == Compression::Zstd {
        let message =
            "compressed by zstd, which other tools cannot read: gantry convert".to_owned();
        found.add(Severity::Error, "compression-outside-spec", message, FORMATS);
    }
    if compression == Compression::None && unmarked {
        let message = "a tar of the oldest form, which other tools do not recognise: pack it again"
            .to_owned();
        found.add(Severity::Error, "tar-unmarked", message, FORMATS);
    }
    let mut validation = Validation {
        tar: TarReader::new(archive, limits),
        compression,
        layout: Layout::new(limits),
        names: Names::default(),
        manifest: None,
        misplaced: Vec::new(),
        found,
    };
    let whole = validation.entries(limits)?;
    validation.finish(whole)
}

struct Validation<R: Read> {
    tar: TarReader<Archive<R>>,
    compression: Compression,
    layout: Layout,
    names: Names,
    manifest: Option<Vec<u8>>,
    /// Which of `manifest` and `rootfs` is there, as something else than it must be.
    misplaced: Vec<PathBytes>,
    found: Validated,
}

impl<R: Read> Validation<R> {
    /// Goes through the entries; says whether the end was reached.
    fn entries(&mut self, limits: &Limits) -> io::Result<bool> {
        loop {
            let mut entry = match self.tar.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => return Ok(true),
                Err(error) => return self.stop(error).map(|()| false),
            };
            match self.layout.admit(&mut entry) {
                Ok(Place::Top) => {}
                Ok(Place::Rootfs) => self.names.look(&entry, &self.layout, &mut self.found),
                Ok(Place::Manifest) => {
                    match manifest_bytes(&mut self.tar, &entry, limits.manifest_bytes) {
                        Ok(bytes) => self.manifest = Some(bytes),
                        // It is skipped, and what follows can be read.
                        Err(error @ ArchiveError::Limit { .. }) => {
                            self.misplaced.push(entry.path);
                            self.found.push(error);
                        }
                        Err(error) => return self.stop(error).map(|()| false),
                    }
                }
                // To go on is what the limit is there to prevent.
                Err(error @ ArchiveError::Limit { what: Limited::Entries, .. }) => {
                    return self.stop(error).map(|()| false);
                }
                Err(error) => {
                    if let ArchiveError::LayoutType { path, .. } = &error {
                        self.misplaced.push(path.clone());
                    }
                    self.found.push(error);
                }
            }
        }
    }

    /// A fault after which nobody knows where the next entry begins.
    fn stop(&mut self, error: ArchiveError) -> io::Result<()> {
        let error = match error {
            ArchiveError::Io(error) => super::decompress::from_io(error, self.compression),
            other => other,
        };
        match error {
            ArchiveError::Io(error) => Err(error),
            fault => {
                self.found.push(fault);
                Ok(())
            }
        }
    }

    fn finish(mut self, whole: bool) -> io::Result<Validated> {
        if self.tar.has_global {
            let message = "a global header, which other tools take for a file: pack it again";
            self.found.add(Severity::Error, "tar-global-header", message.to_owned(), FORMATS);
        }
        let misplaced = |what: &str| self.misplaced.iter().any(|path| *path == what.into());
        if let Some(bytes) = &self.manifest {
            let (manifest, judged) = validate_manifest(bytes);
            self.found.append(judged);
            if let Some(manifest) = manifest.filter(|_| whole) {
                self.names.check_exec(&manifest, &self.layout, &mut self.found);
            }
        } else if whole && !misplaced("manifest") {
            self.found.push(ArchiveError::Absent("manifest"));
        }
        if !whole {
            return Ok(self.found);
        }
        if let Err(error) = self.layout.finish()
            && !misplaced("rootfs")
        {
            self.found.push(error);
        }
        match close(self.tar.into_inner(), None) {
            Ok(sums) => self.found.image_id = Some(sums.image_id),
            Err(ArchiveError::Io(error)) => return Err(error),
            Err(error) => self.found.push(error),
        }
        Ok(self.found)
    }
}

#[cfg(test)]
mod tests;
