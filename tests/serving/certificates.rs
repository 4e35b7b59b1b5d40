//! Certificates that are renewed in all the ways people have for it, and the protocols spoken.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use rcgen::{CertificateParams, KeyPair, SerialNumber};

use super::process::{PATIENCE, Process};
use super::support::Sandbox;

/// A certificate and its key, in PEM.
struct Pair {
    certificate: String,
    key: String,
}

/// A certificate with this serial number, by which it is told from others.
fn pair(serial: u64) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["example.com".to_owned()]).unwrap();
    params.serial_number = Some(SerialNumber::from(serial));
    Pair { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn config(folder: &Path) -> String {
    format!(
        "[server]\ndata = \"DATA\"\ndomains = [\"example.com\"]\nlisten = [\"127.0.0.1:0\"]\n\
         [tls]\ncertificate = \"{0}/tls.crt\"\nkey = \"{0}/tls.key\"\n",
        folder.display()
    )
}

/// The serial number of the certificate that a client is shown, in a handshake that succeeds.
fn shown(sandbox: &Sandbox, address: SocketAddr) -> u64 {
    let line = format!(
        "openssl s_client -connect {address} -servername example.com </dev/null 2>/dev/null \
         | openssl x509 -noout -serial"
    );
    let said = sandbox.shell(&line).ok();
    u64::from_str_radix(said.strip_prefix("serial=").unwrap(), 16).unwrap()
}

/// Waits until clients are shown this one; until then it has to be the other.
fn becomes(sandbox: &Sandbox, process: &Process, old: u64, new: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = shown(sandbox, process.address());
        if now == new {
            return;
        }
        assert_eq!(now, old);
        assert!(Instant::now() < deadline, "it is not taken up: {}", process.log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn certificate_is_taken_up_only_when_both_files_fit() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("tls");
    let write = |name: &str, text: &str| {
        let hidden = sandbox.write("tls/new", text);
        fs::rename(hidden, folder.join(name)).unwrap();
    };
    let first = pair(1);
    write("tls.crt", &first.certificate);
    write("tls.key", &first.key);
    let process = Process::start(&sandbox, &config(&folder));
    assert_eq!(shown(&sandbox, process.address()), 1);
    let kept = "the certificate is kept as it was";

    // By renaming, the key first.
    let second = pair(2);
    write("tls.key", &second.key);
    process.says_times(kept, 1);
    assert_eq!(shown(&sandbox, process.address()), 1);
    write("tls.crt", &second.certificate);
    becomes(&sandbox, &process, 1, 2);

    // By writing into the files, the certificate first, of which half is there for a while.
    let third = pair(3);
    fs::write(folder.join("tls.crt"), &third.certificate[..100]).unwrap();
    process.says_times(kept, 2);
    fs::write(folder.join("tls.crt"), &third.certificate).unwrap();
    process.says_times(kept, 3);
    assert_eq!(shown(&sandbox, process.address()), 2);
    fs::write(folder.join("tls.key"), &third.key).unwrap();
    becomes(&sandbox, &process, 2, 3);

    // Files that are away for a while.
    fs::remove_file(folder.join("tls.crt")).unwrap();
    process.says_times(kept, 4);
    assert_eq!(shown(&sandbox, process.address()), 3);
    let fourth = pair(4);
    write("tls.key", &fourth.key);
    write("tls.crt", &fourth.certificate);
    becomes(&sandbox, &process, 3, 4);
    process.stop();
}

#[test]
fn certificate_is_taken_up_when_a_link_is_turned() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("tls");
    let version = |number: u64| {
        let pair = pair(number);
        sandbox.write(&format!("tls/..{number}/tls.crt"), pair.certificate);
        sandbox.write(&format!("tls/..{number}/tls.key"), pair.key);
        symlink(format!("..{number}"), folder.join("..next")).unwrap();
        fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
    };
    // As Kubernetes does: both files by way of one folder, which is a link that is turned.
    version(1);
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), folder.join(name)).unwrap();
    }
    let process = Process::start(&sandbox, &config(&folder));
    version(2);
    becomes(&sandbox, &process, 1, 2);
    // As certbot does: each file is a link of its own, and they are turned one by one.
    version(3);
    becomes(&sandbox, &process, 2, 3);
    let archive = pair(4);
    sandbox.write("archive/cert4.pem", archive.certificate);
    sandbox.write("archive/key4.pem", archive.key);
    for (name, target) in [("tls.crt", "../archive/cert4.pem"), ("tls.key", "../archive/key4.pem")]
    {
        fs::remove_file(folder.join(name)).unwrap();
        symlink(target, folder.join(name)).unwrap();
    }
    becomes(&sandbox, &process, 3, 4);
    process.stop();
}

#[test]
fn tls_older_than_1_2_is_not_spoken() {
    let sandbox = Sandbox::new();
    let process = Process::start(
        &sandbox,
        "[server]\ndata = \"DATA\"\ndomains = [\"example.com\"]\nlisten = [\"127.0.0.1:0\"]\n",
    );
    let attempt = |version: &str| {
        // Without the second, the client itself would not offer the old ones.
        sandbox.shell(&format!(
            "openssl s_client -connect {} -servername example.com -{version} \
             -cipher DEFAULT@SECLEVEL=0 -CAfile data/tls/ca.pem -verify_return_error \
             </dev/null 2>&1",
            process.address()
        ))
    };
    for old in ["tls1", "tls1_1"] {
        let ended = attempt(old);
        assert_ne!(ended.code, 0, "{old}");
        // It is the server that refuses.
        assert!(ended.stdout.contains("SSL alert number"), "{old}: {ended:?}");
    }
    for (version, name) in [("tls1_2", "TLSv1.2"), ("tls1_3", "TLSv1.3")] {
        assert!(attempt(version).ok().contains(name), "{version}");
    }
    process.stop();
}
