//! The same command in crun and runc.

use std::fs;

use builder::step::{Bytes, Fault};

use super::support::{Caller, Scene, text, tool};

fn engines() -> impl Iterator<Item = &'static str> {
    ["crun", "runc"].into_iter().filter(|engine| {
        let found = tool(engine);
        if !found {
            println!("skipped for {engine}: it is not installed");
        }
        found
    })
}

fn scene(caller: Caller, engine: &str) -> Scene {
    let mut scene = Scene::new(caller);
    scene.order.engine = engine.to_owned();
    scene
}

#[test]
fn engine_runs_the_command_and_its_changes_are_told() {
    for caller in Caller::all() {
        for engine in engines() {
            let mut scene = scene(caller, engine);
            scene.order.environment.push((text("FOO"), text("a,b=c")));
            let cache = scene.path("cache");
            fs::create_dir(&cache).unwrap();
            scene.write("etc/gone", "");
            scene.mount(&cache, "/var/cache", false);
            let line = "busybox printf '[%s]' \"$@\"; echo $FOO; umask; busybox hostname
                echo >/var/cache/file; busybox rm /etc/gone; echo >/file; busybox chown 5:6 /file
                busybox grep CapBnd /proc/self/status; busybox ls /proc/self/fd; exit 7";
            let ended = scene.run(["busybox", "sh", "-c", line, "sh", "a,b", "", "c d"]);
            let at = format!("{caller:?} {engine}: {:?} {}", ended.error, ended.stderr);
            assert_eq!(ended.code, Some(7), "{at}");
            // crun has no control group that would hold root off from devices.
            let bound = if caller.is_root() && engine == "crun" { "a0" } else { "a8" };
            let wanted = format!(
                "[a,b][][c d]a,b=c\n0022\nstep\nCapBnd:\t00000000{bound}0425fb\n0\n1\n2\n3\n"
            );
            assert_eq!(ended.text(), wanted, "{at}");
            assert_eq!(ended.paths(), ["etc", "-etc/gone", "file"], "{at}");
            let owned = matches!(caller, Caller::Root | Caller::Ranges);
            assert_eq!(ended.present("file").uid, if owned { 5 } else { 0 }, "{at}");
            assert!(cache.join("file").exists(), "{at}");
        }
    }
}

#[test]
fn engine_on_the_hosts_network_has_its_names() {
    for caller in Caller::all() {
        for engine in engines() {
            let mut scene = scene(caller, engine);
            scene.order.host_network = true;
            let ended = scene.shell("busybox cat /etc/hosts; test -d /sys; test -c /dev/null");
            assert_eq!(ended.good(), fs::read_to_string("/etc/hosts").unwrap());
            assert_eq!(ended.paths(), Vec::<String>::new(), "{caller:?} {engine}");
        }
    }
}

#[test]
fn engine_refuses_what_it_cannot_say() {
    for caller in Caller::all() {
        for engine in engines() {
            let mut scene = scene(caller, engine);
            assert!(matches!(scene.run(["absent"]).fault, Some(Fault::NotFound { .. })));
            scene.order.environment.push((text("RAW"), Bytes::from(b"\xff".to_vec())));
            let ended = scene.run(["busybox", "true"]);
            assert!(matches!(ended.fault, Some(Fault::NotText { .. })), "{:?}", ended.error);
        }
    }
}

#[test]
fn engine_holds_root_off_from_the_disks() {
    for caller in Caller::among(&[Caller::Root]) {
        for engine in engines() {
            let line = "for it in /dev/made /made /dev/shm/made; do
                busybox mknod $it c 1 1 2>/dev/null && busybox head -c 1 $it 2>/dev/null || :; done";
            assert_eq!(scene(caller, engine).shell(line).good(), "", "{engine}");
        }
    }
}
