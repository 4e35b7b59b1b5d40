//! The recipe: an ordinary user builds it in two folders at two times, and changes one file.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Examples;
use crate::support::user::User;
use crate::support::{Ended, GANTRY, Sandbox};

const RECIPE: &str = "nginx/nginx.toml";
const IMAGE: &str = "nginx/nginx-1.22-linux-amd64.aci";
const PAGE: &str = "rootfs/var/www/html/index.html";

/// A folder of the user's with the recipe, and a cache of its own.
struct Folder<'a> {
    user: &'a User,
    path: PathBuf,
}

#[test]
fn recipe_gives_a_user_the_same_bytes_anywhere_and_does_only_what_has_changed() {
    let tools = ["useradd", "userdel", "newuidmap", "newgidmap", "setpriv"];
    let Some(examples) = Examples::get(&tools) else { return };
    let sandbox = Sandbox::new();
    let user = User::new(&sandbox);
    assert!(user.has_subordinate_ids(), "useradd gives none here: see SUB_UID_COUNT in login.defs");
    // The binary may lie where other users cannot reach it.
    fs::copy(GANTRY, user.home().join("gantry")).unwrap();

    let one = Folder::new(&examples, &user, "one");
    let two = Folder::new(&examples, &user, "a b/deeper/two");
    // As from another checkout, years ago, by somebody with other habits.
    let touch = "touch -d 2020-01-01 \"$1\" \"$1\"/*";
    user.sh(touch, &[&two.path.join("nginx")]).ok();
    let told = one.gantry("umask 022", &["build", "recipe", RECIPE]);
    assert!(!told.stderr.contains("no subordinate IDs"), "{told:?}");
    told.ok();
    two.gantry("umask 077", &["build", "recipe", RECIPE]).ok();
    user.sh("cmp \"$1\" \"$2\"", &[&one.path.join(IMAGE), &two.path.join(IMAGE)]).ok();

    let told = two.gantry(":", &["rebuild", "--check", IMAGE, RECIPE]).ok();
    assert!(told.ends_with(": the same"), "{told}");

    // Another page: the packages stay as they are, and nothing but the page is another one.
    fs::rename(one.path.join(IMAGE), one.path.join("old.aci")).unwrap();
    fs::write(one.path.join("nginx/index.html"), "<h1>Changed</h1>\n").unwrap();
    let told = one.gantry(":", &["build", "recipe", RECIPE]);
    assert!(told.stderr.contains("kept from an earlier build: 1 of 3 steps"), "{told:?}");
    told.ok();
    let told = one.gantry(":", &["--json", "diff", "old.aci", IMAGE]);
    assert_eq!(told.code, 1, "{told:?}");
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["manifest"], Value::Array(Vec::new()));
    let paths: Vec<_> = told["tree"].as_array().unwrap().iter().map(|it| &it["path"]).collect();
    assert_eq!(paths, [PAGE]);

    // The old image is not what the recipe makes now, and the new one is.
    let told = one.gantry(":", &["rebuild", "--check", "old.aci", RECIPE]);
    assert_eq!(told.code, 1, "{told:?}");
    let differs: Vec<_> = told.stdout.lines().filter(|line| line.contains("rootfs/")).collect();
    assert!(differs.len() == 1 && differs[0].contains(PAGE), "{differs:?}");
}

impl<'a> Folder<'a> {
    /// A copy of what the recipe needs, which belongs to the user.
    fn new(examples: &Examples, user: &'a User, name: &str) -> Self {
        let path = user.home().join(name);
        fs::create_dir_all(path.join("nginx")).unwrap();
        for file in ["base.tar", RECIPE, "nginx/index.html"] {
            fs::copy(examples.path(file), path.join(file)).unwrap();
        }
        user.give(user.home());
        Self { user, path }
    }

    /// Runs gantry in it, after a line of shell.
    fn gantry(&self, first: &str, arguments: &[&str]) -> Ended {
        let line = format!("{first}; exec \"$HOME/gantry\" \"$@\"");
        let mut command = self.user.command(Path::new("/bin/sh"));
        command.args(["-ec", &line, "sh"]).args(arguments);
        command.current_dir(&self.path).env("GANTRY_CACHE_DIR", self.path.join("cache"));
        Ended::of(command.output().unwrap())
    }
}

impl User {
    /// Runs a line of shell with these paths as its arguments.
    fn sh(&self, line: &str, paths: &[&Path]) -> Ended {
        let mut command = self.command(Path::new("/bin/sh"));
        Ended::of(command.args(["-ec", line, "sh"]).args(paths).output().unwrap())
    }
}
