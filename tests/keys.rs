//! Keys, signatures and verification from the command line, with real gpg.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use support::{Sandbox, listing};

/// A sandbox with an image, a key, and the image's signature.
fn signed() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("rootfs/bin/hello", "#!/bin/sh\necho hello\n");
    sandbox.gantry(["pack", "rootfs", "-o", "a.aci", "--name", "example.com/team/hello"]).ok();
    generate(&sandbox, "key", &[]).ok();
    sandbox.gantry(["sign", "a.aci", "--key", "key.asc"]).ok();
    sandbox
}

fn generate(sandbox: &Sandbox, name: &str, more: &[&str]) -> support::Ended {
    let (secret, public) = (format!("{name}.asc"), format!("{name}.pub.asc"));
    let arguments = ["key", "generate", "--user-id", "Example CI <ci@example.com>"];
    let files = ["--secret", &secret, "--public", &public];
    sandbox.gantry([&arguments[..], &files, more].concat())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn key_generate_writes_two_files_and_never_over_one() {
    let sandbox = Sandbox::new();
    let value = json(&generate(&sandbox, "key", &["--expires", "90d", "--json"]).ok());
    let mode = |file: &str| fs::metadata(sandbox.path(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("key.asc"), mode("key.pub.asc") & 0o600), (0o600, 0o600));
    let shown = json(&sandbox.gantry(["key", "show", "key.pub.asc", "--json"]).ok());
    assert_eq!(shown["keys"][0]["fingerprint"], value["fingerprint"]);
    assert_eq!(shown["keys"][0]["userIds"][0], "Example CI <ci@example.com>");

    let before = listing(&sandbox.path(""));
    let ended = generate(&sandbox, "key", &[]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("key.asc exists"), "{ended:?}");
    fs::rename(sandbox.path("key.asc"), sandbox.path("kept")).unwrap();
    assert_eq!(generate(&sandbox, "key", &[]).code, 1);
    assert!(!sandbox.path("key.asc").exists());
    fs::rename(sandbox.path("kept"), sandbox.path("key.asc")).unwrap();
    assert_eq!(listing(&sandbox.path("")), before);

    // A file for both halves would be a secret published.
    let same = ["--secret", "one", "--public", "one"];
    let ended = sandbox.gantry([&["key", "generate", "--user-id", "a"][..], &same].concat());
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(!sandbox.path("one").exists(), "{ended:?}");
    assert_eq!(generate(&sandbox, "bad", &["--expires", "soon"]).code, 3);
    assert_eq!(generate(&sandbox, "bad", &["--algorithm", "dsa"]).code, 3);
}

#[test]
fn key_generate_makes_rsa_keys_for_old_clients() {
    let sandbox = Sandbox::new();
    generate(&sandbox, "key", &["--algorithm", "rsa4096", "--expires", "never"]).ok();
    let listing = sandbox
        .shell(
            "mkdir -m 700 gnupg; gpg --homedir gnupg --quiet --with-colons --show-keys key.pub.asc",
        )
        .ok();
    // Kind, size, algorithm 1 (RSA), and no expiry in the seventh field.
    let fields: Vec<&str> = listing.lines().next().unwrap().split(':').collect();
    assert_eq!((fields[0], fields[2], fields[3], fields[6]), ("pub", "4096", "1", ""));
    assert_eq!(fields[11].to_lowercase().replace('e', ""), "scsc", "{listing}");
}

#[test]
fn sign_takes_the_passphrase_from_file_descriptor_or_variable() {
    let sandbox = signed();
    sandbox.write("pass", "correct horse\n");
    generate(&sandbox, "locked", &["--passphrase-file", "pass"]).ok();
    let sign =
        |more: &str| sandbox.shell(&format!("\"$GANTRY\" sign a.aci --key locked.asc {more}"));

    let ended = sign("-o none");
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("--passphrase-file"), "{ended:?}");
    for (line, output) in [
        ("-o 1 --passphrase-file pass", "1"),
        ("-o 2 --passphrase-fd 3 3<pass", "2"),
        ("-o 3 --passphrase-fd 0 <pass", "3"),
    ] {
        sign(line).ok();
        verify(&sandbox, output, "locked.pub.asc").ok();
    }
    sandbox
        .shell("GANTRY_KEY_PASSPHRASE='correct horse' \"$GANTRY\" sign a.aci --key locked.asc -o 4")
        .ok();
    sandbox.write("wrong", "battery staple\n");
    let ended = sign("-o none --passphrase-file wrong");
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("does not open"), "{ended:?}");
    sandbox.write("empty", "\n");
    assert_eq!(sign("-o none --passphrase-file empty").code, 3);
    assert_eq!(sign("-o none --passphrase-file absent").code, 4);
    assert!(!sandbox.path("none").exists());
}

fn verify(sandbox: &Sandbox, signature: &str, public: &str) -> support::Ended {
    sandbox.gantry(["verify", "a.aci", "--signature", signature, "--public", public])
}

#[test]
fn sign_refuses_what_is_no_file_and_leaves_nothing() {
    let sandbox = signed();
    let before = listing(&sandbox.path(""));
    let sign = |file: &str, key: &str| sandbox.gantry(["sign", file, "--key", key, "-o", "out"]);
    assert_eq!(sign("rootfs", "key.asc").code, 1);
    assert_eq!(sign("/dev/zero", "key.asc").code, 1);
    assert_eq!(sign("absent", "key.asc").code, 4);
    assert_eq!(sign("a.aci", "absent").code, 4);
    assert_eq!(sign("a.aci", "a.aci").code, 1);
    assert!(sign("a.aci", "key.pub.asc").stderr.contains("is a public key"));
    let ended = sandbox.gantry(["sign", "a.aci", "--key", "key.asc"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("--overwrite"), "{ended:?}");
    assert_eq!(listing(&sandbox.path("")), before);
    sandbox.gantry(["sign", "a.aci", "--key", "key.asc", "--overwrite"]).ok();
    verify(&sandbox, "a.aci.asc", "key.pub.asc").ok();
}

#[test]
fn gpg_and_gantry_accept_each_others_signatures_of_an_image() {
    let sandbox = signed();
    sandbox
        .shell(
            "export GNUPGHOME=\"$PWD/gnupg\"; mkdir -m 700 gnupg; trap 'gpgconf --kill all' EXIT
             gpg --batch --quiet --import key.pub.asc
             gpg --batch --verify a.aci.asc a.aci
             gpg --batch --quiet --passphrase '' --quick-generate-key gpg@example.com rsa2048 sign 1y
             gpg --batch --quiet --local-user gpg@example.com --armor --output gpg.asc --detach-sign a.aci
             gpg --batch --armor --output gpg.pub.asc --export gpg@example.com",
        )
        .ok();
    let value = sandbox
        .gantry(["verify", "a.aci", "--signature", "gpg.asc", "--public", "gpg.pub.asc", "--json"])
        .ok();
    assert_eq!(json(&value)["userId"], "gpg@example.com");
    assert_eq!(json(&value)["name"], "example.com/team/hello");
}

#[test]
fn verify_tells_every_refusal_apart() {
    let sandbox = signed();
    generate(&sandbox, "other", &[]).ok();
    let before = listing(&sandbox.path(""));
    let code = |arguments: &[&str]| {
        sandbox.gantry([&["verify"], arguments].concat()).refused(5);
        let ended = sandbox.gantry([&["verify", "--json"], arguments].concat());
        json(&ended.stderr)["error"]["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(code(&["a.aci"]), "signer-not-trusted");
    assert_eq!(code(&["a.aci", "--public", "other.pub.asc"]), "signer-not-trusted");
    assert_eq!(listing(&sandbox.path("")), before);

    sandbox.gantry(["trust", "add", "--prefix", "example.com/other", "key.pub.asc"]).ok();
    assert_eq!(code(&["a.aci"]), "signer-wrong-prefix");
    assert_eq!(code(&["a.aci", "--name", "example.com/team/hello"]), "signer-wrong-prefix");
    sandbox.gantry(["trust", "add", "--prefix", "example.com/team", "key.pub.asc"]).ok();
    sandbox.gantry(["verify", "a.aci"]).ok();
    sandbox.gantry(["verify", "a.aci", "--name", "example.com/team/hello"]).ok();
    assert_eq!(code(&["a.aci", "--name", "example.com/team/other"]), "name-mismatch");
    assert_eq!(code(&["a.aci", "--name", "example.com/team/hello:2"]), "label-mismatch");

    let mut image = fs::read(sandbox.path("a.aci")).unwrap();
    image[100] ^= 1;
    sandbox.write("b.aci", image);
    assert_eq!(code(&["b.aci", "--signature", "a.aci.asc"]), "signature-invalid");
    assert_eq!(code(&["a.aci", "--signature", "a.aci"]), "signature-malformed");
    assert_eq!(code(&["a.aci", "--signature", "key.pub.asc"]), "signature-not-detached");
    sandbox.write("large", vec![b'x'; 1 << 20]);
    assert_eq!(code(&["a.aci", "--signature", "large"]), "signature-too-large");

    let ended = sandbox.gantry(["verify", "b.aci"]);
    assert_eq!(ended.code, 4);
    assert!(ended.stderr.contains("b.aci.asc"), "{ended:?}");
    assert_eq!(sandbox.gantry(["verify", "absent"]).code, 4);
    assert_eq!(sandbox.gantry(["verify", "a.aci", "--public", "absent"]).code, 4);
    let ended = sandbox.gantry(["verify", "a.aci", "--public", "key.asc"]);
    assert_eq!(ended.code, 5);
    assert!(ended.stderr.contains("is a secret key"), "{ended:?}");
}
