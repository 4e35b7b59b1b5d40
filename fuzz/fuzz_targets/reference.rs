//! A reference that is accepted prints as something that means the same.
#![no_main]

use aci::{Extension, Reference, Template};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        let again: Reference = reference.to_string().parse().expect("what was printed can be read");
        assert_eq!(again, reference);
        for ancestor in reference.name().ancestors() {
            assert!(reference.name().is_under(&ancestor));
        }
        let _ = Template::new("https://{name}-{version}.{ext}").render(&reference, Extension::Aci);
    }
});
