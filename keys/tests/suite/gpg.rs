//! Both ways with gpg: its signatures here, ours there.

use keys::{Algorithm, Certificate, GenerateOptions, Liveness, Passphrase, Signer};

use crate::support::*;

#[test]
fn gpg_accepts_our_signatures_of_both_kinds() {
    let gpg = Gpg::new();
    for key in [&*ED25519, &*RSA] {
        gpg.file("public", &key.public);
        gpg.run(&["--import", "public"]);
        let signature = sign(key, DATA, day(1));
        let status = gpg.verify(DATA, &signature);
        assert!(status.contains("[GNUPG:] GOODSIG "), "{status}");
        let valid = format!("VALIDSIG {}", key.fingerprint.to_string().to_uppercase());
        assert!(status.contains(&valid), "{status}");
        // The tenth field is the hash: 10 is SHA-512 (RFC 9580, 9.5).
        let fields: Vec<&str> =
            status.lines().find(|l| l.contains("VALIDSIG")).unwrap().split(' ').collect();
        assert_eq!(fields[9], "10", "{status}");
        assert!(gpg.verify(b"other bytes", &signature).contains("BADSIG"));
    }
}

#[test]
fn gpg_imports_our_secret_keys_and_signs_with_them() {
    for (algorithm, passphrase) in [
        (Algorithm::Ed25519, None),
        (Algorithm::Ed25519, Some("pass")),
        (Algorithm::Rsa4096, Some("pass")),
    ] {
        let gpg = Gpg::new();
        let key = keys::generate(&GenerateOptions {
            user_id: "Example CI <ci@example.com>".into(),
            algorithm,
            expires: Some(DAY * 730),
            passphrase: passphrase.and_then(|text| Passphrase::from_line(text.into())),
            now: january(),
        })
        .unwrap();
        let given = passphrase.unwrap_or_default();
        gpg.file("secret", &key.secret);
        gpg.run(&["--passphrase", given, "--import", "secret"]);
        gpg.file("data", DATA);
        let signature =
            gpg.run(&["--passphrase", given, "--armor", "--output", "-", "--detach-sign", "data"]);
        let now = std::time::SystemTime::now();
        let good = verify(DATA, &signature, &key.public, now, Liveness::Now).unwrap();
        assert_eq!(*good.signer(), key.fingerprint);
        // And back: what gpg exports opens here.
        let exported =
            gpg.run(&["--passphrase", given, "--armor", "--export-secret-keys", "ci@example.com"]);
        let passphrase = passphrase.and_then(|text| Passphrase::from_line(text.into()));
        let signer = Signer::open(&exported, passphrase.as_ref(), now).unwrap();
        let signature = signer.sign(DATA).unwrap();
        verify(DATA, &signature, &key.public, now, Liveness::Now).unwrap();
    }
}

#[test]
fn signatures_of_gpg_are_accepted_rsa_and_ed25519_primary_and_subkey() {
    let gpg = Gpg::new();
    for kind in ["rsa2048", "rsa3072", "ed25519"] {
        gpg.key(kind, kind, "cert,sign", january(), "1y");
        let signature = gpg.sign(kind, day(1), &[]);
        let good = verify(DATA, &signature, &gpg.public(kind), day(2), Liveness::Now).unwrap();
        let primary = gpg.fingerprint(kind).parse().unwrap();
        assert_eq!((good.signer(), good.signing_key()), (&primary, &primary));
        assert_eq!(good.created(), day(1));
        assert_eq!(good.user_id(), Some(kind));
        assert!(good.warnings().is_empty(), "{:?}", good.warnings());

        gpg.run_at(day(3), &["--quick-add-key", &gpg.fingerprint(kind), kind, "sign", "1y"]);
        let signature = gpg.sign(kind, day(4), &[]);
        let public = gpg.public(kind);
        let good = verify(DATA, &signature, &public, day(5), Liveness::Now).unwrap();
        let [certificate] = &Certificate::read_all(&public, &limits()).unwrap()[..] else {
            panic!("one key")
        };
        assert_eq!(*good.signer(), primary);
        assert_eq!([*good.signing_key()], certificate.subkey_fingerprints()[..]);
    }
}

#[test]
fn signatures_of_gpg_are_accepted_binary_and_several() {
    let gpg = Gpg::new();
    gpg.key("one", "ed25519", "sign", january(), "1y");
    gpg.key("two", "rsa2048", "sign", january(), "1y");
    let binary = gpg.sign("one", day(1), &["--no-armor"]);
    assert!(!binary.starts_with(b"-----"));
    verify(DATA, &binary, &gpg.public("one"), day(2), Liveness::Now).unwrap();

    let both = gpg.sign("one", day(1), &["--local-user", "two"]);
    let one_after_the_other = [gpg.sign("one", day(1), &[]), gpg.sign("two", day(1), &[])].concat();
    for signatures in [both, one_after_the_other] {
        for user in ["one", "two"] {
            let good = verify(DATA, &signatures, &gpg.public(user), day(2), Liveness::Now).unwrap();
            assert_eq!(good.signer().to_string().to_uppercase(), gpg.fingerprint(user));
        }
    }
}

#[test]
fn signature_without_armor_is_accepted() {
    let gpg = Gpg::new();
    gpg.key("one", "ed25519", "sign", january(), "1y");
    let binary = gpg.sign("one", day(1), &["--no-armor"]);
    let armored = gpg.sign("one", day(1), &[]);
    assert!(!binary.starts_with(b"-----") && armored.starts_with(b"-----"));
    let judge = |file: &[u8]| verify(DATA, file, &gpg.public("one"), day(2), Liveness::Now);
    assert_eq!(judge(&binary).unwrap().signer(), judge(&armored).unwrap().signer());
    // Bytes that are neither are no signature, whatever they are called.
    assert_eq!(code(judge(&binary[..binary.len() - 1])), "signature-malformed");
}

#[test]
fn signature_counts_by_the_time_it_was_made() {
    let gpg = Gpg::new();
    gpg.key("short", "ed25519", "sign", january(), "10d");
    let signature = gpg.sign("short", day(1), &[]);
    let public = gpg.public("short");
    let judge = |now, liveness| verify(DATA, &signature, &public, now, liveness);

    let good = judge(day(5), Liveness::Now).unwrap();
    assert!(good.warnings()[0].contains("expires on 2026-01-11"), "{:?}", good.warnings());
    // Since expired: good for who fetches, not for who publishes.
    let good = judge(day(20), Liveness::AtSigning).unwrap();
    assert!(good.warnings()[0].contains("expired on 2026-01-11"), "{:?}", good.warnings());
    assert_eq!(code(judge(day(20), Liveness::Now)), "key-expired");
    // Ten minutes of clock skew, no more.
    judge(day(1) - DAY / 288, Liveness::Now).unwrap();
    assert_eq!(code(judge(day(1) - DAY / 100, Liveness::Now)), "signature-in-future");
}

#[test]
fn signature_of_an_expired_key_is_refused() {
    let gpg = Gpg::new();
    gpg.key("short", "ed25519", "sign", january(), "10d");
    gpg.file("secret", &gpg.run(&["--armor", "--export-secret-keys", "short"]));
    // gpg refuses to sign with it as well; a key of the same material without an expiry
    // does it, as a thief would.
    gpg.run_at(day(1), &["--quick-set-expire", &gpg.fingerprint("short"), "0"]);
    let signature = gpg.sign("short", day(15), &[]);
    let renewed = gpg.public("short");
    verify(DATA, &signature, &renewed, day(20), Liveness::Now).unwrap();

    let other = Gpg::new();
    other.file("secret", &std::fs::read(gpg.path().join("secret")).unwrap());
    other.run(&["--import", "secret"]);
    let expired = other.public("short");
    for liveness in [Liveness::AtSigning, Liveness::Now] {
        assert_eq!(code(verify(DATA, &signature, &expired, day(20), liveness)), "key-expired");
    }
}

#[test]
fn signature_older_than_the_renewal_of_its_key_stays_good() {
    let gpg = Gpg::new();
    gpg.key("renewed", "ed25519", "cert", january(), "20d");
    let fingerprint = gpg.fingerprint("renewed");
    gpg.run_at(january(), &["--quick-add-key", &fingerprint, "ed25519", "sign", "20d"]);
    let signature = gpg.sign("renewed", day(1), &[]);
    gpg.run_at(day(10), &["--quick-set-expire", &fingerprint, "1y"]);
    gpg.run_at(day(10), &["--quick-set-expire", &fingerprint, "1y", "*"]);
    gpg.file("all", &gpg.run(&["--export", "renewed"]));
    let minimal =
        gpg.run(&["--armor", "--export-options", "export-minimal", "--export", "renewed"]);
    for public in [gpg.public("renewed"), minimal] {
        let good = verify(DATA, &signature, &public, day(30), Liveness::Now).unwrap();
        assert!(good.warnings().is_empty(), "{:?}", good.warnings());
    }
}

/// Revokes with a reason of gpg's menu: 0 none, 1 compromised, 2 superseded, 3 no longer used.
pub(crate) fn revoke(gpg: &Gpg, user: &str, reason: &str, time: std::time::SystemTime) {
    let answers = gpg.file("answers", format!("y\n{reason}\n\ny\n").as_bytes());
    let answers = answers.to_str().unwrap().to_owned();
    let fingerprint = gpg.fingerprint(user);
    let seconds = time.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    // --gen-revoke asks, so it cannot run in batch mode.
    let output = std::process::Command::new("gpg")
        .env("GNUPGHOME", gpg.path())
        .args(["--no-tty", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""])
        .args(["--faked-system-time", &format!("{seconds}!"), "--command-fd", "0"])
        .args(["--gen-revoke", &fingerprint])
        .stdin(std::fs::File::open(answers).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    gpg.file("revocation", &output.stdout);
    gpg.run(&["--import", "revocation"]);
}

#[test]
fn signature_of_a_revoked_key_is_refused() {
    let gpg = Gpg::new();
    for (reason, before_counts) in [("0", false), ("1", false), ("2", true), ("3", true)] {
        let user = format!("revoked{reason}");
        gpg.key(&user, "ed25519", "sign", january(), "1y");
        let before = gpg.sign(&user, day(1), &[]);
        let after = gpg.sign(&user, day(9), &[]);
        revoke(&gpg, &user, reason, day(5));
        let public = gpg.public(&user);
        let judge = |signature, liveness| verify(DATA, signature, &public, day(10), liveness);
        assert_eq!(code(judge(&after, Liveness::AtSigning)), "key-revoked");
        assert_eq!(code(judge(&before, Liveness::Now)), "key-revoked");
        if before_counts {
            let good = judge(&before, Liveness::AtSigning).unwrap();
            assert!(good.warnings()[0].contains("retired on 2026-01-06"), "{:?}", good.warnings());
        } else {
            assert_eq!(code(judge(&before, Liveness::AtSigning)), "key-revoked");
        }
    }
}

#[test]
fn signature_of_a_revoked_subkey_is_refused() {
    let gpg = Gpg::new();
    gpg.key("owner", "ed25519", "cert", january(), "1y");
    gpg.run_at(january(), &["--quick-add-key", &gpg.fingerprint("owner"), "ed25519", "sign", "1y"]);
    let signature = gpg.sign("owner", day(1), &[]);
    verify(DATA, &signature, &gpg.public("owner"), day(2), Liveness::Now).unwrap();
    let answers = gpg.file("answers", b"key 1\nrevkey\ny\n0\n\ny\nsave\n");
    let status = std::process::Command::new("gpg")
        .env("GNUPGHOME", gpg.path())
        .args(["--no-tty", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""])
        .args(["--command-fd", "0", "--edit-key", "owner"])
        .stdin(std::fs::File::open(answers).unwrap())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let public = gpg.public("owner");
    assert_eq!(code(verify(DATA, &signature, &public, day(2), Liveness::AtSigning)), "key-revoked");
}

#[test]
fn weak_hashes_are_refused() {
    let gpg = Gpg::new();
    gpg.key("old", "rsa2048", "sign", january(), "1y");
    let public = gpg.public("old");
    let sha1 = gpg.sign("old", day(1), &["--digest-algo", "SHA1"]);
    assert_eq!(code(verify(DATA, &sha1, &public, day(2), Liveness::Now)), "weak-hash");
    for algorithm in ["SHA256", "SHA384", "SHA512"] {
        let signature = gpg.sign("old", day(1), &["--digest-algo", algorithm]);
        verify(DATA, &signature, &public, day(2), Liveness::Now).unwrap();
    }
}

#[test]
fn key_bound_by_a_weak_hash_is_refused() {
    let gpg = Gpg::new();
    gpg.run_at(
        january(),
        &["--cert-digest-algo", "SHA1", "--quick-generate-key", "old", "rsa2048", "sign", "1y"],
    );
    let signature = gpg.sign("old", day(1), &[]);
    let result = verify(DATA, &signature, &gpg.public("old"), day(2), Liveness::AtSigning);
    assert_eq!(code(result), "key-unusable");
}

#[test]
fn messages_that_are_no_detached_signatures_are_refused() {
    let gpg = Gpg::new();
    gpg.key("one", "ed25519", "sign", january(), "1y");
    let public = gpg.public("one");
    gpg.file("data", DATA);
    let judge = |file: &[u8]| code(verify(DATA, file, &public, day(2), Liveness::Now));
    let make = |arguments: &[&str]| gpg.run_at(day(1), arguments);
    assert_eq!(judge(&make(&["--output", "-", "--clear-sign", "data"])), "signature-not-detached");
    assert_eq!(
        judge(&make(&["--output", "-", "--armor", "--sign", "data"])),
        "signature-not-detached"
    );
    assert_eq!(judge(&make(&["--output", "-", "--sign", "data"])), "signature-not-detached");
    assert_eq!(judge(&public), "signature-not-detached");
    let text = gpg.sign("one", day(1), &["--textmode"]);
    assert_eq!(judge(&text), "signature-malformed");
}

#[test]
fn signer_takes_the_newest_subkey_and_a_stub_for_what_it_is() {
    let gpg = Gpg::new();
    gpg.key("owner", "ed25519", "cert,sign", january(), "1y");
    let fingerprint = gpg.fingerprint("owner");
    gpg.run_at(day(1), &["--quick-add-key", &fingerprint, "ed25519", "sign", "30d"]);
    gpg.run_at(day(2), &["--quick-add-key", &fingerprint, "rsa2048", "sign", "10d"]);
    gpg.run_at(day(2), &["--quick-add-key", &fingerprint, "cv25519", "encr", "1y"]);
    let [certificate] = &Certificate::read_all(&gpg.public("owner"), &limits()).unwrap()[..] else {
        panic!("one key")
    };
    let subkeys = certificate.subkey_fingerprints();
    let secret = gpg.run(&["--armor", "--export-secret-keys", "owner"]);
    let signing_key = |file: &[u8], now| *Signer::open(file, None, now).unwrap().signing_key();
    assert_eq!(signing_key(&secret, day(5)), subkeys[1]);
    assert_eq!(signing_key(&secret, day(15)), subkeys[0]);
    assert_eq!(signing_key(&secret, day(40)), *certificate.fingerprint());

    // The primary key offline, as documented: its secret part is a stub.
    let subkeys_alone = gpg.run(&["--armor", "--export-secret-subkeys", "owner"]);
    assert_eq!(signing_key(&subkeys_alone, day(5)), subkeys[1]);
    let error = Signer::open(&subkeys_alone, None, day(40)).unwrap_err();
    assert!(matches!(error, keys::SignError::Unusable(_)), "{error:?}");
    let signature = Signer::open(&subkeys_alone, None, day(5)).unwrap().sign(DATA).unwrap();
    verify(DATA, &signature, &gpg.public("owner"), day(6), Liveness::Now).unwrap();

    gpg.key("alone", "ed25519", "cert,sign", january(), "1y");
    gpg.run_at(day(1), &["--quick-add-key", &gpg.fingerprint("alone"), "cv25519", "encr", "1y"]);
    let no_signer = gpg.run(&["--armor", "--export-secret-subkeys", "alone"]);
    let error = Signer::open(&no_signer, None, day(5)).unwrap_err();
    assert!(matches!(error, keys::SignError::Stub(_)), "{error:?}");
}
