//! When what failed is tried again, and after how long.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::cache::text;

/// The first pause. Each further one is twice as long.
const FIRST: Duration = Duration::from_millis(250);

/// No pause of ours is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// What a server may ask for with `Retry-After`. One that asks for more is not asked again.
pub(crate) const LONGEST_ASKED: Duration = Duration::from_secs(120);

/// Where pauses and their chance come from: the clock and the system, or a test.
pub trait Pace: Send + Sync {
    /// A number from 0 up to 1, by chance.
    fn fraction(&self) -> f64;
    /// Lets time pass.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// Real time and real chance.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealPace;

impl Pace for RealPace {
    fn fraction(&self) -> f64 {
        let mut random = [0; 4];
        #[expect(clippy::disallowed_methods, reason = "the one place where requests draw lots")]
        let drawn = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
        // Without chance the longest pause is the safe one.
        drawn.map_or(1.0, |_| f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX))
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// How often, in a row and without any progress, something is tried again.
#[derive(Clone)]
pub struct Retries {
    /// How often; 0 is never.
    pub count: u32,
    /// Time and chance.
    pub pace: Arc<dyn Pace>,
}

impl Default for Retries {
    fn default() -> Self {
        Self { count: 3, pace: Arc::new(RealPace) }
    }
}

impl fmt::Debug for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retries").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Retries {
    /// Lets the pause after so many failures pass.
    pub(crate) async fn pause(&self, failures: u32, asked: Option<Duration>) {
        self.let_pass(self.length(failures, asked)).await;
    }

    /// The pause after so many failures: twice as long each time, and by chance up to a half
    /// less, so that clients that failed together do not come back together.
    pub(crate) fn length(&self, failures: u32, asked: Option<Duration>) -> Duration {
        let full = FIRST.saturating_mul(1 << failures.min(10)).min(LONGEST);
        let pause = full.mul_f64(0.5 + 0.5 * self.pace.fraction().clamp(0.0, 1.0));
        pause.max(asked.unwrap_or_default())
    }

    pub(crate) async fn let_pass(&self, pause: Duration) {
        self.pace.sleep(pause).await;
    }
}

/// Whether a status says that another time may be better.
pub(crate) fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// A time as people say it, rounded up: `90 seconds`, `10 minutes`, `3 hours`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    match seconds {
        1 => "1 second".to_owned(),
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3600)),
    }
}

/// How long a server asks to wait: seconds, or a date, which counts from the server's own.
pub(crate) fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    let asked = text(headers, &RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let (until, now) = (date(&asked)?, date(&text(headers, &DATE)?)?);
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Written(Mutex<Vec<Duration>>);

    impl Pace for Written {
        fn fraction(&self) -> f64 {
            0.5
        }

        fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            self.0.lock().unwrap().push(time);
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn pauses_double_up_to_a_limit_and_heed_the_server() {
        let pace = Arc::new(Written::default());
        let retries = Retries { count: 3, pace: pace.clone() };
        for failures in [0, 1, 2, 20] {
            retries.pause(failures, None).await;
        }
        retries.pause(0, Some(Duration::from_secs(7))).await;
        let seconds: Vec<_> = pace.0.lock().unwrap().iter().map(Duration::as_secs_f64).collect();
        assert_eq!(seconds, [0.1875, 0.375, 0.75, 22.5, 7.0]);
    }
}
