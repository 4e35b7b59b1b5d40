//! Web addresses of the annotations `homepage` and `documentation` (spec: aci.md, annotations).

use std::fmt;
use std::str::FromStr;

/// An address whose scheme is `http` or `https`.
///
/// Characters are those of RFC 3986: others are written as `%XX`. The scheme is kept in lower
/// case, the rest as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebUrl(String);

/// Why a text is no web address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebUrlError {
    /// Another scheme, or none.
    #[error("{0:?} is no address that begins with http: or https: (aci.md, annotations)")]
    Scheme(String),
    /// A character that no address has.
    #[error("{0:?} has {1:?}, which an address has only as %XX (RFC 3986, section 2)")]
    Character(String, char),
    /// A percent sign without two hex digits behind it.
    #[error("{0:?} has a % that no two hex digits follow (RFC 3986, section 2.1)")]
    Escape(String),
    /// A host or a port that cannot be.
    #[error("{0:?} has no acceptable host and port: {1} (RFC 3986, section 3.2)")]
    Authority(String, String),
}

impl WebUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names a host; `http:` and `http:///path` lead nowhere.
    pub fn has_host(&self) -> bool {
        url::Url::parse(&self.0).is_ok() && !authority(&self.0).is_empty()
    }
}

/// What stands between `//` and the path.
fn authority(text: &str) -> &str {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())]
}

impl FromStr for WebUrl {
    type Err = WebUrlError;

    fn from_str(text: &str) -> Result<Self, WebUrlError> {
        let scheme =
            |(scheme, rest): (&str, &str)| Some((scheme.to_ascii_lowercase(), rest.to_owned()));
        let (scheme, rest) = text
            .split_once(':')
            .and_then(scheme)
            .filter(|(scheme, _)| scheme == "http" || scheme == "https")
            .ok_or_else(|| WebUrlError::Scheme(text.to_owned()))?;
        let allowed =
            |c: &char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(*c);
        if let Some(found) = rest.chars().find(|c| !allowed(c)) {
            return Err(WebUrlError::Character(text.to_owned(), found));
        }
        let escaped = |part: &str| part.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
        if !rest.split('%').skip(1).all(escaped) {
            return Err(WebUrlError::Escape(text.to_owned()));
        }
        let address = Self(format!("{scheme}:{rest}"));
        let authority_of =
            |fault: &str| Err(WebUrlError::Authority(text.to_owned(), fault.to_owned()));
        let (account, host) = match authority(&address.0).rsplit_once('@') {
            Some((account, host)) => (account, host),
            None => ("", authority(&address.0)),
        };
        // The parser of the WHATWG, below, takes what RFC 3986 and Go do not.
        if account.contains(['[', ']']) {
            return authority_of("before the @ stands a bracket");
        }
        let ascii = |escape: &str| escape.starts_with(|c: char| ('0'..='7').contains(&c));
        if host.split('%').skip(1).any(ascii) {
            return authority_of("the host has a letter written as %XX");
        }
        // Of an address without a host the rest is a path, and was judged.
        if !authority(&address.0).is_empty()
            && let Err(fault) = url::Url::parse(&address.0)
        {
            return Err(WebUrlError::Authority(text.to_owned(), fault.to_string()));
        }
        Ok(address)
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_url_is_http_or_https() {
        for (text, written) in [
            ("http://foo.com", "http://foo.com"),
            ("HTTP://example.com", "http://example.com"),
            ("https://[::1]:8080/x?a=b%20c#d", "https://[::1]:8080/x?a=b%20c#d"),
            ("http:", "http:"),
            ("http:///path", "http:///path"),
        ] {
            assert_eq!(text.parse::<WebUrl>().unwrap().as_str(), written);
        }
        for bad in [
            "",
            "ftp://example.com",
            "not a url",
            "example.com",
            "://x",
            "http://a b/",
            "http://a/ü",
            "http://a/\n",
            "http://a/%",
            "http://a/%g0",
            "http://a:port/",
            "http://[::1/",
            "http://a/%2",
            "http://a:99999/",
            "http://a/\"",
            "http://a[b@c/",
            "http://u[@[::1]/",
            "http://ex%41mple.com/",
            "http://ex%2emple.com/",
        ] {
            assert!(bad.parse::<WebUrl>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn web_url_may_lead_nowhere() {
        for (text, host) in
            [("http://a", true), ("http:", false), ("http://", false), ("http:///a", false)]
        {
            assert_eq!(text.parse::<WebUrl>().unwrap().has_host(), host, "{text}");
        }
    }
}
