//! A pod manifest: reading and checking agree, and what is accepted can be written and read again
//! and is equal.
#![no_main]

use aci::{PodManifest, Severity};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let checked = PodManifest::check(bytes);
    let error = checked.findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(checked.value.is_none(), error);
    let Ok(manifest) = PodManifest::from_json(bytes) else {
        assert!(checked.value.is_none());
        return;
    };
    assert_eq!(checked.value.as_ref(), Some(&manifest));
    let written = manifest.to_json().expect("what was read can be written");
    let again = PodManifest::from_json(&written).expect("what was written can be read");
    assert_eq!(again, manifest);
    assert_eq!(again.to_json().expect("it can be written again"), written);
});
