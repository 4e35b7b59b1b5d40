//! What a build refuses, so that nothing is half done, lost in silence, or the host's.

use std::fs;
use std::os::unix::fs::symlink;

use super::faults::{store, trust};
use super::users::User;
use super::{Fails, manifest, rootfs, run, sandbox};
use crate::support::Sandbox;
use crate::support::hostile::Tar;

const USERS: [User; 2] = [User::Me, User::Alone];

fn begun() -> Sandbox {
    let sandbox = sandbox();
    run(&sandbox, "acbuild begin && acbuild set-name example.com/a").ok();
    sandbox
}

#[test]
fn manifest_larger_than_an_images_is_not_made_and_not_read_in_part() {
    let sandbox = begun();
    run(&sandbox, "acbuild write a.aci").ok();
    let long = "V=$(head -c 120000 /dev/zero | tr '\\0' x)";
    for name in ["a", "b", "c", "d"] {
        run(&sandbox, &format!("{long}; acbuild annotation add {name} $V")).ok();
    }
    let before = manifest(&sandbox);
    let ended = run(&sandbox, &format!("{long}; acbuild annotation add e $V")).fails(1);
    assert!(ended.stderr.contains("1048576"), "{ended:?}");
    assert_eq!(manifest(&sandbox), before);
    run(&sandbox, "acbuild label add still works").ok();
    // Also where it was changed by hand.
    let path = sandbox.path(".acbuild/currentaci/manifest");
    let mut text = fs::read(&path).unwrap();
    text.resize((1 << 20) + 1, b' ');
    fs::write(&path, text).unwrap();
    for line in ["cat-manifest", "label add a b", "write b.aci"] {
        let ended = run(&sandbox, &format!("acbuild {line}")).fails(1);
        assert!(ended.stdout.is_empty() && ended.stderr.contains("1048576"), "{ended:?}");
    }
    // And where an image is edited, which stays what it is.
    let line = "V=$(head -c 120000 /dev/zero | tr '\\0' x); \
        for i in a b c d e f; do before=$(cksum <a.aci); \
        acbuild --modify a.aci annotation add $i $V >/dev/null || break; done; \
        test \"$before\" = \"$(cksum <a.aci)\" && test $i = e";
    run(&sandbox, line).ok();
}

#[test]
fn whitelist_that_no_manifest_has_room_for_is_refused_by_write() {
    let sandbox = sandbox();
    for number in 0..4400 {
        let name = format!("base/rootfs/{number:0>240}");
        sandbox.write(&name, "");
    }
    sandbox.write("base/rootfs/gone", "");
    trust(&sandbox);
    store(&sandbox, "base");
    let line = "acbuild begin && acbuild set-name example.com/a \
        && acbuild dependency add --local base.aci && acbuild write a.aci && acbuild remove /gone";
    run(&sandbox, line).ok();
    let before = fs::read(sandbox.path("a.aci")).unwrap();
    for line in ["write b.aci", "write a.aci --overwrite", "--modify a.aci remove /gone"] {
        let ended = run(&sandbox, &format!("acbuild {line}")).fails(1);
        assert!(ended.stderr.contains("squash"), "{ended:?}");
    }
    assert_eq!(fs::read(sandbox.path("a.aci")).unwrap(), before);
    assert!(!sandbox.path("b.aci").exists());
    run(&sandbox, "acbuild squash && acbuild write b.aci && \"$GANTRY\" validate b.aci").ok();
}

#[test]
fn image_with_a_fault_is_no_tar_of_a_root_file_system() {
    let sandbox = sandbox();
    let image = || Tar::image("example.com/a", "1");
    let sound = crate::support::hostile::manifest("example.com/a", "1");
    let no_folder = Tar::default().file("rootfs/etc/passwd", b"x").file("manifest", &sound);
    for (name, archive) in [
        ("stray", image().file("rootfs/a", b"").file("README", b"x")),
        (
            "before",
            Tar::default().file("./README", b"x").directory("rootfs").file("manifest", b"{}"),
        ),
        ("no-folder", no_folder),
    ] {
        sandbox.write(&format!("{name}.aci"), archive.gzip());
        let ended = run(&sandbox, &format!("acbuild begin ./{name}.aci")).fails(1);
        assert!(!ended.stderr.contains("tar of a root"), "{name}: {ended:?}");
        assert!(!sandbox.path(".acbuild").exists(), "{name}");
    }
    // One of the two alone may be in a root file system.
    for archive in [
        Tar::default().directory("rootfs").file("rootfs/manifest", b"x").file("x", b""),
        Tar::default().file("manifest", &sound).directory("srv").directory("srv/rootfs"),
    ] {
        sandbox.write("root.tar", archive.plain());
        let ended = run(&sandbox, "acbuild begin ./root.tar && acbuild end");
        assert!(ended.stderr.contains("tar of a root file system"), "{ended:?}");
        ended.ok();
    }
}

#[test]
fn attributes_that_are_not_packed_are_nobodys() {
    for user in USERS.into_iter().filter(|user| user.is_here()) {
        let sandbox = sandbox();
        sandbox.write("f", "x");
        let note = "SCHILY.xattr.trusted.note=1\n";
        let note = format!("{} {note}", note.len() + 3);
        let tar = Tar::default().entry("x", b'x', "", note.as_bytes()).file("g", b"");
        sandbox.write("t.tar", tar.plain());
        user.own(&sandbox);
        let line = "acbuild begin ./t.tar && acbuild set-name example.com/a && acbuild copy f /f";
        user.run(&sandbox, ".", line).ok();
        for name in ["trusted.a", "security.foo", "user.overlay.opaque", "system.other"] {
            user.run(&sandbox, ".", &format!("acbuild xattr /f {name}=1")).fails(1);
            let line = format!("acbuild copy f /h --xattr '*:{name}=1'");
            assert_ne!(user.run(&sandbox, ".", &line).code, 0, "{name}");
        }
        let capability = "0x0100000201000000000000000000000000000000";
        let line = format!(
            "acbuild xattr /f security.capability={capability} && acbuild write a.aci >/dev/null \
             && \"$GANTRY\" inspect --entries a.aci"
        );
        let ended = user.run(&sandbox, ".", &line);
        if ended.stderr.contains("not supported") {
            println!("skipped: no capabilities on this file system");
            continue;
        }
        let entries = ended.ok();
        assert!(entries.contains("rootfs/f [security.capability]"), "{user:?} {entries}");
        assert!(entries.contains("rootfs/g") && !entries.contains("trusted"), "{user:?} {entries}");
    }
}

#[test]
fn what_has_no_such_property_is_not_said_to_have_changed() {
    for user in USERS.into_iter().filter(|user| user.is_here()) {
        let sandbox = sandbox();
        sandbox.write("t/f", "x");
        symlink("f", sandbox.path("t/l")).unwrap();
        user.own(&sandbox);
        let line = |line: &str| user.run(&sandbox, ".", line);
        line("acbuild begin ./t && acbuild set-name example.com/a").ok();
        let before = line("acbuild cat-manifest").ok();
        line("acbuild chmod 600 /l").fails(1);
        line("acbuild chmod -R 600 /l").fails(1);
        line("acbuild xattr /f --remove user.absent").fails(2);
        line("acbuild setcap --remove /f").fails(2);
        assert_eq!(line("acbuild cat-manifest").ok(), before, "{user:?}");
        line("acbuild chmod -R 755 /").ok();
        line("acbuild setcap cap_chown+ep /f && acbuild setcap --remove /f").ok();
        line("acbuild setcap --remove /f").fails(2);
        if line("acbuild xattr /f user.a=b").code == 0 {
            line("acbuild xattr /f user.c=d --remove user.a").ok();
            line("acbuild xattr /f --remove user.a").fails(2);
            line("acbuild xattr /f --remove user.c").ok();
        }
    }
}

#[test]
fn build_that_is_not_whole_is_ended_and_nothing_else() {
    let sandbox = sandbox();
    sandbox.write("outside/secret", "x");
    for breaks in [
        "rm -r .acbuild/currentaci",
        "rm -r .acbuild && mkdir .acbuild",
        "rm -r .acbuild/currentaci && ln -s ../outside .acbuild/currentaci",
        "rmdir .acbuild/currentaci/rootfs && echo x >.acbuild/currentaci/rootfs",
        "rmdir .acbuild/currentaci/rootfs && ln -s ../../outside .acbuild/currentaci/rootfs",
        "mkdir .acbuild/change && echo '{' >.acbuild/change/journal",
    ] {
        run(&sandbox, "acbuild begin && acbuild set-name example.com/a").ok();
        run(&sandbox, breaks).ok();
        for line in ["write leak.aci", "label add a b", "copy outside /o", "cat-manifest"] {
            run(&sandbox, &format!("acbuild {line}")).fails(1);
        }
        assert!(!sandbox.path("leak.aci").exists(), "{breaks}");
        run(&sandbox, "acbuild begin").fails(1);
        run(&sandbox, "acbuild end").ok();
        assert!(!sandbox.path(".acbuild").exists(), "{breaks}");
        assert_eq!(run(&sandbox, "ls outside").ok(), "secret");
    }
    // One of another program, too.
    run(&sandbox, "mkdir .acbuild && printf oci >.acbuild/buildMode && acbuild end").ok();
    run(&sandbox, "acbuild begin").ok();
}

#[test]
fn dependency_whose_image_has_another_name_is_refused() {
    let sandbox = sandbox();
    sandbox.write("base/rootfs/keep", "x");
    trust(&sandbox);
    store(&sandbox, "base");
    let line = "acbuild begin && acbuild set-name example.com/a \
        && acbuild dependency add --local base.aci";
    run(&sandbox, line).ok();
    run(&sandbox, "acbuild --no-history remove /keep").ok();
    let text = manifest(&sandbox).to_string();
    for (name, said) in [("name", "example.com/base"), ("label", "\"value\":\"1\"")] {
        let other = match name {
            "name" => text.replacen(said, "example.com/other", 1),
            _ => text.replacen(said, "\"value\":\"2\"", 1),
        };
        assert_ne!(other, text, "{name}");
        sandbox.write("other.json", other);
        run(&sandbox, "acbuild replace-manifest other.json").ok();
        for line in ["run -- ls /", "remove /other", "squash", "write b.aci"] {
            let ended = run(&sandbox, &format!("acbuild {line}")).fails(5);
            assert!(ended.stderr.contains("the dependency"), "{name} {line}: {ended:?}");
        }
    }
}

#[test]
fn what_is_mounted_in_a_build_stays_whole() {
    let sandbox = begun();
    sandbox.write("host/kept", "x");
    fs::create_dir_all(rootfs(&sandbox).join("m/deep")).unwrap();
    let line = "unshare --mount --propagation private /bin/sh -c '\
        mount --bind host .acbuild/currentaci/rootfs/m/deep || exit 77; \
        acbuild remove /m; echo $?; acbuild end; echo $?; acbuild label add a b; echo $?'";
    let ended = run(&sandbox, line);
    if ended.code != 0 {
        println!("skipped: nothing can be mounted here");
        return;
    }
    assert_eq!(ended.stdout, "1\n1\n0\n", "{ended:?}");
    assert!(ended.stderr.contains("unmount it first"), "{ended:?}");
    assert!(sandbox.path("host/kept").exists() && rootfs(&sandbox).join("m/deep").exists());
    run(&sandbox, "acbuild remove /m && acbuild end").ok();
}

#[test]
fn what_is_in_the_place_of_a_build_and_no_folder_is_told() {
    let sandbox = sandbox();
    for make in ["mkdir other; ln -s other .acbuild", "ln -s nowhere .acbuild", "mkfifo .acbuild"] {
        run(&sandbox, &format!("rm -rf .acbuild other; {make}")).ok();
        for line in ["end", "cat-manifest", "label add a b"] {
            let ended = run(&sandbox, &format!("acbuild {line}")).fails(1);
            assert!(ended.stderr.contains("it is no folder: remove it"), "{make}: {ended:?}");
        }
        run(&sandbox, "acbuild begin").fails(1);
        run(&sandbox, "test -e .acbuild -o -L .acbuild && test ! -e other/lock").ok();
    }
}

#[test]
fn copy_without_threads_to_be_had_fails_and_does_not_panic() {
    let user = User::Alone;
    let sandbox = Sandbox::new();
    if !user.is_here() || !crate::support::tool("prlimit") {
        return;
    }
    user.own(&sandbox);
    user.run(&sandbox, ".", "acbuild begin && mkdir t && echo x > t/f").ok();
    let line = "prlimit --nproc=1 \"$GANTRY\" build copy t /t";
    let ended = user.run(&sandbox, ".", line).fails(1);
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    user.run(&sandbox, ".", "acbuild copy t /t").ok();
}

#[test]
fn folder_that_cannot_be_kept_is_not_made() {
    let sandbox = begun();
    for path in ["/", "/../..", "rel", "/proc", "/dev/shm", "/srv/../../x", "\"\""] {
        let line = format!("acbuild --cache-dir \"$PWD/cache\" run --cache {path} -- ls");
        assert_ne!(run(&sandbox, &line).code, 0, "{path}");
        assert!(!sandbox.path("cache/build/folders").exists(), "{path}");
    }
}

#[test]
fn faults_are_told_as_what_they_are() {
    let sandbox = begun();
    sandbox.write("bad.json", "{");
    for (line, told, not) in [
        ("chown nobodyx /", "\"nobodyx\" is no owner", "no path"),
        ("replace-manifest bad.json", "the new manifest is not acceptable", "replace it whole"),
        ("write absent/x.aci", "cannot write absent/x.aci:", "the image:"),
        ("e", "\n    end\n    environment", "\u{fffd}"),
    ] {
        let ended = run(&sandbox, &format!("acbuild {line}"));
        assert!(ended.code != 0 && ended.stderr.contains(told), "{line}: {ended:?}");
        assert!(!ended.stderr.contains(not), "{line}: {ended:?}");
    }
}

#[test]
fn options_that_acbuild_took_are_taken() {
    let sandbox = sandbox();
    let line = "mkdir w && acbuild --work-path v --work-path w begin && cd w \
        && acbuild set-name example.com/a --no-history=T --debug --debug=0 \
        && acbuild label add a b --no-history=1 --no-history=FALSE \
        && acbuild mount add m /m --read-only=t && acbuild mount add n /n --read-only=F \
        && acbuild port add p tcp 80 --count 2 --count 3 \
        && acbuild dependency add example.com/b --label a=1 --label b=2 --size 1 --size 2 \
        && acbuild write a.aci --overwrite --overwrite && cp -r .acbuild ..";
    run(&sandbox, line).ok();
    let manifest = manifest(&sandbox);
    assert_eq!(manifest["annotations"][0]["value"], "acbuild label add a b");
    assert_eq!(manifest["app"]["mountPoints"][0]["readOnly"], true);
    assert_eq!(manifest["app"]["mountPoints"][1]["readOnly"], serde_json::json!(null));
    assert_eq!(manifest["app"]["ports"][0]["count"], 3);
    assert_eq!(manifest["dependencies"][0]["labels"].as_array().unwrap().len(), 2);
    assert_eq!(manifest["dependencies"][0]["size"], 2);
    for bad in ["2", "yes", "tRUE", ""] {
        run(&sandbox, &format!("acbuild --no-history={bad} label add c d")).fails(3);
    }
}
