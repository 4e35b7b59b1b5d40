//! Images that are written and signed.

use std::fs;

use super::{Fails, begin, both, rootfs, run, tool, trust};

#[test]
fn fault_old_file_gone_where_writing_fails() {
    both(|sandbox| {
        begin(sandbox);
        run(sandbox, "acbuild write a.aci").ok();
        let before = fs::read(sandbox.path("a.aci")).unwrap();
        let socket = rootfs(sandbox).join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        run(sandbox, "acbuild write a.aci --overwrite").fails(1);
        assert_eq!(fs::read(sandbox.path("a.aci")).unwrap(), before);
        run(sandbox, "acbuild write b.aci").fails(1);
        assert!(!sandbox.path("b.aci").exists());
    });
}

#[test]
fn fault_file_opened_in_place() {
    both(|sandbox| {
        begin(sandbox);
        run(sandbox, "acbuild write a.aci && ln a.aci old && acbuild label add a b").ok();
        let before = fs::read(sandbox.path("old")).unwrap();
        run(sandbox, "acbuild write a.aci --overwrite").ok();
        assert_eq!(fs::read(sandbox.path("old")).unwrap(), before);
        assert_ne!(fs::read(sandbox.path("a.aci")).unwrap(), before);
    });
}

#[test]
fn fault_signature_made_before_the_file_was_whole() {
    both(|sandbox| {
        if !tool("gpg") {
            return;
        }
        begin(sandbox);
        trust(sandbox);
        sandbox.write("big/f", vec![7_u8; 3 << 20]);
        let line = "acbuild copy big /big \
            && acbuild write a.aci --sign key.asc --sbom --provenance >/dev/null \
            && mkdir -m 700 gh && gpg -q --homedir gh --import key.pub.asc \
            && for f in a.aci a.aci.spdx.json a.aci.intoto.json; do \
            gpg --homedir gh --status-fd 1 --verify $f.asc $f 2>/dev/null | grep GOODSIG \
            || exit 1; done; code=$?; gpgconf --homedir gh --kill all; exit $code";
        let told = run(sandbox, line).ok();
        assert_eq!(told.matches("GOODSIG").count(), 3, "{told}");
    });
}

#[test]
fn fault_image_written_where_it_cannot_be_signed() {
    both(|sandbox| {
        begin(sandbox);
        run(sandbox, "acbuild write a.aci --sign absent.key").fails(1);
        assert!(!sandbox.path("a.aci").exists() && !sandbox.path("a.aci.asc").exists());
        run(sandbox, "acbuild write a.aci").ok();
        let before = fs::read(sandbox.path("a.aci")).unwrap();
        run(sandbox, "acbuild label add a b").ok();
        run(sandbox, "acbuild write a.aci --overwrite --sign absent.key").fails(1);
        assert_eq!(fs::read(sandbox.path("a.aci")).unwrap(), before);
    });
}

#[test]
fn fault_image_id_that_is_wrong() {
    both(|sandbox| {
        begin(sandbox);
        sandbox.write("f", "x");
        run(sandbox, "acbuild copy f /f").ok();
        for (compression, unpack) in
            [("none", "cat"), ("gzip", "gzip -dc"), ("bzip2", "bzip2 -dc"), ("xz", "xz -dc")]
        {
            let line = format!("acbuild write a.aci --overwrite --compression {compression}");
            let id = run(sandbox, &line).ok();
            let line = format!("{unpack} < a.aci | sha512sum | cut -d' ' -f1");
            assert_eq!(id, format!("sha512-{}", run(sandbox, &line).ok()), "{compression}");
        }
    });
}

#[test]
fn fault_image_written_unnamed() {
    both(|sandbox| {
        run(sandbox, "acbuild begin").ok();
        let ended = run(sandbox, "acbuild write a.aci").fails(1);
        assert!(ended.stderr.contains("name was never set"), "{ended:?}");
        assert!(!sandbox.path("a.aci").exists());
    });
}
