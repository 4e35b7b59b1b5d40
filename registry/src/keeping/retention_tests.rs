use aci::{FileDigest, Label};

use super::*;

fn at(days: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + days * 24 * 3600)
}

/// An image with these labels, pushed on this day; days are in the order of pushes.
fn image(labels: &[(&str, &str)], day: u64) -> StoredImage {
    let labels: Vec<Label> = labels
        .iter()
        .map(|(name, value)| Label { name: name.parse().unwrap(), value: (*value).to_owned() })
        .collect();
    let digest = FileDigest::of([1; 64]);
    StoredImage {
        sequence: i64::try_from(day).unwrap(),
        image_id: ImageId::of([2; 64]),
        name: "example.com/a".parse().unwrap(),
        labels: labels.try_into().unwrap(),
        file_digest: digest.clone(),
        file_bytes: 10,
        signature_digest: digest,
        signature_bytes: 5,
        signer: "D".repeat(40).parse().unwrap(),
        pushed: at(day),
        yanked: false,
    }
}

fn versions(versions: &[&str]) -> Vec<StoredImage> {
    let image = |(day, version): (usize, &&str)| image(&[("version", version)], day as u64);
    versions.iter().enumerate().map(image).collect()
}

fn rule(toml: &str) -> Result<Retention, toml::de::Error> {
    toml::from_str(&format!("prefix = \"example.com\"\n{toml}"))
}

/// The versions that stay, in the order given.
fn stay(toml: &str, images: &[StoredImage], day: u64) -> Vec<String> {
    let judged = rule(toml).unwrap().judge(images, at(day));
    let stays = images.iter().zip(judged).filter(|(_, judged)| !judged.stays.is_empty());
    stays.map(|(image, _)| image.labels.value("version").unwrap_or("").to_owned()).collect()
}

#[test]
fn newest_are_so_by_version_and_not_by_push() {
    let images = versions(&["1.10.0", "1.9.0", "2.0.0-rc.1", "1.2.0", "old"]);
    assert_eq!(stay("keep-newest = 2", &images, 9), ["1.10.0", "1.9.0"]);
    assert_eq!(stay("keep-newest = 4", &images, 9), ["1.10.0", "1.9.0", "2.0.0-rc.1", "1.2.0"]);
    assert_eq!(stay("keep-newest = 99", &images, 9).len(), 5);
}

#[test]
fn images_of_one_version_stay_together_and_withdrawn_ones_take_no_place() {
    let of = |version, arch, day| image(&[("version", version), ("arch", arch)], day);
    let mut images =
        vec![of("1.0.0", "amd64", 0), of("2.0.0", "amd64", 1), of("2.0.0", "arm64", 2)];
    assert_eq!(stay("keep-newest = 1", &images, 9), ["2.0.0", "2.0.0"]);
    images[1].yanked = true;
    assert_eq!(stay("keep-newest = 1", &images, 9), ["2.0.0", "2.0.0"]);
    images[2].yanked = true;
    assert_eq!(stay("keep-newest = 1", &images, 9), ["1.0.0"]);
    let without = [image(&[], 0), image(&[("os", "linux")], 1)];
    assert_eq!(stay("keep-newest = 1", &without, 9), ["", ""]);
}

#[test]
fn anything_that_keeps_is_enough_and_is_told() {
    let mut images = versions(&["1.0.0", "1.1.0", "2.0.0", "3.0.0"]);
    images.push(image(&[("version", "0.1.0"), ("channel", "stable")], 4));
    assert_eq!(stay("keep-younger = \"2d\"", &images, 5), ["3.0.0", "0.1.0"]);
    assert_eq!(stay("keep-versions = [\"1.*\", \"2.0.0\"]", &images, 5).len(), 3);
    assert_eq!(stay("keep-labels = { channel = \"stable\" }", &images, 5), ["0.1.0"]);
    let all = "keep-newest = 1\nkeep-younger = \"1d\"\nkeep-versions = [\"3*\"]\n\
               keep-labels = { channel = \"stable\" }";
    let judged = rule(all).unwrap().judge(&images, at(4));
    let reasons =
        |at: usize| -> Vec<String> { judged[at].stays.iter().map(ToString::to_string).collect() };
    assert_eq!(reasons(0), [""; 0]);
    assert_eq!(reasons(3), ["of the newest 1 versions", "younger than 1d", "version 3*"]);
    assert_eq!(reasons(4), ["younger than 1d", "label channel=stable"]);
}

#[test]
fn rule_that_keeps_nothing_or_is_mistyped_is_none() {
    let kept = "keep-labels = { channel = \"stable\" }";
    for (bad, wanted) in [
        ("", "the retention of example.com keeps nothing"),
        ("keep-newest = 0", "keep-newest of the retention of example.com keeps nothing"),
        ("keep-newest = -1", "integer `-1`"),
        ("keep_newest = 1", "unknown field"),
        ("keep-younger = \"x\"", "no age"),
        ("keep-younger = \"0s\"", "keep-younger of the retention of example.com keeps nothing"),
        ("keep-younger = \"0d\"", "keep-younger of the retention of example.com keeps nothing"),
        ("keep-versions = [\"1.*.1\"]", "\"1.*.1\" in keep-versions of the retention"),
        ("keep-versions = [\"2.*\", \"*1\"]", "\"*1\" in keep-versions"),
        ("keep-versions = [\"1.**\"]", "one * at the end"),
        ("keep-versions = [\"\"]", "\"\" in keep-versions"),
    ] {
        // A part that keeps nothing is no better beside one that does.
        let beside = if bad.is_empty() { String::new() } else { format!("{bad}\n{kept}") };
        for text in [bad, &beside] {
            let error = rule(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}

#[test]
fn longest_prefix_speaks_for_a_name() {
    let rule = |prefix: &str| -> Retention {
        toml::from_str(&format!("prefix = \"{prefix}\"\nkeep-newest = 1")).unwrap()
    };
    let rules = [rule("example.com/a"), rule("example.com/a/b"), rule("example.com/c")];
    let prefix =
        |name: &str| rule_for(&rules, &name.parse().unwrap()).map(|rule| rule.prefix().to_string());
    assert_eq!(prefix("example.com/a/b/c").as_deref(), Some("example.com/a/b"));
    assert_eq!(prefix("example.com/a/bc").as_deref(), Some("example.com/a"));
    assert_eq!(prefix("example.com/d"), None);
}
