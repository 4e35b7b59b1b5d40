//! What is known of an entry, field by field: for lists, for JSON, and for telling two apart.

use serde_json::{Value, json};

use super::entry::{Entry, EntryKind, PathBytes};
use crate::digest::hex;

impl Entry {
    /// The fields besides the path, each with a value fit for JSON: `type`, `mode` (octal),
    /// `uid`, `gid`, `mtime` (seconds since 1970), then whichever of `size` (bytes), `target`
    /// and `device` (major and minor number) there is, and `xattr:NAME` for each extended
    /// attribute, in hexadecimal.
    pub fn fields(&self) -> Vec<(String, Value)> {
        let mut fields = vec![
            ("type".to_owned(), Value::from(self.kind.word())),
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
                ("device", json!(device))
            }
            EntryKind::Directory | EntryKind::Fifo => ("", Value::Null),
        };
        if !name.is_empty() {
            fields.push((name.to_owned(), value));
        }
        let attributes = self.xattrs.iter().map(|(name, value)| {
            (format!("xattr:{}", PathBytes::from(name.as_slice())), hex(value).into())
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
