//! Secret keys read, merged and given away, with gpg at the other end.

use keys::{Algorithm, Change, KeyError, KeyMaterial, Liveness, SecretKey, SecretPart, Signer};

use crate::support::*;

fn secrets(key: &SecretKey) -> Vec<SecretPart> {
    key.parts(day(5)).into_iter().map(|part| part.secret).collect()
}

fn read(bytes: &[u8]) -> SecretKey {
    SecretKey::read(bytes, &limits()).unwrap()
}

fn material(bytes: &[u8]) -> KeyMaterial {
    let mut all = KeyMaterial::read_all(bytes, &limits()).unwrap();
    assert_eq!(all.len(), 1);
    all.pop().unwrap()
}

/// A key of gpg that certifies, with a subkey that signs and one that is encrypted to.
fn owner(gpg: &Gpg, kind: &str, passphrase: &str) -> String {
    let run = |arguments: &[&str]| {
        let seconds = january().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let faked = format!("{}!", seconds.as_secs());
        let first = ["--faked-system-time", &faked, "--passphrase", passphrase];
        gpg.run(&[&first, arguments].concat())
    };
    run(&["--quick-generate-key", kind, kind, "cert", "1y"]);
    let fingerprint = gpg.fingerprint(kind);
    run(&["--quick-add-key", &fingerprint, &signing(kind), "sign", "1y"]);
    run(&["--quick-add-key", &fingerprint, "rsa2048", "encr", "1y"]);
    fingerprint
}

#[test]
fn secret_keys_of_gpg_are_read_as_they_are() {
    for (kind, passphrase, there) in [
        ("rsa2048", "", SecretPart::Open),
        ("ed25519", "", SecretPart::Open),
        ("nistp384", "", SecretPart::Open),
        ("ed25519", "correct horse", SecretPart::Locked),
    ] {
        let gpg = Gpg::new();
        let fingerprint = owner(&gpg, kind, passphrase);
        let export =
            |how: &str| gpg.run(&["--passphrase", passphrase, "--armor", how, &fingerprint]);
        let whole = read(&export("--export-secret-keys"));
        assert_eq!(whole.fingerprint().to_string().to_uppercase(), fingerprint);
        assert_eq!(secrets(&whole), [there, there, there]);
        let mut uses: Vec<_> = whole
            .parts(day(5))
            .iter()
            .map(|part| (part.uses.certify, part.uses.sign, part.uses.encrypt))
            .collect();
        uses.sort_unstable();
        assert_eq!(uses, [(false, false, true), (false, true, false), (true, false, false)]);
        let subkeys = read(&export("--export-secret-subkeys"));
        assert_eq!(secrets(&subkeys), [SecretPart::Absent, there, there]);
        let public = material(&gpg.public(kind));
        assert!(matches!(public, KeyMaterial::Public(_)), "{public:?}");
    }
}

#[test]
fn exported_signing_subkeys_sign_in_gpg_without_the_primary_key() {
    let key = read(&generated(Algorithm::Ed25519, january()).secret);
    let (key, subkey) = key.add_signing_subkey(Algorithm::Ed25519, None, None, day(1)).unwrap();
    let key = key.extend(&[], None, None, day(2)).unwrap();
    let ci = key.signing_subkeys(&[], day(3)).unwrap().unwrap();
    let gpg = Gpg::new();
    gpg.file("ci", &ci.armored().unwrap());
    gpg.run(&["--passphrase", "", "--import", "ci"]);
    let listing = String::from_utf8(gpg.run(&["--with-colons", "--list-secret-keys"])).unwrap();
    let token = |kind: &str| {
        let line = listing.lines().find(|line| line.starts_with(kind)).unwrap();
        line.split(':').nth(14).unwrap().to_owned()
    };
    // `#`: a stub. `+`: the secret is there.
    assert_eq!((&*token("sec:"), &*token("ssb:")), ("#", "+"), "{listing}");
    gpg.file("data", DATA);
    let line = ["--passphrase", "", "--armor", "--output", "-", "--detach-sign", "data"];
    let signature = gpg.run(&line);
    let public = key.certificate().unwrap().armored();
    let now = std::time::SystemTime::now();
    let good = verify(DATA, &signature, &public, now, Liveness::Now).unwrap();
    assert_eq!(*good.signing_key(), subkey);
    // And what gpg gives back is the same.
    let back = read(&gpg.run(&["--passphrase", "", "--export-secret-subkeys"]));
    assert_eq!(secrets(&back), secrets(&ci));
}

#[test]
fn merge_takes_what_is_new_and_loses_no_secret() {
    let key = read(&generated(Algorithm::Ed25519, january()).secret);
    let (whole, subkey) = key.add_signing_subkey(Algorithm::Ed25519, None, None, day(1)).unwrap();
    let stubs = whole.signing_subkeys(&[], day(2)).unwrap().unwrap();
    let as_file = |key: &SecretKey| material(&key.armored().unwrap());
    let public = |key: &SecretKey| material(&key.certificate().unwrap().armored());

    // Stubs and public halves take nothing away.
    for other in [as_file(&stubs), public(&whole), as_file(&key), as_file(&whole)] {
        let merged = whole.merge(&other).unwrap();
        assert_eq!(merged, whole);
        assert!(merged.changes_since(&whole, day(3)).is_empty());
    }
    // What is not there is filled in, whichever comes first.
    let merged = stubs.merge(&as_file(&key)).unwrap();
    assert_eq!(secrets(&merged), [SecretPart::Open, SecretPart::Open]);
    let change = [Change::Secret(*key.fingerprint())];
    assert_eq!(merged.changes_since(&stubs, day(3)), change);
    let merged = key.merge(&as_file(&stubs)).unwrap();
    assert_eq!(merged, whole);
    let change = [Change::Subkey(subkey), Change::Secret(subkey)];
    assert_eq!(merged.changes_since(&key, day(3)), change);
    // One that is locked does not lock what is open.
    let passphrase = keys::Passphrase::from_line(b"x".to_vec());
    let locked = whole.relock(None, passphrase.as_ref()).unwrap();
    assert_eq!(secrets(&whole.merge(&as_file(&locked)).unwrap()), secrets(&whole));

    let renewed = whole.extend(&[], Some(day(900)), None, day(3)).unwrap();
    let reason = keys::RevocationReason::Retired;
    let revoked = renewed.revoke(Some(&subkey), reason, "", None, day(5)).unwrap();
    let merged = stubs.merge(&public(&revoked)).unwrap();
    assert_eq!(secrets(&merged), secrets(&stubs));
    let changes = merged.changes_since(&stubs, day(6));
    let [Change::Expiry(first, Some(end)), Change::Revoked(second, _)] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!((first, *end, *second), (key.fingerprint(), day(900), subkey));
    for change in changes {
        assert!(change.to_string().len() > 40, "{change}");
    }
    // Another key is none of ours.
    assert!(whole.merge(&material(&OTHER.secret)).is_err());
}

#[test]
fn secret_key_refuses_what_is_none() {
    let refusal = |bytes: &[u8]| SecretKey::read(bytes, &limits()).unwrap_err();
    assert!(matches!(refusal(&ED25519.public), KeyError::Public(_)));
    assert!(matches!(refusal(b""), KeyError::NoKey));
    let two = [&ED25519.secret[..], &OTHER.secret].concat();
    assert!(matches!(refusal(&two), KeyError::Several(2)));
    assert!(matches!(refusal(&ED25519.secret[..300]), KeyError::Malformed { .. }));
    // A key all of whose secrets were left out is a public one.
    let gpg = Gpg::new();
    gpg.key("alone", "ed25519", "cert,sign", january(), "1y");
    let stub = gpg.run(&["--armor", "--export-secret-subkeys", "alone"]);
    assert!(matches!(refusal(&stub), KeyError::Public(_)));
    assert!(Signer::open(&stub, None, day(1)).is_err());
}
