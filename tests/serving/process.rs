//! A registry in a process of its own, run with a configuration file.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::support::{GANTRY, Sandbox};

/// Long enough for a loaded machine; nothing that works waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A registry that runs. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    /// Where it listens, in the order it says.
    pub(crate) addresses: Vec<SocketAddr>,
    config: PathBuf,
    data: PathBuf,
}

impl Process {
    /// Runs with this configuration, in which `DATA` stands for its data directory.
    pub(crate) fn start(sandbox: &Sandbox, config: &str) -> Self {
        Self::start_with(sandbox, config, &[])
    }

    /// The same, with these variables.
    pub(crate) fn start_with(sandbox: &Sandbox, config: &str, variables: &[(&str, &Path)]) -> Self {
        let data = sandbox.path("data");
        let config = sandbox.write("registry.toml", with_data(config, &data));
        let log = sandbox.write("registry.log", "");
        // Read while it is written: each line goes to the end.
        let lines = File::options().append(true).open(&log).unwrap();
        let mut child = sandbox
            .command(GANTRY)
            .args(["registry", "serve", "--config"])
            .arg(&config)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(lines)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        let said = line.trim().strip_prefix("listening on ").unwrap_or_default();
        let address = |url: &str| url.split_once("://").unwrap().1.parse().unwrap();
        let addresses: Vec<SocketAddr> =
            said.split(' ').filter(|url| !url.is_empty()).map(address).collect();
        let process = Self { child, log, addresses, config, data };
        assert!(!process.addresses.is_empty(), "it does not listen: {}", process.log());
        process
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// What it has said on stderr so far.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// Waits until the log says this so many times.
    pub(crate) fn says_times(&self, words: &str, times: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.log().matches(words).count() < times {
            assert!(Instant::now() < deadline, "it never said {words:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn says(&self, words: &str) {
        self.says_times(words, 1);
    }

    /// Lets the file say something else, and has it read again.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(&self.config, with_data(config, &self.data)).unwrap();
        self.signal(Signal::HUP);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends it as a service manager does, and gives the time for it.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A client that finds these domains here, and trusts the registry's own authority.
    pub(crate) fn client(&self, domains: &[&str]) -> reqwest::Client {
        client(&self.data.join("tls/ca.pem"), domains, self.address())
    }

    pub(crate) fn url(&self, domain: &str, path: &str) -> String {
        format!("https://{domain}:{}{path}", self.address().port())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn with_data(config: &str, data: &Path) -> String {
    config.replace("DATA", &data.display().to_string())
}

/// A client that finds these domains at this address, and trusts this authority alone.
pub(crate) fn client(authority: &Path, domains: &[&str], address: SocketAddr) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = reqwest::Certificate::from_pem(&fs::read(authority).unwrap()).unwrap();
    let mut client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([authority]);
    for domain in domains {
        client = client.resolve(domain, address);
    }
    client.build().unwrap()
}

/// A port for a server that cannot be asked which one it took. It is not one of those that the
/// kernel gives out by itself, so nobody who asks for any gets it meanwhile.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
