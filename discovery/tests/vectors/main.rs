//! The machine-readable cases of discovery and of rkt's image side against this crate, where
//! they are at hand: in the folder `GANTRY_VECTORS` names, or in `../shared/vectors` beside the
//! workspace. What the reference tool does on its command line is for the command's own tests.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test with a line of its own")]
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod differences;
mod fetching;
#[path = "../../../aci/tests/vectors/harness.rs"]
mod harness;
mod running;
mod storing;
#[path = "../client/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "made for the tests of the client")]
mod support;

use std::process::ExitCode;

use harness::{Case, Outcome, Runner, plain};
use serde_json::Value;

fn main() -> ExitCode {
    Runner { concerns, run, same, reason: differences::reason }.main()
}

fn concerns(suite: &str) -> bool {
    let elsewhere = ["rkt_keystore", "rkt_cli_scenarios"];
    (suite.starts_with("rkt_") || suite.starts_with("discovery_")) && !elsewhere.contains(&suite)
}

fn same(_suite: &str, wanted: &Value, got: &Value) -> bool {
    wanted.is_null() || running::same(wanted, got) || plain(wanted) == plain(got)
}

fn run(suite: &str, case: &Case) -> Option<Outcome> {
    fetching::run(suite, case)
        .or_else(|| storing::run(suite, case))
        .or_else(|| running::run(suite, case))
}
