//! What somebody who looks after a registry, or after some prefixes of it, may do to whom.
//!
//! - Nobody gives what they do not hold: neither names nor actions.
//! - Nobody takes over what holds more than they do: a password or a secret is changed by who could
//!   have given all that it allows.
//! - What holds something outside is not there: it is neither listed nor told.

use aci::Name;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::{Action, Caller, Grant};
use crate::config::Domains;
use crate::error::ApiError;
use crate::state::Shared;

/// A caller who looks after something.
pub(crate) struct Admin {
    caller: Caller,
    /// Why it is not all of the registry, where it is not.
    whole: Result<(), ApiError>,
}

impl FromRequestParts<Shared> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Self::new(caller, &state.config().domains)
    }
}

impl Admin {
    fn new(caller: Caller, domains: &Domains) -> Result<Self, ApiError> {
        caller.may_somewhere(Action::Admin)?;
        let whole = domains.iter().try_for_each(|domain| caller.may(Action::Admin, domain.name()));
        Ok(Self { caller, whole })
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The same, where it is all of the registry that is looked after.
    pub(crate) fn of_all(self) -> Result<Self, ApiError> {
        match self.whole {
            Ok(()) => Ok(self),
            Err(error) => Err(error),
        }
    }

    /// The prefixes that are looked after; none where it is everything.
    pub(crate) fn prefixes(&self) -> Option<Vec<Name>> {
        self.whole.is_err().then(|| self.caller.prefixes(Action::Admin))
    }

    /// Whether what has this name is looked after.
    pub(crate) fn keeps(&self, name: &Name) -> bool {
        self.whole.is_ok() || self.caller.may(Action::Admin, name).is_ok()
    }

    /// Whether all that is granted is within what is looked after.
    pub(crate) fn keeps_all(&self, grant: &Grant) -> bool {
        let prefixes = grant.prefixes();
        self.whole.is_ok()
            || (!prefixes.is_empty() && prefixes.iter().all(|prefix| self.keeps(prefix)))
    }

    /// Refuses a name that is not looked after.
    pub(crate) fn must_keep(&self, name: &Name) -> Result<(), ApiError> {
        if self.keeps(name) { Ok(()) } else { self.caller.may(Action::Admin, name) }
    }

    /// Refuses what is looked after, but not held: what may be given away below a prefix.
    pub(crate) fn must_hold(&self, actions: &[Action], prefix: &Name) -> Result<(), ApiError> {
        self.must_keep(prefix)?;
        actions.iter().try_for_each(|action| self.caller.may(*action, prefix))
    }

    /// Refuses what grants more than this caller holds.
    pub(crate) fn must_hold_all(&self, grant: &Grant) -> Result<(), ApiError> {
        grant.prefixes().iter().try_for_each(|prefix| self.must_hold(grant.actions(), prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(grants: &[(&[&str], &[Action])], domains: &[&str]) -> Admin {
        let grants = grants.iter().map(|(prefixes, actions)| grant(prefixes, actions)).collect();
        let until = std::time::SystemTime::UNIX_EPOCH;
        let caller = Caller::job("oidc:x:y".to_owned(), Vec::new(), until, grants);
        let domains: Vec<web::Domain> = domains.iter().map(|d| d.parse().unwrap()).collect();
        Admin::new(caller, &domains.try_into().unwrap()).unwrap()
    }

    fn grant(prefixes: &[&str], actions: &[Action]) -> Grant {
        Grant::new(prefixes.iter().map(|p| p.parse().unwrap()).collect(), actions.to_vec())
    }

    #[test]
    fn admin_gives_no_more_than_is_held() {
        use Action::{Admin, Push, Read};
        // Looked after: a and b. Pushed: b, and c, which is not looked after.
        let admin = admin(
            &[
                (&["example.com/a"], &[Admin, Read]),
                (&["example.com/b", "example.com/c"], &[Push]),
                (&["example.com/b"], &[Admin]),
            ],
            &["example.com"],
        );
        for (prefixes, actions, held) in [
            (&["example.com/a"][..], &[Admin, Read][..], true),
            (&["example.com/a/x", "example.com/a/y"], &[Read], true),
            (&["example.com/b"], &[Push, Admin], true),
            (&["example.com/a", "example.com/b"], &[Admin], true),
            (&["example.com/a"], &[Push], false),
            (&["example.com/b"], &[Read], false),
            (&["example.com/a", "example.com/b"], &[Push], false),
            (&["example.com/c"], &[Push], false),
            (&["example.com"], &[Read], false),
            (&["example.com/ab"], &[Read], false),
            (&["example.com/a", "example.org"], &[Admin], false),
        ] {
            let grant = grant(prefixes, actions);
            assert_eq!(admin.must_hold_all(&grant).is_ok(), held, "{grant}");
        }
        assert!(admin.of_all().is_err());
    }

    #[test]
    fn admin_of_every_domain_looks_after_all_and_gives_what_is_held() {
        let all = &["example.com", "example.org"][..];
        let admin_of = |prefixes: &[&str]| admin(&[(prefixes, &[Action::Admin])], all);
        assert!(admin_of(&["example.com"]).of_all().is_err());
        assert!(admin_of(&["example.com/a", "example.org"]).of_all().is_err());
        let whole = admin_of(all).of_all().unwrap();
        let elsewhere = grant(&["example.net"], &[Action::Push]);
        assert!(whole.keeps_all(&elsewhere) && whole.must_hold_all(&elsewhere).is_err());
        assert!(whole.keeps_all(&Grant::default()));
        assert!(!admin_of(&["example.com"]).keeps_all(&Grant::default()));
    }
}
