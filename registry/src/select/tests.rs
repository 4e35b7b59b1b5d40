use std::time::SystemTime;

use aci::{FileDigest, ImageId};

use super::*;

/// Images of one name with these labels, in the order of their pushes.
fn images(all: &[&str]) -> Vec<StoredImage> {
    let image = |(at, labels): (usize, &&str)| {
        let texts = labels.split(',').filter(|text| !text.is_empty());
        let labels: Vec<Label> = texts.map(|text| text.parse().unwrap()).collect();
        let labels: Labels = labels.try_into().unwrap();
        StoredImage {
            sequence: at as i64,
            image_id: ImageId::of([at as u8; 64]),
            name: "example.com/a".parse().unwrap(),
            yanked: labels.value("yanked").is_some(),
            labels,
            file_digest: FileDigest::of([at as u8; 64]),
            file_bytes: 1,
            signature_digest: FileDigest::of([at as u8; 64]),
            signature_bytes: 1,
            signer: "00".repeat(20).parse().unwrap(),
            pushed: SystemTime::UNIX_EPOCH,
        }
    };
    all.iter().enumerate().map(image).collect()
}

/// The labels of the image chosen, `-` for none, `?` for several.
fn chosen(all: &[&str], reference: &str) -> String {
    let images = images(all);
    match select(&images, &reference.parse().unwrap()) {
        Selection::Found(image) => image.labels.to_string(),
        Selection::Absent => "-".to_owned(),
        Selection::Withdrawn => "withdrawn".to_owned(),
        Selection::Ambiguous(several) => "?".repeat(several.len()),
    }
}

#[test]
fn select_wants_every_label_asked_for() {
    let all = ["version=1,os=linux,arch=amd64", "version=1,os=linux,arch=aarch64"];
    assert_eq!(chosen(&all, "example.com/a:1,os=linux,arch=amd64"), all[0]);
    assert_eq!(chosen(&all, "example.com/a:1,arch=aarch64"), all[1]);
    assert_eq!(chosen(&all, "example.com/a:2,os=linux,arch=amd64"), "-");
    assert_eq!(chosen(&all, "example.com/a:1,os=linux,arch=i386"), "-");
    assert_eq!(chosen(&all, "example.com/a:1,arch=amd64,channel=x"), "-");
    assert_eq!(chosen(&all, "example.com/a:1"), "??");
}

#[test]
fn select_takes_an_image_for_any_platform_where_none_is_exact() {
    let all = ["version=1", "version=1,os=linux,arch=amd64", "version=1,os=linux"];
    assert_eq!(chosen(&all, "example.com/a:1,os=linux,arch=amd64"), all[1]);
    assert_eq!(chosen(&all[..1], "example.com/a:1,os=linux,arch=amd64"), all[0]);
    assert_eq!(chosen(&all[..1], "example.com/a:1,os=linux,arch=amd64,channel=x"), "-");
    assert_eq!(chosen(&["version=1,os=freebsd"], "example.com/a:1,os=linux,arch=amd64"), "-");
    // Of two that lack some, the one that lacks less.
    for reference in ["example.com/a:1,os=linux,arch=i386", "example.com/a,os=linux,arch=i386"] {
        assert_eq!(chosen(&all, reference), all[2]);
    }
    let apart = ["version=1,os=linux", "version=1,arch=amd64"];
    assert_eq!(chosen(&apart, "example.com/a:1,os=linux,arch=amd64"), "??");
}

#[test]
fn select_latest_is_the_newest_release() {
    let all = ["version=1.10.0", "version=1.9.0", "version=2.0.0-rc.1", "version=zebra", ""];
    for reference in ["example.com/a", "example.com/a:latest", "example.com/a:"] {
        assert_eq!(chosen(&all, reference), "version=1.10.0", "{reference}");
    }
    assert_eq!(chosen(&all[2..], "example.com/a"), "version=2.0.0-rc.1");
    assert_eq!(chosen(&["version=old", "version=new", ""], "example.com/a"), "version=new");
    assert_eq!(chosen(&[""], "example.com/a"), "");
    assert_eq!(chosen(&[], "example.com/a"), "-");
}

#[test]
fn select_latest_follows_the_rules_of_semver() {
    // semver.org, 11: each is newer than those before it.
    let order = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "2.0.0-0",
        "1.0.0",
        "1.0.1",
        "1.9.0",
        "1.10.0",
        "2.0.0",
    ];
    for newest in 0..order.len() {
        // Whatever the order of the pushes.
        let mut all: Vec<String> =
            order[..=newest].iter().map(|v| format!("version={v}")).collect();
        for _ in 0..2 {
            let texts: Vec<&str> = all.iter().map(String::as_str).collect();
            let wanted = format!("version={}", order[newest]);
            assert_eq!(chosen(&texts, "example.com/a"), wanted);
            all.reverse();
        }
    }
    // Build metadata does not count: the later push is newer.
    for all in [["version=1.0.0+b", "version=1.0.0+a"], ["version=1.0.0+2", "version=1.0.0"]] {
        assert_eq!(chosen(&all, "example.com/a"), all[1]);
    }
    assert_eq!(chosen(&["version=1.0.1+a", "version=1.0.0+z"], "example.com/a"), "version=1.0.1+a");
    // No semantic versions: by their pushes, after all that are.
    for other in ["1.0", "v9.0.0", "01.0.0", "2026-11-03", "1.0.0-01"] {
        let all = ["version=0.0.1-a", &format!("version={other}")];
        assert_eq!(chosen(&all, "example.com/a"), all[0], "{other}");
        assert_eq!(chosen(&["version=9", all[1]], "example.com/a"), all[1], "{other}");
    }
}

#[test]
fn select_latest_is_the_newest_that_runs_there() {
    let all = [
        "version=1.0.0,os=linux,arch=amd64",
        "version=2.0.0,os=linux,arch=aarch64",
        "version=1.5.0",
        "version=1.5.0,os=linux,arch=i386",
    ];
    for (reference, wanted) in [
        ("example.com/a,os=linux,arch=aarch64", all[1]),
        // An image for any platform is one for this platform, too.
        ("example.com/a,os=linux,arch=amd64", all[2]),
        ("example.com/a:latest,os=freebsd,arch=amd64", all[2]),
        ("example.com/a,os=linux,arch=i386", all[3]),
        ("example.com/a", all[1]),
    ] {
        assert_eq!(chosen(&all, reference), wanted, "{reference}");
    }
    assert_eq!(chosen(&all[..2], "example.com/a,os=linux,arch=amd64"), all[0]);
    assert_eq!(chosen(&all[..2], "example.com/a,os=freebsd,arch=amd64"), "-");
}

#[test]
fn select_latest_follows_the_label_where_an_author_uses_it() {
    let all = ["version=latest", "version=9.0.0"];
    assert_eq!(chosen(&all, "example.com/a"), all[0]);
    assert_eq!(chosen(&all, "example.com/a:latest"), all[0]);
    let other = ["version=latest,os=freebsd", "version=9.0.0,os=linux"];
    assert_eq!(chosen(&other, "example.com/a:latest,os=linux"), other[1]);
}

#[test]
fn select_latest_looks_among_what_matches() {
    let all = [
        "version=1.0.0,os=linux,arch=amd64",
        "version=2.0.0,os=linux,arch=aarch64",
        "version=1.1.0,os=linux,arch=amd64,channel=beta",
    ];
    assert_eq!(chosen(&all, "example.com/a:latest,os=linux,arch=aarch64"), all[1]);
    assert_eq!(chosen(&all, "example.com/a,channel=beta"), all[2]);
}

#[test]
fn select_prefers_the_image_with_fewest_labels_nobody_asked_for() {
    let all = ["version=1,channel=beta", "version=1", "version=1,channel=beta,debug=yes"];
    assert_eq!(chosen(&all, "example.com/a:1"), all[1]);
    assert_eq!(chosen(&all, "example.com/a:1,channel=beta"), all[0]);
    assert_eq!(chosen(&["version=1,channel=a", "version=1,channel=b"], "example.com/a:1"), "??");
}

#[test]
fn select_latest_passes_over_what_was_withdrawn() {
    let all =
        ["version=1.0.0", "version=3.0.0,yanked=y", "version=2.0.0", "version=latest,yanked=y"];
    assert_eq!(chosen(&all, "example.com/a"), all[2]);
    assert_eq!(chosen(&all, "example.com/a:latest,os=linux,arch=amd64"), all[2]);
    assert_eq!(chosen(&all, "example.com/a:3.0.0"), all[1], "by its version it is still meant");
    assert_eq!(chosen(&all[1..2], "example.com/a"), "withdrawn");
    assert_eq!(chosen(&all[1..2], "example.com/a,channel=x"), "-");
}
