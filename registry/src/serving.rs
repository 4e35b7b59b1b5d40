//! What the serving of requests needs beside the data: places, counts, memory.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{ConnectionLimits, Lines, Places};
use crate::decoders::Decoders;
use crate::files::Memory;
use crate::metrics::Metrics;
use crate::pages::Readiness;

/// What the serving of requests needs beside the data.
pub(crate) struct Serving {
    /// A place for each image that is being read.
    pub(crate) pushes: Places,
    /// Memory for those of them that need much.
    pub(crate) decoders: Decoders,
    /// The connections there are.
    pub(crate) lines: Arc<Lines>,
    pub(crate) metrics: Metrics,
    /// Small files that are asked for often.
    pub(crate) memory: Memory,
    /// The document of the API, as it is served.
    pub(crate) document: OnceLock<Bytes>,
    /// Cancelled when the server is told to stop: it is no longer ready.
    pub(crate) leaving: CancellationToken,
    /// Cancelled when it waits no longer: bodies that still arrive end.
    pub(crate) cut: CancellationToken,
    /// Images, and ranges of them, that are taken in. What came of them is kept before the server ends.
    pub(crate) intakes: TaskTracker,
    /// The last look at whether it can serve.
    pub(crate) readiness: Readiness,
}

impl Serving {
    pub(crate) fn new(limits: &ConnectionLimits) -> Self {
        Self {
            pushes: Places::new(limits),
            decoders: Decoders::new(limits),
            lines: Lines::new(limits.connections),
            metrics: Metrics::new(),
            memory: Memory::default(),
            document: OnceLock::new(),
            leaving: CancellationToken::new(),
            cut: CancellationToken::new(),
            intakes: TaskTracker::new(),
            readiness: Readiness::default(),
        }
    }
}
