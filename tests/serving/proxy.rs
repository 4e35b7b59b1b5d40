//! HTTP without TLS, and a real nginx in front that has it.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Instant;

use rcgen::{CertificateParams, KeyPair};

use super::process::{PATIENCE, Process, free_port};
use super::support::{Ended, Sandbox, tool};

/// nginx, with TLS, that passes everything on. Killed when dropped.
struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Nginx {
    fn start(sandbox: &Sandbox, upstream: SocketAddr) -> Self {
        let key = KeyPair::generate().unwrap();
        let names = ["example.com".to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        sandbox.write("nginx/c.pem", certificate.pem());
        sandbox.write("nginx/k.pem", key.serialize_pem());
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let folder = sandbox.path("nginx");
        let folder = folder.display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};\n"))
            .concat();
        // The server is as `docs/operate.md` shows it.
        let server = documented_server()
            .replace("443 ssl", &format!("{address} ssl"))
            .replace("/etc/ssl/example.com.pem", &format!("{folder}/c.pem"))
            .replace("/etc/ssl/example.com.key", &format!("{folder}/k.pem"))
            .replace("127.0.0.1:8080", &upstream.to_string());
        let text = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log stderr;\n\
             events {{ }}\nhttp {{\naccess_log off;\n{temporary}{server}}}\n"
        );
        let config = sandbox.write("nginx/nginx.conf", text);
        let child = sandbox
            .command("/usr/sbin/nginx")
            .args(["-e", "stderr", "-c"])
            .arg(config)
            .stderr(fs::File::create(sandbox.path("nginx/log")).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Self { child, address };
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(address).is_err() {
            let log = fs::read_to_string(sandbox.path("nginx/log")).unwrap();
            assert!(Instant::now() < deadline, "nginx does not listen: {log}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The `server` of nginx's configuration in the documents.
fn documented_server() -> String {
    let text = include_str!("../../docs/operate.md");
    let block = text.split("```nginx\n").nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

fn config(more: &str) -> String {
    format!(
        "[server]\ndata = \"DATA\"\ndomains = [\"example.com\"]\nhttp = [\"127.0.0.1:0\"]\n{more}"
    )
}

/// A request from one of this machine's addresses.
fn curl(sandbox: &Sandbox, from: &str, options: &str, url: &str) -> Ended {
    sandbox.shell(&format!(
        "curl -sS --max-time 60 --interface {from} -w '\\n%{{http_code}}' {options} '{url}'"
    ))
}

#[test]
fn proxy_in_front_is_believed_and_its_clients_are_not() {
    if !tool("nginx") {
        return;
    }
    let sandbox = Sandbox::new();
    let process = Process::start(&sandbox, &config("trusted-proxies = [\"127.0.0.1\"]\n"));
    assert!(!process.data().join("tls/ca.pem").exists(), "nobody needs a certificate");
    let nginx = Nginx::start(&sandbox, process.address());
    let through = format!(
        "--cacert nginx/c.pem --connect-to example.com:443:{} -H 'X-Forwarded-For: 192.0.2.9' \
         -H 'Forwarded: for=192.0.2.9' -H 'X-Real-IP: 192.0.2.9'",
        nginx.address
    );
    let page = curl(&sandbox, "127.0.0.2", &through, "https://example.com/").ok();
    assert!(page.ends_with("\n200"), "{page}");
    assert!(page.contains("content=\"example.com https://example.com/-/images/"), "{page}");
    assert!(!page.contains("http://"), "{page}");
    process.says("client=127.0.0.2 method=GET path=\"/\"");
    assert!(!process.log().contains("192.0.2.9"), "{}", process.log());

    // What is no proxy is not answered, whatever it says.
    let direct = format!("http://{}/", process.address());
    let spoofed = "-H 'Host: example.com' -H 'X-Forwarded-For: 127.0.0.1'";
    let refused = curl(&sandbox, "127.0.0.3", spoofed, &direct).ok();
    assert!(refused.ends_with("\n403") && refused.contains("\"plain-http\""), "{refused}");
    for part in ["wanted", "found", "rule", "next"] {
        assert!(refused.contains(&format!("\"{part}\":")), "{refused}");
    }
    // The proxies are asked for at each request: the connection of nginx is the same.
    process.configure(&config("trusted-proxies = [\"127.0.0.3\"]\n"));
    process.says("the configuration was read again");
    assert!(curl(&sandbox, "127.0.0.3", spoofed, &direct).ok().ends_with("\n200"));
    let page = curl(&sandbox, "127.0.0.2", &through, "https://example.com/").ok();
    assert!(page.ends_with("\n403"), "{page}");
    process.stop();
}

#[test]
fn images_go_through_a_proxy() {
    if !tool("nginx") {
        return;
    }
    let sandbox = Sandbox::new();
    let process = Process::start(&sandbox, &config("trusted-proxies = [\"127.0.0.1\"]\n"));
    let nginx = Nginx::start(&sandbox, process.address());
    let gantry = |line: &str| sandbox.gantry(line.split_whitespace());
    // Larger than what nginx takes of itself.
    let content: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    sandbox.write("rootfs/file", content);
    gantry("key generate --user-id team@example.com --secret key.asc --public key.pub.asc").ok();
    gantry("pack rootfs -o app.aci --name example.com/app --version 1").ok();
    gantry("sign app.aci --key key.asc").ok();
    gantry("registry keys add --data data --prefix example.com key.pub.asc").ok();
    let token = gantry("registry token create --data data --prefix example.com --allow push").ok();
    sandbox.write("token", token);
    let client = format!(
        "ca-file = \"{}\"\n[[override]]\nprefix = \"example.com\"\nconnect = \"{}\"\n",
        sandbox.path("nginx/c.pem").display(),
        nginx.address
    );
    sandbox.write("home/.config/gantry/config.toml", client);
    gantry("push --token-file token app.aci").ok();
    gantry("trust add --prefix example.com key.pub.asc").ok();
    gantry("fetch example.com/app:1").ok();
    process.stop();
}

#[test]
fn plain_http_answers_this_machine_and_believes_nobody() {
    let sandbox = Sandbox::new();
    let process = Process::start(&sandbox, &config("listen = [\"127.0.0.1:0\"]\n"));
    let [https, http] = process.addresses[..] else { panic!("two addresses") };
    for (url, options) in
        [(format!("http://{http}/"), ""), (format!("https://{https}/"), "--cacert data/tls/ca.pem")]
    {
        let options = format!("{options} -H 'X-Forwarded-For: 192.0.2.9'");
        let page = curl(&sandbox, "127.0.0.1", &options, &url).ok();
        assert!(page.ends_with("\n200") && !page.contains("http://"), "{page}");
    }
    process.says("client=127.0.0.1 method=GET path=\"/\"");
    assert!(!process.log().contains("192.0.2.9"), "{}", process.log());
    process.stop();
}

#[test]
fn plain_http_to_everybody_is_refused() {
    let sandbox = Sandbox::new();
    let words = ["registry", "serve", "--data", "data", "--domain", "example.com", "--http"];
    let ended = sandbox.gantry(words.iter().chain(&["0.0.0.0:8080"])).refused(3);
    assert!(ended.stderr.contains("--trusted-proxy"), "{ended:?}");
}
