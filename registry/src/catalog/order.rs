//! The order of versions as a text, so that a database can keep it in an index.
//!
//! ```text
//! 0                           none
//! 1                           no semantic version
//! 2 112 110 110 1rc_ 0111     2.0.0-rc.1, without these spaces and with one for the _
//! 3 111 1210 110              1.10.0
//! ```
//!
//! A number stands behind the length of its length and its length, so that a longer one comes after
//! a shorter. An identifier of a pre-release begins with `0` where it is a number, which comes before
//! a word, and with `1` otherwise; a word ends with a space, which comes before all that it is made of.

use std::fmt::Write as _;

use semver::{Prerelease, Version};

/// Bytes of the text that are kept, as an index of PostgreSQL takes no row of any length. Versions that
/// differ behind that are in the order of their pushes.
const BYTES: usize = 512;

/// A text that is compared byte by byte as versions are: first none, then those that are no semantic
/// version, which are all alike, then pre-releases, then releases. Build metadata is of no account
/// (semver.org, 10). It is never empty.
pub(crate) fn version_order(version: Option<&str>) -> String {
    let Some(text) = version.filter(|text| !text.is_empty()) else { return "0".to_owned() };
    let Some((numbers, pre)) = parse(text) else { return "1".to_owned() };
    let mut order = if pre.is_empty() { "3" } else { "2" }.to_owned();
    for number in numbers {
        add_number(&mut order, number);
    }
    for identifier in pre.split('.').filter(|identifier| !identifier.is_empty()) {
        if identifier.bytes().all(|byte| byte.is_ascii_digit()) {
            order.push('0');
            add_number(&mut order, identifier);
        } else {
            order.push('1');
            order.push_str(identifier);
            order.push(' ');
        }
    }
    order.truncate(BYTES);
    order
}

/// The three numbers of a semantic version, of which there is no largest (semver.org, 2), and its
/// pre-release.
fn parse(text: &str) -> Option<([&str; 3], Prerelease)> {
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (core, rest) = text.split_at(end);
    let is_number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits && (text == "0" || !text.starts_with('0'))
    };
    let mut all = core.split('.');
    let numbers = [all.next()?, all.next()?, all.next()?];
    if all.next().is_some() || !numbers.into_iter().all(is_number) {
        return None;
    }
    // The crate takes numbers of 64 bits alone; the rest is its to read.
    let version = Version::parse(&format!("0.0.0{rest}")).ok()?;
    Some((numbers, version.pre))
}

/// Of digits without a zero before them.
fn add_number(order: &mut String, digits: &str) {
    let length = digits.len().to_string();
    // Writing to a string does not fail.
    let _ = write!(order, "{}{length}{digits}", length.len());
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;
    use semver::BuildMetadata;

    use super::*;

    /// As the specification has it, by the crate that speaks for it.
    fn by_semver(one: &str, other: &str) -> Ordering {
        let rank = |text: &str| match Version::parse(text) {
            _ if text.is_empty() => (0, None),
            Err(_) => (1, None),
            Ok(version) => {
                let class = if version.pre.is_empty() { 3 } else { 2 };
                (class, Some(Version { build: BuildMetadata::EMPTY, ..version }))
            }
        };
        rank(one).cmp(&rank(other))
    }

    fn by_text(one: &str, other: &str) -> Ordering {
        version_order(Some(one)).as_bytes().cmp(version_order(Some(other)).as_bytes())
    }

    /// Numbers near each other and near the end of what the crate takes, versions that are none.
    fn version() -> impl Strategy<Value = String> {
        let number = || {
            prop_oneof![
                (0..30_u64).prop_map(|number| number.to_string()),
                (u64::MAX - 2..=u64::MAX).prop_map(|number| number.to_string()),
            ]
        };
        let long = "(0|[1-9][0-9]{0,30})";
        let identifier =
            prop_oneof![number(), long, "[a-b0-1-]{1,3}", "[0-9A-Za-z-]{1,12}", "(rc|alpha|beta)"];
        let pre = prop::collection::vec(identifier, 0..4).prop_map(|all| all.join("."));
        let of = |(major, minor, patch, pre, build): (_, _, _, String, String)| {
            let pre = if pre.is_empty() { pre } else { format!("-{pre}") };
            format!("{major}.{minor}.{patch}{pre}{build}")
        };
        prop_oneof![
            9 => (number(), number(), number(), pre, "(\\+[0-9a-z]{1,4})?").prop_map(of),
            1 => "[v0-9.]{0,6}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn order_of_the_texts_is_that_of_the_versions(one in version(), other in version()) {
            prop_assert_eq!(by_text(&one, &other), by_semver(&one, &other), "{} {}", one, other);
        }

        #[test]
        fn order_of_pre_releases_is_that_of_the_versions(
            one in "1\\.0\\.0-[a-b0-1-]{1,2}(\\.[a-b0-1-]{1,2}){0,2}",
            other in "1\\.0\\.0-[a-b0-1-]{1,2}(\\.[a-b0-1-]{1,2}){0,2}",
        ) {
            prop_assert_eq!(by_text(&one, &other), by_semver(&one, &other), "{} {}", one, other);
        }
    }

    #[test]
    fn numbers_have_no_end() {
        let rising = [
            "1.0.x",
            "99999999999999999999.0.0-rc.1",
            "1.10.0",
            "1.18446744073709551615.0",
            "1.18446744073709551616.0",
            "99999999999999999999.0.0",
            "99999999999999999999.0.1+build",
            "100000000000000000000.0.0",
        ];
        assert!(rising.is_sorted_by(|one, other| by_text(one, other).is_lt()));
        for none in ["1.2", "1.2.3.", "1.2.3.4", "01.2.3", "1.2.", "+1.2.3", "1.2.3-", "1.2.3 "] {
            assert_eq!(version_order(Some(none)), "1", "{none}");
        }
    }

    #[test]
    fn order_is_a_text_of_bounded_length_and_never_empty() {
        assert_eq!(version_order(None), "0");
        assert_eq!(version_order(Some("")), "0");
        assert_eq!(version_order(Some("2026-11-03")), "1");
        assert_eq!(version_order(Some("1.10.0+build")), "31111210110");
        assert_eq!(version_order(Some("2.0.0-rc.1")), "21121101101rc 0111");
        let long = |end: &str| format!("1.0.0-{}{end}", "a".repeat(5_000));
        assert_eq!(version_order(Some(&long("a"))).len(), BYTES);
        assert_eq!(by_text(&long("a"), &long("b")), Ordering::Equal);
        assert_eq!(by_text(&long("a"), "1.0.0-b"), Ordering::Less);
    }
}
