//! The look at the program that the manifest names.

use std::os::unix::fs::symlink;
use std::path::Path;

use aci::ImageManifest;
use builder::{ExecFault, ExecWarning, Ignore, Overrides, PackOptions, Rule, Warning};

use crate::support::{options, pack, set_mode, tree, write};

/// A manifest with this program and these other members.
fn manifest(program: &str, app: &str, more: &str) -> Vec<u8> {
    let text = format!(
        r#"{{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/a",
            "app": {{"exec": ["{program}"], "user": "0", "group": "0" {app}}} {more}}}"#
    );
    ImageManifest::from_json(text.as_bytes()).unwrap();
    text.into_bytes()
}

const AMD64: &str =
    r#","labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]"#;

/// The smallest ELF file of a machine, with an interpreter.
fn elf(class: u8, big: bool, machine: u16, interpreter: &str) -> Vec<u8> {
    let wide = class == 2;
    let order = |bytes: &[u8]| -> Vec<u8> {
        if big { bytes.iter().rev().copied().collect() } else { bytes.to_vec() }
    };
    let half = |n: u16| order(&n.to_le_bytes());
    let word = |n: u32| order(&n.to_le_bytes());
    let address = |n: u64| if wide { order(&n.to_le_bytes()) } else { word(n as u32) };
    let (header, entry) = if wide { (64_u64, 56_u64) } else { (52, 32) };
    let mut file = vec![0x7f, b'E', b'L', b'F', class, if big { 2 } else { 1 }, 1];
    file.resize(16, 0);
    file.extend([half(2), half(machine), word(1), address(0), address(header)].concat());
    // No sections; the lie about where they are is not looked at.
    file.extend([address(u64::MAX), word(0), half(header as u16), half(entry as u16)].concat());
    file.extend([half(1), half(64), half(u16::MAX), half(0)].concat());
    let (offset, size) = (address(header + entry), address(interpreter.len() as u64 + 1));
    if wide {
        file.extend(
            [word(3), word(4), offset, address(0), address(0), size.clone(), size].concat(),
        );
    } else {
        file.extend(
            [word(3), offset, address(0), address(0), size.clone(), size, word(4)].concat(),
        );
    }
    file.resize((header + entry) as usize, 0);
    file.extend(interpreter.as_bytes());
    file.push(0);
    file
}

fn executable(path: &Path, content: &[u8]) {
    write(path, content);
    set_mode(path, 0o755);
}

fn faults(options: &PackOptions<'_>) -> Vec<ExecFault> {
    let fault = |warning| match warning {
        Warning::Exec(ExecWarning { fault, .. }) => fault,
        other => panic!("{other}"),
    };
    pack(options).unwrap().1.warnings.into_iter().map(fault).collect()
}

/// What is warned of when this program is the tree's `/bin/x`.
fn faults_of(content: &[u8]) -> Vec<ExecFault> {
    let tree = tree(&["lib/ld.so"]);
    executable(&tree.path().join("bin/x"), content);
    faults(&PackOptions { manifest: &manifest("/bin/x", "", AMD64), ..options(tree.path()) })
}

#[test]
fn exec_that_is_absent_is_warned_of() {
    let tree = tree(&["bin/y"]);
    let manifest = self::manifest("/bin/x", "", "");
    let with = PackOptions { manifest: &manifest, ..options(tree.path()) };
    let warnings = pack(&with).unwrap().1.warnings;
    assert_eq!(warnings[0].to_string(), "exec \"/bin/x\" is not in the tree");
    assert_eq!(faults(&with), [ExecFault::Absent]);
}

#[test]
fn exec_of_an_image_with_dependencies_may_be_absent() {
    let tree = tree(&["bin/script"]);
    let more = r#", "dependencies": [{"imageName": "example.com/base"}]"#;
    for program in ["/bin/x", "/bin/script"] {
        executable(&tree.path().join("bin/script"), b"#!/bin/sh\n");
        let manifest = manifest(program, "", more);
        assert_eq!(faults(&PackOptions { manifest: &manifest, ..options(tree.path()) }), []);
    }
}

#[test]
fn exec_that_is_not_executable_is_warned_of() {
    let tree = tree(&["bin/x", "folder/"]);
    set_mode(&tree.path().join("bin/x"), 0o644);
    let manifest = self::manifest("/bin/x", "", "");
    let with = PackOptions { manifest: &manifest, ..options(tree.path()) };
    assert_eq!(faults(&with), [ExecFault::NotExecutable(0o644)]);
    let overrides = Overrides(vec![Rule::mode("/bin/x=0755").unwrap()]);
    assert_eq!(faults(&PackOptions { overrides: &overrides, ..with }), []);
    let manifest = self::manifest("/folder", "", "");
    let with = PackOptions { manifest: &manifest, ..options(tree.path()) };
    assert_eq!(faults(&with), [ExecFault::NoFile]);
}

#[test]
fn exec_of_another_architecture_is_warned_of() {
    let wrong = |built: &str| {
        vec![ExecFault::Architecture { built: built.to_owned(), label: "amd64".to_owned() }]
    };
    assert_eq!(faults_of(&elf(2, false, 62, "/lib/ld.so")), []);
    assert_eq!(faults_of(&elf(2, false, 183, "/lib/ld.so")), wrong("aarch64"));
    assert_eq!(faults_of(&elf(1, false, 3, "/lib/ld.so")), wrong("i386"));
    assert_eq!(faults_of(&elf(2, true, 22, "/lib/ld.so")), wrong("s390x"));
    assert_eq!(faults_of(&elf(1, true, 40, "/lib/ld.so")), wrong("armv7b"));
    assert_eq!(faults_of(&elf(2, false, 243, "/lib/ld.so")), wrong("ELF machine 243"));
    let tree = tree(&[]);
    executable(&tree.path().join("x"), &elf(2, false, 183, ""));
    let any = manifest("/x", "", "");
    assert_eq!(faults(&PackOptions { manifest: &any, ..options(tree.path()) }), [], "no label");
}

#[test]
fn exec_of_this_machine_is_as_its_label_says() {
    let (_, arch) = aci::host_platform();
    let labels = format!(r#","labels": [{{"name": "arch", "value": "{arch}"}}]"#);
    let tree = tree(&[]);
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    executable(&tree.path().join("x"), &program);
    let manifest = manifest("/x", "", &labels);
    let found = faults(&PackOptions { manifest: &manifest, ..options(tree.path()) });
    // It is linked dynamically, and the linker is not there.
    assert!(
        matches!(found.as_slice(), [ExecFault::Interpreter(path)] if path.contains("ld")),
        "{found:?}"
    );
}

#[test]
fn exec_whose_interpreter_is_absent_is_warned_of() {
    let needs = |path: &str| vec![ExecFault::Interpreter(path.to_owned())];
    assert_eq!(faults_of(&elf(2, false, 62, "/lib64/ld.so")), needs("/lib64/ld.so"));
    assert_eq!(faults_of(b"#!/bin/sh -e\necho\n"), needs("/bin/sh"));
    assert_eq!(faults_of(b"#! \t/lib/ld.so\n"), []);
    assert_eq!(faults_of(b"#!"), []);
    assert_eq!(faults_of(b"plain text"), []);
}

#[test]
fn exec_that_is_damaged_is_packed_without_a_word() {
    let whole = elf(2, false, 62, "/lib/ld.so");
    for length in [3, 4, 5, 15, 16, 17, 40, 63, 64, 100, 119, 125] {
        assert_eq!(faults_of(&whole[..length]), [], "{length}");
    }
    for at in 0..64 {
        let mut damaged = whole.clone();
        damaged[at] = 0xff;
        faults_of(&damaged);
    }
}

#[test]
fn exec_is_found_through_links_that_stay_in_the_tree() {
    let outside = tree(&[]);
    executable(&outside.path().join("x"), b"");
    let tree = tree(&[]);
    executable(&tree.path().join("usr/bin/x"), b"#!/bin/x\n");
    symlink("/usr/bin", tree.path().join("bin")).unwrap();
    symlink("../../../../usr/bin/x", tree.path().join("usr/up")).unwrap();
    symlink(outside.path().join("x"), tree.path().join("out")).unwrap();
    symlink("loop", tree.path().join("loop")).unwrap();
    for (program, wanted) in [
        ("/bin/x", vec![]),
        ("/usr/up", vec![]),
        ("/out", vec![ExecFault::Absent]),
        ("/loop", vec![ExecFault::Absent]),
    ] {
        let manifest = manifest(program, "", "");
        let found = faults(&PackOptions { manifest: &manifest, ..options(tree.path()) });
        assert_eq!(found, wanted, "{program}");
    }
}

#[test]
fn exec_without_a_slash_is_looked_for_in_the_path() {
    let tree = tree(&[]);
    executable(&tree.path().join("opt/x"), b"");
    executable(&tree.path().join("usr/bin/y"), b"");
    let path = r#","environment": [{"name": "PATH", "value": "/sbin:/opt"}]"#;
    let here = r#","workingDirectory": "/opt""#;
    for (program, app, wanted) in [
        ("x", path, vec![]),
        ("y", path, vec![ExecFault::Absent]),
        ("y", "", vec![]),
        ("x", "", vec![ExecFault::Absent]),
        ("x", here, vec![]),
        ("./x", here, vec![]),
        ("./x", path, vec![ExecFault::Absent]),
    ] {
        let manifest = manifest(program, app, "");
        let found = faults(&PackOptions { manifest: &manifest, ..options(tree.path()) });
        assert_eq!(found, wanted, "{program} {app}");
    }
}

#[test]
fn exec_that_is_ignored_is_absent() {
    let tree = tree(&[]);
    executable(&tree.path().join("bin/x"), b"");
    let mut ignore = Ignore::default();
    ignore.add("bin/").unwrap();
    let manifest = manifest("/bin/x", "", "");
    let with = PackOptions { manifest: &manifest, ignore: &ignore, ..options(tree.path()) };
    assert_eq!(faults(&with), [ExecFault::Absent]);
}
