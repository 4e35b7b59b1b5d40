//! How often somebody may ask, and how long who has failed waits.

use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime};

use registry::{Action, Config, Grant, admin};
use reqwest::{Response, StatusCode};

use crate::fixture::*;

const PASSWORD: &str = "correct horse battery";
const SECOND: Duration = Duration::from_secs(1);

/// A registry behind a proxy on this machine, which is believed for whom it asks.
async fn behind_a_proxy(adjust: impl FnOnce(&mut Config)) -> Registry {
    let registry = Registry::start_with(|config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        adjust(config);
    })
    .await;
    registry.add_key("example.com", team_key()).await;
    let grant = Grant::new(vec!["example.com".parse().unwrap()], vec![Action::Push]);
    for name in ["alice", "bob"] {
        let (place, name) = (registry.place().await, name.parse().unwrap());
        let password = PASSWORD.parse().unwrap();
        let (grant, now) = (grant.clone(), SystemTime::now());
        assert!(admin::add_user(&place, name, &password, grant, now).await.unwrap().is_some());
    }
    registry
}

async fn get_from(registry: &Registry, address: &str, token: Option<&str>) -> Response {
    let url = registry.url("/-/pubkeys/example.com.asc");
    let request = registry.client.get(url).header("x-forwarded-for", address);
    match token {
        Some(token) => {
            let url = registry.url("/-/acpush/example.com/a");
            let request = registry.client.post(url).header("x-forwarded-for", address);
            request.bearer_auth(token).send().await.unwrap()
        }
        None => request.send().await.unwrap(),
    }
}

/// Whoever may push is told where to.
async fn log_in(registry: &Registry, address: &str, user: &str, password: &str) -> Response {
    let request = registry.client.post(registry.url("/-/acpush/example.com/a"));
    let request = request.header("x-forwarded-for", address);
    request.basic_auth(user, Some(password)).send().await.unwrap()
}

fn retry_after(response: &Response) -> u64 {
    response.headers()["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn rate_of_an_address_is_limited_and_others_are_served() {
    let registry = behind_a_proxy(|config| {
        config.rates.requests_per_second = NonZeroU32::MIN;
        config.rates.burst = NonZeroU32::new(20).unwrap();
    })
    .await;
    let mut answers = Vec::new();
    // A slow machine fills the bucket meanwhile, by one in a second.
    let limited = loop {
        let response = get_from(&registry, "203.0.113.9", None).await;
        answers.push(response.status());
        assert!(answers.len() < 200, "{answers:?}");
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            break response;
        }
    };
    assert!(answers.len() > 20, "{answers:?}");
    assert!((1..=2).contains(&retry_after(&limited)));
    assert_eq!(refused(limited).await, (429, "too-many-requests".to_owned()));
    for other in ["203.0.113.10", "2001:db8::1", "127.0.0.1"] {
        assert_eq!(get_from(&registry, other, None).await.status(), StatusCode::OK, "{other}");
    }
    // Whom the proxy does not tell is not the proxy's machine.
    let mut statuses = Vec::new();
    for _ in 0..60 {
        statuses.push(get_from(&registry, "unknown", None).await.status());
    }
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS));
    for (address, status) in [("unknown", 403), ("127.0.0.1", 200)] {
        let metrics = registry.get_with("/-/metrics", &[("x-forwarded-for", address)]).await;
        assert!([status, 429].contains(&metrics.status().as_u16()), "{address}");
    }
    // Whether it lives is asked without end.
    for _ in 0..30 {
        let health = registry.get_with("/-/healthz", &[("x-forwarded-for", "203.0.113.9")]);
        assert_eq!(health.await.status(), StatusCode::OK);
    }
    // A whole network of IPv6 is one.
    let mut statuses = Vec::new();
    for host in 0..60 {
        let response = get_from(&registry, &format!("2001:db8:1::{host:x}"), None).await;
        statuses.push(response.status());
    }
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS));
}

#[tokio::test]
async fn rate_of_a_caller_is_limited_from_wherever_it_asks() {
    let registry = behind_a_proxy(|config| {
        config.rates.requests_per_second = NonZeroU32::MIN;
        config.rates.burst = NonZeroU32::new(20).unwrap();
    })
    .await;
    let token = registry.token("example.com").await;
    let other = registry.token("example.com").await;
    let mut statuses = Vec::new();
    while !statuses.contains(&StatusCode::TOO_MANY_REQUESTS) {
        let address = format!("198.51.100.{}", statuses.len());
        statuses.push(get_from(&registry, &address, Some(&token)).await.status());
        assert!(statuses.len() < 200, "{statuses:?}");
    }
    assert!(statuses.len() > 20, "{statuses:?}");
    let response = get_from(&registry, "203.0.113.1", Some(&other)).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn failures_of_an_address_make_it_wait_and_nobody_else() {
    let registry = behind_a_proxy(|config| {
        config.rates.failure_delay = 10 * SECOND;
        // Names are another matter.
        config.rates.user_delay = Duration::ZERO;
    })
    .await;
    let wrong = async || log_in(&registry, "203.0.113.9", "alice", "wrong").await;
    // Who was right before tells nothing of the others.
    let right = async |address| log_in(&registry, address, "bob", PASSWORD).await.status();
    assert_eq!(right("203.0.113.9").await, StatusCode::OK);
    for _ in 0..21 {
        assert_eq!(wrong().await.status(), StatusCode::UNAUTHORIZED);
    }
    let limited = wrong().await;
    assert!((1..=11).contains(&retry_after(&limited)));
    assert_eq!(refused(limited).await, (429, "too-many-failures".to_owned()));
    // Even a right one is not compared, but of who was right a moment ago, and from elsewhere.
    let alice = log_in(&registry, "203.0.113.9", "alice", PASSWORD).await;
    assert_eq!(alice.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(right("203.0.113.9").await, StatusCode::OK);
    assert_eq!(right("203.0.113.10").await, StatusCode::OK);
    let alice = log_in(&registry, "203.0.113.10", "alice", PASSWORD).await;
    assert_eq!(alice.status(), StatusCode::OK);
    // Tokens are not guessed, so they go on.
    let token = registry.token("example.com").await;
    let response = get_from(&registry, "203.0.113.9", Some(&token)).await;
    assert_eq!(response.status(), StatusCode::OK);
    // After the time, one more; and then twice as long.
    *registry.time.lock().unwrap() += 11 * SECOND;
    assert_eq!(wrong().await.status(), StatusCode::UNAUTHORIZED);
    *registry.time.lock().unwrap() += 11 * SECOND;
    assert_eq!(wrong().await.status(), StatusCode::TOO_MANY_REQUESTS);
    *registry.time.lock().unwrap() += 10 * SECOND;
    assert_eq!(wrong().await.status(), StatusCode::UNAUTHORIZED);
    // It is forgotten in the end.
    *registry.time.lock().unwrap() += 3700 * SECOND;
    for _ in 0..5 {
        assert_eq!(wrong().await.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_an_address_at_once_are_no_more_than_one_after_the_other() {
    let registry = behind_a_proxy(|config| {
        config.rates.failure_delay = 100 * SECOND;
        config.rates.user_delay = Duration::ZERO;
    })
    .await;
    let wrong = (0..60).map(|_| log_in(&registry, "203.0.113.9", "alice", "wrong"));
    let answers = futures_util::future::join_all(wrong).await;
    let compared = answers.iter().filter(|answer| answer.status() == StatusCode::UNAUTHORIZED);
    assert_eq!(compared.count(), 21);
}

#[tokio::test]
async fn failures_in_a_name_make_it_slow_and_keep_nobody_out() {
    let registry = behind_a_proxy(|config| {
        config.rates.failure_delay = 2 * SECOND;
        config.rates.user_delay = 2 * SECOND;
    })
    .await;
    // From many addresses, and for a user that is not there as well.
    for name in ["alice", "mallory"] {
        for at in 0..6 {
            let start = Instant::now();
            let address = format!("203.0.113.{at}");
            let response = log_in(&registry, &address, name, "wrong").await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            assert!(at < 5 || start.elapsed() >= 2 * SECOND, "{name}");
        }
    }
    let start = Instant::now();
    let right = log_in(&registry, "198.51.100.1", "alice", PASSWORD).await;
    assert_eq!(right.status(), StatusCode::OK);
    assert!(start.elapsed() >= 2 * SECOND, "it waits");
    // It was right: what strangers did is forgotten. Several at once count each.
    let wrong = (0..6).map(|_| log_in(&registry, "198.51.100.2", "alice", "wrong"));
    let start = Instant::now();
    for response in futures_util::future::join_all(wrong).await {
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    assert!(start.elapsed() >= 2 * SECOND, "the last of them waits");
}
