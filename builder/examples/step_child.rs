//! Runs a step for the tests: as the helper process, as the caller of one that is described in a
//! file, or to clear a scratch folder.
//!
//! ```text
//! step_child child
//! step_child run    ORDER.json RESULT.json
//! step_child remove SCRATCH
//! ```

#![expect(clippy::unwrap_used, reason = "a program for tests")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use builder::step::{
    Bytes, Change, Engine, Fault, Helper, Network, Owned, Step, StepError, StepMount,
};
use discovery::bundle::Host;
use discovery::runtime::{Tools, program_in};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Order {
    lower: Vec<PathBuf>,
    hidden: Vec<Bytes>,
    scratch: PathBuf,
    owners: Vec<Owned>,
    command: Vec<Bytes>,
    environment: Vec<(Bytes, Bytes)>,
    working_directory: PathBuf,
    host_network: bool,
    mounts: Vec<StepMount>,
    hostname: String,
    engine: String,
}

#[derive(Serialize)]
struct Outcome {
    code: Option<u8>,
    faked: bool,
    error: Option<String>,
    fault: Option<Fault>,
    changes: Vec<Change>,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let path = |index: usize| Path::new(arguments.get(index).unwrap());
    match arguments.first().and_then(|word| word.to_str()) {
        Some("child") => builder::step::child().unwrap(),
        Some("run") => run(path(1), path(2)),
        Some("remove") => {
            let (host, tools) = machine();
            builder::step::remove_scratch(path(1), &helper(), &host, &tools).unwrap();
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

fn helper() -> Helper {
    Helper { program: std::env::current_exe().unwrap(), arguments: vec!["child".into()] }
}

fn machine() -> (Host, Tools) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find = |name| program_in(&path, name);
    let mappers = find("newuidmap").zip(find("newgidmap"));
    (Host::detect(mappers.is_some()), Tools { mappers, ..Tools::default() })
}

fn run(order: &Path, result: &Path) -> ExitCode {
    let order: Order = serde_json::from_slice(&std::fs::read(order).unwrap()).unwrap();
    let (host, tools) = machine();
    let find = |name| program_in(&std::env::var_os("PATH").unwrap(), name).unwrap();
    let environment: Vec<(OsString, OsString)> =
        order.environment.iter().map(|(name, value)| (name.text(), value.text())).collect();
    let step = Step {
        helper: &helper(),
        host: &host,
        tools: &tools,
        lower: &order.lower,
        hidden: &order.hidden,
        scratch: &order.scratch,
        owners: &order.owners,
        command: &order.command.iter().map(Bytes::text).collect::<Vec<_>>(),
        environment: &environment,
        working_directory: &order.working_directory,
        network: if order.host_network { Network::Host } else { Network::None },
        mounts: &order.mounts,
        hostname: &order.hostname,
        engine: match order.engine.as_str() {
            "crun" => Engine::Crun(find("crun")),
            "runc" => Engine::Runc(find("runc")),
            _ => Engine::Namespaces,
        },
        output_to_error: false,
        latest: None,
    };
    let outcome = match step.run() {
        Ok(ended) => Outcome {
            code: Some(ended.code),
            faked: ended.faked_owners,
            error: None,
            fault: None,
            changes: ended.changes.read().unwrap().map(Result::unwrap).collect(),
        },
        Err(error) => Outcome {
            code: error.code(),
            faked: false,
            error: Some(error.to_string()),
            fault: match error {
                StepError::Fault(fault) => Some(fault),
                _ => None,
            },
            changes: Vec::new(),
        },
    };
    std::fs::write(result, serde_json::to_vec(&outcome).unwrap()).unwrap();
    ExitCode::SUCCESS
}
