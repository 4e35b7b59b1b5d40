//! The four scripts of acbuild: built, looked at, and run with real requests.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Examples;
use crate::support::containers::{free_port, nothing_left, say_within};
use crate::support::running::Running;

/// How long a server may take until it answers: its image is rendered first.
const PATIENCE: Duration = Duration::from_secs(60);

const HTTP: &str = "GET / HTTP/1.0\r\n\r\n";

/// An image that runs.
struct Server {
    running: Running,
    port: u16,
}

#[test]
fn scripts_build_images_that_run() {
    let Some(examples) = Examples::get(&["runc"]) else { return };
    let sandbox = &examples.sandbox;
    let trust = "\"$GANTRY\" -q key generate --user-id 'Examples <examples@example.com>' \
        --secret examples.key --public examples.pub.asc
        \"$GANTRY\" -q trust add --prefix example.com examples.pub.asc";
    sandbox.shell(trust).ok();

    let html = examples.path("apache/html");
    let html = format!("html,kind=host,source={}", html.display());
    let nginx = start(&examples, "nginx", "http", &[]);
    let apache = start(&examples, "apache", "http", &["--volume", &html]);
    let nodejs = start(&examples, "nodejs", "http", &[]);
    let data = ["--volume", "data,kind=empty,mode=0777"];
    let redis = start(&examples, "redis", "redis", &data);

    let page = |below: &str| fs::read_to_string(examples.path(below)).unwrap();
    let answer = nginx.says(HTTP);
    assert!(answer.contains("\r\nServer: nginx"), "{answer}");
    assert!(answer.ends_with(&page("nginx/index.html")), "{answer}");
    let answer = apache.says(HTTP);
    assert!(answer.contains("\r\nServer: Apache"), "{answer}");
    assert!(answer.ends_with(&page("apache/html/index.html")), "{answer}");
    let answer = nodejs.says(HTTP);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\nhello\n"), "{answer}");
    assert_eq!(
        redis.says("PING\r\nSET a 1\r\nGET a\r\nQUIT\r\n"),
        "+PONG\r\n+OK\r\n$1\r\n1\r\n+OK\r\n"
    );

    for server in [nginx, apache, nodejs, redis] {
        let ended = server.running.terminate();
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    nothing_left(sandbox);
}

/// Builds an image in its own folder, as a program named acbuild, and starts it.
fn start(examples: &Examples, name: &str, port_name: &str, more: &[&str]) -> Server {
    let sandbox = &examples.sandbox;
    let line = format!("cd examples/{name} && ../../bin/acbuild script {name}.acb");
    let told = sandbox.shell(&line).ok();
    assert!(!examples.path(&format!("{name}/.acbuild")).exists());
    nothing_of_the_build(&examples.path(&format!("{name}/{name}.aci")));
    let line = format!(
        "\"$GANTRY\" -q sign examples/{name}/{name}.aci --key examples.key >&2
        \"$GANTRY\" -q fetch ./examples/{name}/{name}.aci"
    );
    let id = sandbox.shell(&line).ok();
    assert!(told.ends_with(&id), "{told}");
    let port = free_port();
    let (image, port_text) =
        (format!("example.com/{name}"), format!("{port_name}:127.0.0.1:{port}"));
    let words = ["-q", "run", &image, "--port", &port_text];
    Server { running: Running::start(sandbox, words.iter().chain(more)), port }
}

impl Server {
    /// What it says to a request, once it does.
    #[track_caller]
    fn says(&self, request: &str) -> String {
        say_within(PATIENCE, self.port, request)
    }
}

/// An image has nothing of the machine that it was built on, and nothing that was only needed to
/// build it.
fn nothing_of_the_build(image: &Path) {
    let archive = flate2::read::MultiGzDecoder::new(fs::File::open(image).unwrap());
    let mut archive = tar::Archive::new(archive);
    let mut seen = 0;
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let path = path.strip_prefix("rootfs").unwrap_or(&path);
        seen += 1;
        assert!(!["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"].contains(&path), "{path}");
        let folders =
            ["/var/lib/apt/lists/", "/var/log/apt/", "/tmp/", "/var/tmp/", "/root/.cache"];
        let below =
            folders.iter().find(|folder| path.len() > folder.len() && path.starts_with(**folder));
        assert!(below.is_none(), "{path}");
        assert!(!path.starts_with("/var/cache/apt/") || entry.size() == 0, "{path}");
        assert!(!path.ends_with(".log") || entry.size() == 0, "{path}");
    }
    assert!(seen > 5000, "{seen} entries are no Debian");
}
