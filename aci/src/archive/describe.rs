//! What is known of an entry, field by field: for lists, for JSON, and for telling two apart.

use serde_json::Value;

use super::entry::{Entry, EntryKind, PathBytes};

/// Bytes of an extended attribute that are shown; of a longer one its beginning and its length.
const SHOWN: usize = 256;

impl Entry {
    /// The fields besides the path, each with a value fit for JSON: `kind`, `mode` (octal),
    /// `uid`, `gid`, `mtime` (seconds since 1970), then whichever of `size` (bytes), `target`
    /// and `device` (`MAJOR:MINOR`) there is, and `xattr:NAME` for each extended attribute.
    pub fn fields(&self) -> Vec<(String, Value)> {
        let mut fields = vec![
            ("kind".to_owned(), Value::from(self.kind.word())),
            ("mode".to_owned(), format!("{:04o}", self.mode).into()),
            ("uid".to_owned(), self.uid.into()),
            ("gid".to_owned(), self.gid.into()),
            ("mtime".to_owned(), self.mtime.into()),
        ];
        let (name, value) = match &self.kind {
            EntryKind::File { size } => ("size", Value::from(*size)),
            EntryKind::Symlink { target } | EntryKind::HardLink { target } => {
                ("target", target.to_string().into())
            }
            EntryKind::Character { device } | EntryKind::Block { device } => {
                ("device", format!("{}:{}", device.0, device.1).into())
            }
            EntryKind::Directory | EntryKind::Fifo => ("", Value::Null),
        };
        if !name.is_empty() {
            fields.push((name.to_owned(), value));
        }
        let attributes = self.xattrs.iter().map(|(name, value)| {
            (format!("xattr:{}", PathBytes::from(name.as_slice())), shown(value).into())
        });
        fields.extend(attributes);
        fields
    }
}

impl EntryKind {
    /// The kind in one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Directory => "directory",
            Self::Symlink { .. } => "symlink",
            Self::HardLink { .. } => "hardlink",
            Self::Character { .. } => "character",
            Self::Block { .. } => "block",
            Self::Fifo => "fifo",
        }
    }
}

fn shown(value: &[u8]) -> String {
    match value.split_at_checked(SHOWN) {
        Some((start, rest)) if !rest.is_empty() => {
            format!("{}… ({} bytes)", PathBytes::from(start), value.len())
        }
        _ => PathBytes::from(value).to_string(),
    }
}
