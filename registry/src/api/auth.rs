//! Who is asking: the token of `Authorization`, as a bearer's or as a password.

use std::time::Duration;

use aci::Name;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::audit::Actor;
use crate::catalog::StoredToken;
use crate::error::ApiError;
use crate::state::{Shared, State};
use crate::token::{Action, Token, TokenHash, TokenId};

/// How exact the time of last use is; a write for every request would be too much.
const LAST_USED_STEP: Duration = Duration::from_secs(60);

/// The holder of a token that is good now. What it allows is asked for each action.
pub(crate) struct Holder {
    stored: StoredToken,
    hash: TokenHash,
}

impl Holder {
    /// The holder of the token with this hash.
    async fn of(hash: TokenHash, state: &State) -> Result<Self, ApiError> {
        let stored = state.catalog.token(&hash).await?.ok_or(ApiError::TokenUnknown)?;
        if stored.revoked.is_some() {
            return Err(ApiError::TokenRevoked);
        }
        if let Some(expires) = stored.expires.filter(|expires| *expires <= state.clock.now()) {
            return Err(ApiError::TokenExpired(expires));
        }
        Ok(Self { stored, hash })
    }

    /// Whether the token is good now, too.
    pub(crate) async fn may_still(&self, state: &State) -> Result<(), ApiError> {
        Self::of(self.hash.clone(), state).await.map(drop)
    }

    pub(crate) fn token(&self) -> &TokenId {
        &self.stored.id
    }

    /// Who the audit log says it is.
    pub(crate) fn actor(&self) -> Actor {
        Actor { who: format!("token:{}", self.stored.id), address: None }
    }

    /// Whether the token allows this at all.
    pub(crate) fn may(&self, action: Action) -> Result<(), ApiError> {
        if self.stored.actions.contains(&action) {
            Ok(())
        } else {
            Err(ApiError::TokenAction(action))
        }
    }

    /// Whether the token is for this name.
    pub(crate) fn may_name(&self, name: &Name) -> Result<(), ApiError> {
        if name.is_under(&self.stored.prefix) {
            return Ok(());
        }
        Err(ApiError::TokenPrefix { prefix: self.stored.prefix.clone(), name: name.clone() })
    }
}

impl FromRequestParts<Shared> for Holder {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let token = token(&parts.headers).ok_or(ApiError::TokenMissing)?;
        // A token of another form cannot be known; which of the two is nobody's business.
        let token: Token = token.parse().map_err(|_| ApiError::TokenUnknown)?;
        let holder = Self::of(token.hash(), state).await?;
        tracing::Span::current().record("token", tracing::field::display(holder.token()));
        let (stored, now) = (&holder.stored, state.clock.now());
        let stale = stored
            .last_used
            .is_none_or(|used| now.duration_since(used).is_ok_and(|since| since >= LAST_USED_STEP));
        if stale && let Err(error) = state.catalog.touch_token(&stored.id, now).await {
            // The time of last use is a help for administrators, no reason to refuse.
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, token = %stored.id, "the last use of a token was not noted");
        }
        Ok(holder)
    }
}

/// The token of the header. Clients that follow redirects send the header twice
/// (Go's does); two that differ are no answer to who is asking.
///
/// Clients that know users and passwords alone, as acpush with its options does, give the token as
/// the password, of any user (RFC 7617).
fn token(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let first = values.next()?;
    if values.any(|other| other != first) {
        return None;
    }
    let (scheme, given) = first.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(given.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64.decode(given.trim()).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        token(&headers)
    }

    #[test]
    fn token_is_a_bearers_or_a_password_and_one() {
        assert_eq!(of(&["Bearer x"]).as_deref(), Some("x"));
        assert_eq!(of(&["bearer x", "bearer x"]).as_deref(), Some("x"));
        // A user and a password; a colon in the password; and no user.
        assert_eq!(of(&["Basic dTp4"]).as_deref(), Some("x"));
        assert_eq!(of(&["basic dTp4Onk=", "basic dTp4Onk="]).as_deref(), Some("x:y"));
        assert_eq!(of(&["Basic Ong="]).as_deref(), Some("x"));
        let none = ["Basic x", "Basic dXg=", "Basic /////w==", "Bearer", "", "Digest x"];
        for values in none.iter().map(std::slice::from_ref).chain([
            &[][..],
            &["Bearer x", "Bearer y"],
            &["Bearer x", "Basic dTp4"],
        ]) {
            assert_eq!(of(values), None, "{values:?}");
        }
    }
}
