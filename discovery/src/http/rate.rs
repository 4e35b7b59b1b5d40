//! A limit on how fast bytes come, for all downloads of a client together.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Bytes for each second at most.
#[derive(Debug)]
pub(crate) struct Rate {
    limit: Option<NonZeroU64>,
    /// When the bytes that came so far are paid for.
    paid: Mutex<Option<Instant>>,
}

impl Rate {
    pub(crate) fn new(limit: Option<NonZeroU64>) -> Self {
        Self { limit, paid: Mutex::default() }
    }

    /// Waits until so many bytes more keep to the limit. While a reader waits, the server's
    /// bytes pile up in the connection, and TCP slows the server down.
    pub(crate) async fn take(&self, bytes: u64) {
        let Some(limit) = self.limit else { return };
        let due = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let cost = Duration::from_secs_f64(bytes as f64 / limit.get() as f64);
            let due = paid.map_or(now, |paid| paid.max(now)) + cost;
            *paid = Some(due);
            due
        };
        tokio::time::sleep_until(due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rate_is_kept_by_all_who_share_it() {
        let rate = Rate::new(NonZeroU64::new(1000));
        let begun = Instant::now();
        tokio::join!(rate.take(500), rate.take(1500));
        assert_eq!(begun.elapsed().as_secs(), 2);
        Rate::new(None).take(u64::MAX).await;
        assert_eq!(begun.elapsed().as_secs(), 2);
    }
}
