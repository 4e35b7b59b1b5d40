//! A registry as its owner runs it: its log, and how it stops.

use std::time::{Duration, Instant};

use crate::support::server::Server;
use crate::support::{GANTRY, Sandbox};
use serde_json::Value;

/// The last line of the log that says this, once there is one.
fn line(server: &Server, message: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let lines: Vec<Value> = server
            .log()
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        if let Some(line) = lines.into_iter().rfind(|line| line["fields"]["message"] == message) {
            return line;
        }
        assert!(Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn log_is_json_where_that_is_asked_for() {
    let sandbox = Sandbox::new();
    let more = ["--log-format", "json"];
    let server = Server::start_with(&sandbox, "data", &["example.com"], &more);
    let got = server.get("example.com", "/-/assets/nothing?token=secret");
    assert_eq!(got.status, 404);
    let line = line(&server, "answered");
    let (fields, span) = (&line["fields"], &line["span"]);
    assert_eq!(line["level"], "INFO");
    assert_eq!(fields["status"], 404);
    assert_eq!(fields["bytes"], got.body.len());
    assert!(fields["ms"].is_u64(), "{line}");
    assert_eq!(span["method"], "GET");
    assert_eq!(span["path"], "/-/assets/nothing");
    assert_eq!(span["host"], "example.com");
    assert!(span["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert_eq!(span["id"].as_str().unwrap().len(), 16, "{line}");
    assert!(!server.log().contains("secret"), "{}", server.log());
}

#[test]
fn log_that_is_json_holds_nothing_else_from_the_start_to_the_end() {
    let sandbox = Sandbox::new();
    let more = ["--log-format", "json"];
    let mut server = Server::start_with(&sandbox, "data", &["example.com"], &more);
    server.terminate();
    assert!(server.ended().success());
    let log = server.log();
    for words in ["TLS by this registry's own authority", "stopping; running requests"] {
        assert!(log.contains(words), "{log}");
    }
    sandbox.write("other/letter.txt", "");
    let words = ["registry", "serve", "--data", "other", "--domain", "example.com"];
    let ended = sandbox.gantry(words.iter().chain(&more));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("data-foreign"), "{ended:?}");
    for line in log.lines().chain(ended.stderr.lines()) {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line.is_object(), "{line}");
    }
}

#[test]
fn stop_is_noticed_before_it_comes() {
    let sandbox = Sandbox::new();
    let more = ["--drain-notice", "3s"];
    let mut server = Server::start_with(&sandbox, "data", &["example.com"], &more);
    assert_eq!(server.get("example.com", "/-/readyz").status, 200);
    let start = Instant::now();
    server.terminate();
    loop {
        let ready = server.get("example.com", "/-/readyz");
        if ready.status == 503 {
            assert_eq!(ready.text(), "the registry is stopping\n");
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(3), "it says that it is ready");
    }
    assert_eq!(server.get("example.com", "/").status, 200);
    assert!(server.ended().success());
    assert!(start.elapsed() >= Duration::from_secs(3));
    // The client of this test keeps its connection and is deaf from here on.
    assert!(start.elapsed() < Duration::from_secs(25), "it was not waited for");
}

#[test]
fn log_says_that_it_cannot_understand_what_it_is_to_say() {
    let sandbox = Sandbox::new();
    sandbox.write("other/letter.txt", "");
    let serve = |filter: &str| {
        let mut command = sandbox.command(GANTRY);
        command.args(["registry", "serve", "--data", "other", "--domain", "example.com"]);
        let ended = command.env("GANTRY_LOG", filter).output().unwrap();
        assert!(!ended.status.success());
        String::from_utf8(ended.stderr).unwrap()
    };
    let said = serve("registry=loud");
    for words in ["ERROR", "GANTRY_LOG is not understood", "info,registry=debug"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    for filter in ["", "debug", "info,registry=debug"] {
        assert!(!serve(filter).contains("GANTRY_LOG"), "{filter}");
    }
}
