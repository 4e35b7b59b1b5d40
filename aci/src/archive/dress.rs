//! Giving files what their entries say: owner, mode, attributes, time.

use std::borrow::Cow;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::attribute_ids::move_attribute_ids;
use super::entry::{Entry, PathBytes};
use super::owner::Ownership;

/// What of an entry could not be done here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undone {
    /// Extended attributes.
    pub(super) lost: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether its set-user-ID or set-group-ID bit.
    pub(super) set_id: bool,
}

/// Dresses files as one caller may.
#[derive(Clone, Copy)]
pub(super) struct Dresser<'a> {
    ownership: &'a Ownership,
    /// Whether owners are given.
    pub(super) restore: bool,
    /// The caller's user and group.
    caller: (u32, u32),
}

impl<'a> Dresser<'a> {
    pub(super) fn new(ownership: &'a Ownership) -> Self {
        Self {
            ownership,
            restore: matches!(ownership, Ownership::Restore | Ownership::Mapped(_)),
            caller: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        }
    }

    /// What to make a file with, so that most have their mode from the beginning: without what is
    /// for others than the owner where that will be somebody else, and with what it takes to fill
    /// it.
    pub(super) fn first_mode(&self, entry: &Entry, needed: Mode) -> Mode {
        let stays = match self.owner(entry) {
            Ok(Some((uid, gid))) => self.caller == (uid.as_raw(), gid.as_raw()),
            Ok(None) => true,
            Err(_) => false,
        };
        if stays { Mode::from_raw_mode(entry.mode & 0o755) | needed } else { needed }
    }

    /// Owner, then mode, then attributes, then time: each undoes a part of the one after it.
    pub(super) fn dress(&self, file: impl AsFd, entry: &Entry) -> io::Result<Option<Undone>> {
        let (mut mode, mut set_id) = (entry.mode & 0o7777, false);
        let has = rustix::fs::fstat(&file)?;
        let mut given_away = false;
        if let Some((uid, gid)) = self.owner(entry)? {
            given_away = (has.st_uid, has.st_gid) != (uid.as_raw(), gid.as_raw());
            if given_away {
                rustix::fs::fchown(&file, Some(uid), Some(gid))
                    .map_err(|error| no_owner(error, uid, gid))?;
            }
        } else if mode & 0o6000 != 0 {
            mode &= 0o1777;
            set_id = true;
        }
        if given_away || has.st_mode & 0o7777 != mode {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        }
        let undone = self.attributes(&file, entry, mode, |name, value| {
            rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty())
        })?;
        rustix::fs::futimens(&file, &times(entry))?;
        Ok(match (undone, set_id) {
            (None, false) => None,
            (undone, set_id) => Some(Undone { set_id, ..undone.unwrap_or_default() }),
        })
    }

    /// Sets the extended attributes of a file in the file system of `place`; gives what is not as
    /// the image has it.
    pub(super) fn attributes(
        &self,
        place: impl AsFd,
        entry: &Entry,
        mode: u32,
        set: impl Fn(&[u8], &[u8]) -> Result<(), Errno>,
    ) -> io::Result<Option<Undone>> {
        let mut lost = Vec::new();
        for xattr in &entry.xattrs {
            let (name, value) = xattr;
            let value = self.may_have(name).then(|| match self.ownership {
                Ownership::Mapped(map) => {
                    move_attribute_ids(name, value, |id| map.uid(id), |id| map.gid(id))
                }
                _ => Some(Cow::Borrowed(value.as_slice())),
            });
            let done = match value.flatten() {
                Some(value) => set(name, &value),
                None => Err(Errno::PERM),
            };
            match done {
                // Not allowed, or not possible on this file system: of ext4, 64 KiB are too much.
                Err(
                    Errno::OPNOTSUPP
                    | Errno::PERM
                    | Errno::ACCESS
                    | Errno::RANGE
                    | Errno::TOOBIG
                    | Errno::NAMETOOLONG,
                ) => lost.push(xattr.clone()),
                Err(Errno::NOSPC) if has_room(&place) => lost.push(xattr.clone()),
                Err(error) => {
                    let name = PathBytes(name.clone());
                    let error = io::Error::from(error);
                    let text = format!("its extended attribute {name} cannot be set: {error}");
                    return Err(io::Error::new(error.kind(), text));
                }
                Ok(()) => {}
            }
        }
        let same_owner = self.restore || self.caller == (entry.uid, entry.gid);
        let all_done = lost.is_empty() && same_owner && mode == entry.mode & 0o7777;
        Ok((!all_done).then_some(Undone { lost, set_id: false }))
    }

    /// Whether an attribute is one that files may have here.
    fn may_have(&self, name: &[u8]) -> bool {
        let begins = |start: &[u8]| name.starts_with(start);
        // An overlay above this tree would take such a mark for its own, and show another folder
        // in the place of this one.
        let overlay = begins(b"trusted.overlay.") || begins(b"user.overlay.");
        // A caller who is root could set them, and give away the rights they mean.
        let privileged = begins(b"security.") || begins(b"trusted.");
        !overlay && (self.restore || !privileged)
    }

    /// Whom an entry is to belong to; nobody in particular where all is the caller's.
    pub(super) fn owner(&self, entry: &Entry) -> io::Result<Option<(Uid, Gid)>> {
        let (uid, gid) = match self.ownership {
            Ownership::Caller | Ownership::Record => return Ok(None),
            Ownership::Restore => (Some(entry.uid), Some(entry.gid)),
            Ownership::Mapped(map) => (map.uid(entry.uid), map.gid(entry.gid)),
        };
        let (Some(uid), Some(gid)) = (uid, gid) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("no range of the owner map holds its owner {}:{}", entry.uid, entry.gid),
            ));
        };
        Ok(Some((Uid::from_raw(uid), Gid::from_raw(gid))))
    }
}

/// Whether a full disk is not what is wrong.
fn has_room(place: impl AsFd) -> bool {
    rustix::fs::fstatvfs(place).is_ok_and(|found| found.f_bavail > 256)
}

pub(super) fn no_owner(error: Errno, uid: Uid, gid: Gid) -> io::Error {
    let (uid, gid) = (uid.as_raw(), gid.as_raw());
    let text = format!("it cannot be given to its owner {uid}:{gid}: {}", io::Error::from(error));
    io::Error::new(io::Error::from(error).kind(), text)
}

pub(super) fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
