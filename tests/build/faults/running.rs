//! Commands that run in the image.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::{Fails, both, both_with_shell, busybox, entries, manifest, rootfs, run, tool};
use crate::support::Sandbox;
use crate::users::User;

#[test]
fn fault_arguments_and_environment_joined_with_commas() {
    both_with_shell(|sandbox| {
        run(sandbox, "acbuild begin ./bb && acbuild env add FOO a,b=c").ok();
        let line = "acbuild run --engine chroot -- /bin/sh -c 'printf \"%s|\" \"$FOO\" \"$@\"' \
            x two,three '' 'a b'";
        assert_eq!(run(sandbox, line).ok(), "a,b=c|two,three||a b|");
    });
}

#[test]
fn fault_path_of_the_image_lost() {
    both_with_shell(|sandbox| {
        sandbox.write("bb/own/tell", "#!/bin/sh\necho \"$PATH\"\n");
        run(sandbox, "chmod 755 bb/own/tell && acbuild begin ./bb").ok();
        run(sandbox, "acbuild env add PATH /own:/bin").ok();
        for engine in ["chroot", "systemd-nspawn", "namespaces"] {
            let line = format!("acbuild run --engine {engine} tell");
            assert_eq!(run(sandbox, &line).ok(), "/own:/bin", "{engine}");
        }
        run(sandbox, "acbuild env rm PATH").ok();
        let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        assert_eq!(run(sandbox, "acbuild run -- /bin/sh -c 'echo $PATH'").ok(), usual);
    });
}

#[test]
fn fault_exit_code_lost() {
    both_with_shell(|sandbox| {
        run(sandbox, "acbuild begin ./bb").ok();
        for engine in ["chroot", "systemd-nspawn", "namespaces"] {
            for code in [1, 7, 126, 255] {
                let line = format!("acbuild run --engine {engine} -- /bin/sh -c 'exit {code}'");
                run(sandbox, &line).fails(code);
            }
        }
    });
}

#[test]
fn fault_no_proc_dev_and_sys() {
    both_with_shell(|sandbox| {
        run(sandbox, "acbuild begin ./bb").ok();
        let line = "acbuild run --engine chroot -- /bin/sh -c \
            'test -e /proc/self/status && test -c /dev/null && test -d /sys && echo x > /dev/null'";
        run(sandbox, line).ok();
        for made in ["proc", "dev", "sys"] {
            assert!(!rootfs(sandbox).join(made).exists(), "{made}");
        }
    });
}

#[test]
fn fault_files_of_the_host_left_in_the_image() {
    both_with_shell(|sandbox| {
        run(sandbox, "acbuild begin ./bb && acbuild set-name example.com/a").ok();
        let before = entries(sandbox);
        let line = "acbuild run --net -- /bin/sh -c 'cat /etc/resolv.conf > /dev/null'";
        run(sandbox, line).ok();
        run(sandbox, "acbuild run --engine systemd-nspawn -- /bin/sh -c 'exit 0'").ok();
        assert_eq!(entries(sandbox), before, "no zone, no machine-id, no resolv.conf, no etc");
    });
}

#[test]
fn fault_resolv_conf_of_the_image_rewritten() {
    both_with_shell(|sandbox| {
        sandbox.write("bb/etc/resolv.conf", "nameserver 192.0.2.1\n");
        run(sandbox, "acbuild begin ./bb && acbuild run --net -- /bin/sh -c 'echo x > /made'").ok();
        let kept = fs::read(rootfs(sandbox).join("etc/resolv.conf")).unwrap();
        assert_eq!(kept, b"nameserver 192.0.2.1\n");
        assert!(rootfs(sandbox).join("made").exists());
    });
}

#[test]
fn fault_whiteouts_left_in_the_image() {
    both_with_shell(|sandbox| {
        sandbox.write("bb/old/inner/a", "x");
        sandbox.write("bb/gone", "x");
        run(sandbox, "acbuild begin ./bb && acbuild set-name example.com/a").ok();
        let line =
            "acbuild run -- /bin/sh -c 'rm /gone; rm -r /old; mkdir /old; echo new > /old/b'";
        run(sandbox, line).ok();
        let root = rootfs(sandbox);
        assert!(!root.join("gone").exists() && !root.join("old/inner").exists());
        assert!(root.join("old/b").exists());
        run(sandbox, "acbuild write a.aci").ok();
        let all = entries(sandbox);
        assert!(!all.contains("trusted.") && !all.contains("\nc"), "{all}");
        if tool("actool") {
            run(sandbox, "actool validate a.aci").ok();
        }
    });
}

#[test]
fn fault_command_that_fails_leaves_half_of_its_work() {
    both_with_shell(|sandbox| {
        run(sandbox, "acbuild begin ./bb && acbuild set-name example.com/a").ok();
        let (before, text) = (entries(sandbox), manifest(sandbox));
        let line = "acbuild run -- /bin/sh -c 'echo x > /a; rm /bin/ls; exit 3'";
        run(sandbox, line).fails(3);
        assert_eq!((entries(sandbox), manifest(sandbox)), (before, text));
    });
}

#[test]
fn fault_hard_links_taken_apart_by_a_command() {
    both_with_shell(|sandbox| {
        sandbox.write("bb/d/one", "old\n");
        let line = "ln bb/d/one bb/d/two && ln bb/d/one bb/three && acbuild begin ./bb \
            && acbuild set-name example.com/a \
            && acbuild run -- /bin/sh -c 'echo new > /d/two'";
        run(sandbox, line).ok();
        let root = rootfs(sandbox);
        for name in ["d/one", "d/two", "three"] {
            assert_eq!(fs::read(root.join(name)).unwrap(), b"new\n", "{name}");
        }
        let inode = |name: &str| fs::metadata(root.join(name)).unwrap().ino();
        assert_eq!((inode("d/one"), inode("d/two")), (inode("three"), inode("three")));
        assert_eq!(entries(sandbox).matches(" link to ").count(), 2);
        // A name that is replaced is a file of its own.
        run(sandbox, "acbuild run -- /bin/sh -c 'rm /three; echo own > /three'").ok();
        assert_eq!(fs::read(root.join("d/one")).unwrap(), b"new\n");
        assert_eq!(entries(sandbox).matches(" link to ").count(), 1);
    });
}

/// A build of a user, with files of several owners; what the image says of them afterwards.
fn owners_after_a_command(user: User) {
    if !user.is_here() {
        return;
    }
    let sandbox = Sandbox::new();
    if !busybox(&sandbox.path("bb")) {
        return;
    }
    sandbox.write("bb/www/page", "x");
    sandbox.write("bb/www/deep/page", "x");
    sandbox.write("bb/far/page", "x");
    user.own(&sandbox);
    let run = |line: &str| user.run(&sandbox, ".", line);
    let line = "acbuild begin ./bb && acbuild set-name example.com/a \
        && acbuild chown -R 33:34 /www && acbuild chmod 2750 /www/deep \
        && acbuild chmod 4711 /www/page && acbuild chown -R 70000:100005 /far";
    run(line).ok();
    let line = "acbuild write e.aci --overwrite --compression none >/dev/null \
        && \"$GANTRY\" inspect --entries e.aci";
    let before = run(line).ok();
    assert!(before.contains("drwxr-s--- 33:34"), "{before}");
    // No user namespace of 65536 IDs has the owner of what is in /far.
    let line = "acbuild run -- /bin/sh -c 'echo y > /www/new; echo z >> /www/deep/page; \
        echo z >> /far/page; echo z > /far/new; exit 0'";
    run(line).ok();
    let line = "acbuild write e.aci --overwrite --compression none >/dev/null \
        && \"$GANTRY\" inspect --entries e.aci";
    let after = run(line).ok();
    let names = ["www", "www/deep", "www/page", "www/deep/page", "far", "far/page"];
    for name in names.map(|name| format!("rootfs/{name}")) {
        let of = |all: &str| {
            let mut lines = all.lines().filter(|line| line.split_whitespace().any(|w| w == name));
            lines.next().unwrap().split_whitespace().take(2).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(&after), of(&before), "{user:?}: {name}");
    }
}

#[test]
fn fault_owners_lost_by_a_command_of_root() {
    owners_after_a_command(User::Me);
}

#[test]
fn fault_owners_lost_by_a_command_of_a_user_with_one_id() {
    owners_after_a_command(User::Alone);
}

#[test]
fn fault_owners_lost_by_a_command_of_a_user_with_subordinate_ids() {
    owners_after_a_command(User::Ranges);
}

#[test]
fn fault_nothing_works_without_root() {
    for user in [User::Alone, User::Ranges] {
        let sandbox = Sandbox::new();
        if !user.is_here() || !busybox(&sandbox.path("bb")) {
            continue;
        }
        user.own(&sandbox);
        let line = "acbuild begin ./bb && acbuild set-name example.com/a \
            && acbuild run -- /bin/sh -c 'id -u; echo x > /made' && acbuild copy ranges /r \
            && acbuild chown 7:7 /r && acbuild write a.aci >/dev/null \
            && \"$GANTRY\" inspect --entries a.aci | grep rootfs/r";
        let ended = user.run(&sandbox, ".", line);
        assert!(!ended.stderr.contains("superuser"), "{ended:?}");
        let told = ended.ok();
        assert!(told.starts_with("0\n") && told.contains("7:7"), "{told}");
    }
}

#[test]
fn fault_owners_of_the_host_where_root_goes_on_with_a_build_of_a_user() {
    let (user, sandbox) = (User::Alone, Sandbox::new());
    if !user.is_here() {
        return;
    }
    user.own(&sandbox);
    user.run(&sandbox, ".", "acbuild begin && acbuild set-name example.com/a").ok();
    for line in ["acbuild write a.aci", "acbuild copy ranges /r", "acbuild label add a b"] {
        let refused = User::Me.run(&sandbox, ".", line).fails(1);
        assert!(refused.stderr.contains("user 65534's"), "{refused:?}");
    }
    assert!(!sandbox.path("a.aci").exists());
    user.run(&sandbox, ".", "acbuild write a.aci").ok();
    User::Me.run(&sandbox, ".", "acbuild end && acbuild begin").ok();
}

#[test]
fn fault_programs_of_an_image_are_for_all_users_of_the_machine() {
    both(|sandbox| {
        run(sandbox, "umask 022; acbuild begin").ok();
        let mode = fs::metadata(sandbox.path(".acbuild")).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o700);
    });
}

#[test]
fn fault_escape_of_a_command_through_links() {
    both(|sandbox| {
        if !busybox(&sandbox.path("bb")) {
            return;
        }
        sandbox.write("outside/kept", "x");
        run(sandbox, "ln -s \"$PWD/outside\" bb/link && acbuild begin ./bb").ok();
        let line = "acbuild run --working-dir /tmp -- /bin/sh -c 'echo y > /link/made; exit 0'";
        let _ = run(sandbox, line);
        let _ = run(sandbox, "acbuild run --cache /link -- /bin/sh -c 'echo y > /link/made'");
        assert_eq!(fs::read_dir(sandbox.path("outside")).unwrap().count(), 1);
    });
}
