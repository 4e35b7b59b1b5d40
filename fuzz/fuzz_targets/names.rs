//! Names, versions, times, addresses and digests: what is accepted prints as itself or as something
//! that is read as the same, serde goes through the same door, and grammars of one line agree.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use aci::{
    AcKind, AcName, AcVersion, FileDigest, Identifier, ImageId, Name, Timestamp, Uuid, WebUrl,
};
use libfuzzer_sys::fuzz_target;
use serde::de::DeserializeOwned;
use serde_json::Value;

fuzz_target!(|text: &str| {
    prints_the_same::<AcKind>(text);
    prints_the_same::<Timestamp>(text);
    prints_the_same::<Uuid>(text);
    prints_the_same::<WebUrl>(text);
    through_serde::<AcVersion>(text);
    through_serde::<ImageId>(text);
    through_serde::<FileDigest>(text);

    let words = |text: &str, separator: fn(char) -> bool| {
        let word = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        text.len() <= 512 && text.split(separator).all(word)
    };
    assert_eq!(through_serde::<AcName>(text).is_some(), words(text, |c| c == '-'));
    let single = text.replace("/~", "/");
    let regular = words(&single, |c| "-._~/".contains(c)) && !text.starts_with("/~");
    assert_eq!(through_serde::<Identifier>(text).is_some(), regular && text.len() <= 512);

    if let Some(name) = through_serde::<Name>(text) {
        let mut shorter = usize::MAX;
        for ancestor in name.ancestors() {
            assert!(name.is_under(&ancestor));
            assert!(ancestor.as_str().len() < shorter);
            assert_eq!(ancestor.host(), name.host());
            assert_eq!(ancestor.as_str().parse(), Ok(ancestor.clone()));
            shorter = ancestor.as_str().len();
        }
        assert_eq!(shorter, name.host().len());
    }
    if let Ok(name) = AcName::sanitized(text) {
        assert_eq!(AcName::sanitized(name.as_str()), Ok(name));
    }
    if let Ok(name) = Identifier::sanitized(text) {
        assert_eq!(Identifier::sanitized(name.as_str()), Ok(name));
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

fn through_serde<T>(text: &str) -> Option<T>
where
    T: FromStr + Display + Debug + PartialEq + DeserializeOwned,
    T::Err: Display,
{
    let value = prints_the_same::<T>(text);
    let by_serde = serde_json::from_value::<T>(Value::String(text.to_owned())).ok();
    assert_eq!(by_serde, value, "serde has another door");
    value
}
