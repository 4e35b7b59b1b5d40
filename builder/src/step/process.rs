//! The command itself: what it has, and how it ends.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aci::isolator::DEFAULT_CAPABILITIES;
use rustix::process::{DumpableBehavior, Pid, WaitOptions};
use rustix::thread::CapabilitySet;

use super::child::again;
use super::error::Fault;
use super::order::{Bytes, Channel, Run};
use super::{faked, points, printable};

/// Where a program is looked for when the environment has no `PATH`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Ends this process, and so everything in its PID namespace, when the other end of `channel` is
/// closed.
pub(super) fn end_with(channel: &Channel) -> io::Result<()> {
    let mut other = UnixStream::from(channel.descriptor().try_clone_to_owned()?);
    std::thread::Builder::new().spawn(move || {
        let mut bytes = [0; 64];
        while other.read(&mut bytes).is_ok_and(|length| length > 0) {}
        #[expect(clippy::disallowed_methods, reason = "a process without anything staged")]
        std::process::exit(1);
    })?;
    Ok(())
}

/// Runs the command in the root file system, which is this process's own by now.
pub(super) fn run(run: &Run, input: OwnedFd) -> Result<u8, Fault> {
    let program = program(run, Path::new("/"))?;
    restrict().map_err(Fault::setup("give up capabilities"))?;
    if run.alone {
        faked::install()?;
    }
    let mut command = Command::new(&program);
    let mut words = run.command.iter().map(Bytes::text);
    command.arg0(words.next().unwrap_or_default()).args(words);
    let environment = run.environment.iter();
    command.env_clear().envs(environment.map(|(name, value)| (name.text(), value.text())));
    command.current_dir(run.working_directory.path()).stdin(Stdio::from(input));
    let child = command.spawn().map_err(|error| not_executable(&program, &error))?;
    // It holds the caller's input.
    drop(command);
    wait(child.id()).map_err(Fault::setup("wait for the command"))
}

fn not_executable(program: &Path, error: &io::Error) -> Fault {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "its interpreter is not in the image".to_owned(),
        _ => error.to_string(),
    };
    Fault::NotExecutable { program: printable(program), why }
}

/// Waits for the process `main`, and for every other one that becomes ours.
pub(super) fn wait(main: u32) -> io::Result<u8> {
    let main = i32::try_from(main).ok().and_then(Pid::from_raw);
    loop {
        let Some((ended, status)) = again(|| rustix::process::wait(WaitOptions::empty()))? else {
            continue;
        };
        if Some(ended) == main {
            let signal = status.terminating_signal().map(|signal| 128 + signal);
            let code = status.exit_status().or(signal).unwrap_or(1);
            return Ok(u8::try_from(code).unwrap_or(u8::MAX));
        }
    }
}

/// What the command may do: the capabilities that containers have. They are taken from what `exec`
/// can give. This process keeps its own, so that the command can look into nothing of it.
fn restrict() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let kept: CapabilitySet = DEFAULT_CAPABILITIES
        .iter()
        .filter_map(|name| CapabilitySet::from_name(name.strip_prefix("CAP_")?))
        .collect();
    for capability in CapabilitySet::all().difference(kept).iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // One this kernel does not know.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    rustix::thread::clear_ambient_capability_set()?;
    let mut sets = rustix::thread::capabilities(None)?;
    sets.inheritable = CapabilitySet::empty();
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

/// The program that is meant, as a path inside the root file system, which is at `root`.
pub(super) fn program(run: &Run, root: &Path) -> Result<PathBuf, Fault> {
    let folder = run.working_directory.path();
    let failed = |why: String| Fault::WorkingDirectory { path: printable(&folder), why };
    match place(root, &folder).and_then(fs::metadata) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(failed("it is not a folder".to_owned())),
        Err(error) => return Err(failed(error.to_string())),
    }
    let name = run.command.first().map(Bytes::text).unwrap_or_default();
    let variable = run.environment.iter().rev().find(|(name, _)| name.as_slice() == b"PATH");
    let path = variable.map_or_else(|| OsString::from(PATH), |(_, value)| value.text());
    let named = name.as_bytes().contains(&b'/');
    let candidates: Vec<PathBuf> = match named || name.is_empty() {
        true => vec![folder.join(&name)],
        // An empty part is the working directory, as are relative ones of it (execvp(3)).
        false => split(&path).map(|part| folder.join(part).join(&name)).collect(),
    };
    let mut refused = None;
    for candidate in candidates.into_iter().filter(|_| !name.is_empty()) {
        match look(root, &candidate) {
            Ok(()) => return Ok(candidate),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => refused = refused.or(Some((candidate, error))),
        }
    }
    let program = printable(&name);
    match refused {
        Some((place, error)) => Err(not_executable(&place, &error)),
        None => Err(Fault::NotFound { program, path: (!named).then(|| printable(&path)) }),
    }
}

fn split(path: &OsStr) -> impl Iterator<Item = &Path> {
    path.as_bytes().split(|byte| *byte == b':').map(|part| Path::new(OsStr::from_bytes(part)))
}

fn look(root: &Path, path: &Path) -> io::Result<()> {
    let path = place(root, path)?;
    let found = fs::metadata(&path)?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(rustix::fs::access(&path, rustix::fs::Access::EXEC_OK)?)
}

/// Where a path is that is inside a root, whose links lead to nothing outside.
fn place(root: &Path, path: &Path) -> io::Result<PathBuf> {
    match points::resolve(root, path) {
        Ok((place, Some(_))) => Ok(root.join(place)),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}
