//! The connections there are, and which of them goes when there are too many.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pace::{Behind, Pace};
use crate::config::Timeouts;

/// All connections of a server.
pub(crate) struct Lines {
    most: usize,
    table: Mutex<Table>,
    /// Told when there may be room again.
    room: Notify,
}

/// Which connections wait, the one that has waited longest first.
#[derive(Default)]
struct Table {
    open: usize,
    next: u64,
    waiting: BTreeMap<u64, CancellationToken>,
}

impl Table {
    /// A place at the end of those that wait.
    fn wait(&mut self, displaced: &CancellationToken) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, displaced.clone());
        self.next
    }
}

impl Lines {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, table: Mutex::default(), room: Notify::new() })
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        lock(&self.table).open
    }

    /// Done when there is a place for another connection, or one that can be taken away.
    pub(crate) async fn room(&self) {
        loop {
            let told = self.room.notified();
            {
                let table = lock(&self.table);
                if table.open < self.most || !table.waiting.is_empty() {
                    return;
                }
            }
            told.await;
        }
    }

    /// A place for a new connection. Where all are taken, the one that has waited longest
    /// without a request in progress is ended for it; none, where none waits.
    pub(crate) fn open_line(self: &Arc<Self>) -> Option<Arc<Line>> {
        let mut table = lock(&self.table);
        if table.open >= self.most {
            let (_, displaced) = table.waiting.pop_first()?;
            displaced.cancel();
            table.open -= 1;
        }
        table.open += 1;
        let displaced = CancellationToken::new();
        let place = table.wait(&displaced);
        let state = State {
            requests: HashMap::new(),
            next: 0,
            place: Some(place),
            since: Instant::now(),
            asked: false,
        };
        Some(Arc::new(Line { lines: Arc::clone(self), displaced, state: Mutex::new(state) }))
    }
}

/// One connection.
pub(crate) struct Line {
    lines: Arc<Lines>,
    displaced: CancellationToken,
    state: Mutex<State>,
}

struct State {
    /// Requests in progress, and how far behind their clients are in taking the response.
    requests: HashMap<u64, Behind>,
    next: u64,
    /// The place among those that wait, while there are no requests, and since when.
    place: Option<u64>,
    since: Instant,
    /// Whether there was a request at all.
    asked: bool,
}

/// What is to become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    Fine,
    Silent,
    Slow,
}

impl Line {
    /// Done when another connection has taken the place of this one.
    pub(super) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>, pace: Pace) -> Visit {
        let mut state = lock(&self.state);
        state.next += 1;
        state.asked = true;
        let id = state.next;
        state.requests.insert(id, Behind::new(pace));
        if let Some(place) = state.place.take() {
            lock(&self.lines.table).waiting.remove(&place);
        }
        Visit { line: Arc::clone(self), id }
    }

    /// Whether no request is in progress.
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.state).requests.is_empty()
    }

    fn end(&self, id: u64) {
        let mut state = lock(&self.state);
        state.requests.remove(&id);
        if !state.requests.is_empty() {
            return;
        }
        state.since = Instant::now();
        let mut table = lock(&self.lines.table);
        if !self.displaced.is_cancelled() {
            state.place = Some(table.wait(&self.displaced));
            if table.open >= self.lines.most {
                self.lines.room.notify_one();
            }
        }
    }

    pub(super) fn judge(&self, now: Instant, timeouts: &Timeouts) -> Judged {
        let state = lock(&self.state);
        let late = |end: Instant| end <= now;
        if state.requests.is_empty() {
            let limit: Duration = if state.asked { timeouts.silence } else { timeouts.headers };
            return if late(state.since + limit) { Judged::Silent } else { Judged::Fine };
        }
        if state.requests.values().filter_map(Behind::end).any(late) {
            return Judged::Slow;
        }
        Judged::Fine
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut table = lock(&self.lines.table);
        if let Some(place) = state.place {
            table.waiting.remove(&place);
        }
        // One that was displaced has not been counted since.
        if !self.displaced.is_cancelled() {
            table.open -= 1;
            self.lines.room.notify_one();
        }
    }
}

/// A request in progress: from its headers to the end of its response.
pub(super) struct Visit {
    line: Arc<Line>,
    id: u64,
}

impl Visit {
    /// The client is to take so many bytes.
    pub(super) fn waits(&self, bytes: u64) {
        if let Some(behind) = lock(&self.line.state).requests.get_mut(&self.id) {
            behind.wait(Instant::now(), bytes);
        }
    }

    /// It took them.
    pub(super) fn taken(&self) {
        if let Some(behind) = lock(&self.line.state).requests.get_mut(&self.id) {
            behind.moved(Instant::now(), 0);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.line.end(self.id);
    }
}

/// Nothing that is done under these locks can fail half way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { rate: 1000, grace: Duration::from_secs(10) };

    fn gone(line: &Line) -> bool {
        line.displaced.is_cancelled()
    }

    #[test]
    fn place_goes_to_a_new_connection_from_the_one_that_waited_longest() {
        let lines = Lines::new(3);
        let all: Vec<_> = (0..3).map(|_| lines.open_line().unwrap()).collect();
        // The first has a request, and the second had one, since when it waits anew.
        let visit = all[0].begin(PACE);
        drop(all[1].begin(PACE));
        let fourth = lines.open_line().unwrap();
        assert_eq!(all.iter().map(|line| gone(line)).collect::<Vec<_>>(), [false, false, true]);
        let _fifth = lines.open_line().unwrap();
        assert!(gone(&all[1]) && !gone(&all[0]) && !gone(&fourth));
        assert_eq!(lines.open(), 3);
        drop(visit);
        drop(all);
        assert_eq!(lines.open(), 2, "those that were displaced are not counted twice");
    }

    #[tokio::test]
    async fn place_of_a_request_in_progress_is_not_taken() {
        let lines = Lines::new(1);
        let line = lines.open_line().unwrap();
        let visit = line.begin(PACE);
        let second = line.begin(PACE);
        drop(second);
        assert!(lines.open_line().is_none());
        let waiting = tokio::time::timeout(Duration::from_millis(50), lines.room());
        assert!(waiting.await.is_err(), "there is no room");
        let room = tokio::spawn({
            let lines = Arc::clone(&lines);
            async move { lines.room().await }
        });
        tokio::task::yield_now().await;
        drop(visit);
        tokio::time::timeout(Duration::from_secs(30), room).await.unwrap().unwrap();
        assert!(lines.open_line().is_some() && gone(&line));
    }
}
