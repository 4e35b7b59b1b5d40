//! Mount points, ports and volumes as a command line has them, and JSON paths: what is accepted
//! prints as a text that is read as the same.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use aci::manifest::{MountPoint, Port, Volume};
use aci::{Document, JsonPath};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    prints_the_same::<MountPoint>(text);
    prints_the_same::<Port>(text);
    prints_the_same::<Volume>(text);
    let Some(path) = prints_the_same::<JsonPath>(text) else { return };

    // What is put at a path is there, and can be taken away again.
    let mut document = Document::parse(b"{\"a\": [1, {\"b\": null}], \"c\": {}}").expect("JSON");
    if document.set(&path, " [\"x\"] ").is_ok() {
        assert_eq!(document.value(&path), Some("[\"x\"]"));
        assert_eq!(document.items(&path).len(), 1);
        Document::parse(document.text().as_bytes()).expect("an edited document is one");
        if document.remove(&path).is_ok() {
            Document::parse(document.text().as_bytes()).expect("an edited document is one");
        }
    }
});

fn prints_the_same<T>(text: &str) -> Option<T>
where
    T: FromStr + Display + Debug + PartialEq,
    T::Err: Display,
{
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            match printed.parse::<T>() {
                Ok(again) => assert_eq!(again, value, "printed as {printed:?}"),
                Err(error) => panic!("{value:?} is printed as {printed:?}: {error}"),
            }
            Some(value)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}
