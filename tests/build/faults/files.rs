//! Files that are put into a build, and taken out.

use std::fs;
use std::os::unix::fs::symlink;

use super::{Fails, begin, both, entries, rootfs, run, tool};
use crate::support::Sandbox;

const MANIFEST: &str = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a"}"#;

#[test]
fn fault_archive_whose_rootfs_or_manifest_is_a_link() {
    both(|sandbox| {
        sandbox.write("outside/manifest", "secret\n");
        sandbox.write("l1/manifest", MANIFEST);
        let line = "mkdir -p l2/rootfs && ln -s ../outside l1/rootfs \
            && ln -s ../outside/manifest l2/manifest \
            && for at in l1 l2; do tar -cf $at.aci -C $at manifest rootfs; done";
        run(sandbox, line).ok();
        for image in ["l1.aci", "l2.aci"] {
            run(sandbox, &format!("acbuild begin ./{image}")).fails(1);
            assert!(!sandbox.path(".acbuild").exists());
        }
        begin(sandbox);
        let manifest = sandbox.path(".acbuild/currentaci/manifest");
        fs::remove_file(&manifest).unwrap();
        symlink("../../outside/manifest", &manifest).unwrap();
        run(sandbox, "acbuild label add a b").fails(1);
        assert_eq!(fs::read(sandbox.path("outside/manifest")).unwrap(), b"secret\n");
    });
}

#[test]
fn fault_root_of_a_build_that_is_a_link() {
    both(|sandbox| {
        begin(sandbox);
        sandbox.write("f", "x");
        sandbox.write("outside/kept", "x");
        fs::remove_dir(rootfs(sandbox)).unwrap();
        symlink("../../outside", rootfs(sandbox)).unwrap();
        for line in ["copy f /f", "copy-to-dir f /", "remove /kept", "chmod 777 /kept"] {
            assert_ne!(run(sandbox, &format!("acbuild {line}")).code, 0, "{line}");
        }
        assert_eq!(fs::read_dir(sandbox.path("outside")).unwrap().count(), 1);
    });
}

#[test]
fn fault_entries_that_lead_out_are_bent_in_silence() {
    both(|sandbox| {
        sandbox.write("f", "x");
        let line = "tar -P -cf up.tar --transform 's#^f#../../up#' f \
            && tar -P -cf abs.tar --transform 's#^f#/abs#' f \
            && mkdir -p a/rootfs b/rootfs/s && ln -s /etc a/rootfs/s && echo x > b/rootfs/s/x";
        run(sandbox, line).ok();
        sandbox.write("a/manifest", MANIFEST);
        run(sandbox, "tar -cf l.aci -C a manifest rootfs && tar -rf l.aci -C b rootfs/s/x").ok();
        for archive in ["up.tar", "abs.tar", "l.aci"] {
            run(sandbox, &format!("acbuild begin ./{archive}")).fails(1);
            assert!(!sandbox.path(".acbuild").exists(), "{archive}");
        }
        assert!(!sandbox.path("up").exists() && !sandbox.path("../up").exists());
    });
}

#[test]
fn fault_escape_through_links_of_the_image() {
    both(|sandbox| {
        sandbox.write("outside/kept", "x");
        sandbox.write("f", "y");
        run(sandbox, "mkdir tree && ln -s \"$PWD/outside\" tree/link && acbuild begin ./tree").ok();
        for line in [
            "copy f /link/f",
            "copy f ../../../f",
            "copy f /../f",
            "copy-to-dir f /link",
            "copy-to-dir f ../..",
            "remove /link/kept",
            "chmod 777 /link/kept",
            "chown -R 5:5 /link/",
            "xattr /link/kept user.a=b",
            "setcap cap_chown+ep /link/kept",
        ] {
            let _ = run(sandbox, &format!("acbuild {line}"));
        }
        let left = run(sandbox, "ls outside; cat outside/kept; stat -c %a:%u outside/kept outside");
        assert_eq!(left.ok(), "kept\nx644:0\n755:0");
        assert!(!sandbox.path("../f").exists() && !sandbox.path(".acbuild/f").exists());
    });
}

fn with_links_and_attributes(sandbox: &Sandbox) -> bool {
    sandbox.write("tree/one", "x");
    let line = "ln tree/one tree/two && setfattr -n user.note -v text tree/one \
        && cp /bin/true tree/able && setcap cap_net_raw+ep tree/able && chmod 4755 tree/one";
    let is = tool("setfattr") && tool("setcap") && run(sandbox, line).code == 0;
    if !is {
        println!("skipped: no extended attributes here");
    }
    is
}

fn are_kept(sandbox: &Sandbox) {
    let all = entries(sandbox);
    let line = |name: &str| all.lines().find(|line| line.contains(name)).unwrap_or_default();
    assert!(line("/one").contains("[user.note]") && line("/one").contains("-rws"), "{all}");
    assert!(line("/two").contains("link to rootfs/"), "{all}");
    assert!(line("/able").contains("[security.capability]"), "{all}");
}

#[test]
fn fault_attributes_and_hard_links_dropped_by_begin() {
    both(|sandbox| {
        if with_links_and_attributes(sandbox) {
            run(sandbox, "acbuild begin ./tree && acbuild set-name example.com/a").ok();
            are_kept(sandbox);
        }
    });
}

#[test]
fn fault_attributes_and_hard_links_dropped_by_copy() {
    both(|sandbox| {
        if with_links_and_attributes(sandbox) {
            begin(sandbox);
            run(sandbox, "acbuild copy tree /t").ok();
            are_kept(sandbox);
            run(sandbox, "acbuild remove /t && acbuild copy-to-dir tree /t").ok();
            are_kept(sandbox);
        }
    });
}

#[test]
fn fault_attributes_of_archives_dropped() {
    both(|sandbox| {
        if with_links_and_attributes(sandbox) {
            let line = "tar --xattrs --xattrs-include='*' -cf t.tar -C tree . \
                && acbuild begin ./t.tar && acbuild set-name example.com/a";
            run(sandbox, line).ok();
            are_kept(sandbox);
        }
    });
}

#[test]
fn fault_attributes_dropped_by_an_edit_of_an_image() {
    both(|sandbox| {
        if with_links_and_attributes(sandbox) {
            begin(sandbox);
            let line = "acbuild copy tree /t && acbuild write a.aci >/dev/null && acbuild end \
                && acbuild --modify a.aci label add a b >/dev/null && acbuild begin ./a.aci";
            run(sandbox, line).ok();
            are_kept(sandbox);
        }
    });
}

#[test]
fn fault_socket_ends_a_copy_half_way() {
    both(|sandbox| {
        begin(sandbox);
        sandbox.write("tree/a", "x");
        sandbox.write("tree/z", "x");
        let _listener = std::os::unix::net::UnixListener::bind(sandbox.path("tree/m")).unwrap();
        run(sandbox, "acbuild copy tree /t").fails(1);
        assert!(!rootfs(sandbox).join("t").exists());
        run(sandbox, "acbuild copy tree /t --skip-sockets").ok();
        assert!(rootfs(sandbox).join("t/z").exists());
        run(sandbox, "acbuild end").ok();
        run(sandbox, "acbuild begin ./tree").fails(1);
        run(sandbox, "acbuild begin ./tree --skip-sockets").ok();
    });
}

#[test]
fn fault_beginning_that_fails_is_left() {
    both(|sandbox| {
        sandbox.write("broken.aci", "no archive");
        run(sandbox, "mkdir t && mkfifo t/f && ln -s t l").ok();
        for start in ["./broken.aci", "./absent", "UPPER", "docker://a/b"] {
            run(sandbox, &format!("acbuild begin {start}")).fails(1);
            assert!(!sandbox.path(".acbuild").exists(), "{start}");
        }
        run(sandbox, "acbuild begin ./t").ok();
    });
}

#[test]
fn fault_clock_in_the_image() {
    let images: Vec<String> = (0..2)
        .map(|at| {
            let sandbox = crate::sandbox();
            sandbox.write("f", "x");
            sandbox.shell("touch -d @1000000000 f").ok();
            std::thread::sleep(std::time::Duration::from_millis(1100 * at));
            let line = "acbuild begin && acbuild set-name example.com/a \
                && acbuild copy \"$PWD/f\" /a/b/c && acbuild copy f /a/d && acbuild remove /a/d \
                && acbuild write a.aci";
            run(&sandbox, line).ok()
        })
        .collect();
    assert_eq!(images[0], images[1]);
}

#[test]
fn fault_folder_copied_onto_a_folder() {
    both(|sandbox| {
        begin(sandbox);
        sandbox.write("one/a", "x");
        sandbox.write("two/b", "x");
        run(sandbox, "acbuild copy one /t").ok();
        let ended = run(sandbox, "acbuild copy two /t").fails(1);
        assert!(ended.stderr.contains("--merge"), "{ended:?}");
        run(sandbox, "acbuild copy two /t --merge").ok();
        assert!(rootfs(sandbox).join("t/a").exists() && rootfs(sandbox).join("t/b").exists());
    });
}

#[test]
fn fault_slash_at_the_end_of_a_source() {
    both(|sandbox| {
        begin(sandbox);
        sandbox.write("x/a", "x");
        run(sandbox, "acbuild copy-to-dir x/ /d && acbuild copy-to-dir ./x/. /e").ok();
        assert!(rootfs(sandbox).join("d/x/a").exists());
    });
}

#[test]
fn fault_nothing_to_leave_out_to_change_or_to_remove_with() {
    both(|sandbox| {
        begin(sandbox);
        sandbox.write("x/a.o", "x");
        sandbox.write("x/b", "x");
        let line = "acbuild copy x /x --ignore '*.o' && acbuild copy x/b /gone && acbuild rm /gone \
            && acbuild chown 3:4 /x/b && acbuild chmod 4711 /x/b";
        run(sandbox, line).ok();
        let all = entries(sandbox);
        assert!(!all.contains("a.o") && !all.contains("gone"), "{all}");
        assert!(all.contains("-rws--x--x 3:4"), "{all}");
    });
}

#[test]
fn fault_build_copied_into_itself() {
    both(|sandbox| {
        begin(sandbox);
        sandbox.write("f", "x");
        run(sandbox, "acbuild copy . /x && acbuild copy-to-dir \"$PWD\" /y").ok();
        let found = run(sandbox, "find .acbuild/currentaci/rootfs -name .acbuild").ok();
        assert_eq!(found, "");
        assert!(rootfs(sandbox).join("x/f").exists());
        run(sandbox, "acbuild end && acbuild begin .").ok();
        assert!(rootfs(sandbox).join("f").exists() && !rootfs(sandbox).join(".acbuild").exists());
        run(sandbox, "acbuild end").ok();
        // Nor is a build elsewhere that lies in what is copied.
        run(sandbox, "mkdir -p a/b && acbuild --work-path a/b begin ./a").ok();
        assert_eq!(run(sandbox, "find a -name .acbuild | wc -l").ok(), "1");
    });
}
