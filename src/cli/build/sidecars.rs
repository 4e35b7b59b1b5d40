//! What is written beside an image: what is in it (SPDX), and how it was made (in-toto).

use std::io::Read;
use std::path::{Path, PathBuf};

use aci::{ImageId, Limits};
use anyhow::{Context as _, anyhow};
use builder::context::Began;
use builder::provenance::{
    BuildDefinition, DigestSet, Parameters, Provenance, Resource, RunDetails, Subject,
};
use builder::sbom::{Sbom, SbomLimits, SbomOptions};
use builder::{Packed, UtcTime};
use serde_json::{Value, json};

use crate::cli::files::beside;
use crate::cli::{Context, Failure};

/// What is to be written beside an image.
#[derive(clap::Args, Debug, Clone, Copy, Default)]
pub(super) struct Sidecars {
    /// Also write what the image holds into FILE.spdx.json: packages of distributions, and files.
    /// With --sign it is signed
    #[arg(long)]
    sbom: bool,
    /// Also write how the image was made into FILE.intoto.json: an in-toto statement with SLSA
    /// provenance. With --sign it is signed
    #[arg(long)]
    provenance: bool,
}

/// What went into an image.
pub(super) struct Inputs<'a> {
    /// What the build began with.
    pub(super) began: Option<&'a Began>,
    /// What the user chose.
    pub(super) parameters: &'a Value,
}

impl Sidecars {
    /// All that there can be.
    pub(super) const ALL: Self = Self { sbom: true, provenance: true };

    /// Whether there are any.
    pub(super) fn are_wanted(self) -> bool {
        self.sbom || self.provenance
    }

    /// The files, by their names.
    pub(super) fn make(
        self,
        context: &Context,
        target: &Path,
        packed: &Packed,
        inputs: &Inputs<'_>,
        image: impl Read,
    ) -> Result<Vec<(PathBuf, Vec<u8>)>, Failure> {
        let mut files = Vec::new();
        if self.sbom {
            files.push((beside(target, ".spdx.json"), sbom(context, packed, image)?));
        }
        if self.provenance {
            files.push((beside(target, ".intoto.json"), provenance(target, packed, inputs)?));
        }
        Ok(files)
    }

    pub(super) fn names(self, target: &Path) -> Vec<PathBuf> {
        let all = [(self.sbom, ".spdx.json"), (self.provenance, ".intoto.json")];
        all.iter().filter(|(wanted, _)| *wanted).map(|(_, suffix)| beside(target, suffix)).collect()
    }
}

fn sbom(context: &Context, packed: &Packed, image: impl Read) -> Result<Vec<u8>, Failure> {
    // No clock: the document is as old as the image.
    let created = UtcTime::try_from(packed.time.max(0)).context("no bill of materials")?;
    let limits = SbomLimits {
        image: Limits { ratio: u64::MAX, ..Limits::default() },
        ..SbomLimits::default()
    };
    let options = SbomOptions { created, files: true };
    let sbom = Sbom::of_image(image, &limits, &options).context("no bill of materials")?;
    for warning in sbom.warnings() {
        context.warn(discovery::printable_line(&warning.to_string()));
    }
    let mut text = sbom.to_json()?;
    text.push(b'\n');
    Ok(text)
}

fn provenance(target: &Path, packed: &Packed, inputs: &Inputs<'_>) -> Result<Vec<u8>, Failure> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let digest = packed.written.file_digest.as_ref().context("no digest of the image file")?;
    let digest = DigestSet::sha512(digest);
    let subject = Subject::new(name, digest)?.of_image(&packed.written.image_id);
    let mut dependencies: Vec<Resource> = match inputs.began {
        Some(Began::Image(id)) => vec![image(id)?.named("base")],
        Some(Began::RootfsTar(digest)) => {
            vec![Resource::of_digest(DigestSet::sha512(digest)).named("base")]
        }
        _ => Vec::new(),
    };
    for dependency in &packed.manifest.dependencies {
        if let Some(id) = &dependency.image_id {
            dependencies.push(image(id)?.named(dependency.image_name.as_str()));
        }
    }
    let build = BuildDefinition {
        external_parameters: Parameters::of(inputs.parameters)?,
        internal_parameters: Parameters::default(),
        resolved_dependencies: dependencies,
    };
    let builder = "urn:gantry:builder".parse().map_err(|error| anyhow!("{error}"))?;
    let mut run = RunDetails::of_builder(builder);
    run.builder_version.insert("gantry".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let mut text = Provenance::new(vec![subject], build, run)?.to_json()?;
    text.push(b'\n');
    Ok(text)
}

fn image(id: &ImageId) -> Result<Resource, Failure> {
    Ok(Resource::of_digest(DigestSet::archive(id)).annotated("imageID", json!(id)))
}
