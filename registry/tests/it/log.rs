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
        crate::document::saw(&String::from_utf8_lossy(bytes));
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
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/logged:1", b"a");
    let pushed = registry.publish(&token, &image, team_key()).await;
    registry.get(&format!("/logged?token={token}")).await;
    let unknown = format!("gantry_{}", "ab".repeat(32));
    let refused = registry.push(&unknown, &image, b"x").await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let log = logged("status=401").await;
    assert!(log.contains("method=GET path=\"/logged\""), "{log}");
    let published = format!("published image={} reference=example.com/logged:1", pushed.image_id);
    assert!(log.contains(&published), "{log}");
    for secret in [token.as_str(), unknown.as_str()] {
        assert!(!log.contains(secret.strip_prefix("gantry_").unwrap()), "{log}");
    }
}

/// The log, once a line of it has this. An answer's line is written when the client may
/// have read it already.
async fn logged(text: &str) -> String {
    let start = std::time::Instant::now();
    loop {
        let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
        if log.contains(text) {
            return log;
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(30), "{text:?} in {log}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// The lines of the log that belong to this request.
async fn lines_of(id: &str, last: &str) -> Vec<String> {
    let id = format!("request{{id={id} ");
    let start = std::time::Instant::now();
    loop {
        let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = log.lines().filter(|l| l.contains(&id)).map(str::to_owned).collect();
        if lines.last().is_some_and(|line| line.contains(last)) {
            return lines;
        }
        assert!(start.elapsed() < std::time::Duration::from_secs(30), "{last:?} in {lines:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn requests_have_an_id_in_the_answer_and_in_every_line() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let (token, token_id) = registry.token_for("example.com", None).await;
    let image = image("example.com/traced:1", b"a");
    let created = registry.create(&token, &sign(team_key(), &image.bytes)).await;
    let upload: aci::push::Upload = created.json().await.unwrap();
    let push = registry.client.put(registry.url(&upload.path)).bearer_auth(&token);
    let push = push.header("x-request-id", "from-the-balancer-1").body(image.bytes.clone());
    let pushed = push.send().await.unwrap();
    assert_eq!(pushed.headers()["x-request-id"], "from-the-balancer-1");
    let length = pushed.bytes().await.unwrap().len();
    let lines = lines_of("from-the-balancer-1", "answered").await;
    assert!(lines.iter().any(|line| line.contains("published image=")), "{lines:?}");
    let last = lines.last().unwrap();
    for part in [
        "peer=127.0.0.1:",
        "method=PUT",
        "host=example.com",
        &format!("path=\"{}\"", upload.path),
        &format!("caller=\"token:{token_id}\""),
        &format!("answered status=201 bytes={length} ms="),
    ] {
        assert!(last.contains(part), "{part} in {last}");
    }
    // One that is not harmless is not taken.
    let made = registry.get_with("/", &[("x-request-id", "a{b}=\"c\"")]).await;
    let id = made.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!(id.len(), 16, "{id}");
    assert!(lines_of(&id, "answered").await.last().unwrap().contains("status=200"));
    assert_ne!(registry.get("/").await.headers()["x-request-id"], id.as_str());
}

#[tokio::test]
async fn faults_tell_the_id_of_their_request_and_nothing_else() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", b"a");
    registry.publish(&token, &image, team_key()).await;
    for lost in files_below(&registry.data().join("blobs")) {
        // A link to itself, which nobody can open.
        std::fs::remove_file(&lost).unwrap();
        std::os::unix::fs::symlink(&lost, &lost).unwrap();
    }
    let response = registry.get(&format!("/-/blobs/{}.aci", image.id)).await;
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let (status, refusal) = refusal(response).await;
    assert_eq!((status, refusal.code.as_str()), (500, "internal"));
    let wanted = "a fault of the registry's own; its log has the details; the request's ID in the registry's log is ";
    assert_eq!(refusal.found, format!("{wanted}{id}"));
    let lines = lines_of(&id, "answered status=500").await;
    assert!(lines.iter().any(|line| line.contains("symbolic links")), "{lines:?}");
}
