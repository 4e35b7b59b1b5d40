//! The lines of a dump: as they are written, and as they are read back.

use std::io::{self, BufRead, Read as _, Write};
use std::path::{Component, Path};

use aci::{FileDigest, Sha512};
use serde::{Deserialize, Serialize};

use super::{DumpError, Table};
use crate::token::hex;

/// What is written. The first one had no keys, and no digest at the end.
pub(super) const FORMAT: u32 = 2;
/// Longest line, with its end: a row holds a manifest, twice as long in hex digits.
const LINE_BYTES: u64 = 256 << 20;
/// How the last line begins, after its mark.
const END: &str = "{\"rows\"";
/// How a line with a key begins, after its mark.
const KEY: &str = "{\"key\"";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Head {
    gantry_catalogue: u32,
    schema: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableHead {
    table: String,
    columns: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    rows: u64,
    #[serde(default)]
    digest: Option<FileDigest>,
}

/// A file of the trusted keys: its path in their folder, and what is in it.
///
/// - The path leads down from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(crate) struct KeyFile {
    path: String,
    bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    key: String,
    bytes: String,
}

/// A file that is none of the trusted keys.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no file with a key")]
pub(crate) struct KeyFileError(String);

impl KeyFile {
    pub(crate) fn new(path: String, bytes: Vec<u8>) -> Result<Self, KeyFileError> {
        let mut parts = Path::new(&path).components();
        // A backup may come from anywhere: `..` in it would write beside the keys.
        if path.is_empty() || !parts.all(|part| matches!(part, Component::Normal(_))) {
            return Err(KeyFileError(path));
        }
        Ok(Self { path, bytes })
    }

    pub(crate) fn path(&self) -> &Path {
        Path::new(&self.path)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl TryFrom<Written> for KeyFile {
    type Error = KeyFileError;

    fn try_from(Written { key, bytes }: Written) -> Result<Self, KeyFileError> {
        match bytes.strip_prefix("\\x").and_then(unhex) {
            Some(bytes) => Self::new(key, bytes),
            None => Err(KeyFileError(key)),
        }
    }
}

impl From<KeyFile> for Written {
    fn from(file: KeyFile) -> Self {
        Self { bytes: format!("\\x{}", hex(&file.bytes)), key: file.path }
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(byte).collect()
}

/// Lines that are being written, and what they come to.
pub(crate) struct Dump<W> {
    sink: W,
    hash: Sha512,
    rows: u64,
}

impl<W: Write> Dump<W> {
    pub(crate) fn new(sink: W) -> Self {
        Self { sink, hash: Sha512::new(), rows: 0 }
    }

    pub(super) fn head(&mut self, schema: i64) -> io::Result<()> {
        self.mark(&Head { gantry_catalogue: FORMAT, schema })
    }

    pub(super) fn table(&mut self, table: &Table) -> io::Result<()> {
        let columns = table.columns.iter().map(|(name, _)| name.clone()).collect();
        self.mark(&TableHead { table: table.name.clone(), columns })
    }

    pub(super) fn row(&mut self, row: &str) -> io::Result<()> {
        self.rows += 1;
        self.line(row.as_bytes())
    }

    /// A file of the trusted keys, after all rows.
    pub(crate) fn key(&mut self, file: &KeyFile) -> io::Result<()> {
        self.mark(file)
    }

    /// The last line. What was written to is given back.
    pub(crate) fn end(mut self) -> io::Result<W> {
        let hash = std::mem::replace(&mut self.hash, Sha512::new());
        let digest = Some(FileDigest::of(hash.finish()));
        self.mark(&End { rows: self.rows, digest })?;
        Ok(self.sink)
    }

    /// A line that is no row.
    fn mark(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = b"#".to_vec();
        serde_json::to_writer(&mut line, value)?;
        self.line(&line)
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        // Nobody could restore what ends in the middle of a line.
        if line.len() as u64 >= LINE_BYTES {
            let found = line.len();
            let text = format!("a line has {found} bytes, where fewer than {LINE_BYTES} are read");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        for piece in [line, b"\n"] {
            self.hash.update(piece);
            self.sink.write_all(piece)?;
        }
        Ok(())
    }
}

/// A line that was read.
pub(super) enum Line {
    Table(TableHead),
    Row(String),
    Key(KeyFile),
    /// The last one, with which all before it are in order.
    End,
}

pub(super) struct Lines<'a, R> {
    lines: &'a mut R,
    at: u64,
    format: u32,
    rows: u64,
    /// Of the lines so far.
    hash: Sha512,
}

impl<'a, R: BufRead> Lines<'a, R> {
    pub(super) fn new(lines: &'a mut R) -> Self {
        Self { lines, at: 0, format: 0, rows: 0, hash: Sha512::new() }
    }

    fn text(&mut self) -> Result<String, DumpError> {
        let mut text = Vec::new();
        self.at += 1;
        self.lines.by_ref().take(LINE_BYTES).read_until(b'\n', &mut text)?;
        if !text.ends_with(b"\n") {
            return Err(DumpError::CutOff);
        }
        let last = text.strip_prefix(b"#").is_some_and(|mark| mark.starts_with(END.as_bytes()));
        if !last {
            self.hash.update(&text);
        }
        String::from_utf8(text).map_err(|error| self.malformed(error.to_string()))
    }

    /// The version of the tables.
    pub(super) fn head(&mut self) -> Result<i64, DumpError> {
        let text = self.text()?;
        let head: Head = self.read(text.strip_prefix('#').unwrap_or_default())?;
        self.format = head.gantry_catalogue;
        match self.format {
            1..=FORMAT => Ok(head.schema),
            newer => Err(DumpError::NewerFormat(newer)),
        }
    }

    pub(super) fn next(&mut self) -> Result<Line, DumpError> {
        let text = self.text()?;
        match text.strip_prefix('#') {
            None => {
                self.rows += 1;
                Ok(Line::Row(text))
            }
            Some(mark) if mark.starts_with(END) => {
                let end = self.read(mark)?;
                self.end(end).map(|()| Line::End)
            }
            Some(mark) if mark.starts_with(KEY) => Ok(Line::Key(self.read(mark)?)),
            Some(mark) => Ok(Line::Table(self.read(mark)?)),
        }
    }

    /// Whether what was read is what the last line says.
    fn end(&mut self, end: End) -> Result<(), DumpError> {
        let hash = std::mem::replace(&mut self.hash, Sha512::new());
        let read = FileDigest::of(hash.finish());
        match end.digest {
            None if self.format > 1 => return Err(DumpError::Altered),
            Some(digest) if digest != read => return Err(DumpError::Altered),
            _ => {}
        }
        if self.format > 1 && !self.lines.fill_buf()?.is_empty() {
            self.at += 1;
            return Err(self.malformed("it stands behind the last one".to_owned()));
        }
        if end.rows == self.rows { Ok(()) } else { Err(DumpError::CutOff) }
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, text: &str) -> Result<T, DumpError> {
        serde_json::from_str(text).map_err(|error| self.malformed(error.to_string()))
    }

    fn malformed(&self, found: String) -> DumpError {
        DumpError::Malformed { line: self.at, found }
    }

    /// The table of the database that is meant, with the columns of which there are rows.
    pub(super) fn fitting(&self, tables: &[Table], head: TableHead) -> Result<Table, DumpError> {
        let unknown = |what: &str| self.malformed(format!("nothing here is called {what:?}"));
        let table = tables.iter().find(|table| table.name == head.table);
        let table = table.ok_or_else(|| unknown(&head.table))?;
        let column = |name: &String| {
            let column = table.columns.iter().find(|(column, _)| column == name);
            column.cloned().ok_or_else(|| unknown(name))
        };
        let columns = head.columns.iter().map(column).collect::<Result<_, _>>()?;
        Ok(Table { name: head.table, columns })
    }
}

/// Whether this begins as a catalogue that was written down, also by a newer program.
pub(crate) fn is_dump(lines: &mut impl BufRead) -> bool {
    matches!(Lines::new(lines).head(), Ok(_) | Err(DumpError::NewerFormat(_)))
}

/// What a catalogue that was written down is known by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Glance {
    /// How many images it has.
    pub(crate) images: u64,
    /// The last record of its audit log: its number and its hash. None before the first.
    pub(crate) last: Option<AuditHead>,
    /// The trusted keys, unless they are beside it, as in the first format.
    pub(crate) keys: Option<Vec<KeyFile>>,
}

/// The last record of an audit log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct AuditHead {
    pub(crate) sequence: i64,
    pub(crate) hash: String,
}

impl Glance {
    /// Looks through the lines, and compares them with their digest, where they have one.
    pub(crate) fn at(lines: &mut impl BufRead) -> Result<Self, DumpError> {
        let mut lines = Lines::new(lines);
        let (mut seen, mut table) = (Self::default(), String::new());
        lines.head()?;
        seen.keys = (lines.format > 1).then(Vec::new);
        loop {
            match (lines.next()?, &*table) {
                (Line::Table(head), _) => table = head.table,
                (Line::Row(_), "images") => seen.images += 1,
                (Line::Row(row), "audit_head") => {
                    let head: AuditHead = lines.read(&row)?;
                    seen.last = Some(head).filter(|head| head.sequence > 0);
                }
                (Line::Row(_), _) => {}
                (Line::Key(file), _) => seen.keys.get_or_insert_default().push(file),
                (Line::End, _) => return Ok(seen),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Vec<u8> {
        let mut dump = Dump::new(Vec::new());
        dump.head(7).unwrap();
        let table =
            |name: &str| Table { name: name.to_owned(), columns: vec![("a".to_owned(), false)] };
        dump.table(&table("images")).unwrap();
        dump.row("{\"a\":1}").unwrap();
        dump.table(&table("policies")).unwrap();
        dump.row("{\"a\":\"read=token\"}").unwrap();
        let key = KeyFile::new("prefix.d/example.com/ab".to_owned(), vec![0, 0x9f, 255]).unwrap();
        dump.key(&key).unwrap();
        dump.end().unwrap()
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        let glance = Glance::at(&mut &*written()).unwrap();
        assert_eq!((glance.images, &glance.last), (1, &None));
        let keys = glance.keys.as_deref().unwrap();
        assert_eq!(keys[0].path(), Path::new("prefix.d/example.com/ab"));
        assert_eq!(keys[0].bytes(), [0, 0x9f, 255]);
        assert!(is_dump(&mut &*written()) && !is_dump(&mut &b"a list of books\n"[..]));
    }

    #[test]
    fn every_bit_counts_and_every_byte() {
        let whole = written();
        for at in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[at / 8] ^= 1 << (at % 8);
            Glance::at(&mut &*changed).unwrap_err();
        }
        for length in 0..whole.len() {
            Glance::at(&mut &whole[..length]).unwrap_err();
        }
        let more = [&*whole, b"#"].concat();
        Glance::at(&mut &*more).unwrap_err();
    }

    #[test]
    fn line_that_nobody_would_read_is_not_written() {
        let mut dump = Dump::new(Vec::new());
        let line = vec![0; LINE_BYTES as usize];
        let refused = dump.line(&line).unwrap_err();
        assert!(refused.to_string().contains("268435456 bytes"), "{refused}");
        assert!(dump.sink.is_empty());
    }

    #[test]
    fn newer_format_is_named() {
        let newer = "#{\"gantryCatalogue\":3,\"schema\":7}\n";
        let error = Glance::at(&mut newer.as_bytes()).unwrap_err().to_string();
        assert!(error.ends_with("its format is 3, and this program reads 2 at most"), "{error}");
        assert!(is_dump(&mut newer.as_bytes()));
    }

    #[test]
    fn first_format_has_neither_digest_nor_keys() {
        let first = "#{\"gantryCatalogue\":1,\"schema\":7}\n#{\"rows\":0}\n";
        assert_eq!(Glance::at(&mut first.as_bytes()).unwrap().keys, None);
        let second = first.replace(":1,", ":2,");
        Glance::at(&mut second.as_bytes()).unwrap_err();
    }

    #[test]
    fn key_lies_where_keys_lie() {
        for bad in ["", "/etc/passwd", "../a", "a/../../b", "."] {
            KeyFile::new(bad.to_owned(), Vec::new()).unwrap_err();
        }
        for bytes in ["9f", "\\x9", "\\x9g", "\\x+9"] {
            let line = format!("{{\"key\":\"a\",\"bytes\":{bytes:?}}}");
            serde_json::from_str::<KeyFile>(&line).unwrap_err();
        }
    }
}
