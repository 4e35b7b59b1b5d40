//! Objects out of an image while it is fetched.
//!
//! The next version of an image that was rendered will likely be rendered too, and then everything
//! new in it is unpacked a second time. So what is new is written as objects when it comes by,
//! as long as more of the image's files were objects already than were not: of an image that
//! shares little, little is written that may never be needed.

use std::io::{self, Write};

use aci::archive::{ContentAt, ContentSink};
use aci::stage::Hold;

use super::{Added, OBJECTS_LOCK, may_write};
use crate::store::{Store, StoreError};

/// The largest content that is taken: it waits in memory until its digest is known, for mostly it
/// is an object already. One that is larger is read from the archive, where a search for it costs
/// little beside its size.
const LARGEST: usize = 4 << 20;

/// Contents of an image on its way into the store. They are a convenience: where one cannot be
/// written, for want of room or whatever else, all are dropped and nobody is told.
#[derive(Debug, Default)]
pub(in crate::store) struct Arriving(Option<Taking>);

#[derive(Debug)]
struct Taking {
    store: Store,
    added: Added,
    /// Files whose contents are objects already, and files whose contents are not.
    there: u64,
    absent: u64,
    /// Bytes that may still be written.
    room: u64,
    /// The content that comes by, as far as it may be wanted.
    content: Vec<u8>,
}

impl Arriving {
    /// Begins to look at an image. Nothing will be taken where no objects are, or where the
    /// caller may not add any.
    ///
    /// No lock is held meanwhile, or a slow download would keep others from making room: what is
    /// there may have gone at the end, and that does no harm.
    pub(in crate::store) fn begin(store: &Store) -> Self {
        let folder = store.objects();
        if !folder.is_dir() || !may_write(&folder) {
            return Self::default();
        }
        // The image comes first: its archive must not find the disk filled by its objects.
        let room = rustix::fs::statvfs(&folder)
            .map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize) / 4);
        Self(Some(Taking {
            store: store.clone(),
            added: Added::new(store),
            there: 0,
            absent: 0,
            room,
            content: Vec::new(),
        }))
    }

    /// Brings what was taken to the disk.
    pub(in crate::store) fn sync(&mut self) {
        self.attempt(|taking| taking.added.sync());
    }

    /// Makes objects of what was taken and synced, unless somebody removes objects right now.
    pub(in crate::store) fn commit(mut self) {
        self.attempt(|taking| match taking.store.attempt_lock(OBJECTS_LOCK, Hold::Shared)? {
            Some(_lock) => taking.added.put_in_place(),
            None => Ok(()),
        });
    }

    fn attempt(&mut self, step: impl FnOnce(&mut Taking) -> Result<(), StoreError>) {
        if self.0.as_mut().is_some_and(|taking| step(taking).is_err()) {
            self.0 = None;
        }
    }
}

impl ContentSink for Arriving {
    fn piece(&mut self, bytes: &[u8]) {
        if let Some(taking) = &mut self.0 {
            taking.piece(bytes);
        }
    }

    fn end(&mut self, content: &ContentAt) {
        self.attempt(|taking| taking.end(content));
    }
}

impl Taking {
    /// Whether the image shares more than half of its files so far. It stays the same while one
    /// content comes by.
    fn is_wanted(&self) -> bool {
        self.there > self.absent
    }

    fn piece(&mut self, bytes: &[u8]) {
        if self.is_wanted() && self.content.len() <= LARGEST {
            self.content.extend_from_slice(bytes);
        }
    }

    fn end(&mut self, content: &ContentAt) -> Result<(), StoreError> {
        let taken = self.take(content);
        self.content.clear();
        taken
    }

    fn take(&mut self, content: &ContentAt) -> Result<(), StoreError> {
        let name = content.digest.digits();
        if content.size == 0 || self.added.names.contains(&name) {
            return Ok(());
        }
        if self.store.object(&name).exists() {
            self.there += 1;
            return Ok(());
        }
        self.absent += 1;
        // Of one that is not wanted nothing is here, and of one too large not all.
        if self.content.len() as u64 == content.size {
            self.write(&name)?;
            self.added.names.insert(name);
        }
        Ok(())
    }

    fn write(&mut self, name: &str) -> Result<(), StoreError> {
        let left = self.room.checked_sub(self.content.len() as u64);
        self.room = left.ok_or(io::ErrorKind::StorageFull.into()).map_err(self.fault())?;
        let mut file = self.added.creator()?.create(name)?;
        file.write_all(&self.content).map_err(self.fault())
    }

    fn fault(&self) -> impl FnOnce(io::Error) -> StoreError + use<> {
        StoreError::io("write", self.store.objects())
    }
}

#[cfg(test)]
mod tests;
