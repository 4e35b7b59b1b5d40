//! The folders that wait for their owner, mode and time until all below them is done: a
//! read-only one could not be filled. They wait in a nameless file, for there may be a
//! million of them, each with a path of four thousand bytes.

use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use super::entry::{Entry, EntryKind, PathBytes};
use crate::stage;

/// Depth and place in the file, in one number each: the deepest are the largest.
const DEPTH_SHIFT: u32 = 48;
/// The most folders in a lot: what is undone of them is in memory.
const LOT: usize = 4096;

pub(super) struct Directories {
    file: BufWriter<File>,
    length: u64,
    places: Vec<u64>,
}

impl Directories {
    /// None yet. Their file is on the file system of `folder`.
    pub(super) fn new(folder: &OwnedFd) -> io::Result<Self> {
        let file = BufWriter::new(stage::nameless_in(folder)?);
        Ok(Self { file, length: 0, places: Vec::new() })
    }

    pub(super) fn push(&mut self, entry: &Entry) -> io::Result<()> {
        let depth = entry.path.0.iter().filter(|&&b| b == b'/').count().min(0xffff) as u64;
        let record = encode(entry);
        self.places.push(depth << DEPTH_SHIFT | self.length);
        self.file.write_all(&(record.len() as u64).to_le_bytes())?;
        self.file.write_all(&record)?;
        self.length += 8 + record.len() as u64;
        Ok(())
    }

    /// All of them, those deepest in the tree first.
    pub(super) fn deepest_first(&mut self) -> io::Result<DeepestFirst> {
        self.file.flush()?;
        let file = self.file.get_ref().try_clone()?;
        let mut places = std::mem::take(&mut self.places);
        places.sort_unstable_by_key(|&place| Reverse(place));
        Ok(DeepestFirst { file, places })
    }
}

/// The folders in the order in which they get what they wait for.
pub(super) struct DeepestFirst {
    file: File,
    places: Vec<u64>,
}

impl DeepestFirst {
    /// Their places in lots of which no folder is in another of the same lot.
    pub(super) fn lots(&self) -> impl Iterator<Item = &[u64]> {
        let same = |a: &u64, b: &u64| a >> DEPTH_SHIFT == b >> DEPTH_SHIFT;
        self.places.chunk_by(same).flat_map(|level| level.chunks(LOT))
    }

    /// The folder at a place.
    pub(super) fn entry(&self, place: u64) -> io::Result<Entry> {
        let at = place & ((1 << DEPTH_SHIFT) - 1);
        let mut length = [0; 8];
        self.file.read_exact_at(&mut length, at)?;
        let mut record = vec![0; u64::from_le_bytes(length) as usize];
        self.file.read_exact_at(&mut record, at + 8)?;
        decode(&record).ok_or_else(|| io::Error::other("the list of folders was altered"))
    }
}

fn encode(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    for number in [entry.mode, entry.uid, entry.gid] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&entry.mtime.to_le_bytes());
    let xattrs = entry.xattrs.iter().flat_map(|(name, value)| [name, value]);
    for bytes in [&entry.path.0].into_iter().chain(xattrs) {
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(bytes);
    }
    out
}

fn decode(record: &[u8]) -> Option<Entry> {
    let mut rest = record;
    let mut numbers = [0; 3];
    for number in &mut numbers {
        let bytes;
        (bytes, rest) = rest.split_first_chunk()?;
        *number = u32::from_le_bytes(*bytes);
    }
    let (mtime, mut rest) = rest.split_first_chunk()?;
    let mut texts = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk()?;
        let text;
        (text, rest) = after.split_at_checked(u64::from_le_bytes(*length) as usize)?;
        texts.push(text.to_vec());
    }
    let mut texts = texts.into_iter();
    let path = PathBytes(texts.next()?);
    let mut xattrs = Vec::new();
    while let Some(name) = texts.next() {
        xattrs.push((name, texts.next()?));
    }
    let [mode, uid, gid] = numbers;
    let mtime = i64::from_le_bytes(*mtime);
    Some(Entry { path, kind: EntryKind::Directory, mode, uid, gid, mtime, xattrs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_back_whole_and_deepest_first() {
        let folder = tempfile::tempdir().unwrap();
        let root = File::open(folder.path()).unwrap().into();
        let mut directories = Directories::new(&root).unwrap();
        let entry = |path: &str, n: u32| Entry {
            path: path.into(),
            kind: EntryKind::Directory,
            mode: 0o755 + n,
            uid: n,
            gid: 2 * n,
            mtime: -i64::from(n),
            xattrs: (0..n).map(|x| (vec![b'n'; x as usize], vec![0; 3])).collect(),
        };
        let all = [
            entry("rootfs", 1),
            entry("rootfs/a/b", 3),
            entry("rootfs/a", 0),
            entry("rootfs/b", 2),
        ];
        all.iter().for_each(|entry| directories.push(entry).unwrap());
        let folders = directories.deepest_first().unwrap();
        let back: Vec<Vec<Entry>> = folders
            .lots()
            .map(|lot| lot.iter().map(|&place| folders.entry(place).unwrap()).collect())
            .collect();
        assert_eq!(
            back,
            [vec![all[1].clone()], vec![all[3].clone(), all[2].clone()], vec![all[0].clone()]]
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
