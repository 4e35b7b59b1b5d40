//! Who asks, and what they may do.
//!
//! ```text
//! Authorization: Bearer gantry_5f0c…     → token:3a91c07b
//! Authorization: Basic (any:gantry_5f0c…)→ token:3a91c07b
//! no such header                         → nobody
//! ```
//!
//! A request becomes a [`Caller`] by its credentials, once. What the caller may do is then asked of
//! [`Caller::may`], with an action and a name, and nowhere else.

mod authenticate;
mod caller;
mod credentials;
mod grant;

pub(crate) use authenticate::Pusher;
pub(crate) use caller::{Caller, CallerId, Standing};
pub use grant::{Action, ActionError, Grant};
