//! Commands about the image as a whole.

use std::fs::File;
use std::path::{Path, PathBuf};

use aci::Limits;
use anyhow::{Context as _, anyhow};
use builder::manifest::{Edit, Recorded};
use serde_json::Value;

use super::Build;
use super::go::{failed, words};
use super::words::boolean;
use crate::cli::Failure;
use crate::cli::files::read_small;

/// Put a file in the place of the manifest, whole
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build cat-manifest --pretty-print > manifest.json
  gantry build replace-manifest manifest.json

Nothing of the old manifest stays, and nothing of the new one is left out: unknown fields, too,
are in the image as the file has them.")]
pub(crate) struct ReplaceManifestArgs {
    /// The new manifest
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl ReplaceManifestArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let text = read_small(&self.file, Limits::default().manifest_bytes)
            .map_err(|failure| plain(failure, &self.file))?;
        let mut command = words(&["replace-manifest"]);
        command.push(Recorded::HostPath(self.file.to_string_lossy().into_owned()));
        build.change(&command, |change| change.edit(&Edit::Replace(text)))
    }
}

/// A file that is not there is an error like others here, as with acbuild.
pub(super) fn plain(failure: Failure, file: &std::path::Path) -> Failure {
    match failure {
        Failure::Error(_, error) => Failure::new(crate::cli::Kind::Failed, error),
        other => other.of(&file.display().to_string()),
    }
}

/// Print the manifest
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build cat-manifest
  gantry build cat-manifest --pretty-print")]
pub(crate) struct CatManifestArgs {
    /// Indent it
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL", value_parser = boolean, default_missing_value = "true", default_value = "false", hide_default_value = true)]
    pretty_print: bool,
    /// Which of an OCI image's files; an App Container Image has its manifest alone
    #[arg(long, value_name = "manifest", value_parser = ["manifest"], default_value = "manifest", hide = true)]
    file: String,
}

impl CatManifestArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let manifest = build.open()?.manifest().map_err(failed)?;
        self.print(build, &manifest)
    }

    /// The manifest of an image file.
    pub(super) fn run_on(self, build: &Build<'_>, file: &Path) -> Result<(), Failure> {
        let cannot = || format!("cannot read {}", file.display());
        let limits = Limits { ratio: u64::MAX, ..Limits::default() };
        let image = File::open(file).with_context(cannot)?;
        let image = aci::archive::inspect(image, &limits).with_context(cannot)?;
        self.print(build, image.manifest_bytes())
    }

    fn print(self, build: &Build<'_>, manifest: &[u8]) -> Result<(), Failure> {
        let mut text = manifest.trim_ascii().to_vec();
        if self.pretty_print {
            let value: Value =
                serde_json::from_slice(manifest).context("the manifest is no JSON")?;
            text = Vec::new();
            let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
            serde::Serialize::serialize(&value, &mut serializer)?;
        }
        text.push(b'\n');
        Ok(build.context.write(&text)?)
    }
}

/// Make the files of the images it depends on its own, and depend on none
///
/// What was removed of them, and what a path whitelist leaves out, is left out. The dependencies are
/// fetched where the store does not have them, and verified.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build squash
  gantry build --modify app.aci squash")]
pub(crate) struct SquashArgs {
    /// Fetch dependencies without checking the server's certificate, or without TLS
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL", value_parser = boolean, default_missing_value = "true", default_value = "false", hide_default_value = true)]
    insecure: bool,
}

impl SquashArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let context = build.open()?;
        let manifest = Build::manifest(&context)?;
        if manifest.dependencies.is_empty() {
            build.context.note("the image depends on no other: there is nothing to do");
            return Ok(());
        }
        let dependencies = super::run::render(build, &manifest, self.insecure)?;
        let mut change = context.change().map_err(failed)?;
        change.squash(&dependencies).map_err(failed)?;
        build.finish(change, &words(&["squash"]))
    }
}

/// Begin a new layer of an OCI image
#[derive(clap::Args)]
pub(crate) struct LayerArgs {}

impl LayerArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        Err(anyhow!("an App Container Image has no layers: dependencies are for what images share")
            .into())
    }
}

/// Remove the folder of the build, with all that was not written
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build end")]
pub(crate) struct EndArgs {}

impl EndArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        build.end()
    }
}

/// Print the versions of this program and of the specification
#[derive(clap::Args)]
pub(crate) struct VersionArgs {}

impl VersionArgs {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        let spec = aci::AcVersion::CURRENT;
        let text = format!("gantry version {}\nappc version {spec}\n", env!("CARGO_PKG_VERSION"));
        Ok(build.context.write(text.as_bytes())?)
    }
}
