//! The client against real TLS servers on this machine, honest ones and hostile ones.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a test that is skipped says so")]

mod fetch;
mod hostile;
mod http;
mod keys_published;
mod pushing;
mod refresh;
mod routes;
mod store;
mod support;
mod vectors;
mod walk;
