//! A command that runs beside the test.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

use super::{Ended, GANTRY, Sandbox};

/// A running command. Killed when dropped, also by a panic.
pub struct Running(Option<Child>);

impl Running {
    /// Starts `gantry` with these arguments.
    pub fn start<S: AsRef<OsStr>>(sandbox: &Sandbox, args: impl IntoIterator<Item = S>) -> Self {
        let mut command = sandbox.command(GANTRY);
        command.args(args);
        Self::of(command)
    }

    /// Starts another command.
    pub fn of(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().unwrap()))
    }

    pub fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// The first line of its stdout; what follows is lost.
    pub fn first_line(&mut self) -> String {
        let mut line = String::new();
        let out = self.0.as_mut().unwrap().stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        line
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        Ended::of(self.0.take().unwrap().wait_with_output().unwrap())
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(self) -> Ended {
        let process = Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        rustix::process::kill_process(process, Signal::TERM).unwrap();
        self.wait()
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

/// Bytes of the largest file below these folders that a process has open: files without a name
/// too.
pub fn open_bytes(process: u32, folders: &[PathBuf]) -> u64 {
    let Ok(open) = fs::read_dir(format!("/proc/{process}/fd")) else { return 0 };
    let is_ours = |descriptor: &PathBuf| {
        let target = fs::read_link(descriptor);
        target.is_ok_and(|target| folders.iter().any(|folder| target.starts_with(folder)))
    };
    let ours = open.flatten().map(|entry| entry.path()).filter(is_ours);
    ours.filter_map(|descriptor| Some(fs::metadata(descriptor).ok()?.len())).max().unwrap_or(0)
}
