//! Findings, all at once, and what stops the reader.

use super::super::tests::{MANIFEST, Tar, gzip, read};
use super::*;

/// `code` of each finding, errors with a `!`, and that errors are what keeps an image from
/// being read, or what is listed as such.
fn codes(bytes: &[u8]) -> Vec<String> {
    let found = validate(bytes, &Limits::default()).unwrap();
    assert_eq!(found.left_out, 0);
    for finding in &found.findings {
        assert!(!finding.message.is_empty() && !finding.rule.is_empty(), "{finding:?}");
    }
    let only_here = [
        "compression-outside-spec",
        "isolator-unknown",
        "tar-global-header",
        "tar-unmarked",
        "version-later",
    ];
    let refused = found.findings.iter().any(|finding| {
        finding.severity == Severity::Error && !only_here.contains(&finding.code.as_str())
    });
    assert_eq!(read(bytes).is_err(), refused, "{found:?}");
    let mark = |severity| if severity == Severity::Error { "!" } else { "" };
    found.findings.iter().map(|one| format!("{}{}", one.code, mark(one.severity))).collect()
}

const NONE: [&str; 0] = [];

fn manifest(rest: &str) -> Vec<u8> {
    let start = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a""#;
    format!("{start},{rest}}}").into_bytes()
}

fn app(exec: &str, rest: &str) -> Vec<u8> {
    manifest(&format!(r#""app":{{"exec":["{exec}"],"user":"0","group":"0"}}{rest}"#))
}

#[test]
fn validate_finds_nothing_in_sound_images() {
    let sound = Tar::image().file("rootfs/a", b"a").end();
    assert_eq!(codes(&sound), NONE);
    assert_eq!(codes(&gzip(&sound)), NONE);
    let found = validate(sound.as_slice(), &Limits::default()).unwrap();
    assert_eq!(found.image_id.as_ref(), Some(read(&sound).unwrap().image_id()));
}

#[test]
fn validate_finds_every_fault_of_the_layout_at_once() {
    let archive = Tar::default()
        .file("extra", b"x")
        .file("rootfsevil", b"x")
        .directory("rootfs")
        .file("rootfs/a", b"1")
        .file("rootfs/a", b"2")
        .link("rootfs/s", b'2', "/etc")
        .file("rootfs/s/x", b"x")
        .link("rootfs/h", b'1', "rootfs/none")
        .file("/rootfs/abs", b"x")
        .file("rootfs/../../up", b"x")
        .directory("rootfs")
        .file("manifest", br#"{"acKind":"ImageManifest","name":"NO"}"#)
        .end();
    let found = codes(&archive);
    assert_eq!(
        found,
        [
            "image-layout!",
            "image-layout!",
            "image-duplicate!",
            "image-path!",
            "image-hard-link!",
            "image-path!",
            "image-path!",
            "image-duplicate!",
            "required!",
            "identifier!",
        ]
    );
}

#[test]
fn validate_tells_absence_once() {
    assert_eq!(codes(&Tar::default().directory("rootfs").end()), ["image-layout!"]);
    assert_eq!(codes(&Tar::default().file("manifest", MANIFEST).end()), ["image-layout!"]);
    let link = Tar::default().link("manifest", b'2', "rootfs/m").directory("rootfs").end();
    assert_eq!(codes(&link), ["image-layout!"]);
    let link = Tar::default().file("manifest", MANIFEST).link("rootfs", b'2', "/").end();
    assert_eq!(codes(&link), ["image-layout!"]);
}

#[test]
fn validate_stops_where_nobody_can_go_on_and_tells_what_it_knows() {
    let mut cut = Tar::default()
        .file("manifest", &manifest(r#""labels":[{"name":"name","value":"x"}]"#))
        .directory("rootfs")
        .file("extra", &[1; 4000])
        .end();
    cut.truncate(4000);
    let found = codes(&cut);
    assert_eq!(found[..2], ["image-layout!", "image-truncated!"]);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(validate(cut.as_slice(), &Limits::default()).unwrap().image_id.is_none());
    assert_eq!(codes(b"no image"), ["image-format!"]);
    assert_eq!(codes(b""), ["image-format!"]);
    assert_eq!(codes(&[gzip(&Tar::image().end()), vec![0; 40]].concat()).len(), 1);
}

#[test]
fn validate_keeps_a_bounded_number_of_findings() {
    let archive = (0..700).fold(Tar::image(), |tar, n| tar.file(&format!("x{n}"), b"")).end();
    let found = validate(archive.as_slice(), &Limits::default()).unwrap();
    assert_eq!((found.findings.len(), found.left_out), (500, 200));
    let few = Limits { entries: 10, ..Limits::default() };
    let found = validate(archive.as_slice(), &few).unwrap();
    assert_eq!(found.findings.last().map(|one| one.code.as_str()), Some("image-too-many-entries"));
    assert_eq!(found.findings.len(), 9);
}

#[test]
fn validate_passes_no_manifest_that_is_too_large() {
    let limits = Limits { manifest_bytes: 10, ..Limits::default() };
    let archive = Tar::image().file("extra", b"").end();
    let found = validate(archive.as_slice(), &limits).unwrap();
    let codes: Vec<&str> = found.findings.iter().map(|one| one.code.as_str()).collect();
    assert_eq!(codes, ["manifest-too-large", "image-layout"]);
}

#[test]
fn validate_refuses_what_other_tools_cannot_read() {
    let mut out = Vec::new();
    let options = super::super::RewriteOptions {
        compression: Some(Compression::Zstd),
        level: None,
        threads: std::num::NonZeroUsize::MIN,
    };
    let keep = |_: &[u8]| Ok::<_, ArchiveError>(None);
    let image = Tar::image().end();
    super::super::rewrite(image.as_slice(), &mut out, &options, &Limits::default(), keep).unwrap();
    assert_eq!(codes(&out), ["compression-outside-spec!"]);
    let mut old = image;
    old[257..265].fill(0);
    let sum: u32 =
        (0..512).map(|at| if (148..156).contains(&at) { 32 } else { u32::from(old[at]) }).sum();
    old[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(codes(&old), ["tar-unmarked!"]);
    assert_eq!(codes(&gzip(&old)), NONE);
    let global = Tar::default().global(b"18 comment=a note\n").file("manifest", MANIFEST);
    assert_eq!(codes(&global.directory("rootfs").end()), ["tar-global-header!"]);
    let later = br#"{"acKind":"ImageManifest","acVersion":"9.9.9","name":"example.com/a"}"#;
    let later = Tar::default().file("manifest", later).directory("rootfs").end();
    assert_eq!(codes(&later), ["version-later!"]);
}

#[test]
fn validate_warns_of_names_that_collide() {
    let with = |names: &[&str]| {
        let tar = Tar::image().directory("rootfs/d").directory("rootfs/D");
        codes(&names.iter().fold(tar, |tar, name| tar.file(name, b"")).end())
    };
    let one = "name-collision";
    assert_eq!(with(&[]), [one]);
    // In one folder alone, and told once for each name that has an earlier one.
    assert_eq!(with(&["rootfs/d/A", "rootfs/D/a"]), [one]);
    assert_eq!(with(&["rootfs/d/A", "rootfs/d/a"]), [one, one]);
    assert_eq!(with(&["rootfs/d/a", "rootfs/d/A"]), [one, one]);
    assert_eq!(with(&["rootfs/d/Ab", "rootfs/d/aB", "rootfs/d/ab"]), [one, one, one]);
    // e with an acute accent, as one character and as two.
    assert_eq!(with(&["rootfs/d/\u{e9}", "rootfs/d/e\u{301}"]), [one, one]);
    assert_eq!(with(&["rootfs/d/e\u{301}", "rootfs/d/\u{c9}"]), [one, one]);
    assert_eq!(with(&["rootfs/d/B", "rootfs/d/C", "rootfs/d/b2"]), [one]);
}

#[test]
fn validate_warns_of_names_that_other_formats_take_for_deletions() {
    let archive = Tar::image().file("rootfs/.wh.gone", b"").end();
    assert_eq!(codes(&archive), ["name-whiteout"]);
}

#[test]
fn validate_follows_exec_through_symlinks() {
    let image = |exec: &str, rest: &str| {
        Tar::default()
            .directory("rootfs")
            .directory("rootfs/usr")
            .file("rootfs/usr/bin/sh", b"")
            .link("rootfs/bin", b'2', "usr/bin")
            .link("rootfs/up", b'2', "../../../usr/./bin")
            .link("rootfs/abs", b'2', "/bin/sh")
            .link("rootfs/loop", b'2', "loop")
            .link("rootfs/dangling", b'2', "nowhere")
            .file("manifest", &app(exec, rest))
            .end()
    };
    for there in ["/bin/sh", "/up/sh", "/abs", "/usr/bin/../bin/sh", "sh", "./x"] {
        assert_eq!(codes(&image(there, "")), NONE, "{there}");
    }
    for absent in ["/bin/bash", "/loop", "/dangling", "/sh"] {
        assert_eq!(codes(&image(absent, "")), ["exec-absent"], "{absent}");
    }
    assert_eq!(codes(&image("/usr", "")), ["exec-directory"]);
    assert_eq!(codes(&image("/usr/bin", "")), ["exec-directory"]);
    let built_on = r#","dependencies":[{"imageName":"example.com/base"}]"#;
    assert_eq!(codes(&image("/bin/bash", built_on)), NONE);
    let kept = r#","pathWhitelist":["/usr/bin/sh"]"#;
    assert_eq!(codes(&image("/usr/bin/sh", kept)), NONE);
    assert_eq!(codes(&image("/bin/sh", kept)), ["exec-not-whitelisted"]);
}
