//! How often somebody may ask, and how long who has failed waits.
//!
//! Two limits that are no more than that: neither shuts anybody out.
//!
//! - Requests: a bucket for each address, and one for each caller, that fills up steadily. It is each
//!   node's own: a count that all share would cost a write for every request. Behind n nodes the
//!   limits are up to n times as wide.
//! - Passwords that were wrong, counted in the catalogue, for all nodes: from an address, from which
//!   the next one is not compared before a time that grows; and in a user's name, which makes the
//!   next one in that name wait, whoever gives it, for some seconds at most. A stranger can slow a
//!   user down so, never keep the user out. Tokens are not counted: they cannot be guessed.
//!
//! This machine's own address is not limited: it is an administrator's, or a proxy's that was not
//! said to be one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::extract::Request;
use tokio::time::Instant;

use super::user::UserName;
use crate::client_address::ClientAddress;
use crate::error::ApiError;
use crate::state::State;

/// How often somebody may ask.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Requests in a second, in the long run: of one address, and of one caller.
    pub requests_per_second: NonZeroU32,
    /// Requests at once, of who has not asked for a while.
    pub burst: NonZeroU32,
    /// How long a wrong password makes the next one wait at first. It doubles with each.
    pub failure_delay: Duration,
    /// How long it does at most, in a user's name.
    pub user_delay: Duration,
    /// How long it does at most, from an address.
    pub address_delay: Duration,
}

impl Default for Rates {
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            requests_per_second: number(200),
            burst: number(5000),
            failure_delay: Duration::from_millis(500),
            user_delay: Duration::from_secs(5),
            address_delay: Duration::from_secs(60),
        }
    }
}

/// How many wrong passwords in a name cost nothing: people mistype.
const FREE_OF_USER: u32 = 4;
/// How many from an address do: behind one may be many people.
const FREE_OF_ADDRESS: u32 = 20;
/// How long one is remembered.
pub(crate) const FAILURE_LIFETIME: Duration = Duration::from_secs(3600);
/// How many addresses and callers are remembered.
const MOST: usize = 1 << 16;

impl Rates {
    /// How long the next password waits after so many that were wrong and not free.
    fn delay(&self, failures: u32, free: u32, most: Duration) -> Duration {
        let Some(further) = failures.checked_sub(free + 1) else { return Duration::ZERO };
        self.failure_delay.saturating_mul(1 << further.min(20)).min(most)
    }
}

/// Who is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Address(IpAddr),
    Caller(String),
}

/// The buckets: of each only when it will be full again.
#[derive(Default)]
pub(super) struct Buckets(Mutex<HashMap<Who, Instant>>);

impl Buckets {
    /// Takes one request out of a bucket, or says how long it takes until there is one in it.
    fn take(&self, who: Who, rates: &Rates, now: Instant) -> Result<(), Duration> {
        let each = Duration::from_secs(1) / rates.requests_per_second.get();
        let room = each.saturating_mul(rates.burst.get() - 1);
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST && !buckets.contains_key(&who) {
            buckets.retain(|_, full| *full > now);
            if buckets.len() >= MOST {
                // All of them are busy. One more does not matter; memory does.
                return Ok(());
            }
        }
        let full = buckets.entry(who).or_insert(now);
        let behind = full.saturating_duration_since(now);
        if behind > room {
            return Err(behind - room);
        }
        *full = now + behind + each;
        Ok(())
    }
}

/// Who has an IPv6 address has all of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn limited(address: Option<IpAddr>) -> Option<IpAddr> {
    address.filter(|address| !address.to_canonical().is_loopback()).map(network)
}

/// Refuses a request of an address that asks too often.
pub(crate) fn limit(state: &State, request: &Request) -> Result<(), ApiError> {
    let address = request.extensions().get().map(|ClientAddress(address)| *address);
    let Some(address) = limited(address) else { return Ok(()) };
    let (rates, now) = (&state.config().rates, Instant::now());
    let taken = state.access.buckets.take(Who::Address(address), rates, now);
    taken.map_err(ApiError::TooManyRequests)
}

/// Refuses requests of a caller who asks too often, from wherever.
pub(super) fn limit_caller(
    caller: &super::CallerId,
    address: Option<IpAddr>,
    state: &State,
) -> Result<(), ApiError> {
    if address.is_some() && limited(address).is_none() {
        return Ok(());
    }
    let who = Who::Caller(caller.as_str().to_owned());
    let taken = state.access.buckets.take(who, &state.config().rates, Instant::now());
    taken.map_err(ApiError::TooManyRequests)
}

/// One attempt to give a password. It counts as a failure until it is known to be none: so many at
/// once are as slow as one after the other.
pub(super) struct Attempt {
    address: Option<String>,
    user: Option<String>,
}

impl Attempt {
    /// Waits as long as earlier ones in the same name make it; refused where those from the same
    /// address do.
    pub(super) async fn begin(
        user: Option<&UserName>,
        address: Option<IpAddr>,
        state: &State,
    ) -> Result<Self, ApiError> {
        let address = limited(address).map(|address| format!("address:{address}"));
        let user = user.map(|user| format!("user:{user}"));
        let (config, catalog, now) = (state.config(), &state.catalog, state.clock.now());
        let rates = &config.rates;
        if let Some(subject) = &address {
            let wait = |count, last: SystemTime| {
                let until = last + rates.delay(count, FREE_OF_ADDRESS, rates.address_delay);
                until.duration_since(now).unwrap_or_default()
            };
            let noted = catalog.note_failure(subject, since(now), now, wait).await?;
            noted.map_err(ApiError::TooManyFailures)?;
        }
        if let Some(subject) = &user {
            let noted =
                catalog.note_failure(subject, since(now), now, |_, _| Duration::ZERO).await?;
            let count = noted.unwrap_or_default();
            // With nothing held but the connection.
            tokio::time::sleep(rates.delay(count, FREE_OF_USER, rates.user_delay)).await;
        }
        Ok(Self { address, user })
    }

    /// It was right. What the address did before stays: whoever tries others' passwords may have one.
    pub(super) async fn succeed(self, state: &State) -> Result<(), ApiError> {
        if let Some(subject) = self.address {
            state.catalog.take_failure_back(&subject).await?;
        }
        if let Some(subject) = self.user {
            state.catalog.forget_failures(&subject).await?;
        }
        Ok(())
    }
}

/// From when on failures count.
fn since(now: SystemTime) -> SystemTime {
    now.checked_sub(FAILURE_LIFETIME).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(requests_per_second: u32, burst: u32) -> Rates {
        Rates {
            requests_per_second: requests_per_second.try_into().unwrap(),
            burst: burst.try_into().unwrap(),
            ..Rates::default()
        }
    }

    fn caller(number: usize) -> Who {
        Who::Caller(number.to_string())
    }

    #[test]
    fn bucket_gives_a_burst_and_then_fills_steadily() {
        let (buckets, rates, start) = (Buckets::default(), rates(10, 5), Instant::now());
        let take = |at: u64| buckets.take(caller(1), &rates, start + Duration::from_millis(at));
        for _ in 0..5 {
            assert_eq!(take(0), Ok(()));
        }
        assert_eq!(take(0), Err(Duration::from_millis(100)));
        assert_eq!(take(60), Err(Duration::from_millis(40)));
        assert_eq!(take(100), Ok(()));
        assert!(take(100).is_err());
        // Somebody else's is full.
        assert_eq!(buckets.take(caller(2), &rates, start), Ok(()));
        // And after a while this one is, too.
        for _ in 0..5 {
            assert_eq!(take(10_000), Ok(()));
        }
        assert!(take(10_000).is_err());
    }

    #[test]
    fn buckets_are_so_many_and_no_more() {
        let (buckets, rates, start) = (Buckets::default(), rates(1, 2), Instant::now());
        for number in 0..MOST + 10 {
            assert_eq!(buckets.take(caller(number), &rates, start), Ok(()));
        }
        assert_eq!(buckets.0.lock().unwrap().len(), MOST);
        // Those that are full again make room.
        let later = start + Duration::from_secs(10);
        assert_eq!(buckets.take(caller(MOST), &rates, later), Ok(()));
        assert_eq!(buckets.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn delay_grows_to_an_end() {
        let rates = Rates::default();
        let of = |failures| rates.delay(failures, 4, Duration::from_secs(60)).as_millis();
        assert_eq!((of(0), of(4), of(5), of(6), of(7)), (0, 0, 500, 1000, 2000));
        assert_eq!((of(50), of(u32::MAX)), (60_000, 60_000));
    }

    #[test]
    fn address_is_a_network_and_this_machine_is_not_limited() {
        let network = |text: &str| limited(Some(text.parse().unwrap())).map(|ip| ip.to_string());
        assert_eq!(network("203.0.113.9").as_deref(), Some("203.0.113.9"));
        assert_eq!(network("::ffff:203.0.113.9").as_deref(), Some("203.0.113.9"));
        assert_eq!(network("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::"));
        assert_eq!(network("127.0.0.1"), None);
        assert_eq!(network("::1"), None);
    }
}
