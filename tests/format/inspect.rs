//! `gantry inspect`: what is in an image file.

use std::fs;

use serde_json::Value;

use crate::support::Sandbox;
use crate::support::hostile::Tar;

fn packed() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("tree/bin/tool", "#!/bin/sh\n");
    std::os::unix::fs::symlink("bin/tool", sandbox.path("tree/link")).unwrap();
    fs::hard_link(sandbox.path("tree/bin/tool"), sandbox.path("tree/other")).unwrap();
    sandbox.shell("find tree -exec touch -h -d @1000000000 {} +").ok();
    let line = "pack tree -o a.aci --name example.com/a --version 1 --exec /bin/tool";
    sandbox.gantry(line.split(' ')).ok();
    sandbox
}

#[test]
fn inspect_says_whether_a_signature_is_there_and_not_that_it_is_good() {
    let sandbox = packed();
    let said = sandbox.gantry(["inspect", "a.aci"]).ok();
    assert!(said.contains("signature:   none beside the file"), "{said}");
    sandbox.write("a.aci.asc", "no signature at all");
    let said = sandbox.gantry(["inspect", "a.aci"]).ok();
    assert!(said.contains("a.aci.asc, not verified here: gantry verify a.aci"), "{said}");
    let said: Value =
        serde_json::from_str(&sandbox.gantry(["--json", "inspect", "a.aci"]).ok()).unwrap();
    assert_eq!(said["signature"], "a.aci.asc");
    assert_eq!(
        said["manifestBytes"],
        sandbox.gantry(["inspect", "--manifest", "a.aci"]).stdout.len()
    );
    assert_eq!(said["fileBytes"], fs::metadata(sandbox.path("a.aci")).unwrap().len());
}

#[test]
fn inspect_lists_entries_as_lines_and_as_json() {
    let sandbox = packed();
    let said = sandbox.gantry(["inspect", "--entries", "a.aci"]).ok();
    let time = "2001-09-09T01:46:40Z";
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            format!("drwxr-xr-x 0:0          0 {time} rootfs"),
            format!("drwxr-xr-x 0:0          0 {time} rootfs/bin"),
            format!("-rw-r--r-- 0:0         10 {time} rootfs/bin/tool"),
            format!("lrwxrwxrwx 0:0          0 {time} rootfs/link -> bin/tool"),
            format!("hrw-r--r-- 0:0          0 {time} rootfs/other link to rootfs/bin/tool"),
        ]
    );
    let said = sandbox.gantry(["--json", "inspect", "--entries", "a.aci"]).ok();
    let said: Value = serde_json::from_str(&said).unwrap();
    let list = said["list"].as_array().unwrap();
    assert_eq!(list.len() as u64, said["entries"].as_u64().unwrap());
    assert_eq!(
        list[2],
        serde_json::json!({"path":"rootfs/bin/tool","type":"file","mode":"0644","uid":0,"gid":0,
            "mtime":1_000_000_000,"size":10})
    );
    assert_eq!(list[4]["target"], "rootfs/bin/tool");
    assert_eq!(said["manifest"]["app"]["exec"][0], "/bin/tool");
}

#[test]
fn inspect_lists_names_that_steer_no_terminal() {
    let sandbox = Sandbox::new();
    let image = Tar::image("example.com/a", "1").file("rootfs/\u{1b}[2J\u{202e}\nx", b"").gzip();
    sandbox.write("a.aci", image);
    let said = sandbox.gantry(["inspect", "--entries", "a.aci"]).ok();
    assert_eq!(said.lines().count(), 2, "{said:?}");
    assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}'), "{said:?}");
}

#[test]
fn inspect_of_a_broken_image_ends_with_a_refusal() {
    let sandbox = packed();
    let whole = fs::read(sandbox.path("a.aci")).unwrap();
    sandbox.write("cut.aci", &whole[..whole.len() - 9]);
    sandbox.gantry(["inspect", "cut.aci"]).refused(5);
    sandbox.gantry(["inspect", "--entries", "cut.aci"]).refused(5);
    assert_eq!(sandbox.gantry(["inspect", "--entries", "absent.aci"]).code, 4);
    assert_eq!(sandbox.gantry(["inspect", "--entries", "--manifest", "a.aci"]).code, 3);
    // Whoever has seen enough may leave.
    sandbox.shell("\"$GANTRY\" inspect --entries a.aci | head -n 1").ok();
}

#[test]
fn inspect_prints_numbers_that_are_too_large_as_they_are_written() {
    let sandbox = Sandbox::new();
    let manifest = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a",
        "x":1e999,"app":{"user":"0","group":"0","y":[12345678901234567890123]}}"#;
    let image = Tar::default().file("manifest", manifest.as_bytes()).directory("rootfs");
    sandbox.write("a.aci", image.gzip());
    for args in
        [["inspect", "--json", "a.aci"].as_slice(), &["inspect", "--json", "--entries", "a.aci"]]
    {
        let said = sandbox.gantry(args).ok();
        assert!(said.contains(r#""x":1e999"#), "{said}");
        assert!(said.contains("[12345678901234567890123]"), "{said}");
        assert!(said.ends_with('}'), "{said}");
    }
}

#[test]
fn commands_take_paths_that_are_no_text() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStrExt;

    let sandbox = packed();
    let odd = |name: &str| OsString::from(OsStr::from_bytes(&[name.as_bytes(), b"\xff"].concat()));
    fs::copy(sandbox.path("a.aci"), sandbox.path(odd("b"))).unwrap();
    fs::write(sandbox.path(OsStr::from_bytes(b"b\xff.asc")), "a signature").unwrap();
    let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
    for (line, paths) in [
        ("inspect", vec![odd("b")]),
        ("validate", vec![odd("b")]),
        ("diff", vec![odd("b"), "a.aci".into()]),
        ("convert", vec![odd("b"), odd("c")]),
        ("patch --version 2", vec![odd("b"), odd("d")]),
        ("extract", vec![odd("b"), odd("e")]),
        ("pack tree --name example.com/a -o", vec![odd("f")]),
    ] {
        let ended = sandbox.gantry([words("--json"), words(line), paths].concat());
        let said: Value = serde_json::from_str(&ended.ok()).unwrap();
        assert!(said.is_object(), "{line}");
    }
    let ended = sandbox
        .gantry([words("--json"), words("validate"), vec![odd("none"), "a.aci".into()]].concat());
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stdout.contains("\"valid\":true"), "{ended:?}");
}
