//! Discovery URL templates (spec: discovery.md, "Discovery Templates").

use std::fmt;

use crate::reference::Reference;

/// What a template is rendered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// The image: `aci`.
    Image,
    /// Its signature: `aci.asc`.
    Signature,
}

impl Extension {
    /// The text that stands for `{ext}`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "aci",
            Self::Signature => "aci.asc",
        }
    }
}

/// A URL with `{name}`, `{ext}` and label names in braces:
/// `https://example.com/{name}-{version}-{os}-{arch}.{ext}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Template(String);

impl Template {
    /// A template of this text; any text is one.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The URL for `reference`, or `None` where a placeholder has no label.
    ///
    /// A missing or empty `version` becomes `latest`. The text is gone through
    /// once, so a label's value that holds braces is never substituted again,
    /// and a label called `ext` does not displace `{ext}` (in rkt both happen).
    /// In values, what would end a URL path (`?`, `#`, blanks, `%`, quotes and
    /// what is not ASCII) is percent-encoded; the rest stands as it is.
    pub fn render(&self, reference: &Reference, extension: Extension) -> Option<String> {
        let mut url = String::new();
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            url.push_str(before);
            let Some((placeholder, after)) = after.split_once('}') else {
                // No closing brace follows: nothing is left to replace.
                url.push('{');
                rest = after;
                break;
            };
            match placeholder {
                "name" => url.push_str(reference.name().as_str()),
                "ext" => url.push_str(extension.as_str()),
                "version" => {
                    let version = reference.labels().value("version").unwrap_or_default();
                    encode(if version.is_empty() { "latest" } else { version }, &mut url);
                }
                label => encode(reference.labels().value(label)?, &mut url),
            }
            rest = after;
        }
        url.push_str(rest);
        Some(url)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn encode(value: &str, url: &mut String) {
    for byte in value.bytes() {
        let plain = byte.is_ascii_graphic() && !b"%?#\"<>\\^`{|}".contains(&byte);
        if plain {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, reference: &str) -> Option<String> {
        Template::new(template).render(&reference.parse().unwrap(), Extension::Image)
    }

    #[test]
    fn template_fills_every_placeholder_or_is_skipped() {
        let template = "https://s/{name}-{version}-{os}-{arch}.{ext}";
        assert_eq!(
            render(template, "example.com/a:1,os=linux,arch=amd64").as_deref(),
            Some("https://s/example.com/a-1-linux-amd64.aci")
        );
        assert_eq!(render(template, "example.com/a:1"), None);
        assert_eq!(render("https://s/{Name}.{ext}", "example.com/a"), None);
        assert_eq!(render("https://s/name}.{ext}", "a").as_deref(), Some("https://s/name}.aci"));
    }

    #[test]
    fn template_without_version_asks_for_latest() {
        let template = "https://s/{name}/{version}.{ext}";
        assert_eq!(render(template, "a").as_deref(), Some("https://s/a/latest.aci"));
        assert_eq!(render(template, "a:").as_deref(), Some("https://s/a/latest.aci"));
        assert_eq!(
            Template::new(template)
                .render(&"a:2".parse().unwrap(), Extension::Signature)
                .as_deref(),
            Some("https://s/a/2.aci.asc")
        );
    }

    #[test]
    fn template_values_are_never_substituted_again() {
        assert_eq!(
            render("https://s/{a}.{ext}", "n,a={b},b=x,ext=evil").as_deref(),
            Some("https://s/%7Bb%7D.aci")
        );
    }
}
