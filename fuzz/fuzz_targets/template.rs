//! A template, a line, and the reference it is rendered for: each placeholder is replaced once,
//! values stay values, and nothing is left in braces that could have been replaced.
#![no_main]

use aci::{Extension, Reference, Template};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (template, reference) = text.split_once('\n').unwrap_or((text, "example.com/hello"));
    let Ok(reference) = reference.parse::<Reference>() else { return };
    let rendered = Template::new(template).render(&reference, Extension::Image);
    assert_eq!(Template::new(template).to_string(), template);

    // Only `{ext}` tells an image's address from its signature's.
    let signature = Template::new(template).render(&reference, Extension::Signature);
    assert_eq!(rendered.is_some(), signature.is_some());
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
        assert_eq!(rendered, wanted.map(|rest| literal + &rest));
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
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"!$&'()*+,-./:;=@[]_~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    Some(value.bytes().map(encode).collect())
}
