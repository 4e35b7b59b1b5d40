//! The strict tar reader: one entry after another, each header with one reading only.
//!
//! It takes POSIX (ustar and pax), GNU and v7 archives, and refuses what parsers
//! are known to disagree about, for there lies the attack: an archive that is one
//! thing to whoever checks it and another to whoever unpacks it.

use std::collections::HashSet;
use std::io::{self, Read};

use super::entry::{Entry, EntryKind, PathBytes};
use super::header::{
    BLOCK, CHECKSUM, DEVICE_MAJOR, DEVICE_MINOR, GID, LINK, MAGIC, MAX_OCTAL_11, MODE, MTIME, NAME,
    PREFIX, SIZE, TYPE, UID, checksum,
};
use super::{ArchiveError, Limited};
use crate::limits::Limits;

/// Reads the entries of a tar archive.
pub(super) struct TarReader<R> {
    archive: R,
    /// Bytes of the archive taken so far.
    at: u64,
    /// Content of the current entry still to come.
    content: u64,
    /// Padding after it.
    padding: u64,
    header_bytes: u64,
    path_bytes: usize,
    xattr_bytes: usize,
    /// Whether a global header was seen.
    pub(super) has_global: bool,
}

/// What extended headers say of the entry that follows them.
#[derive(Default)]
struct Extended {
    at: u64,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<i64>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether a POSIX extended header, or a GNU long name, was seen: never both.
    posix: bool,
    gnu: bool,
}

impl<R: Read> TarReader<R> {
    pub(super) fn new(archive: R, limits: &Limits) -> Self {
        Self {
            archive,
            at: 0,
            content: 0,
            padding: 0,
            header_bytes: limits.header_bytes,
            path_bytes: limits.path_bytes,
            xattr_bytes: limits.xattr_bytes,
            has_global: false,
        }
    }

    /// The next entry, or `None` after the two blocks that end the archive. What
    /// was not read of the entry before is skipped.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        self.skip_content()?;
        let mut extended = Extended::default();
        loop {
            let at = self.at;
            let block = self.block("a header")?;
            if block == [0; BLOCK] {
                return self.end(&extended).map(|()| None);
            }
            // The sum is octal in every form of the header.
            if octal(&block[CHECKSUM]) != Some(checksum(&block)) {
                return Err(ArchiveError::Checksum { at });
            }
            check_numbers(&block, at)?;
            let size = number(&block[SIZE]).ok_or(ArchiveError::Number { at, field: "size" })?;
            let fault = |fault| ArchiveError::ExtendedHeader { at, fault };
            match block[TYPE] {
                b'x' => {
                    if extended.posix {
                        return Err(fault("follows another one of its kind"));
                    }
                    // Which header an `x` before an `L` belongs to, parsers disagree about
                    // (GHSA-3pv8-6f4r-ffg2).
                    if extended.gnu {
                        return Err(fault("stands together with a GNU long name"));
                    }
                    let body = self.header_content(size)?;
                    extended.read_posix(&body, at)?;
                    if extended.xattrs.iter().any(|(_, value)| value.len() > self.xattr_bytes) {
                        let allowed = self.xattr_bytes as u64;
                        return Err(ArchiveError::Limit { what: Limited::XattrBytes, allowed });
                    }
                }
                b'g' => {
                    self.has_global = true;
                    let body = self.header_content(size)?;
                    check_global(&body, at)?;
                }
                kind @ (b'L' | b'K') => {
                    if extended.posix {
                        return Err(fault("stands together with a GNU long name"));
                    }
                    extended.gnu = true;
                    let field = if kind == b'L' { &mut extended.path } else { &mut extended.link };
                    if field.is_some() {
                        return Err(fault("gives a GNU long name twice"));
                    }
                    *field = Some(until_nul(&self.header_content(size)?).to_vec());
                }
                _ => return self.entry(&block, at, size, extended).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        block: &[u8; BLOCK],
        at: u64,
        header_size: u64,
        extended: Extended,
    ) -> Result<Entry, ArchiveError> {
        let field = |range: std::ops::Range<usize>, field| {
            number(&block[range]).ok_or(ArchiveError::Number { at, field })
        };
        let narrow = |value: u64, field| {
            u32::try_from(value).map_err(|_| ArchiveError::Number { at, field })
        };
        // To chown(2) the last number is "leave it as it is": the file would stay root's.
        let id = |id: u32| match id {
            u32::MAX => Err(ArchiveError::Number { at, field: "owner or group" }),
            id => Ok(id),
        };
        let path = match extended.path {
            Some(path) => PathBytes(path),
            None => PathBytes(header_path(block, at)?),
        };
        let target = || PathBytes(extended.link.unwrap_or_else(|| until_nul(&block[LINK]).into()));
        self.check_length(&path)?;
        let size = match extended.size {
            None => header_size,
            // A reader that does not know this record would see other entries than we do
            // (RUSTSEC-2026-0068), so it may only say what the header cannot.
            Some(size) if size == header_size || size > MAX_OCTAL_11 => size,
            Some(_) => {
                let fault = "gives another size than the header it extends";
                return Err(ArchiveError::ExtendedHeader { at: extended.at, fault });
            }
        };
        let device = || -> Result<(u32, u32), ArchiveError> {
            Ok((
                narrow(field(DEVICE_MAJOR, "device number")?, "device number")?,
                narrow(field(DEVICE_MINOR, "device number")?, "device number")?,
            ))
        };
        let kind = match block[TYPE] {
            b'0' | 0 => EntryKind::File { size },
            b'1' => EntryKind::HardLink { target: target() },
            b'2' => EntryKind::Symlink { target: target() },
            b'3' => EntryKind::Character { device: device()? },
            b'4' => EntryKind::Block { device: device()? },
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            kind => return Err(ArchiveError::EntryType { path, kind }),
        };
        match &kind {
            EntryKind::File { .. } => {
                self.content = size;
                // Not by rounding up: the largest size of all has nothing above it.
                self.padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
            }
            // What follows would be content to one reader and headers to another.
            _ if size != 0 => return Err(ArchiveError::SizeWithoutContent { path, size }),
            EntryKind::Symlink { target } | EntryKind::HardLink { target } => {
                self.check_length(target)?;
                if target.0.is_empty() || target.0.contains(&0) {
                    return Err(ArchiveError::Path { path, fault: "is a link to nothing" });
                }
            }
            _ => {}
        }
        Ok(Entry {
            path,
            kind,
            mode: (field(MODE, "mode")? & 0o7777) as u32,
            uid: id(extended.uid.map_or_else(|| narrow(field(UID, "owner")?, "owner"), Ok)?)?,
            gid: id(extended.gid.map_or_else(|| narrow(field(GID, "group")?, "group"), Ok)?)?,
            mtime: extended.mtime.map_or_else(
                || signed_number(&block[MTIME]).ok_or(ArchiveError::Number { at, field: "time" }),
                Ok,
            )?,
            xattrs: extended.xattrs,
        })
    }

    fn check_length(&self, path: &PathBytes) -> Result<(), ArchiveError> {
        if path.0.len() > self.path_bytes {
            let allowed = self.path_bytes as u64;
            return Err(ArchiveError::Limit { what: Limited::PathBytes, allowed });
        }
        Ok(())
    }

    /// Reads content of the current entry; 0 at its end.
    pub(super) fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let want = buffer.len().min(usize::try_from(self.content).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let got = self.some(&mut buffer[..want], "the content of a file")?;
        self.content -= got as u64;
        Ok(got)
    }

    fn skip_content(&mut self) -> Result<(), ArchiveError> {
        let mut buffer = [0; 16 << 10];
        while self.read_content(&mut buffer)? > 0 {}
        let padding = std::mem::take(&mut self.padding) as usize;
        self.exactly(&mut buffer[..padding], "padding")
    }

    /// The content of an extended header, whole: this is why it has a limit.
    fn header_content(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > self.header_bytes {
            let allowed = self.header_bytes;
            return Err(ArchiveError::Limit { what: Limited::HeaderBytes, allowed });
        }
        let mut body = vec![0; size.next_multiple_of(BLOCK as u64) as usize];
        self.exactly(&mut body, "an extended header")?;
        body.truncate(size as usize);
        Ok(body)
    }

    /// The second block of zeros, and nothing but zeros to the very end.
    fn end(&mut self, extended: &Extended) -> Result<(), ArchiveError> {
        if extended.posix || extended.gnu {
            let fault = "extends nothing: the archive ends after it";
            return Err(ArchiveError::ExtendedHeader { at: extended.at, fault });
        }
        let at = self.at;
        if self.block("the two blocks that end it")? != [0; BLOCK] {
            return Err(ArchiveError::TrailingData { at });
        }
        let mut buffer = [0; 16 << 10];
        loop {
            let at = self.at;
            match self.archive.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(got) if buffer[..got].iter().all(|&b| b == 0) => self.at += got as u64,
                Ok(_) => return Err(ArchiveError::TrailingData { at }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn block(&mut self, within: &'static str) -> Result<[u8; BLOCK], ArchiveError> {
        let mut block = [0; BLOCK];
        self.exactly(&mut block, within)?;
        Ok(block)
    }

    fn exactly(&mut self, buffer: &mut [u8], within: &'static str) -> Result<(), ArchiveError> {
        let mut done = 0;
        while done < buffer.len() {
            done += self.some(&mut buffer[done..], within)?;
        }
        Ok(())
    }

    /// Reads at least one byte.
    fn some(&mut self, buffer: &mut [u8], within: &'static str) -> Result<usize, ArchiveError> {
        loop {
            match self.archive.read(buffer) {
                Ok(0) => return Err(ArchiveError::Truncated { at: self.at, within }),
                Ok(got) => {
                    self.at += got as u64;
                    return Ok(got);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.at
    }

    pub(super) fn inner_mut(&mut self) -> &mut R {
        &mut self.archive
    }

    pub(super) fn into_inner(self) -> R {
        self.archive
    }
}

impl Extended {
    fn read_posix(&mut self, body: &[u8], at: u64) -> Result<(), ArchiveError> {
        self.posix = true;
        self.at = at;
        let mut seen: HashSet<&[u8]> = HashSet::new();
        for record in records(body, at) {
            let (key, value) = record?;
            let fault = |fault| ArchiveError::ExtendedHeader { at, fault };
            // A later record overrides an earlier one in some readers only.
            if !seen.insert(key) {
                return Err(fault("has a record twice"));
            }
            if seen.len() > MAX_RECORDS {
                return Err(fault("has too many records"));
            }
            match key {
                b"path" | b"linkpath" => {
                    if value.is_empty() || value.contains(&0) {
                        return Err(fault("has an empty path, or one with a NUL"));
                    }
                    let field = if key == b"path" { &mut self.path } else { &mut self.link };
                    *field = Some(value.to_vec());
                }
                b"size" => self.size = Some(decimal(value).ok_or(fault("has no valid size"))?),
                b"uid" | b"gid" => {
                    let id = decimal(value).ok_or(fault("has no valid owner or group"))?;
                    let field = if key == b"uid" { &mut self.uid } else { &mut self.gid };
                    *field = Some(id);
                }
                b"mtime" => self.mtime = Some(seconds(value).ok_or(fault("has no valid time"))?),
                _ if key.starts_with(b"GNU.sparse.") => {
                    return Err(fault(
                        "describes a sparse file, whose content readers disagree about",
                    ));
                }
                b"atime" | b"ctime" if !value.is_empty() => {
                    seconds(value).ok_or(fault("has no valid time"))?;
                }
                b"uname" | b"gname" if value.contains(&0) => {
                    return Err(fault("has a user or group whose name holds a NUL"));
                }
                _ if key.contains(&0) => return Err(fault("has a record whose key holds a NUL")),
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        if name.is_empty() || name.contains(&0) {
                            return Err(fault("has an extended attribute without a sound name"));
                        }
                        self.xattrs.push((name.to_vec(), value.to_vec()));
                    }
                    // The rest (atime, uname, comment, other vendors') is no part of an image.
                }
            }
        }
        Ok(())
    }
}

/// Records in one extended header. A file with a thousand attributes is no file.
const MAX_RECORDS: usize = 1024;

/// A global header may carry a comment, as `git archive` writes it. Anything else
/// would change the entries after it in some readers only.
fn check_global(body: &[u8], at: u64) -> Result<(), ArchiveError> {
    for record in records(body, at) {
        if record?.0 != b"comment" {
            let fault = "is global, which an image cannot have";
            return Err(ArchiveError::ExtendedHeader { at, fault });
        }
    }
    Ok(())
}

/// The records of an extended header: `LENGTH KEY=VALUE\n`, one after another.
fn records(body: &[u8], at: u64) -> impl Iterator<Item = Result<(&[u8], &[u8]), ArchiveError>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = record(rest);
        rest = record.map_or(&[][..], |(_, _, rest)| rest);
        Some(record.map(|(key, value, _)| (key, value)).ok_or(ArchiveError::ExtendedHeader {
            at,
            fault: "has a record whose length is a lie",
        }))
    })
}

/// Key, value, and what follows the first record of `body`.
fn record(body: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = body.iter().take(20).position(|&b| b == b' ')?;
    let length: usize = decimal(&body[..space])?;
    let (record, rest) = body.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&b| b == b'=')?;
    (equals > 0).then(|| (&record[..equals], &record[equals + 1..], rest))
}

/// Decimal digits alone.
fn decimal<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `[-]SECONDS[.FRACTION]`, the fraction cut off towards the past.
fn seconds(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let point = text.iter().position(|&b| b == b'.');
    let (whole, fraction) = text.split_at(point.unwrap_or(text.len()));
    let fraction = fraction.strip_prefix(b".").unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Wider than the result: the smallest time has no positive counterpart.
    let whole: i128 = decimal(whole)?;
    let more = i128::from(fraction.iter().any(|&b| b != b'0'));
    i64::try_from(if negative { -whole - more } else { whole }).ok()
}

/// A number of a header field: octal, or GNU's base-256 where it is not negative.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    match field[0] {
        0x80 => {
            let (high, low) = field[1..].split_at(field.len() - 1 - 8.min(field.len() - 1));
            let low = low.iter().fold(0_u64, |sum, &b| (sum << 8) | u64::from(b));
            high.iter().all(|&b| b == 0).then_some(low)
        }
        0x81..=0xff => None,
        _ => octal(field),
    }
}

/// As [`number`], with GNU's negative times.
fn signed_number(field: &[u8]) -> Option<i64> {
    if field[0] == 0xff {
        let (high, low) = field[1..].split_at(field.len() - 9);
        let low: [u8; 8] = low.try_into().ok()?;
        return high.iter().all(|&b| b == 0xff).then_some(i64::from_be_bytes(low));
    }
    number(field)?.try_into().ok()
}

/// Octal digits, blanks before them, NUL or blanks after them; all blank is 0.
fn octal(field: &[u8]) -> Option<u64> {
    let start = field.iter().position(|&b| b != b' ').unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(|&b| b == b' ' || b == 0).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if !rest.iter().all(|&b| b == b' ' || b == 0) {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, &b| match b {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

/// Every number of a header has to be one, those of no use to us too: Go's reader, which the
/// other appc tools are built on, refuses the archive for it.
fn check_numbers(block: &[u8; BLOCK], at: u64) -> Result<(), ArchiveError> {
    let unless = |sound: bool, field| sound.then_some(()).ok_or(ArchiveError::Number { at, field });
    for (range, field) in [(MODE, "mode"), (UID, "owner"), (GID, "group")] {
        unless(number(&block[range]).is_some(), field)?;
    }
    unless(signed_number(&block[MTIME]).is_some(), "time")?;
    if !block[MAGIC].starts_with(b"ustar") {
        return Ok(());
    }
    for range in [DEVICE_MAJOR, DEVICE_MINOR] {
        unless(number(&block[range]).is_some(), "device number")?;
    }
    // Where a time of GNU's is no number, Go takes both for a prefix of POSIX.
    let gnu = !block[MAGIC].starts_with(b"ustar\0");
    let sound = |range: &std::ops::Range<usize>| number(&block[range.clone()]).is_some();
    unless(!gnu || GNU_TIMES.iter().all(sound), "time of access or change")?;
    let star = block[MAGIC].starts_with(b"ustar\0") && block[STAR] == *b"tar\0";
    let times = [PREFIX.start + STAR_PREFIX..488, 488..PREFIX.end];
    unless(!star || times.iter().all(sound), "time of access or change")
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

/// Name, with the prefix where the header is POSIX's; GNU keeps other things there.
fn header_path(block: &[u8; BLOCK], at: u64) -> Result<Vec<u8>, ArchiveError> {
    let name = until_nul(&block[NAME]);
    let prefix = until_nul(&block[PREFIX]);
    if block[MAGIC].starts_with(b"ustar ") || prefix.is_empty() {
        return Ok(name.to_vec());
    }
    // Some readers take it for a part of the path whatever the header's form is.
    if !block[MAGIC].starts_with(b"ustar\0") {
        return Err(ArchiveError::Number { at, field: "prefix that a header of its form has not" });
    }
    // star keeps two times in the end of the field, which others read as a part of the path.
    if block[STAR] == *b"tar\0" && prefix.len() > STAR_PREFIX {
        return Err(ArchiveError::Number { at, field: "prefix that star and POSIX read alike" });
    }
    Ok([prefix, name].join(&b'/'))
}

/// Where GNU's headers have two times, and POSIX a prefix.
const GNU_TIMES: [std::ops::Range<usize>; 2] = [345..357, 357..369];

/// Where star signs its headers, and the bytes it leaves of the prefix.
const STAR: std::ops::Range<usize> = 508..512;
const STAR_PREFIX: usize = 131;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_takes_octal_and_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777"), Some(0o77_777_777));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x01\0\0\0\x02"), Some((1 << 32) + 2));
        for bad in
            [&b"0000648\0"[..], b"12 34567", b"-0000001", b"\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(number(bad), None, "{bad:?}");
        }
        assert_eq!(number(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(signed_number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"), Some(-2));
    }

    #[test]
    fn seconds_are_cut_towards_the_past() {
        assert_eq!(seconds(b"1.9"), Some(1));
        assert_eq!(seconds(b"-1.5"), Some(-2));
        assert_eq!(seconds(b"-1.0"), Some(-1));
        assert_eq!(seconds(b"-1"), Some(-1));
        assert_eq!(seconds(b"-9223372036854775808"), Some(i64::MIN));
        for bad in [&b""[..], b".5", b"1e3", b"--1", b"1.x", b"9223372036854775808"] {
            assert_eq!(seconds(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn record_length_must_be_true() {
        assert_eq!(record(b"8 a=bcd\nrest"), Some((&b"a"[..], &b"bcd"[..], &b"rest"[..])));
        for bad in [
            &b"9 a=bcd\n"[..],
            b"7 a=bcd\n",
            b"0 a=bcd\n",
            b"a=b\n",
            b"6 a=bcd",
            b"5 =b\n",
            b"99999999999999999999999 a=b\n",
            b"2 \n",
        ] {
            assert_eq!(record(bad), None, "{bad:?}");
        }
    }
}
