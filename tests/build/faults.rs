//! Each of acbuild's faults is one of these tests.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;

use serde_json::json;

use super::{Fails as _, busybox, manifest, rootfs, run, sandbox};
use crate::support::{Sandbox, tool};

fn begin(sandbox: &Sandbox) {
    run(sandbox, "acbuild begin && acbuild set-name example.com/a").ok();
}

#[test]
fn fault_lost_updates() {
    let sandbox = sandbox();
    begin(&sandbox);
    run(&sandbox, "for i in $(seq 200); do acbuild label add l$i v & done; wait").ok();
    let labels = manifest(&sandbox)["labels"].as_array().unwrap().len();
    assert_eq!(labels, 202);
    let notes = manifest(&sandbox)["annotations"].as_array().unwrap().len();
    assert_eq!(notes, 201, "each has its number");
}

#[test]
fn fault_archive_whose_rootfs_or_manifest_is_a_link() {
    let sandbox = sandbox();
    let line = "mkdir outside real && echo secret > outside/manifest && mkdir l1 l2 \
        && ln -s ../outside l1/rootfs && echo '{\"acKind\":\"ImageManifest\",\"acVersion\":\"0.8.11\",\"name\":\"example.com/a\"}' > l1/manifest \
        && mkdir l2/rootfs && ln -s ../outside/manifest l2/manifest \
        && tar -cf l1.aci -C l1 manifest rootfs && tar -cf l2.aci -C l2 manifest rootfs";
    sandbox.shell(line).ok();
    for image in ["l1.aci", "l2.aci"] {
        run(&sandbox, &format!("acbuild begin ./{image}")).fails(1);
        assert!(!sandbox.path(".acbuild").exists());
    }
    begin(&sandbox);
    fs::remove_file(sandbox.path(".acbuild/currentaci/manifest")).unwrap();
    symlink("../../outside/manifest", sandbox.path(".acbuild/currentaci/manifest")).unwrap();
    run(&sandbox, "acbuild label add a b").fails(1);
    assert_eq!(fs::read(sandbox.path("outside/manifest")).unwrap(), b"secret\n");
}

#[test]
fn fault_arguments_and_environment_joined_with_commas() {
    let sandbox = sandbox();
    if !busybox(&sandbox.path("bb")) {
        return;
    }
    run(&sandbox, "acbuild begin ./bb && acbuild env add FOO a,b=c").ok();
    let line = "acbuild run -- /bin/sh -c 'printf \"%s|\" \"$FOO\" \"$@\"' x two,three '' 'a b'";
    assert_eq!(run(&sandbox, line).ok(), "a,b=c|two,three||a b|");
}

#[test]
fn fault_whiteouts_zoneinfo_and_resolv_conf_left_in_the_image() {
    let sandbox = sandbox();
    if !busybox(&sandbox.path("bb")) {
        return;
    }
    sandbox.write("bb/old/inner/a", "x");
    sandbox.write("bb/gone", "x");
    run(&sandbox, "acbuild begin ./bb && acbuild set-name example.com/a").ok();
    let line = "acbuild run --net -- /bin/sh -c 'rm /gone; rm -r /old; mkdir /old; echo new > /old/b; \
        cat /etc/resolv.conf > /dev/null'";
    run(&sandbox, line).ok();
    let root = rootfs(&sandbox);
    assert!(!root.join("gone").exists() && !root.join("old/inner").exists());
    assert!(root.join("old/b").exists());
    for leaked in ["etc/resolv.conf", "etc/machine-id", "usr", "proc", "dev", "sys"] {
        assert!(!root.join(leaked).exists(), "{leaked}");
    }
    run(&sandbox, "acbuild write a.aci").ok();
    if tool("actool") {
        run(&sandbox, "actool validate a.aci").ok();
    }
}

#[test]
fn fault_attributes_and_hard_links_dropped() {
    let sandbox = sandbox();
    sandbox.write("tree/one", "x");
    let line = "ln tree/one tree/two && setfattr -n user.note -v text tree/one";
    if !tool("setfattr") || sandbox.shell(line).code != 0 {
        println!("skipped: no extended attributes here");
        return;
    }
    run(&sandbox, "acbuild begin && acbuild set-name example.com/a && acbuild copy tree /t && acbuild write a.aci").ok();
    let entries = run(&sandbox, "\"$GANTRY\" inspect --entries a.aci").ok();
    assert!(
        entries.contains("[user.note]") && entries.contains("link to rootfs/t/one"),
        "{entries}"
    );
}

#[test]
fn fault_clock_in_the_image() {
    let images: Vec<String> = (0..2)
        .map(|at| {
            let sandbox = sandbox();
            sandbox.write("f", "x");
            sandbox.shell("touch -d @1000000000 f").ok();
            std::thread::sleep(std::time::Duration::from_millis(1100 * at));
            let line = "acbuild begin && acbuild set-name example.com/a && acbuild copy \"$PWD/f\" /a/b/c \
                && acbuild copy f /a/d && acbuild remove /a/d && acbuild write a.aci";
            run(&sandbox, line).ok()
        })
        .collect();
    assert_eq!(images[0], images[1]);
}

#[test]
fn fault_replaced_manifest_merged_and_unknown_fields_dropped() {
    let sandbox = sandbox();
    begin(&sandbox);
    let text = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/n","later":{"x":1.50}}"#;
    sandbox.write("m.json", text);
    run(&sandbox, "acbuild label add a b && acbuild set-exec /a && acbuild --no-history replace-manifest m.json").ok();
    assert_eq!(run(&sandbox, "acbuild cat-manifest").ok(), format!("{text}"));
}

#[test]
fn fault_secrets_in_history_and_options_missing_from_it() {
    let sandbox = sandbox();
    begin(&sandbox);
    run(&sandbox, "acbuild env add SECRET hunter2 && acbuild env rm SECRET && acbuild port add p tcp 80 --count 3").ok();
    let text = manifest(&sandbox).to_string();
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("port add p tcp 80 --count 3"), "{text}");
    run(&sandbox, "acbuild --no-history label add quiet yes").ok();
    assert!(!manifest(&sandbox).to_string().contains("quiet yes"));
}

#[test]
fn fault_file_rewritten_after_a_failed_command() {
    let sandbox = sandbox();
    begin(&sandbox);
    run(&sandbox, "acbuild write a.aci").ok();
    let before = (
        fs::read(sandbox.path("a.aci")).unwrap(),
        fs::metadata(sandbox.path("a.aci")).unwrap().ino(),
    );
    let now = || {
        (
            fs::read(sandbox.path("a.aci")).unwrap(),
            fs::metadata(sandbox.path("a.aci")).unwrap().ino(),
        )
    };
    // The build in the current folder is nobody's business.
    run(&sandbox, "acbuild --modify a.aci label rm absent").fails(2);
    run(&sandbox, "acbuild --modify a.aci cat-manifest").ok();
    assert_eq!(now(), before);
    run(&sandbox, "acbuild --modify a.aci --no-history label add x y").ok();
    assert!(
        manifest(&sandbox)["labels"].as_array().unwrap().iter().all(|label| label["name"] != "x")
    );
    let edited = run(&sandbox, "acbuild --modify a.aci cat-manifest").ok();
    assert!(edited.contains("{\"name\":\"x\",\"value\":\"y\"}"), "{edited}");
}

#[test]
fn fault_old_file_gone_where_writing_fails() {
    let sandbox = sandbox();
    begin(&sandbox);
    run(&sandbox, "acbuild write a.aci").ok();
    let before = fs::read(sandbox.path("a.aci")).unwrap();
    let socket = rootfs(&sandbox).join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    run(&sandbox, "acbuild write a.aci --overwrite").fails(1);
    assert_eq!(fs::read(sandbox.path("a.aci")).unwrap(), before);
}

#[test]
fn fault_signature_made_before_the_file_was_whole() {
    let sandbox = sandbox();
    if !tool("gpg") {
        println!("skipped: gpg is not installed");
        return;
    }
    begin(&sandbox);
    sandbox.write("big/f", vec![7_u8; 3 << 20]);
    let line = "\"$GANTRY\" -q key generate --user-id 'Example CI <ci@example.com>' --secret key.asc --public key.pub.asc \
        && acbuild copy big /big && acbuild write a.aci --sign key.asc --sbom --provenance && mkdir -m 700 gh \
        && gpg -q --homedir gh --import key.pub.asc && for f in a.aci a.aci.spdx.json a.aci.intoto.json; do \
        gpg --homedir gh --status-fd 1 --verify $f.asc $f 2>/dev/null | grep GOODSIG || exit 1; done";
    let told = run(&sandbox, line).ok();
    assert_eq!(told.matches("GOODSIG").count(), 3, "{told}");
    let _ = Command::new("gpgconf")
        .args(["--homedir", "gh", "--kill", "all"])
        .current_dir(sandbox.path("."))
        .status();
}

#[test]
fn fault_image_id_that_is_wrong() {
    let sandbox = sandbox();
    begin(&sandbox);
    sandbox.write("f", "x");
    let id = run(&sandbox, "acbuild copy f /f && acbuild write a.aci").ok();
    let sum = run(&sandbox, "gzip -dc a.aci | sha512sum | cut -d' ' -f1").ok();
    assert_eq!(id, format!("sha512-{sum}"));
}

#[test]
fn fault_base_image_taken_unsigned() {
    let sandbox = sandbox();
    begin(&sandbox);
    run(&sandbox, "acbuild label add version 1 && acbuild write a.aci && acbuild end").ok();
    // Nobody trusted has signed it, and it is nowhere to be found with a signature.
    let ended = run(&sandbox, "acbuild begin example.com/a:1 --pull never");
    assert!(ended.code == 4 || ended.code == 5, "{ended:?}");
    assert!(!sandbox.path(".acbuild").exists());
}

#[test]
fn fault_deleted_files_of_a_dependency_come_back() {
    let sandbox = sandbox();
    sandbox.write("base/rootfs/keep", "k");
    sandbox.write("base/rootfs/gone/a", "g");
    sandbox.write(
        "base/manifest",
        json!({"acKind": "ImageManifest", "acVersion": "0.8.11",
        "name": "example.com/base", "labels": [{"name": "version", "value": "1"}]})
        .to_string(),
    );
    let line = "\"$GANTRY\" -q key generate --user-id 'Example CI <ci@example.com>' --secret key.asc --public key.pub.asc \
        && \"$GANTRY\" -q trust add --prefix example.com key.pub.asc && \"$GANTRY\" -q pack base -o base.aci \
        && \"$GANTRY\" -q sign base.aci --key key.asc && \"$GANTRY\" -q fetch ./base.aci";
    run(&sandbox, line).ok();
    begin(&sandbox);
    sandbox.write("own", "o");
    let line = "acbuild dependency add --local base.aci && acbuild copy own /own && acbuild remove /gone \
        && acbuild write a.aci && \"$GANTRY\" -q sign a.aci --key key.asc && \"$GANTRY\" -q fetch ./a.aci \
        && \"$GANTRY\" -q image render example.com/a ./rendered";
    run(&sandbox, line).ok();
    assert!(
        sandbox.path("rendered/rootfs/keep").exists()
            && sandbox.path("rendered/rootfs/own").exists()
    );
    assert!(!sandbox.path("rendered/rootfs/gone").exists());
    run(&sandbox, "acbuild remove /gone").fails(2);
    let pinned = manifest(&sandbox)["dependencies"][0].clone();
    assert_eq!(pinned["size"], fs::metadata(sandbox.path("base.aci")).unwrap().len());
}
