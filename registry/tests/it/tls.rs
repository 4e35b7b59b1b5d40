//! Certificates, protocols, and clients that say nothing.

use std::time::{Duration, Instant, SystemTime};

use registry::Tls;
use reqwest::{StatusCode, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::*;

#[tokio::test]
async fn tls_speaks_http2_and_http1() {
    let registry = Registry::start().await;
    let authority = registry.data().join("tls/ca.pem");
    for (http1, version) in [(false, Version::HTTP_2), (true, Version::HTTP_11)] {
        let client = client(registry.address, &authority, http1);
        for host in ["example.com", "localhost", "127.0.0.1"] {
            let url = registry.url_of(host, "/-/healthz");
            assert_eq!(client.get(url).send().await.unwrap().version(), version, "{host}");
        }
        // A name that is none of ours is not vouched for.
        assert!(client.get(registry.url_of("evil.example", "/")).send().await.is_err());
    }
    let chosen = registry.connect(&[b"h2", b"http/1.1"]).await;
    assert_eq!(chosen.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]), "the faster for images");
}

#[tokio::test]
async fn tls_authority_stays_when_domains_change() {
    let registry = Registry::start().await;
    let authority = registry.data().join("tls/ca.pem");
    let before = std::fs::read(&authority).unwrap();
    let folder = registry.stop().await;
    let registry = Registry::start_in(folder, |config| {
        config.domains = vec!["example.org".parse().unwrap()].try_into().unwrap();
    })
    .await;
    assert_eq!(std::fs::read(&authority).unwrap(), before);
    let url = registry.url_of("example.org", "/");
    assert_eq!(registry.client.get(url).send().await.unwrap().status(), StatusCode::OK);
    assert!(registry.client.get(registry.url("/")).send().await.is_err(), "no longer ours");
}

#[tokio::test]
async fn tls_takes_certificates_from_files() {
    let first = Registry::start().await;
    let tls = first.data().join("tls");
    let files =
        Tls::Files { certificates: tls.join("server.pem"), key: tls.join("server-key.pem") };
    let registry = Registry::start_in(tempfile::tempdir().unwrap(), |config| {
        // The fixture's client wants an authority; it is the first registry's.
        std::fs::create_dir_all(config.data.join("tls")).unwrap();
        std::fs::copy(tls.join("ca.pem"), config.data.join("tls/ca.pem")).unwrap();
        config.tls = files;
    })
    .await;
    assert_eq!(registry.get("/").await.status(), StatusCode::OK);
    assert!(!registry.data().join("tls/server.pem").exists(), "nothing is made");
}

#[tokio::test]
async fn tls_files_that_are_none_are_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pem");
    std::fs::write(&path, "no certificate").unwrap();
    let time = std::sync::Arc::new(std::sync::Mutex::new(std::time::SystemTime::now()));
    let mut config = config(place(folder.path()).await, &time);
    config.tls = Tls::Files { certificates: path.clone(), key: path };
    let stop = std::future::pending();
    let error = registry::serve(config, |_| panic!("it listens"), stop).await.unwrap_err();
    assert!(error.to_string().contains("holds no certificate"), "{error}");
}

async fn ended(mut stream: impl AsyncReadExt + Unpin) -> Duration {
    let start = Instant::now();
    let mut sink = Vec::new();
    let read = stream.read_to_end(&mut sink);
    let _ = tokio::time::timeout(Duration::from_secs(20), read).await.expect("it is closed");
    start.elapsed()
}

#[tokio::test]
async fn silent_clients_are_let_go() {
    let registry = Registry::start_with(|config| {
        config.timeouts.handshake = Duration::from_millis(300);
        config.timeouts.headers = Duration::from_millis(600);
        config.timeouts.silence = Duration::from_millis(900);
    })
    .await;
    // No handshake at all.
    let silent = TcpStream::connect(registry.address).await.unwrap();
    assert!(ended(silent).await >= Duration::from_millis(250));
    for (protocol, words) in [
        // Nothing after the handshake; half a request; half of HTTP/2's first words.
        (&b"http/1.1"[..], &b""[..]),
        (b"http/1.1", b"GET / HTTP/1.1\r\nHost: exam"),
        (b"h2", b""),
        (b"h2", b"PRI * HTTP/2.0\r\n"),
    ] {
        let mut stream = registry.connect(&[protocol]).await;
        stream.write_all(words).await.unwrap();
        let after = ended(stream).await;
        assert!(after >= Duration::from_millis(500), "{protocol:?} {words:?} {after:?}");
    }
    assert_eq!(registry.get("/-/healthz").await.status(), StatusCode::OK);
}

/// How often a certificate of this day was warned of, in the logs of all tests.
fn warnings(day: &str) -> usize {
    crate::log::text()
        .lines()
        .filter(|line| line.contains("runs out") && line.contains(day))
        .count()
}

#[tokio::test]
async fn tls_certificate_that_runs_out_is_warned_of_every_day() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["example.com".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2044, 3, 30);
    std::fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let at = |day| SystemTime::from(rcgen::date_time_ymd(2044, 3, day));
    let registry = Registry::start_in(tempfile::tempdir().unwrap(), |config| {
        std::fs::create_dir_all(config.data.join("tls")).unwrap();
        std::fs::copy(&certificate, config.data.join("tls/ca.pem")).unwrap();
        config.tls = Tls::Files { certificates: certificate.clone(), key };
    })
    .await;
    let says = async |times| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while warnings("2044-03-30") < times {
            assert!(Instant::now() < deadline, "{}", warnings("2044-03-30"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(warnings("2044-03-30"), times);
    };
    says(0).await;
    *registry.time.lock().unwrap() = at(20);
    says(1).await;
    // Once on each day: the next look is on the same one.
    tokio::time::sleep(Duration::from_secs(3)).await;
    says(1).await;
    *registry.time.lock().unwrap() = at(21);
    says(2).await;
    // From its end on, clients refuse it: that is no warning.
    *registry.time.lock().unwrap() = SystemTime::from(rcgen::date_time_ymd(2044, 4, 1));
    let over = |line: &str| {
        line.contains("ERROR") && line.contains("has run out") && line.contains("2044-03-30")
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !crate::log::text().lines().any(over) {
        assert!(Instant::now() < deadline, "it was not said");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(warnings("2044-03-30"), 2);
}
