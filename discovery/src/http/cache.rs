//! What a server says about keeping and comparing an answer (RFC 9110, RFC 9111).

use std::time::{Duration, SystemTime};

use reqwest::header::{
    CACHE_CONTROL, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
};
use serde::{Deserialize, Serialize};

/// For how many seconds a `Cache-Control` header lets an answer be used without asking.
///
/// Read strictly: `no-store` and `no-cache` win wherever they stand, `max-age` is a plain
/// decimal number without quotes, blanks or leading zeros, and of several the shortest counts.
pub fn max_age(cache_control: &str) -> u64 {
    let mut shortest: Option<u64> = None;
    for directive in cache_control.split(',').map(str::trim) {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (directive, None),
        };
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return 0;
        }
        if name.eq_ignore_ascii_case("max-age") {
            let seconds = value.and_then(plain_number).unwrap_or(0);
            shortest = Some(shortest.map_or(seconds, |known| known.min(seconds)));
        }
    }
    shortest.unwrap_or(0)
}

fn plain_number(text: &str) -> Option<u64> {
    let plain = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    // More seconds than there can be are no sensible wish.
    if plain { text.parse().ok() } else { None }
}

/// Whether an answer that was asked for at `asked` may be used at `now` without asking. One
/// from the future shows that a clock was wrong, and is asked for.
pub fn is_fresh(asked: SystemTime, max_age: u64, now: SystemTime) -> bool {
    now.duration_since(asked).is_ok_and(|age| age < Duration::from_secs(max_age))
}

/// By what a file is known again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Validators {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) last_modified: Option<String>,
}

impl Validators {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self { etag: text(headers, &ETAG), last_modified: text(headers, &LAST_MODIFIED) }
    }

    /// What the rest of the very same bytes can be asked by: a strong ETag, or else the time.
    pub(crate) fn for_range(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|etag| etag.starts_with('"'));
        strong.or(self.last_modified.as_deref())
    }

    /// Asks for the file only if it is another one.
    pub(crate) fn ask_if_changed(&self, headers: &mut HeaderMap) {
        put(headers, IF_NONE_MATCH, self.etag.as_deref());
        put(headers, IF_MODIFIED_SINCE, self.last_modified.as_deref());
    }

    /// Asks for the rest of the file if it is still the same one.
    pub(crate) fn ask_for_rest(&self, from: u64, headers: &mut HeaderMap) {
        put(headers, RANGE, Some(&format!("bytes={from}-")));
        put(headers, IF_RANGE, self.for_range());
    }

    /// Whether an answer names other validators than these.
    pub(crate) fn contradicts(&self, other: &Self) -> bool {
        let differ = |a: &Option<String>, b: &Option<String>| {
            a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| a != b)
        };
        differ(&self.etag, &other.etag) || differ(&self.last_modified, &other.last_modified)
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}

pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The seconds all `Cache-Control` headers of an answer allow together.
pub(crate) fn max_age_of(headers: &HeaderMap) -> u64 {
    let all: Vec<_> =
        headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()).collect();
    max_age(&all.join(","))
}

/// Which part of a file an answer with status 206 brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) total: Option<u64>,
}

impl ContentRange {
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = text(headers, &CONTENT_RANGE)?;
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let number = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?
        };
        let total = if total == "*" { None } else { Some(number(total)?) };
        let range = Self { first: number(first)?, last: number(last)?, total };
        let whole = range.first <= range.last && total.is_none_or(|total| range.last < total);
        whole.then_some(range)
    }

    /// Whether this is the rest of a file, from `first` to its end.
    pub(crate) fn is_rest(&self, first: u64, total: Option<u64>) -> bool {
        let to_the_end = self.total.is_none_or(|total| self.last + 1 == total);
        let same = total.is_none() || self.total.is_none() || self.total == total;
        self.first == first && to_the_end && same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_read_strictly() {
        for (header, seconds) in [
            ("max-age=10", 10),
            ("public, MAX-AGE=86400", 86400),
            ("max-age=0", 0),
            ("no-cache, max-age=10", 0),
            ("max-age=10, no-store", 0),
            ("no-cache=\"set-cookie\", max-age=10", 0),
            ("max-age=20, max-age=10", 10),
            ("max-age=010", 0),
            ("max-age=-1", 0),
            ("max-age=99999999999999999999", 0),
            ("s-maxage=10", 0),
            ("", 0),
        ] {
            assert_eq!(max_age(header), seconds, "{header}");
        }
    }

    #[test]
    fn content_range_is_the_rest_or_nothing() {
        let range = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, HeaderValue::from_str(text).unwrap());
            ContentRange::of(&headers)
        };
        assert!(range("bytes 10-99/100").unwrap().is_rest(10, Some(100)));
        assert!(range("bytes 10-99/*").unwrap().is_rest(10, Some(100)));
        assert!(!range("bytes 9-99/100").unwrap().is_rest(10, Some(100)));
        assert!(!range("bytes 10-98/100").unwrap().is_rest(10, Some(100)));
        assert!(!range("bytes 10-199/200").unwrap().is_rest(10, Some(100)));
        for bad in
            ["bytes */100", "bytes 10-9/100", "bytes 10-100/100", "10-99/100", "bytes +1-9/9"]
        {
            assert_eq!(range(bad), None, "{bad}");
        }
    }

    #[test]
    fn validators_for_a_range_are_strong() {
        let of = |etag: Option<&str>, time: Option<&str>| {
            let own = |text: &str| text.to_owned();
            Validators { etag: etag.map(own), last_modified: time.map(own) }
        };
        let time = "Mon, 06 Jan 2025 10:00:00 GMT";
        assert_eq!(of(Some("\"a\""), Some(time)).for_range(), Some("\"a\""));
        assert_eq!(of(Some("W/\"a\""), Some(time)).for_range(), Some(time));
        assert_eq!(of(Some("W/\"a\""), None).for_range(), None);
        assert!(of(Some("\"a\""), None).contradicts(&of(Some("\"b\""), None)));
        assert!(!of(Some("\"a\""), None).contradicts(&of(None, Some(time))));
    }
}
