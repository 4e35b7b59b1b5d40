//! `begin`: with nothing, or with what a folder, an archive or an image holds.

use std::path::Path;

use anyhow::anyhow;
use builder::context::{Began, Begin, CopyOptions};
use builder::{Ignore, Overrides, Owner};
use discovery::fetch::{FetchOptions, Pull, Source};

use super::Build;
use super::words::boolean;
use crate::cli::fetching::Fetcher;
use crate::cli::{Failure, image};

/// Begin a build: make the folder .acbuild
///
/// START is a folder or a file where it begins with a dot or a slash: a folder becomes the root,
/// an image file is unpacked with its manifest, a tar becomes the root. Anything else is the name
/// of an image, which is fetched where the store does not have it, and verified: an image that
/// nobody trusted has signed is not built upon. Without START, the build begins with nothing.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build begin
  gantry build begin ./rootfs
  gantry build begin ./base.aci
  gantry build begin ./rootfs.tar.gz
  gantry build begin example.com/base:1.0.0")]
pub(crate) struct Args {
    /// ./FOLDER, ./FILE, or NAME[:VERSION][,LABEL=VALUE…]
    start: Option<String>,
    /// appc: the only kind of image there is here
    #[arg(long, value_name = "appc", default_value = "appc")]
    build_mode: String,
    /// Fetch without checking the server's certificate, or without TLS. The signature is checked
    #[arg(long, num_args = 0..=1, require_equals = true, value_name = "BOOL", value_parser = boolean, default_missing_value = "true", default_value = "false", hide_default_value = true)]
    insecure: bool,
    /// Leave sockets of the folder out instead of refusing them
    #[arg(long)]
    skip_sockets: bool,
    /// When to ask the network for an image that is given by its name [default: new]
    #[arg(long, value_name = "never|new|update", env = "GANTRY_PULL")]
    pull: Option<Pull>,
}

impl Args {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        match self.build_mode.as_str() {
            "appc" => {}
            "oci" => {
                return Err(anyhow!(
                    "--build-mode oci: OCI images are not built here yet; an App Container Image is \
                     what this makes"
                )
                .into());
            }
            other => {
                return Err(
                    anyhow!("unknown build mode {other:?}: appc is the one there is").into()
                );
            }
        }
        let Some(start) = self.start.as_deref() else {
            return self.tell(build, build.begin(Begin::Empty)?);
        };
        if start.starts_with("docker://") {
            return Err(anyhow!(
                "{start}: images of Docker registries are not read here yet; unpack the image's root \
                 file system, and begin with that folder or a tar of it"
            )
            .into());
        }
        if !start.starts_with(['.', '/']) {
            let began = self.begin_image(build, start)?;
            return self.tell(build, began);
        }
        let path = Path::new(start);
        let is_folder = std::fs::metadata(path)
            .map_err(|error| anyhow!("cannot begin with {start}: {error}"))?
            .is_dir();
        if !is_folder {
            return self.tell(build, build.begin(Begin::Archive(path))?);
        }
        let (owner, overrides) = (Owner::of_caller(), Overrides::default());
        let bar = build.context.progress("copying", Some(0));
        let ignore = Ignore::default();
        let progress = crate::cli::pack::Bar(&bar);
        let options = CopyOptions {
            progress: &progress,
            skip_sockets: self.skip_sockets,
            ..CopyOptions::new(&owner, &overrides, &ignore)
        };
        let began = build.begin(Begin::Folder(path, options))?;
        bar.finish_and_clear();
        self.tell(build, began)
    }

    /// An image by its name: fetched, verified, and locked while it is read.
    fn begin_image(&self, build: &Build<'_>, name: &str) -> Result<Began, Failure> {
        let source: Source = name.parse().map_err(|error| anyhow!("{error}"))?;
        let pull = self.pull.unwrap_or(Pull::New);
        let options = FetchOptions { pull, ..FetchOptions::default() };
        let context = build.context.with_insecure(self.insecure);
        let fetcher = Fetcher::new(&context, options, std::slice::from_ref(&source))?;
        let fetched = fetcher.fetch(&source)?;
        let stored = image::open_id(&fetcher.store, &fetched.imported.record.image_id)?;
        let mut file = stored.file().map_err(crate::cli::client::failure)?;
        build.begin(Begin::Image(&mut file))
    }

    fn tell(&self, build: &Build<'_>, began: Began) -> Result<(), Failure> {
        let context = build.context;
        match began {
            Began::Empty => {}
            Began::Folder(copied) => super::files::tell(context, copied),
            Began::Image(id) => context.note(format_args!("begun with image {id}")),
            Began::RootfsTar(digest) => context.note(format_args!(
                "it does not hold both manifest and rootfs: begun with a tar of a root file system ({digest})"
            )),
        }
        Ok(())
    }
}
