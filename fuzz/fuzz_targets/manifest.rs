//! An image manifest that is accepted can be written and read again, and says the same.
#![no_main]

use aci::ImageManifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = ImageManifest::from_json(bytes) {
        let written = manifest.to_json().expect("what was read can be written");
        let again = ImageManifest::from_json(&written).expect("what was written can be read");
        assert_eq!(again.to_json().expect("it can be written again"), written);
    }
});
