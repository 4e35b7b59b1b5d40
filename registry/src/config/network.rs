//! Addresses that are meant together, as `10.0.0.0/8`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A network, or one address.
///
/// - written as `10.0.0.0/8`, `2001:db8::/32`, `127.0.0.1`
/// - no address bits behind the prefix: `10.0.0.1/8` is a mistake of one kind or the other
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor a network.
    #[error("{0:?} is no network: give it as 10.0.0.0/8, or one address, as 127.0.0.1")]
    Form(String),
    /// More of an address than its prefix covers.
    #[error("{given:?} has an address and a prefix that do not fit: is it {network}?")]
    Remainder {
        /// What was given.
        given: String,
        /// The network it is an address of.
        network: IpNet,
    },
}

impl Network {
    /// Whether an address is one of these. One of IPv4 is the same in the clothes of IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let form = |_| NetworkError::Form(text.to_owned());
        if !text.contains('/') {
            return text.parse::<IpAddr>().map(|ip| Self(ip.to_canonical().into())).map_err(form);
        }
        let net: IpNet = text.parse().map_err(|_| NetworkError::Form(text.to_owned()))?;
        if net == net.trunc() {
            Ok(Self(net))
        } else {
            Err(NetworkError::Remainder { given: text.to_owned(), network: net.trunc() })
        }
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_holds_its_addresses_and_no_others() {
        for (network, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("2001:db8::/32", "2001:db8::1", true),
            ("2001:db8::/32", "10.0.0.1", false),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), inside, "{network} {address}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
        for bad in ["", "10.0.0.0/33", "10.0.0", "example.com", "10.0.0.1/8", "*"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
