//! Owners.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;

use builder::{Owner, PackOptions, ProblemKind, Warning};

use crate::support::{
    in_child, in_user_namespace, keeping, kinds, options, pack, packed, problems, root_for,
    set_attribute, tree,
};

#[test]
fn owner_of_any_number_is_kept() {
    if !root_for("give files away") {
        return;
    }
    let ids = [0, (1 << 21) - 1, 1 << 21, 1 << 31, u32::MAX - 1, 65534];
    let names = ids.map(|id: u32| id.to_string());
    let tree = tree(&names.each_ref().map(String::as_str));
    for (id, name) in ids.iter().zip(&names) {
        chown(tree.path().join(name), Some(*id), Some(u32::MAX - 1 - *id)).unwrap();
    }
    let (bytes, done) = pack(&keeping(tree.path())).unwrap();
    assert_eq!(done.warnings, [], "nobody is somebody where all IDs are there");
    let all: std::collections::BTreeMap<_, _> =
        crate::support::entries(&bytes).into_iter().collect();
    for (id, name) in ids.iter().zip(&names) {
        let seen = &all[format!("rootfs/{name}").as_bytes()];
        assert_eq!(seen.real_owner(), (u64::from(*id), u64::from(u32::MAX - 1 - *id)));
        assert_eq!(seen.pax("uid").is_some(), *id >= 1 << 21, "{id}");
    }
    assert!(packed(&options(tree.path())).values().all(|seen| seen.real_owner() == (0, 0)));
}

/// Runs the test of this name where root alone has an ID, and a file of another user is there.
fn with_a_strangers_file(test: &str, then: impl Fn(&std::path::Path)) {
    let folder = |parent: i32| std::env::temp_dir().join(format!("gantry-strange-{parent}"));
    if std::env::var_os("GANTRY_TEST_CHILD").is_some() {
        then(&folder(rustix::process::getppid().unwrap().as_raw_pid()));
        return;
    }
    let at = folder(rustix::process::getpid().as_raw_pid());
    if !root_for("make another user's files") {
        return;
    }
    fs::create_dir(&at).unwrap();
    fs::write(at.join("own"), "").unwrap();
    fs::write(at.join("strange"), "").unwrap();
    chown(at.join("strange"), Some(5000), Some(0)).unwrap();
    let child = std::panic::catch_unwind(|| in_user_namespace(test));
    fs::remove_dir_all(&at).unwrap();
    assert!(!child.unwrap());
}

#[test]
fn owner_without_an_id_in_the_namespace_is_refused() {
    with_a_strangers_file(this_test!(), |tree| {
        let strange = tree.join("strange");
        let refused = problems(&keeping(tree));
        assert_eq!(kinds(&refused), [(strange.as_path(), &ProblemKind::UnknownOwner)]);
        assert!(refused[0].to_string().contains("--owner"));
        let (bytes, _) = pack(&options(tree)).unwrap();
        assert_eq!(crate::support::below(&bytes), ["own", "strange"], "with another owner it goes");
        let (_, rules) = builder::read_owner_map("path /strange 33:33").unwrap();
        let overrides = builder::Overrides(rules);
        let all = packed(&PackOptions { overrides: &overrides, ..keeping(tree) });
        assert_eq!(all[&b"rootfs/strange"[..]].real_owner(), (33, 33));
    });
}

#[test]
fn owner_nobody_in_a_namespace_that_has_it_is_warned_of() {
    if !root_for("map IDs into a namespace") {
        return;
    }
    if std::env::var_os("GANTRY_TEST_CHILD").is_none() {
        // Its maps are written from here, which needs no helper program.
        let mut holder = Command::new("unshare").args(["--user", "sleep", "60"]).spawn().unwrap();
        let proc = std::path::PathBuf::from(format!("/proc/{}", holder.id()));
        let mine = fs::read_link("/proc/self/ns/user").unwrap();
        while fs::read_link(proc.join("ns/user")).unwrap() == mine {
            std::thread::yield_now();
        }
        for map in ["uid_map", "gid_map"] {
            fs::write(proc.join(map), "0 0 65535\n").unwrap();
        }
        let target = format!("--target={}", holder.id());
        let test = this_test!();
        let child = std::panic::catch_unwind(|| {
            let enter = [&target, "--user", "--setuid=0", "--setgid=0"];
            in_child(test, "nsenter", &enter, &std::env::current_exe().unwrap())
        });
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert!(!child.unwrap());
        return;
    }
    let tree = tree(&["f"]);
    chown(tree.path().join("f"), Some(65534), Some(0)).unwrap();
    let (bytes, done) = pack(&keeping(tree.path())).unwrap();
    assert_eq!(done.warnings, [Warning::UnknownOwners(1)]);
    assert_eq!(crate::support::entries(&bytes)[2].1.real_owner(), (65534, 0));
}

#[test]
fn owner_map_translates_and_names_who_is_not_in_it() {
    if !root_for("give files away") {
        return;
    }
    let tree = tree(&["a", "b", "c"]);
    for (name, uid, gid) in [("a", 100_000, 100_000), ("b", 100_033, 100_005), ("c", 7, 100_000)] {
        chown(tree.path().join(name), Some(uid), Some(gid)).unwrap();
    }
    let (map, _) = builder::read_owner_map("100000 0 65536\nuid 0 9 1\ngid 0 9 1\n").unwrap();
    let owner = Owner::Map(map.unwrap());
    let mapped = PackOptions { owner: &owner, ..options(tree.path()) };
    let path = tree.path().join("c");
    let refused = problems(&mapped);
    assert_eq!(kinds(&refused), [(path.as_path(), &ProblemKind::Unmapped(7, 100_000))]);
    let (_, rules) = builder::read_owner_map("path /c 1:2").unwrap();
    let overrides = builder::Overrides(rules);
    let all = packed(&PackOptions { overrides: &overrides, ..mapped });
    let owner = |name: &[u8]| all[name].real_owner();
    assert_eq!(owner(b"rootfs"), (9, 9));
    assert_eq!(owner(b"rootfs/a"), (0, 0));
    assert_eq!(owner(b"rootfs/b"), (33, 5));
    assert_eq!(owner(b"rootfs/c"), (1, 2));
}

#[test]
fn owner_map_translates_who_an_access_list_names() {
    let list = |user: u32| {
        let no_id = u32::MAX;
        let entries = [(1, 7, no_id), (2, 5, user), (4, 5, no_id), (16, 5, no_id), (32, 0, no_id)];
        let bytes = |(tag, permissions, id): (u16, u16, u32)| {
            [&tag.to_le_bytes(), &permissions.to_le_bytes(), id.to_le_bytes().as_slice()].concat()
        };
        [vec![2, 0, 0, 0], entries.into_iter().flat_map(bytes).collect()].concat()
    };
    let tree = tree(&["f"]);
    let path = tree.path().join("f");
    let name = "system.posix_acl_access";
    set_attribute(&path, name, &list(33)).unwrap();
    let own = rustix::process::getuid().as_raw();
    let with_map = |lines: &str, overrides: &builder::Overrides| {
        let (map, _) =
            builder::read_owner_map(&format!("uid {own} 0 1\ngid 0 0 4294967295\n{lines}"))
                .unwrap();
        let owner = Owner::Map(map.unwrap());
        let options = PackOptions { owner: &owner, overrides, ..options(tree.path()) };
        match pack(&options) {
            Ok((bytes, _)) => {
                let all: std::collections::BTreeMap<_, _> =
                    crate::support::entries(&bytes).into_iter().collect();
                Ok(all[b"rootfs/f".as_slice()].attribute(name).unwrap().to_vec())
            }
            Err(_) => Err(problems(&options)),
        }
    };
    let none = builder::Overrides::default();
    assert_eq!(with_map("uid 33 5033 1", &none).unwrap(), list(5033));
    let refused = with_map("", &none).unwrap_err();
    let unmapped = ProblemKind::UnmappedAttribute(name.into());
    assert_eq!(kinds(&refused), [(path.as_path(), &unmapped)]);
    // What is given by an option is what stands in the image, and is not translated.
    let digits: String = list(7).iter().map(|byte| format!("{byte:02x}")).collect();
    let rule = builder::Rule::attribute(&format!("/f:{name}=0x{digits}")).unwrap();
    assert_eq!(with_map("", &builder::Overrides(vec![rule])).unwrap(), list(7));
}
