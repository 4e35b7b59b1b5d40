//! The examples: their scripts and the recipe build on a real Debian, and their images run.
//!
//! It takes root, debootstrap and Debian's mirror; where one is missing, that is told on stderr.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

#[path = "examples/recipe.rs"]
mod recipe;
#[path = "examples/scripts.rs"]
mod scripts;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use support::{Ended, GANTRY, Sandbox, tool};

/// A file of the mirror that is small, and there as long as the release is.
const MIRROR: &str = "http://deb.debian.org/debian/dists/bookworm/Release.gpg";

/// A copy of `examples/`, in which the base has been made. It is gone when nobody has it any more.
struct Examples {
    sandbox: Sandbox,
}

impl Examples {
    /// The copy that all tests share; nothing, and told, where there cannot be one.
    fn get(tools: &[&str]) -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Examples>> = Mutex::new(Weak::new());
        if let Some(reason) = missing(tools) {
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            let _ = writeln!(std::io::stderr(), "not run: {test}: {reason}");
            return None;
        }
        // Of a base that could not be made, each test says so itself.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(examples) = shared.upgrade() {
            return Some(examples);
        }
        let examples = Arc::new(Self::make());
        *shared = Arc::downgrade(&examples);
        Some(examples)
    }

    /// Does what `examples/README.md` says.
    fn make() -> Self {
        let sandbox = Sandbox::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let mut copy = sandbox.command("cp");
        Ended::of(copy.args(["-r"]).arg(source).arg("examples").output().unwrap()).ok();
        sandbox.shell("PATH=$PATH:/usr/sbin:/sbin examples/base.sh").ok();
        fs::create_dir(sandbox.path("bin")).unwrap();
        symlink(GANTRY, sandbox.path("bin/acbuild")).unwrap();
        Self { sandbox }
    }

    /// A file or a folder of it.
    fn path(&self, below: &str) -> PathBuf {
        self.sandbox.path("examples").join(below)
    }
}

/// Why these tests cannot be run here; nothing where they can.
fn missing(tools: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can make the base, and become another user".to_owned());
    }
    if let Some(name) = ["debootstrap", "curl"].iter().chain(tools).find(|name| !tool(name)) {
        return Some(format!("{name} is not installed; scripts/setup.sh test installs it"));
    }
    let mut curl = Sandbox::new().command("curl");
    curl.current_dir("/").args(["--silent", "--show-error", "--fail", "--head"]);
    let asked = Ended::of(curl.args(["--max-time", "10", MIRROR]).output().unwrap());
    (asked.code != 0).then(|| format!("{MIRROR} cannot be reached: {}", asked.stderr.trim()))
}
