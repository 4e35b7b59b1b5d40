//! The members of a gzip file, one after another, and where they begin.
//!
//! A gzip file is one member or several. Each can be read without those before it, so where
//! they begin is where a reader that wants one file only can start.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// A place where reading can begin: so many bytes into the file lies so many bytes into the
/// archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessPoint {
    /// Bytes of the file before it.
    pub packed: u64,
    /// Bytes of the uncompressed archive before it.
    pub unpacked: u64,
}

/// Bytes of the archive from one access point to the next, at least: a file of a million
/// tiny members must not make a million of them.
const APART: u64 = 256 << 10;

/// A source that knows how many of its bytes were read.
pub(super) trait Position {
    fn position(&self) -> u64;
}

/// Undoes gzip, member after member.
pub(super) struct GzipMembers<R> {
    /// `None` after an error or the end only.
    member: Option<GzDecoder<R>>,
    rest: Option<R>,
    unpacked: u64,
    last: u64,
    points: Vec<AccessPoint>,
}

impl<R: BufRead + Position> GzipMembers<R> {
    pub(super) fn new(file: R) -> Self {
        let member = Some(GzDecoder::new(file));
        Self { member, rest: None, unpacked: 0, last: 0, points: Vec::new() }
    }

    pub(super) fn take_points(&mut self) -> Vec<AccessPoint> {
        std::mem::take(&mut self.points)
    }

    /// The file, at what follows the last member.
    pub(super) fn into_inner(self) -> io::Result<R> {
        let file = self.rest.or_else(|| self.member.map(GzDecoder::into_inner));
        file.ok_or_else(|| io::Error::other("the gzip reader has failed before"))
    }

    /// Goes on to the next member; `false` where the file ends.
    fn next_member(&mut self) -> io::Result<bool> {
        let Some(member) = self.member.take() else { return Ok(false) };
        let mut file = member.into_inner();
        if file.fill_buf()?.is_empty() {
            self.rest = Some(file);
            return Ok(false);
        }
        if self.unpacked >= self.last + APART {
            self.last = self.unpacked;
            self.points.push(AccessPoint { packed: file.position(), unpacked: self.unpacked });
        }
        self.member = Some(GzDecoder::new(file));
        Ok(true)
    }
}

impl<R: BufRead + Position> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            let got = member.read(buffer)?;
            if got > 0 {
                self.unpacked += got as u64;
                return Ok(got);
            }
            if !self.next_member()? {
                break;
            }
        }
        Ok(0)
    }
}
