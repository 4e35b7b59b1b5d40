//! The real server over real TLS, on a fresh data directory.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod fixture;
mod wire;

mod acpush;
mod crash;
mod files;
mod health;
mod hosts;
mod log;
mod metrics;
mod pages;
mod push;
mod refusals;
mod restart;
mod slow;
mod tls;
mod tokens;
