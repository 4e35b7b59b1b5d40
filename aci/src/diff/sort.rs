//! Sorting more records than fit in memory.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::record::{Record, order, path};
use crate::stage::StagedFile;

/// Bytes of records in memory before they are sorted and put aside.
pub(super) const IN_MEMORY: usize = 8 << 20;
/// Bytes that are read at once of each run that was put aside.
const READ_AHEAD: usize = 32 << 10;

/// Takes records in any order.
pub(super) struct Sorter {
    folder: PathBuf,
    in_memory: usize,
    records: Run,
    /// Runs in the file, each from here to there.
    put_aside: Vec<(u64, u64)>,
    file: Option<StagedFile>,
    at: u64,
}

/// Records in memory.
#[derive(Default)]
struct Run {
    bytes: Vec<u8>,
    /// Where each record begins and ends.
    spans: Vec<(u32, u32)>,
}

impl Sorter {
    pub(super) fn new(folder: &Path) -> Self {
        Self::holding(folder, IN_MEMORY)
    }

    pub(super) fn holding(folder: &Path, in_memory: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            in_memory,
            records: Run::default(),
            put_aside: Vec::new(),
            file: None,
            at: 0,
        }
    }

    pub(super) fn push(&mut self, record: &Record) -> io::Result<()> {
        let start = self.records.bytes.len();
        record.encode(&mut self.records.bytes);
        let end = self.records.bytes.len();
        // An entry is read within limits of a few megabytes.
        let span = |at: usize| u32::try_from(at).map_err(io::Error::other);
        self.records.spans.push((span(start)?, span(end)?));
        if end < self.in_memory { Ok(()) } else { self.put_aside() }
    }

    fn put_aside(&mut self) -> io::Result<()> {
        self.records.sort();
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(StagedFile::new_in(&self.folder, 0o600)?),
        };
        let start = self.at;
        let mut out = io::BufWriter::new(file);
        for &(from, to) in &self.records.spans {
            let record = &self.records.bytes[from as usize..to as usize];
            out.write_all(&(to - from).to_le_bytes())?;
            out.write_all(record)?;
            self.at += 4 + record.len() as u64;
        }
        out.flush()?;
        self.put_aside.push((start, self.at));
        self.records.bytes.clear();
        self.records.spans.clear();
        Ok(())
    }

    /// All records in the order of their paths.
    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        self.records.sort();
        let runs = self.put_aside.iter().map(|&(at, end)| Ahead { at, end, ..Ahead::default() });
        let mut sorted = Sorted {
            memory: self.records,
            next_in_memory: 0,
            runs: runs.collect(),
            file: self.file,
            heads: BinaryHeap::new(),
        };
        for run in 0..=sorted.runs.len() {
            sorted.advance(run)?;
        }
        Ok(sorted)
    }
}

impl Run {
    fn sort(&mut self) {
        let Self { bytes, spans } = self;
        let path = |&(from, to): &(u32, u32)| path(&bytes[from as usize..to as usize]);
        spans.sort_unstable_by(|a, b| order(path(a), path(b)));
    }
}

/// Records in the order of their paths.
pub(super) struct Sorted {
    memory: Run,
    next_in_memory: usize,
    runs: Vec<Ahead>,
    file: Option<StagedFile>,
    /// The first record of each run, the least of them on top.
    heads: BinaryHeap<Reverse<Head>>,
}

/// What is still to come of a run that was put aside.
#[derive(Default)]
struct Ahead {
    at: u64,
    end: u64,
    read: Vec<u8>,
    used: usize,
}

impl Ahead {
    /// The next `length` bytes.
    fn take(&mut self, file: &StagedFile, length: usize) -> io::Result<&[u8]> {
        if self.read.len() - self.used < length {
            self.read.drain(..self.used);
            self.used = 0;
            let had = self.read.len();
            let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
            let more = READ_AHEAD.max(length - had).min(left);
            self.read.resize(had + more, 0);
            file.file().read_exact_at(&mut self.read[had..], self.at)?;
            self.at += more as u64;
        }
        let from = self.used;
        self.used += length;
        self.read.get(from..self.used).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn next(&mut self, file: &StagedFile) -> io::Result<Option<Vec<u8>>> {
        if self.at == self.end && self.used == self.read.len() {
            return Ok(None);
        }
        let length = self.take(file, 4)?.try_into().map_err(io::Error::other)?;
        Ok(Some(self.take(file, u32::from_le_bytes(length) as usize)?.to_vec()))
    }
}

impl Sorted {
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        let Some(Reverse(Head { record, run })) = self.heads.pop() else { return Ok(None) };
        self.advance(run)?;
        let damaged = || io::Error::other("what was put aside has changed");
        Record::decode(&record).map(Some).ok_or_else(damaged)
    }

    /// Brings the next record of a run to the heads. The last one is that in memory.
    fn advance(&mut self, run: usize) -> io::Result<()> {
        let record = match (self.runs.get_mut(run), &self.file) {
            (Some(ahead), Some(file)) => ahead.next(file)?,
            _ => {
                let span = self.memory.spans.get(self.next_in_memory);
                self.next_in_memory += 1;
                span.map(|&(from, to)| self.memory.bytes[from as usize..to as usize].to_vec())
            }
        };
        self.heads.extend(record.map(|record| Reverse(Head { record, run })));
        Ok(())
    }
}

struct Head {
    record: Vec<u8>,
    run: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        order(path(&self.record), path(&other.record)).then(self.run.cmp(&other.run))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}
