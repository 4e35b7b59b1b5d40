//! The client against real TLS servers on this machine, honest ones and hostile ones.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod access;
mod caching;
mod dependencies;
mod example;
mod fetch;
mod hostile;
mod http;
mod keys_published;
mod push_resume;
mod pushing;
mod refresh;
mod resume;
mod routes;
mod said;
mod store;
mod support;
mod walk;
