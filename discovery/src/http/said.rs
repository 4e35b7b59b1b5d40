//! What a server says of an answer that does not help: a refusal, as registries word it.
//!
//! ```text
//! HTTP/1.1 401 Unauthorized
//! Content-Type: application/json
//!
//! {"error":{"code":"token-unknown","message":"the token is not known here",…}}
//! ```
//!
//! It is a stranger's text, shown and never acted upon.

use std::time::Duration;

use aci::Refusal;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Deserialize;

use super::{Answer, cache};
use crate::error::printable_line;

/// Bytes that are read of it.
const MAX_BYTES: u64 = 64 << 10;

/// Characters that are shown of each text.
const MAX_CHARACTERS: usize = 500;

/// How long is waited for it. The answer is an error with it or without.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Body {
    error: Said,
}

/// A refusal, where a message is enough.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    code: String,
    message: String,
    wanted: String,
    found: String,
    rule: String,
    next: String,
}

/// What the body says, where it is a refusal and comes in time.
pub(super) async fn said(answer: Answer) -> Option<Box<Refusal>> {
    if !is_json(answer.headers()) {
        return None;
    }
    let bytes = tokio::time::timeout(PATIENCE, answer.bytes(MAX_BYTES)).await.ok()?.ok()?;
    let Body { error } = serde_json::from_slice(&bytes).ok()?;
    let refusal = Refusal {
        code: line(&error.code),
        message: line(&error.message),
        wanted: line(&error.wanted),
        found: line(&error.found),
        rule: line(&error.rule),
        next: line(&error.next),
    };
    (!refusal.message.is_empty()).then(|| Box::new(refusal))
}

/// What is shown of a text: one line, as several could pass for a report of ours, and no long one.
fn line(text: &str) -> String {
    let line = printable_line(text.trim());
    match line.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = cache::text(headers, &CONTENT_TYPE).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}
