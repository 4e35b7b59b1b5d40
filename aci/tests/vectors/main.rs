//! The machine-readable conformance cases of the App Container spec against this crate's
//! public types, where they are at hand: in the folder `GANTRY_VECTORS` names, or in
//! `../shared/vectors` beside the workspace.
//!
//! `cargo test --test vectors` ends with one line of counts. It fails where a case fails and
//! `differences.rs` does not say why. A test program of its own, so that this line is the last.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test with a line of its own")]

mod acirenderer;
mod archives;
mod differences;
mod harness;
mod isolator;
mod manifests;
mod quantity;
mod types;

use std::process::ExitCode;

use harness::{Case, Outcome, Refused, Runner, plain};
use serde_json::Value;

fn main() -> ExitCode {
    Runner { concerns, run, same, reason: differences::reason }.main()
}

/// What finds, trusts, keeps and runs images is for `keys`, `discovery` and the command.
fn concerns(suite: &str) -> bool {
    !suite.starts_with("rkt_") && !suite.starts_with("discovery_")
}

fn same(suite: &str, wanted: &Value, got: &Value) -> bool {
    match suite {
        "acirenderer" => acirenderer::agrees(got, wanted),
        _ => wanted.is_null() || plain(wanted) == plain(got),
    }
}

/// Runs a case against the type that it concerns; `None` where it concerns none of `aci`.
fn run(suite: &str, case: &Case) -> Option<Outcome> {
    let Case { op, input, .. } = case;
    types::run(suite, op, input)
        .or_else(|| manifests::run(suite, op, input))
        .or_else(|| archives::run(suite, op, input))
        .or_else(|| acirenderer::run(suite, op, input))
        .or_else(|| isolator::run(suite, op, input))
        .or_else(|| quantity::run(suite, op, input))
}
