//! Certificates from a real authority: pebble, which the people of Let's Encrypt test clients with.

use std::fs;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use super::process::{PATIENCE, Process, free_port};
use super::support::{Sandbox, files};

/// An authority that gives certificates to whoever shows that a domain is theirs. Every domain
/// is found on this machine.
struct Authority {
    pebble: Child,
    names: Child,
    directory: SocketAddr,
    management: SocketAddr,
    log: PathBuf,
}

/// Where the authority looks for what it asked to be shown.
#[derive(Clone, Copy)]
struct Ports {
    tls: u16,
    http: u16,
}

impl Ports {
    fn free() -> Self {
        Self { tls: free_port(), http: free_port() }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Authority {
    /// Its certificates are good for so many seconds.
    fn start(sandbox: &Sandbox, directory: SocketAddr, ports: Ports, seconds: u64) -> Self {
        let (names, management) = (local(free_port()), local(free_port()));
        let config = json!({ "pebble": {
            "listenAddress": directory,
            "managementListenAddress": management,
            "certificate": sandbox.path("pebble/c.pem"),
            "privateKey": sandbox.path("pebble/k.pem"),
            "httpPort": ports.http,
            "tlsPort": ports.tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": seconds,
        }});
        let config = sandbox.write("pebble/config.json", config.to_string());
        let log = sandbox.path("pebble/log");
        let lines = fs::File::options().create(true).append(true).open(&log).unwrap();
        let run = |command: &mut Command| {
            let command =
                command.stdout(lines.try_clone().unwrap()).stderr(lines.try_clone().unwrap());
            command.spawn().expect("the package pebble is installed: scripts/setup.sh test does it")
        };
        let none = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""];
        let names_server = run(sandbox.command("pebble-challtestsrv").args(none).args([
            "-dns01",
            &names.to_string(),
            "-management",
            &local(free_port()).to_string(),
        ]));
        let pebble = run(sandbox
            .command("pebble")
            // It looks at once, and refuses one request of twenty, so that clients try again.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .arg("-config")
            .arg(config)
            .args(["-dnsserver", &names.to_string()]));
        let authority = Self { pebble, names: names_server, directory, management, log };
        authority.wait(names);
        authority
    }

    fn wait(&self, names: SocketAddr) {
        let deadline = Instant::now() + PATIENCE;
        let listens = |address| TcpStream::connect(address).is_ok();
        while !(listens(self.directory) && listens(self.management) && answers(names)) {
            assert!(Instant::now() < deadline, "pebble does not run: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The root that vouches for the certificates it gives.
    fn root(&self, sandbox: &Sandbox) -> String {
        let url = format!("https://{}/roots/0", self.management);
        sandbox.write(
            "root.pem",
            sandbox.shell(&format!("curl -sSf --cacert pebble/c.pem {url}")).ok(),
        );
        "root.pem".to_owned()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for child in [&mut self.pebble, &mut self.names] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What the authority's own server shows, which clients have to trust.
fn server_certificate(sandbox: &Sandbox) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    sandbox.write("pebble/c.pem", certificate.self_signed(&key).unwrap().pem());
    sandbox.write("pebble/k.pem", key.serialize_pem());
}

/// Whether a name server answers: the question is for the root.
fn answers(names: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01";
    socket.send_to(question, names).unwrap();
    socket.recv(&mut [0; 512]).is_ok()
}

fn config(directory: SocketAddr, ports: Ports, domains: &str, more: &str) -> String {
    format!(
        "[server]\ndata = \"DATA\"\ndomains = [{domains}]\nlisten = [\"127.0.0.1:{}\"]\n\
         [acme]\ndirectory = \"https://{directory}/dir\"\nterms-agreed = true\n\
         contact = [\"mailto:admin@example.com\"]\nca-file = \"DATA/../pebble/c.pem\"\n{more}",
        ports.tls
    )
}

/// What a client gets that trusts the authority's root and nothing else.
fn asks(sandbox: &Sandbox, ports: Ports, domain: &str, root: &str) -> String {
    let to = format!("--connect-to {domain}:443:127.0.0.1:{}", ports.tls);
    sandbox.shell(&format!("curl -sSf --cacert {root} {to} https://{domain}/-/healthz")).ok()
}

const GIVEN: &str = "the authority gave a certificate";
const NOT_GOT: &str = "no certificate was got";
const BOTH: &str = "\"example.com\", \"example.org\"";

#[test]
fn certificate_is_got_by_tls_alpn_and_kept_over_a_restart() {
    let sandbox = Sandbox::new();
    let (directory, ports) = (local(free_port()), Ports::free());
    let text = config(directory, ports, BOTH, "");
    // The authority is not there yet: no handshake, a reason in the log, and further attempts.
    server_certificate(&sandbox);
    let process = Process::start(&sandbox, &text);
    process.says(NOT_GOT);
    process.says("onnection refused");
    let hello =
        format!("openssl s_client -connect 127.0.0.1:{} -servername example.com", ports.tls);
    let refused = sandbox.shell(&format!("{hello} </dev/null 2>&1"));
    assert!(refused.code != 0 && refused.stdout.contains("SSL alert number"), "{refused:?}");

    let authority = Authority::start(&sandbox, directory, ports, 3600);
    process.configure(&text);
    process.says(GIVEN);
    let root = authority.root(&sandbox);
    for domain in ["example.com", "example.org"] {
        assert_eq!(asks(&sandbox, ports, domain, &root), "ok");
    }
    // Outside an order, nobody gets anything by the protocol of challenges.
    let challenge = sandbox.shell(&format!("{hello} -alpn acme-tls/1 </dev/null 2>&1"));
    assert!(challenge.code != 0, "{challenge:?}");
    let kept = files(&process.data().join("tls/acme"));
    assert_eq!(kept.len(), 2, "{kept:?}");
    for file in &kept {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }

    // It is kept, and no other is ordered.
    let certificate = kept.iter().find(|file| file.ends_with("certificate.pem")).unwrap();
    let before = fs::read(certificate).unwrap();
    process.stop();
    let process = Process::start(&sandbox, &text);
    assert_eq!(asks(&sandbox, ports, "example.com", &root), "ok");
    // Another domain is another certificate, and the first that is got after the start.
    process.configure(&config(directory, ports, "\"example.com\", \"a.example\"", ""));
    process.says(GIVEN);
    assert_eq!(asks(&sandbox, ports, "a.example", &root), "ok");
    assert_ne!(fs::read(certificate).unwrap(), before);
    process.stop();
}

#[test]
fn certificate_is_got_by_http_and_reasons_are_logged() {
    let sandbox = Sandbox::new();
    let (directory, ports) = (local(free_port()), Ports::free());
    let http = |port| format!("challenge = \"http-01\"\nchallenge-listen = \"127.0.0.1:{port}\"\n");
    let wrong = Ports { http: free_port(), ..ports };
    let text = config(directory, ports, "\"example.com\"", &http(ports.http));
    // The authority looks where nobody answers.
    server_certificate(&sandbox);
    let authority = Authority::start(&sandbox, directory, wrong, 3600);
    let process = Process::start(&sandbox, &text);
    process.says(NOT_GOT);
    process.says("example.com was not shown to be ours");
    process.says("connection refused");
    drop(authority);

    // The authority has forgotten the account: another one is made, at the next attempt.
    let authority = Authority::start(&sandbox, directory, ports, 3600);
    process.configure(&text);
    process.says_times(NOT_GOT, 2);
    process.configure(&text);
    process.says(GIVEN);
    let root = authority.root(&sandbox);
    assert_eq!(asks(&sandbox, ports, "example.com", &root), "ok");

    // Where challenges are answered, nothing else is.
    for path in ["/", "/-/healthz", "/.well-known/acme-challenge/unknown", "/.well-known/"] {
        let url = format!("http://127.0.0.1:{}{path}", ports.http);
        let answer = sandbox.shell(&format!("curl -sS -w '%{{http_code}}' {url}")).ok();
        assert!(answer.ends_with("404") && answer.contains("https://"), "{path}: {answer}");
    }
    process.stop();
}

#[test]
fn certificate_is_renewed_in_time() {
    let sandbox = Sandbox::new();
    let (directory, ports) = (local(free_port()), Ports::free());
    server_certificate(&sandbox);
    let authority = Authority::start(&sandbox, directory, ports, 15);
    // By its own authority first, so that there is a certificate, and not the one that is wanted.
    let text = config(directory, ports, "\"example.com\"", "");
    let process = Process::start(&sandbox, text.split("[acme]").next().unwrap());
    process.configure(&text);
    process.says(GIVEN);
    let root = authority.root(&sandbox);
    let serial = || {
        let line = format!(
            "openssl s_client -connect 127.0.0.1:{} -servername example.com </dev/null \
             2>/dev/null | openssl x509 -noout -serial",
            ports.tls
        );
        sandbox.shell(&line).ok()
    };
    let first = serial();
    let deadline = Instant::now() + PATIENCE;
    // All the while a certificate is shown.
    while serial() == first {
        assert!(Instant::now() < deadline, "{}", process.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    process.says_times(GIVEN, 2);
    assert_eq!(asks(&sandbox, ports, "example.com", &root), "ok");
    process.stop();
}
