//! A registry as its owner runs it: the real `gantry registry serve`, on a free port.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::running::open_bytes;
use super::{GANTRY, Sandbox};

/// A running server. Killed when dropped, also by a panic.
pub struct Server {
    child: Child,
    log: File,
    address: SocketAddr,
    data: PathBuf,
    domains: Vec<String>,
    more: Vec<String>,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// What a GET brought.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Server {
    /// Serves these domains from the sandbox's folder `data`.
    pub fn start(sandbox: &Sandbox, domains: &[&str]) -> Self {
        Self::start_in(sandbox, "data", domains)
    }

    /// Serves these domains from another folder of the sandbox.
    pub fn start_in(sandbox: &Sandbox, data: &str, domains: &[&str]) -> Self {
        Self::start_with(sandbox, data, domains, &[])
    }

    /// The same, with more words on the command line.
    pub fn start_with(sandbox: &Sandbox, data: &str, domains: &[&str], more: &[&str]) -> Self {
        let domains: Vec<String> = domains.iter().map(|&domain| domain.to_owned()).collect();
        let data = sandbox.path(data);
        // Without a name, so that the sandbox holds what the commands made and nothing else.
        let log = tempfile::tempfile().unwrap();
        let more: Vec<String> = more.iter().map(|&word| word.to_owned()).collect();
        let (child, address) = spawn(sandbox, &data, &domains, &more, &log);
        let client = client(&data.join("tls/ca.pem"), &domains, address);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { child, log, address, data, domains, more, client, runtime }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// The certificate of the registry's own authority.
    pub fn ca_file(&self) -> PathBuf {
        self.data.join("tls/ca.pem")
    }

    /// Bytes of the image that is arriving, or is being stored, right now.
    pub fn arrived(&self) -> u64 {
        open_bytes(self.child.id(), &[self.data.join("spool"), self.data.join("blobs")])
    }

    /// `kill -9`, and the process is gone when this returns.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, as a service manager stops it.
    pub fn terminate(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for the end of a server that was told to end.
    pub fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts again on the same data, on another free port; clients have to be told.
    pub fn restart(&mut self, sandbox: &Sandbox) {
        self.kill();
        (self.child, self.address) =
            spawn(sandbox, &self.data, &self.domains, &self.more, &self.log);
        self.client = client(&self.ca_file(), &self.domains, self.address);
    }

    /// Writes the user's configuration: these domains are found at this server, under its own
    /// authority.
    pub fn configure(&self, sandbox: &Sandbox) {
        let mut text = format!("ca-file = \"{}\"\n", self.ca_file().display());
        for domain in &self.domains {
            text.push_str(&format!(
                "\n[[override]]\nprefix = \"{domain}\"\nconnect = \"{}\"\n",
                self.address
            ));
        }
        sandbox.write("home/.config/gantry/config.toml", text);
    }

    /// Lets the keys of a file sign for a prefix.
    pub fn add_key(&self, sandbox: &Sandbox, prefix: &str, public: &str) {
        let words = ["registry", "keys", "add", "--prefix", prefix, public, "--data"];
        sandbox.gantry(words.into_iter().map(Into::into).chain([self.data.clone()])).ok();
    }

    /// A token to push below a prefix.
    pub fn token(&self, sandbox: &Sandbox, prefix: &str) -> String {
        let words = ["registry", "token", "create", "--prefix", prefix, "--allow", "push"];
        let data = ["--data".into(), self.data.clone()];
        sandbox.gantry(words.into_iter().map(Into::into).chain(data)).ok()
    }

    /// What the server has said on stderr so far.
    pub fn log(&self) -> String {
        read_log(&self.log)
    }

    /// What anybody gets from `https://HOST/PATH`.
    pub fn get(&self, host: &str, path: &str) -> Got {
        let url = format!("https://{host}:{}{path}", self.address.port());
        self.runtime.block_on(async {
            let response = self.client.get(url).send().await.unwrap();
            let status = response.status().as_u16();
            Got { status, body: response.bytes().await.unwrap().to_vec() }
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Got {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn spawn(
    sandbox: &Sandbox,
    data: &Path,
    domains: &[String],
    more: &[String],
    log: &File,
) -> (Child, SocketAddr) {
    let mut child = sandbox
        .command(GANTRY)
        .args(["registry", "serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .args(domains.iter().flat_map(|domain| ["--domain", domain]))
        .args(more)
        .stdout(Stdio::piped())
        .stderr(log.try_clone().unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
    let address = line.trim().strip_prefix("listening on https://");
    match address.and_then(|address| address.parse().ok()) {
        Some(address) => (child, address),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server did not start: {read:?} {line:?}\n{}", read_log(log));
        }
    }
}

fn read_log(mut log: &File) -> String {
    let mut text = String::new();
    log.rewind().and_then(|()| log.read_to_string(&mut text)).unwrap();
    text
}

fn client(ca_file: &Path, domains: &[String], address: SocketAddr) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = std::fs::read(ca_file).unwrap();
    let mut client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .tls_certs_only([reqwest::Certificate::from_pem(&authority).unwrap()])
        .redirect(reqwest::redirect::Policy::none());
    for domain in domains {
        client = client.resolve(domain, address);
    }
    client.build().unwrap()
}
