//! Why an isolator, or a list of them, is not acceptable.

use crate::json::JsonPath;
use crate::quantity::QuantityError;

/// Why an isolator is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsolatorError {
    /// The value has another JSON type.
    #[error("{name}: {field} must be {wanted}, not {found}")]
    Type {
        /// The isolator.
        name: String,
        /// `value`, or a path into it such as `value.set[0]`.
        field: String,
        /// What it has to be.
        wanted: &'static str,
        /// The JSON found, cut where it is long.
        found: String,
    },
    /// A key that differs from one of the spec's only in case.
    #[error(
        "{name}: the key value.{found} must be written {expected:?}: other tools would read it as that"
    )]
    KeyCase {
        /// The isolator.
        name: String,
        /// The key found.
        found: String,
        /// The spec's key.
        expected: &'static str,
    },
    /// A request or limit that is no quantity.
    #[error("{name}: value.{field}: {source}")]
    Quantity {
        /// The isolator.
        name: String,
        /// `request` or `limit`.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: QuantityError,
    },
    /// `default` is wrong for this resource.
    #[error("{name}: value.default must be {wanted}")]
    Default {
        /// The isolator.
        name: String,
        /// What it has to be.
        wanted: bool,
    },
    /// A resource that has a limit only.
    #[error("{name}: value.request is set, and this resource has only a limit")]
    Request {
        /// The isolator.
        name: String,
    },
    /// A set without members.
    #[error("{name}: value.set must name at least one member")]
    EmptySet {
        /// The isolator.
        name: String,
    },
    /// Something that cannot be the name of an error code.
    #[error("{name}: value.errno must be E and upper case letters or digits, not {found:?}")]
    Errno {
        /// The isolator.
        name: String,
        /// The text found.
        found: String,
    },
    /// A number outside its range.
    #[error("{name}: value must be between {least} and {most}, not {found}")]
    Range {
        /// The isolator.
        name: String,
        /// The least number that is allowed.
        least: i64,
        /// The greatest.
        most: i64,
        /// The number found.
        found: i64,
    },
    /// A part of a security context that is empty, or holds what separates the parts.
    #[error("{name}: value.{field} must be a text that is not empty{without}, not {found:?}")]
    Context {
        /// The isolator.
        name: String,
        /// The part.
        field: &'static str,
        /// What else the text may not be, in words; can be empty.
        without: &'static str,
        /// The text found; empty where it is absent.
        found: String,
    },
    /// A name that is none of the spec's.
    #[error("{name} is no isolator that the specification names")]
    Unknown {
        /// The isolator.
        name: String,
    },
    /// The same isolator twice.
    #[error("{name} can be given only once")]
    Repeated {
        /// The isolator.
        name: String,
    },
    /// Two that exclude each other.
    #[error("{name} and {other} cannot stand together")]
    Conflict {
        /// The isolator that came later.
        name: String,
        /// The one before.
        other: &'static str,
    },
}

impl IsolatorError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Type { .. } => "isolator-type",
            Self::KeyCase { .. } => "isolator-key-case",
            Self::Quantity { .. } => "isolator-quantity",
            Self::Default { .. } => "isolator-default",
            Self::Request { .. } => "isolator-request",
            Self::EmptySet { .. } => "isolator-set-empty",
            Self::Errno { .. } => "isolator-errno",
            Self::Range { .. } => "isolator-range",
            Self::Context { .. } => "isolator-context",
            Self::Unknown { .. } => "isolator-unknown",
            Self::Repeated { .. } => "isolator-repeated",
            Self::Conflict { .. } => "isolator-conflict",
        }
    }

    /// The isolator it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Type { name, .. }
            | Self::KeyCase { name, .. }
            | Self::Quantity { name, .. }
            | Self::Default { name, .. }
            | Self::Request { name }
            | Self::EmptySet { name }
            | Self::Errno { name, .. }
            | Self::Range { name, .. }
            | Self::Context { name, .. }
            | Self::Unknown { name }
            | Self::Repeated { name }
            | Self::Conflict { name, .. } => name,
        }
    }

    /// Where below the isolator's value it is; `None` where it is about the value as a whole, or
    /// about something that is not there.
    pub(super) fn place(&self) -> Option<JsonPath> {
        let of = |field: &str| field.parse().ok();
        match self {
            Self::Type { field, .. } => of(field.strip_prefix("value.")?),
            Self::KeyCase { found, .. } => Some(JsonPath::default().key(found)),
            Self::Quantity { field, .. } | Self::Context { field, .. } => of(field),
            Self::Default { .. } => of("default"),
            Self::Request { .. } => of("request"),
            Self::EmptySet { .. } => of("set"),
            Self::Errno { .. } => of("errno"),
            Self::Range { .. }
            | Self::Unknown { .. }
            | Self::Repeated { .. }
            | Self::Conflict { .. } => None,
        }
    }

    /// The part of the specification that it breaks.
    pub fn section(&self) -> &'static str {
        match self.name() {
            _ if matches!(self, Self::Unknown { .. }) => "spec: ace.md, Isolators",
            name => section(name),
        }
    }
}

/// The part of the specification about the isolator `name`.
pub(super) fn section(name: &str) -> &'static str {
    match name {
        name if name.starts_with("resource/") => "spec: ace.md, Resource Isolators",
        name if name.starts_with("os/unix/") => "spec: ace.md, Unix Isolators",
        _ => "spec: ace.md, Linux Isolators",
    }
}
