//! `gantry diff`: manifests and trees, and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::hostile::{Tar, manifest};
use crate::support::{Ended, Sandbox, tool};

fn pack(sandbox: &Sandbox, file: &str, more: &[&str]) {
    let args = ["pack", "tree", "-o", file, "--name", "example.com/a", "--overwrite"];
    sandbox.gantry(args.iter().chain(more)).ok();
}

fn diff(sandbox: &Sandbox, line: &str) -> Ended {
    sandbox.gantry(["diff"].into_iter().chain(line.split_whitespace()))
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn diff_of_one_image_compressed_differently_is_none() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/etc/motd", "hello");
    pack(&sandbox, "a.aci", &[]);
    pack(&sandbox, "b.aci", &["--compression", "xz"]);
    let ended = diff(&sandbox, "a.aci b.aci");
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "", ""));
    let ended = diff(&sandbox, "--json a.aci b.aci");
    let said = json(&ended);
    assert_eq!((ended.code, &said["equal"]), (0, &Value::from(true)));
    assert_eq!((&said["tree"], &said["manifest"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    assert_eq!(said["a"]["imageId"], said["b"]["imageId"]);
}

#[test]
fn diff_of_another_order_is_none_and_says_so() {
    let sandbox = Sandbox::new();
    let bytes = manifest("example.com/a", "1");
    let one = Tar::default().file("manifest", &bytes).directory("rootfs").file("rootfs/a", b"1");
    let other = Tar::default().directory("rootfs").file("rootfs/a", b"1").file("manifest", &bytes);
    sandbox.write("a.aci", one.gzip());
    sandbox.write("b.aci", other.gzip());
    let ended = diff(&sandbox, "a.aci b.aci");
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""));
    assert!(ended.stderr.contains("laid out differently"), "{ended:?}");
}

#[test]
fn diff_says_what_has_changed_in_tree_and_manifest() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/kept", "same");
    sandbox.write("tree/bin/tool", "one");
    sandbox.write("tree/gone", "old");
    std::os::unix::fs::symlink("kept", sandbox.path("tree/link")).unwrap();
    sandbox.shell("find tree -exec touch -h -d @1000000000 {} +").ok();
    pack(&sandbox, "a.aci", &["--version", "1.0.0", "--exec", "/bin/tool"]);
    sandbox.write("tree/bin/tool", "two!");
    fs::set_permissions(sandbox.path("tree/bin/tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::remove_file(sandbox.path("tree/gone")).unwrap();
    fs::remove_file(sandbox.path("tree/link")).unwrap();
    std::os::unix::fs::symlink("bin/tool", sandbox.path("tree/link")).unwrap();
    sandbox.write("tree/new\nfile", "");
    sandbox.shell("find tree -exec touch -h -d @1000000000 {} +").ok();
    pack(&sandbox, "b.aci", &["--version", "1.1.0", "--exec", "/bin/tool", "--exec=-v"]);

    let ended = diff(&sandbox, "a.aci b.aci");
    assert_eq!(ended.code, 1);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines[0], r#"m labels[0].value: "1.0.0" -> "1.1.0""#);
    assert_eq!(lines[1], r#"m app.exec[1]: (none) -> "-v""#);
    let tool = "~ rootfs/bin/tool: mode 0644 -> 4755; size 3 -> 4; content sha512-";
    assert!(lines[2].starts_with(tool), "{lines:#?}");
    assert!(lines[3].starts_with("- -rw-r--r-- 0:0          3 2001-09-09T01:46:40Z rootfs/gone"));
    assert_eq!(lines[4], "~ rootfs/link: target kept -> bin/tool");
    assert!(lines[5].ends_with("rootfs/new\\nfile"), "{lines:#?}");
    assert_eq!(lines.len(), 6);
    assert!(ended.stderr.contains("2 in the manifest; 1 added, 1 removed, 2 changed"), "{ended:?}");

    let ended = diff(&sandbox, "--json a.aci b.aci");
    let said = json(&ended);
    assert_eq!((ended.code, &said["equal"]), (1, &Value::from(false)));
    assert_eq!(said["manifest"][1], serde_json::json!({ "path": "app.exec[1]", "new": "-v" }));
    assert_eq!(said["tree"][0]["fields"][0]["field"], "mode");
    assert_eq!(said["tree"][1]["change"], "removed");
    assert_eq!(said["tree"][3]["entry"]["size"], 0);
    assert_eq!(said["counts"], serde_json::json!({"manifest":2,"added":1,"removed":1,"changed":2}));
    let ended = diff(&sandbox, "--quiet a.aci b.aci");
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (1, "", ""));
}

#[test]
fn diff_ignores_what_it_is_told_to() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/file", "x");
    sandbox.shell("find tree -exec touch -h -d @1000000000 {} +").ok();
    pack(&sandbox, "a.aci", &[]);
    sandbox.shell("find tree -exec touch -h -d @1000000001 {} +; chmod 600 tree/file").ok();
    pack(&sandbox, "b.aci", &["--owner", "5:6"]);
    assert_eq!(diff(&sandbox, "a.aci b.aci").code, 1);
    assert_eq!(diff(&sandbox, "--ignore mtime,owner a.aci b.aci").stdout.lines().count(), 1);
    assert_eq!(diff(&sandbox, "--ignore mtime,owner --ignore mode a.aci b.aci").code, 0);
    assert_eq!(diff(&sandbox, "--ignore size a.aci b.aci").code, 3);
}

#[test]
fn diff_of_what_cannot_be_compared_is_not_called_a_difference() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/file", "x");
    pack(&sandbox, "a.aci", &[]);
    let whole = fs::read(sandbox.path("a.aci")).unwrap();
    sandbox.write("cut.aci", &whole[..whole.len() - 9]);
    for line in ["a.aci cut.aci", "cut.aci a.aci"] {
        let ended = diff(&sandbox, line).refused(5);
        assert_eq!(ended.stdout, "");
    }
    assert_eq!(diff(&sandbox, "a.aci absent.aci").code, 4);
    assert_eq!(diff(&sandbox, "a.aci tree").code, 4);
    assert_eq!(diff(&sandbox, "a.aci").code, 3);
}

#[test]
fn diff_sees_attributes_and_hard_links() {
    let sandbox = Sandbox::new();
    let image = |target: &str| {
        Tar::image("example.com/a", "1")
            .file("rootfs/a", b"")
            .file("rootfs/b", b"")
            .hard_link("rootfs/hard", target)
            .gzip()
    };
    sandbox.write("a.aci", image("rootfs/a"));
    sandbox.write("b.aci", image("rootfs/b"));
    let ended = diff(&sandbox, "a.aci b.aci");
    assert_eq!(ended.stdout, "~ rootfs/hard: target rootfs/a -> rootfs/b\n");
    if !tool("setfattr") || sandbox.shell("touch x; setfattr -n user.a -v 1 x").code != 0 {
        return;
    }
    sandbox.shell("mkdir tree; touch -d @0 tree/f; setfattr -n user.a -v 1 tree/f").ok();
    pack(&sandbox, "a.aci", &["--source-date-epoch", "0"]);
    sandbox.shell("setfattr -n user.a -v 2 tree/f; setfattr -n user.b -v 3 tree/f").ok();
    pack(&sandbox, "b.aci", &["--source-date-epoch", "0"]);
    let ended = diff(&sandbox, "a.aci b.aci");
    assert_eq!(ended.stdout, "~ rootfs/f: xattr:user.a 31 -> 32; xattr:user.b (none) -> 33\n");
    assert_eq!(diff(&sandbox, "--ignore xattrs a.aci b.aci").code, 0);
}

#[test]
fn diff_of_many_entries_stays_small() {
    // A hundred thousand entries in an order that has to be sorted: more than is held at once.
    let sandbox = Sandbox::new();
    let image = |first: u32| {
        let paths = (0..60_000_u32).map(|n| format!("rootfs/{:06}", n.wrapping_mul(7919) % 60_000));
        let tar = Tar::image("example.com/a", "1").file("rootfs/first", &first.to_le_bytes());
        paths.fold(tar, |tar, path| tar.symlink(&path, &"t".repeat(90))).gzip()
    };
    sandbox.write("a.aci", image(1));
    sandbox.write("b.aci", image(2));
    let line = "ulimit -v 400000; \"$GANTRY\" diff a.aci b.aci";
    let ended = sandbox.shell(line);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
    assert!(ended.stdout.starts_with("~ rootfs/first: content"), "{ended:?}");
    // Where there is no room, that is said, and no difference is.
    let line = "TMPDIR=/proc \"$GANTRY\" diff a.aci b.aci";
    let ended = sandbox.shell(line);
    assert_eq!((ended.code, ended.stdout.as_str()), (4, ""), "{ended:?}");
}
