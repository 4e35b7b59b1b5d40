//! What a request may see: asked before a name, or what has it, shows in an answer.
//!
//! - By its name, whoever may not see a thing is told why, whether or not the thing is there.
//! - By its image ID, or in a list, what may not be seen is not there.
//! - Where everybody may read everything, credentials are not looked at. Elsewhere they are, before
//!   anything is looked for, so that the time tells nothing; those that are not good are nobody's.

use std::sync::Arc;

use aci::Name;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;

use super::policy::Policies;
use super::{Action, Caller, ReadPolicy};
use crate::catalog::NameSummary;
use crate::error::ApiError;
use crate::state::{Shared, State};

/// How often a list is asked on for names that may be seen. Each time it passes all names below one
/// prefix that may not be, so that there would have to be as many prefixes.
const ROUNDS: u32 = 256;

/// What one request may see.
pub(crate) struct Sight {
    policies: Arc<Policies>,
    caller: Result<Caller, ApiError>,
}

impl FromRequestParts<Shared> for Sight {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let policies = state.access.policies(&state.catalog).await?;
        if !policies.restrict() {
            return Ok(Self { policies, caller: Ok(Caller::nobody()) });
        }
        match Caller::from_request_parts(parts, state).await {
            Err(error) if error.status().is_server_error() || error.is_rate() => Err(error),
            caller => Ok(Self { policies, caller }),
        }
    }
}

impl Sight {
    /// Whether what has this name may be seen.
    pub(crate) fn sees(&self, name: &Name) -> bool {
        match self.policies.of(name).read {
            ReadPolicy::Public => true,
            ReadPolicy::Token => {
                self.caller.as_ref().is_ok_and(|caller| caller.may(Action::Read, name).is_ok())
            }
        }
    }

    /// Why what has this name may not be seen, where it may not.
    pub(crate) fn admit(self, name: &Name) -> Result<Self, ApiError> {
        if self.sees(name) {
            return Ok(self);
        }
        self.caller?.may(Action::Read, name)?;
        Err(ApiError::CredentialsMissing)
    }

    /// The names at and below `top` that may be seen, in alphabetical order, those after `after`
    /// where it is given.
    pub(crate) async fn names(
        &self,
        state: &State,
        top: &Name,
        after: Option<&Name>,
        limit: u32,
    ) -> Result<Vec<NameSummary>, ApiError> {
        let mut seen = Vec::new();
        let mut after = after.map_or_else(String::new, |name| name.as_str().to_owned());
        for _ in 0..ROUNDS {
            let found = state.catalog.names(top, &after, limit).await?;
            let more = found.len() as u64 == u64::from(limit);
            let Some(last) = found.last() else { break };
            after = self.beyond(&last.name);
            seen.extend(found.into_iter().filter(|summary| self.sees(&summary.name)));
            if !more || seen.len() as u64 >= u64::from(limit) {
                break;
            }
        }
        seen.truncate(limit as usize);
        Ok(seen)
    }

    /// Where a list goes on after this name: after one that may not be seen, where something may.
    fn beyond(&self, name: &Name) -> String {
        let hidden_by = self.policies.hidden_by(name).filter(|_| !self.sees(name));
        // What is between a prefix and what is below it is not the prefix's.
        let Some(prefix) = hidden_by.filter(|prefix| prefix != name) else {
            return name.as_str().to_owned();
        };
        let own = self.caller.as_ref().map(|caller| caller.prefixes(Action::Read));
        let own = own.unwrap_or_default();
        let seen = own.iter().chain(self.policies.public());
        let next = seen.filter(|seen| seen.is_under(&prefix) && seen.as_str() > name.as_str());
        match next.min_by_key(|seen| seen.as_str()) {
            Some(next) => just_before(next.as_str()),
            // No name holds a character as high.
            None => format!("{prefix}/\u{7f}"),
        }
    }

    /// Keeps an answer out of caches that others are served from: of what has this name, or of a
    /// list that shows more to one than to another.
    pub(crate) fn mark(&self, name: Option<&Name>, mut response: Response) -> Response {
        let shared = match name {
            Some(name) => self.policies.of(name).read == ReadPolicy::Public,
            None => !self.policies.restrict(),
        };
        if !shared {
            let headers = response.headers_mut();
            let caching = headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok());
            let caching = match caching.unwrap_or_default() {
                public if public.starts_with("public") => public.replacen("public", "private", 1),
                caching => format!("private, {caching}"),
            };
            if let Ok(value) = HeaderValue::from_str(caching.trim_end_matches(", ")) {
                headers.insert(header::CACHE_CONTROL, value);
            }
        }
        response
    }
}

/// A text before this one, of which no name is between: names hold characters from `-` to `~`.
fn just_before(name: &str) -> String {
    let mut text = name.to_owned();
    let last = text.pop().map_or('\0', |last| char::from((last as u8).saturating_sub(1)));
    text.push(last);
    text.push('\u{7f}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_between_a_name_and_what_is_just_before_it() {
        let before = just_before("example.com/team");
        for earlier in ["example.com/tea", "example.com/teal/x~", "example.com/teal~", "a"] {
            assert!(*earlier < *before, "{earlier}");
        }
        for later in ["example.com/team", "example.com/team-a", "example.com/team/x"] {
            assert!(*later > *before, "{later}");
        }
    }
}
