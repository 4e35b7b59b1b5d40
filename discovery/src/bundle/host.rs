//! What this machine and this caller can do for a container.

use std::fs;
use std::path::Path;

use super::config::IdMapping;

/// What this machine and this caller can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The caller's user namespace, where the caller is not root.
    namespace: Option<UserNamespace>,
    /// Whether the kernel enforces AppArmor profiles.
    pub(crate) apparmor: bool,
    /// Whether the kernel enforces SELinux labels.
    pub(crate) selinux: bool,
    /// The numbers of the block devices that are real.
    pub(crate) block_devices: Vec<(u32, u32)>,
    /// Whether the caller, not root, may have control groups made by its systemd.
    pub(crate) delegated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UserNamespace {
    uids: Vec<IdMapping>,
    gids: Vec<IdMapping>,
}

impl Host {
    /// Root, on a kernel without AppArmor and SELinux.
    pub fn root() -> Self {
        Self {
            namespace: None,
            apparmor: false,
            selinux: false,
            block_devices: Vec::new(),
            delegated: false,
        }
    }

    /// A user without subordinate IDs: only the container's root exists, and is the caller.
    pub fn user(uid: u32, gid: u32) -> Self {
        let only = |host| vec![IdMapping { container: 0, host, size: 1 }];
        let namespace = UserNamespace { uids: only(uid), gids: only(gid) };
        Self { namespace: Some(namespace), ..Self::root() }
    }

    /// The calling process on this machine. `mapping_tools`: whether `newuidmap` and
    /// `newgidmap` are installed, without which subordinate IDs cannot be used.
    pub fn detect(mapping_tools: bool) -> Self {
        let uid = rustix::process::geteuid();
        let mut host = if uid.is_root() {
            Self::root()
        } else {
            Self::user(uid.as_raw(), rustix::process::getegid().as_raw())
        };
        if let Some(namespace) = host.namespace.as_mut().filter(|_| mapping_tools) {
            let user = user_name(&read("/etc/passwd"), uid.as_raw());
            let more = |file| subordinate(&read(file), user.as_deref(), uid.as_raw());
            if let (Some(uids), Some(gids)) = (more("/etc/subuid"), more("/etc/subgid")) {
                namespace.uids.push(uids);
                namespace.gids.push(gids);
            }
        }
        host.apparmor = read("/sys/module/apparmor/parameters/enabled").starts_with('Y');
        host.selinux = Path::new("/sys/fs/selinux/enforce").exists();
        host.block_devices = block_devices(Path::new("/sys/block"));
        host.delegated = !host.is_root() && delegated(Path::new("/"), uid.as_raw());
        host
    }

    /// Whether limits of control groups can be set: as root, or through the caller's systemd.
    pub fn has_control_groups(&self) -> bool {
        self.is_root() || self.delegated
    }

    /// Whether control groups are to be asked of the caller's systemd.
    pub(crate) fn asks_systemd(&self) -> bool {
        self.delegated
    }

    /// Whether containers run without a user namespace of their own.
    pub fn is_root(&self) -> bool {
        self.namespace.is_none()
    }

    /// Whether a user's containers have more IDs than that user's own.
    pub fn has_subordinate_ids(&self) -> bool {
        self.namespace.as_ref().is_some_and(|namespace| namespace.uids.len() > 1)
    }

    /// Whether a user namespace of this user's has a user and a group. Root needs none.
    pub fn has_ids(&self, uid: u32, gid: u32) -> bool {
        let has = |ids: &[IdMapping], id: u32| {
            ids.iter().any(|one| id.checked_sub(one.container).is_some_and(|at| at < one.size))
        };
        self.namespace.as_ref().is_none_or(|own| has(&own.uids, uid) && has(&own.gids, gid))
    }

    /// The user IDs of the container, where it has its own.
    pub(crate) fn uids(&self) -> Option<&[IdMapping]> {
        self.namespace.as_ref().map(|namespace| namespace.uids.as_slice())
    }

    /// The group IDs of the container, where it has its own.
    pub(crate) fn gids(&self) -> Option<&[IdMapping]> {
        self.namespace.as_ref().map(|namespace| namespace.gids.as_slice())
    }
}

/// Whether the systemd of user `uid` has been given control groups with limits of memory, and can
/// be asked for one. `root` is the machine's root folder.
fn delegated(root: &Path, uid: u32) -> bool {
    let group = format!("sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service");
    let controllers = root.join(group).join("cgroup.controllers");
    let memory = fs::read_to_string(controllers).unwrap_or_default();
    memory.split_whitespace().any(|name| name == "memory")
        && root.join(format!("run/user/{uid}/bus")).exists()
}

/// Devices with a disk behind them; partitions count with their disk.
fn block_devices(folder: &Path) -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<(u32, u32)> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            !["loop", "ram", "zram", "nbd", "fd"].iter().any(|kind| name.starts_with(kind))
        })
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path().join("dev")).ok()?;
            let (major, minor) = text.trim().split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        })
        .collect();
    found.sort_unstable();
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid))?;
    line.split(':').next().map(str::to_owned)
}

/// The first range of a subuid(5) file for this user.
fn subordinate(file: &str, user: Option<&str>, uid: u32) -> Option<IdMapping> {
    let uid = uid.to_string();
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        if Some(owner) != user && owner != uid {
            return None;
        }
        let host = fields.next()?.parse().ok()?;
        let size = fields.next()?.trim().parse().ok()?;
        Some(IdMapping { container: 1, host, size })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_devices_are_those_with_a_disk_behind_them() {
        let folder = tempfile::tempdir().unwrap();
        for (name, dev) in [("sda", "8:0\n"), ("loop0", "7:0\n"), ("vda", "254:16\n")] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("dev"), dev).unwrap();
        }
        assert_eq!(block_devices(folder.path()), [(8, 0), (254, 16)]);
        assert_eq!(block_devices(Path::new("/none")), []);
    }

    #[test]
    fn control_groups_are_delegated_where_systemd_has_them_and_can_be_asked() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("sys/fs/cgroup/user.slice/user-7.slice/user@7.service");
        fs::create_dir_all(&group).unwrap();
        fs::create_dir_all(root.path().join("run/user/7")).unwrap();
        fs::write(group.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        assert!(!delegated(root.path(), 7));
        fs::write(root.path().join("run/user/7/bus"), "").unwrap();
        assert!(delegated(root.path(), 7));
        assert!(!delegated(root.path(), 8));
        fs::write(group.join("cgroup.controllers"), "cpu pids\n").unwrap();
        assert!(!delegated(root.path(), 7));
    }

    #[test]
    fn subordinate_range_is_found_by_name_or_number() {
        let file = "other:1:2\nalice:100000:65536\n1001:200000:1000\n";
        let range = |host, size| Some(IdMapping { container: 1, host, size });
        assert_eq!(subordinate(file, Some("alice"), 1000), range(100_000, 65536));
        assert_eq!(subordinate(file, None, 1001), range(200_000, 1000));
        assert_eq!(subordinate(file, Some("bob"), 7), None);
        assert_eq!(user_name("root:x:0:0::/:/x\nalice:x:1000:1::/:/x\n", 1000).unwrap(), "alice");
    }
}
