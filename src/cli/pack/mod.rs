//! `gantry pack`: a directory becomes an image.

mod tree;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use aci::archive::Compression;
use aci::manifest::{Annotation, App, EnvironmentVariable};
use aci::stage::{Existing, StagedFile, Together, folder_of};
use aci::{Identifier, ImageManifest, Label, Labels, Limits, Name, Reference};
use anyhow::{Context as _, anyhow};
use builder::{PackOptions, Packed, Progress, Source};
use indicatif::ProgressBar;
pub(super) use tree::TreeArgs;

use super::fetching;
use super::files::{self, in_json, pair, read_small, seconds};
use super::key::read_passphrase;
use super::{Context, Failure, Kind};

/// Pack a directory into an image, and print its image ID.
///
/// DIR is a root file system, or an image layout: a file `manifest` and a directory
/// `rootfs`. The same tree gives the same bytes, whoever packs it, wherever and whenever.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry pack rootfs -o hello.aci --name example.com/hello --version 1.0.0 --exec /bin/hello
  gantry pack rootfs -o hello.aci --name example.com/hello -- /bin/sh -c 'echo hello'
  gantry pack layout -o hello.aci                 # manifest and rootfs/ in one directory
  gantry pack rootfs -o secret.aci --name example.com/secret --encrypt --passphrase-file pass.txt
  gantry pack rootfs -o web.aci --name example.com/web --cap '/bin/web=cap_net_bind_service+ep'
  gantry pack rootfs -o web.aci --name example.com/web --dependency example.com/base:1.0.0
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) gantry pack rootfs -o hello.aci --name example.com/hello")]
pub(crate) struct Args {
    /// The directory to pack
    dir: PathBuf,
    /// The image file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    tree: TreeArgs,
    /// gzip, none, bzip2, xz, or zstd (outside the spec: rkt and actool cannot read it)
    #[arg(long, default_value = "gzip")]
    compression: Compression,
    /// No time in the image is later than this, in seconds since 1970; the manifest has this one
    #[arg(long, env = "SOURCE_DATE_EPOCH", value_name = "SECONDS", hide_env_values = true,
        value_parser = seconds)]
    source_date_epoch: Option<i64>,
    /// Encrypt the image with a passphrase; without compression, its size tells less of what
    /// is in it. The bytes differ each time
    #[arg(long, requires = "passphrase")]
    encrypt: bool,
    #[command(flatten)]
    passphrase: EncryptArgs,
    /// Compress on this many threads; the bytes do not depend on it
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Replace the image file if it exists
    #[arg(long)]
    overwrite: bool,
    /// Also write the image ID into this file
    #[arg(long, value_name = "FILE")]
    digest_file: Option<PathBuf>,
    /// Also write ID, digests, sizes and labels into this file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
}

/// What an image is encrypted with.
#[derive(clap::Args)]
#[group(id = "passphrase", multiple = false)]
struct EncryptArgs {
    /// Read the passphrase from this file; the line end at its end is dropped
    #[arg(long, value_name = "FILE", requires = "encrypt")]
    passphrase_file: Option<PathBuf>,
    /// Read the passphrase from this file descriptor
    #[arg(long, value_name = "N", requires = "encrypt")]
    passphrase_fd: Option<u32>,
}

/// What goes into the manifest.
#[derive(clap::Args)]
struct ManifestArgs {
    /// The image's name, as example.com/team/hello
    #[arg(long)]
    name: Option<Name>,
    /// The label `version`
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// Another label; `os` and `arch` are this machine's unless given here
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<Label>,
    /// Leave out `os` and `arch`: the image runs anywhere
    #[arg(long)]
    noarch: bool,
    /// The program and its arguments; write arguments that begin with a dash as --exec=-x, or after --
    #[arg(long, value_name = "ARG", num_args = 1.., conflicts_with = "command")]
    exec: Vec<String>,
    /// The program and its arguments, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Run as this user; 0 if not given
    #[arg(long)]
    user: Option<String>,
    /// Run as this group; 0 if not given
    #[arg(long)]
    group: Option<String>,
    /// Run in this directory
    #[arg(long, value_name = "PATH")]
    working_dir: Option<String>,
    /// Run with this environment variable
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = pair::<String>)]
    environment: Vec<(String, String)>,
    /// An annotation, as homepage=https://example.com
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = pair::<String>)]
    annotations: Vec<(String, String)>,
    /// Depend on this image, of which ID and size are looked up: in the store, or where it is
    /// published; it is verified. NAME[:VERSION][,LABEL=VALUE…]
    #[arg(long = "dependency", value_name = "IMAGE")]
    dependencies: Vec<Reference>,
    /// Use this file as the manifest, byte for byte
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "version", "labels", "noarch",
        "exec", "command", "user", "group", "working_dir", "environment", "annotations", "dependencies"])]
    manifest: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(mut self, context: &Context) -> Result<(), Failure> {
        let source = Source::new(&self.dir).map_err(|error| match error {
            builder::SourceError::Read { ref source, .. }
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Failure::new(Kind::NotFound, error)
            }
            other => Failure::from(other),
        })?;
        self.check_files(&source)?;
        let manifest = self.manifest.bytes(context, &source)?;
        let ignore = self.tree.ignore()?;
        let (owner, overrides) = self.tree.changes()?;
        if self.compression == Compression::Zstd {
            context.note("note: zstd is outside the App Container spec; rkt and actool cannot read this image");
        }
        if self.output.extension().is_none_or(|extension| extension != "aci") {
            context.note("note: images are named with the suffix .aci (spec: aci.md)");
        }
        let bar = context.progress("packing", Some(0));
        let threads = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let options = PackOptions {
            rootfs: source.rootfs(),
            manifest: &manifest,
            owner: &owner,
            overrides: &overrides,
            recorded: None,
            ignore: &ignore,
            keeps_ignore_file: false,
            source_date_epoch: self.source_date_epoch,
            skip_sockets: self.tree.skip_sockets,
            one_file_system: self.tree.one_file_system,
            compression: self.compression,
            threads: self.threads.unwrap_or_else(threads),
            kept: None,
            file_digest: context.json() || self.metadata_file.is_some(),
            progress: &Bar(&bar),
        };
        let existing = if self.overwrite { Existing::Replace } else { Existing::Refuse };
        let EncryptArgs { passphrase_file, passphrase_fd } = &self.passphrase;
        let mut signed_otherwise = false;
        let mut look = |staged: &StagedFile| {
            signed_otherwise = files::is_signed_otherwise(&self.output, staged.file());
        };
        let packed = match read_passphrase(passphrase_file.as_deref(), *passphrase_fd)? {
            None => builder::pack_file(&self.output, existing, &options, |staged, _| {
                look(staged);
                Ok(())
            })?,
            Some(passphrase) if !passphrase.is_one_line() => {
                return Err(Failure::new(
                    Kind::Usage,
                    anyhow!(
                        "gpg would read another passphrase: it has several lines, a carriage \
                         return, or a NUL"
                    ),
                ));
            }
            Some(passphrase) => {
                builder::pack_into(&self.output, existing, &options, |staged, packer| {
                    let pack = |out: &mut keys::Encrypting<'_>| packer.pack(out);
                    let (mut packed, file) = keys::encrypt(staged, &passphrase, pack)?;
                    // What lies on the disk, as signatures and downloads see it.
                    packed.written.file_digest = Some(file.digest);
                    packed.written.file_bytes = file.bytes;
                    look(staged);
                    Ok(packed)
                })?
            }
        };
        bar.finish_and_clear();
        if signed_otherwise {
            context.warn(files::signed_otherwise(&self.output));
        }
        self.tell(context, &packed)
    }

    /// Refuses files that would overwrite each other, or end up in the next image, and those that
    /// cannot be written, before the work.
    fn check_files(&self, source: &Source) -> Result<(), Failure> {
        let usage = |text: String| Err(Failure::new(Kind::Usage, anyhow!(text)));
        let real = |path: &Path| {
            let folder = folder_of(path);
            let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
            path.file_name().map(|name| folder.join(name)).unwrap_or(folder)
        };
        let tree = self.dir.canonicalize().unwrap_or_else(|_| self.dir.clone());
        let mut seen = Vec::new();
        let more = [&self.digest_file, &self.metadata_file].into_iter().flatten();
        for file in std::iter::once(&self.output).chain(more) {
            let path = real(file);
            if seen.contains(&path) {
                return usage(format!("{} is to be two files at once", file.display()));
            }
            // The builder looks at the output itself, but where the tree is a part of a layout.
            let looked_at = *file == self.output && source.manifest().is_none();
            if !looked_at && path.starts_with(&tree) {
                let (file, tree) = (file.display(), self.dir.display());
                return usage(format!(
                    "{file} would lie inside the tree {tree}: write it elsewhere"
                ));
            }
            if *file != self.output {
                let cannot = || format!("cannot write {}", file.display());
                Existing::Replace.check(file).with_context(cannot)?;
                StagedFile::new_in(folder_of(file), 0o644).with_context(cannot)?;
            }
            seen.push(path);
        }
        Ok(())
    }

    fn tell(&self, context: &Context, packed: &Packed) -> Result<(), Failure> {
        for (count, what) in [
            (packed.ignored, "by the ignore patterns (a folder counts as one)"),
            (packed.sockets_left_out, "that are sockets"),
        ] {
            if count > 0 {
                context.note(format!("left out {count} {what}"));
            }
        }
        for warning in &packed.warnings {
            context.warn(discovery::printable(&warning.to_string()));
        }
        let id = &packed.written.image_id;
        let metadata = serde_json::json!({
            "imageId": id,
            "file": in_json(&self.output),
            "fileDigest": packed.written.file_digest,
            "fileBytes": packed.written.file_bytes,
            "tarBytes": packed.written.tar_bytes,
            "compression": self.compression,
            "encrypted": self.encrypt,
            "name": packed.manifest.name,
            "labels": packed.manifest.labels,
            "leftOut": { "ignored": packed.ignored, "sockets": packed.sockets_left_out },
            "warnings": packed.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        let mut files = Together::default();
        if let Some(file) = &self.digest_file {
            files.write(file, format!("{id}\n").as_bytes(), Existing::Replace)?;
        }
        if let Some(file) = &self.metadata_file {
            files.write(file, format!("{metadata:#}\n").as_bytes(), Existing::Replace)?;
        }
        files.commit()?;
        Ok(context.print(&metadata, id)?)
    }
}

impl ManifestArgs {
    /// The manifest's bytes: as given, where they are given and nothing changes them.
    fn bytes(&self, context: &Context, source: &Source) -> Result<Vec<u8>, Failure> {
        if let Some(file) = &self.manifest {
            return read_small(file, Limits::default().manifest_bytes);
        }
        match (source.manifest(), &self.name) {
            (Some(bytes), None) if self.changes_nothing() => Ok(bytes.to_vec()),
            (Some(_), _) => Err(Failure::new(
                Kind::Usage,
                anyhow!(
                    "the directory has a manifest of its own, which goes into the image as it is: \
                     leave out --name, --version, --label and the like, or edit it"
                ),
            )),
            (None, None) => Err(Failure::new(
                Kind::Usage,
                anyhow!("--name is needed: the directory has no manifest and rootfs/ of its own"),
            )),
            (None, Some(name)) => {
                let mut manifest = self.manifest(name)?;
                for reference in &self.dependencies {
                    let image = fetching::open_pinned(context, reference, None)?;
                    let dependency = fetching::pinned(reference, &image);
                    let id = dependency.image_id.as_ref().map(ToString::to_string);
                    context
                        .note(format_args!("depends on {reference}: {}", id.unwrap_or_default()));
                    manifest.dependencies.push(dependency);
                }
                Ok(manifest.to_json()?)
            }
        }
    }

    fn changes_nothing(&self) -> bool {
        self.version.is_none()
            && self.labels.is_empty()
            && !self.noarch
            && self.exec().is_empty()
            && self.user.is_none()
            && self.group.is_none()
            && self.working_dir.is_none()
            && self.environment.is_empty()
            && self.annotations.is_empty()
            && self.dependencies.is_empty()
    }

    fn exec(&self) -> &[String] {
        if self.exec.is_empty() { &self.command } else { &self.exec }
    }

    fn manifest(&self, name: &Name) -> Result<ImageManifest, Failure> {
        let mut labels = Vec::new();
        if let Some(version) = &self.version {
            labels.push(label("version", version)?);
        }
        if !self.noarch {
            let (os, arch) = aci::host_platform();
            for (name, value) in [("os", os), ("arch", arch)] {
                if !self.labels.iter().any(|label| label.name.as_str() == name) {
                    labels.push(label(name, value)?);
                }
            }
        }
        labels.extend(self.labels.iter().cloned());
        let labels = Labels::try_from(labels).map_err(|e| Failure::new(Kind::Usage, e))?;
        let mut manifest = ImageManifest::new(name.clone(), labels);
        for (name, value) in &self.annotations {
            let (name, value) = (identifier(name)?, value.clone());
            manifest.annotations.push(Annotation { name, value, extra: Default::default() });
        }
        if !self.exec().is_empty() {
            manifest.app = Some(self.app());
        } else if self.working_dir.is_some()
            || !self.environment.is_empty()
            || self.user.is_some()
            || self.group.is_some()
        {
            return Err(Failure::new(
                Kind::Usage,
                anyhow!(
                    "--user, --group, --env and --working-dir need --exec: without a program they \
                     say nothing"
                ),
            ));
        }
        Ok(manifest)
    }

    fn app(&self) -> App {
        let account = |given: &Option<String>| given.clone().unwrap_or_else(|| "0".to_owned());
        let mut app = App::new(account(&self.user), account(&self.group));
        app.exec = self.exec().to_vec();
        app.working_directory = self.working_dir.clone();
        app.environment = self
            .environment
            .iter()
            .cloned()
            .map(|(name, value)| EnvironmentVariable { name, value, extra: Default::default() })
            .collect();
        app
    }
}

fn label(name: &str, value: &str) -> Result<Label, Failure> {
    Ok(Label { name: identifier(name)?, value: value.to_owned() })
}

fn identifier(text: &str) -> Result<Identifier, Failure> {
    text.parse().map_err(|error: aci::NameError| Failure::new(Kind::Usage, error))
}

pub(super) struct Bar<'a>(pub(super) &'a ProgressBar);

impl Progress for Bar<'_> {
    fn total(&self, bytes: u64) {
        self.0.set_length(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    fn is_seen(&self) -> bool {
        !self.0.is_hidden()
    }
}
