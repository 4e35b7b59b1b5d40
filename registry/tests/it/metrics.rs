//! What a registry counts.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use crate::fixture::*;
use crate::wire::exchange;

type Samples = BTreeMap<String, f64>;

/// Reads OpenMetrics text, strictly (OpenMetrics 1.0, "Text Format"): families one after
/// the other, each with its type before its samples, no sample twice, an end.
fn parse(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("an end");
    let mut samples = Samples::new();
    let mut families = Vec::new();
    let mut family = (String::new(), String::new());
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let (word, rest) = rest.split_once(' ').unwrap();
            let (name, value) = rest.split_once(' ').unwrap();
            assert!(["HELP", "TYPE", "UNIT"].contains(&word), "{line}");
            if name != family.0 {
                assert!(!families.contains(&name.to_owned()), "{name} twice");
                families.push(name.to_owned());
                family = (name.to_owned(), String::new());
            }
            if word == "TYPE" {
                family.1 = value.to_owned();
            }
            assert!(word != "UNIT" || name.ends_with(&format!("_{value}")), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let name = series.split('{').next().unwrap();
        let suffix = name.strip_prefix(&family.0).unwrap_or_else(|| panic!("{line} of {family:?}"));
        let suffixes: &[&str] = match family.1.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => panic!("type {other}"),
        };
        assert!(suffixes.contains(&suffix), "{line} of {family:?}");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{line}");
        if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
            let labels = labels.strip_prefix('{').and_then(|l| l.strip_suffix('}')).unwrap();
            // No value of ours holds a comma or a quote.
            for label in labels.split("\",") {
                let (name, value) = label.split_once("=\"").unwrap();
                assert!(name.bytes().all(|b| b.is_ascii_lowercase()), "{line}");
                assert!(!value.trim_end_matches('"').contains(['"', '\\']), "{line}");
            }
        }
        let value: f64 = value.parse().unwrap();
        assert!(samples.insert(series.to_owned(), value).is_none(), "{series} twice");
    }
    samples
}

async fn metrics(registry: &Registry) -> (String, Samples) {
    let response = registry.get("/-/metrics").await;
    assert_eq!(response.status(), StatusCode::OK);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(response.headers()["content-type"], kind);
    let text = response.text().await.unwrap();
    let samples = parse(&text);
    (text, samples)
}

/// The counts, once this one has come to so much: an answer is counted when its client
/// may have read it already.
async fn settled(registry: &Registry, series: &str, value: f64) -> (String, Samples) {
    let start = Instant::now();
    loop {
        let (text, samples) = metrics(registry).await;
        if samples.get(series).is_some_and(|found| *found >= value) {
            return (text, samples);
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{series} in {text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn metrics_count_what_was_pushed_refused_and_fetched() {
    let (registry, token) = started().await;
    let other = Registry::start().await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    registry.publish(&token, &image, team_key()).await;
    assert_eq!(registry.push(&token, &image, &signature).await.status(), StatusCode::OK);
    let mut flipped = image.clone();
    flipped.bytes[20] ^= 1;
    for _ in 0..2 {
        let refused = registry.push(&token, &flipped, &signature).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
    let stranger = registry.create(&token, &sign(other_key(), &image.bytes)).await;
    assert_eq!(stranger.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let blob = format!("/-/blobs/{}.aci", image.id);
    for _ in 0..3 {
        registry.get(&blob).await.bytes().await.unwrap();
    }
    let none = format!("/-/blobs/sha512-{}.aci", "0".repeat(128));
    assert_eq!(registry.get(&none).await.status(), StatusCode::NOT_FOUND);
    exchange(&registry, "BREW /-/x HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
        .await;
    exchange(&registry, "GET /-/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;

    let stored = (image.bytes.len() + signature.len()) as f64;
    let put = "route=\"/-/api/v1/uploads/{id}\",method=\"PUT\"";
    let wanted: Vec<(String, f64)> = vec![
        (format!("gantry_requests_total{{{put},status=\"2xx\"}}"), 2.0),
        (format!("gantry_requests_total{{{put},status=\"4xx\"}}"), 2.0),
        (
            "gantry_requests_total{route=\"/-/blobs/{file}\",method=\"GET\",status=\"2xx\"}".into(),
            3.0,
        ),
        (
            "gantry_requests_total{route=\"/-/blobs/{file}\",method=\"GET\",status=\"4xx\"}".into(),
            1.0,
        ),
        ("gantry_requests_total{route=\"/-/{*rest}\",method=\"other\",status=\"4xx\"}".into(), 1.0),
        ("gantry_request_duration_seconds_count{route=\"/-/blobs/{file}\"}".into(), 4.0),
        (
            "gantry_request_duration_seconds_bucket{le=\"+Inf\",route=\"/-/blobs/{file}\"}".into(),
            4.0,
        ),
        ("gantry_pushes_total{protocol=\"gantry\",outcome=\"published\"}".into(), 1.0),
        ("gantry_pushes_total{protocol=\"gantry\",outcome=\"existed\"}".into(), 1.0),
        ("gantry_pushes_total{protocol=\"gantry\",outcome=\"refused\"}".into(), 3.0),
        ("gantry_push_refusals_total{code=\"signer-not-trusted\"}".into(), 1.0),
        ("gantry_images".into(), 1.0),
        ("gantry_names".into(), 1.0),
        ("gantry_stored_bytes".into(), stored),
        ("gantry_pushes_under_way{state=\"running\"}".into(), 0.0),
        ("gantry_pushes_under_way{state=\"waiting\"}".into(), 0.0),
        ("gantry_connections_closed_total{reason=\"done\"}".into(), 2.0),
    ];
    for (series, wanted) in &wanted {
        settled(&registry, series, *wanted).await;
    }
    let (text, samples) = metrics(&registry).await;
    for (series, wanted) in &wanted {
        assert_eq!(samples.get(series), Some(wanted), "{series}\n{text}");
    }
    let refusals: f64 = samples
        .iter()
        .filter(|(name, _)| name.starts_with("gantry_push_refusals"))
        .map(|(_, n)| n)
        .sum();
    assert_eq!(refusals, 3.0, "{text}");
    let sent = 4.0 * image.bytes.len() as f64;
    assert!(samples["gantry_received_bytes_total"] >= sent, "{text}");
    assert!(samples["gantry_sent_bytes_total"] >= 3.0 * image.bytes.len() as f64, "{text}");
    assert!(samples["gantry_connections_open"] >= 1.0, "{text}");
    assert!(samples.keys().any(|name| name.starts_with("gantry_database_connections{")), "{text}");
    // Nothing of a path is a label.
    assert!(!text.contains(image.id.digits()) && !text.contains("BREW"), "{text}");
    // Another server of the same process has counts of its own.
    let (text, samples) = metrics(&other).await;
    assert_eq!(samples["gantry_images"], 0.0);
    assert!(!text.contains("published"), "{text}");
}

#[tokio::test]
async fn metrics_are_read_by_prometheus_own_parser() {
    let (registry, token) = started().await;
    registry.publish(&token, &hello(), team_key()).await;
    let put = "gantry_pushes_total{protocol=\"gantry\",outcome=\"published\"}";
    let (text, _) = settled(&registry, put, 1.0).await;
    // Debian's package prometheus; the strict reading above stands without it.
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    // 3 is what its style guide has to say of the older format, which it takes this for.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}\n{text}");
}
