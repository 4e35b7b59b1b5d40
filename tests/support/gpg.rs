//! The real gpg, with a home of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Ended, Sandbox};

/// A throw-away `GNUPGHOME`. Its agent ends when this is dropped, also by a panic.
pub struct Gpg<'a> {
    sandbox: &'a Sandbox,
    home: PathBuf,
}

impl<'a> Gpg<'a> {
    /// A home in the sandbox's folder of this name; a short one, for gpg's sockets.
    pub fn new(sandbox: &'a Sandbox, name: &str) -> Self {
        use std::os::unix::fs::DirBuilderExt;
        let home = sandbox.path(name);
        std::fs::DirBuilder::new().mode(0o700).create(&home).unwrap();
        Self { sandbox, home }
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Runs gpg without a passphrase and without asking.
    pub fn try_run(&self, arguments: &[&str]) -> Ended {
        let mut command = self.sandbox.command("gpg");
        command
            .env("GNUPGHOME", &self.home)
            .env("LC_ALL", "C")
            .args(["--batch", "--no-tty", "--yes", "--quiet"])
            .args(["--pinentry-mode", "loopback", "--passphrase", ""])
            .args(arguments);
        Ended::of(command.output().unwrap())
    }

    /// Runs gpg, which must succeed; gives its stdout.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        self.try_run(arguments).ok()
    }

    /// Makes a key; `kind` and `usage` as gpg has them: `rsa3072`, `cert,sign`.
    pub fn key(&self, user: &str, kind: &str, usage: &str) {
        self.run(&["--quick-generate-key", user, kind, usage, "1y"]);
    }

    /// Adds a subkey that signs.
    pub fn signing_subkey(&self, user: &str, kind: &str) {
        self.run(&["--quick-add-key", &self.fingerprints(user)[0], kind, "sign", "1y"]);
    }

    /// The fingerprints of a key: the primary's, then its subkeys'.
    pub fn fingerprints(&self, user: &str) -> Vec<String> {
        let listing = self.run(&["--with-colons", "--list-keys", user]);
        let lines = listing.lines().filter(|line| line.starts_with("fpr:"));
        lines.map(|line| line.split(':').nth(9).unwrap().to_owned()).collect()
    }

    /// Writes the public key into a file of the sandbox.
    pub fn export(&self, user: &str, file: &str) {
        let armored = self.run(&["--armor", "--export", user]);
        self.sandbox.write(file, armored + "\n");
    }

    /// `gpg --armor --detach-sign`: writes `FILE.asc`.
    pub fn sign(&self, user: &str, file: &str) {
        self.run(&["--local-user", user, "--armor", "--detach-sign", file]);
    }

    /// What `gpg --verify` says on its status channel.
    pub fn verify(&self, signature: &str, file: &str) -> String {
        self.try_run(&["--status-fd", "1", "--verify", signature, file]).stdout
    }
}

impl Drop for Gpg<'_> {
    fn drop(&mut self) {
        // The agent of this home, and no other.
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(&self.home)
            .args(["--kill", "all"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
