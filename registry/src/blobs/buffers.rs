//! Buffers that files are read into, used again: asking the allocator for each, and the kernel to
//! clear it, cost a tenth of what it takes to send a file.

use std::mem;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;

use super::READ_BYTES;

/// The most that lie ready.
const SPARE: usize = 32;

static READY: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// So many bytes to write on, whatever stands there. It is given back when the last of it is dropped.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    length: usize,
}

impl Buffer {
    pub(super) fn new(length: usize) -> Self {
        // Smaller ones are had faster than cleared ones of another size are found.
        let ready = if length == READ_BYTES { ready().pop() } else { None };
        Self { bytes: ready.unwrap_or_else(|| vec![0; length]), length }
    }

    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Its beginning.
    pub(super) fn filled(mut self, length: usize) -> Bytes {
        self.length = length;
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() == READ_BYTES {
            let mut ready = ready();
            if ready.len() < SPARE {
                ready.push(mem::take(&mut self.bytes));
            }
        }
    }
}

fn ready() -> std::sync::MutexGuard<'static, Vec<Vec<u8>>> {
    READY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_comes_back_when_the_last_of_it_is_dropped() {
        let mut buffer = Buffer::new(READ_BYTES);
        buffer.as_mut()[..3].copy_from_slice(b"abc");
        let bytes = buffer.filled(3);
        let part = bytes.slice(1..);
        drop(bytes);
        assert_eq!(&part[..], b"bc", "it is not given out again meanwhile");
        // Others take and bring some at the same time.
        let most = || ready().len() <= SPARE;
        drop(part);
        let many: Vec<Buffer> = (0..2 * SPARE).map(|_| Buffer::new(READ_BYTES)).collect();
        assert!(many.iter().all(|buffer| buffer.bytes.len() == READ_BYTES));
        drop(many);
        assert!(most() && !ready().is_empty());
        assert_eq!(Buffer::new(10).filled(2).len(), 2);
        assert!(ready().iter().all(|buffer| buffer.len() == READ_BYTES));
    }
}
