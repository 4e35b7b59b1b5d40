//! The real server over real TLS, on a fresh data directory.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

/// Whether the catalogue is in PostgreSQL: `tests/postgres/main.rs` runs the same tests.
const ON_POSTGRES: bool = false;

#[path = "../../../tests/support/hostile.rs"]
#[expect(dead_code, unreachable_pub, reason = "it is shared, and a part of it is used here")]
mod archives;
mod cluster;
mod fixture;
mod wire;
mod withdraw;

mod access;
mod acpush;
mod admin;
mod backup;
mod collect;
mod crash;
mod crash_ranges;
mod crash_withdraw;
mod document;
mod faults;
mod files;
mod fsck;
mod groups;
mod health;
mod hostile;
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
