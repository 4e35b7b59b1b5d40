//! A gpg home that cleans up after itself, keys, and short ways to verify.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aci::{Limits, Refuse};
use keys::{
    Algorithm, Certificate, GenerateOptions, Generated, GoodSignature, Keyring, Liveness, Policy,
    Scope, Signer, VerifyError,
};

pub(crate) const DATA: &[u8] = b"the bytes of an image\n";
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// 2026-01-01T00:00:00Z.
pub(crate) fn january() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

/// So many days after 2026-01-01.
pub(crate) fn day(days: u32) -> SystemTime {
    january() + DAY * days
}

pub(crate) fn limits() -> Limits {
    Limits::default()
}

pub(crate) fn generated(algorithm: Algorithm, now: SystemTime) -> Generated {
    keys::generate(&GenerateOptions {
        user_id: "Example CI <ci@example.com>".into(),
        algorithm,
        expires: Some(DAY * 730),
        passphrase: None,
        now,
    })
    .unwrap()
}

/// A key of 2026-01-01 that many tests share, since they change nothing about it.
pub(crate) static ED25519: LazyLock<Generated> =
    LazyLock::new(|| generated(Algorithm::Ed25519, january()));
/// Another one.
pub(crate) static OTHER: LazyLock<Generated> =
    LazyLock::new(|| generated(Algorithm::Ed25519, january()));
/// Slow to make.
pub(crate) static RSA: LazyLock<Generated> =
    LazyLock::new(|| generated(Algorithm::Rsa4096, january()));

pub(crate) fn sign(key: &Generated, data: &[u8], now: SystemTime) -> Vec<u8> {
    Signer::open(&key.secret, None, now).unwrap().sign(data).unwrap()
}

/// A keyring that trusts the keys of a file for every name.
pub(crate) fn trusting(public: &[u8]) -> Keyring {
    let mut keyring = Keyring::default();
    for certificate in Certificate::read_all(public, &limits()).unwrap() {
        keyring.push(certificate, Scope::Root);
    }
    keyring
}

pub(crate) fn verify(
    data: &[u8],
    signature: &[u8],
    public: &[u8],
    now: SystemTime,
    liveness: Liveness,
) -> Result<GoodSignature, VerifyError> {
    keys::verify(data, signature, &trusting(public), &Policy::new(now, liveness), &limits())
}

/// The stable code of a refusal, after a look at its text.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, impl Refuse>) -> String {
    let refusal = result.expect_err("this is refused").refusal();
    for text in [&refusal.message, &refusal.wanted, &refusal.found, &refusal.rule, &refusal.next] {
        assert!(text.len() > 5, "{refusal:?}");
    }
    refusal.code
}

/// What gpg calls a kind of key where it makes a subkey that signs.
pub(crate) fn signing(kind: &str) -> String {
    if kind.starts_with("nist") { format!("{kind}/ecdsa") } else { kind.to_owned() }
}

/// A home for gpg, at a path short enough for its sockets.
pub(crate) struct Gpg {
    home: tempfile::TempDir,
}

impl Gpg {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::Builder::new().prefix("g").tempdir_in("/tmp").unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("gpg");
        command
            .current_dir(self.home.path())
            .env("GNUPGHOME", self.home.path())
            .env("LC_ALL", "C")
            .args(["--batch", "--no-tty", "--yes", "--quiet", "--pinentry-mode", "loopback"])
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs gpg, which must succeed; gives its stdout.
    pub(crate) fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.command(arguments).output().expect("gpg is installed");
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {arguments:?}: {talk}");
        output.stdout
    }

    /// Runs gpg at another time.
    pub(crate) fn run_at(&self, time: SystemTime, arguments: &[&str]) -> Vec<u8> {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let faked = format!("{seconds}!");
        let mut all = vec!["--faked-system-time", &faked, "--passphrase", ""];
        all.extend(arguments);
        self.run(&all)
    }

    /// Makes a key without a passphrase; `kind` as gpg's: `rsa2048`, `ed25519`.
    pub(crate) fn key(&self, user: &str, kind: &str, usage: &str, time: SystemTime, life: &str) {
        self.run_at(time, &["--quick-generate-key", user, kind, usage, life]);
    }

    pub(crate) fn fingerprint(&self, user: &str) -> String {
        let listing = self.run(&["--with-colons", "--list-keys", user]);
        let listing = String::from_utf8(listing).unwrap();
        let line = listing.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    pub(crate) fn public(&self, user: &str) -> Vec<u8> {
        self.run(&["--armor", "--export", user])
    }

    /// A detached, armored signature over [`DATA`].
    pub(crate) fn sign(&self, user: &str, time: SystemTime, more: &[&str]) -> Vec<u8> {
        self.file("data", DATA);
        let mut all = vec!["--armor", "--local-user", user, "--output", "-"];
        all.extend(more);
        all.extend(["--detach-sign", "data"]);
        self.run_at(time, &all)
    }

    /// What `gpg --verify` says on its status channel.
    pub(crate) fn verify(&self, data: &[u8], signature: &[u8]) -> String {
        self.file("data", data);
        self.file("data.asc", signature);
        let output = self
            .command(&["--status-fd", "1", "--verify", "data.asc", "data"])
            .output()
            .expect("gpg is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        // The agent of this home, and no other.
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--kill", "all"])
            .stderr(Stdio::null())
            .status();
    }
}
