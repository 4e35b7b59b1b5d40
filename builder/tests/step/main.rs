//! Commands that run in a root file system, as root, as a user and as a user with subordinate IDs.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "what is skipped is said")]

mod changes;
mod command;
mod ends;
mod engines;
mod found;
mod hostile;
mod support;
