//! The configuration is read again while requests run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::process::Process;
use super::support::Sandbox;

fn config(domains: &str, more: &str) -> String {
    format!("[server]\ndata = \"DATA\"\ndomains = [{domains}]\nlisten = [\"127.0.0.1:0\"]\n{more}")
}

/// Clients that ask without a pause, on connections that stay and on new ones.
struct Clients {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    running: Vec<tokio::task::JoinHandle<()>>,
}

impl Clients {
    fn start(process: &Process) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let start = |stays: bool| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let client = process.client(&["example.com"]);
            let url = process.url("example.com", "/-/healthz");
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let mut request = client.get(&url);
                    if !stays {
                        request = request.header("connection", "close").version(http1());
                    }
                    let response = request.send().await.unwrap();
                    assert_eq!(response.status(), 200);
                    assert_eq!(response.text().await.unwrap(), "ok\n");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let running = [true, true, false].map(start).into();
        Self { stop, answered, running }
    }

    /// Waits for so many further answers.
    async fn go_on(&self) {
        let wanted = self.answered.load(Ordering::Relaxed) + 30;
        while self.answered.load(Ordering::Relaxed) < wanted {
            assert!(self.running.iter().all(|client| !client.is_finished()), "a client failed");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.running {
            client.await.unwrap();
        }
    }
}

fn http1() -> reqwest::Version {
    reqwest::Version::HTTP_11
}

async fn status(process: &Process, domain: &str) -> Option<u16> {
    let client = process.client(&[domain]);
    let response = client.get(process.url(domain, "/")).send().await;
    response.ok().map(|response| response.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_changes_what_it_can_and_drops_no_request() {
    let sandbox = Sandbox::new();
    let process = Process::start(&sandbox, &config("\"example.com\"", ""));
    let clients = Clients::start(&process);
    clients.go_on().await;
    assert_eq!(status(&process, "example.org").await, None, "the certificate is not for it");

    // A second domain: for pages, and in the certificate.
    process.configure(&config("\"example.com\", \"example.org\"", ""));
    process.says("the configuration was read again");
    process.says("the certificate was replaced");
    assert_eq!(status(&process, "example.org").await, Some(200));
    clients.go_on().await;

    // Files that cannot be used change nothing, and the log says why.
    let bad = [
        (config("\"example.com\"", "[limits]\nentires = 7\n"), "unknown field `entires`"),
        (config("", ""), "no domain is named"),
        (config("\"example.com\"", "[tls]\nkey = \"/n\"\ncertificate = \"/n\"\n"), "/n"),
    ];
    for (index, (text, words)) in bad.iter().enumerate() {
        process.configure(text);
        process.says_times("the configuration is kept as it was", index + 1);
        process.says(words);
        assert_eq!(status(&process, "example.org").await, Some(200));
    }
    clients.go_on().await;

    // What cannot change while it runs is said; the rest counts all the same.
    let other = config("\"example.com\"", "[timeouts]\nsilence = \"5m\"\n");
    let other = other + "[access]\nissuer-ca-file = \"/roots.pem\"\n";
    process.configure(&other.replace("127.0.0.1:0", "127.0.0.1:1").replace("DATA", "/elsewhere"));
    process.says("needs a restart setting=\"listen\"");
    process.says("needs a restart setting=\"data\"");
    process.says("needs a restart setting=\"issuer-ca-file\"");
    process.says_times("the certificate was replaced", 2);
    assert_eq!(status(&process, "example.org").await, None);
    clients.go_on().await;
    clients.stop().await;
    process.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_changes_limits_and_timeouts() {
    let sandbox = Sandbox::new();
    let process = Process::start(&sandbox, &config("\"example.com\"", ""));
    let token = sandbox
        .gantry([
            "registry",
            "token",
            "create",
            "--prefix",
            "example.com",
            "--allow",
            "push",
            "--data",
            "data",
        ])
        .ok();
    let client = process.client(&["example.com"]);
    let create = async || {
        let body = serde_json::json!({ "signature": "x", "fileBytes": 2000 }).to_string();
        let url = process.url("example.com", "/-/api/v1/uploads");
        let request = client.post(url).bearer_auth(&token).body(body);
        request.header("content-type", "application/json").send().await.unwrap().status().as_u16()
    };
    assert_eq!(create().await, 422, "no signature, but not too large");
    process.configure(&config("\"example.com\"", "[limits]\nimage-size = 1999\n"));
    process.says("the configuration was read again");
    assert_eq!(create().await, 413);
    // A connection that is there keeps its limits; the next one has the new ones.
    process.configure(&config("\"example.com\"", "[timeouts]\nhandshake = \"200ms\"\n"));
    process.says_times("the configuration was read again", 2);
    let mut silent = tokio::net::TcpStream::connect(process.address()).await.unwrap();
    let start = std::time::Instant::now();
    let mut sink = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut sink);
    let _ = tokio::time::timeout(super::process::PATIENCE, read).await.unwrap();
    assert!(start.elapsed().as_secs() < 9, "the default would be ten seconds");
    assert_eq!(create().await, 422);
}
