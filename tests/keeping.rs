//! A registry whose catalogue is damaged, gone or not the one that was meant: what the commands say.

mod support;

use support::Sandbox;

const REBUILD: &str = "gantry registry fsck --data DATA --rebuild";

fn registry(sandbox: &Sandbox, line: &str) -> support::Ended {
    sandbox.gantry(format!("registry {line}").split_whitespace())
}

#[test]
fn catalogue_that_cannot_be_used_is_told_with_the_next_step() {
    let sandbox = Sandbox::new();
    sandbox.write("data/gantry.db", "this is no database");
    let serve = "serve --listen 127.0.0.1:0 --domain example.com --data data";
    for line in [serve, "fsck --data data", "backup --data data --to backup"] {
        let refused = registry(&sandbox, line).refused(1);
        assert!(refused.stderr.contains(REBUILD), "{refused:?}");
    }
    // Files of images, and no catalogue of them.
    sandbox.write("gone/blobs/sha512/ab/ab.aci", "an image");
    for line in [serve.replace("data data", "data gone"), "fsck --data gone".to_owned()] {
        let refused = registry(&sandbox, &line).refused(1);
        assert!(refused.stderr.contains(REBUILD), "{refused:?}");
    }
    registry(&sandbox, "backup --data gone --to backup").refused(1);
    assert!(!sandbox.path("gone/gantry.db").exists(), "none is begun");
    assert!(!sandbox.path("backup/catalogue").exists());
}

#[test]
fn backup_and_retention_that_would_destroy_are_refused() {
    let sandbox = Sandbox::new();
    registry(&sandbox, "policy set --data data --prefix example.com --read public").ok();
    registry(&sandbox, "policy set --data other --prefix example.com --read public").ok();
    for to in ["other", "data", "data/backup", "."] {
        let line = format!("backup --data data --to {to} --prune --replace");
        registry(&sandbox, &line).refused(1);
    }
    assert!(!sandbox.path("other/catalogue").exists() && !sandbox.path("data/backup").exists());
    registry(&sandbox, "backup --data data --to backup").ok();
    for (part, words) in [
        ("--keep-younger 0s", "keep-younger"),
        ("--keep-newest 0 --keep-younger 1d", "keep-newest"),
        ("--keep-version 1.*.1", "one * at the end"),
    ] {
        let ended = registry(&sandbox, &format!("retain --data data --prefix example.com {part}"));
        assert_eq!(ended.code, 3, "{ended:?}");
        assert!(ended.stderr.contains(words), "{ended:?}");
    }
}

#[test]
fn rebuild_tells_what_is_lost_and_how_names_are_opened() {
    let sandbox = Sandbox::new();
    let files = "--secret author.key --public author.pub";
    let key = format!("key generate --user-id author@example.com {files}");
    sandbox.gantry(key.split_whitespace()).ok();
    registry(&sandbox, "keys add --data data --prefix example.com/team author.pub").ok();
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(sandbox.path(format!("data/gantry.db{end}")));
    }
    let foreseen = registry(&sandbox, "fsck --data data --rebuild --dry-run");
    assert!(!sandbox.path("data/gantry.db").exists(), "that was a dry run");
    let rebuilt = registry(&sandbox, "fsck --data data --rebuild");
    assert_eq!((foreseen.code, rebuilt.code), (1, 1));
    assert_eq!(foreseen.stdout, rebuilt.stdout);
    for said in [
        "lost: policies, or a part of it: who may read",
        "lost: tokens, or a part of it: tokens",
        "lost: tombstones, or a part of it: which images were deleted",
        "closed: example.com: ",
        "`gantry registry policy set --data data --prefix example.com --read public` opens it",
    ] {
        assert!(rebuilt.stdout.contains(said), "{said}: {rebuilt:?}");
    }
    let policies = registry(&sandbox, "policy list --data data").ok();
    assert_eq!(policies, "example.com  read=token");
    let audited = registry(&sandbox, "audit list --data data").ok();
    assert!(audited.contains("rebuild"), "{audited}");
}
