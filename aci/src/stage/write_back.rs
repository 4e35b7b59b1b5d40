//! Files that go to the disk while they are still being written.

use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Brings a large file to the disk while it is still being written, on a thread of its
/// own, so that the sync at the end has little left to wait for.
#[derive(Debug, Default)]
pub struct WriteBack {
    /// Bytes written since the last step.
    waiting: u64,
    pub(super) thread: Option<(SyncSender<()>, JoinHandle<io::Result<()>>)>,
}

impl WriteBack {
    /// Bytes between two steps: a small file never begins one.
    pub(super) const STEP: u64 = 32 << 20;

    /// So much more was written to the file, which is the same each time.
    pub fn advance(&mut self, file: &File, written: usize) -> io::Result<()> {
        self.waiting += written as u64;
        if self.waiting < Self::STEP {
            return Ok(());
        }
        self.waiting = 0;
        let (wanted, _) = match &mut self.thread {
            Some(thread) => thread,
            none => none.insert(Self::start(file.try_clone()?)),
        };
        // Where the last step still runs, the next one takes these bytes too; where it
        // failed, `finish` says so.
        let _ = wanted.try_send(());
        Ok(())
    }

    fn start(file: File) -> (SyncSender<()>, JoinHandle<io::Result<()>>) {
        let (wanted, steps) = sync_channel(1);
        let thread = thread::spawn(move || steps.iter().try_for_each(|()| file.sync_data()));
        (wanted, thread)
    }

    /// Waits for what was begun. The kernel tells a failed write once: if a step here was told,
    /// nobody else will be.
    pub fn finish(&mut self) -> io::Result<()> {
        let Some((wanted, thread)) = self.thread.take() else { return Ok(()) };
        drop(wanted);
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that syncs died")))
    }
}
