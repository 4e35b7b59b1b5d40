//! What the spec allows and the author hardly meant.

use super::IsolatorValue;
use super::capability::{DEFAULT_CAPABILITIES, capability};
use super::errno::errno;
use super::error::section;
use super::name;
use super::resource::Resource;
use super::set::{CapabilitySet, SeccompSet};

/// Where a list of isolators stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// In an app section, of an image or of a pod.
    App,
    /// In a pod manifest, for the whole pod.
    Pod,
}

/// Something about an isolator that no rule forbids and that deserves a warning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsolatorDoubt {
    /// The spec defines it for the other scope only.
    #[error("{name} is defined for {scope} only, and has no effect here")]
    Scope {
        /// The isolator.
        name: String,
        /// Where it would have an effect.
        scope: &'static str,
    },
    /// One that Linux executors know and no release of the spec names.
    #[error("{name} is in no release of the specification, and its reference tools refuse it")]
    OutsideSpec {
        /// The isolator.
        name: String,
    },
    /// A resource that is limited twice.
    #[error("{name} is given more than once; the last one counts")]
    Repeated {
        /// The isolator.
        name: String,
    },
    /// More is asked for than is allowed.
    #[error("{name}: the request {request} is above the limit {limit}")]
    RequestAboveLimit {
        /// The isolator.
        name: String,
        /// The request, canonical.
        request: String,
        /// The limit, canonical.
        limit: String,
    },
    /// A resource without a limit.
    #[error("{name}: there is no limit")]
    NoLimit {
        /// The isolator.
        name: String,
    },
    /// Less than nothing.
    #[error("{name}: {found} is below zero")]
    Negative {
        /// The isolator.
        name: String,
        /// The quantity, canonical.
        found: String,
    },
    /// No capability of Linux.
    #[error("{name}: {found:?} is no capability that Linux has")]
    Capability {
        /// The isolator.
        name: String,
        /// The name found.
        found: String,
    },
    /// Removed, and not there in the first place.
    #[error("{name}: {found} is not in the default set, so that removing it has no effect")]
    NotDefault {
        /// The isolator.
        name: String,
        /// The capability.
        found: String,
    },
    /// No error code of Linux.
    #[error("{name}: {found} is no error code that Linux has")]
    Errno {
        /// The isolator.
        name: String,
        /// The name found.
        found: String,
    },
    /// A wildcard in the spec's own name space that the spec does not define for this set.
    #[error("{name}: {found:?} is no wildcard that the specification defines for this set")]
    Wildcard {
        /// The isolator.
        name: String,
        /// The wildcard.
        found: String,
    },
    /// A system call with an empty name.
    #[error("{name}: a system call has an empty name")]
    EmptyCall {
        /// The isolator.
        name: String,
    },
}

impl IsolatorDoubt {
    /// The isolator it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Scope { name, .. }
            | Self::OutsideSpec { name }
            | Self::Repeated { name }
            | Self::RequestAboveLimit { name, .. }
            | Self::NoLimit { name }
            | Self::Negative { name, .. }
            | Self::Capability { name, .. }
            | Self::NotDefault { name, .. }
            | Self::Errno { name, .. }
            | Self::Wildcard { name, .. }
            | Self::EmptyCall { name } => name,
        }
    }

    /// The part of the specification about that isolator.
    pub fn section(&self) -> &'static str {
        section(self.name())
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Scope { .. } => "isolator-scope",
            Self::OutsideSpec { .. } => "isolator-outside-spec",
            Self::Repeated { .. } => "isolator-overridden",
            Self::RequestAboveLimit { .. } => "isolator-request-above-limit",
            Self::NoLimit { .. } => "isolator-no-limit",
            Self::Negative { .. } => "isolator-negative",
            Self::Capability { .. } => "isolator-capability-unknown",
            Self::NotDefault { .. } => "isolator-no-effect",
            Self::Errno { .. } => "isolator-errno-unknown",
            Self::Wildcard { .. } => "isolator-wildcard-unknown",
            Self::EmptyCall { .. } => "isolator-call-empty",
        }
    }
}

/// What deserves a warning about a list of isolators that stands in `scope`, each with
/// the index of its isolator.
pub fn doubts(isolators: &[IsolatorValue], scope: Scope) -> Vec<(usize, IsolatorDoubt)> {
    let of_one =
        |index: usize| of_one(isolators, index, scope).into_iter().map(move |d| (index, d));
    (0..isolators.len()).flat_map(of_one).collect()
}

fn of_one(isolators: &[IsolatorValue], index: usize, scope: Scope) -> Vec<IsolatorDoubt> {
    let isolator = &isolators[index];
    let mut doubts = Vec::new();
    let name = isolator.name();
    let owned = || name.to_owned();
    match isolator {
        IsolatorValue::BlockBandwidth(resource)
        | IsolatorValue::BlockIops(resource)
        | IsolatorValue::Cpu(resource)
        | IsolatorValue::Memory(resource)
        | IsolatorValue::NetworkBandwidth(resource) => {
            if isolators[..index].iter().any(|other| other.name() == name) {
                doubts.push(IsolatorDoubt::Repeated { name: owned() });
            }
            doubts.extend(of_resource(name, resource));
        }
        IsolatorValue::CapabilitiesRetain(set) | IsolatorValue::CapabilitiesRemove(set) => {
            doubts.extend(of_capabilities(name, set));
        }
        IsolatorValue::SeccompRetain(set) | IsolatorValue::SeccompRemove(set) => {
            doubts.extend(of_seccomp(name, set));
        }
        IsolatorValue::ApparmorProfile(_) if scope == Scope::App => {
            doubts.push(IsolatorDoubt::OutsideSpec { name: owned() });
        }
        _ => {}
    }
    match (only(isolator), scope) {
        (Some(Scope::Pod), Scope::App) => {
            doubts.push(IsolatorDoubt::Scope { name: owned(), scope: "pods" });
        }
        (Some(Scope::App), Scope::Pod) => {
            doubts.push(IsolatorDoubt::Scope { name: owned(), scope: "apps" });
        }
        _ => {}
    }
    doubts
}

/// The one scope the spec defines an isolator for, where it is one.
fn only(isolator: &IsolatorValue) -> Option<Scope> {
    match isolator {
        IsolatorValue::Sysctl(_) => Some(Scope::Pod),
        IsolatorValue::SeccompRetain(_)
        | IsolatorValue::SeccompRemove(_)
        | IsolatorValue::CapabilitiesRetain(_)
        | IsolatorValue::CapabilitiesRemove(_)
        | IsolatorValue::NoNewPrivileges(_) => Some(Scope::App),
        _ => None,
    }
}

fn of_resource(name: &str, resource: &Resource) -> Vec<IsolatorDoubt> {
    let mut doubts = Vec::new();
    let owned = || name.to_owned();
    for quantity in [resource.request(), resource.limit()].into_iter().flatten() {
        if quantity.is_negative() {
            doubts.push(IsolatorDoubt::Negative { name: owned(), found: quantity.to_string() });
        }
    }
    match (resource.request(), resource.limit()) {
        (_, None) => doubts.push(IsolatorDoubt::NoLimit { name: owned() }),
        (Some(request), Some(limit)) if request > limit => {
            let (request, limit) = (request.to_string(), limit.to_string());
            doubts.push(IsolatorDoubt::RequestAboveLimit { name: owned(), request, limit });
        }
        _ => {}
    }
    doubts
}

fn of_capabilities(name: &str, set: &CapabilitySet) -> Vec<IsolatorDoubt> {
    let doubt = |found: &String| {
        let (name, found) = (name.to_owned(), found.clone());
        match capability(&found) {
            None => Some(IsolatorDoubt::Capability { name, found }),
            Some(known)
                if name == name::CAPABILITIES_REMOVE && !DEFAULT_CAPABILITIES.contains(&known) =>
            {
                Some(IsolatorDoubt::NotDefault { name, found })
            }
            Some(_) => None,
        }
    };
    set.names().iter().filter_map(doubt).collect()
}

fn of_seccomp(name: &str, set: &SeccompSet) -> Vec<IsolatorDoubt> {
    let defined = if name == name::SECCOMP_RETAIN { "@appc.io/all" } else { "@appc.io/empty" };
    let doubt = |found: &String| {
        let (name, found) = (name.to_owned(), found.clone());
        if found.is_empty() {
            return Some(IsolatorDoubt::EmptyCall { name });
        }
        // Other name spaces are other programs' to define.
        let ours = found.starts_with("@appc.io/") && found != defined;
        ours.then_some(IsolatorDoubt::Wildcard { name, found })
    };
    let mut doubts: Vec<IsolatorDoubt> = set.names().iter().filter_map(doubt).collect();
    if let Some(found) = set.errno().filter(|code| errno(code).is_none()) {
        let (name, found) = (name.to_owned(), found.to_owned());
        doubts.push(IsolatorDoubt::Errno { name, found });
    }
    doubts
}
