//! The part of an OCI runtime configuration (`config.json`) that is written here.
//!
//! Source: OCI Runtime Specification 1.0, `config.md` and `config-linux.md`. The
//! version written is exactly `1.0.0`: systemd-nspawn accepts no other.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

/// The whole file.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    pub(crate) oci_version: &'static str,
    pub(crate) process: Process,
    pub(crate) root: RootFolder,
    pub(crate) hostname: String,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) linux: Linux,
}

impl Config {
    /// The same, read from another folder: paths relative to the bundle get `prefix`.
    pub(crate) fn seen_from(&self, prefix: &Path) -> Self {
        let mut config = self.clone();
        let moved = |path: &str| prefix.join(path).display().to_string();
        config.root.path = moved(&config.root.path);
        for mount in &mut config.mounts {
            if mount.kind == "bind" {
                mount.source = moved(&mount.source);
            }
        }
        config
    }
}

/// The program to run, and as whom.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Process {
    pub(crate) terminal: bool,
    pub(crate) user: User,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) capabilities: Capabilities,
    pub(crate) no_new_privileges: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oom_score_adj: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) apparmor_profile: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) selinux_label: Option<String>,
}

/// Numbers only: names were looked up in the image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) additional_gids: Vec<u32>,
}

/// Nothing is inheritable or ambient, which is said where silence would mean something else.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Capabilities {
    pub(crate) bounding: Vec<&'static str>,
    pub(crate) effective: Vec<&'static str>,
    pub(crate) inheritable: Vec<&'static str>,
    pub(crate) permitted: Vec<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct RootFolder {
    pub(crate) path: String,
    pub(crate) readonly: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Mount {
    pub(crate) destination: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) source: String,
    pub(crate) options: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Linux {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) uid_mappings: Vec<IdMapping>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) gid_mappings: Vec<IdMapping>,
    pub(crate) namespaces: Vec<Namespace>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sysctl: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resources: Option<Resources>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seccomp: Option<Seccomp>,
    pub(crate) masked_paths: Vec<&'static str>,
    pub(crate) readonly_paths: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mount_label: Option<String>,
}

/// A run of user or group IDs inside the container and what they are outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdMapping {
    /// The first ID inside.
    #[serde(rename = "containerID")]
    pub container: u32,
    /// The first ID outside.
    #[serde(rename = "hostID")]
    pub host: u32,
    /// How many.
    pub size: u32,
}

/// A namespace of its own, or the one at `path`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Namespace {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Resources {
    pub(crate) devices: Vec<DeviceRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<Cpu>,
    #[serde(rename = "blockIO", skip_serializing_if = "Option::is_none")]
    pub(crate) block_io: Option<BlockIo>,
}

/// Limits of block devices, in bytes or operations a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BlockIo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) throttle_read_bps_device: Vec<Throttle>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) throttle_write_bps_device: Vec<Throttle>,
    #[serde(rename = "throttleReadIOPSDevice", skip_serializing_if = "Vec::is_empty")]
    pub(crate) throttle_read_iops_device: Vec<Throttle>,
    #[serde(rename = "throttleWriteIOPSDevice", skip_serializing_if = "Vec::is_empty")]
    pub(crate) throttle_write_iops_device: Vec<Throttle>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Throttle {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) rate: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct DeviceRule {
    pub(crate) allow: bool,
    pub(crate) access: &'static str,
}

/// In bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Memory {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reservation: Option<i64>,
}

/// Shares relative to 1024; quota and period in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Cpu {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shares: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quota: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) period: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seccomp {
    pub(crate) default_action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_errno_ret: Option<u32>,
    pub(crate) architectures: Vec<&'static str>,
    pub(crate) syscalls: Vec<SyscallRule>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SyscallRule {
    pub(crate) names: Vec<String>,
    pub(crate) action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) errno_ret: Option<u32>,
}
