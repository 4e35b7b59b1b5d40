//! Conditional and range requests (RFC 9110, 13 and 14).

use std::ops::Range;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, Method, header};

use super::range::{Asked, asked};

/// What identifies the file as it is now.
#[derive(Debug, Clone)]
pub(crate) struct Validators {
    /// A strong entity tag, quotes included.
    pub(crate) etag: String,
    /// When it last changed.
    pub(crate) modified: SystemTime,
    /// How many bytes it has.
    pub(crate) bytes: u64,
}

/// What to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The whole file: 200.
    Whole,
    /// Some of it: 206.
    Part(Range<u64>),
    /// Several parts of it: 206, as `multipart/byteranges`.
    Parts(Vec<Range<u64>>),
    /// The client has it: 304.
    NotModified,
    /// It is not what the client has: 412.
    PreconditionFailed,
    /// No byte of the ranges exists: 416.
    Unsatisfiable,
}

/// Decides, in the order of RFC 9110, 13.2.2.
pub(crate) fn answer(method: &Method, headers: &HeaderMap, file: &Validators) -> Answer {
    if headers.contains_key(header::IF_MATCH) {
        if !lists(headers, header::IF_MATCH, file, Comparison::Strong) {
            return Answer::PreconditionFailed;
        }
    } else if date(headers, header::IF_UNMODIFIED_SINCE).is_some_and(|d| whole(file.modified) > d) {
        return Answer::PreconditionFailed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        if lists(headers, header::IF_NONE_MATCH, file, Comparison::Weak) {
            return Answer::NotModified;
        }
    } else if date(headers, header::IF_MODIFIED_SINCE).is_some_and(|d| whole(file.modified) <= d) {
        return Answer::NotModified;
    }
    // Only GET has ranges (RFC 9110, 14.2).
    if method != Method::GET || !if_range(headers, file) {
        return Answer::Whole;
    }
    range(headers, file.bytes)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a header of entity tags names this file's, or is `*`.
fn lists(headers: &HeaderMap, name: HeaderName, file: &Validators, comparison: Comparison) -> bool {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        // Our tags hold no comma, so splitting at commas cannot make one of two.
        value.split(',').map(str::trim).any(|tag| {
            let tag = match (tag.strip_prefix("W/"), comparison) {
                (Some(_), Comparison::Strong) => return false,
                (Some(tag), Comparison::Weak) => tag,
                (None, _) => tag,
            };
            tag == "*" || tag == file.etag
        })
    })
}

/// Whether a range may be answered with a part: the client's copy is of this file.
fn if_range(headers: &HeaderMap, file: &Validators) -> bool {
    let mut values = headers.get_all(header::IF_RANGE).iter();
    let Some(value) = values.next() else { return true };
    let (Ok(value), None) = (value.to_str(), values.next()) else { return false };
    if value.starts_with('"') || value.starts_with("W/") {
        return value == file.etag;
    }
    httpdate::parse_http_date(value).is_ok_and(|date| date == whole(file.modified))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// The time without its fraction of a second, which HTTP cannot say.
fn whole(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// What the header asks for. Two headers may be answered with the whole, as what is
/// malformed may (RFC 9110, 14.2).
fn range(headers: &HeaderMap, bytes: u64) -> Answer {
    let mut values = headers.get_all(header::RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Answer::Whole };
    let Ok(value) = value.to_str() else { return Answer::Whole };
    match asked(value, bytes) {
        Asked::Whole => Answer::Whole,
        Asked::Unsatisfiable => Answer::Unsatisfiable,
        Asked::Parts(parts) => match parts.as_slice() {
            [part] => Answer::Part(part.clone()),
            _ => Answer::Parts(parts),
        },
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn file() -> Validators {
        Validators {
            etag: "\"sha512-ab\"".to_owned(),
            modified: SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_000_500),
            bytes: 100,
        }
    }

    fn ask(method: Method, pairs: &[(HeaderName, &str)]) -> Answer {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        answer(&method, &headers, &file())
    }

    fn stamp(seconds: u64) -> String {
        httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn ranges_are_of_one_get() {
        for (value, wanted) in [
            ("bytes=0-9", Answer::Part(0..10)),
            ("bytes=0-9,5-14", Answer::Part(0..15)),
            ("bytes=0-9,20-29", Answer::Parts(vec![0..10, 20..30])),
            ("bytes=100-", Answer::Unsatisfiable),
            ("lines=1-2", Answer::Whole),
        ] {
            assert_eq!(ask(Method::GET, &[(header::RANGE, value)]), wanted, "{value:?}");
            assert_eq!(ask(Method::HEAD, &[(header::RANGE, value)]), Answer::Whole);
        }
        let twice = [(header::RANGE, "bytes=0-9"), (header::RANGE, "bytes=0-9")];
        assert_eq!(ask(Method::GET, &twice), Answer::Whole);
    }

    #[test]
    fn if_range_gives_the_whole_of_another_file() {
        let (same, before, after) = (stamp(1_000_000), stamp(999_999), stamp(1_000_001));
        for (value, wanted) in [
            ("\"sha512-ab\"", Answer::Part(0..10)),
            ("W/\"sha512-ab\"", Answer::Whole),
            ("\"other\"", Answer::Whole),
            (same.as_str(), Answer::Part(0..10)),
            (before.as_str(), Answer::Whole),
            (after.as_str(), Answer::Whole),
            ("nonsense", Answer::Whole),
        ] {
            let headers = [(header::RANGE, "bytes=0-9"), (header::IF_RANGE, value)];
            assert_eq!(ask(Method::GET, &headers), wanted, "{value:?}");
        }
        let ours = (header::IF_RANGE, "\"sha512-ab\"");
        let two = [(header::RANGE, "bytes=0-9"), ours.clone(), ours];
        assert_eq!(ask(Method::GET, &two), Answer::Whole);
    }

    #[test]
    fn conditions_go_in_the_order_of_the_rfc() {
        let (same, before) = (stamp(1_000_000), stamp(999_999));
        let (ours, other) = ("\"sha512-ab\"", "\"other\"");
        let cases: &[(&[(HeaderName, &str)], Answer)] = &[
            (&[(header::IF_NONE_MATCH, ours)], Answer::NotModified),
            (&[(header::IF_NONE_MATCH, "W/\"sha512-ab\"")], Answer::NotModified),
            (&[(header::IF_NONE_MATCH, "\"x\", \"sha512-ab\"")], Answer::NotModified),
            (&[(header::IF_NONE_MATCH, "*")], Answer::NotModified),
            (&[(header::IF_NONE_MATCH, other)], Answer::Whole),
            (&[(header::IF_MODIFIED_SINCE, &same)], Answer::NotModified),
            (&[(header::IF_MODIFIED_SINCE, &before)], Answer::Whole),
            (&[(header::IF_NONE_MATCH, other), (header::IF_MODIFIED_SINCE, &same)], Answer::Whole),
            (&[(header::IF_MATCH, other)], Answer::PreconditionFailed),
            (&[(header::IF_MATCH, "W/\"sha512-ab\"")], Answer::PreconditionFailed),
            (&[(header::IF_MATCH, ours)], Answer::Whole),
            (&[(header::IF_UNMODIFIED_SINCE, &before)], Answer::PreconditionFailed),
            (&[(header::IF_UNMODIFIED_SINCE, &same)], Answer::Whole),
            (&[(header::IF_NONE_MATCH, ours), (header::RANGE, "bytes=0-1")], Answer::NotModified),
        ];
        for (headers, wanted) in cases {
            assert_eq!(ask(Method::GET, headers), *wanted, "{headers:?}");
        }
    }
}
