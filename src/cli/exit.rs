//! How a command ends: the documented exit codes, and what is said on the way out.

use std::io::Write;
use std::process::ExitCode;

use aci::{Refusal, Refuse};
use builder::manifest::EditFault;
use discovery::explain::Step;

use super::Context;

/// What kind of end it is; the number is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something went wrong that no other code names.
    Failed = 1,
    /// What was to be removed was absent.
    Absent = 2,
    /// The command line makes no sense.
    Usage = 3,
    /// No such image, key or file.
    NotFound = 4,
    /// Refused by trust or verification.
    Refused = 5,
    /// Refused by the server.
    Server = 6,
    /// The network, or the other end, failed.
    Network = 7,
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error, said as its chain of causes.
    Error(Kind, anyhow::Error),
    /// A refusal, said as wanted, found, rule and next step.
    Refusal(Kind, Box<Refusal>),
    /// A refusal by trust: exit code 5, and the decisions that led to it.
    Untrusted(Box<Refusal>, Box<Step>),
    /// A program that was run ended with this code, which is passed on.
    Child(u8),
    /// The answer is no, and was printed.
    No,
    /// What went wrong was printed as the answer.
    Said(Kind),
}

impl Failure {
    /// An error of this kind.
    pub(crate) fn new(kind: Kind, error: impl Into<anyhow::Error>) -> Self {
        Self::Error(kind, error.into())
    }

    /// A refusal of this kind.
    pub(crate) fn refusal(kind: Kind, refusal: Refusal) -> Self {
        Self::Refusal(kind, Box::new(refusal))
    }

    /// The same failure, saying which of several things it is of.
    pub(crate) fn of(self, what: &str) -> Self {
        match self {
            Self::Refusal(kind, mut refusal) => {
                refusal.message = format!("{what}: {}", refusal.message);
                Self::Refusal(kind, refusal)
            }
            Self::Untrusted(mut refusal, tree) => {
                refusal.message = format!("{what}: {}", refusal.message);
                Self::Untrusted(refusal, tree)
            }
            Self::Error(kind, error) => Self::Error(kind, error.context(what.to_owned())),
            other => other,
        }
    }

    /// The same, said as JSON on stderr now. What was said is not said again.
    pub(crate) fn said_as_json(self) -> Self {
        match said(self, true) {
            Ok(kind) => Self::Said(kind),
            Err(silent) => silent,
        }
    }

    /// A refusal by trust, and the decisions that led to it.
    pub(crate) fn untrusted(error: &impl Refuse, tree: Step) -> Self {
        Self::Untrusted(Box::new(error.refusal()), Box::new(tree))
    }

    /// A refusal by trust, verification or format: exit code 5.
    pub(crate) fn refused(error: &impl Refuse) -> Self {
        Self::refusal(Kind::Refused, error.refusal())
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let kind = match error.downcast_ref() {
            Some(EditFault::Absent(_)) => Kind::Absent,
            Some(EditFault::Manifest(_)) => Kind::Refused,
            Some(EditFault::Edit(_) | EditFault::Value(_)) => Kind::Usage,
            None => Kind::Failed,
        };
        Self::new(kind, error)
    }
}

/// Says what clap has to say: help on stdout with code 0, bad usage on stderr with code 3,
/// as JSON where the command line asks for it before it goes wrong or after.
pub(super) fn usage(error: &clap::Error, code: u8, json: bool) -> ExitCode {
    let wanted = !error.use_stderr();
    if json && !wanted {
        let text = error.to_string();
        let message = text.trim_start_matches("error: ").trim_end();
        say(Kind::Usage, message, plain(Kind::Usage, message), None, true);
        return ExitCode::from(code);
    }
    // A closed pipe is the reader's choice.
    let _ = error.print();
    if wanted { ExitCode::SUCCESS } else { ExitCode::from(code) }
}

/// Says of a command line what clap has not seen, with code 3.
pub(super) fn usage_text(text: &str, json: bool) -> ExitCode {
    say(Kind::Usage, text, plain(Kind::Usage, text), None, json);
    ExitCode::from(Kind::Usage as u8)
}

/// Says why a command failed, in text or JSON on stderr, and gives its exit code.
pub(super) fn report(context: &Context, result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    match said(failure, context.json()) {
        Ok(kind) | Err(Failure::Said(kind)) => ExitCode::from(kind as u8),
        Err(Failure::Child(code)) => ExitCode::from(code),
        Err(_) => ExitCode::from(Kind::Failed as u8),
    }
}

/// Says why a command failed; what has nothing to say is given back.
fn said(failure: Failure, json: bool) -> Result<Kind, Failure> {
    let (kind, text, refusal, tree) = match failure {
        Failure::Error(kind, error) => {
            let text = discovery::chain(&*error);
            let refusal = plain(kind, &text);
            (kind, text, refusal, None)
        }
        Failure::Refusal(kind, refusal) => (kind, refusal.to_string(), *refusal, None),
        Failure::Untrusted(refusal, tree) => (
            Kind::Refused,
            format!("{refusal}\n{}", tree.to_string().trim_end()),
            *refusal,
            Some(tree),
        ),
        silent @ (Failure::Child(_) | Failure::No | Failure::Said(_)) => return Err(silent),
    };
    say(kind, &text, refusal, tree.as_deref(), json);
    Ok(kind)
}

fn say(kind: Kind, text: &str, refusal: Refusal, tree: Option<&Step>, json: bool) {
    let line = if json {
        let mut value = serde_json::json!({ "error": refusal, "exitCode": kind as u8 });
        if let Some(tree) = tree {
            value["tree"] = serde_json::json!(tree);
        }
        value.to_string()
    } else {
        format!("gantry: {}", discovery::printable(text))
    };
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// An error that is no refusal, in the form of one.
fn plain(kind: Kind, message: &str) -> Refusal {
    Refusal {
        code: kind.word().to_owned(),
        message: message.to_owned(),
        wanted: String::new(),
        found: String::new(),
        rule: String::new(),
        next: String::new(),
    }
}

impl From<discovery::Kind> for Kind {
    fn from(kind: discovery::Kind) -> Self {
        match kind {
            discovery::Kind::Failed => Self::Failed,
            discovery::Kind::Usage => Self::Usage,
            discovery::Kind::NotFound => Self::NotFound,
            discovery::Kind::Refused => Self::Refused,
            discovery::Kind::Server => Self::Server,
            discovery::Kind::Network => Self::Network,
        }
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Absent => "absent",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Refused => "refused",
            Self::Server => "refused-by-server",
            Self::Network => "network",
        }
    }
}
