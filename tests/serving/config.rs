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
        (format!("{good}[access]\nissuer-ca-file = \"/none.pem\"\n"), "/none.pem"),
        (
            format!(
                "{good}[database]\nurl = \"postgres://u@h/d\"\npassword-file = \"/none.password\"\n"
            ),
            "/none.password",
        ),
        (format!("{good}[[quota]]\nprefix = \"example.com\"\n"), "neither bytes nor images"),
        (
            format!("{good}[[quota]]\nprefix = \"example.org/a\"\nimages = 1\n"),
            "a quota for example.org/a",
        ),
        (
            format!("{good}[[retention]]\nprefix = \"example.org\"\nkeep-newest = 1\n"),
            "retention for example.org",
        ),
        (
            format!("{good}{0}{0}", "[[retention]]\nprefix = \"example.com/a\"\nkeep-newest = 1\n"),
            "two rules of retention for example.com/a",
        ),
    ] {
        sandbox.write("bad.toml", &text);
        let ended = sandbox.gantry(["registry", "config", "check", "bad.toml"]).refused(3);
        assert!(ended.stderr.contains(words), "{text}: {ended:?}");
        // What is not in order does not run.
        let ended = sandbox.gantry(["registry", "serve", "--config", "bad.toml"]);
        assert!([1, 3].contains(&ended.code), "{ended:?}");
    }
    let acme = "[acme]\nterms-agreed = true\nca-file = \"/none.root\"\n";
    sandbox.write("bad.toml", format!("{good}{acme}"));
    let ended = sandbox.gantry(["registry", "config", "check", "bad.toml"]).refused(3);
    assert!(ended.stderr.contains("/none.root"), "{ended:?}");
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
        "[server]\ndata = \"/file\"\ndomains = [\"example.com\"]\n[limits]\nimage-size = \"1MiB\"\n\
         [[retention]]\nprefix = \"example.com/a\"\nkeep-newest = 3\nkeep-versions = [\"1.*\"]\n\
         keep-labels = { channel = \"stable\" }\n[[retention]]\nprefix = \"example.com\"\n\
         keep-younger = \"30d\"\n[[quota]]\nprefix = \"example.com\"\nimages = 5\nbytes = \"1GiB\"\n",
    );
    let show = ["registry", "config", "show", "--config", "registry.toml", "--data", "/option"];
    let shown: Value =
        serde_json::from_str(&sandbox.gantry(show.iter().chain(&["--json"])).ok()).unwrap();
    assert_eq!(shown["server"]["data"], json!({ "value": "/option", "from": "the command line" }));
    assert_eq!(shown["limits"]["image-size"], json!({ "value": "1MiB", "from": "the file" }));
    assert_eq!(shown["timeouts"]["drain"], json!({ "value": "30s", "from": "the defaults" }));
    assert_eq!(shown["retention"]["from"], "the file");
    assert_eq!(shown["retention"]["value"][0]["keep-labels"]["channel"], "stable");
    assert_eq!(shown["retention"]["value"][1]["prefix"], "example.com");
    assert_eq!(shown["quota"]["value"][0]["images"], 5);
    // What is printed for people is a configuration that says the same.
    sandbox.write("shown.toml", sandbox.gantry(show).ok());
    sandbox.gantry(["registry", "config", "check", "shown.toml"]).ok();
    let again = ["registry", "config", "show", "--config", "shown.toml", "--json"];
    let again: Value = serde_json::from_str(&sandbox.gantry(again).ok()).unwrap();
    for section in ["retention", "quota"] {
        assert_eq!(again[section], shown[section]);
    }
    assert_eq!(again["server"]["data"]["value"], "/option");
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

#[test]
fn one_variable_names_two_kinds_of_files_and_is_told() {
    let sandbox = Sandbox::new();
    let with =
        |file: &str, line: &str| sandbox.shell(&format!("GANTRY_CONFIG={file} \"$GANTRY\" {line}"));
    sandbox.write("registry.toml", "[server]\ndata = \"/d\"\ndomains = [\"example.com\"]\n");
    sandbox.write("client.toml", "parallel = 2\n");
    let ended = with("client.toml", "registry config show --domain example.com").refused(3);
    assert!(ended.stderr.contains("the configuration of a client"), "{ended:?}");
    let ended = with("registry.toml", "image list").refused(3);
    assert!(ended.stderr.contains("the configuration of a registry"), "{ended:?}");
    // What is set to nothing is not set.
    with("", "image list").ok();
    let shown = with("", "registry config show --data /d --domain example.com").ok();
    assert!(shown.contains("data = \"/d\"  # the command line"), "{shown}");
}
