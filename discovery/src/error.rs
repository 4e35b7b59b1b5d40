//! Everything the client can fail with, and what kind of failure each one is.

use aci::{Refusal, Refuse};
use keys::ReceiveError;

use crate::config::ConfigError;
use crate::explain::Step;
use crate::fetch::FetchError;
use crate::http::HttpError;
use crate::mirror::MirrorError;
use crate::published::PublishedError;
use crate::push::PushError;
use crate::refresh::RefreshError;
use crate::resolve::ResolveError;
use crate::store::{Damage, StoreError};
use crate::transfer::TransferError;

/// What kind of failure it is. A command turns it into its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// This machine failed: a file, a folder, a program's own fault.
    Failed,
    /// What was asked makes no sense.
    Usage,
    /// No such image, key or file.
    NotFound,
    /// Refused by trust or verification.
    Refused,
    /// Refused by the server.
    Server,
    /// The network, or the other end, failed.
    Network,
}

impl From<&ReceiveError> for Kind {
    fn from(error: &ReceiveError) -> Self {
        match error {
            ReceiveError::Read(_) | ReceiveError::Write(_) => Self::Failed,
            ReceiveError::Archive(_) | ReceiveError::Verify(_) => Self::Refused,
        }
    }
}

/// Why the client did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// One request.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Finding an image by its name.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Fetching and verifying an image.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored image that does not pass.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// Pushing an image.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The keys a domain publishes.
    #[error(transparent)]
    Published(#[from] PublishedError),
    /// Writing a mirror.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// Carrying images in a file.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// News of trusted keys.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
}

impl Error {
    /// What was decided on the way, where it is a matter of trust: `explain` in short.
    pub fn tree(&self) -> Option<&Step> {
        match self {
            Self::Fetch(error) => error.tree(),
            Self::Damage(error) => error.tree(),
            Self::Transfer(TransferError::Image(error))
            | Self::Mirror(MirrorError::Image(error)) => error.tree.as_deref(),
            _ => None,
        }
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Config(_) => Kind::Usage,
            Self::Http(error) => error.kind(),
            Self::Resolve(error) => error.kind(),
            Self::Fetch(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Damage(error) => error.kind(),
            Self::Push(error) => error.kind(),
            Self::Published(error) => error.kind(),
            Self::Mirror(error) => error.kind(),
            Self::Transfer(error) => error.kind(),
            Self::Refresh(error) => error.kind(),
        }
    }
}

impl Refuse for Error {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Config(error) => error.refusal(),
            Self::Http(error) => error.refusal(),
            Self::Resolve(error) => error.refusal(),
            Self::Fetch(error) => error.refusal(),
            Self::Store(error) => error.refusal(),
            Self::Damage(error) => error.refusal(),
            Self::Push(error) => error.refusal(),
            Self::Published(error) => error.refusal(),
            Self::Mirror(error) => error.refusal(),
            Self::Transfer(error) => error.refusal(),
            Self::Refresh(error) => error.refusal(),
        }
    }
}

/// A refusal of these parts, in the order they are said. Servers and images choose
/// some of the words, so all are made safe to print.
pub(crate) fn refusal(
    code: &str,
    message: impl ToString,
    wanted: impl Into<String>,
    found: impl Into<String>,
    rule: impl Into<String>,
    next: impl Into<String>,
) -> Refusal {
    printable_refusal(Refusal {
        code: code.to_owned(),
        message: message.to_string(),
        wanted: wanted.into(),
        found: found.into(),
        rule: rule.into(),
        next: next.into(),
    })
}

/// A refusal as a server worded it, made safe to print.
pub(crate) fn printable_refusal(refusal: Refusal) -> Refusal {
    let Refusal { code, message, wanted, found, rule, next } = refusal;
    Refusal {
        code: printable(&code),
        message: printable(&message),
        wanted: printable(&wanted),
        found: printable(&found),
        rule: printable(&rule),
        next: printable(&next),
    }
}

/// Text of a stranger, without what could steer a terminal or turn the direction of writing.
pub fn printable(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// The same on one line: a stranger's text cannot add a line to a list or a report.
pub fn printable_line(text: &str) -> String {
    printable(text).replace('\n', "\u{fffd}")
}

/// An error and its causes on one line, without saying any text twice.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Said {
        text: &'static str,
        source: Option<Box<Self>>,
    }

    #[test]
    fn a_chain_says_no_cause_twice() {
        let said = |text, source: Option<Said>| Said { text, source: source.map(Box::new) };
        let burns = said("it burns", None);
        let image = said("cannot write the image: it burns", Some(burns));
        let work = said("no image", Some(image));
        assert_eq!(chain(&work), "no image: cannot write the image: it burns");
    }
}
