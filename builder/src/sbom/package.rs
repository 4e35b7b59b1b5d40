//! A package of a distribution, as its database describes it.

use super::lines::text;
use super::os_release::OsRelease;

/// Which database a package stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Manager {
    Apk,
    Dpkg,
    Rpm,
}

impl Manager {
    /// The type of its package URLs.
    pub(super) fn purl_type(self) -> &'static str {
        match self {
            Self::Apk => "apk",
            Self::Dpkg => "deb",
            Self::Rpm => "rpm",
        }
    }

    /// The distribution that is meant where the image does not say.
    fn usual_distribution(self) -> Option<&'static str> {
        match self {
            Self::Apk => Some("alpine"),
            Self::Dpkg => Some("debian"),
            Self::Rpm => None,
        }
    }
}

/// A package that is installed. All texts are printable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Package {
    pub(super) manager: Manager,
    pub(super) name: String,
    /// With the epoch of dpkg and the release of rpm; without the epoch of rpm.
    pub(super) version: String,
    /// Of rpm alone, where there is one.
    pub(super) epoch: Option<u32>,
    pub(super) architecture: Option<String>,
    /// Who has made it: `name <mail address>`, or the name of a company.
    pub(super) supplier: Option<Supplier>,
    /// What it was built from.
    pub(super) source: Option<String>,
    /// Its licence in the words of the database.
    pub(super) license: Option<String>,
}

/// Who stands behind a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Supplier {
    /// Somebody, or a team, with a mail address.
    Maintainer(String),
    /// A company or a project.
    Vendor(String),
}

impl Supplier {
    /// As SPDX 2.3 has it, clause 7.5: `Person: Jane Doe (jane@example.com)`.
    pub(super) fn spdx(&self) -> String {
        // The brackets mark the address, so the name can have none.
        let plain = |name: &str| name.trim().replace('(', "[").replace(')', "]");
        match self {
            Self::Vendor(name) => format!("Organization: {}", plain(name)),
            Self::Maintainer(text) => {
                match text.strip_suffix('>').and_then(|t| t.split_once('<')) {
                    Some((name, mail)) if !name.trim().is_empty() => {
                        format!("Person: {} ({})", plain(name), plain(mail))
                    }
                    _ => format!("Person: {}", plain(text)),
                }
            }
        }
    }
}

/// The text of a field; an empty one is as good as none.
pub(super) fn optional(value: Option<&[u8]>) -> Option<String> {
    value.map(text).filter(|text| !text.is_empty())
}

impl Package {
    /// The version with its epoch.
    pub(super) fn full_version(&self) -> String {
        match self.epoch {
            Some(epoch) => format!("{epoch}:{}", self.version),
            None => self.version.clone(),
        }
    }

    /// The package URL: `pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12`.
    pub(super) fn purl(&self, system: &OsRelease) -> String {
        let mut purl = format!("pkg:{}/", self.manager.purl_type());
        if let Some(id) = system.id.as_deref().or(self.manager.usual_distribution()) {
            purl.push_str(&encoded(id));
            purl.push('/');
        }
        purl.push_str(&format!("{}@{}", encoded(&self.name), encoded(&self.version)));
        // In the order of their names, as the specification wants it.
        let qualifiers = [
            ("arch", self.architecture.clone()),
            ("distro", system.distribution()),
            ("epoch", self.epoch.map(|epoch| epoch.to_string())),
        ];
        let mut before = '?';
        for (name, value) in qualifiers {
            if let Some(value) = value {
                purl.push_str(&format!("{before}{name}={}", encoded(&value)));
                before = '&';
            }
        }
        purl
    }
}

/// Percent-encoded as the package URL specification wants it.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(manager: Manager, epoch: Option<u32>) -> Package {
        Package {
            manager,
            name: "libstdc++6".to_owned(),
            version: "1:12.2-14+b1".to_owned(),
            epoch,
            architecture: Some("amd64".to_owned()),
            supplier: None,
            source: None,
            license: None,
        }
    }

    #[test]
    fn purl_has_encoded_parts_and_sorted_qualifiers() {
        let debian = OsRelease::parse(b"ID=debian\nVERSION_ID=\"12\"\n");
        let deb = package(Manager::Dpkg, None);
        assert_eq!(
            deb.purl(&debian),
            "pkg:deb/debian/libstdc%2B%2B6@1:12.2-14%2Bb1?arch=amd64&distro=debian-12"
        );
        let unknown = OsRelease::default();
        assert_eq!(
            package(Manager::Rpm, Some(3)).purl(&unknown),
            "pkg:rpm/libstdc%2B%2B6@1:12.2-14%2Bb1?arch=amd64&epoch=3"
        );
        assert!(package(Manager::Apk, None).purl(&unknown).starts_with("pkg:apk/alpine/"));
    }

    #[test]
    fn supplier_has_one_pair_of_brackets() {
        let maintainer = |text: &str| Supplier::Maintainer(text.to_owned()).spdx();
        assert_eq!(maintainer("A Team <a@example.com>"), "Person: A Team (a@example.com)");
        assert_eq!(maintainer("A (B) <a@example.com>"), "Person: A [B] (a@example.com)");
        assert_eq!(maintainer("<a@example.com>"), "Person: <a@example.com>");
        assert_eq!(maintainer("a"), "Person: a");
        assert_eq!(Supplier::Vendor("Example (Inc)".into()).spdx(), "Organization: Example [Inc]");
    }
}
