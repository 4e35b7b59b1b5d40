//! From credentials to a caller.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::credentials::Credentials;
use super::rates::{Attempt, limit_caller};
use super::user::{Password, UserName};
use super::{Action, Caller, Standing};
use crate::client_address::ClientAddress;
use crate::error::ApiError;
use crate::state::{Shared, State};
use crate::token::TokenHash;

/// How exact the time of last use is; a write for every request would be too much.
const LAST_USED_STEP: Duration = Duration::from_secs(60);

impl Caller {
    /// Whoever has these credentials.
    async fn with(
        credentials: Credentials,
        address: Option<IpAddr>,
        state: &State,
    ) -> Result<Self, ApiError> {
        match credentials {
            Credentials::None => Ok(Self::nobody()),
            Credentials::Token(token) => Self::with_token(&token.hash(), state).await,
            Credentials::Job(jwt) => Self::with_jwt(&jwt, state).await,
            Credentials::User(user, password) => {
                Self::with_password(user, password, address, state).await
            }
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

    /// It takes as long for a user that is not there as for a password that is wrong.
    async fn with_password(
        name: Option<UserName>,
        password: Option<Password>,
        address: Option<IpAddr>,
        state: &State,
    ) -> Result<Self, ApiError> {
        // Nobody's is so long; nothing is told by refusing it at once.
        let password = password.ok_or(ApiError::UserUnknown)?;
        let stored = match &name {
            Some(name) => state.catalog.user(name).await?,
            None => None,
        };
        let kept = stored.as_ref().map(|user| &user.password);
        let passwords = &state.access.passwords;
        if !kept.is_some_and(|kept| passwords.remembers(&password, kept)) {
            let attempt = Attempt::begin(name.as_ref(), address, state).await?;
            // While it waited, another request may have brought the same.
            let right = kept.is_some_and(|kept| passwords.remembers(&password, kept))
                || passwords.compare(&password, kept).await?;
            if !right {
                return Err(ApiError::UserUnknown);
            }
            attempt.succeed(state).await?;
        }
        let user = stored.ok_or(ApiError::UserUnknown)?;
        Ok(Self::user(user.name, user.revision, user.grant))
    }

    /// Whether the credentials are good now, too: sending may have taken long.
    pub(crate) async fn may_still(&self, state: &State) -> Result<(), ApiError> {
        match self.standing() {
            Standing::Nobody => Ok(()),
            Standing::Token { hash, .. } => Self::with_token(hash, state).await.map(drop),
            Standing::User { name, revision } => {
                let user = state.catalog.user(name).await?;
                let same = user.is_some_and(|user| user.revision == *revision);
                if same { Ok(()) } else { Err(ApiError::CredentialsEnded) }
            }
            // The rules are asked for once more when something is changed.
            Standing::Job { until, .. } if *until > state.clock.now() => Ok(()),
            Standing::Job { .. } => Err(ApiError::CredentialsEnded),
        }
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let address = parts.extensions.get::<ClientAddress>().map(|address| address.0);
        let caller = Self::with(Credentials::of(&parts.headers)?, address, state).await?;
        if !matches!(caller.standing(), Standing::Nobody) {
            limit_caller(caller.id(), address, state)?;
        }
        tracing::Span::current().record("caller", caller.id().as_str());
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
