//! Recipes: the same bytes, what is kept, lock files, tests, and building again to compare.

use std::fs;
use std::process::Command;

use super::{Fails as _, busybox, run, sandbox};
use crate::support::{GANTRY, Sandbox};
use crate::users::User;

const RECIPE: &str = r#"
name = "example.com/web"
version = "1.0.0"
epoch = 1700000000

[base]
tar = "base.tar"

[[step]]
shell = "echo said by a step; echo made > /made; chmod 4755 /bin/busybox; mkdir /d; echo x > /d/x; test $LANG = C.UTF-8"

[[step]]
copy = "site"
to = "/srv/www"
mode = "0644"
directory-mode = "0755"

[[step]]
change = ["/made"]
mode = "0600"

[[step]]
remove = ["/d"]

[[step]]
file = "/etc/motd"
content = "hello\n"

[[step]]
link = "/latest"
target = "/srv/www"

[app]
exec = ["/bin/cat", "/srv/www/index.html"]
environment = { LANG = "C.UTF-8" }

[[output]]
file = "web.aci"

[[test]]
shell = "test $(cat /made) = made && test ! -e /d && cat /latest/index.html"

[[test]]
shell = "exit 3"
exit = 3
"#;

/// The recipe and its files, in a folder of this sandbox; `false` where nothing can be run.
fn prepare(sandbox: &Sandbox, folder: &str) -> bool {
    if !busybox(&sandbox.path("bb")) {
        return false;
    }
    sandbox.write(&format!("{folder}/web.toml"), RECIPE);
    sandbox.write(&format!("{folder}/site/index.html"), "hello");
    let line = format!(
        "tar -cf {folder}/base.tar --sort=name --owner=0 --group=0 --mtime=@1600000000 -C bb ."
    );
    sandbox.shell(&line).ok();
    true
}

#[test]
fn recipe_gives_the_same_bytes_anywhere_and_does_only_what_has_changed() {
    let sandbox = sandbox();
    if !prepare(&sandbox, "a") {
        return;
    }
    let first = run(&sandbox, "\"$GANTRY\" build recipe a/web.toml --no-cache");
    assert!(first.stderr.contains("step 1 of 6"), "{first:?}");
    // Standard output is the image ID's alone.
    assert!(first.stderr.contains("said by a step"), "{first:?}");
    assert!(first.stdout.starts_with("sha512-") && first.stdout.lines().count() == 1, "{first:?}");
    let first = first.ok();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    run(&sandbox, "mkdir b && cp -r a/web.toml a/site a/base.tar b/ && touch b/site/index.html")
        .ok();
    let second = run(&sandbox, "umask 077; \"$GANTRY\" build recipe b/web.toml --no-cache").ok();
    assert_eq!(first, second);
    run(&sandbox, "cmp a/web.aci b/web.aci").ok();
    run(&sandbox, "\"$GANTRY\" rebuild --check a/web.aci a/web.toml").ok();
    // Another file: what the image has before it is not made again, and the image is another one.
    sandbox.write("a/site/index.html", "changed");
    let told = run(&sandbox, "\"$GANTRY\" rebuild --check a/web.aci a/web.toml");
    assert!(told.code == 1 && told.stdout.contains("rootfs/srv/www/index.html"), "{told:?}");
}

#[test]
fn recipe_keeps_what_commands_have_made() {
    let sandbox = sandbox();
    if !prepare(&sandbox, "a") {
        return;
    }
    let build = |sandbox: &Sandbox| run(sandbox, "\"$GANTRY\" build recipe a/web.toml");
    let first = build(&sandbox);
    assert!(first.stderr.contains("beginning with"), "{first:?}");
    sandbox.write("a/site/index.html", "changed");
    let second = build(&sandbox);
    assert!(second.stderr.contains("kept from an earlier build: 1 of 6 steps"), "{second:?}");
    // The mode that a step gives a kept file is not given to the one that was kept.
    let third = build(&sandbox);
    assert_eq!(second.ok(), third.ok());
    run(&sandbox, "\"$GANTRY\" rebuild --check a/web.aci a/web.toml").ok();
}

/// Two steps copy one folder, and the later one leaves out what the earlier one takes.
#[test]
fn recipe_does_a_step_again_for_a_file_that_a_later_one_leaves_out() {
    let sandbox = sandbox();
    if !prepare(&sandbox, "a") {
        return;
    }
    let steps = "[[step]]\ncopy = \"site\"\nto = \"/one\"\n\n[[step]]\nrun = [\"/bin/true\"]\n\n\
        [[step]]\ncopy = \"site\"\nto = \"/two\"\nignore = [\"*.html\"]\n";
    let steps = steps.replace("/bin/true", "/bin/busybox\", \"true");
    let text = format!(
        "name = \"example.com/web\"\n[base]\ntar = \"base.tar\"\n\n{steps}\n[[output]]\nfile = \"web.aci\"\n"
    );
    sandbox.write("a/web.toml", text);
    run(&sandbox, "\"$GANTRY\" build recipe a/web.toml").ok();
    sandbox.write("a/site/index.html", "changed");
    run(&sandbox, "\"$GANTRY\" build recipe a/web.toml").ok();
    run(&sandbox, "\"$GANTRY\" rebuild --check a/web.aci a/web.toml").ok();
}

#[test]
fn recipe_with_a_lock_file_takes_nothing_else() {
    let sandbox = sandbox();
    if !prepare(&sandbox, "a") {
        return;
    }
    run(&sandbox, "\"$GANTRY\" build recipe a/web.toml --lock --no-cache").ok();
    let lock = fs::read_to_string(sandbox.path("a/web.lock")).unwrap();
    assert!(lock.contains("file = \"base.tar\"") && lock.contains("sha512-"), "{lock}");
    run(&sandbox, "\"$GANTRY\" build recipe a/web.toml --no-cache").ok();
    run(&sandbox, "echo x > bb/more && tar -cf a/base.tar -C bb .").ok();
    let ended = run(&sandbox, "\"$GANTRY\" build recipe a/web.toml --no-cache").fails(5);
    assert!(ended.stderr.contains("is not what was locked"), "{ended:?}");
    run(&sandbox, "\"$GANTRY\" build recipe a/web.toml --lock --no-cache").ok();
}

#[test]
fn recipe_that_fails_writes_nothing() {
    let sandbox = sandbox();
    if !prepare(&sandbox, "a") {
        return;
    }
    for (wrong, code) in [
        (RECIPE.replace("echo made", "exit 4; echo made"), 1),
        (RECIPE.replace("exit = 3", "exit = 0"), 1),
        (RECIPE.replace("change = [\"/made\"]", "change = [\"/absent\"]"), 1),
        (RECIPE.replace("[app]", "[ap]"), 3),
        (RECIPE.replace("tar = \"base.tar\"", "tar = \"absent.tar\""), 4),
    ] {
        sandbox.write("a/web.toml", wrong);
        run(&sandbox, "\"$GANTRY\" build recipe a/web.toml --no-cache").fails(code);
        assert!(!sandbox.path("a/web.aci").exists());
    }
    let left: Vec<_> =
        fs::read_dir(sandbox.path("a")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn recipe_gives_root_and_others_the_same_image() {
    let sandbox = sandbox();
    if !rustix::process::geteuid().is_root() || !prepare(&sandbox, "a") {
        println!("skipped: only root can become another user");
        return;
    }
    run(&sandbox, "\"$GANTRY\" build recipe a/web.toml --no-cache && cp a/web.aci root.aci").ok();
    fs::copy(GANTRY, sandbox.path("gantry")).unwrap();
    run(&sandbox, "chmod 755 . && chown -R 65534:65534 a && chmod 755 gantry").ok();
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "../gantry",
        "build",
        "recipe",
        "web.toml",
        "--no-cache",
    ]);
    command
        .current_dir(sandbox.path("a"))
        .env("HOME", sandbox.path("a"))
        .env("GANTRY_STORE", sandbox.path("a/store"))
        .env("GANTRY_CACHE_DIR", sandbox.path("a/cache"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    run(&sandbox, "cmp root.aci a/web.aci").ok();
}

/// What tells of the clock is no input of a command, and what is kept is for nobody else.
#[test]
fn recipe_shows_its_commands_no_time_and_keeps_for_its_user_alone() {
    for user in [User::Me, User::Alone, User::Ranges] {
        let sandbox = Sandbox::new();
        if !user.is_here() || !prepare(&sandbox, "a") {
            continue;
        }
        let recipe = "name = \"example.com/a\"\nepoch = 1700000000\n[base]\ntar = \"base.tar\"\n\
            [[step]]\nshell = \"mkdir /d; echo x > /d/x; echo x > /x; ln -s x /link; rm /etc/old\"\n\
            [[step]]\nshell = \"all=$(stat -c '%n %Y' / /etc /d /d/x /x /link); echo \\\"$all\\\" > /times\"\n\
            [[output]]\nfile = \"a.aci\"\n";
        sandbox.write("a/a.toml", recipe);
        sandbox.write("bb/etc/old", "x");
        sandbox.shell("tar -cf a/base.tar --owner=0 --group=0 --mtime=@1600000000 -C bb .").ok();
        user.own(&sandbox);
        let line = "export GANTRY_CACHE_DIR=$PWD/cache; umask 022; \
            \"$GANTRY\" build recipe a.toml && tar -xOf a.aci rootfs/times && stat -c %a cache/build";
        let told = user.run(&sandbox, "a", line).ok();
        let expected = "/ /etc /d /d/x /x /link".replace(' ', " 1700000000\n");
        assert!(told.ends_with(&format!("{expected} 1700000000\n700")), "{user:?}: {told}");
    }
}

/// Kept pieces make a build faster, and never another one: not where a disk has changed them, and not
/// where a file was changed and given its old time.
#[test]
fn recipe_takes_nothing_kept_that_is_not_what_it_was() {
    let sandbox = sandbox();
    if !prepare(&sandbox, "a") {
        return;
    }
    // Of what was changed within the last two seconds, nothing is kept.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let script = "
        export GANTRY_CACHE_DIR=$PWD/cache
        build() { \"$GANTRY\" build recipe a/web.toml \"$@\" 2>log && cp a/web.aci $id.aci; }
        id=plain; build --no-cache
        id=kept; build; cmp plain.aci kept.aci
        id=again; build; cmp plain.aci again.aci
        test $(find cache/build/blocks -type f | wc -l) -ge 2
        test $(find cache/build/digests -type f | wc -l) = 1
        for file in $(find cache/build/blocks -type f); do
            printf 'xx' | dd of=$file bs=1 seek=100 conv=notrunc status=none
        done
        id=spoilt; build; cmp plain.aci spoilt.aci
        for file in $(find cache/build/blocks -type f); do truncate -s 10 $file; done
        id=cut; build; cmp plain.aci cut.aci
        # The same size and time, and other bytes.
        mkdir other && tar -xf a/base.tar -C other && echo other >other/tmp/new
        touch -r a/base.tar stamp; size=$(stat -c %s a/base.tar)
        tar -cf new.tar --sort=name --owner=0 --group=0 --mtime=@1600000000 -C other .
        truncate -s $size new.tar && cat new.tar >a/base.tar && touch -r stamp a/base.tar
        id=changed; build; cmp -s plain.aci changed.aci && exit 9
        test $(find cache/build/digests -type f | wc -l) -ge 1
        # What nobody has used for long goes.
        find cache/build/steps cache/build/blocks cache/build/digests -mindepth 1 -maxdepth 2 \\
            -exec touch -d '40 days ago' {} +
        id=later; build --no-cache; cmp changed.aci later.aci
        test -z \"$(find cache/build/steps cache/build/digests -mindepth 1 -maxdepth 1)\"";
    run(&sandbox, &format!("set -ex\n{script}")).ok();
}

/// Labels of one output are no other's, and what the steps leave is what each begins with.
#[test]
fn output_has_its_own_labels_and_no_other_ones() {
    let sandbox = sandbox();
    let outputs = "
[[output]]
file = \"one.aci\"
labels = { variant = \"a\" }

[[output]]
file = \"two.aci\"
labels = { other = \"b\" }

[[output]]
file = \"three.aci\"
platform = \"none\"
";
    sandbox.write("r.toml", format!("name = \"example.com/x\"\n{outputs}"));
    run(&sandbox, "\"$GANTRY\" build recipe r.toml --no-cache").ok();
    let names = |file: &str| {
        let shown = run(&sandbox, &format!("acbuild --modify {file} cat-manifest")).ok();
        let manifest: serde_json::Value = serde_json::from_str(&shown).unwrap();
        let labels = manifest["labels"].as_array().cloned().unwrap_or_default();
        labels.iter().map(|label| label["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("one.aci"), ["arch", "os", "variant"]);
    assert_eq!(names("two.aci"), ["arch", "os", "other"]);
    assert_eq!(names("three.aci"), [""; 0]);
}
