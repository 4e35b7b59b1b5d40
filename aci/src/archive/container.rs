//! A plain tar of regular files, for what holds images and is none: read by the strict reader,
//! written by the canonical encoder, one file after another and never as a whole.

use std::io::{self, Read, Write};

use super::ArchiveError;
use super::entry::{Entry, EntryKind};
use super::header::{BLOCK, encode};
use super::read::TarReader;
use crate::limits::Limits;

/// Writes files into a tar. Each is announced with its size, then written.
#[derive(Debug)]
pub struct ContainerWriter<W> {
    out: W,
    /// Content of the current file still to come, and the padding after it.
    left: u64,
    padding: usize,
    number: u64,
}

impl<W: Write> ContainerWriter<W> {
    /// A container written to `out`.
    pub fn new(out: W) -> Self {
        Self { out, left: 0, padding: 0, number: 0 }
    }

    /// Begins a file of `size` bytes, which the next writes are. The file before it must be whole.
    pub fn begin(&mut self, path: &str, size: u64) -> io::Result<()> {
        self.end()?;
        let entry = Entry {
            path: path.into(),
            kind: EntryKind::File { size },
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: Vec::new(),
        };
        let mut header = Vec::new();
        encode(&entry, self.number, &mut header);
        self.number += 1;
        self.left = size;
        self.padding = (size.next_multiple_of(BLOCK as u64) - size) as usize;
        self.out.write_all(&header)
    }

    /// Ends the container, and gives back what it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.end()?;
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }

    fn end(&mut self) -> io::Result<()> {
        if self.left > 0 {
            return Err(io::Error::other("a file of the container is shorter than was announced"));
        }
        let padding = std::mem::take(&mut self.padding);
        self.out.write_all(&[0; BLOCK][..padding])
    }
}

impl<W: Write> Write for ContainerWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::other("a file of the container is longer than was announced"));
        }
        let written = self.out.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Reads the files of a tar, one after another; each is this reader's content until the next.
pub struct ContainerReader<R>(TarReader<R>);

impl<R: Read> ContainerReader<R> {
    /// A container read from `file`.
    pub fn new(file: R, limits: &Limits) -> Self {
        Self(TarReader::new(file, limits))
    }

    /// The next file's path and size; `None` at the end. What was not read of the file before
    /// is skipped.
    ///
    /// # Errors
    /// What the strict reader refuses, and an entry that is no regular file.
    pub fn next_file(&mut self) -> Result<Option<(String, u64)>, ArchiveError> {
        let Some(entry) = self.0.next()? else { return Ok(None) };
        let path = String::from_utf8(entry.path.0.clone()).ok();
        match (entry.kind, path) {
            (EntryKind::File { size }, Some(path)) => Ok(Some((path, size))),
            _ => Err(ArchiveError::Io(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is no regular file with a name in UTF-8", entry.path),
            ))),
        }
    }
}

impl<R: Read> Read for ContainerReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_content(buffer).map_err(|error| match error {
            ArchiveError::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ContainerWriter::new(Vec::new());
        for (path, content) in files {
            writer.begin(path, content.len() as u64).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn container_gives_back_what_was_written() {
        let long = "a/".repeat(150) + "file";
        let files: &[(&str, &[u8])] =
            &[("index", b"{}"), ("empty", b""), (&long, &[7; 1000]), ("block", &[1; 512])];
        let bytes = written(files);
        let mut reader = ContainerReader::new(&bytes[..], &Limits::default());
        for (path, content) in files {
            let (found, size) = reader.next_file().unwrap().unwrap();
            assert_eq!((found.as_str(), size), (*path, content.len() as u64));
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(&read, content);
        }
        assert!(reader.next_file().unwrap().is_none());
    }

    #[test]
    fn container_skips_what_was_not_read() {
        let bytes = written(&[("a", &[1; 5000]), ("b", b"x")]);
        let mut reader = ContainerReader::new(&bytes[..], &Limits::default());
        reader.next_file().unwrap();
        assert_eq!(reader.next_file().unwrap().unwrap().0, "b");
    }

    #[test]
    fn container_holds_to_what_was_announced() {
        let mut writer = ContainerWriter::new(Vec::new());
        writer.begin("a", 2).unwrap();
        assert!(writer.write_all(b"abc").is_err());
        writer.write_all(b"a").unwrap();
        assert!(writer.begin("b", 0).is_err());
        assert!(writer.finish().is_err());
    }

    #[test]
    fn container_that_is_cut_off_is_refused() {
        let bytes = written(&[("a", &[1; 5000])]);
        for end in [100, 600, 5000, bytes.len() - 512] {
            let mut reader = ContainerReader::new(&bytes[..end], &Limits::default());
            let mut all = || -> Result<(), ArchiveError> {
                while reader.next_file()?.is_some() {
                    io::copy(&mut reader, &mut io::sink())?;
                }
                Ok(())
            };
            assert!(all().is_err(), "{end}");
        }
    }

    #[test]
    fn container_takes_regular_files_only() {
        let mut header = Vec::new();
        let kind = EntryKind::Symlink { target: "/etc/passwd".into() };
        let entry = Entry {
            path: "a".into(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            xattrs: Vec::new(),
        };
        encode(&entry, 0, &mut header);
        assert!(ContainerReader::new(&header[..], &Limits::default()).next_file().is_err());
    }
}
