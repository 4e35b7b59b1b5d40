//! More than one signer: demanded by the policy of the trusted keys, enforced by the one
//! verification.

use std::fs;
use std::io;

use aci::archive::Compression;
use keys::{
    Algorithm, Certificate, Generated, Keyring, Liveness, Policy, PrefixPolicy, ReceiveError,
    Scope, TrustStore, VerifiedImage, VerifyError,
};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::parse::Parse;
use openpgp::serialize::MarshalInto;
use openpgp::types::{HashAlgorithm, KeyFlags, SignatureType};
use openpgp::{Cert, Packet};
use sequoia_openpgp as openpgp;

use crate::receive::image;
use crate::support::*;

const NAME: &str = "example.com/team/hello";

/// A store in which three keys may sign for `example.com`, two of them for all of it.
struct World {
    store: TrustStore,
    folder: tempfile::TempDir,
    ann: Generated,
    bob: Generated,
    elsewhere: Generated,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = TrustStore::open(&folder.path().join("trust"));
        let key = || generated(Algorithm::Ed25519, january());
        let world = Self { store, folder, ann: key(), bob: key(), elsewhere: key() };
        world.trust(&world.ann, "example.com");
        world.trust(&world.bob, "example.com/team");
        world.trust(&world.elsewhere, "example.com/other");
        world
    }

    fn trust(&self, key: &Generated, prefix: &str) {
        let scope = Scope::Prefix(prefix.parse().unwrap());
        self.store.add(&scope, &key.certificate, &limits()).unwrap();
    }

    fn demand(&self, prefix: &str, threshold: u8) {
        let policy =
            PrefixPolicy { threshold: Some(threshold.try_into().unwrap()), ..Default::default() };
        self.store.set_policy(&prefix.parse().unwrap(), &policy).unwrap();
    }

    fn keyring(&self) -> Keyring {
        self.store.keyring(&limits()).unwrap().0
    }

    fn receive(&self, signers: &[&Generated]) -> Result<VerifiedImage, ReceiveError> {
        let (file, _) = image(NAME, b"hello", Compression::Gzip);
        let signature: Vec<u8> =
            signers.iter().flat_map(|signer| sign(signer, &file, day(1))).collect();
        let policy = Policy::new(day(2), Liveness::AtSigning);
        let early = self.keyring().check_signer(
            &signature,
            Some(&NAME.parse().unwrap()),
            &policy,
            &limits(),
        );
        let received =
            keys::receive(&file[..], io::sink(), &signature, &self.keyring(), &policy, &limits());
        // What can be told before the image is read is told then.
        assert_eq!(early.is_ok(), received.is_ok(), "{early:?} {received:?}");
        received
    }
}

#[test]
fn threshold_demands_different_primary_keys() {
    let world = World::new();
    let World { ann, bob, elsewhere, .. } = &world;
    world.receive(&[ann]).unwrap();
    world.demand("example.com", 2);
    for few in [&[ann][..], &[bob], &[ann, ann], &[ann, elsewhere], &[ann, &RSA]] {
        assert_eq!(code(world.receive(few)), "too-few-signers");
    }
    let both = world.receive(&[bob, ann]).unwrap();
    assert_eq!(*both.signature().signer(), bob.fingerprint);
    let signers: Vec<_> = both.signatures().map(|good| *good.signer()).collect();
    assert_eq!(signers, [bob.fingerprint, ann.fingerprint]);
    world.receive(&[elsewhere, ann, &RSA, bob]).unwrap();
}

#[test]
fn threshold_refusal_says_who_signed_and_who_is_missing() {
    let world = World::new();
    world.demand("example.com/team", 3);
    let error = world.receive(&[&world.ann, &RSA]).unwrap_err();
    let ReceiveError::Verify(VerifyError::TooFewSigners(few)) = &error else { panic!("{error}") };
    assert_eq!(few.signers.len(), 1);
    assert_eq!(few.missing, [world.bob.fingerprint]);
    let refusal = aci::Refuse::refusal(&error);
    assert!(refusal.found.contains(&world.ann.fingerprint.to_string()), "{refusal}");
    assert!(refusal.found.contains(&RSA.fingerprint.to_string()), "{refusal}");
    assert!(refusal.wanted.contains("2 more"), "{refusal}");
    assert!(refusal.wanted.contains(&world.bob.fingerprint.to_string()), "{refusal}");
    assert!(refusal.next.contains("policy.toml"), "{refusal}");
}

#[test]
fn threshold_is_decided_by_the_longest_prefix() {
    let world = World::new();
    world.demand("example.com", 2);
    world.demand("example.com/team", 1);
    world.receive(&[&world.ann]).unwrap();
    world.demand("example.com/team/hello", 2);
    assert_eq!(code(world.receive(&[&world.ann])), "too-few-signers");
    // Whole segments, as everywhere.
    world.demand("example.com/team/hello", 1);
    world.demand("example.com/team/hell", 2);
    world.receive(&[&world.ann]).unwrap();
}

#[test]
fn threshold_counts_no_signature_over_other_bytes() {
    let world = World::new();
    world.demand("example.com", 2);
    let (file, _) = image(NAME, b"hello", Compression::Gzip);
    let (other, _) = image(NAME, b"other", Compression::Gzip);
    let signature = [sign(&world.ann, &file, day(1)), sign(&world.bob, &other, day(1))].concat();
    let policy = Policy::new(day(2), Liveness::AtSigning);
    let keyring = world.keyring();
    // Both may sign; whether they did is known at the end alone.
    let name = NAME.parse().unwrap();
    keyring.check_signer(&signature, Some(&name), &policy, &limits()).unwrap();
    let received = keys::receive(&file[..], io::sink(), &signature, &keyring, &policy, &limits());
    assert_eq!(code(received), "too-few-signers");
}

/// A subkey that two owners have bound to their keys makes signatures that belong to both.
#[test]
fn threshold_counts_a_shared_subkey_once() {
    let world = World::new();
    world.demand("example.com", 2);
    let secret = |key: &Generated| Cert::from_bytes(&key.secret).unwrap();
    let shared = secret(&generated(Algorithm::Ed25519, january())).primary_key().key().clone();
    let subkey = shared.role_into_subordinate().parts_into_secret().unwrap();
    let mut maker = subkey.clone().into_keypair().unwrap();
    for owner in [&world.ann, &world.bob] {
        let cert = secret(owner);
        let primary = cert.primary_key().key().clone().parts_into_secret().unwrap();
        let back = SignatureBuilder::new(SignatureType::PrimaryKeyBinding)
            .set_signature_creation_time(january())
            .unwrap()
            .sign_primary_key_binding(&mut maker, &primary, &subkey)
            .unwrap();
        let binding = SignatureBuilder::new(SignatureType::SubkeyBinding)
            .set_signature_creation_time(january())
            .unwrap()
            .set_key_flags(KeyFlags::empty().set_signing())
            .unwrap()
            .set_embedded_signature(back)
            .unwrap()
            .sign_subkey_binding(&mut primary.into_keypair().unwrap(), None, &subkey)
            .unwrap();
        let public = Packet::from(subkey.clone().take_secret().0);
        let bound = cert.strip_secret_key_material();
        let (bound, _) = bound.insert_packets([public, Packet::from(binding)]).unwrap();
        let bytes = bound.armored().to_vec().unwrap();
        let certificate = Certificate::read_all(&bytes, &limits()).unwrap().remove(0);
        let scope = Scope::Prefix("example.com".parse().unwrap());
        world.store.add(&scope, &certificate, &limits()).unwrap();
    }
    let (file, _) = image(NAME, b"hello", Compression::Gzip);
    let mut context = HashAlgorithm::SHA512.context().unwrap().for_signature(4);
    context.update(&file);
    let signature = SignatureBuilder::new(SignatureType::Binary)
        .set_signature_creation_time(day(1))
        .unwrap()
        .sign_hash(&mut maker, context)
        .unwrap();
    let signature = Packet::from(signature).to_vec().unwrap();
    let receive = || {
        let policy = Policy::new(day(2), Liveness::AtSigning);
        keys::receive(&file[..], io::sink(), &signature, &world.keyring(), &policy, &limits())
    };
    assert_eq!(code(receive()), "too-few-signers");
    world.demand("example.com", 1);
    assert_eq!(receive().unwrap().signatures().count(), 2);
}

#[test]
fn policy_that_is_not_understood_is_not_passed_over() {
    let world = World::new();
    let path = world.folder.path().join("trust/policy.toml");
    for text in [
        "[prefix.\"example.com\"]\nthreshhold = 2\n",
        "[prefix.\"example.com\"]\nthreshold = 0\n",
        "[prefix.\"example.com\"]\nthreshold = 17\n",
        "[prefix.\"Example.com\"]\nthreshold = 2\n",
        "[prefix.\"example.com\"]\nrefresh = \"often\"\n",
        "[prefixes.\"example.com\"]\nthreshold = 2\n",
        "threshold",
    ] {
        fs::write(&path, text).unwrap();
        let error = world.store.keyring(&limits()).map(drop);
        assert_eq!(code(error), "policy-invalid", "{text}");
        assert!(world.store.set_policy(&NAME.parse().unwrap(), &PrefixPolicy::default()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    fs::write(&path, "").unwrap();
    world.store.keyring(&limits()).unwrap();
}

#[test]
fn policy_is_set_bit_by_bit_and_taken_back() {
    let world = World::new();
    let prefix = "example.com/team".parse().unwrap();
    assert!(!world.store.unset_policy(&prefix).unwrap());
    world.demand("example.com/team", 2);
    let pinned = PrefixPolicy { pinned: Some(true), ..Default::default() };
    let (now, path) = world.store.set_policy(&prefix, &pinned).unwrap();
    assert_eq!((now.threshold, now.pinned), (Some(2.try_into().unwrap()), Some(true)));
    assert!(fs::read_to_string(path).unwrap().contains("[prefix.\"example.com/team\"]"));
    assert!(world.store.policies().unwrap().pinned(&NAME.parse().unwrap()).value);
    assert!(world.store.unset_policy(&prefix).unwrap());
    assert!(!world.store.unset_policy(&prefix).unwrap());
    world.receive(&[&world.ann]).unwrap();
}
