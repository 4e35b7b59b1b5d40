//! The registry as an administrator runs it: its configuration, its certificates, what stands in
//! front of it. The real program in a process of its own throughout, and real tools round it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod acme;
mod certificates;
mod config;
mod owner;
mod process;
mod proxy;
mod reload;
mod service;
