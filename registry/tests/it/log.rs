//! What is logged, and what never is.

use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};

use reqwest::StatusCode;
use tracing_subscriber::EnvFilter;

use crate::fixture::*;

/// What the servers of all tests have logged, at every level.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to log, for the whole process: whether a line is logged at all is decided
/// once, when it is first met.
pub(crate) fn begin() {
    static BEGUN: OnceLock<()> = OnceLock::new();
    BEGUN.get_or_init(|| {
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("registry=trace"))
            .with_ansi(false)
            .with_writer(|| Log)
            .init();
    });
}

/// All that was logged.
pub(crate) fn text() -> String {
    String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned()
}

#[tokio::test]
async fn log_has_every_request_and_no_token() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key());
    let token = registry.token("example.com").await;
    let image = image("example.com/logged:1", b"a");
    let pushed = registry.publish(&token, &image, team_key()).await;
    registry.get(&format!("/logged?token={token}")).await;
    let unknown = format!("gantry_{}", "ab".repeat(32));
    let refused = registry.push(&unknown, &image, b"x").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    assert!(log.contains("method=POST path=\"/-/api/v1/uploads\" status=201"), "{log}");
    assert!(log.contains("method=GET path=\"/logged\" status=200"), "{log}");
    assert!(log.contains("status=401"), "{log}");
    let published = format!("published image={} reference=example.com/logged:1", pushed.image_id);
    assert!(log.contains(&published), "{log}");
    for secret in [token.as_str(), unknown.as_str()] {
        assert!(!log.contains(secret.strip_prefix("gantry_").unwrap()), "{log}");
    }
}
