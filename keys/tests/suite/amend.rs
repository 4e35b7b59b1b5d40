//! What the owner of a key says later, judged here and by gpg.

use std::time::SystemTime;

use keys::{
    Algorithm, AmendError, Fingerprint, GenerateOptions, Liveness, Passphrase, RevocationReason,
    SecretKey, SecretPart, Signer, UnlockError,
};

use crate::support::*;

fn made() -> SecretKey {
    let key = generated(Algorithm::Ed25519, january());
    SecretKey::read(&key.secret, &limits()).unwrap()
}

fn public(key: &SecretKey) -> Vec<u8> {
    key.certificate().unwrap().armored()
}

fn with_subkey(key: &SecretKey, now: SystemTime) -> (SecretKey, Fingerprint) {
    key.add_signing_subkey(Algorithm::Ed25519, None, None, now).unwrap()
}

/// What gpg lists of a public key: the lines of `pub`, `sub` and `uid`.
fn listed(gpg: &Gpg, file: &[u8]) -> String {
    gpg.file("listed", file);
    String::from_utf8(gpg.run(&["--with-colons", "--show-keys", "listed"])).unwrap()
}

fn field<'a>(listing: &'a str, kind: &str, number: usize) -> &'a str {
    let line = listing.lines().find(|line| line.starts_with(&format!("{kind}:"))).unwrap();
    line.split(':').nth(number - 1).unwrap()
}

fn seconds(time: SystemTime) -> String {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string()
}

#[test]
fn extension_counts_here_and_for_gpg_and_what_was_signed_before_stays_good() {
    let key = made();
    let early = Signer::open_key(&key, None, day(1)).unwrap().sign(DATA).unwrap();
    // Also when it has expired already.
    for now in [day(10), day(800)] {
        let renewed = key.extend(&[], Some(day(1000)), None, now).unwrap();
        assert_eq!(renewed.certificate().unwrap().expires(now), Some(day(1000)));
        let file = public(&renewed);
        verify(DATA, &early, &file, day(900), Liveness::Now).unwrap();
        let late = Signer::open_key(&renewed, None, day(900)).unwrap().sign(DATA).unwrap();
        verify(DATA, &late, &file, day(900), Liveness::Now).unwrap();
        assert_eq!(field(&listed(&Gpg::new(), &file), "pub", 7), seconds(day(1000)));
    }
    let forever = key.extend(&[], None, None, day(10)).unwrap();
    assert_eq!(forever.certificate().unwrap().expires(day(10)), None);
    assert_eq!(field(&listed(&Gpg::new(), &public(&forever)), "pub", 7), "");
}

#[test]
fn extension_of_a_key_of_gpg_is_seen_by_gpg() {
    let gpg = Gpg::new();
    for kind in ["rsa2048", "ed25519", "nistp256"] {
        gpg.key(kind, kind, "cert", january(), "20d");
        let fingerprint = gpg.fingerprint(kind);
        gpg.run_at(january(), &["--quick-add-uid", &fingerprint, &format!("second {kind}")]);
        gpg.run_at(january(), &["--quick-add-key", &fingerprint, &signing(kind), "sign", "10d"]);
        gpg.run_at(january(), &["--quick-add-key", &fingerprint, "rsa2048", "encr", "10d"]);
        let early = gpg.sign(kind, day(1), &[]);
        let secret = gpg.run(&["--export-secret-keys", kind]);
        let key = SecretKey::read(&secret, &limits()).unwrap();
        let subkey = key.parts(day(5)).into_iter().find(|part| part.uses.sign).unwrap();
        assert_eq!(subkey.algorithm, kind);
        let key = key.extend(&[], Some(day(500)), None, day(5)).unwrap();
        let key = key.extend(&[subkey.fingerprint], Some(day(400)), None, day(6)).unwrap();
        gpg.file("renewed", &public(&key));
        gpg.run(&["--import", "renewed"]);
        let listing = gpg.run(&["--with-colons", "--list-keys", kind]);
        let listing = String::from_utf8(listing).unwrap();
        assert_eq!(field(&listing, "pub", 7), seconds(day(500)), "{listing}");
        let ends: Vec<&str> = listing
            .lines()
            .filter(|line| line.starts_with("sub:"))
            .map(|line| line.split(':').nth(6).unwrap())
            .collect();
        assert_eq!(ends, [seconds(day(400)), seconds(day(10))], "{listing}");
        // The subkey signs again, in gpg too, and its old signature is as good as it was.
        let late = gpg.sign(kind, day(300), &[]);
        for signature in [&early, &late] {
            let good = verify(DATA, signature, &public(&key), day(300), Liveness::Now).unwrap();
            assert_eq!(*good.signing_key(), subkey.fingerprint);
        }
    }
}

#[test]
fn extension_refuses_what_makes_no_sense() {
    let key = made();
    let extend = |expires, now| key.extend(&[], expires, None, now);
    assert!(matches!(extend(Some(day(5)), day(6)), Err(AmendError::ExpiresInPast(_))));
    assert!(matches!(extend(Some(day(36500)), day(6)), Err(AmendError::ExpiresTooLate(_))));
    // In the second of the key's own signature nobody could tell which is the newer one.
    assert!(matches!(extend(None, january()), Err(AmendError::ClockBehind { .. })));
    assert_eq!(key.settled(), january() + std::time::Duration::from_secs(1));
    assert!(extend(None, key.settled()).is_ok());
    let other = key.extend(&[OTHER.fingerprint], None, None, day(6));
    assert!(matches!(other, Err(AmendError::NoSubkey { .. })));
    let revoked = key.revoke(None, RevocationReason::Retired, "", None, day(6)).unwrap();
    let result = revoked.extend(&[], None, None, day(7));
    assert!(matches!(result, Err(AmendError::Revoked { .. })), "{result:?}");
}

#[test]
fn subkey_signs_and_gpg_agrees() {
    for algorithm in [Algorithm::Ed25519, Algorithm::Rsa4096] {
        let gpg = Gpg::new();
        let (key, subkey) =
            made().add_signing_subkey(algorithm, Some(day(100)), None, day(1)).unwrap();
        let signer = Signer::open_key(&key, None, day(2)).unwrap();
        assert_eq!(*signer.signing_key(), subkey);
        let signature = signer.sign(DATA).unwrap();
        let good = verify(DATA, &signature, &public(&key), day(3), Liveness::Now).unwrap();
        assert_eq!((good.signer(), good.signing_key()), (key.fingerprint(), &subkey));

        gpg.file("public", &public(&key));
        gpg.run(&["--import", "public"]);
        let status = gpg.verify(DATA, &signature);
        let valid = format!("VALIDSIG {}", subkey.to_string().to_uppercase());
        assert!(status.contains(&valid), "{status}");
        let listing = listed(&gpg, &public(&key));
        assert_eq!(
            (field(&listing, "sub", 7), field(&listing, "sub", 12)),
            (&*seconds(day(100)), "s")
        );
        let forever = key.extend(&[subkey], None, None, day(3)).unwrap();
        assert_eq!(field(&listed(&gpg, &public(&forever)), "sub", 7), "");
        assert_eq!(forever.parts(day(4))[1].expires, None);
        let part = key.parts(day(3)).into_iter().find(|part| !part.primary).unwrap();
        assert!(part.may_sign() && !part.uses.certify && !part.uses.encrypt);
        assert_eq!((part.algorithm, part.expires), (algorithm.to_string(), Some(day(100))));
    }
}

#[test]
fn revocation_takes_the_past_with_it_or_not_as_its_reason_says() {
    for (reason, letter) in [
        (RevocationReason::Unspecified, false),
        (RevocationReason::Compromised, false),
        (RevocationReason::Superseded, true),
        (RevocationReason::Retired, true),
    ] {
        let (key, subkey) = with_subkey(&made(), day(1));
        let before = Signer::open_key(&key, None, day(2)).unwrap().sign(DATA).unwrap();
        let after = Signer::open_key(&key, None, day(20)).unwrap().sign(DATA).unwrap();
        for part in [None, Some(&subkey)] {
            let revoked = key.revoke(part, reason, "moved on", None, day(10)).unwrap();
            let judge = |signature: &[u8]| {
                verify(DATA, signature, &public(&revoked), day(30), Liveness::AtSigning)
            };
            assert_eq!(code(judge(&after)), "key-revoked");
            match letter {
                true => drop(judge(&before).unwrap()),
                false => assert_eq!(code(judge(&before)), "key-revoked"),
            }
            let parts = revoked.parts(day(30));
            let text = parts.iter().find_map(|part| part.revoked.clone()).unwrap();
            assert!(text.ends_with(": moved on"), "{text}");

            let gpg = Gpg::new();
            let listing = listed(&gpg, &public(&revoked));
            let kind = if part.is_some() { "sub" } else { "pub" };
            assert_eq!(field(&listing, kind, 2), "r", "{listing}");
            assert_eq!(part.is_some(), field(&listing, "pub", 2) != "r", "{listing}");
            // Once more changes nothing; a graver reason does.
            let again = revoked.revoke(part, reason, "", None, day(12)).unwrap();
            assert_eq!(again, revoked);
            let graver =
                revoked.revoke(part, RevocationReason::Compromised, "", None, day(12)).unwrap();
            assert_eq!(graver == revoked, reason.is_hard());
            let result = verify(DATA, &before, &public(&graver), day(30), Liveness::AtSigning);
            assert_eq!(code(result), "key-revoked");
        }
    }
    let long = "x".repeat(201);
    for message in ["a\nb", &long] {
        let result = made().revoke(None, RevocationReason::Retired, message, None, day(2));
        assert!(matches!(result, Err(AmendError::Message)));
    }
}

#[test]
fn revocation_certificate_revokes_in_gpg() {
    let (key, gpg) = (made(), Gpg::new());
    gpg.file("public", &public(&key));
    gpg.run(&["--import", "public"]);
    let reason = RevocationReason::Unspecified;
    let certificate = key.revocation_certificate(reason, "lost", None, day(1)).unwrap();
    gpg.file("revocation", &certificate);
    gpg.run(&["--import", "revocation"]);
    let listing = gpg.run(&["--with-colons", "--list-keys"]);
    assert_eq!(field(std::str::from_utf8(&listing).unwrap(), "pub", 2), "r");
}

#[test]
fn locked_key_is_amended_with_its_passphrase_and_stays_locked() {
    let pass = |text: &str| Passphrase::from_line(text.into()).unwrap();
    let key = keys::generate(&GenerateOptions {
        user_id: "Locked <locked@example.com>".into(),
        algorithm: Algorithm::Ed25519,
        expires: None,
        passphrase: Some(pass("one")),
        now: january(),
    })
    .unwrap();
    let key = SecretKey::read(&key.secret, &limits()).unwrap();
    let result = key.extend(&[], Some(day(1000)), None, day(1));
    assert!(matches!(result, Err(AmendError::Unlock(UnlockError::Locked(_)))));
    let result = key.extend(&[], Some(day(1000)), Some(&pass("two")), day(1));
    assert!(matches!(result, Err(AmendError::Unlock(UnlockError::WrongPassphrase(_)))));
    let key = key.extend(&[], Some(day(1000)), Some(&pass("one")), day(1)).unwrap();
    let (key, _) =
        key.add_signing_subkey(Algorithm::Ed25519, None, Some(&pass("one")), day(2)).unwrap();
    let secrets =
        |key: &SecretKey| key.parts(day(3)).into_iter().map(|part| part.secret).collect::<Vec<_>>();
    assert_eq!(secrets(&key), [SecretPart::Locked, SecretPart::Locked]);
    Signer::open_key(&key, Some(&pass("one")), day(3)).unwrap();

    // gpg opens both parts with that passphrase.
    let gpg = Gpg::new();
    gpg.file("secret", &key.armored().unwrap());
    gpg.run(&["--passphrase", "one", "--import", "secret"]);
    gpg.file("data", DATA);
    let line = ["--passphrase", "one", "--armor", "--output", "-", "--detach-sign", "data"];
    let signature = gpg.run(&line);
    let now = SystemTime::now();
    let good = verify(DATA, &signature, &public(&key), now, Liveness::Now).unwrap();
    assert_ne!(good.signing_key(), key.fingerprint());

    assert!(key.relock(Some(&pass("two")), None).is_err());
    let open = key.relock(Some(&pass("one")), None).unwrap();
    assert_eq!(secrets(&open), [SecretPart::Open, SecretPart::Open]);
    let again = open.relock(None, Some(&pass("two"))).unwrap();
    assert_eq!(secrets(&again), [SecretPart::Locked, SecretPart::Locked]);
    Signer::open_key(&again, Some(&pass("two")), day(3)).unwrap();
    Signer::open_key(&again, Some(&pass("one")), day(3)).unwrap_err();
}

#[test]
fn offline_primary_cannot_say_anything_and_its_subkey_can_sign() {
    let (key, subkey) = with_subkey(&made(), day(1));
    let ci = key.signing_subkeys(&[], day(2)).unwrap().unwrap();
    let expected = [SecretPart::Absent, SecretPart::Open];
    assert_eq!(ci.parts(day(2)).iter().map(|part| part.secret).collect::<Vec<_>>(), expected);
    let offline = [
        ci.extend(&[], None, None, day(3)).err(),
        ci.extend(&[subkey], None, None, day(3)).err(),
        ci.revoke(Some(&subkey), RevocationReason::Retired, "", None, day(3)).err(),
        ci.add_signing_subkey(Algorithm::Ed25519, None, None, day(3)).err(),
    ];
    for error in offline {
        assert!(matches!(error, Some(AmendError::PrimaryAbsent(_))), "{error:?}");
    }
    // Where the primary key lies, the subkey's secret is not needed to extend it.
    let mut bare = key.signing_subkeys(&[*key.fingerprint()], day(2)).unwrap();
    assert!(bare.take().is_none(), "the primary key is no subkey");
    let signature = Signer::open_key(&ci, None, day(3)).unwrap().sign(DATA).unwrap();
    let good = verify(DATA, &signature, &public(&key), day(4), Liveness::Now).unwrap();
    assert_eq!(*good.signing_key(), subkey);
}
