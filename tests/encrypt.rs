//! Encrypted images from the command line, with real gpg on the other side.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;

use serde_json::Value;
use support::gpg::Gpg;
use support::{Ended, Sandbox, listing};

/// A sandbox with a tree, a passphrase, a folder for what is decrypted, and an image.
fn packed() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("rootfs/bin/hello", "#!/bin/sh\necho hello\n");
    sandbox.write("pass", "correct horse\n");
    sandbox.write("wrong", "battery staple\n");
    fs::create_dir(sandbox.path("tmp")).unwrap();
    pack(&sandbox, "secret.aci", &["--encrypt", "--passphrase-file", "pass"]).ok();
    sandbox
}

fn pack(sandbox: &Sandbox, output: &str, more: &[&str]) -> Ended {
    let plain = ["pack", "rootfs", "-o", output, "--name", "example.com/team/secret"];
    sandbox.gantry([&plain[..], more].concat())
}

/// Runs `gantry` with the folder for what is decrypted, in which nothing may stay.
fn gantry(sandbox: &Sandbox, arguments: &[&str]) -> Ended {
    let mut command = sandbox.command(support::GANTRY);
    let output = command.args(arguments).env("TMPDIR", sandbox.path("tmp")).output().unwrap();
    assert_eq!(listing(&sandbox.path("tmp")), [""; 0]);
    Ended::of(output)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn code(ended: &Ended) -> String {
    json(&ended.stderr)["error"]["code"].as_str().unwrap().to_owned()
}

#[test]
fn encrypted_image_is_the_plain_one_to_gpg_and_to_inspect() {
    let sandbox = packed();
    pack(&sandbox, "plain.aci", &[]).ok();
    let gpg = Gpg::new(&sandbox, "gnupg");
    gpg.run(&["--passphrase-file", "pass", "--output", "opened.aci", "--decrypt", "secret.aci"]);
    let read = |file: &str| fs::read(sandbox.path(file)).unwrap();
    assert_eq!(read("opened.aci"), read("plain.aci"));

    let inspect = |file: &str, more: &[&str]| {
        json(&gantry(&sandbox, &[&["inspect", file, "--json"], more].concat()).ok())
    };
    let plain = inspect("plain.aci", &[]);
    let secret = inspect("secret.aci", &["--passphrase-file", "pass"]);
    assert_eq!((&plain["encrypted"], &secret["encrypted"]), (&false.into(), &true.into()));
    for field in ["imageId", "fileDigest", "manifest", "entries"] {
        assert_eq!(plain[field], secret[field], "{field}");
    }
    // A plain image needs no passphrase, and minds none.
    assert_eq!(inspect("plain.aci", &["--passphrase-file", "pass"]), plain);
    let manifest = ["inspect", "secret.aci", "--manifest", "--passphrase-file", "pass"];
    assert!(gantry(&sandbox, &manifest).ok().contains("ImageManifest"));
}

#[test]
fn image_encrypted_by_gpg_is_read_from_a_file_or_a_pipe() {
    let sandbox = packed();
    let gpg = Gpg::new(&sandbox, "gnupg");
    for compression in ["gzip", "none"] {
        pack(&sandbox, "plain.aci", &["--compression", compression, "--overwrite"]).ok();
        let encrypt = ["--passphrase-file", "pass", "--symmetric", "--cipher-algo", "AES256"];
        gpg.run(&[&encrypt[..], &["--output", "by-gpg.aci", "plain.aci"]].concat());
        let ended = gantry(&sandbox, &["inspect", "by-gpg.aci", "--passphrase-file", "pass"]);
        assert!(ended.ok().contains("example.com/team/secret"), "{compression}");
    }
    let line =
        "cat by-gpg.aci | TMPDIR=tmp \"$GANTRY\" inspect /dev/stdin --passphrase-fd 3 3<pass";
    assert!(sandbox.shell(line).ok().contains("example.com/team/secret"));
    let line =
        "\"$GANTRY\" pack rootfs -o fd.aci --name example.com/a --encrypt --passphrase-fd 3 3<pass";
    sandbox.shell(line).ok();
    gantry(&sandbox, &["inspect", "fd.aci", "--passphrase-file", "pass"]).ok();
}

#[test]
fn encrypted_image_without_its_passphrase_is_refused() {
    let sandbox = packed();
    let ended = gantry(&sandbox, &["inspect", "secret.aci", "--json"]);
    assert_eq!((ended.code, code(&ended).as_str()), (5, "image-encrypted"), "{ended:?}");
    let wrong = ["inspect", "secret.aci", "--passphrase-file", "wrong"];
    gantry(&sandbox, &wrong).refused(5);
    let ended = gantry(&sandbox, &[&wrong[..], &["--json"]].concat());
    assert_eq!(code(&ended), "passphrase-wrong", "{ended:?}");

    let mut bytes = fs::read(sandbox.path("secret.aci")).unwrap();
    for at in [bytes.len() - 1, bytes.len() / 2, 80] {
        bytes[at] ^= 1;
        fs::write(sandbox.path("changed.aci"), &bytes).unwrap();
        let arguments = ["inspect", "changed.aci", "--json", "--passphrase-file", "pass"];
        let ended = gantry(&sandbox, &arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (5, ""), "{ended:?}");
        assert!(code(&ended).starts_with("encryption-"), "{at}: {ended:?}");
        bytes[at] ^= 1;
    }
    // Where nothing can be decrypted to, nothing is.
    let arguments = ["inspect", "secret.aci", "--passphrase-file", "pass"];
    let output = sandbox.command(support::GANTRY).args(arguments).env("TMPDIR", "/proc").output();
    let ended = Ended::of(output.unwrap());
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("TMPDIR"), "{ended:?}");
}

#[test]
fn pack_encrypts_only_with_a_passphrase_and_leaves_nothing_on_failure() {
    let sandbox = packed();
    sandbox.write("empty", "\n");
    let before = listing(&sandbox.path(""));
    for wrong in [
        &["--encrypt"][..],
        &["--passphrase-file", "pass"],
        &["--passphrase-fd", "3"],
        &["--encrypt", "--passphrase-file", "empty"],
        &["--encrypt", "--passphrase-file", "pass", "--passphrase-fd", "3"],
    ] {
        assert_eq!(pack(&sandbox, "x.aci", wrong).code, 3, "{wrong:?}");
    }
    let absent = ["--encrypt", "--passphrase-file", "none"];
    assert_eq!(pack(&sandbox, "x.aci", &absent).code, 4);
    let encrypt = ["--encrypt", "--passphrase-file", "pass"];
    assert_eq!(pack(&sandbox, "secret.aci", &encrypt).code, 1, "it exists");
    fs::remove_dir_all(sandbox.path("rootfs/bin")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.path("rootfs/s")).unwrap();
    assert_eq!(pack(&sandbox, "x.aci", &encrypt).code, 1);
    assert!(!sandbox.path("x.aci").exists());
    let after = listing(&sandbox.path(""));
    let names = |all: &[String]| -> Vec<String> {
        let name = |line: &String| line.split(' ').next().unwrap().to_owned();
        all.iter().map(name).filter(|name| !name.starts_with("rootfs")).collect()
    };
    assert_eq!(names(&before), names(&after));
}

#[test]
fn metadata_and_signature_are_of_the_encrypted_file() {
    let sandbox = packed();
    let more = ["--encrypt", "--passphrase-file", "pass", "--json"];
    let packed = json(&pack(&sandbox, "b.aci", &more).ok());
    assert_eq!(packed["encrypted"], true);
    let digest = sandbox.shell("sha512sum b.aci").ok();
    let digest = digest.split(' ').next().unwrap();
    assert!(packed["fileDigest"].as_str().unwrap().ends_with(digest), "{packed}");
    assert_eq!(packed["fileBytes"], fs::metadata(sandbox.path("b.aci")).unwrap().len());
    // Each time other bytes, and the same image.
    let secret = ["inspect", "secret.aci", "--passphrase-file", "pass", "--json"];
    assert_eq!(json(&gantry(&sandbox, &secret).ok())["imageId"], packed["imageId"]);
    let same =
        fs::read(sandbox.path("b.aci")).unwrap() == fs::read(sandbox.path("secret.aci")).unwrap();
    assert!(!same);

    let key = [
        "key",
        "generate",
        "--user-id",
        "a <a@example.com>",
        "--secret",
        "key.asc",
        "--public",
        "key.pub.asc",
    ];
    sandbox.gantry(key).ok();
    sandbox.gantry(["sign", "secret.aci", "--key", "key.asc"]).ok();
    let gpg = Gpg::new(&sandbox, "gnupg");
    gpg.run(&["--import", "key.pub.asc"]);
    gpg.run(&["--verify", "secret.aci.asc", "secret.aci"]);
    let verify = ["verify", "secret.aci", "--public", "key.pub.asc", "--json"];
    let ended = gantry(&sandbox, &verify);
    assert_eq!((ended.code, code(&ended).as_str()), (5, "image-encrypted"));
    let with = |passphrase: &str| {
        gantry(&sandbox, &[&verify[..], &["--passphrase-file", passphrase]].concat())
    };
    let verified = json(&with("pass").ok());
    assert_eq!(
        (&verified["name"], &verified["encrypted"]),
        (&"example.com/team/secret".into(), &true.into())
    );
    assert_eq!(code(&with("wrong")), "passphrase-wrong");
    fs::copy(sandbox.path("b.aci"), sandbox.path("secret.aci")).unwrap();
    assert_eq!(code(&with("pass")), "signature-invalid");
}

#[test]
fn encrypted_image_is_read_by_every_command_that_reads_a_file() {
    let sandbox = packed();
    pack(&sandbox, "plain.aci", &[]).ok();
    let pass = ["--passphrase-file", "pass"];
    let run = |arguments: &[&str]| gantry(&sandbox, &[arguments, &pass].concat());
    run(&["validate", "secret.aci", "plain.aci"]).ok();
    run(&["diff", "secret.aci", "plain.aci"]).ok();
    run(&["extract", "secret.aci", "layout"]).ok();
    assert!(sandbox.path("layout/rootfs/bin/hello").exists());
    assert!(run(&["inspect", "secret.aci", "--entries"]).ok().contains("rootfs/bin/hello"));
    // What is written is plain, and said to be.
    let ended = run(&["convert", "secret.aci", "small.aci", "--compression", "xz"]);
    assert!(ended.stderr.contains("small.aci is not encrypted"), "{ended:?}");
    ended.ok();
    gantry(&sandbox, &["diff", "small.aci", "plain.aci"]).ok();
    run(&["patch", "secret.aci", "new.aci", "--label", "channel=beta"]).ok();
    assert!(gantry(&sandbox, &["inspect", "new.aci"]).ok().contains("channel=beta"));
    // One descriptor is enough for several images.
    let line = "TMPDIR=tmp \"$GANTRY\" diff secret.aci secret.aci --passphrase-fd 3 3<pass";
    sandbox.shell(&format!("cat pass | {}", line.replace("3<pass", "3<&0"))).ok();

    let before = fs::read(sandbox.path("secret.aci")).unwrap();
    let ended = run(&["patch", "--in-place", "secret.aci", "--label", "channel=beta"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(run(&["convert", "--overwrite", "secret.aci", "./secret.aci"]).code, 3);
    assert_eq!(fs::read(sandbox.path("secret.aci")).unwrap(), before);

    for arguments in [
        &["diff", "secret.aci", "plain.aci"][..],
        &["extract", "secret.aci", "other"],
        &["convert", "secret.aci", "other.aci"],
        &["patch", "secret.aci", "other.aci", "--label", "channel=beta"],
    ] {
        let ended = gantry(&sandbox, &[arguments, &["--json"]].concat());
        assert_eq!((ended.code, code(&ended).as_str()), (5, "image-encrypted"), "{ended:?}");
        let wrong = [arguments, &["--json", "--passphrase-file", "wrong"]].concat();
        assert_eq!(code(&gantry(&sandbox, &wrong)), "passphrase-wrong", "{arguments:?}");
    }
    assert!(!sandbox.path("other").exists() && !sandbox.path("other.aci").exists());
    let ended = gantry(&sandbox, &["validate", "secret.aci"]);
    assert!(ended.code == 1 && ended.stdout.contains("[image-encrypted]"), "{ended:?}");
}

#[test]
fn encrypted_image_is_neither_pushed_nor_fetched() {
    let sandbox = packed();
    let key = [
        "key",
        "generate",
        "--user-id",
        "a <a@example.com>",
        "--secret",
        "key.asc",
        "--public",
        "key.pub.asc",
    ];
    sandbox.gantry(key).ok();
    sandbox.gantry(["sign", "secret.aci", "--key", "key.asc"]).ok();
    sandbox.gantry(["trust", "add", "key.pub.asc", "--prefix", "example.com/team"]).ok();
    let fetched = sandbox.gantry(["fetch", "./secret.aci", "--json"]);
    assert_eq!((fetched.code, code(&fetched).as_str()), (5, "image-encrypted"), "{fetched:?}");
    assert_eq!(sandbox.gantry(["image", "list"]).ok().lines().count(), 0);
    sandbox.write("token", "x".repeat(40));
    let push = [
        "push",
        "secret.aci",
        "--token-file",
        "token",
        "--json",
        "--registry",
        "https://127.0.0.1:1",
    ];
    let pushed = sandbox.gantry(push);
    assert_eq!((pushed.code, code(&pushed).as_str()), (5, "image-encrypted"), "{pushed:?}");
}
