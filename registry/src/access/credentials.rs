//! What `Authorization` gives: a token, as a bearer's or as a password.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::error::ApiError;
use crate::token::Token;

/// What a request says to show who asks.
#[derive(Debug)]
pub(super) enum Credentials {
    /// Nothing.
    None,
    /// A token.
    Token(Token),
}

impl Credentials {
    /// Those of a request. Clients that follow redirects send the header twice (Go's does); two
    /// that differ are no answer to who is asking.
    ///
    /// Clients that know users and passwords alone, as acpush with its options does, give the token
    /// as the password, of any user (RFC 7617).
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(first) = values.next() else { return Ok(Self::None) };
        if values.any(|other| other != first) {
            return Err(ApiError::TokenMissing);
        }
        let (scheme, given) = first
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .ok_or(ApiError::TokenMissing)?;
        let given = given.trim();
        let secret = if scheme.eq_ignore_ascii_case("bearer") {
            given.to_owned()
        } else if scheme.eq_ignore_ascii_case("basic") {
            password(given).ok_or(ApiError::TokenMissing)?
        } else {
            return Err(ApiError::TokenMissing);
        };
        // A token of another form cannot be known; which of the two is nobody's business.
        secret.parse().map(Self::Token).map_err(|_| ApiError::TokenUnknown)
    }
}

fn password(given: &str) -> Option<String> {
    let pair = String::from_utf8(BASE64.decode(given).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> Result<Credentials, ApiError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        Credentials::of(&headers)
    }

    #[test]
    fn token_is_a_bearers_or_a_password_and_one() {
        let token = format!("gantry_{}", "0".repeat(64));
        let basic = |user: &str| format!("Basic {}", BASE64.encode(format!("{user}:{token}")));
        let bearer = format!("bearer {token}");
        for values in [
            vec![format!("Bearer {token}")],
            vec![bearer.clone(), bearer],
            vec![basic("anybody")],
            vec![basic(""), basic("")],
        ] {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            assert!(matches!(of(&values), Ok(Credentials::Token(_))), "{values:?}");
        }
        assert!(matches!(of(&[]), Ok(Credentials::None)));
        // Base64 of "u:x" is "dTp4".
        for unknown in ["Bearer x", "Basic dTp4"] {
            assert!(matches!(of(&[unknown]), Err(ApiError::TokenUnknown)), "{unknown}");
        }
        let unreadable = ["Basic x", "Basic dXg=", "Basic /////w==", "Bearer", "", "Digest x"];
        for values in unreadable
            .iter()
            .map(std::slice::from_ref)
            .chain([&["Bearer x", "Bearer y"][..], &["Bearer x", "Basic dTp4"]])
        {
            assert!(matches!(of(values), Err(ApiError::TokenMissing)), "{values:?}");
        }
    }
}
