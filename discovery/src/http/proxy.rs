//! Through which proxy requests go.

use std::str::FromStr;

use aci::{Refusal, Refuse};
use reqwest::{ClientBuilder, NoProxy};
use serde::Deserialize;
use url::Url;

use crate::error::{chain, refusal};

/// Through which proxy requests go. An `[[override]]` with `connect` never uses one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Proxy {
    /// As `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    #[default]
    Environment,
    /// Through none.
    Direct,
    /// Through this one, but for the hosts of `NO_PROXY`.
    Through(Url),
}

/// Why a text names no proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// No URL of a proxy.
    #[error(
        "{0:?} is no proxy: give http://HOST:PORT, https://…, socks5://… or socks5h://…, or \"none\""
    )]
    Url(String),
    /// A user name or password in the URL.
    #[error("the URL of the proxy holds a user name or password, which others could read there")]
    Credentials,
    /// The HTTP library does not take it.
    #[error("the proxy cannot be used: {0}")]
    Unusable(String),
}

impl Refuse for ProxyError {
    fn refusal(&self) -> Refusal {
        refusal(
            "proxy-invalid",
            self,
            "a proxy's URL, or none",
            "something else",
            "--proxy, GANTRY_PROXY and proxy name a proxy without a password; HTTPS_PROXY may \
             hold one",
            "correct it, or leave it to HTTPS_PROXY and NO_PROXY",
        )
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        if text == "none" {
            return Ok(Self::Direct);
        }
        let known = ["http", "https", "socks5", "socks5h"];
        let url = Url::parse(text).ok().filter(|url| known.contains(&url.scheme()));
        // A text that is refused is not repeated where it may hold a password.
        let Some(url) = url.filter(|url| url.has_host()) else {
            return Err(match text.contains('@') {
                true => ProxyError::Credentials,
                false => ProxyError::Url(text.to_owned()),
            });
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ProxyError::Credentials);
        }
        Ok(Self::Through(url))
    }
}

impl TryFrom<String> for Proxy {
    type Error = ProxyError;

    fn try_from(text: String) -> Result<Self, ProxyError> {
        text.parse()
    }
}

impl Proxy {
    pub(super) fn apply(&self, builder: ClientBuilder) -> Result<ClientBuilder, ProxyError> {
        match self {
            Self::Environment => Ok(builder),
            Self::Direct => Ok(builder.no_proxy()),
            Self::Through(url) => {
                let proxy = reqwest::Proxy::all(url.clone())
                    .map_err(|error| ProxyError::Unusable(chain(&error)))?;
                Ok(builder.no_proxy().proxy(proxy.no_proxy(NoProxy::from_env())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_forms() {
        assert_eq!("none".parse(), Ok(Proxy::Direct));
        for good in ["http://proxy.internal:3128", "https://proxy.internal", "socks5h://[::1]:1080"]
        {
            assert!(matches!(good.parse(), Ok(Proxy::Through(_))), "{good}");
        }
        for bad in ["", "proxy.internal:3128", "ftp://proxy", "http://u:secret@p", "u:secret@p"] {
            let error = bad.parse::<Proxy>().unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
