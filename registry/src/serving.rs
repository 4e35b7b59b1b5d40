//! What the serving of requests needs beside the data: places, counts, memory.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use tokio_util::sync::CancellationToken;

use crate::connection::{ConnectionLimits, Lines, Places};
use crate::files::Memory;
use crate::metrics::Metrics;

/// What the serving of requests needs beside the data.
pub(crate) struct Serving {
    /// A place for each image that is being read.
    pub(crate) pushes: Places,
    /// The connections there are.
    pub(crate) lines: Arc<Lines>,
    pub(crate) metrics: Metrics,
    /// Small files that are asked for often.
    pub(crate) memory: Memory,
    /// The document of the API, as it is served.
    pub(crate) document: OnceLock<Bytes>,
    /// Cancelled when the server is told to stop: it is no longer ready.
    pub(crate) leaving: CancellationToken,
}

impl Serving {
    pub(crate) fn new(limits: &ConnectionLimits) -> Self {
        Self {
            pushes: Places::new(limits),
            lines: Lines::new(limits.connections),
            metrics: Metrics::new(),
            memory: Memory::default(),
            document: OnceLock::new(),
            leaving: CancellationToken::new(),
        }
    }
}
