//! The registry's log: to stderr, by a thread of its own. No request waits for it, and thousands of
//! lines a second take hundreds of writes.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a line waits for others.
const GATHERS: Duration = Duration::from_millis(5);
/// Bytes that may wait. Whoever has more writes them.
const MOST: usize = 256 << 10;

/// Where lines are put.
#[derive(Clone, Default)]
pub(in super::super) struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Vec<u8>>,
    /// Held by who writes, so that lines keep their order.
    writing: Mutex<Vec<u8>>,
    some: Condvar,
}

impl Lines {
    /// Begins to write what is put here.
    pub(super) fn start() -> io::Result<Self> {
        let lines = Self::default();
        let shared = Arc::clone(&lines.0);
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            loop {
                let waiting = locked(&shared.waiting);
                let some = shared.some.wait_while(waiting, |waiting| waiting.is_empty());
                drop(some.unwrap_or_else(PoisonError::into_inner));
                thread::sleep(GATHERS);
                shared.write_to(&mut io::stderr());
            }
        })?;
        Ok(lines)
    }

    /// Puts a whole line.
    pub(super) fn put(&self, line: &[u8]) {
        let mut waiting = locked(&self.0.waiting);
        let (first, full) = (waiting.is_empty(), waiting.len() >= MOST);
        waiting.extend_from_slice(line);
        drop(waiting);
        if first {
            self.0.some.notify_one();
        }
        if full {
            self.finish();
        }
    }

    /// Writes what waits.
    pub(in super::super) fn finish(&self) {
        self.0.write_to(&mut io::stderr());
    }
}

#[cfg(test)]
impl Lines {
    /// What waits.
    pub(super) fn take(&self) -> String {
        let mut out = Vec::new();
        self.0.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }
}

impl Shared {
    fn write_to(&self, out: &mut impl Write) {
        let mut lines = locked(&self.writing);
        mem::swap(&mut *lines, &mut locked(&self.waiting));
        // Nobody could be told where nobody reads the log.
        let _ = out.write_all(&lines);
        lines.clear();
    }
}

fn locked(buffer: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    buffer.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_several_threads_are_all_written_each_in_its_order() {
        let lines = Lines::default();
        let mut out = Vec::new();
        thread::scope(|scope| {
            for writer in 0..4 {
                let lines = lines.clone();
                scope.spawn(move || {
                    (0..500).for_each(|at| lines.put(format!("{writer} {at}\n").as_bytes()));
                });
            }
            for _ in 0..20 {
                lines.0.write_to(&mut out);
                thread::sleep(Duration::from_millis(1));
            }
        });
        lines.0.write_to(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 2000);
        for writer in 0..4 {
            let of = text.lines().filter_map(|line| line.strip_prefix(&format!("{writer} ")));
            assert!(of.eq((0..500).map(|at| at.to_string())), "{writer}");
        }
    }
}
