//! How an entry of an image is shown: as a line, and as JSON.

use aci::archive::{Entry, EntryKind};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// `-rwxr-xr-x 0:0 1234 2026-11-23T21:07:03Z rootfs/bin/hello`, and what a link names, and which
/// extended attributes there are.
pub(super) fn line(entry: &Entry) -> String {
    let amount = match &entry.kind {
        EntryKind::File { size } => size.to_string(),
        EntryKind::Character { device } | EntryKind::Block { device } => {
            format!("{},{}", device.0, device.1)
        }
        _ => "0".to_owned(),
    };
    let mut line = format!(
        "{} {}:{} {amount:>10} {} {}",
        mode(entry),
        entry.uid,
        entry.gid,
        time(entry.mtime),
        entry.path
    );
    match &entry.kind {
        EntryKind::Symlink { target } => line.push_str(&format!(" -> {target}")),
        EntryKind::HardLink { target } => line.push_str(&format!(" link to {target}")),
        _ => {}
    }
    if !entry.xattrs.is_empty() {
        let names: Vec<String> =
            entry.xattrs.iter().map(|(name, _)| String::from_utf8_lossy(name).into()).collect();
        line.push_str(&format!(" [{}]", names.join(", ")));
    }
    discovery::printable_line(&line)
}

/// The path and all fields, extended attributes in an object of their own.
pub(super) fn json(entry: &Entry) -> Value {
    let mut value = Map::new();
    let mut attributes = Map::new();
    value.insert("path".to_owned(), entry.path.to_string().into());
    for (field, content) in entry.fields() {
        match field.strip_prefix("xattr:") {
            Some(name) => attributes.insert(name.to_owned(), content),
            None => value.insert(field, content),
        };
    }
    if !attributes.is_empty() {
        value.insert("xattrs".to_owned(), attributes.into());
    }
    value.into()
}

/// Seconds since 1970 as a date, where there is one.
fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| format!("@{seconds}"), |time| time.to_string())
}

/// As ls writes it, but for hard links, which are `h` here.
fn mode(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryKind::File { .. } => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink { .. } => 'l',
        EntryKind::HardLink { .. } => 'h',
        EntryKind::Character { .. } => 'c',
        EntryKind::Block { .. } => 'b',
        EntryKind::Fifo => 'p',
    };
    let mut text = String::from(kind);
    for (shift, special, set, clear) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = entry.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, entry.mode & special != 0) {
            (true, true) => set,
            (false, true) => clear,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_shows_modes_as_ls_does() {
        let mut entry = Entry {
            path: "rootfs/a\nb".into(),
            kind: EntryKind::Directory,
            mode: 0o755,
            uid: 1,
            gid: 2,
            mtime: 0,
            xattrs: vec![(b"user.a".to_vec(), b"1".to_vec())],
        };
        assert_eq!(
            line(&entry),
            "drwxr-xr-x 1:2          0 1970-01-01T00:00:00Z rootfs/a\\nb [user.a]"
        );
        for (bits, text) in [
            (0o4755, "rwsr-xr-x"),
            (0o2640, "rw-r-S---"),
            (0o1777, "rwxrwxrwt"),
            (0o1776, "rwxrwxrwT"),
        ] {
            entry.mode = bits;
            assert_eq!(mode(&entry), format!("d{text}"));
        }
        entry.mtime = i64::MIN;
        assert!(line(&entry).contains("@-9223372036854775808"));
    }
}
