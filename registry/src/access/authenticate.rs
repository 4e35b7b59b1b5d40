//! From credentials to a caller.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::credentials::Credentials;
use super::{Action, Caller, Standing};
use crate::client_address::ClientAddress;
use crate::error::ApiError;
use crate::state::{Shared, State};
use crate::token::TokenHash;

/// How exact the time of last use is; a write for every request would be too much.
const LAST_USED_STEP: Duration = Duration::from_secs(60);

impl Caller {
    /// Whoever has these credentials.
    async fn with(credentials: Credentials, state: &State) -> Result<Self, ApiError> {
        match credentials {
            Credentials::None => Ok(Self::nobody()),
            Credentials::Token(token) => Self::with_token(&token.hash(), state).await,
        }
    }

    async fn with_token(hash: &TokenHash, state: &State) -> Result<Self, ApiError> {
        let now = state.clock.now();
        let stored = state.catalog.token(hash, now).await?.ok_or(ApiError::TokenUnknown)?;
        if stored.revoked.is_some() {
            return Err(ApiError::TokenRevoked);
        }
        if let Some(expires) = stored.expires.filter(|expires| *expires <= now) {
            return Err(ApiError::TokenExpired(expires));
        }
        let stale = stored
            .last_used
            .is_none_or(|used| now.duration_since(used).is_ok_and(|since| since >= LAST_USED_STEP));
        if stale && let Err(error) = state.catalog.touch_token(&stored.id, now).await {
            // The time of last use is a help for administrators, no reason to refuse.
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, token = %stored.id, "the last use of a token was not noted");
        }
        Ok(Self::token(stored.id, hash.clone(), stored.grant))
    }

    /// Whether the credentials are good now, too: sending may have taken long.
    pub(crate) async fn may_still(&self, state: &State) -> Result<(), ApiError> {
        match self.standing() {
            Standing::Nobody => Ok(()),
            Standing::Token { hash, .. } => Self::with_token(hash, state).await.map(drop),
        }
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let caller = Self::with(Credentials::of(&parts.headers)?, state).await?;
        tracing::Span::current().record("caller", caller.id().as_str());
        let address = parts.extensions.get::<ClientAddress>().map(|address| address.0);
        Ok(caller.from(address))
    }
}

/// A caller who may push something. Whoever may not is told so before a body is read.
pub(crate) struct Pusher(pub(crate) Caller);

impl FromRequestParts<Shared> for Pusher {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.may_somewhere(Action::Push)?;
        Ok(Self(caller))
    }
}
