//! `gantry build`: what acbuild's commands do, and each of its faults as a test that it is not here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "what was tried, and what could not be, is told")]

mod support;

#[path = "build/dependencies.rs"]
mod dependencies;
#[path = "build/faults/mod.rs"]
mod faults;
#[path = "build/kill.rs"]
mod kill;
#[path = "build/outputs.rs"]
mod outputs;
#[path = "build/recipe_inputs.rs"]
mod recipe_inputs;
#[path = "build/recipes.rs"]
mod recipes;
#[path = "build/reference/mod.rs"]
mod reference;
#[path = "build/refused.rs"]
mod refused;
#[path = "build/scripts.rs"]
mod scripts;
#[path = "build/users.rs"]
mod users;

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use support::{Ended, GANTRY, Sandbox};

/// A sandbox with links to gantry named acbuild and acbuild-script, which come first in PATH.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("bin")).unwrap();
    for name in ["acbuild", "acbuild-script"] {
        symlink(GANTRY, sandbox.path("bin").join(name)).unwrap();
    }
    sandbox
}

trait Fails {
    /// This exit code.
    fn fails(self, code: i32) -> Self;
}

impl Fails for Ended {
    #[track_caller]
    fn fails(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// Says something that is shown also where the test passes.
fn tell(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A line for the shell, in which `acbuild` is ours.
fn run(sandbox: &Sandbox, line: &str) -> Ended {
    sandbox.shell(&format!("PATH=\"$PWD/bin:$PATH\"\n{line}"))
}

fn manifest(sandbox: &Sandbox) -> Value {
    serde_json::from_str(&run(sandbox, "acbuild cat-manifest").ok()).unwrap()
}

/// The files of the build.
fn rootfs(sandbox: &Sandbox) -> std::path::PathBuf {
    sandbox.path(".acbuild/currentaci/rootfs")
}

/// A root file system in which a shell runs; `false`, and told, where there is none to be had.
fn busybox(folder: &Path) -> bool {
    let program = Path::new("/bin/busybox");
    let is_static =
        std::fs::read(program).is_ok_and(|bytes| !bytes.windows(10).any(|w| w == b"/ld-linux-"));
    if !is_static {
        println!("skipped: busybox-static is not installed");
        return false;
    }
    std::fs::create_dir_all(folder.join("bin")).unwrap();
    std::fs::create_dir_all(folder.join("tmp")).unwrap();
    std::fs::copy(program, folder.join("bin/busybox")).unwrap();
    for applet in [
        "sh", "cat", "echo", "id", "chown", "chmod", "mkdir", "rm", "ls", "env", "printf", "test",
        "ln", "sleep",
    ] {
        symlink("busybox", folder.join("bin").join(applet)).unwrap();
    }
    true
}
