//! `write`: the build becomes an image file.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use aci::archive::{Compression, KeptBlocks};
use aci::stage::Existing;
use anyhow::Context as _;
use builder::context::{Began, WriteOptions};
use builder::{Packed, Unnamed};
use serde_json::{Value, json};

use super::Build;
use super::go::failed;
use super::image::plain;
use super::outputs::Outputs;
use super::sidecars::{Inputs, Sidecars};
use super::words::boolean;
use crate::cli::files::{Whole, in_json, seconds, signature_beside};
use crate::cli::key::PassphraseArgs;
use crate::cli::pack::Bar;
use crate::cli::sign::signer;
use crate::cli::{Context, Failure};
use keys::Signer;

/// Write the image into a file, and print its image ID
///
/// The file appears when it is whole, and with --sign when it is signed: a failure leaves nothing,
/// and a file that was there stays. The same files and manifest give the same bytes.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build write hello.aci
  gantry build write hello.aci --overwrite --sign ci@example.com    # and hello.aci.asc
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) gantry build write hello.aci")]
pub(crate) struct Args {
    /// The image file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replace the file if it exists
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL", value_parser = boolean, default_missing_value = "true", default_value = "false", hide_default_value = true)]
    overwrite: bool,
    /// Sign it with this key: a file, or a key of the folder of keys by fingerprint, user ID or
    /// mail address
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    #[command(flatten)]
    sidecars: Sidecars,
    /// gzip, none, bzip2, xz, or zstd (outside the spec: rkt and actool cannot read it)
    #[arg(long, default_value = "gzip")]
    compression: Compression,
    /// Compress on this many threads; the bytes do not depend on it
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// No time in the image is later than this, in seconds since 1970; the manifest has this one
    #[arg(long, env = "SOURCE_DATE_EPOCH", value_name = "SECONDS", hide_env_values = true,
        value_parser = seconds)]
    source_date_epoch: Option<i64>,
    /// Also write the image ID into this file
    #[arg(long, value_name = "FILE")]
    digest_file: Option<PathBuf>,
    /// Also write ID, digests, sizes, labels and signature into this file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
}

/// Where an image goes, and how.
pub(super) struct Output {
    pub(super) target: PathBuf,
    pub(super) overwrite: bool,
    pub(super) compression: Compression,
}

/// An image that is whole, and has no name yet.
pub(crate) struct Pending {
    pub(super) image: Unnamed,
    pub(super) id: String,
    pub(super) metadata: Value,
}

/// With what images are signed, if they are.
pub(super) struct Signing(Option<Signer>);

impl Signing {
    /// With this key, where there is one.
    pub(super) fn new(
        context: &Context,
        key: Option<&Path>,
        passphrase: &PassphraseArgs,
    ) -> Result<Self, Failure> {
        let open = |key: &Path| signer(context, key, passphrase).map_err(|f| plain(f, key));
        key.map(open).transpose().map(Self)
    }

    /// The names of an image and of all that is written beside it.
    pub(super) fn names(&self, target: &Path, sidecars: Sidecars) -> Vec<PathBuf> {
        let mut names = vec![target.to_owned()];
        names.extend(sidecars.names(target));
        if self.0.is_some() {
            let signatures: Vec<_> = names.iter().map(|path| signature_beside(path)).collect();
            names.extend(signatures);
        }
        names
    }
}

impl Args {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let signing = Signing::new(build.context, self.sign.as_deref(), &self.passphrase)?;
        let output =
            Output { target: self.file, overwrite: self.overwrite, compression: self.compression };
        let how = How {
            threads: self.threads,
            source_date_epoch: self.source_date_epoch,
            file_digest: self.metadata_file.is_some() || self.sidecars.are_wanted(),
            ..How::default()
        };
        let (existing, replace) = (existing(self.overwrite), Existing::Replace);
        let names = signing.names(&output.target, self.sidecars);
        let more = [&self.digest_file, &self.metadata_file].into_iter().flatten();
        let more = more.map(|file| (file.clone(), replace));
        Outputs::check(names.into_iter().map(|name| (name, existing)).chain(more))?;
        let (mut image, packed, began) = build.write_with(&output, &how)?;
        let parameters = json!({
            "command": "write", "compression": output.compression,
            "sourceDateEpoch": self.source_date_epoch,
        });
        let inputs = Inputs { began: began.as_ref(), parameters: &parameters };
        let beside = image.beside(build.context, self.sidecars, &packed, &inputs, &signing)?;
        image.metadata["inputs"] = json!({ "began": began, "parameters": parameters });
        let mut outputs = Outputs::default();
        if let Some(file) = self.digest_file {
            outputs.put(&file, format!("{}\n", image.id).as_bytes(), replace)?;
        }
        if let Some(file) = self.metadata_file {
            outputs.put(&file, format!("{:#}\n", image.metadata).as_bytes(), replace)?;
        }
        for (path, bytes) in beside {
            outputs.put(&path, &bytes, existing)?;
        }
        outputs.add(image)?;
        build.publish(outputs)
    }
}

fn existing(overwrite: bool) -> Existing {
    if overwrite { Existing::Replace } else { Existing::Refuse }
}

/// How an image is packed.
#[derive(Default)]
pub(super) struct How<'a> {
    pub(super) threads: Option<NonZeroUsize>,
    pub(super) source_date_epoch: Option<i64>,
    pub(super) kept: Option<&'a dyn KeptBlocks>,
    /// Whether the digest of the file is wanted, where it is not to be printed.
    pub(super) file_digest: bool,
}

impl Build<'_> {
    pub(super) fn write(&self, output: &Output) -> Result<Pending, Failure> {
        self.write_with(output, &How::default()).map(|(written, ..)| written)
    }

    /// Packs the build into a file without a name.
    pub(super) fn write_with(
        &self,
        output: &Output,
        how: &How<'_>,
    ) -> Result<(Pending, Packed, Option<Began>), Failure> {
        let context = self.open()?;
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let mut dependencies = Vec::new();
        if context.wants_dependencies().map_err(failed)? {
            let manifest = Self::manifest(&context)?;
            dependencies = super::run::render(self, &manifest, false)?;
        }
        let bar = self.context.progress("writing", Some(0));
        let options = WriteOptions {
            existing: existing(output.overwrite),
            compression: output.compression,
            threads: how.threads.unwrap_or_else(cores),
            kept: how.kept,
            file_digest: how.file_digest || self.context.json(),
            source_date_epoch: how.source_date_epoch,
            dependencies: &dependencies,
            progress: &Bar(&bar),
        };
        let (image, packed) = context.write(&output.target, &options).map_err(failed)?;
        bar.finish_and_clear();
        let Packed { manifest, written, warnings, .. } = &packed;
        for warning in warnings {
            self.context.warn(discovery::printable(&warning.to_string()));
        }
        if manifest.app.as_ref().is_none_or(|app| app.exec.is_empty()) {
            self.context.note("note: the image has no program to run; set-exec sets one");
        }
        let metadata = json!({
            "imageId": written.image_id,
            "file": in_json(&output.target),
            "fileDigest": written.file_digest,
            "fileBytes": written.file_bytes,
            "tarBytes": written.tar_bytes,
            "compression": output.compression,
            "name": manifest.name,
            "labels": manifest.labels,
            "dependencies": manifest.dependencies,
            "warnings": warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        let id = written.image_id.to_string();
        Ok((Pending { image, id, metadata }, packed, context.began()))
    }
}

impl Pending {
    /// Makes what lies beside the image: what is in it, how it was made, and the signatures.
    pub(super) fn beside(
        &mut self,
        context: &Context,
        sidecars: Sidecars,
        packed: &Packed,
        inputs: &Inputs<'_>,
        signing: &Signing,
    ) -> Result<Vec<(PathBuf, Vec<u8>)>, Failure> {
        let target = self.image.target();
        let whole = || Whole::of(self.image.file());
        let mut files = sidecars.make(context, target, packed, inputs, whole())?;
        if let Some(signer) = &signing.0 {
            // Signed is the file as it lies on disk, and each signature is verified over it.
            let unsigned = |path: &Path| format!("no signature for {}", path.display());
            let signature = signer.sign(whole()).with_context(|| unsigned(target))?;
            let mut signatures = vec![(signature_beside(target), signature)];
            for (path, bytes) in &files {
                let signature = signer.sign(bytes.as_slice()).with_context(|| unsigned(path))?;
                signatures.push((signature_beside(path), signature));
            }
            self.metadata["signature"] = json!({
                "file": in_json(&signature_beside(target)),
                "fingerprint": signer.fingerprint(), "signingKey": signer.signing_key(),
            });
            files.extend(signatures);
        }
        Ok(files)
    }

    /// Gives the image alone its name, and says nothing of it.
    pub(in crate::cli) fn commit_quietly(self) -> Result<PathBuf, Failure> {
        let target = self.image.target().to_owned();
        self.image.commit()?;
        Ok(target)
    }
}
