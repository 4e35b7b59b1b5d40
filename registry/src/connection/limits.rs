//! What connections may cost.

use std::time::Duration;

/// What connections may cost. How long they may take is [`Timeouts`](crate::Timeouts).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at once. Fewer, where the process may not open enough files.
    pub connections: usize,
    /// Bytes a second at which a request's body must arrive and a response be taken.
    pub rate: u64,
    /// How far behind that a client may be.
    pub grace: Duration,
    /// Bytes of a request's headers; more is 431.
    pub header_bytes: u32,
    /// Bytes of a URL; more is 414.
    pub url_bytes: usize,
    /// Requests at once on one connection of HTTP/2.
    pub streams: u32,
    /// Requests that a client of HTTP/2 takes back before we have looked at them; more
    /// end the connection.
    pub resets: usize,
    /// Images that are taken in at once; others wait. Each needs two threads.
    pub pushes: usize,
    /// Images that are taken in at once for one caller.
    pub pushes_per_caller: usize,
    /// MiB of memory for undoing the compression of images that ask for more than the 16 MiB that each
    /// has anyway, over all that are taken in at once; others of these wait.
    pub decoder_mib: usize,
    /// The same, for one caller.
    pub decoder_mib_per_caller: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            rate: 8 << 10,
            grace: Duration::from_secs(20),
            header_bytes: 16 << 10,
            url_bytes: 8 << 10,
            streams: 64,
            resets: 20,
            pushes: 32,
            pushes_per_caller: 8,
            decoder_mib: 512,
            decoder_mib_per_caller: 128,
        }
    }
}

impl ConnectionLimits {
    /// These limits for a process that may open so many files. A connection needs one
    /// and most requests another; the rest is for databases, logs and spools.
    pub(crate) fn fitting(mut self, files: Option<u64>) -> Self {
        const REST: u64 = 256;
        if let Some(files) = files {
            let most = usize::try_from(files.saturating_sub(REST) / 2).unwrap_or(usize::MAX);
            self.connections = self.connections.min(most);
        }
        self.connections = self.connections.max(1);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_the_files_that_may_be_open() {
        for (files, connections) in
            [(None, 4096), (Some(1 << 20), 4096), (Some(1024), 384), (Some(100), 1)]
        {
            assert_eq!(ConnectionLimits::default().fitting(files).connections, connections);
        }
    }
}
