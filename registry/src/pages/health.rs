//! `GET /-/healthz` and `/-/readyz`: whether the process lives, and whether it can serve.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use crate::state::{Shared, State as Registry};

/// How long the database may take; a balancer waits no longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between the beginnings of two looks.
const BETWEEN: Duration = Duration::from_millis(100);

/// Why a registry is not ready, in words that are always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum NotReady {
    #[error("the registry is stopping")]
    Stopping,
    #[error("the catalogue takes no writes")]
    Catalogue,
    #[error("the trusted keys cannot be read")]
    Keys,
    #[error("the blobs cannot be reached")]
    Blobs,
    #[error("the spool cannot be reached")]
    Spool,
    #[error("the spool has no room")]
    Room,
}

#[utoipa::path(
    get,
    path = "/-/healthz",
    operation_id = "healthz",
    tag = "about",
    summary = "Whether the process lives",
    responses((status = 200, description = "`ok`.", body = String)),
)]
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

#[utoipa::path(
    get,
    path = "/-/readyz",
    operation_id = "readyz",
    tag = "about",
    summary = "Whether it can serve",
    responses(
        (status = 200, description = "`ok`.", body = String),
        (status = 503, description = "Why not.", body = String),
    ),
)]
pub(super) async fn ready(State(state): State<Shared>) -> (StatusCode, String) {
    match looked(&state).await {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

/// The last look at everything. One looks for all who ask meanwhile: anybody may ask, as often as they
/// like, and the look takes the database's lock.
#[derive(Default)]
pub(crate) struct Readiness(Mutex<Option<Look>>);

struct Look {
    begun: Instant,
    found: Result<(), NotReady>,
}

/// How things stand since no earlier than now.
async fn looked(state: &Registry) -> Result<(), NotReady> {
    let asked = Instant::now();
    let mut last = state.serving.readiness.0.lock().await;
    match &*last {
        Some(look) if look.begun >= asked => return look.found,
        Some(look) => sleep_until(look.begun + BETWEEN).await,
        None => {}
    }
    let begun = Instant::now();
    let found = check(state).await;
    *last = Some(Look { begun, found });
    found
}

async fn check(state: &Registry) -> Result<(), NotReady> {
    if state.serving.leaving.is_cancelled() {
        return Err(NotReady::Stopping);
    }
    let written = timeout(PATIENCE, state.catalog.writable()).await;
    let written = written.map_err(|_| logged(NotReady::Catalogue, "no answer in time".into()))?;
    written.map_err(|error| logged(NotReady::Catalogue, error.into()))?;
    let read = timeout(PATIENCE, state.keyring()).await;
    let read = read.map_err(|_| logged(NotReady::Keys, "no answer in time".into()))?;
    read.map_err(|error| logged(NotReady::Keys, error.into()))?;
    let reached = timeout(PATIENCE, state.blobs.ready()).await;
    let reached = reached.map_err(|_| logged(NotReady::Blobs, "no answer in time".into()))?;
    reached.map_err(|error| logged(NotReady::Blobs, error.into()))?;
    let spool = state.data.spool();
    let room = state.config().readiness.room;
    // A disk that hangs must not hang what serves requests.
    let looked = tokio::task::spawn_blocking(move || look(&spool, room)).await;
    looked.map_err(|error| logged(NotReady::Spool, error.into()))?
}

fn look(spool: &Path, room: u64) -> Result<(), NotReady> {
    let stat = rustix::fs::statvfs(spool).map_err(|error| logged(NotReady::Spool, error.into()))?;
    if stat.f_bavail.saturating_mul(stat.f_frsize) < room {
        return Err(NotReady::Room);
    }
    Ok(())
}

fn logged(reason: NotReady, error: Box<dyn Error + Send + Sync>) -> NotReady {
    let error: &(dyn Error + 'static) = &*error;
    tracing::error!(error, "not ready: {reason}");
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_looks_for_all_who_ask() {
        let folder = tempfile::tempdir().unwrap();
        let state = Registry::in_folder(folder.path(), |_| {}).await;
        let start = Instant::now();
        for found in futures_util::future::join_all((0..200).map(|_| looked(&state))).await {
            assert_eq!(found, Ok(()));
        }
        assert!(start.elapsed() < 20 * BETWEEN);
        // And never by a look from before somebody asked.
        state.catalog.close().await;
        assert_eq!(looked(&state).await, Err(NotReady::Catalogue));
    }

    #[tokio::test]
    async fn ready_without_a_database_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let state = Registry::in_folder(folder.path(), |_| {}).await;
        assert_eq!(check(&state).await, Ok(()));
        let keys = state.data.trusted_keys();
        std::fs::create_dir_all(&keys).unwrap();
        let policy = keys.join("policy.toml");
        std::fs::write(&policy, "no policy").unwrap();
        assert_eq!(check(&state).await, Err(NotReady::Keys));
        std::fs::remove_file(&policy).unwrap();
        state.catalog.close().await;
        assert_eq!(check(&state).await, Err(NotReady::Catalogue));
    }
}
