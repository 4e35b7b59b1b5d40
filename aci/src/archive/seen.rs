//! The paths an archive has named so far: a million of them in some thirty megabytes.

use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, RandomState};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

/// What a path was seen as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// A directory that has its own entry.
    Directory,
    /// A directory that only paths below it have named.
    Implied,
    /// Anything else.
    Other,
}

/// A path as 120 bits of two hashes with keys drawn at random: a million paths do not fit
/// in memory, and nobody outside this process can make two that collide.
pub(super) type Key = [u8; 15];

type Shard = HashMap<Key, Seen, BuildHasherDefault<FirstBytes>>;

/// A map from path to [`Seen`]. It is many small maps, for one large one would need its
/// memory three times over whenever it grows.
pub(super) struct SeenPaths {
    shards: Vec<Shard>,
    keys: [RandomState; 2],
    length: u64,
}

impl SeenPaths {
    pub(super) fn new() -> Self {
        Self {
            shards: (0..=u8::MAX).map(|_| Shard::default()).collect(),
            keys: [RandomState::new(), RandomState::new()],
            length: 0,
        }
    }

    /// The path of no segment, to begin every other one with.
    pub(super) fn top(&self) -> PathHash {
        PathHash(self.keys.each_ref().map(BuildHasher::build_hasher))
    }

    /// The key of a whole path.
    pub(super) fn key(&self, path: &[u8]) -> Key {
        let mut hash = self.top();
        path.split(|&b| b == b'/').for_each(|segment| hash.push(segment));
        hash.key()
    }

    pub(super) fn look(&self, key: &Key) -> Option<Seen> {
        self.shards[usize::from(key[14])].get(key).copied()
    }

    /// Sets what a path is, and gives what it was.
    pub(super) fn set(&mut self, key: Key, seen: Seen) -> Option<Seen> {
        let before = self.shards[usize::from(key[14])].insert(key, seen);
        self.length += u64::from(before.is_none());
        before
    }

    /// How many different paths were seen.
    pub(super) fn len(&self) -> u64 {
        self.length
    }
}

/// The hash of a path, one segment after another: every folder on the way of a path of two
/// thousand segments costs one step, not one more run over its beginning.
#[derive(Clone)]
pub(super) struct PathHash([DefaultHasher; 2]);

impl PathHash {
    pub(super) fn push(&mut self, segment: &[u8]) {
        for hasher in &mut self.0 {
            hasher.write(segment);
            hasher.write_u8(b'/');
        }
    }

    pub(super) fn key(&self) -> Key {
        let mut key = [0; 15];
        key[..8].copy_from_slice(&self.0[0].finish().to_le_bytes());
        key[8..].copy_from_slice(&self.0[1].finish().to_le_bytes()[..7]);
        key
    }
}

/// Takes the first bytes of what is a hash already.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        let mut first = [0; 8];
        let length = bytes.len().min(8);
        first[..length].copy_from_slice(&bytes[..length]);
        self.0 ^= u64::from_le_bytes(first);
    }

    /// The length of an array, which is always the same.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seen_tells_a_hundred_thousand_paths_apart() {
        let mut seen = SeenPaths::new();
        for n in 0..100_000_u32 {
            let key = seen.key(format!("rootfs/{}/{n}", n % 7).as_bytes());
            assert_eq!(seen.set(key, Seen::Other), None, "{n}");
        }
        assert_eq!(seen.len(), 100_000);
        let key = seen.key(b"rootfs/3/3");
        assert_eq!(seen.set(key, Seen::Directory), Some(Seen::Other));
        assert_eq!(seen.len(), 100_000);
        assert_eq!(seen.look(&seen.key(b"rootfs/4/3")), None);
    }

    #[test]
    fn key_of_a_path_is_that_of_its_segments() {
        let seen = SeenPaths::new();
        let mut hash = seen.top();
        for segment in [&b"a"[..], b"bc"] {
            hash.push(segment);
        }
        assert_eq!(hash.key(), seen.key(b"a/bc"));
        assert_ne!(seen.key(b"ab/c"), seen.key(b"a/bc"));
    }
}
