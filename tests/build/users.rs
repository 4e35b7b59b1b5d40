//! Who builds: whoever runs the tests, or a user who is not root.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Ended, GANTRY, Sandbox, tool};

/// The user nobody.
const ID: u32 = 65534;

/// Who builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Whoever runs the tests: root, most of the time.
    Me,
    /// A user without subordinate IDs.
    Alone,
    /// A user with 65536 subordinate IDs from 100000 on.
    Ranges,
}

impl User {
    /// Whether there can be this user here; says so where not.
    pub(crate) fn is_here(self) -> bool {
        let is = match self {
            Self::Me => return true,
            Self::Alone => may_make_namespaces(),
            Self::Ranges => {
                may_make_namespaces()
                    && tool("newuidmap")
                    && ["/etc/subuid", "/etc/subgid"].iter().all(|file| Path::new(file).exists())
            }
        };
        if !is {
            println!("skipped: {self:?} takes root, setpriv, unshare and namespaces for users");
        }
        is
    }

    /// Makes a sandbox this user's, where links to gantry come first in PATH.
    pub(crate) fn own(self, sandbox: &Sandbox) {
        let program = sandbox.path("gantry");
        // The binary may lie where other users cannot reach it.
        if std::fs::hard_link(GANTRY, &program).is_err() {
            std::fs::copy(GANTRY, &program).unwrap();
        }
        std::fs::create_dir_all(sandbox.path("bin")).unwrap();
        for name in ["acbuild", "acbuild-script"] {
            let _ = std::fs::remove_file(sandbox.path("bin").join(name));
            symlink("../gantry", sandbox.path("bin").join(name)).unwrap();
        }
        std::fs::write(sandbox.path("ranges"), format!("{ID}:100000:65536\n")).unwrap();
        self.take(sandbox);
    }

    /// Gives everything in a sandbox to this user; the program stays what it is.
    pub(crate) fn take(self, sandbox: &Sandbox) {
        if self != Self::Me {
            let but_the_program = "find . -path ./gantry -prune -o -exec chown -h";
            sandbox.shell(&format!("chmod 755 . && {but_the_program} {ID}:{ID} {{}} +")).ok();
        }
    }

    /// A line for the shell of this user, in a folder of the sandbox.
    pub(crate) fn line(self, sandbox: &Sandbox, folder: &str, line: &str) -> Command {
        let become_user = format!("setpriv --reuid={ID} --regid={ID} --clear-groups");
        let mut command = match self {
            Self::Me => sandbox.command("/bin/sh"),
            Self::Alone => {
                let mut command = sandbox.command("setpriv");
                command.args(become_user.split(' ').skip(1)).arg("/bin/sh");
                command
            }
            Self::Ranges => {
                let ranges = sandbox.path("ranges");
                let mut command = sandbox.command("unshare");
                command.args(["--mount", "--propagation", "private", "/bin/sh", "-ec"]).arg(
                    format!(
                        "mount --bind {0} /etc/subuid; mount --bind {0} /etc/subgid; \
                     exec {become_user} /bin/sh \"$@\"",
                        ranges.display()
                    ),
                );
                command.arg("sh");
                command
            }
        };
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .args(["-ec", line])
            .current_dir(sandbox.path(folder))
            .env("PATH", format!("{}:{path}", sandbox.path("bin").display()))
            .env("GANTRY_RETRIES", "0")
            .env("GANTRY", sandbox.path("gantry"));
        command
    }

    /// Runs a line to its end.
    pub(crate) fn run(self, sandbox: &Sandbox, folder: &str, line: &str) -> Ended {
        Ended::of(self.line(sandbox, folder, line).output().unwrap())
    }
}

fn may_make_namespaces() -> bool {
    rustix::process::geteuid().is_root()
        && tool("setpriv")
        && tool("unshare")
        && Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-U", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
}
