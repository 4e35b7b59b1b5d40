//! Every test of `tests/it`, with the catalogue in PostgreSQL: in a cluster of this process' own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

const ON_POSTGRES: bool = true;

#[path = "../it/access.rs"]
mod access;
#[path = "../it/acpush.rs"]
mod acpush;
#[path = "../it/admin.rs"]
mod admin;
#[path = "../../../tests/support/hostile.rs"]
#[expect(dead_code, unreachable_pub, reason = "it is shared, and a part of it is used here")]
mod archives;
#[path = "../it/backup.rs"]
mod backup;
#[path = "../it/cluster.rs"]
mod cluster;
#[path = "../it/collect.rs"]
mod collect;
#[path = "../it/crash.rs"]
mod crash;
#[path = "../it/crash_ranges.rs"]
mod crash_ranges;
#[path = "../it/crash_withdraw.rs"]
mod crash_withdraw;
#[path = "../it/document.rs"]
mod document;
#[path = "../it/faults.rs"]
mod faults;
#[path = "../it/files.rs"]
mod files;
#[path = "../it/fixture.rs"]
mod fixture;
#[path = "../it/fsck.rs"]
mod fsck;
#[path = "../it/groups.rs"]
mod groups;
#[path = "../it/health.rs"]
mod health;
#[path = "../it/hostile.rs"]
mod hostile;
#[path = "../it/hosts.rs"]
mod hosts;
#[path = "../it/log.rs"]
mod log;
#[path = "../it/metrics.rs"]
mod metrics;
#[path = "../it/oidc.rs"]
mod oidc;
#[path = "../it/pages.rs"]
mod pages;
#[path = "../it/push.rs"]
mod push;
#[path = "../it/ranges.rs"]
mod ranges;
#[path = "../it/rates.rs"]
mod rates;
#[path = "../it/refusals.rs"]
mod refusals;
#[path = "../it/restart.rs"]
mod restart;
#[path = "../it/room.rs"]
mod room;
#[path = "../it/scrub.rs"]
mod scrub;
#[path = "../it/slow.rs"]
mod slow;
#[path = "../it/stress.rs"]
mod stress;
#[path = "../it/tls.rs"]
mod tls;
#[path = "../it/tokens.rs"]
mod tokens;
#[path = "../it/users.rs"]
mod users;
#[path = "../it/wire.rs"]
mod wire;
#[path = "../it/withdraw.rs"]
mod withdraw;

/// None is left out.
#[test]
fn suite_is_the_same_on_both_databases() {
    let modules = |text: &str| -> BTreeSet<String> {
        text.lines().filter(|line| line.starts_with("mod ")).map(str::to_owned).collect()
    };
    assert_eq!(modules(include_str!("main.rs")), modules(include_str!("../it/main.rs")));
}
