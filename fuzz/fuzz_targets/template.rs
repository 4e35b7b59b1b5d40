//! A template, a line, and the reference it is rendered for: each placeholder is replaced once,
//! values stay values, and nothing is left in braces that could have been replaced.
#![no_main]

use aci::{Extension, Reference, Template, TemplateError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (template, reference) = text.split_once('\n').unwrap_or((text, "example.com/hello"));
    let Ok(reference) = reference.parse::<Reference>() else { return };
    let rendered = Template::new(template).render(&reference, Extension::Image);
    assert_eq!(Template::new(template).to_string(), template);

    // Only `{ext}` tells an image's address from its signature's.
    let signature = Template::new(template).render(&reference, Extension::Signature);
    assert_eq!(rendered.is_ok(), signature.is_ok());
    if !template.contains("{ext}") {
        assert_eq!(rendered, signature);
    }

    // The same by cutting the template at its braces, each part on its own.
    let part = |part: &str| match part.split_once('}') {
        Some((placeholder, after)) => Some(value(placeholder, &reference)? + after),
        None => Some(format!("{{{part}")),
    };
    let mut parts = template.split('{');
    let literal = parts.next().unwrap_or_default().to_owned();
    // A brace in a placeholder makes it one that no label has; cutting there would be wrong.
    if template.split('{').skip(1).all(|part| part.contains('}')) {
        let wanted: Option<String> = parts.map(part).collect();
        let wanted = wanted.map(|rest| decoded(&(literal + &rest)));
        match rendered {
            Ok(url) => assert_eq!(Some(decoded(&url)), wanted),
            Err(TemplateError::Label { .. }) => assert_eq!(wanted, None),
            Err(TemplateError::DotSegment(_)) => assert!(wanted.is_some()),
        }
    }
});

fn value(placeholder: &str, reference: &Reference) -> Option<String> {
    let label = reference.labels().value(placeholder);
    let value = match placeholder {
        "name" => reference.name().as_str(),
        "ext" => "aci",
        "version" => label.filter(|version| !version.is_empty()).unwrap_or("latest"),
        _ => label?,
    };
    let encode = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    Some(value.bytes().map(encode).collect())
}

/// Which characters are escaped depends on where they stand; what they say does not.
fn decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let byte = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = byte.filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match byte.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}
