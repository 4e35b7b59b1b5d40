//! What `Authorization` gives: a token, as a bearer's or as a password; the same of an
//! ID token; or a user and a password.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::oidc::is_jwt;
use super::user::{Password, UserName};
use crate::error::ApiError;
use crate::token::Token;

/// What a request says to show who asks.
#[derive(Debug)]
pub(super) enum Credentials {
    /// Nothing.
    None,
    /// A token.
    Token(Token),
    /// An ID token of a job.
    Job(String),
    /// A user's name and password. Either is left away where it cannot be anybody's.
    User(Option<UserName>, Option<Password>),
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
            return Err(ApiError::CredentialsMissing);
        }
        let (scheme, given) = first
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .ok_or(ApiError::CredentialsMissing)?;
        let given = given.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            // A token of another form cannot be known; which of the two is nobody's business.
            if is_jwt(given) {
                return Ok(Self::Job(given.to_owned()));
            }
            return given.parse().map(Self::Token).map_err(|_| ApiError::TokenUnknown);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(ApiError::CredentialsMissing);
        }
        let (user, password) = pair(given).ok_or(ApiError::CredentialsMissing)?;
        Ok(match password.parse() {
            Ok(token) => Self::Token(token),
            Err(_) if is_jwt(&password) => Self::Job(password),
            Err(_) => Self::User(user.parse().ok(), Password::given(&password)),
        })
    }
}

fn pair(given: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64.decode(given).ok()?).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
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
        assert!(matches!(of(&["Bearer x"]), Err(ApiError::TokenUnknown)));
        let unreadable = ["Basic x", "Basic dXg=", "Basic /////w==", "Bearer", "", "Digest x"];
        for values in unreadable
            .iter()
            .map(std::slice::from_ref)
            .chain([&["Bearer x", "Bearer y"][..], &["Bearer x", "Basic dTp4"]])
        {
            assert!(matches!(of(values), Err(ApiError::CredentialsMissing)), "{values:?}");
        }
    }

    #[test]
    fn password_is_all_behind_the_first_colon() {
        let basic = |pair: &str| of(&[&format!("Basic {}", BASE64.encode(pair))]);
        let Ok(Credentials::User(Some(user), Some(password))) = basic("alice:a:b") else {
            panic!("no user")
        };
        assert_eq!((user.as_str(), password.as_bytes()), ("alice", &b"a:b"[..]));
        assert!(matches!(basic("No User:x"), Ok(Credentials::User(None, Some(_)))));
        let long = format!("alice:{}", "x".repeat(2000));
        assert!(matches!(basic(&long), Ok(Credentials::User(Some(_), None))));
    }
}
