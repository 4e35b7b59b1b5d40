//! One pass over an image: its files are hashed, its databases of packages are kept.

use std::collections::{BTreeMap, HashMap};

use aci::archive::{Content, Entry, EntryKind};

use super::copyright;
use super::fault::{DatabaseFault, SbomError, Warnings};
use super::files::{FileRecord, Files};
use super::limits::SbomLimits;
use super::sums::Summing;

/// What a path of the root file system is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Which distribution it is.
    OsRelease,
    /// The packages of dpkg: all of them, or one.
    Dpkg,
    /// The files of one package of dpkg.
    DpkgFiles,
    /// Which files of packages have other names.
    DpkgDiversions,
    /// The licences of one package of dpkg; of its content, they alone are kept.
    Copyright,
    /// The packages of apk.
    Apk,
    /// The packages of rpm.
    Rpm,
    /// What is not yet in the database of rpm.
    RpmLog,
    /// A database that is not read.
    Other(&'static str),
}

pub(super) const DPKG_STATUS: &[u8] = b"var/lib/dpkg/status";
pub(super) const DPKG_PARTS: &[u8] = b"var/lib/dpkg/status.d/";
pub(super) const DPKG_SUMS: &[u8] = b".md5sums";
pub(super) const DPKG_INFO: &[u8] = b"var/lib/dpkg/info/";
pub(super) const DPKG_LIST: &[u8] = b".list";
pub(super) const DPKG_DIVERSIONS: &[u8] = b"var/lib/dpkg/diversions";
pub(super) const DOCUMENTATION: &[u8] = b"usr/share/doc/";
pub(super) const COPYRIGHT: &[u8] = b"/copyright";
/// In the order in which the first one counts.
pub(super) const OS_RELEASE: [&[u8]; 2] = [b"etc/os-release", b"usr/lib/os-release"];
pub(super) const RPM_LOG: &[u8] = b"-wal";
const RPM_FOLDERS: [&[u8]; 3] = [b"var/lib/rpm/", b"usr/lib/sysimage/rpm/", b"usr/share/rpm/"];

impl Role {
    /// The role of a path, without `rootfs/` before it.
    fn of(path: &[u8]) -> Option<Self> {
        let name_in =
            |folder: &[u8]| path.strip_prefix(folder).filter(|name| !name.contains(&b'/'));
        if OS_RELEASE.contains(&path) {
            return Some(Self::OsRelease);
        }
        if let Some(name) = name_in(DPKG_PARTS) {
            let sums = name.ends_with(DPKG_SUMS);
            return Some(if sums { Self::DpkgFiles } else { Self::Dpkg });
        }
        if let Some(name) = name_in(DPKG_INFO) {
            return name.ends_with(DPKG_LIST).then_some(Self::DpkgFiles);
        }
        let document = path.strip_prefix(DOCUMENTATION).and_then(|p| p.strip_suffix(COPYRIGHT));
        if document.is_some_and(|name| !name.contains(&b'/')) {
            return Some(Self::Copyright);
        }
        match path {
            DPKG_STATUS => return Some(Self::Dpkg),
            DPKG_DIVERSIONS => return Some(Self::DpkgDiversions),
            b"lib/apk/db/installed" | b"usr/lib/apk/db/installed" => return Some(Self::Apk),
            _ => {}
        }
        match RPM_FOLDERS.iter().find_map(|folder| name_in(folder))? {
            b"rpmdb.sqlite" => Some(Self::Rpm),
            b"rpmdb.sqlite-wal" => Some(Self::RpmLog),
            b"Packages" => Some(Self::Other("Berkeley DB")),
            b"Packages.db" => Some(Self::Other("ndb")),
            _ => None,
        }
    }

    /// Whether only the lists of files need it.
    fn tells_files(self) -> bool {
        matches!(self, Self::DpkgFiles | Self::DpkgDiversions)
    }
}

/// A file that was kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) role: Role,
    pub(super) content: Vec<u8>,
}

/// What one pass has shown.
pub(super) struct Collected {
    /// Where files are listed: all of them.
    pub(super) files: Option<Files>,
    pub(super) kept: BTreeMap<Vec<u8>, Kept>,
    pub(super) warnings: Warnings,
}

/// Is shown the entries of an image in their order.
pub(super) struct Collector<'a> {
    limits: &'a SbomLimits,
    list_files: bool,
    files: Vec<FileRecord>,
    links: HashMap<Vec<u8>, Vec<u8>>,
    hard_links: Vec<(Vec<u8>, Vec<u8>)>,
    kept: BTreeMap<Vec<u8>, Kept>,
    kept_bytes: u64,
    warnings: Warnings,
    buffer: Vec<u8>,
}

const ROOTFS: &[u8] = b"rootfs/";
const BUFFER_BYTES: usize = 64 << 10;

impl<'a> Collector<'a> {
    pub(super) fn new(list_files: bool, limits: &'a SbomLimits) -> Self {
        Self {
            limits,
            list_files,
            files: Vec::new(),
            links: HashMap::new(),
            hard_links: Vec::new(),
            kept: BTreeMap::new(),
            kept_bytes: 0,
            warnings: Warnings::default(),
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    pub(super) fn visit(
        &mut self,
        entry: Entry,
        content: &mut Content<'_>,
    ) -> Result<(), SbomError> {
        let below = |path: &[u8]| path.strip_prefix(ROOTFS).map(<[u8]>::to_vec);
        // The folder `rootfs` itself.
        let Some(path) = below(&entry.path.0) else { return Ok(()) };
        let role = Role::of(&path).filter(|role| self.list_files || !role.tells_files());
        if !matches!(entry.kind, EntryKind::File { .. } | EntryKind::Directory) {
            self.not_regular(&path, role);
        }
        match entry.kind {
            EntryKind::File { .. } => self.file(path, role, content)?,
            EntryKind::Symlink { target } if self.list_files => {
                self.links.insert(path, target.0);
            }
            EntryKind::HardLink { target } if self.list_files => {
                self.hard_links.extend(below(&target.0).map(|target| (path, target)));
            }
            _ => {}
        }
        // A million names of 4,000 bytes each would be kept in memory.
        let listed = self.files.len() + self.links.len() + self.hard_links.len();
        if listed > self.limits.files {
            return Err(SbomError::Files { allowed: self.limits.files });
        }
        Ok(())
    }

    fn file(
        &mut self,
        path: Vec<u8>,
        role: Option<Role>,
        content: &mut Content<'_>,
    ) -> Result<(), SbomError> {
        let mut keeping = role.map(|_| Keeping::default());
        let mut sums = self.list_files.then(Summing::default);
        // What nobody wants is skipped by the reader.
        while keeping.is_some() || sums.is_some() {
            let got = content.read(&mut self.buffer)?;
            if got == 0 {
                break;
            }
            if let Some(sums) = &mut sums {
                sums.update(&self.buffer[..got]);
            }
            if let Some(keeping) = &mut keeping {
                keeping.take(&self.buffer[..got], self.kept_bytes, self.limits);
            }
        }
        if let (Some(role), Some(keeping)) = (role, keeping) {
            self.keep(&path, role, keeping);
        }
        if let Some(sums) = sums {
            self.files.push(FileRecord { path, sums: sums.finish() });
        }
        Ok(())
    }

    fn keep(&mut self, path: &[u8], role: Role, mut keeping: Keeping) {
        if role == Role::Copyright {
            let licenses = copyright::licenses(&keeping.content, self.limits.line_bytes);
            let Some(licenses) = licenses.filter(|_| keeping.fault.is_none()) else { return };
            keeping.content = licenses.into_bytes();
        }
        let fault = match (keeping.fault, role) {
            (None, Role::Other(format)) => Some(DatabaseFault::Format(format)),
            (fault, _) => fault,
        };
        match fault {
            Some(fault) => self.cannot(path, role, fault),
            None => {
                self.kept_bytes += keeping.content.len() as u64;
                self.kept.insert(path.to_vec(), Kept { role, content: keeping.content });
            }
        }
    }

    /// A database that is a link to elsewhere: it is there, and is not read where it leads.
    fn not_regular(&mut self, path: &[u8], role: Option<Role>) {
        // Most systems have a link to the other one, and some to another package's licences.
        let may_be_links = [Role::OsRelease, Role::Copyright];
        if let Some(role) = role.filter(|role| !may_be_links.contains(role)) {
            self.cannot(path, role, DatabaseFault::NotRegular);
        }
        // These folders have one place only.
        let folders = [&b"var/lib/dpkg"[..], b"var/lib/dpkg/status.d"];
        if folders.contains(&path) {
            self.warnings.unread(path, DatabaseFault::NotRegular);
        }
    }

    fn cannot(&mut self, path: &[u8], role: Role, fault: DatabaseFault) {
        match role {
            // Whatever it is, it is not empty: its database is not read.
            Role::RpmLog => {
                self.kept.insert(path.to_vec(), Kept { role, content: vec![0] });
            }
            Role::DpkgFiles => self.warnings.unowned(path, fault),
            // Which distribution it is remains unsaid, and its packages are listed.
            Role::OsRelease => {}
            _ => self.warnings.unread(path, fault),
        }
    }

    pub(super) fn finish(self) -> Collected {
        let list = || Files::new(self.files, self.links, self.hard_links);
        Collected { files: self.list_files.then(list), kept: self.kept, warnings: self.warnings }
    }
}

/// A content that is kept as far as it may be.
#[derive(Default)]
struct Keeping {
    content: Vec<u8>,
    fault: Option<DatabaseFault>,
}

impl Keeping {
    fn take(&mut self, bytes: &[u8], kept: u64, limits: &SbomLimits) {
        let more = (self.content.len() + bytes.len()) as u64;
        // A database of 60 GB of zeros compresses to nothing and would fill the memory.
        if more > limits.database_bytes {
            self.fault = Some(DatabaseFault::TooLarge { allowed: limits.database_bytes });
        } else if kept + more > limits.databases_bytes {
            self.fault = Some(DatabaseFault::TogetherTooLarge { allowed: limits.databases_bytes });
        }
        if self.fault.is_some() {
            self.content = Vec::new();
        } else {
            self.content.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_those_of_exact_paths() {
        let role = |path: &str| Role::of(path.as_bytes());
        assert_eq!(role("var/lib/dpkg/status"), Some(Role::Dpkg));
        assert_eq!(role("var/lib/dpkg/status.d/base"), Some(Role::Dpkg));
        assert_eq!(role("var/lib/dpkg/status.d/base.md5sums"), Some(Role::DpkgFiles));
        assert_eq!(role("var/lib/dpkg/info/libc6:amd64.list"), Some(Role::DpkgFiles));
        assert_eq!(role("usr/lib/sysimage/rpm/rpmdb.sqlite"), Some(Role::Rpm));
        assert_eq!(role("usr/share/doc/libc6/copyright"), Some(Role::Copyright));
        assert_eq!(role("var/lib/rpm/Packages"), Some(Role::Other("Berkeley DB")));
        for other in [
            "srv/var/lib/dpkg/status",
            "var/lib/dpkg/status-old",
            "var/lib/dpkg/status.d/a/b",
            "var/lib/dpkg/info/libc6:amd64.md5sums",
            "var/lib/rpm/.rpm.lock",
            "usr/share/doc/a/b/copyright",
            "usr/share/doc/copyright",
            "",
        ] {
            assert_eq!(role(other), None, "{other}");
        }
    }

    #[test]
    fn keeping_ends_at_either_limit() {
        let limits = SbomLimits { database_bytes: 4, databases_bytes: 6, ..SbomLimits::default() };
        let fault = |kept, parts: &[&[u8]]| {
            let mut keeping = Keeping::default();
            parts.iter().for_each(|part| keeping.take(part, kept, &limits));
            keeping.fault
        };
        assert_eq!(fault(2, &[b"ab", b"cd"]), None);
        assert_eq!(fault(0, &[b"ab", b"cde"]), Some(DatabaseFault::TooLarge { allowed: 4 }));
        // Once too large, it stays so.
        assert_eq!(fault(0, &[b"abcde", b""]), Some(DatabaseFault::TooLarge { allowed: 4 }));
        assert_eq!(fault(3, &[b"abcd"]), Some(DatabaseFault::TogetherTooLarge { allowed: 6 }));
    }
}
