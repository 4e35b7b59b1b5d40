//! Whether the disk has room. Some of it is left to the catalogue, so that images can still be deleted
//! and their files removed when nothing more is taken in.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aci::stage::StagedFile;

/// Of a small disk a twentieth is left, of a large one so many bytes.
const RESERVE: u64 = 64 << 20;
const RESERVED_SHARE: u64 = 20;
/// How many bytes are written before the disk is asked again.
const STEP: u64 = 1 << 20;

/// An error of the kind `StorageFull` where so many bytes would leave less than the reserve on the
/// file system of this folder.
pub(crate) fn check(folder: &Path, bytes: u64) -> io::Result<()> {
    let system = rustix::fs::statvfs(folder)?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    let all = system.f_blocks.saturating_mul(system.f_frsize);
    let reserve = RESERVE.min(all / RESERVED_SHARE);
    if free >= bytes.saturating_add(reserve) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::StorageFull,
        format!("{bytes} bytes would leave less than {reserve} of the {free} that are free"),
    ))
}

/// A file that is written only while there is room.
pub(crate) struct Guarded<'a> {
    file: &'a mut StagedFile,
    folder: PathBuf,
    unchecked: u64,
}

impl<'a> Guarded<'a> {
    /// `folder` is where the file is.
    pub(crate) fn new(file: &'a mut StagedFile, folder: PathBuf) -> Self {
        Self { file, folder, unchecked: STEP }
    }
}

impl Write for Guarded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.unchecked >= STEP {
            check(&self.folder, bytes.len() as u64)?;
            self.unchecked = 0;
        }
        let written = self.file.write(bytes)?;
        self.unchecked += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
