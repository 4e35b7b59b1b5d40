//! The packages of this very machine, where it is a Debian.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::{Document, copy, output, there};

const INFO: &str = "/var/lib/dpkg/info";

#[test]
fn dpkg_packages_are_those_that_dpkg_query_lists() {
    if !there(&["dpkg-query"]) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for path in ["/var/lib/dpkg/status", "/var/lib/dpkg/diversions", "/usr/lib/os-release"] {
        copy(path, root);
    }
    for entry in fs::read_dir(INFO).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".list") {
            copy(&format!("{INFO}/{name}"), root);
        }
    }
    // As on a merged /usr, whatever this machine has: dpkg's lists know nothing of it.
    copy("/usr/bin/dpkg", root);
    symlink("usr/bin", root.join("bin")).unwrap();
    fs::copy("/bin/cat", root.join("usr/bin/cat")).unwrap();

    let document = Document::of(root);
    let format = "${db:Status-Status} ${Package} ${Version}\n";
    let listed = output(Command::new("dpkg-query").args(["-W", "-f", format]));
    let states = ["not-installed ", "config-files "];
    let listed = listed.lines().filter(|line| !states.iter().any(|state| line.starts_with(state)));
    let mut wanted: Vec<_> =
        listed.map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    wanted.sort();
    assert!(wanted.len() > 50, "{wanted:?}");
    assert_eq!(document.versions(), wanted);
    assert_eq!(document.sbom.packages(), wanted.len());

    assert_eq!(document.files_of("dpkg").into_iter().collect::<Vec<_>>(), ["./usr/bin/dpkg"]);
    assert_eq!(document.files_of("coreutils").into_iter().collect::<Vec<_>>(), ["./usr/bin/cat"]);
    let sum = output(Command::new("sha256sum").arg("/bin/cat"));
    let digest = document.digest("./usr/bin/cat", "SHA256");
    assert_eq!(sum.split(' ').next(), Some(digest));
    let sum = output(Command::new("sha1sum").arg("/bin/cat"));
    assert_eq!(sum.split(' ').next(), Some(document.digest("./usr/bin/cat", "SHA1")));

    let version = output(Command::new("dpkg-query").args(["-W", "-f", "${Version}", "coreutils"]));
    let purl = document.purl("coreutils");
    let version = version.replace('+', "%2B");
    assert!(purl.starts_with("pkg:deb/"), "{purl}");
    assert!(purl.contains(&format!("/coreutils@{version}?arch=")), "{purl}");
    assert_eq!(purl.contains("&distro="), Path::new("/usr/lib/os-release").exists(), "{purl}");
}
