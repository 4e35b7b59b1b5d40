//! What is installed: the unit of systemd, the containers, and what the documents say of them.

use std::fs;
use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;

use super::process::{PATIENCE, Process};
use super::support::{GANTRY, Sandbox, tool};

const OPERATE: &str = include_str!("../../docs/operate.md");
const UNIT: &str = include_str!("../../packaging/gantry-registry.service");

/// The blocks of one language in a document.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    text.split(&begin).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn unit_is_in_order_and_shut_off() {
    if !tool("systemd-analyze") {
        return;
    }
    let sandbox = Sandbox::new();
    // The same unit, with a program that is there.
    assert!(UNIT.contains("ExecStart=/usr/local/bin/gantry registry serve"));
    let unit = UNIT.replace("/usr/local/bin/gantry", GANTRY);
    sandbox.write("gantry-registry.service", unit);
    let said = sandbox.shell("systemd-analyze verify --man=no ./gantry-registry.service 2>&1");
    assert_eq!(said.ok(), "", "it has nothing to say");
    // 0 is shut off from everything, 100 from nothing.
    sandbox
        .shell(
            "systemd-analyze security --offline=true --no-pager --threshold=20 \
             ./gantry-registry.service >report 2>&1 || { cat report; exit 1; }",
        )
        .ok();
}

#[test]
fn service_manager_is_told_what_happens() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let next = || {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let text =
        "[server]\ndata = \"DATA\"\ndomains = [\"example.com\"]\nlisten = [\"127.0.0.1:0\"]\n";
    let process = Process::start_with(&sandbox, text, &[("NOTIFY_SOCKET", &path)]);
    assert_eq!(next().trim(), "READY=1");
    for text in [text, "nonsense"] {
        process.configure(text);
        let reloading = next();
        assert!(
            reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="),
            "{reloading}"
        );
        // Also where the file cannot be used: the service runs on as it was.
        assert_eq!(next().trim(), "READY=1");
    }
    process.signal(Signal::TERM);
    assert_eq!(next().trim(), "STOPPING=1");
    process.stop();
}

#[test]
fn configurations_of_the_document_can_be_used() {
    let sandbox = Sandbox::new();
    let shown = blocks(OPERATE, "toml");
    assert!(shown.len() >= 3, "{shown:?}");
    for text in shown {
        let server = "[server]\ndata = \"/d\"\ndomains = [\"example.com\"]\n";
        let text =
            if text.contains("[server]") { text.to_owned() } else { format!("{server}{text}") };
        // A certificate that it names is none of this machine's.
        let text = text
            .replace("/etc/letsencrypt/live/example.com", &sandbox.path("").display().to_string());
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["example.com".to_owned()]).unwrap();
        sandbox.write("fullchain.pem", certificate.self_signed(&key).unwrap().pem());
        sandbox.write("privkey.pem", key.serialize_pem());
        sandbox.write("registry.toml", &text);
        let checked = sandbox.gantry(["registry", "config", "check", "registry.toml"]);
        assert_eq!(checked.code, 0, "{text}\n{checked:?}");
    }
}

#[test]
fn document_installs_what_the_unit_asks_for() {
    let install = blocks(OPERATE, "sh").concat();
    for word in ["User=gantry", "/etc/gantry/registry.toml", "StateDirectory=gantry-registry"] {
        assert!(UNIT.contains(word), "{word}");
    }
    for words in [
        "useradd --system",
        "/usr/local/bin/gantry",
        "/etc/gantry/registry.toml",
        "packaging/gantry-registry.service",
        "systemctl enable --now gantry-registry",
        "systemctl reload gantry-registry",
    ] {
        assert!(install.contains(words), "{words}\n{install}");
    }
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/registry.toml"));
    assert!(example.unwrap().contains("data = \"/var/lib/gantry-registry\""));
}

const DOCKERFILE: &str = include_str!("../../Dockerfile");
const COMPOSE: &str = include_str!("../../docker-compose.yml");

/// The words of a list that stands behind `key`, as both files write it.
fn words(text: &str, key: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap();
    serde_json::from_str(line.trim()).unwrap()
}

#[test]
fn container_runs_what_there_is_and_not_as_root() {
    let sandbox = Sandbox::new();
    let entry = words(DOCKERFILE, "ENTRYPOINT ");
    assert_eq!(entry[..3], ["gantry", "registry", "serve"]);
    let command = words(COMPOSE, "command:");
    let domain =
        command.iter().map(|word| if word.starts_with("${") { "example.com" } else { word });
    let show =
        ["registry", "config", "show"].into_iter().chain(entry[3..].iter().map(String::as_str));
    let mut shown = sandbox.command(GANTRY);
    let shown = shown.args(show.chain(domain)).env("GANTRY_DATA", "/var/lib/gantry-registry");
    for variable in ["GANTRY_DATABASE", "GANTRY_DATABASE_PASSWORD_FILE"] {
        let value =
            COMPOSE.lines().find_map(|line| line.trim().strip_prefix(variable)?.strip_prefix(": "));
        shown.env(variable, value.unwrap());
    }
    let shown = String::from_utf8(shown.output().unwrap().stdout).unwrap();
    for line in [
        "listen = [\"0.0.0.0:8443\"]",
        "data = \"/var/lib/gantry-registry\"",
        "domains = [\"example.com\"]",
        "url = \"postgres://gantry@database:5432/gantry\"",
        "password-file = \"/run/secrets/database-password\"",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    let user = DOCKERFILE.lines().rfind(|line| line.starts_with("USER ")).unwrap();
    assert_eq!(user, "USER 10001:10001");
    assert!(DOCKERFILE.contains("ENV GANTRY_DATA=/var/lib/gantry-registry\n"));
    // The question is one that a registry answers.
    let question =
        words(DOCKERFILE.split("HEALTHCHECK").nth(1).unwrap().split_once('\n').unwrap().1, "CMD ");
    let text =
        "[server]\ndata = \"DATA\"\ndomains = [\"example.com\"]\nlisten = [\"127.0.0.1:0\"]\n";
    let process = Process::start(&sandbox, text);
    let ask = |port: &str| {
        let words = question.iter().map(|word| word.replace("8443", port));
        sandbox.shell(&words.collect::<Vec<_>>().join(" ")).code
    };
    assert_eq!(ask(&process.address().port().to_string()), 0);
    process.stop();
    assert_ne!(ask("1"), 0);
}

#[test]
fn compose_file_is_in_order_and_holds_no_secret() {
    let sandbox = Sandbox::new();
    sandbox.write("docker-compose.yml", COMPOSE);
    sandbox.write("database-password", "do not tell");
    let has = |line: &str| sandbox.shell(line).code == 0;
    let compose = match () {
        () if has("docker compose version") => "docker compose",
        () if has("docker-compose version") => "docker-compose",
        () => {
            println!("skipped: neither docker compose nor docker-compose is installed");
            return;
        }
    };
    // Without a domain it says what is missing.
    let refused = sandbox.shell(&format!("{compose} config 2>&1"));
    assert!(
        refused.code != 0 && refused.stdout.contains("the domain whose names are served"),
        "{refused:?}"
    );
    let shown = sandbox.shell(&format!("GANTRY_DOMAIN=example.com {compose} config")).ok();
    for word in [
        "service_healthy",
        "pg_isready",
        "postgres://gantry@database/gantry",
        "/run/secrets/database-password",
    ] {
        assert!(shown.contains(word), "{word} {shown}");
    }
    assert!(!shown.contains("do not tell"), "{shown}");
}
