//! Copying a tree into a folder of a context: one thread walks it and makes folders and links, and
//! others make files and write what is in them.

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread;

use aci::archive::{ArchiveError, Entry, EntryKind, NewFile, Undone, tree_threads};

use super::copy::CopyOptions;
use super::error::ContextError;
use super::intake::{Intake, Moved, ownership};
use super::properties::Properties;
use crate::error::PackError;
use crate::pack::Progress;
use crate::tree::{Opened, Survey, Tree};

/// Files that are handed on together.
const TOGETHER: usize = 8;
/// Lots of them that wait to be written. Each is open, and so is its folder.
const WAITING: usize = 6;
/// Bytes that are copied in one piece.
const PIECE: usize = 256 << 10;

/// A file that is to be made, and what will be in it.
struct Job<'a> {
    source: Opened,
    size: u64,
    target: NewFile<'a>,
}

/// What is told each entry of a tree.
type Each<'e> = dyn FnMut(&Entry, Option<Opened>) -> Result<(), PackError> + 'e;

/// Copies a tree into a slot, and surveys it meanwhile: nothing of it counts before that has found no
/// fault.
pub(super) fn fill_surveyed(
    tree: &Tree<'_>,
    slot: &Path,
    moved: Moved<'_>,
    options: &CopyOptions<'_>,
    properties: &mut Properties,
) -> Result<Survey, ContextError> {
    thread::scope(|scope| {
        if options.progress.is_seen() {
            // How much there is is known before it is copied only to whoever looks for it.
            let look = || tree.survey().map(|survey| options.progress.total(survey.bytes));
            let _ = thread::Builder::new().spawn_scoped(scope, look);
        }
        fill_by(|each| tree.surveyed_entries(each), slot, moved, options, properties)
    })
}

/// Copies a tree into a slot.
pub(super) fn fill(
    tree: &Tree<'_>,
    slot: &Path,
    moved: Moved<'_>,
    options: &CopyOptions<'_>,
    properties: &mut Properties,
) -> Result<(), ContextError> {
    fill_by(|each| tree.entries(each), slot, moved, options, properties)
}

/// Copies what is given into a slot.
fn fill_by<T>(
    give: impl FnOnce(&mut Each<'_>) -> Result<T, PackError>,
    slot: &Path,
    moved: Moved<'_>,
    options: &CopyOptions<'_>,
    properties: &mut Properties,
) -> Result<T, ContextError> {
    let unpack = ownership();
    let mut intake = Intake::new(slot, moved, &unpack, properties)?;
    let (jobs, waiting) = mpsc::sync_channel(WAITING);
    let waiting = Mutex::new(waiting);
    let stop = AtomicBool::new(false);
    let filled = thread::scope(|scope| {
        let work = || write_all(&waiting, &stop, options.progress);
        let mut workers = Vec::new();
        for _ in 0..tree_threads() {
            match thread::Builder::new().spawn_scoped(scope, work) {
                Ok(worker) => workers.push(worker),
                Err(error) if workers.is_empty() => return Err(PackError::Write(error)),
                // Fewer will do.
                Err(_) => break,
            }
        }
        let mut together = Vec::with_capacity(TOGETHER);
        let given = give(&mut |entry, content| {
            if stop.load(Ordering::Relaxed) {
                return Err(PackError::Write(io::ErrorKind::Interrupted.into()));
            }
            let entry = changed(entry, options);
            let placed = match (content, &entry.kind) {
                (Some(source), &EntryKind::File { size }) => {
                    let target = intake.new_file(entry).and_then(|mut target| {
                        if source.has_other_names() {
                            target.make()?;
                        }
                        Ok(target)
                    });
                    target.map(|target| {
                        together.push(Job { source, size, target });
                        if together.len() == TOGETHER {
                            let _ = jobs.send(std::mem::take(&mut together));
                        }
                    })
                }
                _ => intake.place(entry, &mut |_| Ok(0)),
            };
            placed.map_err(|error| PackError::Write(io::Error::other(error)))
        });
        // Nobody has left who receives them before this.
        let _ = jobs.send(together);
        drop(jobs);
        let mut undone = Vec::new();
        let mut failed = Ok(());
        for worker in workers {
            match worker.join() {
                Ok(Ok(all)) => undone.extend(all),
                Ok(Err(error)) => failed = Err(error),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        match given {
            // What is wrong with the tree says more than how far a copy of it came.
            Err(problems @ (PackError::Problems(_) | PackError::Unmatched(_))) => Err(problems),
            given => failed.and(given).map(|given| (given, undone)),
        }
    });
    let (given, undone) = filled.map_err(|error| match error {
        PackError::Write(source) => {
            ContextError::Io { doing: "fill", path: slot.to_owned(), source }
        }
        other => ContextError::Pack(other),
    })?;
    for (entry, undone) in &undone {
        intake.account(entry, undone)?;
    }
    intake.finish(b"")?;
    Ok(given)
}

/// The entry as it is copied.
fn changed(entry: &Entry, options: &CopyOptions<'_>) -> Entry {
    let mut entry = entry.clone();
    entry.mtime = options.mtime.unwrap_or(entry.mtime);
    entry.mode = match entry.kind {
        EntryKind::Directory => options.modes.folders.unwrap_or(entry.mode),
        EntryKind::File { .. } => options.modes.files.unwrap_or(entry.mode),
        _ => entry.mode,
    };
    entry
}

/// Writes files as they come. Where one fails, what else comes is dropped, so that nobody waits.
fn write_all(
    waiting: &Mutex<Receiver<Vec<Job<'_>>>>,
    stop: &AtomicBool,
    progress: &dyn Progress,
) -> Result<Vec<(Entry, Undone)>, PackError> {
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
    let (mut buffer, mut all, mut failed) = (vec![0; PIECE], Vec::new(), Ok(()));
    while let Ok(jobs) = next() {
        for job in jobs {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            match job.write(&mut buffer, progress) {
                Ok(undone) => all.extend(undone),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    failed = Err(error);
                }
            }
        }
    }
    failed.map(|()| all)
}

impl Job<'_> {
    fn write(
        self,
        buffer: &mut [u8],
        progress: &dyn Progress,
    ) -> Result<Option<(Entry, Undone)>, PackError> {
        let (mut left, mut undone) = (self.size, None);
        let target = self.target;
        self.source.read(|file| {
            let mut read = |buffer: &mut [u8]| -> Result<usize, ArchiveError> {
                let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                if most == 0 {
                    return Ok(0);
                }
                let got = file.read(&mut buffer[..most])?;
                left -= got as u64;
                progress.advance(got as u64);
                Ok(got)
            };
            undone = target.fill(&mut read, buffer).map_err(io::Error::other)?;
            Ok(())
        })?;
        Ok(undone)
    }
}
