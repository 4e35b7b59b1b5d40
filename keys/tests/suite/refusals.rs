//! Signatures no tool would make, and trust that does not reach.

use std::time::SystemTime;

use keys::{
    Certificate, Fingerprint, Keyring, Liveness, Policy, Scope, SignatureFormatError, VerifyError,
};
use openpgp::Cert;
use openpgp::cert::{CertBuilder, CipherSuite};
use openpgp::crypto::KeyPair;
use openpgp::packet::Packet;
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::signature::subpacket::{Subpacket, SubpacketTag, SubpacketValue};
use openpgp::parse::Parse;
use openpgp::serialize::SerializeInto;
use openpgp::types::{HashAlgorithm, KeyFlags, SignatureType};
use sequoia_openpgp as openpgp;

use crate::support::*;

/// A key with which everything can be signed.
fn forge(flags: KeyFlags) -> (KeyPair, Vec<u8>) {
    let (cert, _) = CertBuilder::new()
        .set_cipher_suite(CipherSuite::Cv25519)
        .set_creation_time(january())
        .set_primary_key_flags(flags)
        .add_userid("forger")
        .generate()
        .unwrap();
    let key = cert.primary_key().key().clone().parts_into_secret().unwrap();
    (key.into_keypair().unwrap(), cert.armored().to_vec().unwrap())
}

fn signing() -> KeyFlags {
    KeyFlags::empty().set_certification().set_signing()
}

/// A binary signature over [`DATA`], changed by `change` before it is signed.
fn forged(
    pair: &mut KeyPair,
    hash: HashAlgorithm,
    change: impl FnOnce(SignatureBuilder) -> openpgp::Result<SignatureBuilder>,
) -> Vec<u8> {
    let mut context = hash.context().unwrap().for_signature(4);
    context.update(DATA);
    let builder = SignatureBuilder::new(SignatureType::Binary)
        .set_signature_creation_time(day(1))
        .and_then(change)
        .unwrap();
    Packet::from(builder.sign_hash(pair, context).unwrap()).to_vec().unwrap()
}

fn judge(signature: &[u8], public: &[u8]) -> Result<keys::GoodSignature, VerifyError> {
    verify(DATA, signature, public, day(2), Liveness::AtSigning)
}

#[test]
fn forged_signature_without_a_fault_is_accepted() {
    let (mut pair, public) = forge(signing());
    judge(&forged(&mut pair, HashAlgorithm::SHA512, Ok), &public).unwrap();
}

#[test]
fn key_without_the_signing_flag_is_refused() {
    for flags in [
        KeyFlags::empty().set_certification(),
        KeyFlags::empty().set_certification().set_authentication(),
        KeyFlags::empty().set_certification().set_transport_encryption(),
    ] {
        let (mut pair, public) = forge(flags);
        let signature = forged(&mut pair, HashAlgorithm::SHA512, Ok);
        assert_eq!(code(judge(&signature, &public)), "key-not-for-signing");
    }
}

#[test]
fn md5_and_sha1_are_refused() {
    let (mut pair, public) = forge(signing());
    for hash in [HashAlgorithm::MD5, HashAlgorithm::SHA1, HashAlgorithm::RipeMD] {
        if hash.is_supported() {
            let signature = forged(&mut pair, hash, Ok);
            assert_eq!(code(judge(&signature, &public)), "weak-hash", "{hash}");
        }
    }
}

#[test]
fn signature_made_before_its_key_or_past_its_own_expiry_is_refused() {
    let (mut pair, public) = forge(signing());
    let before = forged(&mut pair, HashAlgorithm::SHA512, |b| {
        b.set_signature_creation_time(january() - DAY)
    });
    assert_eq!(code(judge(&before, &public)), "signature-before-key");
    // Clocks may differ, by ten minutes and no more.
    for (seconds, taken) in [(600, true), (601, false)] {
        let ahead = forged(&mut pair, HashAlgorithm::SHA512, |b| {
            b.set_signature_creation_time(january() - std::time::Duration::from_secs(seconds))
        });
        assert_eq!(judge(&ahead, &public).is_ok(), taken, "{seconds}");
    }
    let expired =
        forged(&mut pair, HashAlgorithm::SHA512, |b| b.set_signature_validity_period(DAY / 2));
    assert_eq!(code(judge(&expired, &public)), "signature-expired");
    let timeless =
        forged(&mut pair, HashAlgorithm::SHA512, |b| b.suppress_signature_creation_time());
    assert_eq!(code(judge(&timeless, &public)), "signature-malformed");
}

#[test]
fn signature_of_another_type_is_refused() {
    let (mut pair, public) = forge(signing());
    for kind in
        [SignatureType::Text, SignatureType::Standalone, SignatureType::GenericCertification]
    {
        let signature = forged(&mut pair, HashAlgorithm::SHA512, |b| Ok(b.set_type(kind)));
        assert_eq!(code(judge(&signature, &public)), "signature-malformed");
    }
}

#[test]
fn signature_with_a_critical_part_nobody_knows_is_refused() {
    let (mut pair, public) = forge(signing());
    let unknown = SubpacketValue::Unknown { tag: SubpacketTag::Private(101), body: vec![1] };
    let signature = |critical| {
        let subpacket = Subpacket::new(unknown.clone(), critical).unwrap();
        let (mut pair, _) = (pair.clone(), ());
        forged(&mut pair, HashAlgorithm::SHA512, |b| {
            b.modify_hashed_area(|mut area| {
                area.add(subpacket)?;
                Ok(area)
            })
        })
    };
    judge(&signature(false), &public).unwrap();
    assert_eq!(code(judge(&signature(true), &public)), "signature-unsupported");
    let notation = forged(&mut pair, HashAlgorithm::SHA512, |b| {
        b.set_notation("must@example.com", b"be understood", None, true)
    });
    assert_eq!(code(judge(&notation, &public)), "signature-unsupported");
}

#[test]
fn unsigned_parts_of_a_signature_are_refused_but_for_the_issuer() {
    let (mut pair, public) = forge(signing());
    let (other, _) = forge(signing());
    let plain = forged(&mut pair, HashAlgorithm::SHA512, Ok);
    let with = |value: SubpacketValue| {
        let Packet::Signature(mut signature) = Packet::from_bytes(&plain).unwrap() else {
            panic!("a signature")
        };
        signature.unhashed_area_mut().add(Subpacket::new(value, false).unwrap()).unwrap();
        Packet::from(signature).to_vec().unwrap()
    };
    judge(&with(SubpacketValue::Issuer(pair.public().keyid())), &public).unwrap();
    let foreign = with(SubpacketValue::Issuer(other.public().keyid()));
    assert!(matches!(judge(&foreign, &public), Err(VerifyError::IssuerMismatch { .. })));
    let policy = with(SubpacketValue::PolicyURI(b"https://example.com".to_vec()));
    assert_eq!(code(judge(&policy, &public)), "signature-malformed");
}

/// A packet with a header of another form, and with something after what was signed.
#[test]
fn signature_packet_with_something_behind_it_is_refused() {
    let (mut pair, public) = forge(signing());
    let plain = forged(&mut pair, HashAlgorithm::SHA512, Ok);
    let header = if plain[1] < 192 { 2 } else { 3 };
    let with = |more: &[u8]| {
        let body = [&plain[header..], more].concat();
        [&[0xc2, 0xff][..], &(body.len() as u32).to_be_bytes(), &body].concat()
    };
    judge(&with(b""), &public).unwrap();
    for more in [&b"\0"[..], b"x", b"\0\x01\x01"] {
        assert_eq!(code(judge(&with(more), &public)), "signature-malformed");
    }
}

#[test]
fn files_that_are_no_signature_are_refused() {
    let key = &*ED25519;
    let good = sign(key, DATA, day(1));
    let judge = |file: &[u8]| judge(file, &key.public);
    for file in [&b""[..], b"\n", b"<html>not found</html>", b"-----BEGIN", &[0x88], &[0xc2; 64]] {
        assert_eq!(code(judge(file)), "signature-malformed", "{file:?}");
    }
    let text = String::from_utf8(good.clone()).unwrap();
    for (was, is) in [
        ("-----BEGIN", "see below\n-----BEGIN"),
        ("-----\n\n", "-----\nX-Unknown: 1\n\n"),
        ("\n=", "\n=AAAA\n="),
        ("SIGNATURE-----\n", "SIGNATURE-----\nand more\n"),
    ] {
        assert!(text.contains(was));
        assert_eq!(code(judge(text.replacen(was, is, 1).as_bytes())), "signature-malformed");
    }
    // Empty lines around it are harmless.
    judge(format!("\n\r\n{text}\n\n").as_bytes()).unwrap();

    let mut tight = limits();
    tight.signature_bytes = good.len() as u64 - 1;
    let policy = Policy::new(day(2), Liveness::AtSigning);
    let result = keys::verify(DATA, &good, &trusting(&key.public), &policy, &tight);
    assert_eq!(code(result), "signature-too-large");
    let result = judge(&good.repeat(17));
    assert!(matches!(result, Err(VerifyError::Format(SignatureFormatError::TooMany))));
}

#[test]
fn signature_of_another_file_or_another_key_is_refused() {
    let key = &*ED25519;
    let signature = sign(key, b"another image", day(1));
    assert_eq!(code(judge(&signature, &key.public)), "signature-invalid");
    let error = judge(&sign(key, DATA, day(1)), &OTHER.public).unwrap_err();
    let VerifyError::SignerNotTrusted { issuer, wanted, .. } = &error else { panic!("{error}") };
    assert_eq!(*issuer, key.fingerprint.to_string());
    assert_eq!(wanted[..], [OTHER.fingerprint]);
    assert_eq!(code(judge(&sign(key, DATA, day(1)), &OTHER.public)), "signer-not-trusted");
}

#[test]
fn one_good_signature_of_several_suffices() {
    let (one, other) = (&*ED25519, &*OTHER);
    let both = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    let (good, bad) = (sign(one, DATA, day(1)), sign(one, b"other", day(1)));
    let foreign = sign(other, DATA, day(1));
    for file in [
        both(bad.clone(), good.clone()),
        both(good.clone(), bad.clone()),
        both(foreign.clone(), good.clone()),
    ] {
        judge(&file, &one.public).unwrap();
    }
    // The reason of the one that got furthest is told.
    assert_eq!(code(judge(&both(bad.clone(), foreign.clone()), &one.public)), "signature-invalid");
    assert_eq!(code(judge(&both(foreign, bad), &one.public)), "signature-invalid");
}

#[test]
fn signer_is_checked_before_the_image() {
    let (one, other) = (&*ED25519, &*OTHER);
    let certificate = |key: &keys::Generated| key.certificate.clone();
    let mut keyring = Keyring::default();
    keyring.push(certificate(one), Scope::Prefix("example.com/team".parse().unwrap()));
    keyring.push(certificate(other), Scope::Prefix("example.com/other".parse().unwrap()));
    let policy = Policy::new(day(2), Liveness::AtSigning);
    let check = |key, name: Option<&str>| {
        let name = name.map(|name| name.parse().unwrap());
        keyring.check_signer(&sign(key, DATA, day(1)), name.as_ref(), &policy, &limits())
    };
    check(one, None).unwrap();
    check(one, Some("example.com/team/hello")).unwrap();
    assert_eq!(code(check(&RSA, None)), "signer-not-trusted");
    assert_eq!(code(check(&RSA, Some("example.com/team/hello"))), "signer-not-trusted");
    assert_eq!(code(check(one, Some("example.com/teamster"))), "signer-wrong-prefix");
    let error = check(other, Some("example.com/team/hello")).unwrap_err();
    let VerifyError::SignerWrongPrefix { by, trusted_for, wanted, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(by.signer, other.fingerprint);
    assert_eq!(trusted_for[..], [Scope::Prefix("example.com/other".parse().unwrap())]);
    assert_eq!(wanted[..], [one.fingerprint]);
    let refusal = aci::Refuse::refusal(&error);
    assert!(refusal.wanted.contains(&one.fingerprint.to_string()), "{refusal}");
    assert!(refusal.found.contains(&other.fingerprint.to_string()), "{refusal}");
    assert_eq!(
        code(Keyring::default().check_signer(&sign(one, DATA, day(1)), None, &policy, &limits())),
        "signer-not-trusted"
    );
}

/// A certificate to which somebody glued a subkey that the primary key never signed.
#[test]
fn subkey_that_is_not_bound_is_refused() {
    let (mut thief, thief_public) = forge(signing());
    let victim = Cert::from_bytes(&ED25519.public).unwrap();
    let stolen = Cert::from_bytes(&thief_public).unwrap();
    let subkey = stolen.primary_key().key().clone().role_into_subordinate();
    let (glued, _) = victim.insert_packets(vec![Packet::from(subkey)]).unwrap();
    let signature = forged(&mut thief, HashAlgorithm::SHA512, Ok);
    let result = judge(&signature, &glued.armored().to_vec().unwrap());
    assert!(result.is_err());
    let code = code(result);
    assert!(["key-unusable", "signer-not-trusted"].contains(&code.as_str()), "{code}");
}

#[test]
fn reading_stops_where_the_data_breaks() {
    struct Broken(usize);
    impl std::io::Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(std::io::ErrorKind::Interrupted.into()),
                2 => {
                    buffer[..DATA.len()].copy_from_slice(DATA);
                    Ok(DATA.len())
                }
                _ => Err(std::io::Error::other("the cable")),
            }
        }
    }
    let policy = Policy::new(day(2), Liveness::AtSigning);
    let keyring = trusting(&ED25519.public);
    let signature = sign(&ED25519, DATA, day(1));
    let result = keys::verify(Broken(0), &signature, &keyring, &policy, &limits());
    assert!(matches!(result, Err(VerifyError::Read(_))));
}

#[test]
fn user_ids_cannot_steer_a_terminal() {
    let (cert, _) = CertBuilder::new()
        .set_creation_time(january())
        .add_userid("a\u{1b}[2J\u{202e}b\n")
        .generate()
        .unwrap();
    let public = cert.armored().to_vec().unwrap();
    let all = Certificate::read_all(&public, &limits()).unwrap();
    assert_eq!(all[0].user_ids(), ["a\u{fffd}[2J\u{fffd}b\u{fffd}"]);
    let _: Fingerprint = *all[0].fingerprint();
    assert!(all[0].created() <= SystemTime::now());
}
