//! From where a request comes.
//!
//! Behind a proxy, every connection is the proxy's. What it says of its own client is
//! believed of a proxy that is configured as trusted, and of nobody else; and it is read from
//! one header alone, since a client can send the other through any proxy that does not know it.
//!
//! Each proxy adds the address it was asked from at the right. So the list is read from
//! there: as long as an address is a trusted proxy's, the one before it is believed. Where
//! such a proxy does not tell from whom a request is, nobody knows: that is `0.0.0.0`, and
//! never the proxy, which may be this machine and have its privileges.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::config::{Config, ProxyHeader};
use crate::error::ApiError;

/// A client that its proxy does not tell.
const UNTOLD: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How a request came to the server. Each connection puts it into its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// The other end of the connection.
    pub(crate) peer: SocketAddr,
    /// Whether it came without TLS.
    pub(crate) plain: bool,
}

/// The address a request is from: of the client itself, where a trusted proxy says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

/// Puts the [`ClientAddress`] into a request, and refuses one that may not come without TLS.
pub(crate) fn determine(
    config: &Config,
    arrival: Arrival,
    request: &mut Request,
) -> Result<(), ApiError> {
    let peer = arrival.peer.ip();
    if arrival.plain && !may_come_plain(config, peer) {
        tracing::warn!(peer = %arrival.peer, "a request without TLS was refused");
        return Err(ApiError::PlainHttp(peer));
    }
    let address = client(config, peer, request.headers());
    request.extensions_mut().insert(address);
    Ok(())
}

/// Without proxies, this machine; with them, nobody else.
fn may_come_plain(config: &Config, peer: IpAddr) -> bool {
    match config.trusted_proxies.as_slice() {
        [] => peer.to_canonical().is_loopback(),
        proxies => proxies.iter().any(|proxy| proxy.contains(peer)),
    }
}

fn client(config: &Config, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
    let mut client = peer.to_canonical();
    let trusted = |address| config.trusted_proxies.iter().any(|proxy| proxy.contains(address));
    let hops = match config.proxy_header {
        ProxyHeader::XForwardedFor => hops(headers, &X_FORWARDED_FOR, split),
        ProxyHeader::Forwarded => hops(headers, &header::FORWARDED, forwarded),
    };
    for hop in hops.into_iter().rev() {
        // Whoever is not trusted says nothing more, nor does one who hides.
        match hop {
            _ if !trusted(client) => break,
            Some(address) => client = address,
            None => {
                client = UNTOLD;
                break;
            }
        }
    }
    ClientAddress(client)
}

/// The addresses a header lists, from the client on; `None` for one that is not told.
fn hops(
    headers: &HeaderMap,
    name: &HeaderName,
    read: fn(&str) -> Vec<Option<IpAddr>>,
) -> Vec<Option<IpAddr>> {
    // What is no text in a line hides nothing of the rest.
    let line = |value: &HeaderValue| read(&String::from_utf8_lossy(value.as_bytes()));
    headers.get_all(name).iter().flat_map(line).collect()
}

/// `X-Forwarded-For: 192.0.2.1, 198.51.100.2`
fn split(line: &str) -> Vec<Option<IpAddr>> {
    line.split(',').map(address).collect()
}

/// `Forwarded: for=192.0.2.1;proto=https, for="[2001:db8::1]:4711"` (RFC 7239)
fn forwarded(line: &str) -> Vec<Option<IpAddr>> {
    let of = |element: &str| {
        let pairs = outside_quotes(element, ';');
        let node = pairs.into_iter().find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            name.trim().eq_ignore_ascii_case("for").then_some(value)
        });
        address(node?)
    };
    outside_quotes(line, ',').into_iter().map(of).collect()
}

/// The parts between separators, of which those in quotes are none. It is read from its end, which is
/// the last proxy's: a quote that somebody before it has left open swallows nothing of that.
fn outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut end, mut parts) = (false, text.len(), Vec::new());
    for (at, c) in text.char_indices().rev() {
        if c == '"' {
            let escapes = text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
            quoted = !quoted || escapes % 2 == 1;
        }
        if c == separator && !quoted {
            parts.push(&text[at + c.len_utf8()..end]);
            end = at;
        }
    }
    parts.push(&text[..end]);
    parts.reverse();
    parts
}

/// An address as these headers write it, with a port or without. A port may be hidden (RFC 7239, 6.3).
fn address(text: &str) -> Option<IpAddr> {
    let text = unquoted(text.trim());
    let bracketed = || {
        let (address, port) = text.strip_prefix('[')?.split_once(']')?;
        (port.is_empty() || port.starts_with(':')).then_some(address)
    };
    let before_port = || Some(text.split_once(':')?.0).filter(|address| address.contains('.'));
    let address = bracketed().or_else(before_port).unwrap_or(&text);
    address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// What stands in quotes, without its escapes.
fn unquoted(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut escaped = false;
    let kept = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    quoted.chars().filter(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Clock, ConfigFile};

    fn config(proxies: &[&str], proxy_header: ProxyHeader) -> Config {
        let mut file = ConfigFile::default();
        file.server.data = Some("/d".into());
        file.server.domains = Some(vec!["example.com".parse().unwrap()]);
        file.server.trusted_proxies = Some(proxies.iter().map(|p| p.parse().unwrap()).collect());
        file.server.proxy_header = Some(proxy_header);
        file.resolve(Clock::system()).unwrap()
    }

    fn from(proxies: &[&str], header: ProxyHeader, peer: &str, lines: &[(&str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        client(&config(proxies, header), peer.parse().unwrap(), &headers).0.to_string()
    }

    #[test]
    fn client_is_the_right_most_hop_that_is_no_trusted_proxy() {
        let name = "x-forwarded-for";
        let proxies = ["10.0.0.0/8", "127.0.0.1"];
        for (peer, lines, wanted) in [
            ("127.0.0.1", vec!["192.0.2.1"], "192.0.2.1"),
            // What the client itself had sent stands further left.
            ("127.0.0.1", vec!["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
            ("127.0.0.1", vec!["203.0.113.9", "192.0.2.1, 10.1.1.1"], "192.0.2.1"),
            ("::ffff:127.0.0.1", vec!["192.0.2.1:5555,10.1.1.1"], "192.0.2.1"),
            ("127.0.0.1", vec!["[2001:db8::1]:80"], "2001:db8::1"),
            // All are proxies: the first of them.
            ("127.0.0.1", vec!["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
            // What is no address hides all that is left of it.
            ("127.0.0.1", vec!["192.0.2.1, unknown, 10.1.1.1"], "0.0.0.0"),
            ("127.0.0.1", vec!["192.0.2.1, "], "0.0.0.0"),
            ("127.0.0.1", vec!["evil\"<"], "0.0.0.0"),
            ("127.0.0.1", vec!["127.0.0.1, unknown, 192.0.2.1"], "192.0.2.1"),
            ("127.0.0.1", vec![], "127.0.0.1"),
            // A stranger is not believed.
            ("192.0.2.7", vec!["127.0.0.1"], "192.0.2.7"),
        ] {
            let all: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
            assert_eq!(from(&proxies, ProxyHeader::XForwardedFor, peer, &all), wanted, "{lines:?}");
        }
        let line = [(name, "192.0.2.1")];
        assert_eq!(from(&[], ProxyHeader::XForwardedFor, "127.0.0.1", &line), "127.0.0.1");
    }

    #[test]
    fn forwarded_is_read_as_its_standard_writes_it() {
        for (line, wanted) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=\"192.0.2.1:4711\";proto=https;by=10.0.0.1", "192.0.2.1"),
            ("proto=http; for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=203.0.113.9, for=192.0.2.1", "192.0.2.1"),
            ("for=192.0.2.1;ext=\"a, for=203.0.113.9\"", "192.0.2.1"),
            ("for=192.0.2.1;ext=\"a\\\", for=203.0.113.9\"", "192.0.2.1"),
            ("for=\"192.0.2.3:_obfport\"", "192.0.2.3"),
            ("for=\"[2001:db8::9]:_x\"", "2001:db8::9"),
            ("for=\"192.0.2.\\6\"", "192.0.2.6"),
            // What the client had sent is in quotes that it did not close.
            ("for=10.9.9.9;x=\", for=192.0.2.1", "192.0.2.1"),
            ("for=127.0.0.1;x=\"\\, for=192.0.2.1;proto=https", "192.0.2.1"),
            ("for=\"x, for=\"192.0.2.1:80\"", "192.0.2.1"),
            ("for=\"[2001:db8::9]evil\"", "0.0.0.0"),
            ("for=_hidden", "0.0.0.0"),
            ("for=unknown", "0.0.0.0"),
            ("proto=https", "0.0.0.0"),
        ] {
            let lines = [("forwarded", line), ("x-forwarded-for", "203.0.113.9")];
            let found = from(&["127.0.0.1"], ProxyHeader::Forwarded, "127.0.0.1", &lines);
            assert_eq!(found, wanted, "{line}");
        }
    }

    #[test]
    fn header_that_is_not_the_proxies_says_nothing() {
        let proxies = ["127.0.0.1"];
        let spoofed = [("forwarded", "for=203.0.113.9")];
        let found = from(&proxies, ProxyHeader::XForwardedFor, "127.0.0.1", &spoofed);
        assert_eq!(found, "127.0.0.1");
    }

    #[test]
    fn plain_http_is_for_this_machine_or_for_the_proxies() {
        for (proxies, peer, may) in [
            (&[][..], "127.0.0.1", true),
            (&[], "::1", true),
            (&[], "::ffff:127.0.0.1", true),
            (&[], "10.0.0.1", false),
            (&["10.0.0.0/8"], "10.0.0.1", true),
            (&["10.0.0.0/8"], "127.0.0.1", false),
        ] {
            let config = config(proxies, ProxyHeader::Forwarded);
            assert_eq!(may_come_plain(&config, peer.parse().unwrap()), may, "{proxies:?} {peer}");
        }
    }

    proptest::proptest! {
        /// Whatever a client sends: it never gets further than the proxy's own words.
        #[test]
        fn client_says_nothing_that_is_left_of_itself(sent in "([ -~]|[\"\\\\,;=ö]){0,60}") {
            let header = ProxyHeader::XForwardedFor;
            let line = format!("{sent}, 192.0.2.1");
            let found = from(&["127.0.0.1"], header, "127.0.0.1", &[("x-forwarded-for", &line)]);
            proptest::prop_assert_eq!(found, "192.0.2.1");
            // Reading it ends, and puts nothing aside.
            for separator in [',', ';'] {
                let parts = outside_quotes(&sent, separator);
                proptest::prop_assert_eq!(parts.join(&separator.to_string()), sent.clone());
            }
            let line = format!("{sent}, for=192.0.2.1");
            let lines = [("forwarded", line.as_str())];
            let found = from(&["127.0.0.1"], ProxyHeader::Forwarded, "127.0.0.1", &lines);
            proptest::prop_assert_eq!(found, "192.0.2.1");
            let spoofed = [("forwarded", sent.as_str())];
            let found = from(&["127.0.0.1"], ProxyHeader::Forwarded, "192.0.2.7", &spoofed);
            proptest::prop_assert_eq!(found, "192.0.2.7");
        }
    }
}
