//! What a running server does by itself.

use std::error::Error;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{KeepError, Keeper, Keeping};
use crate::access::Changer;
use crate::audit::Actor;
use crate::config::Live;
use crate::state::Shared;
use crate::token::TokenId;

/// How soon after the start files are removed once more: what a server that was killed here had asked of
/// the database may have ended a moment after the first time, and its rows were not waited for.
const AGAIN: Duration = Duration::from_secs(10);
/// How often it is asked whether a file is to be read again.
const SCRUB_PAUSE: Duration = Duration::from_secs(600);
/// Longest that is waited: what a clock cannot count to is not waited for either.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Begins it. It ends when what is given back is dropped, at any point: whatever was under way is
/// done again by who does it next.
pub(crate) fn start(state: &Shared) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(collecting(Keeper::node(state), state.live.clone()));
    tasks.spawn(scrubbing(Keeper::node(state), state.live.clone()));
    tasks
}

async fn collecting(keeper: Keeper, mut live: Live) {
    let mut first = true;
    loop {
        let keeping = live.now().keeping.clone();
        let retained = async {
            match keeper.catalog.is_read_only().await? {
                true => Ok(None),
                false => keeper.retain(&keeping.retention, &Changer::itself("retention")).await,
            }
        };
        if let Err(error) = retained.await {
            failed(&error, "images that no rule keeps were not all deleted");
        }
        match keeper.collect(&Actor::itself("gc")).await {
            Ok(Some(collected)) if collected.blobs > 0 => {
                let super::Collected { blobs, bytes } = collected;
                tracing::info!(blobs, bytes, "removed files that no image refers to");
            }
            Ok(_) => {}
            Err(error) => failed(&error, "files that no image refers to were not removed"),
        }
        if let Err(error) = keeper.reserve.keep() {
            failed(&error.into(), "no room is kept in reserve for a full disk");
        }
        let most = if first { AGAIN } else { Duration::MAX };
        pause(&mut live, |keeping| keeping.collect_every.min(most)).await;
        first = false;
    }
}

/// Waits about as long as the configuration says, from now on; also where that changes meanwhile.
async fn pause(live: &mut Live, every: impl Fn(&Keeping) -> Duration) {
    let began = Instant::now();
    loop {
        let due = began + about(every(&live.now().keeping));
        tokio::select! {
            () = tokio::time::sleep_until(due) => return,
            () = live.changed() => {}
        }
    }
}

async fn scrubbing(keeper: Keeper, mut live: Live) {
    loop {
        pause(&mut live, |keeping| SCRUB_PAUSE.min(keeping.scrub_every)).await;
        let keeping = live.now().keeping.clone();
        let now = keeper.clock.now();
        let since = now.checked_sub(keeping.scrub_every).unwrap_or(SystemTime::UNIX_EPOCH);
        match keeper.scrub(since, keeping.scrub_rate).await {
            Ok(Some(scrubbed)) if scrubbed.blobs > 0 => {
                let (blobs, bytes, damaged) =
                    (scrubbed.blobs, scrubbed.bytes, scrubbed.damaged.len());
                tracing::info!(blobs, bytes, damaged, "read files again");
            }
            Ok(_) => {}
            Err(error) => failed(&error, "files were not read again"),
        }
    }
}

fn failed(error: &KeepError, what: &'static str) {
    tracing::error!(error = error as &dyn Error, "{what}");
}

/// That long, give or take a tenth: nodes that were started together need not work at the same time.
fn about(every: Duration) -> Duration {
    let drawn = TokenId::generate().ok();
    let drawn =
        drawn.and_then(|id| u32::from_str_radix(id.as_str(), 16).ok()).unwrap_or(u32::MAX / 2);
    every.min(LONGEST).mul_f64(0.9 + 0.2 * f64::from(drawn) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pause_is_as_the_configuration_says_in_the_end() {
        let mut file = crate::config::ConfigFile::default();
        file.server.data = Some("/data".into());
        file.server.domains = Some(vec!["example.com".parse().unwrap()]);
        let config = file.resolve(crate::config::Clock::system()).unwrap();
        let (sender, mut live) = Live::new(config.clone());
        let began = Instant::now();
        let change = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let mut new = config.clone();
            new.keeping.collect_every = Duration::from_secs(100);
            sender.send_replace(std::sync::Arc::new(new));
        };
        tokio::join!(change, pause(&mut live, |keeping| keeping.collect_every));
        let took = began.elapsed().as_secs();
        assert!((89..=111).contains(&took), "{took}");
        // What is over already is not waited for.
        let change = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let mut new = config.clone();
            new.keeping.collect_every = Duration::from_secs(10);
            sender.send_replace(std::sync::Arc::new(new));
        };
        let began = Instant::now();
        tokio::join!(change, pause(&mut live, |keeping| keeping.collect_every));
        let took = began.elapsed().as_secs();
        assert!((59..=61).contains(&took), "{took}");
    }

    #[test]
    fn pauses_are_about_what_was_asked_and_differ() {
        let hour = Duration::from_secs(3600);
        let pauses: Vec<Duration> = (0..20).map(|_| about(hour)).collect();
        assert!(
            pauses.iter().all(|pause| *pause >= hour.mul_f64(0.9) && *pause <= hour.mul_f64(1.1))
        );
        assert!(pauses.windows(2).any(|two| two[0] != two[1]));
        assert!(about(Duration::MAX) < 2 * LONGEST);
    }
}
