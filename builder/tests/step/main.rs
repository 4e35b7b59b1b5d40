//! Commands that run in a root file system, as root, as a user and as a user with subordinate IDs.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod changes;
mod command;
mod ends;
mod engines;
mod found;
mod hostile;
mod support;
