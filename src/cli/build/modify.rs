//! `--modify`: one command edits an image file.

use std::path::Path;

use aci::archive::Compression;
use aci::stage::folder_of;
use anyhow::anyhow;
use builder::context::{Began, Begin};

use super::Command;
use super::go::{Build, Workspace};
use super::image::plain;
use super::outputs::Outputs;
use super::write::Output;
use crate::cli::Failure;
use crate::cli::files::read_some;

impl Build<'_> {
    /// Edits an image file. The file changes when the command has succeeded, in one step.
    pub(super) fn modify(&self, file: &Path, command: Command) -> Result<(), Failure> {
        if let Command::Begin(_)
        | Command::Write(_)
        | Command::End(_)
        | Command::Script(_)
        | Command::Recipe(_)
        | Command::Version(_)
        | Command::StepChild = command
        {
            return Err(
                anyhow!("--modify takes a command that changes an image, or shows it").into()
            );
        }
        let only_shows = matches!(command, Command::CatManifest(_));
        let speaks = matches!(command, Command::Run(_) | Command::Shell(_));
        let work = Workspace::new(folder_of(file))?;
        let build = self.edits(work.path());
        let start = read_some(file, 16).map_err(|failure| plain(failure, file))?;
        let began = build.begin(Begin::Archive(file))?;
        if !matches!(began, Began::Image(_)) {
            return Err(
                anyhow!("{} is no image, and --modify edits nothing else", file.display()).into()
            );
        }
        build.run_here(command)?;
        if only_shows {
            return Ok(());
        }
        let compression = Compression::detect(&start).unwrap_or(Compression::Gzip);
        let output = Output { target: file.to_owned(), overwrite: true, compression };
        let written = build.write(&output)?;
        let id = written.id.clone();
        let mut outputs = Outputs::default();
        outputs.add(written)?;
        if speaks {
            // Standard output is the command's.
            build.context.note(format_args!("image ID {id}"));
            return outputs.commit_quietly(build.context);
        }
        outputs.commit(build.context)
    }
}
