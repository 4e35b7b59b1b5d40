//! The real server over real TLS, on a fresh data directory.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

/// Whether the catalogue is in PostgreSQL: `tests/postgres/main.rs` runs the same tests.
const ON_POSTGRES: bool = false;

mod cluster;
mod fixture;
mod wire;
mod withdraw;

mod access;
mod acpush;
mod backup;
mod collect;
mod crash;
mod crash_ranges;
mod files;
mod fsck;
mod groups;
mod health;
mod hosts;
mod log;
mod metrics;
mod oidc;
mod pages;
mod push;
mod ranges;
mod rates;
mod refusals;
mod restart;
mod room;
mod scrub;
mod slow;
mod stress;
mod tls;
mod tokens;
mod users;
