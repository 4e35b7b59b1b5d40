//! The configuration file, as it is checked and shown.

use serde_json::{Value, json};

use super::process::Process;
use super::support::Sandbox;

#[test]
fn config_check_says_where_a_file_is_wrong() {
    let sandbox = Sandbox::new();
    let good = "[server]\ndata = \"/d\"\ndomains = [\"example.com\"]\n";
    for (text, words) in [
        ("[server]\ndata = \"/d\"\n\ndomain = \"example.com\"\n".to_owned(), "bad.toml:4:1"),
        ("[server]\ndata = \"/d\"\n".to_owned(), "`domains` in the section [server]"),
        (format!("{good}[tls]\ncertificate = \"/none\"\nkey = \"/none\"\n"), "\"/none\""),
    ] {
        sandbox.write("bad.toml", &text);
        let ended = sandbox.gantry(["registry", "config", "check", "bad.toml"]).refused(3);
        assert!(ended.stderr.contains(words), "{text}: {ended:?}");
        // What is not in order does not run.
        let ended = sandbox.gantry(["registry", "serve", "--config", "bad.toml"]);
        assert!([1, 3].contains(&ended.code), "{ended:?}");
    }
    let ended = sandbox.gantry(["registry", "config", "check", "absent.toml"]).refused(3);
    assert!(ended.stderr.contains("absent.toml"), "{ended:?}");
    sandbox.write("good.toml", good);
    let said = sandbox.gantry(["registry", "config", "check", "good.toml"]).ok();
    assert_eq!(said, "good.toml is in order");
    assert!(!sandbox.path("d").exists(), "nothing is made");
}

#[test]
fn config_show_says_what_counts_and_where_it_is_from() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "registry.toml",
        "[server]\ndata = \"/file\"\ndomains = [\"example.com\"]\n[limits]\nimage-size = \"1MiB\"\n",
    );
    let show = ["registry", "config", "show", "--config", "registry.toml", "--data", "/option"];
    let shown: Value =
        serde_json::from_str(&sandbox.gantry(show.iter().chain(&["--json"])).ok()).unwrap();
    assert_eq!(shown["server"]["data"], json!({ "value": "/option", "from": "the command line" }));
    assert_eq!(shown["limits"]["image-size"], json!({ "value": "1MiB", "from": "the file" }));
    assert_eq!(shown["timeouts"]["drain"], json!({ "value": "30s", "from": "the defaults" }));
    // What is printed for people is a configuration that says the same.
    sandbox.write("shown.toml", sandbox.gantry(show).ok());
    sandbox.gantry(["registry", "config", "check", "shown.toml"]).ok();
}

#[test]
fn options_count_more_than_the_file_and_the_client_has_a_file_of_its_own() {
    let sandbox = Sandbox::new();
    // The client's configuration is none of the registry's business.
    sandbox.write("home/.config/gantry/config.toml", "nonsense");
    let process = Process::start(
        &sandbox,
        "[server]\ndata = \"DATA\"\ndomains = [\"example.com\"]\n\
         listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n",
    );
    assert_eq!(process.addresses.len(), 2);
    for address in &process.addresses {
        let url = format!("https://{address}/-/healthz");
        let shell = format!("curl -sS --cacert {}/tls/ca.pem {url}", process.data().display());
        assert_eq!(sandbox.shell(&shell).ok(), "ok");
    }
}
