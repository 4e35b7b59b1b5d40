//! What the client says while it works.

use std::time::Duration;

use url::Url;

/// Something that happens on the way.
#[derive(Debug)]
pub enum Event<'a> {
    /// The signature is being fetched from here.
    Signature(&'a Url),
    /// This place did not help; the next one is tried.
    PassedOver(&'a str),
    /// What an earlier attempt left is taken up: so many bytes need not move again.
    Resumed(u64),
    /// What moves broke off after so many bytes, for this reason; it goes on after this pause.
    Again(u64, &'a str, Duration),
    /// An image begins to move: so many bytes, where known. Several may move at once.
    Started(Option<u64>),
    /// So many bytes more have moved.
    Advanced(u64),
    /// All bytes of an image have moved, or no more of them will; the rest is the other end's work, or the disk's.
    Moved,
}

/// Who wants to know. Called from several threads.
pub trait Observer: Send + Sync {
    /// Hears of one event.
    fn event(&self, event: Event<'_>);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: Event<'_>) {}
}
