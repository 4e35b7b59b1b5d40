//! A file of keys that is accepted can be written and read again, key by key.
#![no_main]

use std::time::{Duration, SystemTime};

use aci::Limits;
use keys::Certificate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let Ok(certificates) = Certificate::read_all(bytes, &limits) else { return };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    for certificate in certificates {
        let _ = (certificate.expires(now), certificate.revoked(now), certificate.can_sign(now));
        let again = Certificate::read_all(&certificate.armored(), &limits)
            .expect("what was written can be read");
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].fingerprint(), certificate.fingerprint());
    }
});
