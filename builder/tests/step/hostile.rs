//! Images that try to reach the host.

use std::fs;
use std::os::unix::fs::symlink;

use builder::step::Owned;

use super::support::{Caller, Scene, mode, snapshot, text};

#[test]
fn links_in_the_place_of_folders_lead_nowhere() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        scene.order.host_network = true;
        let outside = scene.path("outside");
        fs::create_dir_all(outside.join("below")).unwrap();
        fs::write(outside.join("resolv.conf"), "of the host\n").unwrap();
        fs::write(outside.join("hosts"), "of the host\n").unwrap();
        mode(&outside, 0o777);
        for name in ["etc", "proc", "dev", "sys", "var"] {
            symlink(&outside, scene.root().join(name)).unwrap();
        }
        let up = format!("../../../../../..{}", outside.display());
        symlink(&up, scene.root().join("up")).unwrap();
        let cache = scene.path("cache");
        fs::create_dir(&cache).unwrap();
        scene.mount(&cache, "/var/cache", false);
        scene.mount(&cache, "/up/cache", false);
        scene.order.owners = vec![
            Owned {
                path: text("var/below"),
                uid: 1,
                gid: 1,
                mode: Some(0o4777),
                attributes: vec![],
            },
            Owned {
                path: text("../outside"),
                uid: 1,
                gid: 1,
                mode: Some(0o4777),
                attributes: vec![],
            },
        ];
        scene.prepare(["true"]);
        let before = (snapshot(&outside), snapshot(&scene.root()));
        let line = "echo x >/var/cache/file; test -e /dev/null; test -d /proc/1; test -d /sys
            test ! -e /up/below; if busybox grep 'of the host' /etc/hosts; then exit 9; fi";
        let ended = scene.run(["busybox", "sh", "-ec", line]);
        // Both mounts have the same place inside.
        assert!(ended.error.unwrap().contains("inside another mount"), "{caller:?}");
        scene.order.mounts.pop();
        scene.shell(line).good();
        assert_eq!((snapshot(&outside), snapshot(&scene.root())), before, "{caller:?}");
        assert_eq!(fs::read_to_string(cache.join("file")).unwrap(), "x\n");
    }
}

#[test]
fn links_that_lead_to_the_host_name_nothing_of_it() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let secret = scene.path("secret");
        fs::write(&secret, "of the host\n").unwrap();
        symlink(&secret, scene.root().join("bin/stolen")).unwrap();
        symlink("/", scene.root().join("work")).unwrap();
        let line = format!(
            "cat /bin/stolen {0} /work{0} /../..{0} /proc/1/root{0} \
            /proc/1/cwd{0} 2>/dev/null || :; busybox grep -c scratch /proc/self/mountinfo || :",
            secret.display()
        );
        assert_eq!(scene.shell(&line).good(), "0\n", "{caller:?}");
    }
}

#[test]
fn overlay_attributes_of_an_image_mean_nothing() {
    for caller in Caller::among(&[Caller::Root]) {
        let mut scene = Scene::new(caller);
        scene.write("private/file", "hidden\n");
        scene.write("shown/file", "seen\n");
        let shown = scene.root().join("shown");
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&shown, "trusted.overlay.redirect", b"/private", flags).unwrap();
        let other = scene.path("other");
        fs::create_dir_all(other.join("private")).unwrap();
        fs::write(other.join("private/stolen"), "").unwrap();
        scene.order.lower.push(other);
        assert!(!scene.shell("busybox ls /shown 2>&1 || :").text().contains("stolen"));
    }
}
