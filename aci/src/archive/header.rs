//! The 512-byte header of a tar entry, and the records of PAX extended headers
//! (POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block").

use super::entry::{Entry, EntryKind};

pub(super) const BLOCK: usize = 512;
/// The largest number eleven octal digits hold: sizes and times.
pub(super) const MAX_OCTAL_11: u64 = 0o77_777_777_777;
/// The largest number seven octal digits hold: owners and device numbers.
const MAX_OCTAL_7: u64 = 0o7_777_777;

pub(super) const NAME: std::ops::Range<usize> = 0..100;
pub(super) const MODE: std::ops::Range<usize> = 100..108;
pub(super) const UID: std::ops::Range<usize> = 108..116;
pub(super) const GID: std::ops::Range<usize> = 116..124;
pub(super) const SIZE: std::ops::Range<usize> = 124..136;
pub(super) const MTIME: std::ops::Range<usize> = 136..148;
pub(super) const CHECKSUM: std::ops::Range<usize> = 148..156;
pub(super) const TYPE: usize = 156;
pub(super) const LINK: std::ops::Range<usize> = 157..257;
pub(super) const MAGIC: std::ops::Range<usize> = 257..265;
pub(super) const DEVICE_MAJOR: std::ops::Range<usize> = 329..337;
pub(super) const DEVICE_MINOR: std::ops::Range<usize> = 337..345;
pub(super) const PREFIX: std::ops::Range<usize> = 345..500;

/// The sum of all bytes, the checksum field itself taken as blanks.
pub(super) fn checksum(block: &[u8; BLOCK]) -> u64 {
    let all: u64 = block.iter().map(|&b| u64::from(b)).sum();
    let own: u64 = block[CHECKSUM].iter().map(|&b| u64::from(b)).sum();
    all - own + 8 * u64::from(b' ')
}

/// Appends the header of `entry` to `out`: an extended header where a field does
/// not fit, then the header itself. `number` counts entries and names the
/// extended header, so that no process or host leaks into it.
pub(super) fn encode(entry: &Entry, number: u64, out: &mut Vec<u8>) {
    let mut block = [0; BLOCK];
    let mut records = Records::default();

    match split_path(&entry.path.0) {
        Some((prefix, name)) => {
            put(&mut block, NAME, name);
            put(&mut block, PREFIX, prefix);
        }
        None => {
            records.text("path", &entry.path.0);
            put(&mut block, NAME, &ascii_only(&entry.path.0));
        }
    }
    octal(&mut block, MODE, u64::from(entry.mode & 0o7777));
    for (field, key, value) in [(UID, "uid", entry.uid), (GID, "gid", entry.gid)] {
        if u64::from(value) > MAX_OCTAL_7 {
            records.number(key, i128::from(value));
        }
        octal(&mut block, field, u64::from(value).min(MAX_OCTAL_7));
    }
    match u64::try_from(entry.mtime) {
        Ok(seconds) if seconds <= MAX_OCTAL_11 => octal(&mut block, MTIME, seconds),
        _ => {
            records.number("mtime", i128::from(entry.mtime));
            octal(&mut block, MTIME, 0);
        }
    }
    let mut size = 0;
    match &entry.kind {
        EntryKind::File { size: bytes } => {
            block[TYPE] = b'0';
            size = *bytes;
        }
        EntryKind::Directory => block[TYPE] = b'5',
        EntryKind::Symlink { target } | EntryKind::HardLink { target } => {
            let hard = matches!(entry.kind, EntryKind::HardLink { .. });
            block[TYPE] = if hard { b'1' } else { b'2' };
            if target.0.len() <= LINK.len() && target.0.is_ascii() {
                put(&mut block, LINK, &target.0);
            } else {
                records.text("linkpath", &target.0);
                put(&mut block, LINK, &ascii_only(&target.0));
            }
        }
        EntryKind::Character { device } | EntryKind::Block { device } => {
            let character = matches!(entry.kind, EntryKind::Character { .. });
            block[TYPE] = if character { b'3' } else { b'4' };
            octal(&mut block, DEVICE_MAJOR, u64::from(device.0));
            octal(&mut block, DEVICE_MINOR, u64::from(device.1));
        }
        EntryKind::Fifo => block[TYPE] = b'6',
    }
    if size > MAX_OCTAL_11 {
        records.number("size", i128::from(size));
        octal(&mut block, SIZE, 0);
    } else {
        octal(&mut block, SIZE, size);
    }
    for (name, value) in &entry.xattrs {
        records.bytes([b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }

    if !records.0.is_empty() {
        let body = records.encode();
        let mut extended = [0; BLOCK];
        put(&mut extended, NAME, format!("PaxHeaders.0/{number}").as_bytes());
        octal(&mut extended, MODE, 0o644);
        octal(&mut extended, UID, 0);
        octal(&mut extended, GID, 0);
        octal(&mut extended, SIZE, body.len() as u64);
        octal(&mut extended, MTIME, 0);
        extended[TYPE] = b'x';
        finish(extended, out);
        out.extend_from_slice(&body);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    finish(block, out);
}

fn finish(mut block: [u8; BLOCK], out: &mut Vec<u8>) {
    put(&mut block, MAGIC, b"ustar\x0000");
    let sum = format!("{:06o}\0 ", checksum(&block));
    put(&mut block, CHECKSUM, sum.as_bytes());
    out.extend_from_slice(&block);
}

/// Prefix and name, where the path fits the two fields of a ustar header: the
/// leftmost slash that leaves a name of at most 100 bytes.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if !path.is_ascii() {
        return None;
    }
    if path.len() <= NAME.len() {
        return Some((b"", path));
    }
    let from = path.len() - NAME.len() - 1;
    let slash = from + path[from..].iter().position(|&b| b == b'/')?;
    (slash <= PREFIX.len() && slash + 1 < path.len()).then(|| (&path[..slash], &path[slash + 1..]))
}

/// What readers without extended headers see of a path that does not fit.
fn ascii_only(path: &[u8]) -> Vec<u8> {
    path.iter().copied().filter(u8::is_ascii).take(NAME.len()).collect()
}

fn put(block: &mut [u8; BLOCK], field: std::ops::Range<usize>, bytes: &[u8]) {
    block[field.start..field.start + bytes.len()].copy_from_slice(bytes);
}

/// Octal digits that fill the field but for the NUL at its end.
fn octal(block: &mut [u8; BLOCK], field: std::ops::Range<usize>, value: u64) {
    let digits = format!("{value:0width$o}", width = field.len() - 1);
    put(block, field, digits.as_bytes());
}

/// The records of one extended header.
#[derive(Default)]
struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    fn number(&mut self, key: &str, value: i128) {
        self.bytes(key.into(), value.to_string().as_bytes());
    }

    /// A path: bytes that are not UTF-8 need the word that says so, once.
    fn text(&mut self, key: &str, value: &[u8]) {
        let charset = b"hdrcharset".to_vec();
        if std::str::from_utf8(value).is_err() && !self.0.iter().any(|(key, _)| *key == charset) {
            self.bytes(charset, b"BINARY");
        }
        self.bytes(key.into(), value);
    }

    fn bytes(&mut self, key: Vec<u8>, value: &[u8]) {
        self.0.push((key, value.to_vec()));
    }

    /// `LENGTH KEY=VALUE\n` for each record in the order of keys; the length counts itself.
    fn encode(mut self) -> Vec<u8> {
        self.0.sort();
        let mut out = Vec::new();
        for (key, value) in self.0 {
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while rest + length.to_string().len() != length {
                length = rest + length.to_string().len();
            }
            out.extend_from_slice(format!("{length} ").as_bytes());
            out.extend_from_slice(&key);
            out.push(b'=');
            out.extend_from_slice(&value);
            out.push(b'\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_length_counts_itself() {
        for size in [1, 90, 91, 92, 93, 94, 95, 985, 986, 987, 988, 989, 990] {
            let mut records = Records::default();
            records.bytes(b"k".to_vec(), &vec![b'v'; size]);
            let encoded = records.encode();
            let digits: Vec<u8> =
                encoded.iter().copied().take_while(|b| b.is_ascii_digit()).collect();
            let length: usize = String::from_utf8(digits).unwrap().parse().unwrap();
            assert_eq!(length, encoded.len(), "value of {size} bytes");
        }
    }

    #[test]
    fn path_split_fits_both_fields() {
        let long = format!("{}/{}", "a".repeat(120), "b".repeat(100));
        assert_eq!(split_path(long.as_bytes()).map(|(p, n)| (p.len(), n.len())), Some((120, 100)));
        let longer = format!("{}/{}", "a".repeat(156), "b".repeat(100));
        assert_eq!(split_path(longer.as_bytes()), None);
        assert_eq!(split_path("a".repeat(101).as_bytes()), None);
        assert_eq!(split_path("é".as_bytes()), None);
        assert_eq!(split_path(b"a/b"), Some((&b""[..], &b"a/b"[..])));
    }
}
