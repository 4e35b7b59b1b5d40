//! Several signatures in one file.

use std::time::SystemTime;

use keys::{
    AddSignatureError, AddedSignature, Algorithm, Earlier, Generated, Liveness, Policy, Scope,
    Signer, Verdict,
};

use crate::support::*;

fn add(
    key: &Generated,
    file: &[u8],
    data: &[u8],
    now: SystemTime,
    earlier: Earlier,
) -> Result<AddedSignature, AddSignatureError> {
    Signer::open(&key.secret, None, now).unwrap().add(file, data, earlier, &limits())
}

fn added(result: Result<AddedSignature, AddSignatureError>) -> (Vec<u8>, usize) {
    match result.unwrap() {
        AddedSignature::Added(file, count) => (file, count),
        AddedSignature::Present(_) => panic!("it was there"),
    }
}

#[test]
fn two_signatures_are_one_file_that_gpg_checks_whole() {
    let one = sign(&ED25519, DATA, day(1));
    let (both, count) = added(add(&OTHER, &one, DATA, day(2), Earlier::Keep));
    assert_eq!(count, 2);
    let text = std::str::from_utf8(&both).unwrap();
    assert_eq!(text.matches("-----BEGIN").count(), 1, "{text}");
    for key in [&*ED25519, &*OTHER] {
        let good = verify(DATA, &both, &key.public, day(3), Liveness::Now).unwrap();
        assert_eq!(*good.signer(), key.fingerprint);
    }
    let gpg = Gpg::new();
    gpg.file("one", &ED25519.public);
    gpg.file("other", &OTHER.public);
    gpg.run(&["--import", "one", "other"]);
    let status = gpg.verify(DATA, &both);
    assert_eq!(status.matches("[GNUPG:] VALIDSIG").count(), 2, "{status}");
    // Added to what gpg signed, and by gpg's other hash.
    let gpgs = {
        gpg.key("gpg", "rsa2048", "sign", january(), "1y");
        gpg.sign("gpg", day(1), &["--digest-algo", "SHA256", "--no-armor"])
    };
    let (three, count) = added(add(&ED25519, &gpgs, DATA, day(2), Earlier::Keep));
    let (three, more) = added(add(&OTHER, &three, DATA, day(2), Earlier::Keep));
    assert_eq!((count, more), (2, 3));
    assert_eq!(gpg.verify(DATA, &three).matches("[GNUPG:] VALIDSIG").count(), 3);
}

#[test]
fn signature_by_the_same_key_is_added_once() {
    let one = sign(&ED25519, DATA, day(1));
    let again = add(&ED25519, &one, DATA, day(2), Earlier::Keep).unwrap();
    assert_eq!(again, AddedSignature::Present(1));
    let (both, _) = added(add(&OTHER, &one, DATA, day(2), Earlier::Keep));
    let (renewed, count) = added(add(&ED25519, &both, DATA, day(3), Earlier::Replace));
    assert_eq!(count, 2);
    let good = verify(DATA, &renewed, &ED25519.public, day(4), Liveness::Now).unwrap();
    assert_eq!(good.created(), day(3));
    // The other one has moved to the front.
    let assessed = assess(DATA, &renewed, day(4));
    assert_eq!(assessed[0].1, OTHER.fingerprint.to_string());
}

#[test]
fn nothing_is_added_to_signatures_of_other_bytes() {
    let one = sign(&ED25519, b"an older image", day(1));
    for key in [&*ED25519, &*OTHER] {
        let error = add(key, &one, DATA, day(2), Earlier::Keep).unwrap_err();
        assert!(matches!(error, AddSignatureError::OtherBytes(_)), "{error}");
        assert!(error.to_string().contains(&ED25519.fingerprint.to_string()), "{error}");
    }
    let error = add(&OTHER, &one, DATA, day(2), Earlier::Replace).unwrap_err();
    assert!(matches!(error, AddSignatureError::OtherBytes(_)), "{error}");
    // One's own may go.
    let (file, count) = added(add(&ED25519, &one, DATA, day(2), Earlier::Replace));
    assert_eq!(count, 1);
    verify(DATA, &file, &ED25519.public, day(3), Liveness::Now).unwrap();
    for file in [&b""[..], b"no signature", &ED25519.public] {
        let error = add(&OTHER, file, DATA, day(2), Earlier::Keep).unwrap_err();
        assert!(matches!(error, AddSignatureError::Format(_)), "{error}");
    }
    let mut file = one;
    let half = file.len() / 2;
    file[half] ^= 1;
    assert!(add(&OTHER, &file, DATA, day(2), Earlier::Keep).is_err());
}

#[test]
fn file_takes_sixteen_signatures() {
    let mut file = sign(&ED25519, DATA, day(1));
    for number in 2..=16 {
        let key = generated(Algorithm::Ed25519, january());
        let (next, count) = added(add(&key, &file, DATA, day(1), Earlier::Keep));
        assert_eq!(count, number);
        file = next;
    }
    assert!(add(&OTHER, &file, DATA, day(1), Earlier::Keep).is_err());
    // There is room for one that takes the place of another.
    let (_, count) = added(add(&ED25519, &file, DATA, day(2), Earlier::Replace));
    assert_eq!(count, 16);
}

/// Verdict, issuer and signer of each signature, for who trusts [`ED25519`] alone.
fn assess(data: &[u8], file: &[u8], now: SystemTime) -> Vec<(Verdict, String, bool)> {
    let policy = Policy::new(now, Liveness::AtSigning);
    let keyring = trusting(&ED25519.public);
    let all = keys::assess(data, file, None, &keyring, &policy, &limits()).unwrap();
    for one in &all {
        assert_eq!(one.refusal.is_none(), one.verdict == Verdict::Good);
        assert_eq!(one.user_id.is_some(), one.signer.is_some());
    }
    all.into_iter().map(|one| (one.verdict, one.issuer, one.signer.is_some())).collect()
}

#[test]
fn each_signature_gets_its_verdict() {
    let (both, _) = added(add(&OTHER, &sign(&ED25519, DATA, day(1)), DATA, day(2), Earlier::Keep));
    let (ours, theirs) = (ED25519.fingerprint.to_string(), OTHER.fingerprint.to_string());
    let expected = [(Verdict::Good, ours.clone(), true), (Verdict::Unknown, theirs.clone(), false)];
    assert_eq!(assess(DATA, &both, day(3)), expected);
    let expected = [(Verdict::Bad, ours, true), (Verdict::Unknown, theirs, false)];
    assert_eq!(assess(b"others", &both, day(3)), expected);

    let mut keyring = keys::Keyring::default();
    let name = "example.com/team".parse().unwrap();
    let mut trust = |public: &[u8], now| {
        for one in keys::Certificate::read_all(public, &limits()).unwrap() {
            keyring.push(one, Scope::Prefix("example.com/other".parse().unwrap()));
        }
        let policy = Policy::new(now, Liveness::Now);
        let all = keys::assess(DATA, &both, Some(&name), &keyring, &policy, &limits()).unwrap();
        all.into_iter().map(|one| one.verdict).collect::<Vec<_>>()
    };
    assert_eq!(trust(&ED25519.public, day(3)), [Verdict::Untrusted, Verdict::Unknown]);

    let key = keys::SecretKey::read(&OTHER.secret, &limits()).unwrap();
    let reason = keys::RevocationReason::Compromised;
    let revoked = key.revoke(None, reason, "", None, day(3)).unwrap();
    let public = revoked.certificate().unwrap().armored();
    let mut keyring = trusting(&ED25519.public);
    keyring.push(keys::Certificate::read_all(&public, &limits()).unwrap().remove(0), Scope::Root);
    let judge = |now| {
        let policy = Policy::new(now, Liveness::Now);
        let all = keys::assess(DATA, &both, None, &keyring, &policy, &limits()).unwrap();
        all.into_iter().map(|one| one.verdict.word()).collect::<Vec<_>>()
    };
    assert_eq!(judge(day(4)), ["good", "revoked"]);
    assert_eq!(judge(day(730)), ["expired", "revoked"]);
}
