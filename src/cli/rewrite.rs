//! What `gantry convert` and `gantry patch` share: an image file becomes another one, which
//! gets its name only when it was read back and found sound.

use std::io::{self, Seek};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use aci::archive::{ArchiveError, Compression, InspectedImage, RewriteOptions, Written};
use aci::stage::{Existing, StagedFile, folder_of};
use aci::{ImageId, Limits};
use anyhow::anyhow;
use serde_json::{Value, json};

use super::files::{self, in_json, signature_beside};
use super::limits::LimitArgs;
use super::open::OpenArgs;
use super::{Context, Failure, Kind};

/// How the new file is written.
#[derive(clap::Args)]
pub(super) struct Output {
    /// How hard to compress: gzip 1 to 12, bzip2 1 to 9, xz 0 to 9, zstd 1 to 22
    #[arg(long, value_name = "N")]
    level: Option<u8>,
    /// Compress on this many threads; the bytes do not depend on it
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Replace the image file if it exists
    #[arg(long)]
    pub(super) overwrite: bool,
    #[command(flatten)]
    open: OpenArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// One image file to read, and one to write.
pub(super) struct Rewrite<'a> {
    pub(super) verb: &'static str,
    pub(super) input: &'a Path,
    pub(super) output: &'a Path,
    /// Whether a file of that name gives way.
    pub(super) overwrite: bool,
    /// That of the image read where absent.
    pub(super) compression: Option<Compression>,
    pub(super) how: &'a Output,
}

/// What was read, and what was written.
pub(super) struct Done {
    output: PathBuf,
    /// The image ID of what was read.
    pub(super) was: ImageId,
    pub(super) written: Written,
    /// What was written, as it was read back.
    pub(super) image: InspectedImage,
    /// Whether the file is what it was, byte for byte, so that its signature still fits.
    same_file: bool,
}

/// What can go wrong while one archive becomes another.
enum Fault {
    Archive(ArchiveError),
    Write(io::Error),
    Edit(Failure),
}

impl From<ArchiveError> for Fault {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl Rewrite<'_> {
    /// Copies the image; `edit` gives the manifest that takes the old one's place.
    pub(super) fn run(
        &self,
        context: &Context,
        edit: impl FnOnce(&[u8]) -> Result<Option<Vec<u8>>, Failure>,
    ) -> Result<Done, Failure> {
        let limits = self.how.limits.limits();
        let existing = if self.overwrite { Existing::Replace } else { Existing::Refuse };
        existing.check(self.output).map_err(|error| self.cannot_write(error))?;
        let file = self.how.open.open(context, self.input, &limits)?;
        let options = self.options(context, Compression::detect(file.start()))?;
        let (bytes, mode, encrypted) = (file.size(), file.mode(), file.is_encrypted());
        let (uid, gid) = file.owner();
        if encrypted {
            self.check_plain_output(context)?;
        }
        let mut staged = StagedFile::new_in(folder_of(self.output), mode)
            .map_err(|error| self.cannot_write(error))?;

        if self.input == self.output {
            // Where the caller may not give files away, the new one is the caller's.
            let _ = std::os::unix::fs::fchown(staged.file(), Some(uid), Some(gid));
        }

        let bar = context.progress(self.verb, Some(bytes));
        let edit = |old: &[u8]| edit(old).map_err(Fault::Edit);
        let rewritten =
            aci::archive::rewrite(bar.wrap_read(file), &mut staged, &options, &limits, edit);
        bar.finish_and_clear();
        let rewritten = rewritten.map_err(|fault| match fault {
            Fault::Archive(ArchiveError::Io(error)) => Failure::from(
                anyhow::Error::new(error).context(format!("cannot read {}", self.input.display())),
            ),
            Fault::Archive(refused) => Failure::refused(&refused),
            Fault::Write(error) => self.cannot_write(error),
            Fault::Edit(failure) => failure,
        })?;

        let image = self.read_back(context, &staged, &rewritten.written, &limits)?;
        staged.commit(self.output, existing).map_err(|error| self.cannot_write(error))?;
        let done = Done {
            output: self.output.to_owned(),
            was: rewritten.image_id,
            same_file: !encrypted
                && rewritten.written.file_digest.as_ref() == Some(&rewritten.file_digest),
            written: rewritten.written,
            image,
        };
        self.tell(context, &done);
        Ok(done)
    }

    /// What is written is not encrypted: that must not replace what is, by an oversight.
    fn check_plain_output(&self, context: &Context) -> Result<(), Failure> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if real(self.input) == real(self.output) {
            return Err(Failure::new(
                Kind::Usage,
                anyhow!(
                    "{} is encrypted, and the new image would not be: write it to another file",
                    self.input.display()
                ),
            ));
        }
        context.note(format!("note: {} is not encrypted", self.output.display()));
        Ok(())
    }

    /// `was` is the compression of the image that is read, where that is known.
    fn options(
        &self,
        context: &Context,
        was: Option<Compression>,
    ) -> Result<RewriteOptions, Failure> {
        if self.compression == Some(Compression::Zstd) {
            context.note(
                "note: zstd is outside the App Container spec; rkt and actool cannot read this image",
            );
        }
        let levels = self.compression.or(was).map(Compression::levels);
        if let (Some(level), Some(levels)) = (self.how.level, levels)
            && !levels.contains(&level)
        {
            let found = if levels.is_empty() {
                "there is nothing to choose without compression: leave out --level".to_owned()
            } else {
                let (least, most) = (levels.start(), levels.end());
                format!("--level {level} is not one of {least} to {most}")
            };
            return Err(Failure::new(Kind::Usage, anyhow!(found)));
        }
        let threads = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Ok(RewriteOptions {
            compression: self.compression,
            level: self.how.level,
            threads: self.how.threads.unwrap_or_else(threads),
        })
    }

    /// Reads the new file to its end before anybody sees it: it must be the image that was
    /// meant, and one that is accepted elsewhere.
    fn read_back(
        &self,
        context: &Context,
        staged: &StagedFile,
        written: &Written,
        limits: &Limits,
    ) -> Result<InspectedImage, Failure> {
        let mut file = staged.file();
        file.rewind().map_err(|error| self.cannot_write(error))?;
        // How well the author's files can be compressed is no attack on the author.
        let limits = Limits { ratio: u64::MAX, ..limits.clone() };
        let bar = context.progress("reading back", Some(written.file_bytes));
        let image = aci::archive::inspect(bar.wrap_read(file), &limits);
        bar.finish_and_clear();
        let image = image.map_err(|error| Failure::refused(&error))?;
        if *image.image_id() != written.image_id
            || written.file_digest.as_ref() != Some(image.file_digest())
        {
            return Err(anyhow!(
                "what was written does not read back as it was meant: {} in place of {}",
                image.image_id(),
                written.image_id
            )
            .into());
        }
        Ok(image)
    }

    fn tell(&self, context: &Context, done: &Done) {
        let written = &done.written;
        if written.looks_like_a_bomb {
            context.warn(
                "the image unpacks to so many more bytes than it has that readers will take it for \
                 a compression bomb; write it with --compression none",
            );
        }
        if done.same_file {
            return;
        }
        let output = self.output.display();
        if signature_beside(self.output).exists() {
            context.warn(files::signed_otherwise(self.output));
        } else if signature_beside(self.input).exists() {
            context.note(format!(
                "note: the signature of {} does not fit {output}, which needs one of its own: gantry \
                 sign {output}",
                self.input.display()
            ));
        }
    }

    fn cannot_write(&self, error: io::Error) -> Failure {
        files::cannot_write(self.output, error)
    }
}

impl Done {
    /// What scripts want to know.
    pub(super) fn json(&self) -> Value {
        let manifest = self.image.manifest();
        json!({
            "imageId": self.written.image_id,
            "was": self.was,
            "file": in_json(&self.output),
            "fileDigest": self.written.file_digest,
            "fileBytes": self.written.file_bytes,
            "tarBytes": self.written.tar_bytes,
            "compression": self.image.compression(),
            "name": manifest.name,
            "labels": manifest.labels,
        })
    }
}
