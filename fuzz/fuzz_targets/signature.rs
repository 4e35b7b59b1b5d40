//! No bytes but the key's own signature over this very data are a good signature.
#![no_main]

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use aci::Limits;
use keys::{Algorithm, Certificate, GenerateOptions, Keyring, Liveness, Policy, Scope, Signer};
use libfuzzer_sys::fuzz_target;

/// A key, and a signature of it over other data than is asked about below.
fn fixture() -> &'static (Keyring, Vec<u8>) {
    static FIXTURE: OnceLock<(Keyring, Vec<u8>)> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let options = GenerateOptions {
            user_id: "Fuzz <fuzz@example.com>".into(),
            algorithm: Algorithm::Ed25519,
            expires: None,
            passphrase: None,
            now: now(),
        };
        let generated = keys::generate(&options).expect("a key can be made");
        let signer = Signer::open(&generated.secret, None, now()).expect("the key opens");
        let signature = signer.sign(&b"other data"[..]).expect("it signs");
        let mut keyring = Keyring::default();
        for certificate in Certificate::read_all(&generated.public, &Limits::default())
            .expect("the public key is readable")
        {
            keyring.push(certificate, Scope::Root);
        }
        (keyring, signature)
    })
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fuzz_target!(|bytes: &[u8]| {
    let (keyring, signature) = fixture();
    let policy = Policy::new(now(), Liveness::AtSigning);
    let limits = Limits::default();
    // As a file of its own, and as changes to a signature that is well formed.
    let mut changed = signature.clone();
    for change in bytes.chunks_exact(3) {
        let at = usize::from(change[0]) << 8 | usize::from(change[1]);
        let at = at % changed.len();
        changed[at] ^= change[2];
    }
    for signature in [bytes, &changed] {
        assert!(keys::verify(&b"the data"[..], signature, keyring, &policy, &limits).is_err());
    }
});
