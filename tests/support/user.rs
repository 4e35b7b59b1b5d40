//! A user of this machine who is made for a test, with subordinate IDs of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Ended, Sandbox};

/// The user, and all their files, are gone when this is dropped, also by a panic.
pub struct User {
    name: String,
    home: PathBuf,
}

impl User {
    /// Makes a user whose home is a new folder of the sandbox. It takes root, and useradd.
    pub fn new(sandbox: &Sandbox) -> Self {
        let name = format!("gantry-test-{}", std::process::id());
        let home = sandbox.path("home-of-user");
        sandbox.shell("chmod 755 .").ok();
        let mut command = sandbox.command("useradd");
        command.args(["--create-home", "--home-dir"]).arg(&home).arg(&name);
        Ended::of(command.env("PATH", path()).output().unwrap()).ok();
        Self { name, home }
    }

    /// Where their files lie.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Whether they have been given subordinate IDs.
    pub fn has_subordinate_ids(&self) -> bool {
        let begins = format!("{}:", self.name);
        ["/etc/subuid", "/etc/subgid"].iter().all(|file| {
            let text = fs::read_to_string(file).unwrap_or_default();
            text.lines().any(|line| line.starts_with(&begins))
        })
    }

    /// Makes all that is below a folder theirs.
    pub fn give(&self, folder: &Path) {
        let mut command = Command::new("chown");
        command.arg("-R").arg(format!("{}:", self.name)).arg(folder);
        Ended::of(command.output().unwrap()).ok();
    }

    /// A program that they run, with nothing in its environment but a home and a path.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args([format!("--reuid={}", self.name), format!("--regid={}", self.name)])
            .arg("--init-groups")
            .arg(program)
            .current_dir(&self.home)
            .env_clear()
            .env("PATH", path())
            .env("HOME", &self.home);
        command
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
        let _ = Command::new("userdel").arg(&self.name).env("PATH", path()).output();
    }
}

/// Debian keeps some tools where only root's path looks.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}
