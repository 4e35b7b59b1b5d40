//! `gantry validate`: everything that is wrong with images and manifests, at once.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aci::archive::{
    Compression, ImageFinding, Validated, validate, validate_layout, validate_manifest,
    validate_pod_manifest,
};
use aci::{Limits, Severity};
use anyhow::anyhow;
use serde_json::json;

use super::files::in_json;
use super::limits::LimitArgs;
use super::open::{OpenArgs, open};
use super::{Context, Failure, Kind};

/// Check image files, image layouts and manifests, and tell everything that is wrong at once.
///
/// Exit code 0: all are valid. 1: one at least is not. 4: one cannot be read, and the others are
/// valid. Whatever `actool validate` refuses is refused here. Nothing is said about who made an
/// image: `gantry verify` does.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry validate hello.aci
  gantry validate --strict hello.aci other.aci       # warnings are errors
  gantry validate manifest.json pod.json             # image and pod manifests
  gantry validate layout/                            # a folder with manifest and rootfs/
  gantry validate --json hello.aci")]
pub(crate) struct Args {
    /// Image files, folders with an image layout, image or pod manifests
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Refuse what is allowed and probably not meant, too
    #[arg(long)]
    strict: bool,
    /// What the files are; told by their content if not given
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    what: Option<Type>,
    #[command(flatten)]
    open: OpenArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// What a file is, and what was found in it.
type Looked = io::Result<(&'static str, Validated)>;

/// What a file is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Type {
    /// An image archive
    #[value(alias = "image")]
    Appimage,
    /// A folder that is to become an image
    Layout,
    /// An image or pod manifest
    Manifest,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut files = Vec::new();
        let mut text = String::new();
        let (mut valid, mut unread) = (true, None);
        for path in &self.files {
            let (what, found) = match self.look(context, path)? {
                Ok(looked) => looked,
                Err(error) => {
                    let message = format!("cannot read {}: {error}", path.display());
                    context.warn(&message);
                    files.push(json!({ "file": in_json(path), "valid": null, "error": message }));
                    unread = unread.or(Some(error));
                    continue;
                }
            };
            let least = if self.strict { Severity::Warning } else { Severity::Error };
            let sound = !found.findings.iter().any(|finding| finding.severity >= least);
            valid &= sound;
            text.push_str(&lines(path, what, &found, sound));
            files.push(json!({
                "file": in_json(path),
                "type": what,
                "valid": sound,
                "imageId": found.image_id,
                "findings": found.findings,
                "leftOut": found.left_out,
            }));
        }
        let all = valid && unread.is_none();
        if context.json() || !context.global().quiet || !valid {
            context.print(&json!({ "valid": all, "files": files }), text.trim_end())?;
        }
        match unread {
            _ if !valid => Err(Failure::No),
            Some(_) => Err(Failure::new(
                Kind::NotFound,
                anyhow!("not every file could be read: see above"),
            )),
            None => Ok(()),
        }
    }

    /// What a file is, and what is to be said about it.
    /// One that cannot be read is an error inside.
    fn look(&self, context: &Context, path: &Path) -> Result<Looked, Failure> {
        let limits = self.limits.limits();
        match path.metadata() {
            Err(error) => return Ok(Err(error)),
            Ok(found) if found.is_dir() || self.what == Some(Type::Layout) => {
                return Ok(self.look_at_layout(path, found.is_dir(), &limits));
            }
            Ok(_) => {}
        }
        let image = match open(path) {
            Ok(image) => image,
            Err(error) => return Ok(Err(error)),
        };
        let text = Compression::detect(image.start()).is_none() && is_text(image.start());
        let manifest = self.what.map_or(text, |what| what == Type::Manifest);
        if manifest {
            return Ok(bare_manifest(image, &limits));
        }
        // Without a passphrase, that it is encrypted is a finding.
        let image = match self.open.passphrase()? {
            None => image,
            Some(_) => match self.open.unlock(context, image, &limits) {
                Ok(image) => image,
                Err(Failure::Refusal(Kind::Refused, refusal)) => {
                    let mut found = Validated::default();
                    found.push(*refusal);
                    return Ok(Ok(("image", found)));
                }
                Err(Failure::Error(_, error)) => return Ok(Err(io::Error::other(error))),
                Err(failure) => return Err(failure),
            },
        };
        let bar = context.progress("validating", Some(image.size()));
        let found = validate(bar.wrap_read(image), &limits);
        bar.finish_and_clear();
        Ok(found.map(|found| ("image", found)))
    }

    fn look_at_layout(&self, path: &Path, folder: bool, limits: &Limits) -> Looked {
        match self.what {
            None | Some(Type::Layout) if folder => {
                validate_layout(path, limits).map(|found| ("image layout", found))
            }
            _ => Err(io::Error::other(if folder { "it is a folder" } else { "it is no folder" })),
        }
    }
}

/// Whether a file begins as JSON does, and no archive can.
fn is_text(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let start = head.iter().find(|byte| !byte.is_ascii_whitespace());
    start.is_none_or(|byte| matches!(byte, b'{' | b'[' | b'"'))
}

/// Whether a manifest says that it is a pod's.
fn is_pod(bytes: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kinded {
        ac_kind: String,
    }
    serde_json::from_slice(bytes).is_ok_and(|Kinded { ac_kind }| ac_kind == "PodManifest")
}

/// Checks an image or pod manifest: the manifest says which. One that does not is an image's.
fn bare_manifest(file: impl Read, limits: &Limits) -> Looked {
    let mut bytes = Vec::new();
    file.take(limits.manifest_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits.manifest_bytes {
        let mut found = Validated::default();
        let allowed = limits.manifest_bytes;
        let error = aci::archive::ArchiveError::Limit {
            what: aci::archive::Limited::ManifestBytes,
            allowed,
        };
        found.push(error);
        return Ok(("manifest", found));
    }
    if is_pod(&bytes) {
        return Ok(("pod manifest", validate_pod_manifest(&bytes).1));
    }
    Ok(("image manifest", validate_manifest(&bytes).1))
}

/// One line for each finding, as compilers write them, or one that says that there is none.
fn lines(path: &Path, what: &str, found: &Validated, sound: bool) -> String {
    let path = path.display();
    let mut text = String::new();
    let place = |one: &ImageFinding| match &one.place {
        None => String::new(),
        Some(place) if place.path.is_empty() => {
            format!("manifest:{}:{}: ", place.line, place.column)
        }
        Some(place) => format!("manifest:{}:{}: {}: ", place.line, place.column, place.path),
    };
    for one in &found.findings {
        let severity = match one.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let line = format!(
            "{path}: {severity}: {}{} ({}) [{}]",
            place(one),
            one.message,
            one.rule,
            one.code
        );
        text.push_str(&discovery::printable_line(&line));
        text.push('\n');
    }
    if found.left_out > 0 {
        text.push_str(&format!("{path}: and {} more\n", found.left_out));
    }
    let verdict = if sound { "valid" } else { "not valid" };
    text.push_str(&format!("{path}: {what}, {verdict}\n"));
    text
}
