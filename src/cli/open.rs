//! Opening an image file that may be encrypted.
//!
//! Commands that read a FILE take [`OpenArgs`], and call [`OpenArgs::open`]. What they get
//! is a plain image, whose integrity was checked to its end where it was encrypted.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aci::archive::Compression;
use aci::stage::StagedFile;
use aci::{Limits, Refusal};
use anyhow::Context as _;
use keys::{DecryptError, Passphrase};

use super::files::absent;
use super::key::read_passphrase;
use super::{Context, Failure, Kind};

/// The passphrase of an encrypted image.
#[derive(clap::Args)]
pub(super) struct OpenArgs {
    /// Read the passphrase of an encrypted image from this file; the line end at its end is dropped
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_fd")]
    passphrase_file: Option<PathBuf>,
    /// Read the passphrase of an encrypted image from this file descriptor
    #[arg(long, value_name = "N")]
    passphrase_fd: Option<u32>,
    /// What was read: a descriptor gives it once.
    #[arg(skip)]
    read: OnceCell<Passphrase>,
}

/// An image file, to be read from its beginning.
pub(super) struct ImageFile {
    start: Cursor<Vec<u8>>,
    file: File,
    bytes: u64,
    mode: u32,
    owner: (u32, u32),
    encrypted: bool,
}

impl ImageFile {
    /// The first bytes, which are read all the same.
    pub(super) fn start(&self) -> &[u8] {
        self.start.get_ref()
    }

    /// The permission bits of the file that was named.
    pub(super) fn mode(&self) -> u32 {
        self.mode
    }

    /// User and group of the file that was named.
    pub(super) fn owner(&self) -> (u32, u32) {
        self.owner
    }

    /// Bytes of the image; as it is when decrypted, where it is encrypted.
    pub(super) fn size(&self) -> u64 {
        self.bytes
    }

    /// Whether it is encrypted, or was.
    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }
}

impl Read for ImageFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.start.read(buffer)? {
            0 => self.file.read(buffer),
            got => Ok(got),
        }
    }
}

impl OpenArgs {
    /// The passphrase, where one was given.
    pub(super) fn passphrase(&self) -> Result<Option<&Passphrase>, Failure> {
        if let Some(known) = self.read.get() {
            return Ok(Some(known));
        }
        let given = read_passphrase(self.passphrase_file.as_deref(), self.passphrase_fd)?;
        Ok(given.map(|given| self.read.get_or_init(|| given)))
    }

    /// Opens an image file, and decrypts it where it is encrypted.
    pub(super) fn open(
        &self,
        context: &Context,
        path: &Path,
        limits: &Limits,
    ) -> Result<ImageFile, Failure> {
        let image = open(path)
            .with_context(|| format!("cannot read {}", path.display()))
            .map_err(absent)?;
        self.unlock(context, image, limits)
    }

    /// Decrypts an image that is encrypted, into a file without a name. Nothing of it is to
    /// be had before its end was reached and its integrity checked.
    pub(super) fn unlock(
        &self,
        context: &Context,
        mut image: ImageFile,
        limits: &Limits,
    ) -> Result<ImageFile, Failure> {
        if !image.encrypted {
            return Ok(image);
        }
        let passphrase = self.passphrase()?.ok_or_else(locked)?;
        let mut plain = nameless()?;
        let bar = context.progress("decrypting", Some(image.bytes));
        let mut reader = bar.wrap_read(&mut image);
        let decrypted = keys::decrypt(&mut reader, passphrase, &mut plain, limits);
        bar.finish_and_clear();
        let bytes = decrypted.map_err(refused)?;
        plain.rewind().context("cannot read what was decrypted")?;
        Ok(ImageFile { start: Cursor::default(), file: plain, bytes, ..image })
    }
}

/// Opens an image file as it is, encrypted or not.
pub(super) fn open(path: &Path) -> io::Result<ImageFile> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    // The first bytes are kept: a pipe cannot be read again.
    let mut start = Vec::new();
    (&mut file).take(Compression::DETECT_BYTES as u64).read_to_end(&mut start)?;
    let encrypted = aci::archive::is_encrypted(&start);
    let (bytes, mode) = (metadata.len(), metadata.permissions().mode() & 0o777);
    let owner = (metadata.uid(), metadata.gid());
    Ok(ImageFile { start: Cursor::new(start), file, bytes, mode, owner, encrypted })
}

/// An empty file that nobody else can open and that is gone when it is closed.
pub(super) fn nameless() -> Result<File, Failure> {
    #[expect(clippy::disallowed_methods, reason = "the command's edge: where large files may go")]
    let folder = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty());
    let folder = folder.map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    let staged = StagedFile::new_in(&folder, 0o600).and_then(|staged| staged.file().try_clone());
    Ok(staged.with_context(|| {
        format!("no room to decrypt in {}: set TMPDIR to another folder", folder.display())
    })?)
}

/// What cannot be decrypted is refused; what cannot be read or written has failed.
pub(super) fn refused(error: DecryptError) -> Failure {
    match error {
        DecryptError::Read(_) | DecryptError::Write(_) => Failure::from(error),
        refused => Failure::refused(&refused),
    }
}

pub(super) fn locked() -> Failure {
    Failure::refusal(
        Kind::Refused,
        Refusal {
            code: "image-encrypted".to_owned(),
            message: "the image is encrypted, and no passphrase was given".to_owned(),
            wanted: "the passphrase, by --passphrase-file FILE or --passphrase-fd N".to_owned(),
            found: "neither of them".to_owned(),
            rule: "images may be encrypted with a passphrase (spec: aci.md, Image Archives)"
                .to_owned(),
            next: "ask the image's author for the passphrase".to_owned(),
        },
    )
}
