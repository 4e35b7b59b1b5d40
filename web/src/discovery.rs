//! The meta tags by which clients find images, keys and the push endpoint
//! (spec: discovery.md, "Meta Discovery"; the push tag is acpush's).
//!
//! Nothing here comes from a request's headers, and no URL has a port: a page
//! that echoed the Host header would send clients wherever an attacker likes.

use std::collections::BTreeSet;

use aci::{Identifier, Name};

use crate::domain::Domain;

/// Most sets of extra labels one page has templates for.
const MAX_LABEL_SETS: usize = 16;

/// One `<meta name="…" content="PREFIX TEMPLATE">`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaTag {
    /// `ac-discovery`, `ac-discovery-pubkeys` or `ac-push-discovery`.
    pub name: &'static str,
    /// The prefix, a blank, and the URL template.
    pub content: String,
}

/// What the tags of one page are made from.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// For each domain, the name whose keys its page points to.
    pages: Vec<(Domain, Name)>,
    label_sets: Vec<BTreeSet<Identifier>>,
}

impl Discovery {
    /// The tags of `/`, for each of these domains.
    pub fn for_home(domains: &[Domain]) -> Self {
        let pages = domains.iter().map(|d| (d.clone(), d.name().clone())).collect();
        Self { pages, label_sets: Vec::new() }
    }

    /// The tags of the page of a name, which is one path below each of these domains.
    ///
    /// `label_sets` are the labels beyond `version`, `os` and `arch` that images of
    /// this name carry, one set for each combination in use.
    pub fn for_name(
        pages: Vec<(Domain, Name)>,
        label_sets: impl IntoIterator<Item = BTreeSet<Identifier>>,
    ) -> Self {
        // A label called `ext` would be replaced by the extension in every client.
        let usable = |set: &BTreeSet<Identifier>| {
            !set.is_empty() && !set.iter().any(|label| label.as_str() == "ext")
        };
        let mut label_sets: Vec<_> = label_sets.into_iter().filter(usable).collect();
        // rkt takes the first template it can fill, so the most specific goes first.
        label_sets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        label_sets.dedup();
        label_sets.truncate(MAX_LABEL_SETS);
        Self { pages, label_sets }
    }

    /// The tags, in the order they stand on the page.
    pub fn tags(&self) -> Vec<MetaTag> {
        let mut tags = Vec::new();
        for (domain, _) in &self.pages {
            for set in &self.label_sets {
                let extra: String = set.iter().map(|l| format!(",{l}={{{l}}}")).collect();
                tags.push(image(domain, ",os={os},arch={arch}", &extra));
                tags.push(image(domain, "", &extra));
            }
            tags.push(image(domain, ",os={os},arch={arch}", ""));
            tags.push(image(domain, "", ""));
        }
        tags.extend(self.pages.iter().map(|(domain, name)| MetaTag {
            name: "ac-discovery-pubkeys",
            content: format!("{domain} https://{domain}/-/pubkeys/{name}.asc"),
        }));
        tags.extend(self.pages.iter().map(|(domain, _)| MetaTag {
            name: "ac-push-discovery",
            content: format!("{domain} https://{domain}/-/acpush/{{name}}"),
        }));
        tags
    }
}

fn image(domain: &Domain, platform: &str, extra: &str) -> MetaTag {
    MetaTag {
        name: "ac-discovery",
        content: format!(
            "{domain} https://{domain}/-/images/{{name}}:{{version}}{platform}{extra}.{{ext}}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(labels: &[&str]) -> BTreeSet<Identifier> {
        labels.iter().map(|l| l.parse().unwrap()).collect()
    }

    fn page(domain: &str, name: &str) -> (Domain, Name) {
        (domain.parse().unwrap(), name.parse().unwrap())
    }

    fn contents(discovery: &Discovery, name: &str) -> Vec<String> {
        discovery.tags().into_iter().filter(|t| t.name == name).map(|t| t.content).collect()
    }

    #[test]
    fn tags_go_from_the_most_specific_template_to_the_plainest() {
        let discovery = Discovery::for_name(
            vec![page("example.com", "example.com/a")],
            [set(&["channel"]), set(&[]), set(&["channel", "flavour"]), set(&["channel"])],
        );
        let base = "example.com https://example.com/-/images/{name}:{version}";
        assert_eq!(
            contents(&discovery, "ac-discovery"),
            [
                format!(
                    "{base},os={{os}},arch={{arch}},channel={{channel}},flavour={{flavour}}.{{ext}}"
                ),
                format!("{base},channel={{channel}},flavour={{flavour}}.{{ext}}"),
                format!("{base},os={{os}},arch={{arch}},channel={{channel}}.{{ext}}"),
                format!("{base},channel={{channel}}.{{ext}}"),
                format!("{base},os={{os}},arch={{arch}}.{{ext}}"),
                format!("{base}.{{ext}}"),
            ]
        );
        assert_eq!(
            contents(&discovery, "ac-discovery-pubkeys"),
            ["example.com https://example.com/-/pubkeys/example.com/a.asc"]
        );
        assert_eq!(
            contents(&discovery, "ac-push-discovery"),
            ["example.com https://example.com/-/acpush/{name}"]
        );
    }

    #[test]
    fn tags_skip_a_label_called_ext_and_cap_the_sets() {
        let many = (0..100).map(|n| set(&[&format!("l{n}")])).chain([set(&["ext", "b"])]);
        let discovery = Discovery::for_name(vec![page("example.com", "example.com/a")], many);
        let contents = contents(&discovery, "ac-discovery");
        assert_eq!(contents.len(), 2 * MAX_LABEL_SETS + 2);
        assert!(contents.iter().all(|c| !c.contains("ext=")), "{contents:?}");
    }

    #[test]
    fn tags_are_filled_by_the_clients_template() {
        let tags = Discovery::for_home(&["example.com".parse().unwrap()]).tags();
        let (_, template) = tags[0].content.split_once(' ').unwrap();
        let reference = "example.com/a:1.0.0,os=linux,arch=amd64".parse().unwrap();
        assert_eq!(
            aci::Template::new(template).render(&reference, aci::Extension::Signature).as_deref(),
            Ok("https://example.com/-/images/example.com/a:1.0.0,os=linux,arch=amd64.aci.asc")
        );
    }
}
