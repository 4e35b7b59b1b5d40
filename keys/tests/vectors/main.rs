//! The machine-readable cases of rkt's key store against this one, where they are at hand: in
//! the folder `GANTRY_VECTORS` names, or in `../shared/vectors` beside the workspace. The cases
//! name keys by letters; the keys, the images and the signatures are made here.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test with a line of its own")]

mod differences;
#[path = "../../../aci/tests/vectors/harness.rs"]
mod harness;
mod people;

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use aci::{Limits, Name, Refuse};
use harness::{Case, Outcome, Refused, Runner, plain};
use keys::{Liveness, Policy, Scope, TrustEntry, TrustStore};
use people::{Person, image};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let concerns = |suite: &str| suite == "rkt_keystore";
    Runner { concerns, run, same, reason: differences::reason }.main()
}

fn same(_suite: &str, wanted: &Value, got: &Value) -> bool {
    wanted == got || plain(wanted) == plain(got)
}

fn run(_suite: &str, case: &Case) -> Option<Outcome> {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in case.input["files"].as_object().unwrap() {
        put(folder.path(), path, content.as_str().unwrap());
    }
    let store = TrustStore::layered([folder.path().join("system")], folder.path().join("local"));
    match case.op.as_str() {
        "check" => Some(check(&store, case)),
        "prefix_exists" => Some(prefix_exists(&store, case)),
        _ => None,
    }
}

/// Whether an image of this name, signed by this key, is taken.
fn check(store: &TrustStore, case: &Case) -> Outcome {
    let text = |field: &str| case.input[field].as_str();
    let name: Name = parsed(text("image").unwrap())?;
    let signer = Person::called(text("signer").unwrap());
    let image = image(&name);
    let form = text("signature_form").unwrap_or("armored");
    let signature = signature(form, signer, &image);
    let limits = Limits::default();
    let (keyring, _) = store.keyring(&limits).unwrap();
    let policy = Policy::new(people::now(), Liveness::AtSigning);
    let verified = keys::receive(&image[..], io::sink(), &signature, &keyring, &policy, &limits);
    match verified {
        Ok(verified) => {
            assert_eq!(*verified.signature().signer(), signer.fingerprint());
            Ok(json!({ "signer": text("signer") }))
        }
        Err(error) => Err(Refused::new(&error.refusal().code, error)),
    }
}

/// Whether any key is trusted for the prefix, other than one trusted for every name.
fn prefix_exists(store: &TrustStore, case: &Case) -> Outcome {
    let prefix: Name = parsed(case.input["prefix"].as_str().unwrap())?;
    let (entries, _) = store.list(&Limits::default()).unwrap();
    let exists = |entry: &TrustEntry| {
        entry.trusts() && entry.scope != Scope::Root && entry.scope.covers(&prefix)
    };
    Ok(entries.iter().any(exists).into())
}

fn parsed(name: &str) -> Result<Name, Refused> {
    name.parse().map_err(|error| Refused::new("name-invalid", error))
}

fn signature(form: &str, signer: &Person, image: &[u8]) -> Vec<u8> {
    let good = signer.sign(image);
    match form {
        "armored" => good,
        "binary" => people::binary(&good),
        "empty" => Vec::new(),
        "garbage" => b"garbage".to_vec(),
        "armored-twice:unknown-first" => {
            people::twice(&Person::called("UNKNOWN").sign(image), &good)
        }
        "armored-twice:unknown-second" => {
            people::twice(&good, &Person::called("UNKNOWN").sign(image))
        }
        other => panic!("a form of signature nobody has heard of: {other}"),
    }
}

/// Writes a file of the key store as the case describes it.
fn put(folder: &Path, path: &str, content: &str) {
    let (start, end) = path.split_once("{fp:").unwrap_or((path, ""));
    let name = end.strip_suffix('}').map(|who| Person::called(who).fingerprint().to_string());
    let path = folder.join(format!("{start}{}", name.unwrap_or_default()));
    let bytes = match content.split_once(':') {
        Some(("key" | "misnamed", who)) => Person::called(who).public(),
        Some(("two", who)) => {
            let (one, other) = who.split_once(',').unwrap();
            people::together(Person::called(one), Person::called(other))
        }
        _ => content.as_bytes().to_vec(),
    };
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
