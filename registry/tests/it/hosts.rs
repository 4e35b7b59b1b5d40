//! For which hosts a registry answers.

use crate::fixture::*;
use crate::wire::{exchange, exchange2};

/// Every route there is, and what is none.
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/?ac-discovery=1"),
    ("GET", "/team"),
    ("POST", "/team"),
    ("GET", "/-/images/example.com/a:1.aci"),
    ("GET", "/-/blobs/sha512-00.aci"),
    ("GET", "/-/pubkeys/example.com.asc"),
    ("GET", "/-/assets/style.css"),
    ("GET", "/-/api/v1/openapi.json"),
    ("POST", "/-/api/v1/uploads"),
    ("PUT", "/-/api/v1/uploads/0"),
    ("POST", "/-/acpush/example.com/a"),
    ("PUT", "/-/acpush/-/0/manifest"),
    ("PUT", "/-/acpush/-/0/signature"),
    ("PUT", "/-/acpush/-/0/aci"),
    ("POST", "/-/acpush/-/0/complete"),
    ("GET", "/-/nothing"),
    ("DELETE", "/-/healthz/x"),
    ("OPTIONS", "*"),
];

#[tokio::test]
async fn pages_of_others_change_nothing_through_a_browser() {
    let registry = Registry::start().await;
    let token = registry.token("example.com").await;
    let ask = async |method: &str, said: &[(&str, &str)]| {
        let url = registry.url("/-/acpush/example.com/a");
        let request = registry.client.request(method.parse().unwrap(), url).bearer_auth(&token);
        let with = |request: reqwest::RequestBuilder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        said.iter().fold(request, with).send().await.unwrap()
    };
    for said in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site"), ("origin", "https://other.example.com")],
        &[("origin", "https://evil.example")],
        &[("origin", "https://example.com.evil.example")],
        &[("origin", "null")],
    ] {
        let answer = ask("POST", said).await;
        assert_eq!(refused(answer).await, (403, "other-site".to_owned()), "{said:?}");
        assert_ne!(ask("GET", said).await.status(), 403, "{said:?}");
    }
    for said in [
        &[][..],
        &[("sec-fetch-site", "same-origin"), ("origin", "https://example.com:8443")],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://EXAMPLE.com")],
    ] {
        assert_eq!(ask("POST", said).await.status(), 200, "{said:?}");
    }
}

#[tokio::test]
async fn hosts_of_others_are_refused_on_every_route() {
    let registry = Registry::start().await;
    for (method, path) in ROUTES {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
        let answer = exchange(&registry, &request).await;
        assert_eq!(answer.status, 421, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {path}");
        for (name, value) in &answer.headers {
            assert!(!value.contains("evil"), "{name}: {value}");
        }
        if *method != "HEAD" {
            assert!(answer.text().contains("host-not-served"), "{}", answer.text());
        }
        // The same request for our own host gets further.
        let request = request.replace("evil.example", "example.com");
        assert_ne!(exchange(&registry, &request).await.status, 421, "{method} {path}");
    }
}

#[tokio::test]
async fn hosts_do_not_matter_to_those_who_ask_by_address() {
    let registry = Registry::start().await;
    for path in ["/-/healthz", "/-/readyz", "/-/metrics"] {
        for host in ["Host: 10.1.2.3:8443\r\n", "Host: evil.example\r\n", ""] {
            let request = format!("GET {path} HTTP/1.1\r\n{host}\r\n");
            assert_eq!(exchange(&registry, &request).await.status, 200, "{path} {host}");
        }
        let posted = format!("POST {path} HTTP/1.1\r\nHost: example.com\r\n\r\n");
        assert_eq!(exchange(&registry, &posted).await.status, 405);
    }
}

#[tokio::test]
async fn hosts_said_twice_or_never_are_decided_by_the_rfcs() {
    let registry = Registry::start().await;
    for (target, hosts, status) in [
        ("/", "", 400),
        ("/", "Host: example.com\r\nHost: example.com\r\n", 400),
        ("/", "Host: example.com\r\nHost: evil.example\r\n", 400),
        ("/", "Host: example.com/x\r\n", 400),
        ("/", "Host: user@example.com\r\n", 400),
        ("/", "Host: example.com:8443\r\n", 200),
        ("https://example.com/", "Host: evil.example\r\n", 200),
        ("https://evil.example/", "Host: example.com\r\n", 421),
        ("https://example.com/", "", 400),
    ] {
        let answer = exchange(&registry, &format!("GET {target} HTTP/1.1\r\n{hosts}\r\n")).await;
        assert_eq!(answer.status, status, "{target} {hosts}");
        if status == 400 {
            assert!(answer.text().contains("host-malformed"), "{}", answer.text());
        }
        assert!(!answer.text().contains("content=\"evil"), "{}", answer.text());
    }
    let old = exchange(&registry, "GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.status, 400);
}

#[tokio::test]
async fn hosts_of_http2_are_the_authority() {
    let registry = Registry::start().await;
    let get = [(":method", "GET"), (":scheme", "https"), (":path", "/-/assets/x")];
    for (fields, wanted) in [
        (&[(":authority", "example.com")][..], "path-unknown"),
        (&[(":authority", "evil.example")], "host-not-served"),
        (&[(":authority", "example.com"), ("host", "EXAMPLE.com:1")], "path-unknown"),
        (&[(":authority", "example.com"), ("host", "evil.example")], "host-malformed"),
        (&[(":authority", "evil.example"), ("host", "example.com")], "host-malformed"),
        (&[("host", "example.com")], "path-unknown"),
        (&[("host", "evil.example")], "host-not-served"),
        (&[("host", "example.com"), ("host", "example.com")], "host-malformed"),
        (&[], "host-malformed"),
    ] {
        let body = exchange2(&registry, &[&get, fields].concat()).await;
        assert!(body.contains(wanted), "{fields:?}: {body}");
    }
}
