//! The digests that SPDX has of every file.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// SHA-1, which SPDX 2.3 demands and which proves nothing, and SHA-256, which does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) sha1: [u8; 20],
    pub(super) sha256: [u8; 32],
}

/// Computes [`Sums`] from bytes as they come.
#[derive(Default)]
pub(super) struct Summing(Sha1, Sha256);

impl Summing {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
        self.1.update(bytes);
    }

    pub(super) fn finish(self) -> Sums {
        Sums { sha1: self.0.finalize().into(), sha256: self.1.finalize().into() }
    }
}

/// The verification code of a package with these files (SPDX 2.3, clause 7.9): the SHA-1 of
/// their SHA-1 digests in hex, sorted.
pub(super) fn verification_code(files: impl Iterator<Item = [u8; 20]>) -> String {
    let mut all: Vec<[u8; 20]> = files.collect();
    // Lower-case hex sorts as the bytes do.
    all.sort_unstable();
    let mut sum = Sha1::new();
    for one in all {
        sum.update(hex(&one));
    }
    hex(&sum.finalize())
}

/// 32 hex digits that stand for `parts`, no two different lists of which share theirs.
pub(super) fn token(parts: &[&[u8]]) -> String {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_be_bytes());
        sum.update(part);
    }
    hex(&sum.finalize()[..16])
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standards() {
        let mut sums = Summing::default();
        sums.update(b"ab");
        sums.update(b"c");
        let sums = sums.finish();
        assert_eq!(hex(&sums.sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sums.sha256), wanted);
    }

    #[test]
    fn verification_code_does_not_depend_on_the_order() {
        let (one, two) = ([1; 20], [0xf2; 20]);
        let code = verification_code([two, one].into_iter());
        assert_eq!(code, verification_code([one, two].into_iter()));
        let mut sum = Sha1::new();
        sum.update("01".repeat(20) + &"f2".repeat(20));
        assert_eq!(code, hex(&sum.finalize()));
    }

    #[test]
    fn token_tells_the_parts_apart() {
        assert_ne!(token(&[b"ab", b"c"]), token(&[b"a", b"bc"]));
        assert_eq!(token(&[b"ab"]).len(), 32);
    }
}
