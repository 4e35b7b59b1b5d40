//! A database that the real rpm has made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Document, output, there, write};

/// More packages than fit into one page of the database, one with more files than fit into ten.
const PACKAGES: usize = 40;
const FILES: usize = 2000;

fn spec() -> String {
    let mut spec = "Name: tiny\nEpoch: 2\nVersion: 1.5\nRelease: 3\nSummary: tiny\nLicense: MIT\n\
        Vendor: Example\nBuildArch: noarch\n%description\ntiny\n%install\nmkdir -p \
        %{buildroot}/opt/tiny\ncd %{buildroot}/opt/tiny\n"
        .to_owned();
    spec += &format!("for i in `seq {FILES}`; do echo $i >file-$i; done\n");
    spec += &format!("for i in `seq {PACKAGES}`; do echo $i >part-$i; done\n");
    spec += "mkdir ghost; touch ghost/log\n";
    spec += "%files\n/opt/tiny/file-*\n%ghost /opt/tiny/ghost/log\n";
    for part in 1..=PACKAGES {
        spec += &format!(
            "%package part{part}\nSummary: part\nVersion: {part}.0\n%description part{part}\npart\n\
            %files part{part}\n/opt/tiny/part-{part}\n"
        );
    }
    spec
}

/// Builds the packages below `top`.
fn build(top: &Path) -> Vec<PathBuf> {
    write(top, "tiny.spec", &spec());
    let topdir = format!("_topdir {}", top.join("build").display());
    let mut rpmbuild = Command::new("rpmbuild");
    output(rpmbuild.arg("-bb").args(["--define", &topdir]).arg(top.join("tiny.spec")));
    let made = fs::read_dir(top.join("build/RPMS/noarch")).unwrap();
    let made: Vec<_> = made.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(made.len(), PACKAGES + 1);
    made
}

fn rpm(root: &Path) -> Command {
    let mut rpm = Command::new("rpm");
    rpm.arg("--root").arg(root).args(["--dbpath", "/var/lib/rpm"]);
    rpm.args(["--define", "_db_backend sqlite"]);
    rpm
}

#[test]
fn rpm_packages_are_those_that_rpm_lists() {
    if !there(&["rpm", "rpmbuild"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    let packages = build(folder.path());
    output(rpm(&root).arg("--initdb"));
    if !root.join("var/lib/rpm/rpmdb.sqlite").exists() {
        println!("skipped: this rpm has no SQLite databases");
        return;
    }
    output(rpm(&root).args(["-i", "--nodeps"]).args(packages));
    // What is taken away again leaves free pages in the file.
    output(rpm(&root).args(["-e", "tiny-part7", "tiny-part8"]));
    write(&root, "opt/tiny/ghost/log", "of nobody");

    let document = Document::of(&root);
    let format = "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n";
    let listed = output(rpm(&root).args(["-qa", "--qf", format]));
    let mut wanted: Vec<_> = listed.lines().collect();
    wanted.sort_unstable();
    assert_eq!(wanted.len(), PACKAGES - 1);
    assert_eq!(document.versions(), wanted);

    let tiny = document.package("tiny");
    assert_eq!(tiny["versionInfo"], "2:1.5-3");
    assert_eq!(tiny["licenseDeclared"], "MIT");
    assert_eq!(tiny["supplier"], "Organization: Example");
    assert_eq!(tiny["sourceInfo"], "built from tiny-1.5-3.src.rpm");
    assert_eq!(document.purl("tiny"), "pkg:rpm/tiny@1.5-3?arch=noarch&epoch=2");
    let files = document.files_of("tiny");
    assert_eq!(files.len(), FILES);
    assert!(files.contains("./opt/tiny/file-1999"));
    let part: Vec<_> = document.files_of("tiny-part40").into_iter().collect();
    assert_eq!(part, ["./opt/tiny/part-40"]);
    assert!(document.files_of("example.com/system").contains("./opt/tiny/ghost/log"));
}
