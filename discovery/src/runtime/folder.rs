//! The folder of one run, and what is done about those of runs that were killed.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use aci::stage::{self, Existing, Hold, Lock};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::{Kind, RunError, Runtime};
use crate::bundle::Host;

const LOCK: &str = "lock";
const RUNNER: &str = "runner.json";

/// The folder of one run. Dropped, its container is stopped and the folder removed.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    id: String,
    /// A program that removes what other users of the caller's namespace have made.
    remover: Option<PathBuf>,
    lock: Option<Lock>,
    processes: Mutex<Vec<Process>>,
}

/// Who runs a container: enough to stop it after its caller was killed.
#[derive(Debug, Serialize, Deserialize)]
struct Runner {
    runtime: Runtime,
    processes: Vec<Process>,
}

/// A process, told from later ones of the same number by when it began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Process {
    pid: i32,
    started: String,
}

impl RunFolder {
    /// A new folder below `runs`. Clears away what killed runs left there.
    /// `unshare`: that program, where it is installed.
    pub fn new(runs: &Path, host: &Host, unshare: Option<PathBuf>) -> Result<Self, RunError> {
        stage::create_folders(runs).map_err(RunError::io("create", runs))?;
        // Programs in here may have set-user-ID bits: nobody else may reach them.
        fs::set_permissions(runs, fs::Permissions::from_mode(0o700))
            .map_err(RunError::io("close to others", runs))?;
        let remover = unshare.filter(|_| host.uids().is_some_and(|uids| uids.len() > 1));
        let guard = runs.join(LOCK);
        let _guard = Lock::wait(&guard, Hold::Exclusive).map_err(RunError::io("lock", &guard))?;
        clean(runs, remover.as_deref())?;

        let id = random_id().map_err(RunError::io("name", runs))?;
        let path = runs.join(&id);
        fs::create_dir(&path).map_err(RunError::io("create", &path))?;
        let lock = path.join(LOCK);
        let lock = Lock::wait(&lock, Hold::Exclusive).map_err(RunError::io("lock", &lock))?;
        Ok(Self { path, id, remover, lock: Some(lock), processes: Mutex::default() })
    }

    /// The container's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where the bundle belongs. Does not exist yet in a new folder.
    pub fn bundle(&self) -> PathBuf {
        self.path.join("bundle")
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// A file in which a runtime writes that it has started this container.
    pub(super) fn pid_file(&self, container: &str) -> PathBuf {
        self.path.join(format!("{container}.pid"))
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Whether a runtime got as far as to start the container.
    pub(super) fn has_started(&self, container: &str) -> bool {
        self.pid_file(container).exists()
    }

    /// The errors a runtime has logged, without their decoration.
    pub(super) fn messages(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        text.lines().filter_map(message).collect()
    }

    /// Notes who runs, or is about to run, a container.
    pub(super) fn record(&self, runtime: &Runtime, pid: Option<u32>) -> Result<(), RunError> {
        let process = pid.and_then(|pid| {
            let pid = i32::try_from(pid).ok()?;
            Some(Process { pid, started: started(pid)? })
        });
        let processes = {
            let mut all = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|one| started(one.pid).as_deref() == Some(&one.started));
            all.extend(process);
            all.clone()
        };
        let runner = Runner { runtime: runtime.clone(), processes };
        let path = self.path.join(RUNNER);
        let written = serde_json::to_vec(&runner)
            .map_err(io::Error::from)
            .and_then(|bytes| stage::write(&path, &bytes, 0o600, Existing::Replace));
        written.map_err(RunError::io("write", path))
    }

    /// Clears away what a runtime that could not start the container has left.
    pub(super) fn forget_attempt(&self, runtime: &Runtime) -> Result<(), RunError> {
        delete_containers(&self.path, runtime);
        let mut files = vec![self.log()];
        let entries = fs::read_dir(&self.path).map_err(RunError::io("read", &self.path))?;
        files.extend(
            entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "pid")),
        );
        for file in files {
            stage::remove(&file).map_err(RunError::io("remove", &file))?;
        }
        let state = self.state();
        stage::remove_folder(&state).map_err(RunError::io("remove", &state))
    }

    /// Leaves the folder where it is, under a name that no run clears away. Gives its new path.
    pub fn keep(mut self) -> Result<PathBuf, RunError> {
        let kept = self.path.with_file_name(format!("kept-{}", self.id));
        #[expect(clippy::disallowed_methods, reason = "a folder that is whole gets another name")]
        fs::rename(&self.path, &kept).map_err(RunError::io("rename", &self.path))?;
        self.lock = None;
        Ok(kept)
    }

    /// Stops the container, where it still runs, and removes the folder.
    pub fn remove(mut self) -> Result<(), RunError> {
        self.remove_once()
    }

    fn remove_once(&mut self) -> Result<(), RunError> {
        let Some(_lock) = self.lock.take() else { return Ok(()) };
        clear(&self.path, self.remover.as_deref())
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // The next run tries again.
        let _ = self.remove_once();
    }
}

/// Clears away the folders whose process was killed: nobody holds their locks. What
/// cannot be removed is left for another time; it must not keep others from running.
fn clean(runs: &Path, remover: Option<&Path>) -> Result<(), RunError> {
    if let Err(error) = stage::clean(runs) {
        tracing::warn!(%error, folder = %runs.display(), "cannot clear away all that is left of killed runs");
    }
    for entry in fs::read_dir(runs).map_err(RunError::io("read", runs))? {
        let entry = entry.map_err(RunError::io("read", runs))?;
        let path = entry.path();
        let Ok(id) = entry.file_name().into_string() else { continue };
        if !id.starts_with(ID_PREFIX) || !path.is_dir() {
            continue;
        }
        let lock = path.join(LOCK);
        let cleared = match Lock::attempt(&lock, Hold::Exclusive) {
            Ok(Some(_lock)) => clear(&path, remover),
            // It runs.
            Ok(None) => Ok(()),
            Err(error) => Err(RunError::io("lock", &lock)(error)),
        };
        if let Err(error) = cleared {
            tracing::warn!(%error, "cannot clear away what is left of a killed run");
        }
    }
    Ok(())
}

/// Stops what runs in the folder and removes it.
fn clear(path: &Path, remover: Option<&Path>) -> Result<(), RunError> {
    let runner = fs::read(path.join(RUNNER)).unwrap_or_default();
    if let Ok(Runner { runtime, processes }) = serde_json::from_slice(&runner) {
        for process in processes {
            if started(process.pid).as_deref() == Some(&process.started)
                && let Some(pid) = Pid::from_raw(process.pid)
            {
                // It may have ended this moment.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        delete_containers(path, &runtime);
    }
    if let Some(unshare) = remover {
        // Inside the namespace of the caller's subordinate IDs, whose files these are.
        let mut command = Command::new(unshare);
        command.args(["--map-root-user", "--map-auto", "--", "rm", "-rf", "--"]);
        command.arg(path.join("bundle"));
        quietly(&mut command);
    }
    stage::remove_folder(path).map_err(RunError::io("remove", path))
}

/// Stops all containers of a folder with force.
fn delete_containers(path: &Path, runtime: &Runtime) {
    let state = path.join("state");
    if runtime.kind() == Kind::Nspawn {
        return;
    }
    let Ok(containers) = fs::read_dir(&state) else { return };
    for container in containers.flatten() {
        let mut command = Command::new(runtime.program());
        command.arg("--root").arg(&state).args(["delete", "--force"]).arg(container.file_name());
        quietly(&mut command);
    }
}

/// What fails here shows in the removal that follows.
pub(super) fn quietly(command: &mut Command) {
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// When a process began, in ticks since the machine did (proc(5), `stat` field 22).
fn started(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in brackets, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

fn message(line: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Line {
        msg: String,
        #[serde(default)]
        level: String,
    }
    match serde_json::from_str::<Line>(line) {
        Ok(line) if line.level.is_empty() || line.level == "error" => Some(line.msg),
        Ok(_) => None,
        Err(_) => Some(line.to_owned()).filter(|line| !line.trim().is_empty()),
    }
}

const ID_PREFIX: &str = "gantry-";

fn random_id() -> io::Result<String> {
    let mut random = [0; 8];
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of this crate that names anything"
    )]
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{ID_PREFIX}{:016x}", u64::from_ne_bytes(random)))
}
