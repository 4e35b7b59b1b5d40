//! What rkt does on its command line, against the real `gantry`: the scenarios of
//! `rkt_cli_scenarios.json`, where they are at hand: in the folder `GANTRY_VECTORS` names, or in
//! `../shared/vectors` beside the workspace. Each step is translated to the verbs here, and done
//! with real keys, files and TLS.

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
    let typed = case.input["steps"].as_array()?.iter().any(|step| !step["typed"].is_null());
    if typed && !support::tool("script") {
        return None;
    }
    let otherwise = scenario::run(&case.input);
    if otherwise.is_empty() && differences::lists(case) {
        return Some(Err(Refused::new("agrees", "a listed difference that is none")));
    }
    Some(Ok(Value::from(otherwise)))
}

/// The answer is the list of what is otherwise than in rkt.
fn same(_suite: &str, _wanted: &Value, otherwise: &Value) -> bool {
    otherwise.as_array().is_some_and(Vec::is_empty)
}
