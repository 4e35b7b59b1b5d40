//! Whether a registry lives, and whether it can serve.

use std::fs;
use std::time::Duration;

use crate::fixture::*;
use crate::wire::read_answer;
use tokio::io::AsyncWriteExt;

async fn ready(registry: &Registry) -> (u16, String) {
    assert_eq!(registry.get("/-/healthz").await.status(), 200, "it lives whatever else");
    let response = registry.get("/-/readyz").await;
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn ready_says_what_is_missing() {
    let registry = Registry::start().await;
    assert_eq!(ready(&registry).await, (200, "ok\n".to_owned()));
    for (folder, reason) in
        [("blobs", "the blobs cannot be reached\n"), ("spool", "the spool cannot be reached\n")]
    {
        let (here, away) = (registry.data().join(folder), registry.data().join("away"));
        fs::rename(&here, &away).unwrap();
        assert_eq!(ready(&registry).await, (503, reason.to_owned()));
        fs::rename(&away, &here).unwrap();
        assert_eq!(ready(&registry).await, (200, "ok\n".to_owned()));
    }
    let full = Registry::start_with(|config| config.readiness.room = u64::MAX).await;
    assert_eq!(ready(&full).await, (503, "the spool has no room\n".to_owned()));
}

#[tokio::test]
async fn ready_no_longer_while_it_stops() {
    let registry = Registry::start_with(|config| {
        config.readiness.notice = Duration::from_secs(3);
    })
    .await;
    let mut open = registry.connect(&[b"http/1.1"]).await;
    let (address, authority) = (registry.address, registry.data().join("tls/ca.pem"));
    let url = registry.url("/-/readyz");
    let client = client(address, &authority, true);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    let stopping = tokio::spawn(registry.stop());
    // A new connection is served, too: a balancer that has not noticed yet loses nothing.
    let start = std::time::Instant::now();
    let told = loop {
        let response = client.get(&url).header("connection", "close").send().await.unwrap();
        if response.status() == 503 {
            break response.text().await.unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(3));
    };
    assert_eq!(told, "the registry is stopping\n");
    open.write_all(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").await.unwrap();
    assert_eq!(read_answer(&mut open, true).await.status, 200);
    drop(open);
    tokio::time::timeout(Duration::from_secs(30), stopping).await.unwrap().unwrap();
    assert!(client.get(&url).send().await.is_err(), "it is gone");
}
