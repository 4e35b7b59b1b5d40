//! What an image depends on.

use std::fs;

use super::{Fails, begin, both, manifest, render, rootfs, run, store, trust};
use crate::busybox;
use crate::support::Sandbox;

/// The image example.com/base with a shell, `/keep`, `/gone/a`, `/folder/old`; and a build on it.
fn on_base(sandbox: &Sandbox) -> bool {
    if !busybox(&sandbox.path("base/rootfs")) {
        return false;
    }
    for file in ["keep", "gone/a", "folder/old", "folder/deep/old"] {
        sandbox.write(&format!("base/rootfs/{file}"), "base\n");
    }
    trust(sandbox);
    store(sandbox, "base");
    begin(sandbox);
    run(sandbox, "acbuild dependency add --local base.aci").ok();
    true
}

#[test]
fn fault_base_image_taken_unsigned() {
    both(|sandbox| {
        begin(sandbox);
        run(sandbox, "acbuild label add version 1 && acbuild write a.aci && acbuild end").ok();
        // Nobody trusted has signed it, and it is nowhere to be found with a signature.
        let ended = run(sandbox, "acbuild begin example.com/a:1 --pull never");
        assert!(ended.code == 4 || ended.code == 5, "{ended:?}");
        // What was trusted and is no longer is not built upon, also out of the store.
        trust(sandbox);
        sandbox.write("base/rootfs/f", "x");
        store(sandbox, "base");
        run(sandbox, "rm -r trust && acbuild begin example.com/base --pull never").fails(5);
        assert!(!sandbox.path(".acbuild").exists());
    });
}

#[test]
fn fault_dependencies_taken_unsigned() {
    both(|sandbox| {
        if on_base(sandbox) {
            let line = "acbuild dep add example.com/base:1 && rm -r trust && acbuild run -- ls";
            run(sandbox, line).fails(5);
        }
    });
}

#[test]
fn fault_dependencies_of_the_base_not_seen() {
    both(|sandbox| {
        if !on_base(sandbox) {
            return;
        }
        sandbox.write("own", "o");
        let line = "acbuild copy own /own && acbuild label add version 1 && acbuild write a.aci \
            && \"$GANTRY\" -q sign a.aci --key key.asc && \"$GANTRY\" -q fetch ./a.aci \
            && acbuild end && acbuild begin example.com/a:1 --pull never";
        run(sandbox, line).ok();
        assert_eq!(run(sandbox, "acbuild run -- cat /keep /own").ok(), "base\no");
    });
}

#[test]
fn fault_dependency_of_another_id_or_size_taken() {
    both(|sandbox| {
        if !on_base(sandbox) {
            return;
        }
        run(sandbox, "acbuild dep add example.com/base:1 --size 7").ok();
        run(sandbox, "acbuild run -- ls").fails(5);
        let other = format!("sha512-{}", "0".repeat(128));
        run(sandbox, &format!("acbuild dep add example.com/base:1 --image-id {other}")).ok();
        assert_ne!(run(sandbox, "acbuild run -- ls").code, 0);
        run(sandbox, "acbuild dep add example.com/base:1 --pin && acbuild run -- ls").ok();
        let size = fs::metadata(sandbox.path("base.aci")).unwrap().len();
        assert_eq!(manifest(sandbox)["dependencies"][0]["size"], size);
    });
}

#[test]
fn fault_order_of_dependencies_reversed() {
    both(|sandbox| {
        if !on_base(sandbox) {
            return;
        }
        for (name, text) in [("first", "1"), ("second", "2")] {
            sandbox.write(&format!("{name}/rootfs/which"), text);
            store(sandbox, name);
            run(sandbox, &format!("acbuild dependency add --local {name}.aci")).ok();
        }
        assert_eq!(run(sandbox, "acbuild run -- cat /which").ok(), "2");
        let root = render(sandbox, "a");
        assert_eq!(fs::read(root.join("which")).unwrap(), b"2");
        // The image's own file is above both.
        sandbox.write("which", "own");
        run(sandbox, "acbuild copy which /which").ok();
        assert_eq!(run(sandbox, "acbuild run -- cat /which").ok(), "own");
    });
}

#[test]
fn fault_removed_files_of_a_dependency_come_back() {
    both(|sandbox| {
        if !on_base(sandbox) {
            return;
        }
        sandbox.write("own", "o");
        run(sandbox, "acbuild copy own /own && acbuild remove /gone").ok();
        run(sandbox, "acbuild remove /gone").fails(2);
        // Also not for the next commands.
        run(sandbox, "acbuild run -- test -e /gone").fails(1);
        run(sandbox, "acbuild run -- test -e /keep").ok();
        run(sandbox, "acbuild run -- /bin/sh -c 'rm -r /folder/deep'").ok();
        run(sandbox, "acbuild run -- test -e /folder/deep").fails(1);
        run(sandbox, "acbuild remove /folder/deep").fails(2);
        let root = render(sandbox, "a");
        for there in ["keep", "own", "folder/old", "bin/sh"] {
            assert!(root.join(there).symlink_metadata().is_ok(), "{there}");
        }
        assert!(!root.join("gone").exists() && !root.join("folder/deep").exists());
    });
}

#[test]
fn fault_folder_in_the_place_of_a_dependencys_shows_the_old_one() {
    both(|sandbox| {
        if !on_base(sandbox) {
            return;
        }
        let line = "acbuild run -- /bin/sh -c 'rm -r /folder; mkdir /folder; echo n > /folder/new'";
        run(sandbox, line).ok();
        assert_eq!(run(sandbox, "acbuild run -- ls /folder").ok(), "new");
        let root = render(sandbox, "a");
        let left: Vec<_> =
            fs::read_dir(root.join("folder")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["new"]);
        assert!(root.join("keep").exists());
    });
}

#[test]
fn fault_files_of_a_dependency_come_back_with_a_copy() {
    both(|sandbox| {
        if !on_base(sandbox) {
            return;
        }
        sandbox.write("tree/new", "n");
        run(sandbox, "acbuild remove /folder && acbuild copy tree /folder").ok();
        assert_eq!(run(sandbox, "acbuild run -- ls /folder").ok(), "new");
        let root = render(sandbox, "a");
        assert!(root.join("folder/new").exists() && root.join("keep").exists());
        assert!(!root.join("folder/old").exists() && !root.join("folder/deep").exists());
    });
}

#[test]
fn fault_file_put_where_one_was_removed_is_left_out() {
    both(|sandbox| {
        if !on_base(sandbox) {
            return;
        }
        sandbox.write("f", "again");
        run(sandbox, "acbuild remove /keep && acbuild copy f /keep && acbuild copy f /late/f").ok();
        assert_eq!(run(sandbox, "acbuild run -- cat /keep").ok(), "again");
        run(sandbox, "acbuild run -- /bin/sh -c 'rm -r /gone; mkdir /gone; echo b > /gone/b'").ok();
        let root = render(sandbox, "a");
        assert_eq!(fs::read(root.join("keep")).unwrap(), b"again");
        assert!(root.join("late/f").exists() && root.join("gone/b").exists());
        assert!(!root.join("gone/a").exists() && root.join("folder/deep/old").exists());
    });
}

#[test]
fn fault_whiteouts_of_dependencies_left_in_the_image() {
    both(|sandbox| {
        if !on_base(sandbox) {
            return;
        }
        run(sandbox, "acbuild run -- /bin/sh -c 'rm /keep; rm -r /gone; echo x > /folder/new'")
            .ok();
        let found = run(sandbox, "find .acbuild/currentaci/rootfs | sort").ok();
        let root = ".acbuild/currentaci/rootfs";
        assert_eq!(found, format!("{root}\n{root}/folder\n{root}/folder/new"));
        assert!(!rootfs(sandbox).join("keep").exists());
    });
}

#[test]
fn fault_folder_of_a_dependency_takes_other_properties() {
    both(|sandbox| {
        if !on_base(sandbox) {
            return;
        }
        run(sandbox, "chmod 1777 base/rootfs/folder && chown 3:4 base/rootfs/folder").ok();
        let line = "\"$GANTRY\" -q pack base -o base.aci --overwrite --owner keep \
            && \"$GANTRY\" -q sign base.aci --key key.asc --overwrite \
            && \"$GANTRY\" -q fetch ./base.aci && acbuild dep add --local base.aci \
            && acbuild run -- /bin/sh -c 'echo x > /folder/new'";
        run(sandbox, line).ok();
        let all = super::entries(sandbox);
        assert!(all.contains("drwxrwxrwt 3:4"), "{all}");
    });
}
