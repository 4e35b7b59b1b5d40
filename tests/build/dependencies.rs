//! Builds on top of other images: what is hidden of them, whose their files are, and squash.

use super::sandbox;
use super::users::User;
use crate::support::Sandbox;

/// A base with a shell, files of other owners and links, in the store of whoever builds; and the
/// image that is built on it, in `ref/`, as root would make it of both at once.
const BASE: &str = r#"
    "$GANTRY" -q key generate --user-id 'Example CI <ci@example.com>' --secret key.asc --public key.pub.asc
    "$GANTRY" -q trust add --prefix example.com key.pub.asc
    acbuild begin
    acbuild set-name example.com/base
    acbuild label add version 1
    acbuild copy-to-dir bb/bin bb/tmp /
    mkdir -p tree/gone tree/folder tree/both
    for file in gone/a gone/b folder/old folder/more both/theirs owned secret; do echo base >tree/$file; done
    ln tree/folder/old tree/folder/same
    acbuild copy ./tree / --merge
    acbuild chown 33:44 /owned
    acbuild chown 7:7 /both
    acbuild chmod 0750 /owned
    acbuild chmod 0700 /both
    acbuild chmod 0 /secret
    acbuild write base.aci
    acbuild end
    "$GANTRY" -q sign base.aci --key key.asc
    "$GANTRY" -q fetch ./base.aci
    acbuild begin
    acbuild set-name example.com/app
    acbuild label add version 1
    acbuild dependency add --local base.aci
"#;

/// Shows the image, as it is rendered, in a line for each file; times are not in it.
const SHOW: &str = r#"
    acbuild write app.aci --overwrite >/dev/null
    "$GANTRY" -q sign app.aci --key key.asc --overwrite >/dev/null
    "$GANTRY" -q fetch ./app.aci >/dev/null
    rm -rf shown && "$GANTRY" -q image render example.com/app shown >/dev/null
    cd shown/rootfs && find . -mindepth 1 -not -path './bin/*' | sort | while read file; do
        if [ -d "$file" ]; then echo "$file/"; else echo "$file: $(cat "$file")"; fi
    done
"#;

fn with_base(user: User, test: impl FnOnce(&dyn Fn(&str) -> String)) {
    if !user.is_here() {
        return;
    }
    let sandbox: Sandbox = sandbox();
    if !super::busybox(&sandbox.path("bb")) {
        return;
    }
    user.own(&sandbox);
    user.run(&sandbox, ".", BASE).ok();
    test(&|line| user.run(&sandbox, ".", line).ok());
}

const USERS: [User; 3] = [User::Me, User::Ranges, User::Alone];

#[test]
fn what_was_removed_of_a_dependency_stays_removed() {
    for user in USERS {
        with_base(user, |line| {
            line(
                "acbuild remove /gone /folder/old && acbuild run -- /bin/sh -c '! test -e /gone && ! test -e /folder/old && test -e /folder/same'",
            );
            let shown = line(SHOW);
            assert!(!shown.contains("gone") && !shown.contains("folder/old"), "{user:?} {shown}");
            assert!(shown.contains("./folder/same: base"), "{user:?} {shown}");
            // Whoever removes it twice is told.
            line("acbuild remove /gone && exit 1 || test $? = 2");
        });
    }
}

#[test]
fn what_takes_the_place_of_a_dependencys_folder_hides_it() {
    for user in USERS {
        with_base(user, |line| {
            line(
                "acbuild run -- /bin/sh -c 'rm -r /folder /both && mkdir /folder && echo new >/folder/new && echo file >/both'",
            );
            line(
                "acbuild run -- /bin/sh -c 'test $(ls /folder) = new && test $(cat /both) = file'",
            );
            line(
                "acbuild remove /gone && mkdir gone && echo own >gone/own && acbuild copy gone /gone",
            );
            line("acbuild run -- /bin/sh -c 'test $(ls /gone) = own'");
            let shown = line(SHOW);
            let wanted = "./both: file\n./folder/\n./folder/new: new\n./gone/\n./gone/own: own\n";
            assert!(
                shown.contains("./bin/\n") && shown.replace("./bin/\n", "").starts_with(wanted),
                "{user:?} {shown}"
            );
        });
    }
}

#[test]
fn whitelist_of_an_image_names_what_is_put_into_it() {
    for user in USERS {
        with_base(user, |line| {
            line(
                "acbuild remove /gone && acbuild write listed.aci && acbuild end && acbuild begin ./listed.aci",
            );
            line(
                "echo new >new && acbuild copy new /folder/new && acbuild run -- /bin/sh -c '! test -e /gone && echo made >/folder/made'",
            );
            let shown = line(SHOW);
            for wanted in ["./folder/new: new", "./folder/made: made", "./folder/more: base"] {
                assert!(shown.contains(wanted), "{user:?} {wanted} {shown}");
            }
            assert!(!shown.contains("gone"), "{user:?} {shown}");
        });
    }
}

#[test]
fn names_of_one_file_are_kept_and_written_to_together() {
    for user in USERS {
        with_base(user, |line| {
            line("mkdir own && echo old >own/a && ln own/a own/b && acbuild copy own /own");
            line(
                "acbuild run -- /bin/sh -c 'echo new >/own/b && echo new >/folder/same && test $(cat /own/a) = new'",
            );
            let shown = line(SHOW);
            for wanted in
                ["./own/a: new", "./own/b: new", "./folder/old: new", "./folder/same: new"]
            {
                assert!(shown.contains(wanted), "{user:?} {wanted} {shown}");
            }
            // A command that changes nothing leaves nothing behind.
            line("acbuild run -- /bin/sh -c 'cat /folder/old /owned >/dev/null' && acbuild end");
            line(
                "acbuild begin && acbuild set-name example.com/app && acbuild dependency add --local base.aci",
            );
            line(
                "acbuild run -- /bin/sh -c 'cat /folder/old' && test -z \"$(ls -A .acbuild/currentaci/rootfs)\"",
            );
        });
    }
}

#[test]
fn owners_of_a_dependency_are_seen_and_kept() {
    for user in [User::Me, User::Ranges] {
        with_base(user, |line| {
            let seen = line(
                "acbuild run -- /bin/sh -c 'test $(busybox stat -c %u:%g:%a /owned) = 33:44:750 && busybox stat -c %u:%g:%a /both && echo more >>/owned'",
            );
            assert_eq!(seen, "7:7:700", "{user:?}");
            line("acbuild write app.aci >/dev/null");
            let owned = line("gzip -dc app.aci | tar --numeric-owner -tv | grep rootfs/owned");
            assert!(owned.starts_with("-rwxr-x--- 33/44"), "{user:?} {owned}");
        });
    }
}

#[test]
fn squash_makes_one_image_of_all() {
    let mut all = Vec::new();
    for user in USERS {
        with_base(user, |line| {
            line(
                "acbuild remove /gone /folder/old && mkdir own && echo own >own/mine && acbuild copy own /both",
            );
            let before = line(SHOW);
            let told = line("acbuild squash && acbuild cat-manifest");
            assert!(!told.contains("dependencies") && !told.contains("pathWhitelist"), "{told}");
            let after = line(&SHOW.replace("app.aci", "flat.aci"));
            assert_eq!(before, after, "{user:?}");
            // Whose the files are is what the images say, whoever builds.
            all.push(line("gzip -dc flat.aci | tar --numeric-owner -tv --full-time -P | grep -v -e /mine -e manifest | awk '{$4 = $5 = 0; print}'"));
            line("acbuild squash 2>&1 | grep 'depends on no other'");
            line("acbuild run -- /bin/sh -c '! test -e /gone && test $(cat /both/mine) = own'");
            line("\"$GANTRY\" validate flat.aci");
        });
    }
    all.windows(2).for_each(|pair| assert_eq!(pair[0], pair[1]));
}

/// A list that leaves out files of the image itself, and of what it depends on.
#[test]
fn squash_leaves_out_what_a_whitelist_does() {
    for user in USERS {
        with_base(user, |line| {
            line(
                "mkdir -p own/in && echo own >own/in/a && echo own >own/b && acbuild copy own /own",
            );
            line(
                "acbuild cat-manifest | sed 's#^{#{\"pathWhitelist\":[\"/own/b\",\"/folder/more\",\"/both\"],#' >listed.json
                acbuild replace-manifest listed.json",
            );
            let before = line(SHOW);
            assert_eq!(
                before, "./both/\n./folder/\n./folder/more: base\n./own/\n./own/b: own",
                "{user:?}"
            );
            line("acbuild squash");
            assert_eq!(line(&SHOW.replace("app.aci", "flat.aci")), before, "{user:?}");
        });
    }
}

/// Of two images, one has a folder of which something was removed, and the other a link in its place
/// that leads to a folder of the host.
#[test]
fn squash_follows_no_link_of_a_dependency() {
    for user in USERS {
        with_base(user, |line| {
            line("mkdir host && echo mine >host/old && echo mine >host/more");
            line(
                "mkdir other && cd other && acbuild begin && acbuild set-name example.com/other \
                && ln -s $(dirname $PWD)/host folder && acbuild copy folder /folder \
                && acbuild write ../other.aci && cd .. && \"$GANTRY\" -q sign other.aci --key key.asc \
                && \"$GANTRY\" -q fetch ./other.aci",
            );
            line(
                "acbuild dependency rm example.com/base && acbuild dependency add --local other.aci",
            );
            line(
                "acbuild dependency add --local base.aci && acbuild remove /folder/old && acbuild squash",
            );
            assert_eq!(line("cat host/old host/more"), "mine\nmine", "{user:?}");
            line("test -e .acbuild/currentaci/rootfs/folder/more");
            line("! test -e .acbuild/currentaci/rootfs/folder/old");
        });
    }
}

/// Two references may be the same image, which is there once.
#[test]
fn one_image_that_two_dependencies_mean_lies_below_once() {
    with_base(User::Me, |line| {
        line("acbuild dependency add --another example.com/base");
        let shown = line("acbuild run -- /bin/cat /owned");
        assert_eq!(shown, "base");
    });
}
