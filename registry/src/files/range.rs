//! The ranges of a request (RFC 9110, 14.1 and 14.2).
//!
//! Many ranges, and ranges that overlap, multiply what a short request costs us. So there
//! is a limit on their number; those that overlap or touch become one; and a request that
//! has too many, like one that is malformed, is answered with the whole, as the RFC allows.

use std::ops::Range;

/// The most ranges of a request.
pub(crate) const MOST: usize = 16;

/// What the header of a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Everything.
    Whole,
    /// These bytes: one range or more, none empty, no two that overlap or touch, in the
    /// order in which they were asked for.
    Parts(Vec<Range<u64>>),
    /// Bytes that are not there.
    Unsatisfiable,
}

/// What the value of a `Range` header asks for of a file with so many bytes.
pub(crate) fn asked(value: &str, bytes: u64) -> Asked {
    let Some((unit, specs)) = value.split_once('=') else { return Asked::Whole };
    if !unit.eq_ignore_ascii_case("bytes") {
        return Asked::Whole;
    }
    // Empty elements of a list are passed over (RFC 9110, 5.6.1.2).
    let specs = specs.split(',').map(|spec| spec.trim_matches([' ', '\t']));
    let mut parts = Vec::new();
    let mut count = 0;
    for spec in specs.filter(|spec| !spec.is_empty()) {
        count += 1;
        match one(spec, bytes) {
            Spec::Malformed => return Asked::Whole,
            Spec::Unsatisfiable => {}
            Spec::Bytes(range) => add(&mut parts, range),
        }
    }
    match (count, parts.is_empty()) {
        (0, _) => Asked::Whole,
        (_, true) => Asked::Unsatisfiable,
        (count, false) if count > MOST => Asked::Whole,
        _ => Asked::Parts(parts),
    }
}

enum Spec {
    Malformed,
    Unsatisfiable,
    Bytes(Range<u64>),
}

/// One range: `FIRST-LAST`, `FIRST-` or `-LENGTH`.
fn one(spec: &str, bytes: u64) -> Spec {
    let Some((first, last)) = spec.split_once('-') else { return Spec::Malformed };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // A number too large for u64 is as good as the largest.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    if first.is_empty() {
        return match number(last) {
            None => Spec::Malformed,
            Some(0) => Spec::Unsatisfiable,
            Some(_) if bytes == 0 => Spec::Unsatisfiable,
            Some(length) => Spec::Bytes(bytes.saturating_sub(length)..bytes),
        };
    }
    let end = if last.is_empty() { Some(u64::MAX) } else { number(last) };
    match (number(first), end) {
        (Some(first), Some(last)) if first > last => Spec::Malformed,
        (Some(first), Some(_)) if first >= bytes => Spec::Unsatisfiable,
        (Some(first), Some(last)) => Spec::Bytes(first..last.saturating_add(1).min(bytes)),
        _ => Spec::Malformed,
    }
}

/// Adds a range, which takes in all that it overlaps or touches, in the place of the
/// first of them.
fn add(parts: &mut Vec<Range<u64>>, mut new: Range<u64>) {
    let mut place = parts.len();
    // What was taken in may reach others in its turn, but those have been apart from it.
    while let Some(at) = parts.iter().position(|old| old.start <= new.end && new.start <= old.end) {
        let old = parts.remove(at);
        new = new.start.min(old.start)..new.end.max(old.end);
        place = place.min(at);
    }
    parts.insert(place.min(parts.len()), new);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `0-9 20-29` for these two parts of a hundred bytes, as last bytes are written.
    fn of(value: &str) -> String {
        match asked(value, 100) {
            Asked::Whole => "whole".to_owned(),
            Asked::Unsatisfiable => "none".to_owned(),
            Asked::Parts(parts) => {
                let parts = parts.iter().map(|part| format!("{}-{}", part.start, part.end - 1));
                parts.collect::<Vec<_>>().join(" ")
            }
        }
    }

    #[test]
    fn range_follows_rfc_9110() {
        for (value, wanted) in [
            ("bytes=0-9", "0-9"),
            ("Bytes=0-9", "0-9"),
            ("bytes=90-", "90-99"),
            ("bytes=-10", "90-99"),
            ("bytes=-1000", "0-99"),
            ("bytes=0-1000", "0-99"),
            ("bytes=99-99", "99-99"),
            ("bytes=0-99999999999999999999999", "0-99"),
            ("bytes=100-", "none"),
            ("bytes=99999999999999999999999-", "none"),
            ("bytes=-0", "none"),
            ("bytes=9-0", "whole"),
            ("bytes=a-b", "whole"),
            ("bytes=+1-2", "whole"),
            ("bytes=-", "whole"),
            ("bytes=", "whole"),
            ("bytes=,", "whole"),
            ("bytes", "whole"),
            ("lines=1-2", "whole"),
            ("", "whole"),
        ] {
            assert_eq!(of(value), wanted, "{value:?}");
        }
        for value in ["bytes=0-", "bytes=-1", "bytes=0-0,-1"] {
            assert_eq!(asked(value, 0), Asked::Unsatisfiable, "{value}");
        }
    }

    #[test]
    fn ranges_that_overlap_or_touch_become_one_and_the_rest_keep_their_order() {
        for (value, wanted) in [
            ("bytes=0-1,4-5", "0-1 4-5"),
            ("bytes=4-5 ,\t0-1,,", "4-5 0-1"),
            ("bytes=0-1,2-3", "0-3"),
            ("bytes=0-1,3-4", "0-1 3-4"),
            ("bytes=2-3,0-1", "0-3"),
            ("bytes=0-9,0-9,0-9", "0-9"),
            ("bytes=50-59,0-9,40-49,-1", "40-59 0-9 99-99"),
            ("bytes=0-1,4-5,8-9,2-7", "0-9"),
            ("bytes=0-,-1", "0-99"),
            ("bytes=0-1,200-", "0-1"),
            ("bytes=200-,-0", "none"),
            ("bytes=0-1,x", "whole"),
            ("bytes=0-1,5-4", "whole"),
            ("bytes=200-,5-4", "whole"),
        ] {
            assert_eq!(of(value), wanted, "{value:?}");
        }
    }

    #[test]
    fn ranges_have_a_limit() {
        let many = |count: usize| {
            let specs: Vec<_> = (0..count).map(|at| format!("{0}-{0}", 2 * at)).collect();
            format!("bytes={}", specs.join(","))
        };
        assert_eq!(of(&many(MOST)).split(' ').count(), MOST);
        assert_eq!(of(&many(MOST + 1)), "whole");
        // Also where what is left would be one.
        assert_eq!(of(&format!("bytes=0-{}", ",0-".repeat(MOST))), "whole");
    }
}
