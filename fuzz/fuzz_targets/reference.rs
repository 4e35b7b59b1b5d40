//! A reference that is accepted prints as something that means the same.
#![no_main]

use aci::{Extension, Reference, Template};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        let again: Reference = reference.to_string().parse().expect("what was printed can be read");
        // The version is printed first, wherever it stood.
        assert_eq!(again.name(), reference.name());
        assert_eq!(again.labels().canonical(), reference.labels().canonical());
        for ancestor in reference.name().ancestors() {
            assert!(reference.name().is_under(&ancestor));
        }
        let _ =
            Template::new("https://{name}-{version}.{ext}").render(&reference, Extension::Image);
    }
});
