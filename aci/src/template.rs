//! Discovery URL templates (spec: discovery.md, "Discovery Templates").

use std::fmt;
use std::ops::Range;

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

/// Why a template gives no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A placeholder has no label.
    #[error("{template} needs a label that was not given: {label}")]
    Label {
        /// The template.
        template: Template,
        /// What stands in the braces.
        label: String,
    },
    /// With these labels it would be another URL than it says.
    #[error(
        "{0} would lead elsewhere: a label's value makes a segment of its path \".\" or \"..\"; \
         fetch such an image by a URL with its ID"
    )]
    DotSegment(Template),
}

/// Where a value goes: what it may not hold differs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    /// The scheme, the host or the query.
    Elsewhere,
}

/// A template that was filled.
struct Filled {
    url: String,
    /// Where values stand in it.
    values: Vec<Range<usize>>,
}

impl Template {
    /// A template of this text; any text is one.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The URL for `reference`.
    ///
    /// A missing or empty `version` becomes `latest`. The text is gone through
    /// once, so a label's value that holds braces is never substituted again,
    /// and a label called `ext` does not displace `{ext}` (in rkt both happen).
    /// In values, what would end a URL path (`?`, `#`, blanks, `%`, quotes and
    /// what is not ASCII) is percent-encoded; the rest stands as it is.
    ///
    /// A value is no more than text of the place it stands in. In a host and in a query it
    /// is percent-encoded but for letters, digits and `-._~`. In a path, where it would make a
    /// segment `.` or `..`, which readers of URLs resolve, there is no URL: with its slashes
    /// encoded it would be resolved by servers that decode first.
    pub fn render(
        &self,
        reference: &Reference,
        extension: Extension,
    ) -> Result<String, TemplateError> {
        let filled = self.fill(reference, extension)?;
        if filled.has_dot_segment_of_value() {
            return Err(TemplateError::DotSegment(self.clone()));
        }
        Ok(filled.url)
    }

    fn fill(&self, reference: &Reference, extension: Extension) -> Result<Filled, TemplateError> {
        let (mut url, mut values) = (String::new(), Vec::new());
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
                label => {
                    let value = value(reference, label).ok_or_else(|| TemplateError::Label {
                        template: self.clone(),
                        label: label.to_owned(),
                    })?;
                    let begin = url.len();
                    encode(value, place(&url), &mut url);
                    values.push(begin..url.len());
                }
            }
            rest = after;
        }
        url.push_str(rest);
        Ok(Filled { url, values })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Filled {
    /// Whether a value, or a slash of it, has a part in a segment that readers of URLs
    /// resolve: the URL would be another one than the template says.
    fn has_dot_segment_of_value(&self) -> bool {
        // Readers of URLs drop blanks and control characters at the end.
        let url = self.url.trim_end_matches(|c: char| c <= ' ');
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let mut begin = 0;
        path.split(['/', '\\']).any(|segment| {
            let end = begin + segment.len();
            let touched = self.values.iter().any(|at| at.start <= end && at.end >= begin);
            begin = end + 1;
            touched && is_dot_segment(segment)
        })
    }
}

/// What stands for a label. Where no version was asked for, it is `latest`.
fn value<'a>(reference: &'a Reference, label: &str) -> Option<&'a str> {
    let value = reference.labels().value(label);
    match label {
        "version" => value.filter(|version| !version.is_empty()).or(Some("latest")),
        _ => value,
    }
}

/// What readers of URLs drop wherever it stands.
const DROPPED: [char; 3] = ['\t', '\r', '\n'];

/// What the URL standard calls a single-dot or double-dot path segment.
fn is_dot_segment(segment: &str) -> bool {
    let dots = segment.replace(DROPPED, "").to_ascii_lowercase().replace("%2e", ".");
    matches!(dots.as_str(), "." | "..")
}

/// Where in a URL its end is.
fn place(url: &str) -> Place {
    let url = url.replace(DROPPED, "");
    let after_host = match url.split_once(':') {
        Some((scheme, rest)) if !scheme.contains('/') => rest.trim_start_matches(['/', '\\']),
        _ => &url,
    };
    let in_path = after_host.contains(['/', '\\']) && !url.contains(['?', '#']);
    if in_path { Place::Path } else { Place::Elsewhere }
}

fn encode(value: &str, place: Place, url: &mut String) {
    for byte in value.bytes() {
        let plain = match byte {
            _ if place == Place::Path => {
                byte.is_ascii_graphic() && !b"%?#\"<>\\^`{|}".contains(&byte)
            }
            _ => byte.is_ascii_alphanumeric() || b"-._~".contains(&byte),
        };
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
        Template::new(template).render(&reference.parse().unwrap(), Extension::Image).ok()
    }

    fn with_labels(template: &str, labels: &[(&str, &str)]) -> Result<String, TemplateError> {
        let label = |(name, value): &(&str, &str)| crate::Label {
            name: name.parse().unwrap(),
            value: (*value).to_owned(),
        };
        let labels: Vec<_> = labels.iter().map(label).collect();
        let reference =
            Reference::new("example.com/a".parse().unwrap(), labels.try_into().unwrap());
        Template::new(template).render(&reference, Extension::Image)
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
            Ok("https://s/a/2.aci.asc")
        );
    }

    #[test]
    fn template_values_are_never_substituted_again() {
        assert_eq!(
            render("https://s/{a}.{ext}", "n,a={b},b=x,ext=evil").as_deref(),
            Some("https://s/%7Bb%7D.aci")
        );
    }
    #[test]
    fn template_says_which_label_it_lacks() {
        let error = with_labels("https://s/{channel}.{ext}", &[]).unwrap_err();
        assert!(matches!(&error, TemplateError::Label { label, .. } if label == "channel"));
        assert!(error.to_string().ends_with("needs a label that was not given: channel"));
    }

    /// The path as a reader of URLs has it, where it has as many segments as were written.
    fn path_of(text: &str) -> String {
        let url = url::Url::parse(text).unwrap();
        assert_eq!(url.host_str(), Some("s"), "{text}");
        let written = text.split_once("://s").unwrap().1;
        assert_eq!(url.path().matches('/').count(), written.matches('/').count(), "{text}");
        url.path().to_owned()
    }

    #[test]
    fn template_values_with_dot_segments_lead_nowhere_else() {
        let path = |template: &str, version: &str| {
            path_of(&with_labels(template, &[("version", version)]).unwrap())
        };
        let usual = "https://s/-/images/{name}:{version},os=linux.{ext}";
        let begin = "/-/images/example.com/a:";
        assert_eq!(path(usual, "1/2"), format!("{begin}1/2,os=linux.aci"));
        for harmless in ["..", "../", "1/..", "1/.x", "1/..."] {
            assert_eq!(path(usual, harmless), format!("{begin}{harmless},os=linux.aci"));
        }
        // A template may climb by itself.
        assert_eq!(
            with_labels("https://s/b/../{version}.{ext}", &[("version", "1/2")]).as_deref(),
            Ok("https://s/b/../1/2.aci")
        );
        for (text, written) in [
            ("1/%2e%2E/2", "1/%252e%252E/2"),
            ("1\\..\\2", "1%5C..%5C2"),
            ("1?x#y", "1%3Fx%23y"),
            ("1/.\t./2\n", "1/.%09./2%0A"),
        ] {
            assert_eq!(path("https://s/{version}.{ext}", text), format!("/{written}.aci"));
        }
    }

    #[test]
    fn template_that_a_value_makes_climb_is_no_url() {
        for (template, labels) in [
            ("https://s/{name}/{version}/x.{ext}", &[("version", "..")][..]),
            ("https://s/{name}/{version}/x.{ext}", &[("version", ".")]),
            ("https://s/{name}/.{version}/x.{ext}", &[("version", ".")]),
            ("https://s/{name}/%2{version}/x.{ext}", &[("version", "e")]),
            ("https://s/{name}/{a}{b}/x.{ext}", &[("a", "."), ("b", ".")]),
            ("https://s/{name}/.{a}./x.{ext}", &[("a", "")]),
            ("https:\\\\s\\x\\{a}\\x.{ext}", &[("a", "..")]),
            ("https://s/{name}:{version},os.{ext}", &[("version", "1/../2")]),
            ("https://s/{name}:{version},os.{ext}", &[("version", "1/./2")]),
            // What a value joins in the template counts, at either end.
            ("https://s/a/.{version}.{ext}", &[("version", "/1")]),
            ("https://s/a/{version}./{ext}", &[("version", "1/.")]),
            ("https://s/{version}", &[("version", "1/..")]),
            ("https://s/{version}?{ext}", &[("version", "1/..")]),
            // What a reader drops is not there.
            ("https://s/{name}/.\t{a}/x.{ext}", &[("a", ".")]),
            ("https://s/{name}/{a}\r\n/x.{ext}", &[("a", "..")]),
            ("https://s/{name}/%\n2{a}/x.{ext}", &[("a", "e")]),
            ("https://s/{name}/{ext}/{a} \u{1f}", &[("a", "..")]),
        ] {
            let rendered = with_labels(template, labels);
            assert_eq!(rendered, Err(TemplateError::DotSegment(Template::new(template))));
        }
    }

    #[test]
    fn template_values_stay_in_their_place() {
        for (template, value, wanted) in [
            ("https://{v}.s/x.{ext}", "evil.example/", "https://evil.example%2F.s/x.aci"),
            ("https://{v}@s/x.{ext}", "a:b", "https://a%3Ab@s/x.aci"),
            ("https:/\t/{v}.s/x.{ext}", "evil.example/", "https:/\t/evil.example%2F.s/x.aci"),
            ("https:///{v}/x.{ext}", "a@b", "https:///a%40b/x.aci"),
            ("{v}://s/x.{ext}", "https://a", "https%3A%2F%2Fa://s/x.aci"),
            ("https://s/x?v={v}&{ext}", "1&v=2+a/b", "https://s/x?v=1%26v%3D2%2Ba%2Fb&aci"),
            ("https://s?v={v}&{ext}", "a/../b", "https://s?v=a%2F..%2Fb&aci"),
            ("/x/{v}.{ext}", "1+2/3:4", "/x/1+2/3:4.aci"),
        ] {
            assert_eq!(with_labels(template, &[("v", value)]).as_deref(), Ok(wanted));
        }
    }
}
