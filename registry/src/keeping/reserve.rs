//! A file that takes up room, so that there is some when the disk is full: without a few pages for its
//! log SQLite cannot even note that something is deleted.

use std::io;
use std::path::{Path, PathBuf};

use aci::stage::{self, Existing, StagedFile};

use super::room;

/// More than SQLite's log ever takes for one image.
const BYTES: u64 = 4 << 20;

/// The file, there or given up.
#[derive(Debug, Clone)]
pub(crate) struct Reserve(PathBuf);

impl Reserve {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self(file)
    }

    /// Makes the file where it is missing and there is room for it.
    pub(crate) fn keep(&self) -> io::Result<()> {
        let folder: &Path = stage::folder_of(&self.0);
        if self.0.exists() || room::check(folder, BYTES).is_err() {
            return Ok(());
        }
        let staged = StagedFile::new_in(folder, 0o600)?;
        rustix::fs::fallocate(staged.file(), rustix::fs::FallocateFlags::empty(), 0, BYTES)?;
        staged.commit(&self.0, Existing::Replace)
    }

    /// Gives the room to whoever needs it now; `false` where there was none to give.
    pub(crate) fn give_up(&self) -> bool {
        let there = self.0.exists();
        if there {
            tracing::warn!("the disk is full: what was kept in reserve is given to the catalogue");
        }
        there && stage::remove(&self.0).is_ok()
    }
}
