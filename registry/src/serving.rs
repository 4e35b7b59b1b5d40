//! What the serving of requests needs beside the data: places, counts, memory.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Readiness;
use crate::connection::{ConnectionLimits, Lines, Places};
use crate::files::Memory;
use crate::metrics::{Metrics, MetricsAccess};

/// What the serving of requests needs beside the data.
pub(crate) struct Serving {
    /// A place for each image that is being read.
    pub(crate) pushes: Places,
    /// The connections there are.
    pub(crate) lines: Arc<Lines>,
    pub(crate) metrics: Metrics,
    /// Small files that are asked for often.
    pub(crate) memory: Memory,
    pub(crate) metrics_access: MetricsAccess,
    pub(crate) readiness: Readiness,
    /// Cancelled when the server is told to stop: it is no longer ready.
    pub(crate) leaving: CancellationToken,
}

impl Serving {
    pub(crate) fn new(
        limits: &ConnectionLimits,
        metrics_access: MetricsAccess,
        readiness: Readiness,
    ) -> Self {
        Self {
            pushes: Places::new(limits),
            lines: Lines::new(limits.connections),
            metrics: Metrics::new(),
            memory: Memory::default(),
            metrics_access,
            readiness,
            leaving: CancellationToken::new(),
        }
    }
}
