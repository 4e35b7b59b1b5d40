//! Places for pushes: so many in all, and so many of one caller.
//!
//! Without the second limit, one client that sends slowly on many connections keeps
//! everybody else from pushing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ConnectionLimits;
use crate::access::CallerId;
use crate::error::ApiError;

/// The places there are.
pub(crate) struct Places {
    all: Arc<Semaphore>,
    most: usize,
    each: usize,
    callers: Mutex<HashMap<CallerId, Weak<Semaphore>>>,
    waiting: AtomicUsize,
}

/// A place, or several, for as long as it is kept.
pub(crate) struct Place {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(limits: &ConnectionLimits) -> Self {
        Self::of_each(limits.pushes, limits.pushes_per_caller)
    }

    /// So many, and so many of them for one caller.
    pub(crate) fn of_each(most: usize, each: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(most)),
            most,
            each: each.clamp(1, most),
            callers: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for a place. Those of one caller wait for each other before they wait for
    /// the rest, so that many of them do not stand in the way of one of another's.
    pub(crate) async fn take(&self, caller: &CallerId) -> Result<Place, ApiError> {
        self.take_several(caller, 1).await
    }

    /// Waits for several places at once, or for all that one caller may have.
    pub(crate) async fn take_several(
        &self,
        caller: &CallerId,
        places: u32,
    ) -> Result<Place, ApiError> {
        let _waiting = Waiting::new(&self.waiting);
        let places = places.min(u32::try_from(self.each).unwrap_or(u32::MAX));
        let (own, all) = (self.of(caller), Arc::clone(&self.all));
        let own = own.acquire_many_owned(places).await.map_err(ApiError::internal)?;
        let of_all = all.acquire_many_owned(places).await.map_err(ApiError::internal)?;
        Ok(Place { _own: own, _of_all: of_all })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.most - self.all.available_permits()
    }

    /// How many pushes wait for one.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn of(&self, caller: &CallerId) -> Arc<Semaphore> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = callers.get(caller).and_then(Weak::upgrade) {
            return semaphore;
        }
        callers.retain(|_, semaphore| semaphore.strong_count() > 0);
        let semaphore = Arc::new(Semaphore::new(self.each));
        callers.insert(caller.clone(), Arc::downgrade(&semaphore));
        semaphore
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn soon(places: &Places, caller: &CallerId) -> Option<Place> {
        let taken = tokio::time::timeout(Duration::from_millis(50), places.take(caller)).await;
        taken.ok().map(Result::unwrap)
    }

    #[tokio::test]
    async fn places_of_one_token_leave_some_for_others() {
        let limits = ConnectionLimits { pushes: 3, pushes_per_caller: 2, ..Default::default() };
        let places = Places::new(&limits);
        let (one, two) = ("00000001".parse().unwrap(), "00000002".parse().unwrap());
        let (one, two) = (CallerId::of_token(&one), CallerId::of_token(&two));
        let first = soon(&places, &one).await.unwrap();
        let _second = soon(&places, &one).await.unwrap();
        assert!(soon(&places, &one).await.is_none());
        let _other = soon(&places, &two).await.unwrap();
        assert!(soon(&places, &two).await.is_none(), "all are taken");
        assert_eq!((places.taken(), places.waiting()), (3, 0));
        drop(first);
        assert!(soon(&places, &one).await.is_some());
    }
}
