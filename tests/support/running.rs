//! A `gantry` that runs beside the test.

use std::ffi::OsStr;
use std::process::{Child, Stdio};

use super::{Ended, GANTRY, Sandbox};

/// A running command. Killed when dropped, also by a panic.
pub struct Running(Option<Child>);

impl Running {
    /// Starts `gantry` with these arguments.
    pub fn start<S: AsRef<OsStr>>(sandbox: &Sandbox, args: impl IntoIterator<Item = S>) -> Self {
        let mut command = sandbox.command(GANTRY);
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().unwrap()))
    }

    pub fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        Ended::of(self.0.take().unwrap().wait_with_output().unwrap())
    }

    /// `kill -9`, and the process is gone when this returns.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
