//! How much of an image is at the registry, as it is shown: it never goes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::observer::{Event, Observer};

/// One image's.
#[derive(Clone)]
pub(super) struct Meter(Arc<State>);

struct State {
    observer: Arc<dyn Observer>,
    total: u64,
    /// What was shown.
    shown: AtomicU64,
    begun: AtomicBool,
    ended: AtomicBool,
}

impl Meter {
    pub(super) fn new(observer: Arc<dyn Observer>, total: u64) -> Self {
        let (begun, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(State { observer, total, shown: AtomicU64::new(0), begun, ended }))
    }

    pub(super) fn event(&self, event: Event<'_>) {
        self.0.observer.event(event);
    }

    /// So many bytes are there, or under way. What is sent a second time shows nothing.
    pub(super) fn reached(&self, bytes: u64) {
        let state = &*self.0;
        if !state.begun.swap(true, Ordering::Relaxed) {
            self.event(Event::Started(Some(state.total)));
        }
        let before = state.shown.fetch_max(bytes, Ordering::Relaxed);
        if bytes > before {
            self.event(Event::Advanced(bytes - before));
        }
        if bytes >= state.total {
            self.end();
        }
    }

    /// No more of it moves.
    pub(super) fn end(&self) {
        let begun = self.0.begun.load(Ordering::Relaxed);
        if begun && !self.0.ended.swap(true, Ordering::Relaxed) {
            self.event(Event::Moved);
        }
    }
}
