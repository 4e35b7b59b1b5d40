//! A file of keys that is accepted can be written and read again, key by key.
#![no_main]

use std::time::{Duration, SystemTime};

use aci::Limits;
use keys::{Certificate, KeyMaterial, Revocation};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let _ = Revocation::read_all(bytes, &limits);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    for material in KeyMaterial::read_all(bytes, &limits).unwrap_or_default() {
        let KeyMaterial::Secret(key) = material else { continue };
        let _ = (key.parts(now), key.settled(), key.signing_subkeys(&[], now));
        let again = KeyMaterial::read_all(&key.armored().expect("it can be written"), &limits);
        let again = again.expect("what was written can be read");
        assert_eq!(again[0].fingerprint(), key.fingerprint());
    }
    let Ok(certificates) = Certificate::read_all(bytes, &limits) else { return };
    for certificate in certificates {
        let _ = (certificate.expires(now), certificate.revoked(now), certificate.can_sign(now));
        let again = Certificate::read_all(&certificate.armored(), &limits)
            .expect("what was written can be read");
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].fingerprint(), certificate.fingerprint());
    }
});
