//! What the journeys share: a sandbox to run the real `gantry` in, and the real tools around it.

#![expect(dead_code, unreachable_pub, reason = "each journey uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

pub mod containers;
pub mod gpg;
pub mod hostile;
pub mod probe;
pub mod registry;
pub mod running;
pub mod server;
pub mod site;
pub mod user;
pub mod world;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder of its own, a home in it, and no variable of the caller's.
pub struct Sandbox {
    folder: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The standard output of a command that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout.trim_end().to_owned()
    }

    /// A refusal: this exit code, and all four things said.
    #[track_caller]
    pub fn refused(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        for word in ["wanted:", "found:", "rule:", "next:"] {
            let said = self.stderr.lines().filter_map(|line| line.trim().strip_prefix(word));
            assert!(said.clone().any(|text| !text.trim().is_empty()), "no {word} in {self:#?}");
        }
        self
    }
}

impl Sandbox {
    pub fn new() -> Self {
        // Short, for gpg's sockets have a length limit.
        let folder = tempfile::Builder::new().prefix("g").tempdir().unwrap();
        fs::create_dir(folder.path().join("home")).unwrap();
        Self { folder }
    }

    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Writes a file, its folders too.
    pub fn write(&self, below: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A command in the sandbox, with nothing of the caller's environment but the path.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("GANTRY_STORE", self.path("store"))
            .env("GANTRY_TRUST_DIR", self.path("trust"))
            .env("GANTRY_KEY_DIR", self.path("keys"))
            .env("GANTRY_CACHE_DIR", self.path("cache"))
            .stdin(Stdio::null());
        command
    }

    /// Runs `gantry` with these arguments.
    pub fn gantry<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ended {
        Ended::of(self.command(GANTRY).args(args).output().unwrap())
    }

    /// Runs a line of shell.
    pub fn shell(&self, line: &str) -> Ended {
        Ended::of(
            self.command("/bin/sh").args(["-ec", line]).env("GANTRY", GANTRY).output().unwrap(),
        )
    }
}

/// The binary under test.
pub const GANTRY: &str = env!("CARGO_BIN_EXE_gantry");

/// Whether a tool is there; says so where it is not, for the test then proves nothing.
pub fn tool(name: &str) -> bool {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let there = path.split(':').any(|folder| Path::new(folder).join(name).exists());
    if !there {
        println!("skipped: {name} is not installed; scripts/setup.sh test installs it");
    }
    there
}

/// Everything below a folder, in order: path, kind and mode, size, inode, and content of files.
pub fn listing(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    list(folder, folder, &mut all);
    all.sort();
    all
}

fn list(top: &Path, folder: &Path, all: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        all.push(format!(
            "{} {:o} {} {} {:x?}",
            path.strip_prefix(top).unwrap().display(),
            metadata.permissions().mode(),
            metadata.len(),
            metadata.ino(),
            content.iter().fold(0_u64, |sum, &b| sum.wrapping_mul(1_000_003) ^ u64::from(b)),
        ));
        if metadata.is_dir() {
            list(top, &path, all);
        }
    }
}

/// All files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let below = entries
        .flatten()
        .map(|entry| entry.path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    below.collect()
}
