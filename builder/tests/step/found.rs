//! What a command finds: `/proc`, `/dev`, `/sys`, the network, what is mounted.

use std::fs;
use std::os::unix::fs::symlink;

use builder::step::Fault;

use super::support::{Caller, Scene, mode};

#[test]
fn processes_are_those_of_the_step() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let line = "cd /proc; for it in [0-9]*; do echo $it; done | busybox wc -l
            if echo 1 2>/dev/null >/proc/sysrq-trigger; then echo written; fi
            if busybox touch /proc/sys/kernel/x 2>/dev/null; then echo made; fi
            busybox wc -c </proc/timer_list
            busybox cat /proc/self/cgroup | busybox cut -d: -f3 | busybox sort -u";
        let found = scene.shell(line).good();
        // Init, the shell, and those of the pipe.
        let mut lines = found.lines();
        assert!(lines.next().unwrap().parse::<u32>().unwrap() < 6, "{caller:?}: {found}");
        assert_eq!(lines.collect::<Vec<_>>(), ["0", "/"], "{caller:?}");
    }
}

#[test]
fn devices_are_the_usual_ones_and_work() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let line = "busybox ls /dev | busybox tr '\\n' ' '; echo
            echo gone >/dev/null; busybox head -c 2 /dev/zero | busybox wc -c
            busybox head -c 3 /dev/urandom | busybox wc -c
            if echo 2>/dev/null full >/dev/full; then echo room; fi
            test -p /dev/stdout; echo shm >/dev/shm/x; cat /dev/shm/x; test -c /dev/pts/ptmx
            test -c /dev/ptmx; ( : >/dev/new ) 2>/dev/null && echo new";
        let found = scene.shell(line);
        let wanted = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero \n\
            2\n3\nshm\nnew\n";
        assert_eq!(found.good(), wanted, "{caller:?}");
        assert_eq!(found.paths(), Vec::<String>::new(), "{caller:?}");
    }
}

#[test]
fn devices_that_a_command_makes_open_nothing() {
    for caller in Caller::among(&[Caller::Root]) {
        let mut scene = Scene::new(caller);
        let line = "busybox mknod /zero c 1 5; busybox mknod /dev/shm/zero c 1 5
            busybox mknod /dev/made c 1 5
            for it in /zero /dev/shm/zero /dev/made; do
              if busybox head -c 1 $it >/dev/null 2>&1; then echo opened $it; fi; done
            busybox chmod 600 /dev/null";
        let before = fs::metadata("/dev/null").unwrap();
        let ended = scene.shell(line);
        assert_eq!(ended.good(), "");
        assert_eq!(ended.paths(), ["zero"]);
        assert_eq!(fs::metadata("/dev/null").unwrap().permissions(), before.permissions());
    }
}

#[test]
fn system_is_only_read() {
    for caller in Caller::all() {
        for host_network in [false, true] {
            let mut scene = Scene::new(caller);
            scene.order.host_network = host_network;
            let line = "busybox ls /sys | busybox wc -l; busybox mkdir /sys/x 2>/dev/null && echo made
                busybox ls /sys/firmware /sys/fs 2>/dev/null | busybox grep -v : | busybox grep -v '^$' || :";
            let found = scene.shell(line).good();
            let empty = found == "0\n";
            assert_eq!(empty, host_network && !caller.is_root(), "{caller:?}: {found}");
            assert_eq!(found.lines().count(), 1, "{caller:?}: {found}");
        }
    }
}

#[test]
fn network_is_a_loopback_alone() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let line = "busybox ip -o addr | busybox grep -v LOOPBACK | busybox awk '{print $2,$4}'";
        let found = scene.shell(line).good();
        assert!(found.contains("lo 127.0.0.1/8"), "{caller:?}: {found}");
        assert!(found.lines().all(|line| line.starts_with("lo ")), "{caller:?}: {found}");
        assert!(!scene.shell("test -e /etc").paths().iter().any(|path| path.starts_with("etc")));
    }
}

#[test]
fn network_of_the_host_has_its_names_and_leaves_nothing() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        scene.order.host_network = true;
        let line = "cat /proc/net/dev; busybox cat /etc/resolv.conf >/dev/null; cat /etc/hosts
            if echo x 2>/dev/null >>/etc/hosts; then echo written; fi
            if busybox rm -f /etc/hosts 2>/dev/null; then echo removed; fi";
        let ended = scene.shell(line);
        let hosts = fs::read_to_string("/etc/hosts").unwrap();
        assert!(ended.good().ends_with(&hosts), "{caller:?}: {}", ended.text());
        assert_eq!(ended.paths(), Vec::<String>::new(), "{caller:?}");
        assert_eq!(fs::read_to_string("/etc/hosts").unwrap(), hosts);
    }
}

#[test]
fn resolver_is_found_whatever_the_image_has_there() {
    type Case = (&'static str, fn(&Scene));
    let cases: [Case; 5] = [
        ("nothing", |_| {}),
        ("a file", |scene| scene.write("etc/resolv.conf", "of the image\n")),
        ("a dangling link", |scene| {
            fs::create_dir_all(scene.root().join("etc")).unwrap();
            symlink("../run/systemd/resolve/x.conf", scene.root().join("etc/resolv.conf")).unwrap();
        }),
        ("a link to a file", |scene| {
            scene.write("run/resolv.conf", "of the image\n");
            fs::create_dir_all(scene.root().join("etc")).unwrap();
            symlink("/run/resolv.conf", scene.root().join("etc/resolv.conf")).unwrap();
        }),
        ("a folder without the file", |scene| {
            fs::create_dir_all(scene.root().join("etc")).unwrap();
            mode(&scene.root().join("etc"), 0o750);
        }),
    ];
    let wanted = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    for caller in Caller::all() {
        for (case, prepare) in cases {
            let mut scene = Scene::new(caller);
            scene.order.host_network = true;
            prepare(&scene);
            let before = {
                scene.prepare(["true"]);
                super::support::snapshot(&scene.root())
            };
            let ended = scene.shell("busybox cat /etc/resolv.conf");
            assert_eq!(ended.good(), wanted, "{caller:?} {case}");
            assert_eq!(ended.paths(), Vec::<String>::new(), "{caller:?} {case}");
            assert_eq!(super::support::snapshot(&scene.root()), before, "{caller:?} {case}");
            // A change beside it is one, and has the folder's properties.
            if case == "a folder without the file" {
                let ended = scene.shell("echo >/etc/new");
                assert_eq!(ended.paths(), ["etc", "etc/new"], "{caller:?}");
                assert_eq!(ended.present("etc").mode, 0o750);
            }
        }
    }
}

#[test]
fn cache_keeps_its_content_and_secret_stays_out() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let (cache, secret) = (scene.path("cache,with:marks"), scene.path("secret"));
        fs::create_dir(&cache).unwrap();
        fs::write(&secret, "hush").unwrap();
        mode(&secret, 0o600);
        scene.mount(&cache, "/var/cache/x y", false);
        scene.mount(&secret, "/run/secrets/key", true);
        let line = "echo kept >>'/var/cache/x y/log'; cat /run/secrets/key
            if echo 2>/dev/null x >/run/secrets/key; then echo written; fi; echo >/run/other";
        for _ in 0..2 {
            let ended = scene.shell(line);
            assert_eq!(ended.good(), "hush", "{caller:?}");
            assert_eq!(ended.paths(), ["run", "run/other"], "{caller:?}");
        }
        assert_eq!(fs::read_to_string(cache.join("log")).unwrap(), "kept\nkept\n");
        assert_eq!(fs::read_to_string(secret).unwrap(), "hush");
    }
}

#[test]
fn read_only_folder_is_read_only_below() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let folder = scene.path("given");
        fs::create_dir_all(folder.join("below")).unwrap();
        scene.mount(&folder, "/given", true);
        let ended = scene.shell("busybox touch /given/x /given/below/x 2>/dev/null || echo no");
        assert_eq!(ended.good(), "no\n", "{caller:?}");
    }
}

#[test]
fn mounts_that_cannot_be_are_refused() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        scene.write("file", "");
        scene.write("folder/x", "");
        symlink("proc", scene.root().join("to-proc")).unwrap();
        symlink("loop", scene.root().join("loop")).unwrap();
        symlink("../../none/../x", scene.root().join("nowhere")).unwrap();
        let source = scene.path("source");
        fs::create_dir(&source).unwrap();
        for target in [
            "/",
            "/proc/x",
            "/to-proc/x",
            "/dev",
            "/file",
            "/file/x",
            "/loop/x",
            "/nowhere",
            "/a/../b",
            "relative",
        ] {
            scene.order.mounts.clear();
            scene.mount(&source, target, false);
            let ended = scene.run(["busybox", "true"]);
            let refused = matches!(ended.fault, Some(Fault::MountPoint { .. }));
            assert!(refused, "{caller:?} {target}: {:?} {:?}", ended.code, ended.error);
        }
        scene.order.mounts.clear();
        scene.mount(&source, "/cache", false);
        scene.mount(&source, "/cache/inside", false);
        assert!(scene.run(["busybox", "true"]).error.unwrap().contains("inside another mount"));
        assert!(fs::read_dir(&source).unwrap().next().is_none());
    }
}
