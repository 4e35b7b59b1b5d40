//! The registry does what its document says: a real one, asked over TLS by schemathesis, which makes
//! requests of the document, good ones and bad ones, and compares each answer with it.
//!
//! What it is told to leave out, and why, stands in `conformance/schemathesis.toml`.

mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use support::Ended;
use support::GANTRY;
use support::world::World;

/// A tool, where `scripts/setup.sh test` installs it in cargo's target folder. It is the one that comes
/// from no distribution: without it the tests are not run, and say so past the runner's capture.
fn tool(name: &str) -> Option<PathBuf> {
    let there = |folder: &Path| folder.join("schemathesis/bin").join(name);
    let found = Path::new(GANTRY).ancestors().map(there).find(|tool| tool.exists());
    if found.is_none() {
        let next = "scripts/setup.sh test installs it, with python3-venv and a network";
        let _ = writeln!(std::io::stderr(), "not run: {name} is not there; {next}");
    }
    found
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(name)
}

#[test]
fn document_is_openapi() {
    let Some(validator) = tool("openapi-spec-validator") else { return };
    let sandbox = support::Sandbox::new();
    let document = file("../../docs/openapi.json");
    let mut validate = sandbox.command(validator);
    let ended = Ended::of(validate.args(["--schema", "3.1"]).arg(document).output().unwrap());
    assert!(ended.stdout.contains("OK"), "{ended:#?}");
    ended.ok();
}

#[test]
fn registry_conforms_to_its_document() {
    let Some(schemathesis) = tool("st") else { return };
    let world = World::new(&["example.com"]);
    let id = world.image("hello", "example.com/team/hello", "1.0.0", "");
    world.push("hello").ok();
    world.image("other", "example.com/team/hello", "2.0.0", "");
    let signature = std::fs::read_to_string(world.sandbox.path("other.aci.asc")).unwrap();
    let allowed = "--allow push --allow read --allow delete --allow yank";
    let data = world.server.data();
    let token =
        format!("registry token create --prefix example.com {allowed} --data {}", data.display());
    let url = format!("https://localhost:{}", world.server.address().port());
    let ended = Ended::of(
        world
            .sandbox
            .command(schemathesis)
            .arg("--config-file")
            .arg(file("schemathesis.toml"))
            .args(["run", "--no-color"])
            .arg(format!("{url}/-/api/v1/openapi.json"))
            .arg("--tls-verify")
            .arg(world.server.ca_file())
            .env("TOKEN", world.gantry(&token).ok().trim())
            .env("IMAGE_ID", id.trim())
            .env("SIGNATURE", signature)
            .env("SCHEMATHESIS_HOOKS", "hooks")
            .env("PYTHONPATH", file(""))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap(),
    );
    assert!(ended.code == 0, "{}\n{}\n{}", ended.stdout, ended.stderr, world.server.log());
    let after = |words| {
        let (_, rest) = ended.stdout.split_once(words).unwrap();
        rest.split_whitespace().next().unwrap()
    };
    let tested = after("Tested:");
    assert_eq!(after("Selected:"), format!("{tested}/{tested}"), "operations");
}
