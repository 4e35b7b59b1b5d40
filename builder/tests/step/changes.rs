//! What a command changed, as it is told and as it lies on disk.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use builder::step::{Bytes, Change, Kind, Owned};

use super::support::{Caller, Outcome, Scene, mode, snapshot, text, tool};

#[test]
fn lower_file_systems_hide_those_below() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        scene.write("etc/which", "topmost\n");
        for (name, extra) in [("second", "only second\n"), ("third", "only third\n")] {
            let other = scene.path(name);
            fs::create_dir_all(other.join("etc")).unwrap();
            fs::write(other.join("etc/which"), name).unwrap();
            fs::write(other.join("etc").join(name), extra).unwrap();
            fs::write(other.join("etc/both"), name).unwrap();
            scene.order.lower.push(other);
        }
        let found = scene.shell("cd /etc; cat which both second third").good();
        assert_eq!(found, "topmost\nsecondonly second\nonly third\n", "{caller:?}");
    }
}

#[test]
fn removed_and_replaced_things_are_told() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        for path in ["a/gone", "a/stays", "folder/x", "again/old", "turned/x", "file"] {
            scene.write(path, "old\n");
        }
        let before = {
            scene.prepare(["true"]);
            snapshot(&scene.root())
        };
        let line = "busybox rm /a/gone; busybox rm -r /folder; busybox rm -r /again
            busybox mkdir /again; echo new >/again/new; busybox rm -r /turned; echo >/turned
            busybox rm /file; busybox mkdir /file; echo made >/a/made; busybox ln -s x /link
            busybox mkfifo /fifo";
        let ended = scene.shell(line);
        ended.good();
        let wanted = [
            "a",
            "-a/gone",
            "a/made",
            "again",
            "again/new",
            "fifo",
            "file",
            "-folder",
            "link",
            "turned",
        ];
        assert_eq!(ended.paths(), wanted, "{caller:?}");
        ended.is_folder("a", false);
        ended.is_folder("again", true);
        assert_eq!(ended.present("link").kind, Kind::Symlink { target: text("x") });
        assert_eq!(ended.present("fifo").kind, Kind::Fifo);
        assert_eq!(ended.present("turned").kind, Kind::File { size: 1 });
        assert_eq!(snapshot(&scene.root()), before, "{caller:?}");
        is_the_callers(&scene, &ended);
    }
}

#[test]
fn root_folder_keeps_its_properties() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        mode(&scene.root(), 0o711);
        let before = fs::metadata(scene.root()).unwrap();
        let ended = scene.shell("busybox stat -c %a /");
        assert_eq!(ended.good(), "711\n", "{caller:?}");
        let root = ended.present("");
        assert_eq!((root.mode, root.uid, root.gid), (0o711, 0, 0), "{caller:?}");
        assert_eq!(root.seconds, before.mtime(), "{caller:?}");
    }
}

#[test]
fn properties_are_told_as_they_are_in_the_image() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let line = "cd /; for it in setuid none locked other; do echo x >$it; done
            busybox mkdir shut; echo >shut/in; busybox touch -d @1000000000 none other
            busybox chown 33:8 other setuid; busybox chown -h 33:8 shut
            busybox chmod 6755 setuid; busybox chmod 0 none shut; busybox chmod 1777 locked
            busybox ln other other2";
        let ended = scene.shell(line);
        ended.good();
        let owner = match caller {
            Caller::Root | Caller::Ranges => (33, 8),
            _ => (0, 0),
        };
        let of = |path: &str| (ended.present(path).uid, ended.present(path).gid);
        assert_eq!((of("other"), of("other2"), of("shut")), (owner, owner, owner), "{caller:?}");
        assert_eq!(ended.present("setuid").mode, 0o6755);
        assert_eq!(ended.present("none").mode, 0);
        assert_eq!(ended.present("shut").mode, 0);
        assert_eq!(ended.present("locked").mode, 0o1777);
        assert_eq!(ended.present("none").seconds, 1_000_000_000);
        assert_eq!(ended.present("other").link, ended.present("other2").link);
        assert!(ended.present("other").link.is_some() && ended.present("none").link.is_none());
        is_the_callers(&scene, &ended);
        let setuid = fs::metadata(scene.upper().join("setuid")).unwrap().permissions().mode();
        assert_eq!(setuid & 0o6000 != 0, caller.is_root(), "{caller:?}");
        assert_eq!(fs::metadata(scene.upper().join("none")).unwrap().mtime(), 1_000_000_000);
    }
}

#[test]
fn names_may_hold_anything() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let name = b"a\nb\xff, :\\";
        let path = std::ffi::OsStr::from_bytes(name);
        let ended = scene.run([std::ffi::OsStr::new("busybox"), "touch".as_ref(), path]);
        ended.good();
        let found = ended.changes.iter().any(|it| it.path().as_os_str().as_bytes() == name);
        assert!(found, "{caller:?}");
    }
}

#[test]
fn names_of_the_host_may_hold_anything() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let strange = scene.path("a:b,c\\d=e");
        fs::rename(scene.root(), &strange).unwrap();
        let scratch = scene.path("scratch").join("x:y,z");
        scene.order.lower = vec![strange];
        scene.prepare(["true"]);
        fs::create_dir(&scratch).unwrap();
        scene.order.scratch = scratch;
        let mut command = scene.prepare(["busybox", "touch", "/new"]);
        fs::create_dir(&scene.order.scratch).unwrap();
        scene.own_all();
        assert!(command.status().unwrap().success());
        let result = fs::read_to_string(scene.path("result.json")).unwrap();
        assert!(scene.order.scratch.join("upper/new").exists(), "{caller:?} {result}");
    }
}

#[test]
fn capabilities_of_a_file_are_told() {
    for caller in Caller::among(&[Caller::Root, Caller::Ranges]) {
        let setcap = ["/sbin/setcap", "/usr/sbin/setcap"].iter().find(|it| Path::new(it).exists());
        let Some(setcap) = setcap.filter(|_| tool("ldd")) else {
            println!("skipped: it takes setcap and ldd");
            return;
        };
        let mut scene = Scene::new(caller);
        scene.with_program(Path::new(setcap), "bin/setcap");
        let ended = scene.shell("echo >/file; setcap cap_net_raw+ep /file");
        ended.good();
        let file = ended.present("file");
        let names: Vec<&[u8]> = file.attributes.iter().map(|(name, _)| name.as_slice()).collect();
        assert_eq!(names, [b"security.capability"], "{caller:?}");
        // Version 2, which names no user.
        assert_eq!(file.attributes[0].1.as_slice()[3], 2, "{caller:?}");
        is_the_callers(&scene, &ended);
    }
}

#[test]
fn owners_of_the_image_are_seen_and_are_no_changes() {
    for caller in Caller::among(&[Caller::Alone, Caller::Ranges, Caller::Me]) {
        let mut scene = Scene::new(caller);
        scene.write("etc/shadow", "secret\n");
        scene.write("var/mail/x", "mail\n");
        scene.write("bin/su", "su\n");
        let owned = |path: &str, gid, mode| Owned {
            path: text(path),
            uid: 7,
            gid,
            mode: Some(mode),
            attributes: vec![(text("user.note"), text("x"))],
        };
        scene.order.owners = vec![owned("etc/shadow", 42, 0o640), owned("var/mail", 8, 0o2775)];
        scene.order.owners.push(owned("bin/su", 0, 0o4755));
        scene.order.owners.push(owned("absent/x", 0, 0o4755));
        let ended = scene.shell("busybox stat -c '%u:%g %a' /etc/shadow /var/mail /bin/su");
        let ranges = caller == Caller::Ranges;
        let wanted = match ranges {
            true => "7:42 640\n7:8 2775\n7:0 4755\n",
            false => "0:0 640\n0:0 2775\n0:0 4755\n",
        };
        assert_eq!(ended.good(), wanted, "{caller:?}");
        for path in ["etc/shadow", "var/mail", "bin/su"] {
            assert!(ended.present(path).prepared, "{caller:?} {path}");
        }
        assert_eq!(ended.present("etc/shadow").uid, if ranges { 7 } else { 0 });
        is_the_callers(&scene, &ended);
        let ended = scene.shell("echo more >>/etc/shadow");
        assert!(!ended.present("etc/shadow").prepared, "{caller:?}");
        assert!(ended.present("bin/su").prepared, "{caller:?}");
    }
}

#[test]
fn owners_that_cannot_be_given_are_taken_for_given() {
    for caller in Caller::among(&[Caller::Alone, Caller::Me]) {
        let mut scene = Scene::new(caller);
        let line = "echo >/file; busybox chown 33:33 /file; busybox chown -h 1:1 /bin/sh
            busybox mknod /device c 1 3; busybox mkfifo /fifo; busybox stat -c %u:%g /file";
        let ended = scene.shell(line);
        assert_eq!(ended.good(), "0:0\n", "{caller:?}");
        assert!(ended.faked);
        assert_eq!(ended.paths(), ["fifo", "file"]);
    }
}

/// Everything that was changed can be read, moved and removed by the caller, outside.
#[track_caller]
fn is_the_callers(scene: &Scene, ended: &Outcome) {
    let of_overlay = |name: &Bytes| String::from_utf8_lossy(name.as_slice()).contains("overlay");
    for change in &ended.changes {
        let place = scene.upper().join(change.path());
        let found = fs::symlink_metadata(&place).unwrap();
        if let Change::Present(present) = change {
            assert!(!present.attributes.iter().any(|(name, _)| of_overlay(name)), "{place:?}");
            let mut list = [0; 1024];
            let length = rustix::fs::llistxattr(&place, &mut list[..]).unwrap();
            let list = String::from_utf8_lossy(&list[..length]).into_owned();
            assert!(!list.contains("overlay"), "{place:?} {list}");
            if scene.caller.is_root() {
                continue;
            }
            assert!(!list.contains("security.capability"), "{place:?} {list}");
            let needed = match present.kind {
                Kind::Folder { .. } => 0o700,
                Kind::Symlink { .. } => 0,
                _ => 0o600,
            };
            assert_eq!(found.mode() & needed, needed, "{place:?}");
        }
        if !scene.caller.is_root() {
            let owner = fs::metadata(scene.path("scratch")).unwrap().uid();
            assert_eq!(found.uid(), owner, "{place:?}");
        }
    }
    for name in ["work", "points", "merged", "devices", "bundle"] {
        assert!(!scene.path("scratch").join(name).exists(), "{name}");
    }
}

#[test]
fn names_of_one_file_stay_names_of_one_file() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let root = scene.root();
        for (first, others) in [("a/one", ["a/two", "b/three"]), ("a/left", ["a/left2", "b/left3"])]
        {
            fs::create_dir_all(root.join("a")).unwrap();
            fs::create_dir_all(root.join("b")).unwrap();
            fs::write(root.join(first), "old").unwrap();
            others
                .iter()
                .for_each(|other| fs::hard_link(root.join(first), root.join(other)).unwrap());
        }
        let ended = scene.shell("echo new >/b/three; cat /a/one; busybox stat -c %h /a/two");
        assert_eq!(ended.good(), "new\n3\n", "{caller:?}");
        let links = ["a/one", "a/two", "b/three"].map(|path| ended.present(path).link);
        assert!(links[0].is_some() && links[0] == links[1] && links[1] == links[2], "{caller:?}");
        for left in ["a", "b", "a/left", "b/left3"] {
            assert!(ended.present(left).prepared, "{caller:?} {left}");
        }
        let mut scene = Scene::new(caller);
        fs::write(scene.root().join("x"), "x").unwrap();
        fs::hard_link(scene.root().join("x"), scene.root().join("y")).unwrap();
        let ended = scene.shell("rm /x 2>/dev/null || busybox rm /x; cat /y");
        assert_eq!(ended.good(), "x", "{caller:?}");
        assert!(
            ended
                .changes
                .iter()
                .any(|it| matches!(it, Change::Removed { path } if path.path() == Path::new("x")))
        );
    }
}

#[test]
fn what_is_hidden_of_lower_file_systems_is_not_seen() {
    for caller in Caller::all() {
        let mut scene = Scene::new(caller);
        let other = scene.path("other");
        for path in ["gone/in", "folder/gone", "folder/stays", "both/old"] {
            fs::create_dir_all(other.join(path).parent().unwrap()).unwrap();
            fs::write(other.join(path), "other").unwrap();
        }
        mode(&other.join("folder"), 0o711);
        fs::create_dir(scene.root().join("both")).unwrap();
        fs::write(scene.root().join("both/new"), "own").unwrap();
        scene.order.lower.push(other);
        scene.order.hidden = ["gone", "folder/gone", "both", "folder/absent", "absent/x"]
            .map(|path| Bytes::from(path.as_bytes().to_vec()))
            .into();
        let line = "cd /; for it in gone folder/* both/*; do test -e $it && echo $it; done
            busybox stat -c %a folder; busybox mkdir gone; echo x >gone/new; echo gone/*";
        let ended = scene.shell(line);
        assert_eq!(ended.good(), "folder/stays\nboth/new\n711\ngone/new\n", "{caller:?}");
        assert_eq!(ended.paths(), ["gone", "gone/new"], "{caller:?}");
    }
}
