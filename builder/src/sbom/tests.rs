//! Bills of materials of small images made in code.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use aci::archive::Compression;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::{Ignore, Overrides, Owner, PackOptions, pack};

const MANIFEST: &[u8] = br#"{"acKind": "ImageManifest", "acVersion": "0.8.11",
    "name": "example.com/hello", "labels": [{"name": "version", "value": "1.0.0"},
    {"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]}"#;

const STATUS: &str = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n\
    Package: b\nStatus: install ok installed\nVersion: 2\nArchitecture: amd64\n";

fn image_of(root: &Path, manifest: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let options = PackOptions {
        rootfs: root,
        manifest,
        owner: &Owner::Fixed { uid: 0, gid: 0 },
        overrides: &Overrides(Vec::new()),
        recorded: None,
        ignore: &Ignore::default(),
        keeps_ignore_file: false,
        source_date_epoch: Some(0),
        skip_sockets: false,
        one_file_system: false,
        compression: Compression::None,
        threads: NonZeroUsize::MIN,
        kept: None,
        file_digest: true,
        progress: &(),
    };
    pack(&mut file, &options).unwrap();
    file
}

/// A tree; a content `-> target` makes a symbolic link, and `= target` a hard link.
fn tree(files: &[(&[u8], &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = root.path().join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if let Some(target) = content.strip_prefix("-> ") {
            symlink(target, path).unwrap();
        } else if let Some(target) = content.strip_prefix("= ") {
            fs::hard_link(root.path().join(target), path).unwrap();
        } else {
            fs::write(path, content).unwrap();
        }
    }
    root
}

fn options(files: bool) -> SbomOptions {
    SbomOptions { created: UtcTime::try_from(1_000_000_000).unwrap(), files }
}

fn sbom_of(files: &[(&[u8], &str)], limits: &SbomLimits) -> Sbom {
    let image = image_of(tree(files).path(), MANIFEST);
    Sbom::of_image(image.as_slice(), limits, &options(true)).unwrap()
}

fn json(sbom: &Sbom) -> Value {
    serde_json::from_slice(&sbom.to_json().unwrap()).unwrap()
}

/// What is contained in what, by names; the image is `example.com/hello`.
fn contained(document: &Value) -> BTreeMap<String, Vec<String>> {
    let mut names = BTreeMap::new();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for (list, name) in [("packages", "name"), ("files", "fileName")] {
        for element in document[list].as_array().into_iter().flatten() {
            let before = names.insert(text(&element["SPDXID"]), text(&element[name]));
            assert_eq!(before, None, "an ID is given twice");
        }
    }
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for relation in document["relationships"].as_array().unwrap() {
        if relation["relationshipType"] == "CONTAINS" {
            let name = |end: &str| names[relation[end].as_str().unwrap()].clone();
            all.entry(name("spdxElementId")).or_default().push(name("relatedSpdxElement"));
        }
    }
    all.values_mut().for_each(|names| names.sort());
    all
}

fn package<'a>(document: &'a Value, name: &str) -> &'a Value {
    let packages = document["packages"].as_array().unwrap();
    packages.iter().find(|package| package["name"] == name).unwrap()
}

#[test]
fn sbom_describes_the_image_and_what_it_depends_on() {
    let root = tree(&[(b"etc/os-release", "ID=debian\nVERSION_ID=12\n")]);
    let id = "ab".repeat(64);
    let manifest = format!(
        r#"{{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/hello",
        "dependencies": [{{"imageName": "example.com/b", "imageID": "sha512-{id}"}},
        {{"imageName": "example.com/a", "labels": [{{"name": "version", "value": "2"}}]}}]}}"#
    );
    let image = image_of(root.path(), manifest.as_bytes());
    let sbom = Sbom::of_image(image.as_slice(), &SbomLimits::default(), &options(false)).unwrap();
    let document = json(&sbom);
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    assert_eq!(document["name"], "example.com/hello");
    assert_eq!(document["creationInfo"]["created"], "2001-09-09T01:46:40Z");
    let image_id = sbom.image().image_id();
    let namespace = format!("urn:gantry:sbom:v1:example.com/hello:{image_id}:packages");
    assert_eq!(document["documentNamespace"], namespace);
    let root = package(&document, "example.com/hello");
    assert_eq!(root["checksums"][0]["algorithm"], "SHA512");
    assert_eq!(root["checksums"][0]["checksumValue"], image_id.digits());
    assert_eq!(root["filesAnalyzed"], false);
    assert_eq!(root.get("packageVerificationCode"), None);
    assert_eq!(package(&document, "example.com/a")["versionInfo"], "2");
    assert_eq!(package(&document, "example.com/b")["checksums"][0]["checksumValue"], id);
    let relations: Vec<_> = document["relationships"].as_array().unwrap().iter().collect();
    let kinds: Vec<_> = relations.iter().map(|one| one["relationshipType"].as_str()).collect();
    assert_eq!(kinds, [Some("DESCRIBES"), Some("DEPENDS_ON"), Some("DEPENDS_ON")]);
    assert_eq!(document.get("files"), None);
    assert_eq!((sbom.packages(), sbom.files(), sbom.warnings().len()), (0, 0, 0));
}

#[test]
fn sbom_tells_whose_each_file_is() {
    let sbom = sbom_of(
        &[
            (b"usr/bin/a", "a"),
            (b"usr/bin/sh.distrib", "old"),
            (b"usr/bin/sh", "new"),
            (b"usr/share/both", "both"),
            (b"usr/share/hard", "= usr/share/both"),
            (b"usr/share/link", "-> both"),
            (b"bin", "-> usr/bin"),
            (b"srv/mine", "mine"),
            (b"var/lib/dpkg/status", STATUS),
            (b"var/lib/dpkg/diversions", "/bin/sh\n/bin/sh.distrib\nb\n"),
            (b"var/lib/dpkg/info/a.list", "/.\n/bin\n/bin/a\n/bin/sh\n/usr/share/both\n/gone\n"),
            (b"var/lib/dpkg/info/b:amd64.list", "/bin/sh\n/usr/share/both\n/usr/share/link\n"),
        ],
        &SbomLimits::default(),
    );
    assert_eq!(sbom.warnings(), []);
    let document = json(&sbom);
    let contained = contained(&document);
    assert_eq!(contained["a"], ["./usr/bin/a", "./usr/bin/sh.distrib", "./usr/share/both"]);
    assert_eq!(contained["b"], ["./usr/bin/sh", "./usr/share/both"]);
    let own = &contained["example.com/hello"];
    assert!(own.contains(&"./usr/share/hard".to_owned()), "{own:?}");
    assert!(own.contains(&"./srv/mine".to_owned()), "{own:?}");
    assert!(own.contains(&"a".to_owned()) && own.contains(&"b".to_owned()), "{own:?}");
    assert!(!own.contains(&"./usr/bin/a".to_owned()), "{own:?}");
    // The link is none.
    assert_eq!(sbom.files(), 10);
    let code = |name: &str| {
        let package = package(&document, name);
        assert_eq!(package["filesAnalyzed"], true);
        package["packageVerificationCode"]["packageVerificationCodeValue"].clone()
    };
    let digest = |content: &[u8]| {
        let mut sums = sums::Summing::default();
        sums.update(content);
        sums.finish().sha1
    };
    assert_eq!(code("b"), sums::verification_code([digest(b"both"), digest(b"new")].into_iter()));
    assert_ne!(code("example.com/hello"), code("a"));
}

#[test]
fn sbom_of_dpkg_has_the_licences_of_copyright_files() {
    let format =
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n";
    let sbom = sbom_of(
        &[
            (b"var/lib/dpkg/status", STATUS),
            (
                b"usr/share/doc/a/copyright",
                &format!("{format}License: GPL-2+\n\nFiles: b\nLicense: BSD\n"),
            ),
            (b"usr/share/doc/b", "-> a"),
        ],
        &SbomLimits::default(),
    );
    let document = json(&sbom);
    let licenses = document["hasExtractedLicensingInfos"].as_array().unwrap();
    let [license] = licenses.as_slice() else { panic!("{licenses:?}") };
    assert_eq!(license["extractedText"], "BSD");
    let declared = format!("GPL-2.0-or-later AND {}", license["licenseId"].as_str().unwrap());
    assert_eq!(package(&document, "a")["licenseDeclared"], declared);
    assert_eq!(package(&document, "b")["licenseDeclared"], "NOASSERTION");
}

#[test]
fn sbom_of_one_file_a_package_reads_its_sums() {
    let digest = "0".repeat(32);
    let sbom = sbom_of(
        &[
            (b"usr/bin/a", "a"),
            (b"var/lib/dpkg/status.d/a", "Package: a\nVersion: 1\n"),
            (b"var/lib/dpkg/status.d/a.md5sums", &format!("{digest}  usr/bin/a\n")),
            (b"var/lib/dpkg/status.d/b", "Package: b\nVersion: 1\n"),
        ],
        &SbomLimits::default(),
    );
    assert_eq!((sbom.packages(), sbom.warnings()), (2, &[][..]));
    assert_eq!(contained(&json(&sbom))["a"], ["./usr/bin/a"]);
}

#[test]
fn sbom_of_apk_has_licences_and_files() {
    let musl = "P:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\nF:usr/lib\nR:libc.so\n\n";
    let installed = format!("{musl}P:b\nV:1\nL:GPLv2 or so\n");
    let sbom = sbom_of(
        &[
            (b"usr/lib/libc.so", "c"),
            (b"lib/apk/db/installed", &installed),
            // The same database under its later name: its package is there once.
            (b"usr/lib/apk/db/installed", musl),
            (b"usr/lib/os-release", "ID=alpine\nVERSION_ID=3.20.1\n"),
        ],
        &SbomLimits::default(),
    );
    assert_eq!(sbom.packages(), 2);
    let document = json(&sbom);
    let musl = package(&document, "musl");
    assert_eq!(musl["licenseDeclared"], "MIT");
    let purl = "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1";
    assert_eq!(musl["externalRefs"][0]["referenceLocator"], purl);
    assert_eq!(contained(&document)["musl"], ["./usr/lib/libc.so"]);
    let licenses = &document["hasExtractedLicensingInfos"];
    assert_eq!(licenses[0]["extractedText"], "GPLv2 or so");
    assert_eq!(package(&document, "b")["licenseDeclared"], licenses[0]["licenseId"]);
    assert_eq!(package(&document, "b")["licenseConcluded"], "NOASSERTION");
}

#[test]
fn sbom_keeps_names_apart_that_are_not_utf_8() {
    let names: &[(&[u8], &str)] =
        &[(b"a\xff", ""), (b"a\xfe", ""), (b"a\\xff", ""), (b"a\n", ""), (b"a\\n", "")];
    let document = json(&sbom_of(names, &SbomLimits::default()));
    let files = document["files"].as_array().unwrap();
    let mut shown: Vec<_> = files.iter().map(|file| file["fileName"].as_str().unwrap()).collect();
    shown.sort_unstable();
    assert_eq!(shown, [r"./a\\n", r"./a\\xff", r"./a\n", r"./a\xfe", r"./a\xff"]);
    let ids: std::collections::BTreeSet<_> =
        files.iter().map(|file| &file["SPDXID"]).map(Value::to_string).collect();
    assert_eq!(ids.len(), 5);
}

#[test]
fn sbom_says_what_it_could_not_read() {
    let sbom = sbom_of(
        &[
            (b"var/lib/dpkg/status", "nonsense\n"),
            (b"lib/apk/db/installed", "-> elsewhere"),
            (b"var/lib/rpm/Packages", "x"),
            (b"usr/lib/sysimage/rpm/rpmdb.sqlite", "x"),
            (b"usr/lib/sysimage/rpm/Packages.db", "x"),
            (b"usr/share/rpm/rpmdb.sqlite", "x"),
            (b"usr/share/rpm/rpmdb.sqlite-wal", "x"),
        ],
        &SbomLimits::default(),
    );
    assert_eq!(sbom.packages(), 0);
    let told: Vec<String> = sbom.warnings().iter().map(ToString::to_string).collect();
    let unread = |path: &str, why: &str| {
        format!("/{path} is there and was not read: {why}; its packages are not listed")
    };
    let wanted = [
        unread("lib/apk/db/installed", "it is no regular file"),
        unread("usr/lib/sysimage/rpm/Packages.db", "ndb databases are not read"),
        unread(
            "usr/lib/sysimage/rpm/rpmdb.sqlite",
            "it is no SQLite database of packages: it does not begin as one",
        ),
        unread(
            "usr/share/rpm/rpmdb.sqlite",
            "it was not closed: there are changes in its write-ahead log",
        ),
        unread("var/lib/dpkg/status", "line 1 has not the form of this database"),
        unread("var/lib/rpm/Packages", "Berkeley DB databases are not read"),
    ];
    assert_eq!(told, wanted);
    let document = json(&sbom);
    let annotations = document["annotations"].as_array().unwrap();
    let comments: Vec<_> = annotations.iter().map(|one| one["comment"].as_str().unwrap()).collect();
    assert_eq!(comments, wanted);
}

#[test]
fn sbom_with_a_log_that_is_a_link_does_not_read_the_database() {
    let sbom = sbom_of(
        &[(b"var/lib/rpm/rpmdb.sqlite", "x"), (b"var/lib/rpm/rpmdb.sqlite-wal", "-> /srv/log")],
        &SbomLimits::default(),
    );
    let told = sbom.warnings();
    assert!(matches!(told, [SbomWarning::Unread { fault: DatabaseFault::Open, .. }]), "{told:?}");
}

#[test]
fn sbom_beyond_a_limit_lists_nothing_by_half() {
    let files: &[(&[u8], &str)] = &[
        (b"a", "a"),
        (b"b", "b"),
        (b"var/lib/dpkg/status", STATUS),
        (b"var/lib/dpkg/info/a.list", "/a\n"),
        (b"var/lib/dpkg/info/b.list", "/b\n"),
    ];
    let with = |change: &dyn Fn(&mut SbomLimits)| {
        let mut limits = SbomLimits::default();
        change(&mut limits);
        let sbom = sbom_of(files, &limits);
        let contained = contained(&json(&sbom));
        let [warning] = sbom.warnings() else { panic!("{:?}", sbom.warnings()) };
        (sbom.packages(), contained.len(), warning.clone())
    };
    let status = || "var/lib/dpkg/status".into();
    let unread = |fault| SbomWarning::Unread { path: status(), fault };
    let size = STATUS.len() as u64 - 1;
    assert_eq!(
        with(&|limits| limits.database_bytes = size),
        (0, 1, unread(DatabaseFault::TooLarge { allowed: size }))
    );
    assert_eq!(
        with(&|limits| limits.packages = 1),
        (0, 1, unread(DatabaseFault::Packages { allowed: 1 }))
    );
    let fault = DatabaseFault::OwnedFiles { allowed: 1 };
    let unowned = SbomWarning::Unowned { path: status(), fault };
    assert_eq!(with(&|limits| limits.owned_files = 1), (2, 1, unowned));
    let image = image_of(tree(files).path(), MANIFEST);
    let limits = SbomLimits { files: 4, ..SbomLimits::default() };
    let many = Sbom::of_image(image.as_slice(), &limits, &options(true));
    assert!(matches!(many, Err(SbomError::Files { allowed: 4 })), "{many:?}");
    assert!(Sbom::of_image(image.as_slice(), &limits, &options(false)).is_ok());
}

#[test]
fn sbom_of_a_broken_image_is_none() {
    let image = image_of(tree(&[(b"a", "a")]).path(), MANIFEST);
    for cut in [0, 511, 600, image.len() - 1024] {
        let sbom = Sbom::of_image(&image[..cut], &SbomLimits::default(), &options(true));
        assert!(matches!(sbom, Err(SbomError::Image(_))), "{cut}");
    }
}

#[test]
fn sbom_of_the_same_image_has_the_same_bytes() {
    let files: &[(&[u8], &str)] = &[
        (b"a", "a"),
        (b"b", "= a"),
        (b"c", "= a"),
        (b"var/lib/dpkg/status", STATUS),
        (b"var/lib/dpkg/info/a.list", "/a\n/b\n/c\n"),
    ];
    let image = image_of(tree(files).path(), MANIFEST);
    let bytes = || {
        let limits = SbomLimits::default();
        let sbom = Sbom::of_image(image.as_slice(), &limits, &options(true)).unwrap();
        sbom.to_json().unwrap()
    };
    let first = bytes();
    assert!((0..8).all(|_| bytes() == first));
}

proptest! {
    #[test]
    fn os_release_never_panics(content in "((ID|VERSION_ID)?[=\"'\\\\\n a]{0,4}){0,20}") {
        os_release::OsRelease::parse(content.as_bytes());
    }

    #[test]
    fn license_never_panics(text in "(MIT|AND|OR|WITH|[() a]){0,20}") {
        for manager in [package::Manager::Apk, package::Manager::Dpkg] {
            license::License::of(manager, &text);
        }
    }
}
