//! What recipes take from where they lie, and what they leave as it is.

use super::users::User;
use super::{Fails as _, busybox, run, sandbox};
use crate::support::Sandbox;

/// A recipe that begins with a folder in which a shell runs, and these lines below that.
fn recipe(sandbox: &Sandbox, file: &str, rest: &str) {
    let text = format!("name = \"example.com/x\"\n[base]\ndirectory = \"bb\"\n{rest}");
    sandbox.write(file, text);
}

/// A sandbox with a root file system in `bb`; none where there is none to be had.
fn with_shell() -> Option<Sandbox> {
    let sandbox = sandbox();
    busybox(&sandbox.path("bb")).then_some(sandbox)
}

/// What a step finds in its cache is in the image here.
const CACHED: &str = "[[step]]
shell = \"mkdir -p /var/ca/deep; chown 33:44 /var/ca/deep; echo l >>/var/ca/deep/log\"
cache = [\"/var/ca\"]
[[step]]
shell = \"cat /var/ca/deep/log >/log\"
cache = [\"/var/ca\"]
[[output]]
file = \"x.aci\"
";

/// Steps of one build have their cache in common, and one that keeps nothing has its own, of which
/// nothing stays.
#[test]
fn build_that_keeps_nothing_has_cache_folders_of_its_own() {
    for user in [User::Me, User::Ranges, User::Alone] {
        let Some(sandbox) = user.is_here().then(with_shell).flatten() else { continue };
        let steps = match user {
            // There is nobody else to whom a file could belong.
            User::Alone => CACHED.replace("chown 33:44", "echo"),
            _ => CACHED.to_owned(),
        };
        recipe(&sandbox, "r.toml", &steps);
        user.own(&sandbox);
        let script = "
            \"$GANTRY\" build recipe r.toml >/dev/null
            kept=cache/build/folders/%2Fvar%2Fca/deep/log
            test \"$(cat $kept)\" = l
            \"$GANTRY\" rebuild --check x.aci r.toml
            \"$GANTRY\" build recipe r.toml --no-cache >/dev/null
            \"$GANTRY\" rebuild --check x.aci r.toml
            test \"$(cat $kept)\" = l
            ls -A cache/build";
        let left = user.run(&sandbox, ".", script).ok();
        assert!(!left.lines().any(|name| name.starts_with('.')), "{user:?}: {left}");
    }
}

/// A cache folder is the same for commands whatever the umask, and what is kept is closed to others,
/// also where it was not.
#[test]
fn kept_folders_are_closed_to_others_and_show_no_umask() {
    let Some(sandbox) = with_shell() else { return };
    let steps = "[[step]]\nshell = \"stat -c %a /var/c > /mode\"\ncache = [\"/var/c\"]\n\
        [[output]]\nfile = \"x.aci\"\n";
    recipe(&sandbox, "r.toml", steps);
    let line = "mkdir -p cache/build; chmod 755 cache/build; export GANTRY_CACHE_DIR=$PWD/cache; \
        for mask in 022 077 000; do umask $mask; rm -rf cache/build/folders; \
        \"$GANTRY\" build recipe r.toml --no-cache; \"$GANTRY\" build recipe r.toml; done | sort -u | wc -l; \
        stat -c %a cache/build";
    assert_eq!(run(&sandbox, line).ok(), "1\n700");
}

/// What belongs to IDs of a user namespace in the cache folders of a build that was killed is removed
/// by the next one.
#[test]
fn cache_folders_of_a_killed_build_go_with_the_next_one() {
    let Some(sandbox) = User::Ranges.is_here().then(with_shell).flatten() else { return };
    let step =
        "[[step]]\ncache = [\"/ca\"]\nshell = \"mkdir /ca/d; echo >/ca/d/f; chown 33:44 /ca/d";
    recipe(&sandbox, "long.toml", &format!("{step}; echo >/ca/ready; sleep 60\"\n"));
    recipe(&sandbox, "r.toml", &format!("{step}\"\n"));
    User::Ranges.own(&sandbox);
    let script = "
        \"$GANTRY\" build recipe long.toml --no-cache >/dev/null 2>&1 & killed=$!
        until ls cache/build/.*/caches/*/ready >/dev/null 2>&1; do sleep 0.1; done
        kill -9 $killed; wait $killed || true
        for attempt in 1 2 3 4 5 6 7 8 9; do
            \"$GANTRY\" build recipe r.toml --no-cache >/dev/null 2>&1
            left=$(ls -A cache/build)
            case $left in *.gantry-stage*) sleep 0.3 ;; *) break ;; esac
        done
        echo \"$left\"";
    let told = User::Ranges.run(&sandbox, ".", script).ok();
    assert!(!told.contains(".gantry-stage"), "{told}");
}

/// Only a build's own outputs are written beside a recipe.
#[test]
fn recipe_in_a_folder_that_cannot_be_written_is_built_elsewhere() {
    for user in [User::Me, User::Alone] {
        let Some(sandbox) = user.is_here().then(with_shell).flatten() else { continue };
        recipe(&sandbox, "ro/r.toml", "[[step]]\nshell = \"echo >/made\"\n");
        std::fs::rename(sandbox.path("bb"), sandbox.path("ro/bb")).unwrap();
        user.own(&sandbox);
        let script = "
            chmod 555 ro; mkdir out
            \"$GANTRY\" build recipe ro/r.toml --no-cache --output-dir out
            \"$GANTRY\" rebuild --check out/*.aci ro/r.toml
            chmod 755 ro";
        user.run(&sandbox, ".", script).ok();
    }
}

/// The key of a recipe lies beside it, whatever lies where it is built from.
#[test]
fn key_of_a_recipe_lies_beside_it() {
    let sandbox = sandbox();
    let recipe = |key: &str| {
        format!("name = \"example.com/x\"\n[[output]]\nfile = \"x.aci\"\n[sign]\nkey = \"{key}\"\n")
    };
    sandbox.write("a/file.toml", recipe("k.asc"));
    sandbox.write("a/path.toml", recipe("../a/k.asc"));
    sandbox.write("a/name.toml", recipe("ci@example.com"));
    sandbox.write("a/absent.toml", recipe("other.asc"));
    let script = "
        make() {
            name=$1; shift
            \"$GANTRY\" key generate --user-id \"$name <$name@example.com>\" \"$@\" |
                sed -n 's/^fingerprint: //p' >$name
        }
        mkdir b
        make beside --secret a/k.asc --public k.pub
        make here --secret b/k.asc --public here.pub
        make ci
        # A file that is called like a key of the folder of keys is not that key.
        cp b/k.asc b/other.asc; cp b/k.asc b/ci@example.com
        cd b
        for key in file:beside path:beside name:ci; do
            \"$GANTRY\" --json build recipe ../a/${key%:*}.toml >told
            grep -q \"\\\"fingerprint\\\":\\\"$(cat ../${key#*:})\\\"\" told
        done";
    run(&sandbox, script).ok();
    let absent = run(&sandbox, "cd b && \"$GANTRY\" build recipe ../a/absent.toml").fails(1);
    assert!(absent.stderr.contains("no key other.asc"), "{absent:?}");
}

/// A link to a folder is followed inside the image: the folder gets what was meant for it. The root is
/// a folder as well.
#[test]
fn folder_of_a_step_is_found_through_a_link() {
    let sandbox = sandbox();
    sandbox.write("root/run/real/file", "");
    let script = "
        ln -s run/real root/ldir; ln -s / root/out; chmod 755 root/run/real
        cat >r.toml <<'END'
name = \"example.com/x\"
base = { directory = \"root\" }
[[step]]
directory = \"/ldir\"
mode = \"0700\"
owner = \"4:4\"
[[step]]
directory = \"/out/run\"
mode = \"0711\"
[[step]]
directory = \"/\"
mode = \"0750\"
[[output]]
file = \"x.aci\"
END
        \"$GANTRY\" build recipe r.toml >/dev/null
        tar -tvf x.aci --numeric-owner";
    let list = run(&sandbox, script).ok();
    let line = |name: &str| {
        list.lines().find(|line| line.contains(&format!(" rootfs/{name}"))).unwrap().to_owned()
    };
    assert!(line("ldir").starts_with("lrwxrwxrwx 0/0"), "{list}");
    assert!(line("run/real").starts_with("drwx------ 4/4"), "{list}");
    assert!(line("run").starts_with("drwx--x--x 0/0"), "{list}");
    assert!(list.contains("\ndrwxr-x--- 0/0"), "the root: {list}");
}

/// A recipe that copies the folder it lies in does not copy what the last build has written there.
#[test]
fn files_that_a_recipe_writes_are_not_copied() {
    let sandbox = sandbox();
    let text = "name = \"example.com/x\"\nversion = \"1\"\nbase = { directory = \".\" }\n
[[step]]\ncopy = \".\"\nto = \"/all\"
[[step]]\ncopy = \"out\"\nto = \"/out\"
[[output]]\nfile = \"a[1].aci\"
[[output]]\nfile = \"link/b.aci\"\n[[output]]\n";
    sandbox.write("r/r.toml", text);
    sandbox.write("r/out/kept.aci", "");
    let script = "
        ln -s out r/link
        \"$GANTRY\" -q key generate --user-id 'CI <ci@example.com>' --secret key.asc --public key.pub
        build() { \"$GANTRY\" build recipe r/r.toml --lock --sign key.asc --sbom --provenance; }
        first=$(build)
        test -e r/r.lock && test -e 'r/a[1].aci.asc' && test -e r/out/b.aci.intoto.json.asc
        test \"$(build)\" = \"$first\"
        \"$GANTRY\" rebuild --check 'r/a[1].aci' r/r.toml
        tar -tf r/out/b.aci | sort";
    let list = run(&sandbox, script).ok();
    let files: Vec<_> = list.lines().filter_map(|line| line.strip_prefix("rootfs/all/")).collect();
    assert_eq!(files, ["link", "out", "out/kept.aci", "r.toml"]);
    assert_eq!(list.lines().filter(|line| line.ends_with(".aci")).count(), 2, "{list}");
}

#[test]
fn lock_of_another_size_or_of_nothing_is_refused() {
    let sandbox = sandbox();
    sandbox.write(
        "r.toml",
        "name = \"example.com/x\"\n[base]\nimage = \"example.com/base\"\n[[output]]\nfile = \"x.aci\"\n",
    );
    let script = "
        \"$GANTRY\" -q key generate --user-id 'CI <ci@example.com>' --secret key.asc --public key.pub
        \"$GANTRY\" -q trust add --prefix example.com key.pub
        acbuild begin; acbuild set-name example.com/base; acbuild write base.aci --sign key.asc
        \"$GANTRY\" -q fetch ./base.aci
        \"$GANTRY\" build recipe r.toml --lock
        \"$GANTRY\" build recipe r.toml
        sed -i 's/^size = .*/size = 5/' r.lock";
    run(&sandbox, script).ok();
    let other = run(&sandbox, "\"$GANTRY\" build recipe r.toml").fails(5);
    assert!(other.stderr.contains("5 bytes was wanted"), "{other:?}");
    run(&sandbox, "ln -sf nowhere r.lock; \"$GANTRY\" build recipe r.toml").fails(4);
}

#[test]
fn base_that_is_no_folder_or_not_there_is_refused() {
    let sandbox = sandbox();
    sandbox.write("file", "");
    for (base, code) in [
        ("directory = \"file\"", 1),
        ("directory = \"absent\"", 4),
        ("aci = \"absent\"", 4),
        ("tar = \"absent\"", 4),
    ] {
        sandbox.write("r.toml", format!("name = \"example.com/x\"\n[base]\n{base}\n"));
        run(&sandbox, "\"$GANTRY\" build recipe r.toml").fails(code);
    }
}

/// A link is copied as what it is, and where it leads to is no matter.
#[test]
fn link_that_is_copied_is_another_one_when_it_leads_elsewhere() {
    let Some(sandbox) = with_shell() else { return };
    let steps = "[[step]]\ncopy = \"link\"\nto = \"/link\"\n[[step]]\nshell = \"echo >/made\"\n\
        [[output]]\nfile = \"x.aci\"\n";
    recipe(&sandbox, "r.toml", steps);
    let script = "
        mkdir one two
        for to in one two nowhere; do
            ln -sfn $to link
            \"$GANTRY\" build recipe r.toml >/dev/null
            tar -tvf x.aci rootfs/link
        done";
    let list = run(&sandbox, script).ok();
    for to in ["one", "two", "nowhere"] {
        assert!(list.contains(&format!("link -> {to}")), "{list}");
    }
}

/// A time that no document could have is refused before anything is done, wherever it is read.
#[test]
fn source_date_epoch_outside_of_four_digit_years_is_refused() {
    let sandbox = sandbox();
    sandbox.write("root/file", "");
    sandbox.write("r.toml", "name = \"example.com/x\"\n[[output]]\nfile = \"x.aci\"\n");
    run(&sandbox, "acbuild begin && acbuild set-name example.com/x").ok();
    for epoch in ["-5", "99999999999999", "1.5", "x"] {
        for line in [
            "\"$GANTRY\" build recipe r.toml",
            "\"$GANTRY\" rebuild --check x.aci r.toml",
            "\"$GANTRY\" build write x.aci",
            "\"$GANTRY\" pack root -o x.aci --name example.com/x",
        ] {
            let ended =
                run(&sandbox, &format!("export SOURCE_DATE_EPOCH={epoch}\n{line}")).fails(3);
            assert!(ended.stderr.contains(epoch), "{ended:?}");
            assert!(!sandbox.path("x.aci").exists(), "{line}");
        }
    }
}

/// A variable of a step counts before all others of its name.
#[test]
fn variable_of_a_step_takes_the_place_of_the_epoch() {
    let Some(sandbox) = with_shell() else { return };
    let steps = "[app]\nenvironment = { SOURCE_DATE_EPOCH = \"5\" }
[[step]]\nshell = \"test $SOURCE_DATE_EPOCH = 7\"
[[step]]\nshell = \"test $SOURCE_DATE_EPOCH = 9\"\nenvironment = { SOURCE_DATE_EPOCH = \"9\" }\n";
    recipe(&sandbox, "r.toml", steps);
    run(&sandbox, "SOURCE_DATE_EPOCH=7 \"$GANTRY\" build recipe r.toml --no-cache").ok();
}

#[test]
fn secret_that_is_no_file_is_refused() {
    let Some(sandbox) = with_shell() else { return };
    let step = "[[step]]\nshell = \"ls /run/secrets/t\"\nsecret = [{ id = \"t\" }]\n";
    recipe(&sandbox, "r.toml", step);
    for name in ["bb", "absent"] {
        let line = format!("\"$GANTRY\" build recipe r.toml --secret t={name}");
        let ended = run(&sandbox, &line).fails(1);
        assert!(ended.stderr.contains("is no file"), "{ended:?}");
    }
}

#[test]
fn socket_that_is_copied_is_left_out_by_a_pattern() {
    let sandbox = sandbox();
    sandbox.write("site/file", "");
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.path("site/s")).unwrap();
    let text = "name = \"example.com/x\"\n[[step]]\ncopy = \"site\"\nto = \"/s\"\n";
    sandbox.write("r.toml", text);
    let ended = run(&sandbox, "\"$GANTRY\" build recipe r.toml").fails(1);
    assert!(ended.stderr.contains("an ignore pattern"), "{ended:?}");
    sandbox.write("r.toml", format!("{text}ignore = [\"s\"]\n"));
    run(&sandbox, "\"$GANTRY\" build recipe r.toml").ok();
}

/// The image that was built to compare is gone when somebody reads of it.
#[test]
fn rebuild_tells_files_that_are_there() {
    let sandbox = sandbox();
    sandbox.write("r.toml", "name = \"example.com/x\"\n[[output]]\nfile = \"x.aci\"\n");
    let script = "
        \"$GANTRY\" build recipe r.toml >/dev/null
        echo 'annotations = { a = \"b\" }' | cat - r.toml >other.toml
        \"$GANTRY\" --json rebuild --check x.aci other.toml";
    let told = run(&sandbox, script).fails(1);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((&told["a"]["file"], &told["b"]["file"]), (&"x.aci".into(), &"other.toml".into()));
}
