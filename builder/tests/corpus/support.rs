//! What the tests of packing share: options, a second reader, and other users and file systems.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use aci::archive::Compression;
use aci::stage::Existing;
use builder::{Ignore, Overrides, Owner, PackError, PackOptions, Packed, Problem, ProblemKind};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

pub(crate) const MANIFEST: &[u8] = b"{ \"acKind\": \"ImageManifest\", \"acVersion\": \"0.8.11\",\n \"name\": \"example.com/a\" }\n";

static ROOT: Owner = Owner::Fixed { uid: 0, gid: 0 };
static NO_OVERRIDES: Overrides = Overrides(Vec::new());
static NO_IGNORE: LazyLock<Ignore> = LazyLock::new(Ignore::default);

/// Plain tar of everything as it is, owned by root.
pub(crate) fn options(rootfs: &Path) -> PackOptions<'_> {
    PackOptions {
        rootfs,
        manifest: MANIFEST,
        owner: &ROOT,
        overrides: &NO_OVERRIDES,
        recorded: None,
        ignore: &NO_IGNORE,
        keeps_ignore_file: false,
        source_date_epoch: None,
        skip_sockets: false,
        one_file_system: false,
        compression: Compression::None,
        threads: NonZeroUsize::MIN,
        kept: None,
        file_digest: true,
        progress: &(),
    }
}

/// With the owners on disk.
pub(crate) fn keeping(rootfs: &Path) -> PackOptions<'_> {
    PackOptions { owner: &Owner::Keep, ..options(rootfs) }
}

pub(crate) fn pack(options: &PackOptions<'_>) -> Result<(Vec<u8>, Packed), PackError> {
    let mut out = Vec::new();
    let packed = builder::pack(&mut out, options)?;
    // Whatever is packed, the strict reader takes.
    aci::archive::inspect(&mut out.as_slice(), &aci::Limits::default()).unwrap();
    Ok((out, packed))
}

/// Packs what must be packed.
pub(crate) fn packed(options: &PackOptions<'_>) -> BTreeMap<Vec<u8>, Seen> {
    entries(&pack(options).unwrap().0).into_iter().collect()
}

/// The problems that are named when this is packed into a file, which must leave nothing behind.
pub(crate) fn problems(options: &PackOptions<'_>) -> Vec<Problem> {
    match refusal(options) {
        PackError::Problems(problems) => problems,
        other => panic!("{other}"),
    }
}

/// Why this cannot be packed into a file, which must leave nothing behind.
pub(crate) fn refusal(options: &PackOptions<'_>) -> PackError {
    let out = tempfile::tempdir().unwrap();
    let target = out.path().join("a.aci");
    let refused = builder::pack_file(&target, Existing::Refuse, options, |_, _| Ok(()));
    let left: Vec<_> = fs::read_dir(out.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    refused.unwrap_err()
}

pub(crate) fn kinds(problems: &[Problem]) -> Vec<(&Path, &ProblemKind)> {
    problems.iter().map(|problem| (problem.path.as_path(), &problem.kind)).collect()
}

/// An entry as the `tar` crate reads it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) kind: tar::EntryType,
    pub(crate) mtime: u64,
    pub(crate) mode: u32,
    pub(crate) device: Option<(u32, u32)>,
    /// The header's own, without what an extended header says.
    pub(crate) owner: (u64, u64),
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) content: Vec<u8>,
    pub(crate) pax: BTreeMap<String, Vec<u8>>,
}

impl Seen {
    pub(crate) fn pax(&self, key: &str) -> Option<&str> {
        self.pax.get(key).map(|value| std::str::from_utf8(value).unwrap())
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&[u8]> {
        self.pax.get(&format!("SCHILY.xattr.{name}")).map(Vec::as_slice)
    }

    /// With what an extended header says.
    pub(crate) fn real_owner(&self) -> (u64, u64) {
        let id = |key, own| self.pax(key).map_or(own, |text| text.parse().unwrap());
        (id("uid", self.owner.0), id("gid", self.owner.1))
    }

    pub(crate) fn real_mtime(&self) -> i64 {
        self.pax("mtime").map_or(self.mtime as i64, |text| text.parse().unwrap())
    }
}

/// Every entry as the `tar` crate reads it, in order. That crate splits the records of an extended
/// header at every newline, so they are read here.
pub(crate) fn entries(bytes: &[u8]) -> Vec<(Vec<u8>, Seen)> {
    let mut archive = tar::Archive::new(bytes);
    let mut all = Vec::new();
    let mut pax = BTreeMap::new();
    for entry in archive.entries().unwrap().raw(true) {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        let kind = header.entry_type();
        if kind.is_pax_local_extensions() {
            pax = records(&content);
            continue;
        }
        let pax = std::mem::take(&mut pax);
        let said = |key: &str, own: Option<Vec<u8>>| pax.get(key).cloned().or(own);
        let is_device = kind.is_character_special() || kind.is_block_special();
        let device = is_device.then(|| {
            (header.device_major().unwrap().unwrap(), header.device_minor().unwrap().unwrap())
        });
        let path = said("path", Some(header.path_bytes().into_owned())).unwrap();
        let link = said("linkpath", header.link_name_bytes().map(Into::into));
        let (mtime, mode) = (header.mtime().unwrap(), header.mode().unwrap());
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        all.push((path, Seen { kind, mtime, mode, device, owner, link, content, pax }));
    }
    all
}

/// `LENGTH KEY=VALUE\n`, one after the other, the length counting itself (POSIX, pax).
fn records(mut body: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    while !body.is_empty() {
        let blank = body.iter().position(|&b| b == b' ').unwrap();
        let length: usize = std::str::from_utf8(&body[..blank]).unwrap().parse().unwrap();
        let (record, rest) = body.split_at(length);
        let record = record[blank + 1..].strip_suffix(b"\n").unwrap();
        let equals = record.iter().position(|&b| b == b'=').unwrap();
        let key = String::from_utf8(record[..equals].to_vec()).unwrap();
        assert!(all.insert(key, record[equals + 1..].to_vec()).is_none());
        body = rest;
    }
    all
}

/// All paths in order; none of them may be anything but UTF-8.
pub(crate) fn paths(bytes: &[u8]) -> Vec<String> {
    entries(bytes).into_iter().map(|(path, _)| String::from_utf8(path).unwrap()).collect()
}

/// The paths below `rootfs/`, in order.
pub(crate) fn below(bytes: &[u8]) -> Vec<String> {
    let strip = |path: String| path.strip_prefix("rootfs/").map(ToOwned::to_owned);
    paths(bytes).into_iter().filter_map(strip).collect()
}

/// A folder of files whose content is their path. Names that end in `/` are folders.
pub(crate) fn tree(paths: &[&str]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for path in paths {
        write(&tree.path().join(path), path.as_bytes());
    }
    tree
}

/// Writes a file with its folders; a path that ends in `/` is a folder.
pub(crate) fn write(path: &Path, content: &[u8]) {
    if path.as_os_str().as_bytes().ends_with(b"/") {
        fs::create_dir_all(path).unwrap();
    } else {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn set_attribute(path: &Path, name: &str, value: &[u8]) -> rustix::io::Result<()> {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty())
}

/// Sets the modification time, of a link its own.
pub(crate) fn set_time(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub(crate) fn make_node(path: &Path, kind: FileType, device: (u32, u32)) {
    let device = rustix::fs::makedev(device.0, device.1);
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o644), device).unwrap();
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether the caller is root; says that the test is skipped where it is not.
pub(crate) fn root_for(what: &str) -> bool {
    if !is_root() {
        println!("skipped: only root may {what}");
    }
    is_root()
}

/// The content of a new file system mounted at `path`.
pub(crate) fn mount(arguments: &[&str], path: &Path) {
    let status = Command::new("mount").args(arguments).arg(path).status().unwrap();
    assert!(status.success(), "mount {arguments:?} {}", path.display());
}

const CHILD: &str = "GANTRY_TEST_CHILD";

/// Runs the test of this name once more, in a child that may mount what it likes: what it mounts is
/// gone with it. `true` in the child.
pub(crate) fn with_own_mounts(test: &str) -> bool {
    let how = if is_root() { ["--mount", "--fork"] } else { ["--map-root-user", "--mount"] };
    in_child(test, "unshare", &how, &std::env::current_exe().unwrap())
}

/// Runs the test of this name once more, in a child for which root alone has an ID.
pub(crate) fn in_user_namespace(test: &str) -> bool {
    in_child(test, "unshare", &["--map-root-user"], &std::env::current_exe().unwrap())
}

/// Runs the test of this name once more, in a child that is not root. `true` in the child, and
/// where this is nobody's root already.
pub(crate) fn as_somebody(test: &str) -> bool {
    if !is_root() {
        return true;
    }
    // The test program may lie in a folder that only its owner may enter.
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    let program = folder.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let who = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    in_child(test, "setpriv", &who, &program)
}

pub(crate) fn in_child(test: &str, program: &str, arguments: &[&str], this: &Path) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let mut child = Command::new(program);
    child.args(arguments).arg(this).args(["--exact", test, "--nocapture", "--test-threads=1"]);
    let ended = child.env(CHILD, "1").current_dir("/").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let wrong = String::from_utf8_lossy(&ended.stderr);
    if !is_root() && wrong.contains("unshare failed") {
        println!("skipped: no namespaces for users who are not root: {wrong}");
        return false;
    }
    for line in said.lines().filter(|line| line.starts_with("skipped")) {
        println!("{line}");
    }
    assert!(ended.status.success() && said.contains("1 passed"), "{said}\n{wrong}");
    false
}

/// A folder whose paths may be longer than the kernel takes at once.
pub(crate) struct DeepTree(PathBuf);

impl DeepTree {
    /// Folders in each other with these names, and a file in the last.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>, file: &str) -> Self {
        use rustix::fs::OFlags;
        let top = tempfile::tempdir().unwrap().keep();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut folder = rustix::fs::open(&top, flags, Mode::empty()).unwrap();
        for name in names {
            rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o755)).unwrap();
            folder = rustix::fs::openat(&folder, name, flags, Mode::empty()).unwrap();
        }
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
        let last = rustix::fs::openat(&folder, file, flags, Mode::from_raw_mode(0o644)).unwrap();
        rustix::io::write(&last, b"deep").unwrap();
        Self(top)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for DeepTree {
    fn drop(&mut self) {
        // The standard library recurses, and keeps a folder open for each level.
        let _ = Command::new("rm").arg("-rf").arg(&self.0).status();
    }
}
