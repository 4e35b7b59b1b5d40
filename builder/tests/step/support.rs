//! Root file systems with busybox and nothing else, and callers who run commands in them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use builder::step::{Bytes, Change, Fault, Kind, Owned, Present, StepMount};
use serde::{Deserialize, Serialize};

pub(crate) const USER: u32 = 65534;

/// Who runs a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Root, without a user namespace.
    Root,
    /// A user without subordinate IDs.
    Alone,
    /// A user with 65536 subordinate IDs from 100000 on.
    Ranges,
    /// Whoever runs the tests, who is not root.
    Me,
}

impl Caller {
    /// Every caller there can be here; says who is missing.
    pub(crate) fn all() -> Vec<Self> {
        if !Path::new("/bin/busybox").exists() {
            println!("skipped: it takes /bin/busybox, statically linked (package busybox-static)");
            return Vec::new();
        }
        if !rustix::process::geteuid().is_root() {
            println!("skipped for root and for a user with subordinate IDs: it takes root");
            return vec![Self::Me];
        }
        let mut callers = vec![Self::Root];
        if user_namespaces() {
            callers.push(Self::Alone);
        } else {
            println!("skipped for users: it takes setpriv, and user namespaces for users");
        }
        let files = ["/etc/subuid", "/etc/subgid"].iter().all(|file| Path::new(file).exists());
        if callers.len() == 2 && files && tool("newuidmap") && tool("unshare") {
            callers.push(Self::Ranges);
        } else {
            println!("skipped for a user with subordinate IDs: it takes newuidmap and /etc/subuid");
        }
        callers
    }

    /// Only those of `wanted` that there can be here.
    pub(crate) fn among(wanted: &[Self]) -> Vec<Self> {
        let all = Self::all();
        let (found, missing): (Vec<_>, Vec<_>) = wanted.iter().partition(|it| all.contains(it));
        if !missing.is_empty() {
            println!("skipped for {missing:?}");
        }
        found
    }

    pub(crate) fn is_root(self) -> bool {
        self == Self::Root
    }
}

fn user_namespaces() -> bool {
    tool("setpriv") && {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-U", "true"]);
        command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }
}

pub(crate) fn tool(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    discovery::runtime::program_in(&path, name).is_some()
}

/// What a step is to do.
#[derive(Serialize)]
pub(crate) struct Order {
    pub(crate) lower: Vec<PathBuf>,
    pub(crate) hidden: Vec<Bytes>,
    pub(crate) scratch: PathBuf,
    pub(crate) owners: Vec<Owned>,
    pub(crate) command: Vec<Bytes>,
    pub(crate) environment: Vec<(Bytes, Bytes)>,
    pub(crate) working_directory: PathBuf,
    pub(crate) host_network: bool,
    pub(crate) mounts: Vec<StepMount>,
    pub(crate) hostname: String,
    pub(crate) engine: String,
}

/// How it ended.
#[derive(Deserialize)]
pub(crate) struct Outcome {
    pub(crate) code: Option<u8>,
    pub(crate) faked: bool,
    pub(crate) error: Option<String>,
    pub(crate) fault: Option<Fault>,
    pub(crate) changes: Vec<Change>,
    #[serde(skip)]
    pub(crate) stdout: Vec<u8>,
    #[serde(skip)]
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its output, where the command succeeded.
    #[track_caller]
    pub(crate) fn good(&self) -> String {
        assert_eq!(self.code, Some(0), "{:?}\n{}\n{}", self.error, self.text(), self.stderr);
        self.text()
    }

    /// The paths of all changes but the root folder's, with `-` before what was removed.
    pub(crate) fn paths(&self) -> Vec<String> {
        let line = |change: &Change| match change {
            Change::Removed { path } => format!("-{}", path.path().display()),
            Change::Present(present) => present.path.path().display().to_string(),
        };
        self.changes.iter().map(line).filter(|path| !path.is_empty()).collect()
    }

    #[track_caller]
    pub(crate) fn present(&self, path: &str) -> &Present {
        let found = self.changes.iter().find_map(|change| match change {
            Change::Present(present) if present.path.path() == Path::new(path) => Some(present),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("{path} is not among {:?}", self.paths()))
    }

    #[track_caller]
    pub(crate) fn is_folder(&self, path: &str, replaces: bool) {
        assert_eq!(self.present(path).kind, Kind::Folder { replaces }, "{path}");
    }
}

/// A folder with root file systems and a scratch folder, of one caller.
pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) caller: Caller,
    pub(crate) order: Order,
}

impl Scene {
    /// A root file system with busybox.
    pub(crate) fn new(caller: Caller) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        symlink("busybox", root.join("bin/sh")).unwrap();
        let helper = folder.path().join("step_child");
        fs::copy(example(), &helper).unwrap();
        let scratch = folder.path().join("scratch");
        fs::create_dir(&scratch).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let order = Order {
            lower: vec![root],
            hidden: Vec::new(),
            scratch,
            owners: Vec::new(),
            command: Vec::new(),
            environment: vec![(text("PATH"), text("/bin"))],
            working_directory: "/".into(),
            host_network: false,
            mounts: Vec::new(),
            hostname: "step".to_owned(),
            engine: "namespaces".to_owned(),
        };
        Self { folder, caller, order }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.path("scratch/upper")
    }

    /// Writes a file of the root file system.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn mount(&mut self, source: &Path, target: &str, read_only: bool) {
        let (source, target) = (source.into(), text(target));
        self.order.mounts.push(StepMount { source, target, read_only });
    }

    /// Runs a line of shell.
    #[track_caller]
    pub(crate) fn shell(&mut self, line: &str) -> Outcome {
        self.run(["busybox", "sh", "-ec", line])
    }

    #[track_caller]
    pub(crate) fn run<S: AsRef<OsStr>>(&mut self, words: impl IntoIterator<Item = S>) -> Outcome {
        let mut command = self.prepare(words);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {stderr}", output.status);
        let result = fs::read(self.path("result.json")).unwrap();
        let mut outcome: Outcome = serde_json::from_slice(&result).unwrap();
        outcome.stdout = output.stdout;
        outcome.stderr = stderr;
        outcome
    }

    /// A command that runs the step, of this caller.
    pub(crate) fn prepare<S: AsRef<OsStr>>(
        &mut self,
        words: impl IntoIterator<Item = S>,
    ) -> Command {
        self.order.command = words.into_iter().map(|word| Bytes::from(word.as_ref())).collect();
        fs::write(self.path("order.json"), serde_json::to_vec(&self.order).unwrap()).unwrap();
        let _ = fs::remove_file(self.path("result.json"));
        // What a step left is the caller's.
        let _ = fs::remove_dir_all(self.path("scratch"));
        fs::create_dir(self.path("scratch")).unwrap();
        self.give();
        self.command(&["run", "order.json", "result.json"])
    }

    /// The example program, run by this caller.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let arguments = arguments.join(" ");
        let line = match self.caller {
            Caller::Root | Caller::Me => format!("exec ./step_child {arguments}"),
            Caller::Alone => format!(
                "exec setpriv --reuid={USER} --regid={USER} --clear-groups ./step_child {arguments}"
            ),
            Caller::Ranges => {
                fs::write(self.path("ranges"), format!("{USER}:100000:65536\n")).unwrap();
                format!(
                    "mount --bind ranges /etc/subuid; mount --bind ranges /etc/subgid; exec setpriv \
                     --reuid={USER} --regid={USER} --clear-groups ./step_child {arguments}"
                )
            }
        };
        let mut command = if self.caller == Caller::Ranges {
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "/bin/sh", "-ec"]);
            command
        } else {
            let mut command = Command::new("/bin/sh");
            command.arg("-ec");
            command
        };
        command.arg(line).current_dir(self.folder.path());
        command
    }

    /// Copies a program of the machine and the libraries that it is linked with.
    pub(crate) fn with_program(&self, program: &Path, place: &str) {
        let output = Command::new("ldd").arg(program).output().unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        let libraries = found.split_whitespace().filter(|word| word.starts_with('/'));
        for (source, place) in
            libraries.map(|it| (it, &it[1..])).chain([(program.to_str().unwrap(), place)])
        {
            let place = self.root().join(place);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(source, place).unwrap();
        }
    }

    pub(crate) fn own_all(&self) {
        self.give();
    }

    /// Makes everything the caller's.
    fn give(&self) {
        if matches!(self.caller, Caller::Alone | Caller::Ranges) {
            own(self.folder.path());
        }
    }
}

fn own(path: &Path) {
    std::os::unix::fs::lchown(path, Some(USER), Some(USER)).unwrap();
    if fs::symlink_metadata(path).unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| own(&entry.unwrap().path()));
    }
}

pub(crate) fn text(text: &str) -> Bytes {
    Bytes::from(OsStr::new(text))
}

pub(crate) fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Everything below a folder: mode, owner, and content or target.
pub(crate) fn snapshot(folder: &Path) -> BTreeMap<PathBuf, String> {
    use std::os::unix::fs::MetadataExt;
    let mut found = BTreeMap::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(path) = ahead.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let mut line = format!("{:o} {}:{} {}", meta.mode(), meta.uid(), meta.gid(), meta.mtime());
        if meta.is_dir() {
            ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if meta.is_file() {
            line.push_str(&format!(" {:?}", fs::read(&path).unwrap()));
        }
        found.insert(path, line);
    }
    found
}

/// The example program that is built with the tests.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let found = test.ancestors().map(|it| it.join("examples/step_child")).find(|it| it.exists());
    found.expect("cargo builds the example step_child with the tests")
}
