//! `gantry diff`: what differs between two images.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use aci::archive::ArchiveError;
use aci::diff::{self, DiffError, FieldChange, Ignore, ManifestChange, Tree, TreeChange};
use aci::{ImageId, Limits};
use anyhow::Context as _;
use serde_json::{Value, json};

use super::files::in_json;
use super::limits::LimitArgs;
use super::open::{OpenArgs, open};
use super::{Context, Failure, Kind, entry};

/// Say what differs between two images: their manifests, and their files one by one.
///
/// Exit code 0: nothing differs. 1: something does. 3: bad usage. 4: a file cannot be read, or
/// there is no room to work in. 5: one of the two is no sound image.
///
/// How the archives are compressed, and in which order their entries stand, is not compared. The
/// files of images of any size are compared in little memory: what does not fit waits in a
/// nameless file in TMPDIR, or in /var/tmp.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry diff hello-1.0.aci hello-1.1.aci
  gantry diff --ignore mtime,owner hello-1.0.aci hello-1.1.aci
  gantry diff --json hello-1.0.aci hello-1.1.aci
  gantry diff --quiet hello-1.0.aci hello-1.1.aci && echo the same")]
pub(crate) struct Args {
    /// The image file to begin with
    #[arg(value_name = "A")]
    old: PathBuf,
    /// The image file to compare it with
    #[arg(value_name = "B")]
    new: PathBuf,
    /// Do not compare these: mtime, owner, mode, xattrs
    #[arg(long, value_name = "FIELD", value_delimiter = ',', value_parser = ignored)]
    ignore: Vec<Ignore>,
    #[command(flatten)]
    open: OpenArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let files = [(self.old.as_path(), self.old.as_path()), (&self.new, &self.new)];
        compare(context, &self.open, &self.limits.limits(), files, &self.ignore)
    }
}

/// Says what differs between two image files, each with the path that is told; an error where
/// something does.
pub(super) fn compare(
    context: &Context,
    open: &OpenArgs,
    limits: &Limits,
    [(old, old_file), (new, new_file)]: [(&Path, &Path); 2],
    ignore: &[Ignore],
) -> Result<(), Failure> {
    let old = tree(context, open, old, limits)?;
    let new = tree(context, open, new, limits)?;
    let (old_id, new_id) = (old.image.image_id().clone(), new.image.image_id().clone());
    let manifest =
        diff::manifests(old.image.manifest_bytes(), new.image.manifest_bytes()).map_err(failure)?;
    let mut report = Report {
        json: context.json(),
        silent: context.global().quiet && !context.json(),
        counts: Counts { manifest: manifest.len() as u64, ..Counts::default() },
        out: BufWriter::new(io::stdout().lock()),
    };
    let told = report
        .begin([(old_file, &old_id), (new_file, &new_id)], &manifest)
        .and_then(|()| diff::trees::<Fault>(old, new, ignore, |one| report.change(&one)))
        .and_then(|()| report.end());
    match told {
        // Whoever reads our output may stop when they have seen enough: then there was some.
        Err(Fault::Out(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(Fault::Out(error)) => return Err(Failure::new(Kind::NotFound, error)),
        Err(Fault::Diff(error)) => return Err(failure(error)),
        Ok(()) => {}
    }
    let counts = report.counts;
    if counts.all() == 0 {
        if old_id != new_id {
            context.note(
                "note: the image IDs differ all the same: the archives are laid out differently",
            );
        }
        return Ok(());
    }
    context.note(format!(
        "{} in the manifest; {} added, {} removed, {} changed",
        counts.manifest, counts.added, counts.removed, counts.changed
    ));
    Err(Failure::No)
}

/// Reads one of the two images.
fn tree(context: &Context, how: &OpenArgs, path: &Path, limits: &Limits) -> Result<Tree, Failure> {
    let cannot = || format!("cannot read {}", path.display());
    let file =
        open(path).with_context(cannot).map_err(|error| Failure::new(Kind::NotFound, error))?;
    let file = how.unlock(context, file, limits).map_err(|failure| match failure {
        Failure::Error(Kind::Failed, error) => Failure::Error(Kind::NotFound, error),
        other => other,
    })?;
    let bar = context.progress("reading", Some(file.size()));
    let tree = Tree::read(bar.wrap_read(file), limits, &work_folder());
    bar.finish_and_clear();
    tree.map_err(|error| match error {
        DiffError::Archive(ArchiveError::Io(error)) => {
            Failure::new(Kind::NotFound, anyhow::Error::new(error).context(cannot()))
        }
        other => failure(other),
    })
}

/// Exit code 1 says that there are differences, so nothing else may.
fn failure(error: DiffError) -> Failure {
    match error {
        DiffError::Archive(refused) => Failure::refused(&refused),
        other => Failure::new(Kind::NotFound, other),
    }
}

/// Where a lot may lie for a while: not `/tmp`, which is often memory.
#[expect(clippy::disallowed_methods, reason = "the command's edge: where this user has room")]
fn work_folder() -> PathBuf {
    std::env::var_os("TMPDIR").filter(|it| !it.is_empty()).unwrap_or("/var/tmp".into()).into()
}

fn ignored(text: &str) -> Result<Ignore, String> {
    match text {
        "mtime" => Ok(Ignore::Mtime),
        "owner" => Ok(Ignore::Owner),
        "mode" => Ok(Ignore::Mode),
        "xattrs" => Ok(Ignore::Xattrs),
        _ => Err(format!("{text:?} is not one of mtime, owner, mode, xattrs")),
    }
}

#[derive(Default)]
struct Counts {
    manifest: u64,
    added: u64,
    removed: u64,
    changed: u64,
}

impl Counts {
    fn tree(&self) -> u64 {
        self.added + self.removed + self.changed
    }

    fn all(&self) -> u64 {
        self.manifest + self.tree()
    }
}

/// What ends a comparison early.
enum Fault {
    Diff(DiffError),
    Out(io::Error),
}

impl From<DiffError> for Fault {
    fn from(error: DiffError) -> Self {
        Self::Diff(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Out(error)
    }
}

/// Prints changes as they are found: there may be millions.
struct Report<W> {
    json: bool,
    silent: bool,
    counts: Counts,
    out: W,
}

impl<W: Write> Report<W> {
    fn begin(
        &mut self,
        images: [(&Path, &ImageId); 2],
        manifest: &[ManifestChange],
    ) -> Result<(), Fault> {
        if self.json {
            let [old, new] =
                images.map(|(file, id)| json!({ "file": in_json(file), "imageId": id }));
            write!(
                self.out,
                "{{\"a\":{old},\"b\":{new},\"manifest\":{},\"tree\":[",
                json!(manifest)
            )?;
        } else if !self.silent {
            for change in manifest {
                self.line(&format!("m {}: {}", change.path, values(&change.old, &change.new)))?;
            }
        }
        Ok(())
    }

    fn change(&mut self, change: &TreeChange) -> Result<(), Fault> {
        let (word, count) = match change {
            TreeChange::Added(_) => ("added", &mut self.counts.added),
            TreeChange::Removed(_) => ("removed", &mut self.counts.removed),
            TreeChange::Changed { .. } => ("changed", &mut self.counts.changed),
        };
        *count += 1;
        if self.json {
            let value = match change {
                TreeChange::Added(one) | TreeChange::Removed(one) => {
                    json!({ "change": word, "path": one.path.to_string(), "entry": entry::json(one) })
                }
                TreeChange::Changed { path, fields } => {
                    let fields = fields
                        .iter()
                        .map(|one| json!({ "field": one.field, "old": one.old, "new": one.new }));
                    json!({ "change": word, "path": path.to_string(), "fields": fields.collect::<Value>() })
                }
            };
            let comma = if self.counts.tree() == 1 { "" } else { "," };
            write!(self.out, "{comma}{value}")?;
        } else if !self.silent {
            match change {
                TreeChange::Added(one) => self.line(&format!("+ {}", entry::line(one)))?,
                TreeChange::Removed(one) => self.line(&format!("- {}", entry::line(one)))?,
                TreeChange::Changed { path, fields } => {
                    let fields: Vec<String> = fields.iter().map(field).collect();
                    self.line(&format!("~ {path}: {}", fields.join("; ")))?;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        if self.json {
            let Counts { manifest, added, removed, changed } = &self.counts;
            let equal = self.counts.all() == 0;
            writeln!(
                self.out,
                "],\"counts\":{{\"manifest\":{manifest},\"added\":{added},\"removed\":{removed},\
                 \"changed\":{changed}}},\"equal\":{equal}}}"
            )?;
        }
        Ok(self.out.flush()?)
    }

    /// Paths and manifests are strangers' text.
    fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", discovery::printable_line(text))
    }
}

/// `OLD -> NEW`, as JSON.
fn values(old: &Option<Value>, new: &Option<Value>) -> String {
    let shown =
        |value: &Option<Value>| value.as_ref().map_or("(none)".to_owned(), Value::to_string);
    format!("{} -> {}", shown(old), shown(new))
}

/// Characters of a value that a line shows; `--json` has them all.
const SHOWN: usize = 200;

/// `FIELD OLD -> NEW`, texts without their quotes, and digests short.
fn field(change: &FieldChange) -> String {
    let shown = |value: &Option<Value>| match value {
        None => "(none)".to_owned(),
        Some(Value::String(text)) if change.field == "content" => text.chars().take(19).collect(),
        Some(Value::String(text)) if text.len() > SHOWN => {
            let start: String = text.chars().take(SHOWN).collect();
            format!("{start}… ({} characters)", text.len())
        }
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    format!("{} {} -> {}", change.field, shown(&change.old), shown(&change.new))
}
