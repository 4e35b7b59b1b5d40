//! One entry as it waits to be compared: in bytes that begin with its path.

use std::cmp::Ordering;

use crate::archive::{Entry, EntryKind, PathBytes};

/// An entry, and the SHA-512 of its content where it is a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) entry: Entry,
    pub(super) content: Option<[u8; 64]>,
}

/// The order in which profile v1 writes paths: segment by segment. An archive of ours is sorted
/// already, and whatever is below a folder stands together.
pub(super) fn order(a: &[u8], b: &[u8]) -> Ordering {
    a.split(|&b| b == b'/').cmp(b.split(|&b| b == b'/'))
}

/// The path at the beginning of an encoded record.
pub(super) fn path(encoded: &[u8]) -> &[u8] {
    Fields(encoded).bytes().unwrap_or_default()
}

impl Record {
    /// Appends the record to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let entry = &self.entry;
        put(out, &entry.path.0);
        let (kind, number, target) = match &entry.kind {
            EntryKind::File { size } => (0, *size, None),
            EntryKind::Directory => (1, 0, None),
            EntryKind::Symlink { target } => (2, 0, Some(target)),
            EntryKind::HardLink { target } => (3, 0, Some(target)),
            EntryKind::Character { device } => (4, pair(*device), None),
            EntryKind::Block { device } => (5, pair(*device), None),
            EntryKind::Fifo => (6, 0, None),
        };
        out.push(kind);
        out.extend_from_slice(&number.to_le_bytes());
        put(out, target.map_or(&[], |target| &target.0));
        for number in [entry.mode, entry.uid, entry.gid] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&entry.mtime.to_le_bytes());
        put(out, self.content.as_ref().map_or(&[], |content| content));
        for (name, value) in &entry.xattrs {
            put(out, name);
            put(out, value);
        }
    }

    /// Reads one record back; `None` where these are not the bytes of one.
    pub(super) fn decode(encoded: &[u8]) -> Option<Self> {
        let mut fields = Fields(encoded);
        let path = PathBytes::from(fields.bytes()?);
        let [kind] = fields.array()?;
        let number = u64::from_le_bytes(fields.array()?);
        let target = PathBytes::from(fields.bytes()?);
        let device = ((number >> 32) as u32, number as u32);
        let kind = match kind {
            0 => EntryKind::File { size: number },
            1 => EntryKind::Directory,
            2 => EntryKind::Symlink { target },
            3 => EntryKind::HardLink { target },
            4 => EntryKind::Character { device },
            5 => EntryKind::Block { device },
            6 => EntryKind::Fifo,
            _ => return None,
        };
        let mode = u32::from_le_bytes(fields.array()?);
        let uid = u32::from_le_bytes(fields.array()?);
        let gid = u32::from_le_bytes(fields.array()?);
        let mtime = i64::from_le_bytes(fields.array()?);
        let content = fields.bytes()?.try_into().ok();
        let mut xattrs = Vec::new();
        while !fields.0.is_empty() {
            xattrs.push((fields.bytes()?.to_vec(), fields.bytes()?.to_vec()));
        }
        Some(Self { entry: Entry { path, kind, mode, uid, gid, mtime, xattrs }, content })
    }
}

fn pair((major, minor): (u32, u32)) -> u64 {
    u64::from(major) << 32 | u64::from(minor)
}

/// A run of bytes, its length before it.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    // Whatever gets here was read within limits far below 4 GiB.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }
}
