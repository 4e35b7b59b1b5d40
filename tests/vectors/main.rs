//! What rkt does on its command line, run against the real `gantry`: the scenarios of
//! `rkt_cli_scenarios.json`, each step translated to the verbs here, with real keys, real TLS and
//! real files. They are where `GANTRY_VECTORS` says, or in `../shared/vectors`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test with a line of its own")]

mod differences;
mod fixture;
#[path = "../../aci/tests/vectors/harness.rs"]
mod harness;
mod scenario;
mod site;
#[path = "../support/mod.rs"]
mod support;
mod translate;

use std::process::ExitCode;

use harness::{Case, Outcome, Refused, Runner};
use serde_json::Value;

fn main() -> ExitCode {
    Runner { concerns, run, same, reason: differences::reason }.main()
}

fn concerns(suite: &str) -> bool {
    suite == "rkt_cli_scenarios"
}

fn run(_suite: &str, case: &Case) -> Option<Outcome> {
    if !case.input["steps"].is_array() {
        return Some(Err(Refused::new("no-steps", "a scenario has steps")));
    }
    Some(Ok(Value::from(scenario::run(&case.input))))
}

/// The answer is the list of what is otherwise than in rkt.
fn same(_suite: &str, _wanted: &Value, otherwise: &Value) -> bool {
    otherwise.as_array().is_some_and(Vec::is_empty)
}
