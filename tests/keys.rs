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

/// A sandbox with an image, and a key in the folder `offline`, with a passphrase and a subkey
/// that signs. Gives the two fingerprints.
fn offline() -> (Sandbox, String, String) {
    let sandbox = Sandbox::new();
    sandbox.write("rootfs/bin/hello", "#!/bin/sh\necho hello\n");
    sandbox.gantry(["pack", "rootfs", "-o", "a.aci", "--name", "example.com/team/hello"]).ok();
    sandbox.write("pass", "correct horse\n");
    let generate = ["key", "generate", "--user-id", "Example <author@example.com>"];
    let more = ["--key-dir", "offline", "--passphrase-file", "pass", "--json"];
    let key = json(&sandbox.gantry([&generate[..], &more].concat()).ok());
    let add = ["key", "subkey", "add", "author@example.com", "--expires", "90d"];
    let subkey = json(&sandbox.gantry([&add[..], &more].concat()).ok());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (sandbox, text(&key["fingerprint"]), text(&subkey["subkey"]))
}

/// `gantry key …` on the machine where the primary key lies.
fn at_home(sandbox: &Sandbox, arguments: &[&str]) -> support::Ended {
    let folder = ["--key-dir", "offline", "--passphrase-file", "pass"];
    sandbox.gantry([&["key"], arguments, &folder].concat())
}

#[test]
fn ci_signs_with_a_subkey_while_the_primary_key_is_offline() {
    let (sandbox, key, subkey) = offline();
    let mode = |file: &str| fs::metadata(sandbox.path(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("offline"), mode(&format!("offline/{key}.asc"))), (0o700, 0o600));
    at_home(&sandbox, &["export", "author@example.com", "-o", "author.pub.asc"]).ok();
    at_home(&sandbox, &["export", &key[..8], "--secret-subkeys", "-o", "ci.asc"]).ok();
    assert_eq!(mode("ci.asc"), 0o600);

    // CI has the subkey, and nothing else to say.
    sandbox.gantry(["key", "import", "ci.asc"]).ok();
    let listed = json(&sandbox.gantry(["key", "list", "--json"]).ok());
    let parts = listed["keys"][0]["parts"].as_array().unwrap();
    let secrets: Vec<_> = parts.iter().map(|part| part["secret"].as_str().unwrap()).collect();
    assert_eq!(secrets, ["absent", "locked"]);
    assert_eq!(
        (&parts[0]["can"], &parts[1]["can"]),
        (&serde_json::json!(["certify", "sign"]), &serde_json::json!(["sign"]))
    );
    let pass = ["--passphrase-file", "pass"];
    for refused in [
        &["key", "extend", "author@example.com", "--expires", "9y"][..],
        &["key", "revoke", "author@example.com", "--reason", "retired"],
        &["key", "subkey", "add", "author@example.com"],
    ] {
        let ended = sandbox.gantry([refused, &pass].concat());
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.stderr.contains("do it where that lies"), "{ended:?}");
    }
    let sign = ["sign", "a.aci", "--key", "author@example.com", "--json"];
    let signed = json(&sandbox.gantry([&sign[..], &pass].concat()).ok());
    assert_eq!(
        (&signed["fingerprint"], &signed["signingKey"]),
        (&key.clone().into(), &subkey.clone().into())
    );

    // Everybody else has the public key.
    let verify = ["verify", "a.aci", "--public", "author.pub.asc", "--json"];
    let verified = json(&sandbox.gantry(verify).ok());
    assert_eq!(
        (&verified["signer"], &verified["signingKey"]),
        (&key.clone().into(), &subkey.clone().into())
    );
    sandbox
        .shell(
            "export GNUPGHOME=\"$PWD/gnupg\"; mkdir -m 700 gnupg; trap 'gpgconf --kill all' EXIT
             gpg --batch --quiet --import author.pub.asc
             gpg --batch --verify a.aci.asc a.aci",
        )
        .ok();

    // The subkey is stolen.
    let revoke = ["revoke", "author@example.com", "--subkey", &subkey[..8]];
    let reason = ["--reason", "compromised", "--message", "CI was broken into"];
    let public = ["--public", "author.pub.asc"];
    let ended = at_home(&sandbox, &[&revoke[..], &reason, &public].concat()).ok();
    assert!(ended.contains("CI was broken into"), "{ended}");
    let ended = sandbox.gantry(["verify", "a.aci", "--public", "author.pub.asc", "--json"]);
    assert_eq!(json(&ended.stderr)["error"]["code"], "key-revoked", "{ended:?}");
    // CI learns it from the public key, and signs no more with it.
    let imported = sandbox.gantry(["key", "import", "author.pub.asc"]).ok();
    assert!(imported.contains("is revoked"), "{imported}");
    let ended = sandbox.gantry([&sign[..], &pass, &["--overwrite"]].concat());
    assert_eq!(ended.code, 1, "{ended:?}");

    // A new subkey takes its place; the primary key, and so the trust in it, stays.
    at_home(&sandbox, &[&["subkey", "add", "author@example.com"][..], &public].concat()).ok();
    at_home(&sandbox, &["export", &key, "--secret-subkeys", "-o", "ci.asc", "--overwrite"]).ok();
    sandbox.gantry(["key", "import", "ci.asc"]).ok();
    sandbox.gantry([&sign[..], &pass, &["--overwrite"]].concat()).ok();
    sandbox.gantry(verify).ok();
}

#[test]
fn subkey_that_is_superseded_leaves_what_it_signed() {
    let (sandbox, key, subkey) = offline();
    let sign = ["sign", "a.aci", "--key", "author@example.com", "--key-dir", "offline"];
    sandbox.gantry([&sign[..], &["--passphrase-file", "pass"]].concat()).ok();
    // Of a signature and a revocation of one second nobody knows which was first.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let revoke = ["revoke", &key, "--subkey", &subkey, "--reason", "superseded"];
    at_home(&sandbox, &[&revoke[..], &["--public", "author.pub.asc"]].concat()).ok();
    let ended = sandbox.gantry(["verify", "a.aci", "--public", "author.pub.asc"]);
    assert!(ended.stderr.contains("was retired"), "{ended:?}");
    ended.ok();
    let again = at_home(&sandbox, &revoke).ok();
    assert!(again.ends_with("unchanged"), "{again}");
}

#[test]
fn key_of_the_folder_is_found_by_its_names() {
    let sandbox = signed();
    let generate = |user: &str| {
        let line = ["key", "generate", "--user-id", user, "--json"];
        json(&sandbox.gantry(line).ok())["fingerprint"].as_str().unwrap().to_owned()
    };
    let one = generate("One <one@example.com>");
    generate("Two <two@example.com>");
    for name in [&one[..], &one[..8], "One <one@example.com>", "one@example.com"] {
        let shown = json(&sandbox.gantry(["key", "show", name, "--json"]).ok());
        assert_eq!(shown["keys"][0]["fingerprint"], *one, "{name}");
        sandbox.gantry(["sign", "a.aci", "--key", name, "--overwrite"]).ok();
    }
    let ended = sandbox.gantry(["sign", "a.aci", "--key", "three@example.com", "--overwrite"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stderr.contains("gantry key list"), "{ended:?}");
    generate("Another <one@example.com>");
    let ended = sandbox.gantry(["sign", "a.aci", "--key", "one@example.com", "--overwrite"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains(&one), "{ended:?}");
    // A file of that name comes first, as it always did.
    fs::copy(sandbox.path("key.asc"), sandbox.path("two@example.com")).unwrap();
    sandbox.gantry(["sign", "a.aci", "--key", "two@example.com", "--overwrite"]).ok();
    verify(&sandbox, "a.aci.asc", "key.pub.asc").ok();
}

#[test]
fn key_list_warns_before_a_key_expires_and_of_open_files() {
    let sandbox = Sandbox::new();
    let ended = sandbox.gantry(["key", "list"]);
    assert!(ended.stderr.contains("no key in"), "{ended:?}");
    assert!(!sandbox.path("keys").exists());
    let generate = ["key", "generate", "--user-id", "Soon", "--expires", "20d", "--json"];
    let made = json(&sandbox.gantry(generate).ok());
    let listed = sandbox.gantry(["key", "list"]);
    assert!(listed.stderr.contains("--expires 1y"), "{listed:?}");
    let key = made["fingerprint"].as_str().unwrap();
    sandbox.gantry(["key", "extend", key, "--expires", "40d"]).ok();
    assert_eq!(sandbox.gantry(["key", "list"]).stderr, "");
    let text = sandbox.gantry(["key", "list"]).ok();
    for word in ["Soon", "ed25519, certify, sign", "secret without passphrase", "expires 20"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(sandbox.path(made["secret"].as_str().unwrap()), mode).unwrap();
    let listed = sandbox.gantry(["key", "list"]);
    assert!(listed.stderr.contains("others can read"), "{listed:?}");

    for (when, code) in [("2001-01-01", 3), ("never", 0), ("2090-01-31", 0), ("200y", 3), ("x", 3)]
    {
        let ended = sandbox.gantry(["key", "extend", key, "--expires", when]);
        assert_eq!(ended.code, code, "{when}: {ended:?}");
    }
    let shown = json(&sandbox.gantry(["key", "show", key, "--json"]).ok());
    assert_eq!(shown["keys"][0]["expires"], "2090-01-31T00:00:00Z");
}

#[test]
fn keys_of_gpg_are_imported_once_and_what_is_new_is_told() {
    let sandbox = signed();
    sandbox.write("pass", "correct horse");
    sandbox
        .shell(
            "export GNUPGHOME=\"$PWD/gnupg\"; mkdir -m 700 gnupg; trap 'gpgconf --kill all' EXIT
             run() { gpg --batch --quiet --pinentry-mode loopback --passphrase-file pass \"$@\"; }
             run --quick-generate-key gpg@example.com rsa2048 cert 1y
             fpr=$(gpg --batch --with-colons --list-keys | sed -n 's/^fpr:::::::::\\(.*\\):/\\1/p' | head -n 1)
             run --armor --export-secret-keys > first.asc
             run --quick-add-key \"$fpr\" nistp256/ecdsa sign 1y
             run --export-secret-subkeys > second.gpg
             run --quick-set-expire \"$fpr\" 3y
             run --armor --export > third.asc
             run --armor --export-secret-keys > all.asc",
        )
        .ok();
    let import = |file: &str| {
        let value = json(&sandbox.gantry(["key", "import", file, "--json"]).ok());
        let changes = value["imported"][0]["changes"].as_array().unwrap().len();
        (value["imported"][0]["new"].as_bool().unwrap(), changes)
    };
    let ended = sandbox.gantry(["key", "import", "third.asc"]);
    assert_eq!(ended.code, 4, "a public key alone: {ended:?}");
    assert_eq!(import("first.asc"), (true, 0));
    // The subkey and its secret, though the primary key is a stub there.
    assert_eq!(import("second.gpg"), (false, 2));
    assert_eq!(import("third.asc"), (false, 1));
    let before = listing(&sandbox.path("keys"));
    for file in ["first.asc", "second.gpg", "third.asc", "all.asc"] {
        assert_eq!(import(file), (false, 0), "{file}");
    }
    assert_eq!(listing(&sandbox.path("keys")), before);
    let listed = json(&sandbox.gantry(["key", "list", "--json"]).ok());
    let parts = listed["keys"][0]["parts"].as_array().unwrap();
    let told: Vec<_> = parts
        .iter()
        .map(|p| (p["algorithm"].as_str().unwrap(), p["secret"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("rsa2048", "locked"), ("nistp256", "locked")]);
    sandbox
        .shell("GANTRY_KEY_PASSPHRASE='correct horse' \"$GANTRY\" sign a.aci --key gpg@example.com --overwrite")
        .ok();
    verify(&sandbox, "a.aci.asc", "third.asc").ok();

    // What is no key changes nothing, nor does a file with something else in it.
    for (file, code) in [("a.aci", 5), ("absent", 4), ("a.aci.asc", 5)] {
        let ended = sandbox.gantry(["key", "import", "all.asc", file]);
        assert_eq!(ended.code, code, "{ended:?}");
    }
    assert_eq!(listing(&sandbox.path("keys")), before);
}

#[test]
fn revocation_from_the_safe_revokes_where_it_is_imported() {
    let (sandbox, key, _) = offline();
    at_home(&sandbox, &["export", &key, "--revocation", "-o", "revoke.asc"]).ok();
    at_home(&sandbox, &["export", &key, "-o", "before.asc"]).ok();
    let sign = ["sign", "a.aci", "--key", &key, "--key-dir", "offline"];
    sandbox.gantry([&sign[..], &["--passphrase-file", "pass"]].concat()).ok();
    verify(&sandbox, "a.aci.asc", "before.asc").ok();
    let other = sandbox.gantry(["key", "import", "revoke.asc"]);
    assert_eq!(other.code, 4, "there is no such key there: {other:?}");
    let imported = sandbox.gantry(["key", "import", "revoke.asc", "--key-dir", "offline"]).ok();
    assert!(imported.contains("is revoked"), "{imported}");
    at_home(&sandbox, &["export", &key, "-o", "after.asc"]).ok();
    assert_eq!(verify(&sandbox, "a.aci.asc", "after.asc").code, 5);
    let ended = at_home(&sandbox, &["extend", &key, "--expires", "never"]);
    assert!(ended.code == 1 && ended.stderr.contains("cannot be taken back"), "{ended:?}");
}

#[test]
fn passphrase_is_changed_removed_and_given_by_file_or_variable() {
    let (sandbox, key, _) = offline();
    sandbox.write("new", "battery staple");
    let ended = sandbox.gantry(["key", "passphrase", &key, "--key-dir", "offline", "--remove"]);
    assert!(ended.code == 1 && ended.stderr.contains("--passphrase-file"), "{ended:?}");
    at_home(&sandbox, &["passphrase", &key, "--new-passphrase-file", "new"]).ok();
    let ended = at_home(&sandbox, &["extend", &key, "--expires", "3y"]);
    assert!(ended.code == 1 && ended.stderr.contains("does not open"), "{ended:?}");
    sandbox
        .shell(&format!(
            "GANTRY_KEY_PASSPHRASE='battery staple' \"$GANTRY\" key extend {key} --expires 3y --key-dir offline"
        ))
        .ok();
    fs::rename(sandbox.path("new"), sandbox.path("pass")).unwrap();
    at_home(&sandbox, &["passphrase", &key, "--remove"]).ok();
    let shown = ["key", "show", &key, "--key-dir", "offline", "--json"];
    assert_eq!(json(&sandbox.gantry(shown).ok())["keys"][0]["locked"], false);
    sandbox.gantry(["sign", "a.aci", "--key", &key, "--key-dir", "offline"]).ok();
}

#[test]
fn file_of_a_key_is_changed_in_place_with_its_public_half() {
    let sandbox = signed();
    let extend = ["key", "extend", "key.asc", "--expires", "2090-01-31"];
    let ended = sandbox.gantry([&extend[..], &["--public", "a.aci"]].concat());
    assert_eq!(ended.code, 1, "another file is not replaced: {ended:?}");
    generate(&sandbox, "other", &[]).ok();
    let ended = sandbox.gantry([&extend[..], &["--public", "other.pub.asc"]].concat());
    assert_eq!(ended.code, 1, "nor another key: {ended:?}");
    let before = sandbox.gantry(["key", "export", "key.asc"]).ok();
    assert_eq!(before, fs::read_to_string(sandbox.path("key.pub.asc")).unwrap().trim_end());
    sandbox.gantry([&extend[..], &["--public", "key.pub.asc"]].concat()).ok();
    let mode = fs::metadata(sandbox.path("key.asc")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    for file in ["key.asc", "key.pub.asc"] {
        let shown = json(&sandbox.gantry(["key", "show", file, "--json"]).ok());
        assert_eq!(shown["keys"][0]["expires"], "2090-01-31T00:00:00Z", "{file}");
    }
    verify(&sandbox, "a.aci.asc", "key.pub.asc").ok();
    let ended = sandbox.gantry(["key", "extend", "key.pub.asc", "--expires", "1y"]);
    assert!(ended.code == 1 && ended.stderr.contains("is a public key"), "{ended:?}");
    let ended = sandbox.gantry(["key", "extend", "key.asc", "--expires", "1y", "--subkey", "abcd"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    let ended = sandbox.gantry(["key", "export", "key.asc", "--secret-subkeys"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    let ended = sandbox.gantry(["key", "export", "key.asc", "-o", "key.pub.asc"]);
    assert!(ended.code == 1 && ended.stderr.contains("--overwrite"), "{ended:?}");
}

#[test]
fn several_sign_one_image_and_each_is_told_apart() {
    let sandbox = signed();
    generate(&sandbox, "second", &[]).ok();
    let add = |key: &str, more: &[&str]| {
        sandbox.gantry([&["sign", "a.aci", "--key", key, "--add", "--json"], more].concat())
    };
    let value = json(&add("second.asc", &[]).ok());
    assert_eq!((&value["new"], &value["signatures"]), (&true.into(), &2.into()));
    let before = fs::read(sandbox.path("a.aci.asc")).unwrap();
    assert_eq!(json(&add("second.asc", &[]).ok())["new"], false);
    assert_eq!(fs::read(sandbox.path("a.aci.asc")).unwrap(), before);
    assert_eq!(json(&add("second.asc", &["--renew"]).ok())["signatures"], 2);
    assert_ne!(fs::read(sandbox.path("a.aci.asc")).unwrap(), before);
    // gpg checks both, and is content only when it knows both.
    sandbox
        .shell(
            "export GNUPGHOME=\"$PWD/gnupg\"; mkdir -m 700 gnupg; trap 'gpgconf --kill all' EXIT
             gpg --batch --quiet --import key.pub.asc
             if gpg --batch --verify a.aci.asc a.aci; then exit 1; fi
             gpg --batch --quiet --import second.pub.asc
             gpg --batch --status-fd 3 --verify a.aci.asc a.aci 3>status
             test \"$(grep -c VALIDSIG status)\" = 2",
        )
        .ok();
    for public in ["key.pub.asc", "second.pub.asc"] {
        let ended = sandbox.gantry(["verify", "a.aci", "--public", public, "--json"]).ok();
        let value = json(&ended);
        let signatures = value["signatures"].as_array().unwrap();
        let mut words: Vec<_> = signatures.iter().map(|s| s["verdict"].as_str().unwrap()).collect();
        words.sort_unstable();
        assert_eq!(words, ["good", "unknown"]);
        let text = sandbox.gantry(["verify", "a.aci", "--public", public]).ok();
        assert!(text.contains("  good: ") && text.contains("  unknown: "), "{text}");
    }
    generate(&sandbox, "third", &[]).ok();
    let ended = sandbox.gantry(["verify", "a.aci", "--public", "third.pub.asc"]).refused(5);
    assert_eq!(ended.stderr.matches("unknown: ").count(), 2, "{ended:?}");

    // After the image was changed, nobody joins those who signed the old one.
    sandbox.write("rootfs/bin/more", "more");
    let pack = ["pack", "rootfs", "-o", "a.aci", "--overwrite", "--name", "example.com/team/hello"];
    sandbox.gantry(pack).ok();
    let ended = add("third.asc", &[]);
    assert!(ended.code == 1 && ended.stderr.contains("other bytes"), "{ended:?}");
    let ended = sandbox.gantry(["verify", "a.aci", "--public", "key.pub.asc"]).refused(5);
    assert!(ended.stderr.contains("bad: "), "{ended:?}");
    // Without a signature file, --add makes one.
    fs::remove_file(sandbox.path("a.aci.asc")).unwrap();
    assert_eq!(json(&add("third.asc", &[]).ok())["signatures"], 1);
    verify(&sandbox, "a.aci.asc", "third.pub.asc").ok();
}

#[test]
fn several_that_sign_at_once_all_stand_in_the_file() {
    let sandbox = signed();
    let count = 6;
    for number in 0..count {
        generate(&sandbox, &format!("key{number}"), &[]).ok();
    }
    std::thread::scope(|scope| {
        for number in 0..count {
            let sandbox = &sandbox;
            scope.spawn(move || {
                let key = format!("key{number}.asc");
                sandbox.gantry(["sign", "a.aci", "--add", "--key", &key]).ok();
            });
        }
    });
    for number in 0..count {
        verify(&sandbox, "a.aci.asc", &format!("key{number}.pub.asc")).ok();
    }
    verify(&sandbox, "a.aci.asc", "key.pub.asc").ok();
}
