//! Keys made here, and the ways to open them.

use keys::{
    Algorithm, Certificate, Fingerprint, GenerateError, GenerateOptions, KeyError, Liveness,
    Passphrase, SignError, Signer, UnlockError,
};

use crate::support::*;

fn locked() -> keys::Generated {
    keys::generate(&GenerateOptions {
        user_id: "Locked <locked@example.com>".into(),
        algorithm: Algorithm::Ed25519,
        expires: None,
        passphrase: Passphrase::from_line(b"correct horse\n".to_vec()),
        now: january(),
    })
    .unwrap()
}

#[test]
fn generate_tells_user_expiry_and_creation() {
    let key = &*ED25519;
    let [certificate] = &Certificate::read_all(&key.public, &limits()).unwrap()[..] else {
        panic!("one key")
    };
    assert_eq!(*certificate.fingerprint(), key.fingerprint);
    assert_eq!(certificate.user_ids(), ["Example CI <ci@example.com>"]);
    assert_eq!(certificate.created(), january());
    assert_eq!(certificate.expires(day(1)), Some(day(730)));
    assert_eq!(certificate.subkey_fingerprints(), Vec::<Fingerprint>::new());
    assert!(!certificate.revoked(day(1)));
    assert!(certificate.can_sign(day(729)));
    assert!(!certificate.can_sign(day(730)));
    let again = Certificate::read_all(&certificate.armored(), &limits()).unwrap();
    assert_eq!(again[..], *std::slice::from_ref(certificate));
}

#[test]
fn generate_refuses_user_ids_nobody_can_read_and_times_nobody_can_write() {
    let options = |user_id: &str, days: u32| GenerateOptions {
        user_id: user_id.into(),
        algorithm: Algorithm::Ed25519,
        expires: Some(DAY * days),
        passphrase: None,
        now: january(),
    };
    for user_id in ["", "  ", "a\nb", "a\u{1b}[31m", &"x".repeat(513)] {
        let result = keys::generate(&options(user_id, 1));
        assert!(matches!(result, Err(GenerateError::UserId(_))), "{user_id:?}");
    }
    let result = keys::generate(&options("a", 365 * 90));
    assert!(matches!(result, Err(GenerateError::Expiry(_))));
}

#[test]
fn signer_opens_a_locked_key_with_its_passphrase_alone() {
    let key = locked();
    let open = |passphrase: Option<&str>| {
        let passphrase = passphrase.and_then(|text| Passphrase::from_line(text.into()));
        Signer::open(&key.secret, passphrase.as_ref(), day(1))
    };
    let Err(SignError::Unlock(UnlockError::Locked(fingerprint))) = open(None) else {
        panic!("locked")
    };
    assert_eq!(fingerprint, key.fingerprint);
    assert!(open(None).unwrap_err().to_string().contains("--passphrase-file"));
    let wrong = open(Some("wrong"));
    assert!(matches!(wrong, Err(SignError::Unlock(UnlockError::WrongPassphrase(_)))), "{wrong:?}");
    let signature = open(Some("correct horse")).unwrap().sign(DATA).unwrap();
    verify(DATA, &signature, &key.public, day(1), Liveness::Now).unwrap();
}

#[test]
fn signer_refuses_what_cannot_sign() {
    let key = &*ED25519;
    let open = |bytes: &[u8], now| Signer::open(bytes, None, now);
    let Err(SignError::Unusable(reason)) = open(&key.secret, day(730)) else { panic!("expired") };
    assert_eq!(code(Err::<(), _>(*reason)), "key-expired");
    assert!(matches!(open(&key.secret, january() - DAY), Err(SignError::Unusable(_))));
    assert!(matches!(open(&key.public, day(1)), Err(SignError::Public(_))));
    assert!(matches!(open(b"", day(1)), Err(SignError::NoKey(_))));
    assert!(matches!(open(b"not a key", day(1)), Err(SignError::NoKey(_))));
    let two = [&key.secret[..], &OTHER.secret].concat();
    assert!(matches!(open(&two, day(1)), Err(SignError::Several(2))), "{:?}", open(&two, day(1)));
}

#[test]
fn certificates_are_read_from_every_kind_of_file() {
    let (one, other) = (&ED25519.public, &OTHER.public);
    let count = |bytes: &[u8]| Certificate::read_all(bytes, &limits()).map(|all| all.len());
    assert_eq!(count(&[&one[..], other].concat()).unwrap(), 2);
    let between = [b"The first:\n", &one[..], b"\nand the second:\n", other, b"bye\n"].concat();
    assert_eq!(count(&between).unwrap(), 2);
    let gpg = Gpg::new();
    gpg.file("one", one);
    let binary = gpg.run(&["--output", "-", "--dearmor", "one"]);
    assert_eq!(count(&[&binary[..], &binary].concat()).unwrap(), 2);

    assert!(matches!(count(b""), Err(KeyError::NoKey)));
    assert!(matches!(count(b"<html>404</html>"), Err(KeyError::NoKey)));
    assert!(matches!(count(&sign(&ED25519, DATA, day(1))), Err(KeyError::NoKey)));
    assert!(matches!(count(&ED25519.secret), Err(KeyError::Secret(_))));
    assert!(matches!(count(&one[..one.len() / 2]), Err(KeyError::Malformed { .. })));
    let mut tight = limits();
    tight.key_bytes = one.len() as u64 - 1;
    let result = Certificate::read_all(one, &tight);
    assert!(matches!(result, Err(KeyError::TooLarge { .. })));
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let key = locked();
    let signer = Signer::open(&ED25519.secret, None, day(1)).unwrap();
    for text in [format!("{key:?}"), format!("{signer:?}"), format!("{:?}", key.certificate)] {
        assert!(text.len() < 300, "{text}");
    }
}
