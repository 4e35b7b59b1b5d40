//! Isolators: limits and privileges of an app or a pod (spec: ace.md, "Isolators").
//!
//! A manifest carries them as a name and any JSON value; here they are read into
//! types, and what the spec says about a list of them is checked.
//!
//! ```
//! use aci::isolator::{self, IsolatorValue};
//!
//! let value = serde_json::json!({"request": "1G", "limit": "2Gi"});
//! let IsolatorValue::Memory(memory) = isolator::parse("resource/memory", &value)? else {
//!     unreachable!()
//! };
//! assert_eq!(memory.limit().and_then(aci::Quantity::whole), Some(2 << 30));
//! # Ok::<(), isolator::IsolatorError>(())
//! ```
//!
//! | name | value | type |
//! |---|---|---|
//! | `resource/cpu`, `resource/memory` | `{"request": Q, "limit": Q}` | [`Resource`] |
//! | `resource/block-bandwidth`, `resource/block-iops`, `resource/network-bandwidth` | `{"default": true, "limit": Q}` | [`Resource`] |
//! | `os/linux/capabilities-retain-set`, `os/linux/capabilities-remove-set` | `{"set": [NAME]}` | [`CapabilitySet`] |
//! | `os/linux/seccomp-retain-set`, `os/linux/seccomp-remove-set` | `{"set": [NAME], "errno": NAME}` | [`SeccompSet`] |
//! | `os/linux/selinux-context` | `{"user": T, "role": T, "type": T, "level": T}` | [`SelinuxContext`] |
//! | `os/linux/apparmor-profile` | `{"profile": T}` | [`ApparmorProfile`] |
//! | `os/linux/oom-score-adj` | −1000 to 1000 | [`OomScoreAdj`] |
//! | `os/linux/cpu-shares` | 2 to 262144 | [`CpuShares`] |
//! | `os/linux/no-new-privileges` | `true` or `false` | `bool` |
//! | `os/unix/sysctl` | `{KEY: TEXT}` | [`Sysctl`] |

mod capability;
mod check;
mod context;
mod doubt;
mod errno;
mod error;
mod object;
mod resource;
mod scalar;
mod set;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde_json::Value;

pub(crate) use check::read;

pub use capability::{DEFAULT_CAPABILITIES, capability};
pub use context::{ApparmorProfile, SelinuxContext};
pub use doubt::{IsolatorDoubt, Scope, doubts};
pub use errno::errno;
pub use error::IsolatorError;
pub use resource::Resource;
pub use scalar::{CpuShares, OomScoreAdj, Sysctl};
pub use set::{CapabilitySet, SeccompSet};

/// The names the spec gives, with its reference implementation's for Linux.
pub mod name {
    /// Bytes per second of all block devices.
    pub const BLOCK_BANDWIDTH: &str = "resource/block-bandwidth";
    /// Operations per second of all block devices.
    pub const BLOCK_IOPS: &str = "resource/block-iops";
    /// Cores.
    pub const CPU: &str = "resource/cpu";
    /// Bytes of memory.
    pub const MEMORY: &str = "resource/memory";
    /// Bytes per second of all network interfaces.
    pub const NETWORK_BANDWIDTH: &str = "resource/network-bandwidth";
    /// The capabilities that remain.
    pub const CAPABILITIES_RETAIN: &str = "os/linux/capabilities-retain-set";
    /// The capabilities that are taken from the default set.
    pub const CAPABILITIES_REMOVE: &str = "os/linux/capabilities-remove-set";
    /// The system calls that are allowed.
    pub const SECCOMP_RETAIN: &str = "os/linux/seccomp-retain-set";
    /// The system calls that are blocked.
    pub const SECCOMP_REMOVE: &str = "os/linux/seccomp-remove-set";
    /// The SELinux context.
    pub const SELINUX_CONTEXT: &str = "os/linux/selinux-context";
    /// The AppArmor profile.
    pub const APPARMOR_PROFILE: &str = "os/linux/apparmor-profile";
    /// Who is killed first when memory runs out.
    pub const OOM_SCORE_ADJ: &str = "os/linux/oom-score-adj";
    /// The weight of processor time.
    pub const CPU_SHARES: &str = "os/linux/cpu-shares";
    /// Kernel parameters.
    pub const SYSCTL: &str = "os/unix/sysctl";
    /// Whether privileges can never be gained.
    pub const NO_NEW_PRIVILEGES: &str = "os/linux/no-new-privileges";
}

/// An isolator whose value was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IsolatorValue {
    /// `resource/block-bandwidth`, in bytes per second.
    BlockBandwidth(Resource),
    /// `resource/block-iops`, in operations per second.
    BlockIops(Resource),
    /// `resource/cpu`, in cores.
    Cpu(Resource),
    /// `resource/memory`, in bytes.
    Memory(Resource),
    /// `resource/network-bandwidth`, in bytes per second.
    NetworkBandwidth(Resource),
    /// `os/linux/capabilities-retain-set`.
    CapabilitiesRetain(CapabilitySet),
    /// `os/linux/capabilities-remove-set`.
    CapabilitiesRemove(CapabilitySet),
    /// `os/linux/seccomp-retain-set`.
    SeccompRetain(SeccompSet),
    /// `os/linux/seccomp-remove-set`.
    SeccompRemove(SeccompSet),
    /// `os/linux/selinux-context`.
    SelinuxContext(SelinuxContext),
    /// `os/linux/apparmor-profile`.
    ApparmorProfile(ApparmorProfile),
    /// `os/linux/oom-score-adj`.
    OomScoreAdj(OomScoreAdj),
    /// `os/linux/cpu-shares`.
    CpuShares(CpuShares),
    /// `os/unix/sysctl`.
    Sysctl(Sysctl),
    /// `os/linux/no-new-privileges`.
    NoNewPrivileges(bool),
    /// One that is none of the spec's, by name. Its value means nothing here.
    Unknown(String),
}

/// Reads the value of the isolator `name`. A name that is none of the spec's is
/// no error here: what becomes of it is for the caller to say.
pub fn parse(name: &str, value: &Value) -> Result<IsolatorValue, IsolatorError> {
    use IsolatorValue as Is;
    Ok(match name {
        name::BLOCK_BANDWIDTH => Is::BlockBandwidth(Resource::of_all(name, value)?),
        name::BLOCK_IOPS => Is::BlockIops(Resource::of_all(name, value)?),
        name::NETWORK_BANDWIDTH => Is::NetworkBandwidth(Resource::of_all(name, value)?),
        name::CPU => Is::Cpu(Resource::of_app(name, value)?),
        name::MEMORY => Is::Memory(Resource::of_app(name, value)?),
        name::CAPABILITIES_RETAIN => Is::CapabilitiesRetain(CapabilitySet::parse(name, value)?),
        name::CAPABILITIES_REMOVE => Is::CapabilitiesRemove(CapabilitySet::parse(name, value)?),
        name::SECCOMP_RETAIN => Is::SeccompRetain(SeccompSet::parse(name, value)?),
        name::SECCOMP_REMOVE => Is::SeccompRemove(SeccompSet::parse(name, value)?),
        name::SELINUX_CONTEXT => Is::SelinuxContext(SelinuxContext::parse(name, value)?),
        name::APPARMOR_PROFILE => Is::ApparmorProfile(ApparmorProfile::parse(name, value)?),
        name::OOM_SCORE_ADJ => Is::OomScoreAdj(OomScoreAdj::parse(name, value)?),
        name::CPU_SHARES => Is::CpuShares(CpuShares::parse(name, value)?),
        name::SYSCTL => Is::Sysctl(Sysctl::parse(name, value)?),
        name::NO_NEW_PRIVILEGES => Is::NoNewPrivileges(scalar::switch(name, value)?),
        _ => Is::Unknown(name.to_owned()),
    })
}

/// What is wrong with a list of isolators, each of which is well by itself: names
/// that are none of the spec's, and those that cannot stand twice or together. Each
/// fault comes with the index of the isolator that it is about.
pub fn check_set(isolators: &[IsolatorValue]) -> Vec<(usize, IsolatorError)> {
    let mut faults = Vec::new();
    let mut before: HashSet<&str> = HashSet::new();
    for (index, isolator) in isolators.iter().enumerate() {
        let stands = |name: &str| before.contains(name);
        if let IsolatorValue::Unknown(name) = isolator {
            faults.push((index, IsolatorError::Unknown { name: name.clone() }));
        } else if !isolator.can_stand_twice() && stands(isolator.name()) {
            faults.push((index, IsolatorError::Repeated { name: isolator.name().to_owned() }));
        }
        if let Some(other) = isolator.excludes().filter(|other| stands(other)) {
            let name = isolator.name().to_owned();
            faults.push((index, IsolatorError::Conflict { name, other }));
        }
        before.insert(isolator.name());
    }
    faults
}

impl IsolatorValue {
    /// The isolator's name.
    pub fn name(&self) -> &str {
        match self {
            Self::BlockBandwidth(_) => name::BLOCK_BANDWIDTH,
            Self::BlockIops(_) => name::BLOCK_IOPS,
            Self::Cpu(_) => name::CPU,
            Self::Memory(_) => name::MEMORY,
            Self::NetworkBandwidth(_) => name::NETWORK_BANDWIDTH,
            Self::CapabilitiesRetain(_) => name::CAPABILITIES_RETAIN,
            Self::CapabilitiesRemove(_) => name::CAPABILITIES_REMOVE,
            Self::SeccompRetain(_) => name::SECCOMP_RETAIN,
            Self::SeccompRemove(_) => name::SECCOMP_REMOVE,
            Self::SelinuxContext(_) => name::SELINUX_CONTEXT,
            Self::ApparmorProfile(_) => name::APPARMOR_PROFILE,
            Self::OomScoreAdj(_) => name::OOM_SCORE_ADJ,
            Self::CpuShares(_) => name::CPU_SHARES,
            Self::Sysctl(_) => name::SYSCTL,
            Self::NoNewPrivileges(_) => name::NO_NEW_PRIVILEGES,
            Self::Unknown(name) => name,
        }
    }

    /// Whether the name is one of the spec's.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }

    /// Where two of a kind have one meaning: the last resource counts, sets are
    /// united, and one `true` is enough for no new privileges.
    fn can_stand_twice(&self) -> bool {
        match self {
            Self::BlockBandwidth(_)
            | Self::BlockIops(_)
            | Self::Cpu(_)
            | Self::Memory(_)
            | Self::NetworkBandwidth(_)
            | Self::CapabilitiesRetain(_)
            | Self::CapabilitiesRemove(_)
            | Self::NoNewPrivileges(_)
            | Self::Unknown(_) => true,
            Self::SeccompRetain(_)
            | Self::SeccompRemove(_)
            | Self::SelinuxContext(_)
            | Self::ApparmorProfile(_)
            | Self::OomScoreAdj(_)
            | Self::CpuShares(_)
            | Self::Sysctl(_) => false,
        }
    }

    /// The one this cannot stand together with.
    fn excludes(&self) -> Option<&'static str> {
        match self {
            Self::CapabilitiesRetain(_) => Some(name::CAPABILITIES_REMOVE),
            Self::CapabilitiesRemove(_) => Some(name::CAPABILITIES_RETAIN),
            Self::SeccompRetain(_) => Some(name::SECCOMP_REMOVE),
            Self::SeccompRemove(_) => Some(name::SECCOMP_RETAIN),
            _ => None,
        }
    }
}
