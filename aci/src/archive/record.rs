//! `left-out.jsonl`: what an unprivileged unpacking could not give the files.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use serde_json::{Map, Value, json};

use super::entry::{Entry, EntryKind, PathBytes};
use crate::digest::hex;

/// The name of the file, beside `manifest`.
const NAME: &str = "left-out.jsonl";

pub(super) struct Record {
    file: BufWriter<File>,
}

impl Record {
    pub(super) fn new(folder: &OwnedFd) -> io::Result<Self> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(folder, NAME, flags, Mode::from_raw_mode(0o644))?;
        Ok(Self { file: BufWriter::new(File::from(file)) })
    }

    /// Writes down an entry as the image has it, with the attributes that were left out.
    pub(super) fn note(&mut self, entry: &Entry, xattrs: &[&(Vec<u8>, Vec<u8>)]) -> io::Result<()> {
        let mut line = Map::new();
        let (kind, special) = match &entry.kind {
            EntryKind::File { .. } => ("file", None),
            EntryKind::Directory => ("directory", None),
            EntryKind::Symlink { .. } => ("symlink", None),
            EntryKind::HardLink { target } => {
                ("hardlink", Some(("target", json!(target.to_string()))))
            }
            EntryKind::Character { device } => ("character", Some(("device", json!(device)))),
            EntryKind::Block { device } => ("block", Some(("device", json!(device)))),
            EntryKind::Fifo => ("fifo", None),
        };
        line.insert("path".to_owned(), json!(entry.path.to_string()));
        line.insert("type".to_owned(), json!(kind));
        line.insert("mode".to_owned(), json!(format!("{:04o}", entry.mode)));
        line.insert("uid".to_owned(), json!(entry.uid));
        line.insert("gid".to_owned(), json!(entry.gid));
        if let Some((key, value)) = special {
            line.insert(key.to_owned(), value);
        }
        if !xattrs.is_empty() {
            let values = xattrs.iter().map(|(name, value)| {
                (PathBytes(name.clone()).to_string(), Value::from(hex(value)))
            });
            line.insert("xattrs".to_owned(), values.collect::<Map<_, _>>().into());
        }
        serde_json::to_writer(&mut self.file, &line)?;
        self.file.write_all(b"\n")
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.file.flush()
    }
}
