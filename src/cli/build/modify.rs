//! `--modify`: one command edits an image file.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use aci::archive::Compression;
use aci::stage::{Existing, folder_of};
use anyhow::{Context as _, anyhow};
use builder::context::{Began, Begin};
use rustix::fs::OFlags;

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
        let speaks = matches!(command, Command::Run(_) | Command::Shell(_));
        let cannot = || format!("cannot read {}", file.display());
        // Edited is what a link leads to, and the link stays.
        let file = match file.is_symlink() {
            true => &file.canonicalize().with_context(cannot)?,
            false => file,
        };
        if let Command::CatManifest(show) = command {
            return show.run_on(self, file);
        }
        let _turn = self.wait_for(file)?;
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

    /// Waits until nobody else edits this file: whoever does holds a lock on it from reading to
    /// writing. The lock is on the file itself, so that none is left, and counts only while the
    /// file is still the one of that name: whoever has edited it has put another one there.
    fn wait_for(&self, file: &Path) -> Result<File, Failure> {
        let shown = file.display();
        let mut waits = false;
        loop {
            // It may have become something else while it was waited for.
            Existing::Replace.check(file).with_context(|| format!("cannot edit {shown}"))?;
            let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let mut how = OpenOptions::new();
            how.read(true).custom_flags(flags.bits().cast_signed());
            // Some file systems lock for writing only what is open for that.
            let open = how.clone().write(true).open(file).or_else(|_| how.open(file));
            let open = open.with_context(|| format!("cannot read {shown}"))?;
            let locked = match open.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut waits, true) {
                        let text = format_args!("waiting for another command that edits {shown}");
                        self.context.note(text);
                    }
                    open.lock()
                }
                Err(TryLockError::Error(error)) => Err(error),
                Ok(()) => Ok(()),
            };
            locked.with_context(|| format!("cannot lock {shown}"))?;
            let (ours, found) = (open.metadata()?, file.symlink_metadata());
            if found.is_ok_and(|found| (found.dev(), found.ino()) == (ours.dev(), ours.ino())) {
                return Ok(open);
            }
        }
    }
}
