//! `gantry pack` from the outside: what it is told, what it tells, and what it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use support::running::{Running, open_bytes};
use support::{Ended, Sandbox};

fn pack(sandbox: &Sandbox, options: &[&str]) -> Ended {
    let fixed = ["pack", "tree", "-o", "out.aci", "--name", "example.com/a", "--overwrite"];
    sandbox.gantry([&fixed[..], options].concat())
}

/// Each line of GNU tar's list, without the first two: mode, owner and name, no sizes or times.
fn listed(sandbox: &Sandbox) -> Vec<String> {
    let list = sandbox.shell("tar --numeric-owner -tvf out.aci").ok();
    let line = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        format!("{} {} {}", words[0], words[1], words[words.len() - 1])
    };
    list.lines().skip(2).map(line).collect()
}

#[test]
fn pack_leaves_out_what_patterns_name_and_tells_how_much() {
    let sandbox = Sandbox::new();
    for path in ["a.log", "b.log", "cache/x", "f", "keep.log", "notes"] {
        sandbox.write(&format!("tree/{path}"), path);
    }
    sandbox.write("tree/.aciignore", "*.log\n!keep.log\n");
    sandbox.write("more", "# comment\nnotes\n");
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.path("tree/s")).unwrap();
    let options = ["--ignore", "cache/", "--ignore-file", "more", "--skip-sockets"];
    let ended = pack(&sandbox, &options);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("left out 4 by the ignore patterns"), "{ended:?}");
    assert!(ended.stderr.contains("left out 1 that are sockets"), "{ended:?}");
    let names: Vec<_> = listed(&sandbox);
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].ends_with("rootfs/f") && names[1].ends_with("rootfs/keep.log"));
    let ended = pack(&sandbox, &[&options[..], &["--json"]].concat());
    let told: Value = serde_json::from_str(&ended.ok()).unwrap();
    assert_eq!(told["leftOut"], serde_json::json!({ "ignored": 4, "sockets": 1 }));
    assert_eq!(told["warnings"], serde_json::json!([]));
    assert_eq!(pack(&sandbox, &["--ignore", "#"]).code, 3);
    assert_eq!(pack(&sandbox, &["--ignore-file", "absent"]).code, 4);
    assert_eq!(pack(&sandbox, &["--owner-map", "absent"]).code, 4);
}

#[test]
fn pack_changes_owners_modes_and_attributes_by_its_options() {
    let sandbox = Sandbox::new();
    for path in ["bin/su", "bin/web", "srv/x"] {
        sandbox.write(&format!("tree/{path}"), path);
    }
    sandbox.shell("chmod -R u=rwX,go=rX tree").ok();
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let map = format!("uid {uid} 70 1\ngid {gid} 71 1\npath /srv/** 33:34\n");
    sandbox.write("map", map);
    let options = [
        "--owner-map=map",
        "--mode=/bin/su=4755",
        "--cap=/bin/web=cap_net_bind_service+ep",
        "--xattr=/bin/web:user.note=0x6869",
    ];
    pack(&sandbox, &options).ok();
    let wanted = [
        "drwxr-xr-x 70/71 rootfs/bin",
        "-rwsr-xr-x 70/71 rootfs/bin/su",
        "-rw-r--r-- 70/71 rootfs/bin/web",
        "drwxr-xr-x 70/71 rootfs/srv",
        "-rw-r--r-- 33/34 rootfs/srv/x",
    ];
    assert_eq!(listed(&sandbox), wanted);
    let attributes = sandbox
        .shell("tar --xattrs --xattrs-include='*' -tvvf out.aci rootfs/bin/web; gzip -dc out.aci | strings")
        .ok();
    assert!(attributes.contains("x: 20 security.capability"), "{attributes}");
    assert!(attributes.contains("SCHILY.xattr.user.note=hi"), "{attributes}");

    let ended = pack(&sandbox, &["--mode=/bin/none=600", "--cap=/srv=cap_chown+p"]);
    assert_eq!(ended.code, 1);
    for text in ["--mode /bin/none=600", "--cap /srv=cap_chown+p"] {
        assert!(ended.stderr.contains(text), "{ended:?}");
    }
    sandbox.write("map", "1 2\n");
    for wrong in
        ["--mode=/bin/su", "--cap=/x=cap_fly+p", "--xattr=/x", "--owner=a:b", "--owner-map=map"]
    {
        let ended = pack(&sandbox, &[wrong]);
        assert_eq!((ended.code, ended.stdout.as_str()), (3, ""), "{ended:?}");
    }
    sandbox.write("map", "0 0 1\n");
    assert_eq!(pack(&sandbox, &["--owner-map=map", "--owner=0:0"]).code, 3);
    sandbox.write("map", format!("{} 0 1\n", uid + 1));
    let ended = pack(&sandbox, &["--owner-map=map"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("is in no line of the ownership map"), "{ended:?}");
}

#[test]
fn pack_warns_of_a_program_that_cannot_run() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/bin/x", "#!/bin/sh\n");
    let ended = pack(&sandbox, &["--exec", "/bin/x"]);
    let told = "exec \"/bin/x\" needs \"/bin/sh\", which is not in the tree";
    assert!(ended.stderr.contains(&format!("warning: {told}")), "{ended:?}");
    let ended = pack(&sandbox, &["--json", "--mode=/bin/x=0755", "--exec", "/bin/x"]);
    let document: Value = serde_json::from_str(&ended.ok()).unwrap();
    assert_eq!(document["warnings"], serde_json::json!([told]));
}

#[test]
fn pack_takes_the_bytes_of_a_manifest_as_they_are() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/f", "");
    let manifest =
        b"{\n\t\"name\": \"example.com/a\", \"x-unknown\": {\"b\": 1e2, \"a\": [ ] },\r\n \
        \"acVersion\" : \"0.8.11\", \"acKind\":\"ImageManifest\", \"annotations\": [ { \"value\": \
        \"\\u0041\\/\", \"name\":\"note\" } ] }\n\n";
    sandbox.write("manifest.json", manifest);
    sandbox.gantry(["pack", "tree", "-o", "out.aci", "--manifest", "manifest.json"]).ok();
    sandbox.shell("tar -xf out.aci manifest").ok();
    assert_eq!(fs::read(sandbox.path("manifest")).unwrap(), manifest);
    sandbox.shell("mkdir layout && mv manifest layout && mv tree layout/rootfs").ok();
    sandbox.gantry(["pack", "layout", "-o", "again.aci"]).ok();
    sandbox.shell("cmp out.aci again.aci").ok();
}

/// Runs to its end, and gives the most memory that it was seen to have had, in KiB.
fn peak(mut command: Running) -> u64 {
    let status = format!("/proc/{}/status", command.id());
    let mut peak = 0;
    while !command.has_ended() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(number.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(2));
    }
    command.wait().ok();
    assert!(peak > 0, "it was never seen");
    peak
}

const QUIETLY: [&str; 6] = ["-o", "out.aci", "--overwrite", "--quiet", "--name", "example.com/a"];

#[test]
fn sparse_file_is_packed_in_bounded_memory() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tree")).unwrap();
    let sparse = File::create(sandbox.path("tree/sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    let packing =
        Running::start(&sandbox, ["pack", "tree", "--threads", "2"].iter().chain(&QUIETLY));
    let peak = peak(packing);
    assert!(peak < 64 << 10, "{peak} KiB");
    let bytes = sandbox.shell("gzip -dc out.aci | wc -c").ok();
    // Six blocks of 512 bytes besides: two for the manifest, two headers, two at the end.
    assert_eq!(bytes, ((1 << 30) + 6 * 512).to_string());
}

#[test]
fn memory_does_not_grow_with_the_number_of_files() {
    let sandbox = Sandbox::new();
    let measure = |files: usize| {
        let tree = format!("tree-{files}");
        for at in 0..files {
            let folder = sandbox.path(&tree).join((at / 100).to_string());
            if at % 100 == 0 {
                fs::create_dir_all(&folder).unwrap();
            }
            File::create(folder.join(format!("{at}-{}", "name".repeat(60)))).unwrap();
        }
        peak(Running::start(&sandbox, ["pack", &tree, "--threads", "2"].iter().chain(&QUIETLY)))
    };
    // Few are enough that all threads have what they need at once.
    let (few, many) = (measure(4_000), measure(40_000));
    // The paths of the files would be 9 MiB more; what threads happen to need differs by 3.
    assert!(many < few + (5 << 10), "{few} KiB for 4,000 files, {many} KiB for 40,000");
}

/// Sends a signal to a packing that is under way, and gives what is in the output's folder then.
fn after_signal(signal: Signal) -> Vec<String> {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("tree")).unwrap();
    fs::create_dir_all(sandbox.path("out")).unwrap();
    // Hours of work, if it were let.
    File::create(sandbox.path("tree/large")).unwrap().set_len(1 << 40).unwrap();
    let line = "pack tree -o out/a.aci --name example.com/a --compression xz --threads 1";
    let mut packing = Running::start(&sandbox, line.split_whitespace());
    let started = Instant::now();
    while open_bytes(packing.id(), &[sandbox.path("out")]) == 0 {
        assert!(!packing.has_ended(), "{:?}", packing.wait());
        assert!(started.elapsed() < Duration::from_secs(60), "nothing is written");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = Pid::from_raw(packing.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
    assert_eq!(packing.wait().code, -1, "a signal ended it");
    names(&sandbox.path("out"))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut all: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

#[test]
fn interrupt_leaves_nothing() {
    assert_eq!(after_signal(Signal::INT), Vec::<String>::new());
}

#[test]
fn kill_leaves_nothing() {
    assert_eq!(after_signal(Signal::KILL), Vec::<String>::new());
}

#[test]
fn abandoned_files_are_cleaned_at_the_next_start() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/f", "");
    sandbox.write("out/.gantry-stage-0123456789abcdef", "half of an image");
    sandbox.write("out/mine", "");
    let living = File::create(sandbox.path("out/.gantry-stage-living")).unwrap();
    rustix::fs::flock(&living, rustix::fs::FlockOperation::LockExclusive).unwrap();
    sandbox.gantry(["pack", "tree", "-o", "out/a.aci", "--name", "example.com/a"]).ok();
    assert_eq!(names(&sandbox.path("out")), [".gantry-stage-living", "a.aci", "mine"]);
}

const MANIFEST: &str = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a"}"#;

/// A plain root file system, and a layout that has no manifest yet.
fn tree_and_layout() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("tree/f", "f");
    sandbox.write("layout/rootfs/f", "f");
    sandbox
}

#[test]
fn pack_refuses_files_that_are_one_or_lie_in_the_tree() {
    let sandbox = tree_and_layout();
    sandbox.write("layout/manifest", MANIFEST);
    for options in [
        &["--digest-file", "out.aci"][..],
        &["--metadata-file", "./out.aci"],
        &["--digest-file", "id", "--metadata-file", "tree/../id"],
        &["--digest-file", "tree/id"],
    ] {
        let ended = pack(&sandbox, options);
        assert_eq!(ended.code, 3, "{options:?}: {ended:?}");
        assert!(!sandbox.path("out.aci").exists());
    }
    for options in [&["--digest-file", "absent/id"][..], &["--metadata-file", "/dev/null"]] {
        let ended = pack(&sandbox, options);
        assert_eq!(ended.code, 1, "{options:?}: {ended:?}");
        assert!(!sandbox.path("out.aci").exists());
    }
    assert_eq!(sandbox.gantry(["pack", "layout", "-o", "layout/x.aci"]).code, 3);
    sandbox.gantry(["pack", "layout", "-o", "x.aci"]).ok();
    pack(&sandbox, &["--digest-file", "id", "--metadata-file", "more"]).ok();
    assert!(fs::read_to_string(sandbox.path("id")).unwrap().starts_with("sha512-"));
}

#[test]
fn pack_makes_no_image_that_is_refused_by_its_manifest_or_attributes() {
    let sandbox = tree_and_layout();
    let long = format!("{}{MANIFEST}", " ".repeat(1 << 20));
    sandbox.write("long.json", &long);
    sandbox.write("layout/manifest", &long);
    for args in [
        &["pack", "tree", "--manifest", "long.json", "-o", "out.aci"][..],
        &["pack", "tree", "--manifest", "/dev/zero", "-o", "out.aci"],
        &["pack", "layout", "-o", "out.aci"],
    ] {
        let ended = sandbox.gantry(args);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.stderr.contains("more than 1048576 bytes"), "{ended:?}");
    }
    let value = "v".repeat(60_000);
    let xattrs: Vec<String> = (0..20).map(|n| format!("/f:user.a{n}={value}")).collect();
    let options: Vec<&str> = xattrs.iter().flat_map(|xattr| ["--xattr", xattr]).collect();
    let ended = pack(&sandbox, &options);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("rootfs/f are more than 1 MiB"), "{}", ended.stderr);
    assert!(!sandbox.path("out.aci").exists());
}

#[test]
fn pack_warns_of_what_looks_like_a_bomb_on_the_way() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/z", "");
    File::create(sandbox.path("tree/a")).unwrap().set_len(300 << 20).unwrap();
    sandbox.shell("head -c 20000000 /dev/urandom > tree/z").ok();
    let ended = pack(&sandbox, &[]);
    assert!(ended.stderr.contains("compression bomb"), "{ended:?}");
    assert_eq!(sandbox.gantry(["validate", "out.aci"]).code, 1);
    let ended = pack(&sandbox, &["--compression", "none"]);
    assert!(!ended.stderr.contains("compression bomb"), "{ended:?}");
    sandbox.gantry(["validate", "out.aci"]).ok();
}

#[test]
fn pack_ignores_no_option_and_takes_any_number_of_threads() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/f", "f");
    sandbox.write("m.json", r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"a/b"}"#);
    assert_eq!(pack(&sandbox, &["--user", "5"]).code, 3);
    let args = ["pack", "tree", "--manifest", "m.json", "-o", "out.aci", "--group", "5"];
    assert_eq!(sandbox.gantry(args).code, 3);
    let ended = sandbox.gantry(["pack", "tree", "--manifest", "absent", "-o", "out.aci"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    let id = pack(&sandbox, &["--user", "5", "--exec", "/f"]).ok();
    for threads in ["1", "40000", "18446744073709551615"] {
        let again = pack(&sandbox, &["--user", "5", "--exec", "/f", "--threads", threads]).ok();
        assert_eq!(again, id);
    }
}

#[test]
fn pack_encrypts_with_no_passphrase_that_gpg_reads_otherwise() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/f", "f");
    for (passphrase, code) in [("pw", 0), ("p w\n", 0), ("pw\r\n", 3), ("a\nb\n", 3), ("a\0", 3)] {
        sandbox.write("pass", passphrase);
        let ended = pack(&sandbox, &["--encrypt", "--passphrase-file", "pass"]);
        assert_eq!(ended.code, code, "{passphrase:?}: {ended:?}");
    }
}

/// As containers have it: a file of the host's is mounted over one of the tree.
#[test]
fn pack_of_one_file_system_takes_no_file_that_is_mounted() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/etc/hosts", "ours");
    sandbox.write("foreign", "theirs");
    let gantry = env!("CARGO_BIN_EXE_gantry");
    let line = format!(
        "mount --bind foreign tree/etc/hosts && exec {gantry} pack tree -o out.aci --name a/b \
         --one-file-system"
    );
    let ended = Ended::of(
        sandbox.command("unshare").args(["--mount", "--", "sh", "-c", &line]).output().unwrap(),
    );
    if !rustix::process::geteuid().is_root() || ended.stderr.contains("mount:") {
        return; // Only root may mount.
    }
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("tree/etc/hosts: another file is mounted on it"), "{ended:?}");
}
