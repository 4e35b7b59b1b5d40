//! An image manifest: reading and checking agree, what is accepted can be written and read again
//! and is equal, and its text can be edited without changing anything else.
#![no_main]

use aci::{Document, ImageManifest, JsonPath, Severity};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let checked = ImageManifest::check(bytes);
    let read = ImageManifest::from_json(bytes);
    let errors: Vec<_> =
        checked.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert_eq!(checked.value.is_some(), errors.is_empty());
    for finding in &checked.findings {
        assert!(!finding.to_string().is_empty());
    }
    let manifest = match read {
        Ok(manifest) => manifest,
        Err(error) => {
            assert!(checked.value.is_none());
            assert_eq!(error.findings().len(), errors.len());
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(checked.value.as_ref(), Some(&manifest));

    let written = manifest.to_json().expect("what was read can be written");
    let again = ImageManifest::from_json(&written).expect("what was written can be read");
    assert_eq!(again, manifest);
    assert_eq!(again.to_json().expect("it can be written again"), written);

    let mut document = Document::parse(bytes).expect("a manifest is a document");
    assert_eq!(document.text().as_bytes(), bytes);
    let name = JsonPath::default().key("name");
    let before = document.value(&name).expect("it has a name").to_owned();
    document.set(&name, "\"example.com/other\"").expect("the name can be set");
    let edited = ImageManifest::from_json(document.text().as_bytes()).expect("it is a manifest");
    assert_eq!(edited.name.as_str(), "example.com/other");
    document.set(&name, &before).expect("the name can be set back");
    assert_eq!(document.into_bytes(), bytes);
});
