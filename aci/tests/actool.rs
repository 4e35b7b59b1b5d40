//! Generated manifests, judged by the reference tool and by this crate.
//!
//! Whatever `actool validate` refuses is refused here; whatever is refused here only, is for a
//! reason on the list of what the tool is known to miss.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; counts are told"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Command;

use aci::{Finding, ImageManifest, PodManifest, Severity};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

/// Codes of findings that `actool` has no check for, with the section that asks for them.
const MISSED_BY_ACTOOL: &[(&str, &str)] = &[
    ("key-case", "RFC 8259, section 8.3"),
    ("key-duplicate", "RFC 8259, section 4"),
    ("identifier", "types.md, AC Identifier Type: runs of separators"),
    ("name", "types.md, AC Name Type: runs of hyphens"),
    ("version", "types.md, AC Version Type: leading zeros, empty parts"),
    ("image-id", "types.md, Image ID Type: hex digits and their number"),
    ("date", "types.md, Timestamps Type: what Go's parser forgives"),
    ("url", "RFC 3986, section 2: characters"),
    ("required", "aci.md and pods.md: required fields"),
    ("empty", "aci.md and pods.md: required fields"),
    ("range", "aci.md, supplementaryGIDs and ports.count; pods.md, hostPort"),
    ("path-relative", "aci.md, pathWhitelist"),
    ("nul", "exec(3)"),
    ("mode", "pods.md, volumes.mode"),
    ("ip", "pods.md, ports.hostIP"),
    ("duplicate", "aci.md, supplementaryGIDs in both spellings"),
    ("isolator-repeated", "ace.md, Isolators: of a pod"),
    ("isolator-conflict", "ace.md, os/linux/capabilities-remove-set"),
    ("json-encoding", "RFC 8259, section 8.1"),
    ("json-depth", "a limit of this crate"),
];

/// A JSON text that stands at a field: mostly what belongs there, at times what does not.
fn field(good: &'static [&'static str], bad: &'static [&'static str]) -> BoxedStrategy<String> {
    let odd = select(ODD.to_vec());
    prop_oneof![
        60 => select(good.to_vec()).prop_map(str::to_owned),
        8 => select(if bad.is_empty() { good.to_vec() } else { bad.to_vec() }).prop_map(str::to_owned),
        1 => odd.prop_map(str::to_owned),
    ]
    .boxed()
}

/// What belongs almost nowhere.
const ODD: &[&str] = &[
    "null",
    "1",
    "-1",
    "1.5",
    "true",
    "\"\"",
    "[]",
    "{}",
    "[null]",
    "[[]]",
    "\"x\"",
    "1e400",
    "\"\\u0000\"",
];

/// Some of these fields in some order, now and then one twice or in another case.
fn object(fields: Vec<(&'static str, BoxedStrategy<String>)>) -> BoxedStrategy<String> {
    let member = |(key, value): (&'static str, BoxedStrategy<String>)| {
        (value, 0..=251_u8).prop_map(move |(value, chance)| match chance {
            250.. => None,
            249 => Some(format!("\"{}\":{value}", key.to_uppercase())),
            248 => Some(format!("\"{key}\":{value},\"{key}\":{value}")),
            240..248 => Some(format!("\"{key}\":{value},\"unknown-{key}\":{value}")),
            _ => Some(format!("\"{key}\":{value}")),
        })
    };
    let members: Vec<_> = fields.into_iter().map(member).collect();
    members
        .prop_shuffle()
        .prop_map(|members| {
            format!("{{{}}}", members.into_iter().flatten().collect::<Vec<_>>().join(","))
        })
        .boxed()
}

fn list(item: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop::collection::vec(item, 0..3).prop_map(|items| format!("[{}]", items.join(","))).boxed()
}

/// A field that is often absent: `null` is as good.
fn often(value: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop_oneof![1 => Just("null".to_owned()), 1 => value].boxed()
}

const IDENTIFIERS: &[&str] = &["\"example.com/a\"", "\"a\"", "\"a/~b\"", "\"x-1_2.3\""];
const NO_IDENTIFIERS: &[&str] =
    &["\"A\"", "\"-a\"", "\"a-\"", "\"a b\"", "\"a//b\"", "\"ä\"", "\"a:1\"", "\"a/../b\""];
const NAMES: &[&str] = &["\"web\"", "\"a-b\"", "\"0\"", "\"database\""];
const NO_NAMES: &[&str] = &["\"A\"", "\"a.b\"", "\"-a\"", "\"a--b\"", "\"a/b\""];
const IDS: &[&str] = &[
    "null",
    "\"sha512-cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e\"",
];
const NO_IDS: &[&str] =
    &["\"sha512-\"", "\"sha256-ab\"", "\"sha512-zz\"", "\"sha512\"", "\"sha512-a-b\""];
const PATHS: &[&str] = &["\"/a\"", "\"/a/b\"", "\"/\""];
const NO_PATHS: &[&str] = &["\"a\"", "\"../a\"", "\"/a/../b\""];
const VERSIONS: &[&str] = &["\"0.8.11\"", "\"0.8.10\"", "\"0.1.0-rc1\"", "\"1.30.0\""];
const NO_VERSIONS: &[&str] = &[
    "\"0.8\"",
    "\"v1.0.0\"",
    "\"0.0.0\"",
    "\"01.2.3\"",
    "\"1.2.3-\"",
    "\"1.2.3 \"",
    "\"1.2.3.4\"",
];

fn labels() -> BoxedStrategy<String> {
    list(object(vec![
        ("name", field(&["\"os\"", "\"arch\"", "\"version\"", "\"x\""], &["\"name\"", "\"X\""])),
        (
            "value",
            field(
                &["\"linux\"", "\"amd64\"", "\"i386\"", "\"freebsd\"", "\"armv7l\"", "\"1.0\""],
                &["\"x86_64\"", "\"arm64\"", "\"386\"", "\"Linux\"", "\"windows\""],
            ),
        ),
    ]))
}

fn annotations() -> BoxedStrategy<String> {
    list(object(vec![
        (
            "name",
            field(
                &["\"created\"", "\"homepage\"", "\"documentation\"", "\"authors\"", "\"x\""],
                &["\"X\"", "\"a--b\""],
            ),
        ),
        (
            "value",
            field(
                &["\"2014-10-27T19:32:27.67021798Z\"", "\"https://example.com/x\"", "\"text\""],
                &[
                    "\"2014-02-30T00:00:00Z\"",
                    "\"2014-10-27 19:32:27Z\"",
                    "\"2014-10-27T19:32:27\"",
                    "\"ftp://example.com\"",
                    "\"http://a b/\"",
                    "\"http://[::1/\"",
                    "\"http://a/%zz\"",
                    "\"http:\"",
                    "\"http://a:b/\"",
                ],
            ),
        ),
    ]))
}

fn port() -> BoxedStrategy<String> {
    object(vec![
        ("name", field(NAMES, NO_NAMES)),
        ("protocol", field(&["\"tcp\"", "\"udp\""], &[])),
        ("port", field(&["1", "80", "65535"], &["0", "65536", "\"80\"", "8e1"])),
        ("count", field(&["null", "1"], &["0", "2", "70000"])),
        ("socketActivated", field(&["true", "false"], &["\"true\""])),
    ])
}

/// All but AppArmor: the released tool is older than that isolator, and takes it for none.
fn isolators() -> BoxedStrategy<String> {
    let isolator =
        |name: &'static str, good: &'static [&'static str], bad: &'static [&'static str]| {
            field(good, bad)
                .prop_map(move |value| format!(r#"{{"name":"{name}","value":{value}}}"#))
                .boxed()
        };
    let quantities: &[&str] = &[
        r#"{"limit":"1G"}"#,
        r#"{"request":"250m","limit":"500m"}"#,
        r#"{"limit":"1Gi"}"#,
        r#"{"limit":"1e3"}"#,
        r#"{"limit":1}"#,
    ];
    let no_quantities: &[&str] = &[
        r#"{"limit":"1Q"}"#,
        r#"{"limit":""}"#,
        r#"{"limit":"-"}"#,
        r#"{"default":true,"limit":"1"}"#,
        r#"{"limit":"1 G"}"#,
        r#"{"limit":true}"#,
        r#"{"limit":"1e"}"#,
        r#"{"limit":"."}"#,
    ];
    let sets: &[&str] = &[r#"{"set":["CAP_NET_ADMIN"]}"#, r#"{"set":["CAP_CHOWN","CAP_KILL"]}"#];
    let no_sets: &[&str] = &[r#"{"set":[]}"#, r#"{"set":null}"#, r#"{"set":"x"}"#, "{}"];
    list(
        prop_oneof![
            isolator("resource/memory", quantities, no_quantities),
            isolator("resource/cpu", quantities, no_quantities),
            isolator("os/linux/capabilities-retain-set", sets, no_sets),
            isolator("os/linux/capabilities-remove-set", sets, no_sets),
            isolator(
                "os/linux/seccomp-remove-set",
                &[r#"{"set":["chown"]}"#, r#"{"set":["chown"],"errno":"ENOSYS"}"#],
                &[r#"{"set":[]}"#, r#"{"set":["@a"]}"#, r#"{"set":["a"],"errno":"x"}"#, "{}"],
            ),
            isolator("os/linux/no-new-privileges", &["true", "false"], &["\"true\"", "1"]),
            isolator("os/linux/oom-score-adj", &["0", "-999", "1000"], &["5000", "\"1\""]),
            isolator("os/linux/cpu-shares", &["2", "1024"], &["1", "-1", "\"1\"", "9999999"]),
            isolator(
                "os/linux/selinux-context",
                &[r#"{"user":"u","role":"r","type":"t","level":"s0"}"#],
                &[r#"{"user":"u"}"#, r#"{"user":"u:v","role":"r","type":"t","level":"s0"}"#, "{}"],
            ),
            isolator("vendor.io/x", &["{}"], &[]),
        ]
        .boxed(),
    )
}

fn app() -> BoxedStrategy<String> {
    object(vec![
        ("exec", often(field(&["[\"/bin/a\"]", "[]", "[\"a\",\"b\"]"], &["\"/a\"", "[1]"]))),
        ("user", field(&["\"0\"", "\"root\"", "\"/a\""], &["\"\""])),
        ("group", field(&["\"0\"", "\"staff\""], &["\"\""])),
        ("supplementaryGIDs", often(field(&["[]", "[1,2]"], &["[-1]", "[\"1\"]"]))),
        (
            "eventHandlers",
            often(list(object(vec![
                ("name", field(&["\"pre-start\"", "\"post-stop\""], &["\"Pre-Start\""])),
                ("exec", field(&["[\"/a\"]"], &["null"])),
            ]))),
        ),
        ("workingDirectory", often(field(PATHS, NO_PATHS))),
        (
            "environment",
            often(list(object(vec![
                (
                    "name",
                    field(&["\"A\"", "\"_b.c-d\""], &["\"0A\"", "\"A=B\"", "\"\"", "\"A\\n\""]),
                ),
                ("value", field(&["\"x\"", "\"\""], &[])),
            ]))),
        ),
        (
            "mountPoints",
            often(list(object(vec![
                ("name", field(NAMES, NO_NAMES)),
                ("path", field(PATHS, NO_PATHS)),
                ("readOnly", field(&["true", "null"], &["1"])),
            ]))),
        ),
        ("ports", often(list(port()))),
        ("isolators", often(isolators())),
        ("userAnnotations", often(field(&["{\"a b\":\"c\"}", "{}"], &["{\"a\":1}"]))),
        ("userLabels", often(field(&["{\"a b\":\"c\"}", "{}"], &["[]"]))),
    ])
}

fn image() -> BoxedStrategy<String> {
    object(vec![
        ("acKind", field(&["\"ImageManifest\""], &["\"AppManifest\"", "\"imageManifest\""])),
        ("acVersion", field(VERSIONS, NO_VERSIONS)),
        ("name", field(IDENTIFIERS, NO_IDENTIFIERS)),
        ("labels", often(labels())),
        ("app", often(app())),
        (
            "dependencies",
            often(list(object(vec![
                ("imageName", field(IDENTIFIERS, NO_IDENTIFIERS)),
                ("imageID", field(IDS, NO_IDS)),
                ("labels", often(labels())),
                ("size", field(&["null", "1", "18446744073709551615"], &["-1", "\"1\"", "1.5"])),
            ]))),
        ),
        ("pathWhitelist", often(field(&["[\"/a\"]", "[]"], &["[\"a\"]", "[1]"]))),
        ("annotations", often(annotations())),
    ])
}

fn pod() -> BoxedStrategy<String> {
    let volume = || {
        object(vec![
            ("name", field(NAMES, NO_NAMES)),
            ("kind", field(&["\"empty\"", "\"host\""], &["\"nfs\""])),
            ("source", field(&["null", "\"/a\""], &["\"a\""])),
            ("readOnly", field(&["null", "true"], &["\"true\""])),
            ("mode", field(&["null", "\"0755\""], &["\"rwx\"", "448"])),
            ("uid", field(&["null", "1"], &["-1"])),
        ])
    };
    let app = object(vec![
        ("name", field(NAMES, NO_NAMES)),
        (
            "image",
            object(vec![
                ("id", field(&IDS[1..], NO_IDS)),
                ("name", often(field(IDENTIFIERS, NO_IDENTIFIERS))),
                ("labels", often(labels())),
            ]),
        ),
        ("app", often(app())),
        ("readOnlyRootFS", field(&["null", "true"], &["\"true\""])),
        (
            "mounts",
            often(list(object(vec![
                ("volume", field(NAMES, NO_NAMES)),
                ("path", field(PATHS, NO_PATHS)),
                ("appVolume", often(volume())),
            ]))),
        ),
        ("annotations", often(annotations())),
    ]);
    object(vec![
        ("acKind", field(&["\"PodManifest\""], &["\"podManifest\"", "\"Pod\""])),
        ("acVersion", field(VERSIONS, NO_VERSIONS)),
        ("apps", list(app)),
        ("volumes", often(list(volume()))),
        ("isolators", often(isolators())),
        ("annotations", often(annotations())),
        (
            "ports",
            often(list(object(vec![
                ("name", field(NAMES, NO_NAMES)),
                ("hostPort", field(&["1", "65535"], &["0", "99999", "-1", "\"80\""])),
                ("hostIP", often(field(&["\"203.0.113.23\""], &["\"::1\"", "\"x\"", "\"1.2.3\""]))),
                ("podPort", often(port())),
            ]))),
        ),
    ])
}

/// Whether the real tool takes the text.
fn actool_accepts(folder: &tempfile::TempDir, text: &str) -> bool {
    let path = folder.path().join("manifest.json");
    std::fs::write(&path, text).unwrap();
    let output = Command::new("actool")
        .args(["--debug", "validate"])
        .arg(&path)
        .output()
        .expect("actool is there; apt-get install appc-spec");
    output.status.success()
}

/// Generates `cases` texts and compares; gives how often each side accepted and refused.
fn compare(cases: u32, texts: BoxedStrategy<String>, check: fn(&str) -> Vec<Finding>) {
    let folder = tempfile::tempdir().unwrap();
    let seen: RefCell<BTreeMap<(bool, bool), u32>> = RefCell::default();
    let config = Config { failure_persistence: None, cases, ..Config::default() };
    let result = TestRunner::new(config).run(&texts, |text| {
        let findings = check(&text);
        let refused: Vec<&Finding> = findings
            .iter()
            // What validates a file counts an isolator nobody knows as an error.
            .filter(|f| f.severity == Severity::Error || f.code == "isolator-unknown")
            .collect();
        let theirs = actool_accepts(&folder, &text);
        *seen.borrow_mut().entry((theirs, refused.is_empty())).or_default() += 1;
        prop_assert!(theirs || !refused.is_empty(), "only actool refuses {text}");
        let known = |f: &&Finding| {
            MISSED_BY_ACTOOL.iter().any(|(code, _)| f.code == *code)
                // ace.md, Resource Isolators: a quantity has digits.
                || f.code == "isolator-quantity" && f.message.contains("has no digit")
        };
        prop_assert!(
            !theirs || refused.is_empty() || refused.iter().any(known),
            "only we refuse {text}: {refused:?}"
        );
        Ok(())
    });
    let seen = seen.into_inner();
    println!("(actool accepts, we accept): {seen:?}");
    if let Err(failure) = result {
        panic!("{failure}");
    }
    for both in [(true, true), (false, false)] {
        assert!(seen.contains_key(&both), "the generator makes good ones and bad ones: {seen:?}");
    }
}

/// How many texts of each kind; more where `GANTRY_CASES` says so.
fn cases() -> u32 {
    std::env::var("GANTRY_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(250)
}

#[test]
fn image_manifest_agrees_with_actool() {
    compare(cases(), image(), |text| ImageManifest::check(text.as_bytes()).findings);
}

#[test]
fn pod_manifest_agrees_with_actool() {
    compare(cases(), pod(), |text| PodManifest::check(text.as_bytes()).findings);
}
