//! Running apps to their end: event handlers before and after, signals, exit codes.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use aci::stage::{self, Existing};
use command_fds::{CommandFdExt, FdMapping};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::process::{Pid, Resource, Rlimit};
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;

use super::child::{self, GRACE, Input, Passed, Running, Signals};
use super::{Attempt, Ended, Kind, RunError, RunFolder, Runtime, Sandbox, nspawn};
use crate::bundle::{Bundle, Event, Host};

/// An app to run.
#[derive(Debug)]
pub struct AppRun {
    /// Its bundle, as it was written.
    pub bundle: Bundle,
    /// Where the bundle is.
    pub folder: PathBuf,
    /// Listening sockets that are passed in, in the order of the bundle's options.
    pub sockets: Vec<OwnedFd>,
}

/// What all apps of a run have in common.
struct Run<'a> {
    folder: &'a RunFolder,
    runtime: &'a Runtime,
    host: &'a Host,
    sandbox: Option<&'a Sandbox>,
    signals: Signals,
    /// Whether the apps have the caller's input.
    input: Input,
}

/// Runs apps side by side with the caller's output, and waits for the end of all. The input is
/// the caller's, where there is one app.
///
/// Signals that ask for an end are passed on to all; ten seconds later who still runs is killed.
/// An app that ends with success leaves the others running; where one fails, the others are asked
/// to end, and its code is the code of all. A runtime that cannot start a container at all makes
/// room for the next one.
///
/// # Errors
/// [`RunError::NotStarted`] where none of `runtimes` could start the first container.
pub async fn run(
    folder: &RunFolder,
    apps: &[AppRun],
    runtimes: &[Runtime],
    host: &Host,
    sandbox: Option<&Sandbox>,
) -> Result<Ended, RunError> {
    let Some(first) = apps.first() else { return Err(RunError::NoApps) };
    let mut failed = Vec::new();
    for (at, runtime) in runtimes.iter().enumerate() {
        let io = |source| RunError::Io { doing: "run", path: runtime.program().into(), source };
        // Before a process begins: no signal may slip through between.
        let signals = Signals::listen().map_err(io)?;
        let input = if apps.len() == 1 { Input::Caller } else { Input::Nobody };
        let run = Run { folder, runtime, host, sandbox, signals, input };
        // What a runtime says of itself goes where the program's own words go. Only the
        // last one is let loose untried.
        let last = at + 1 == runtimes.len();
        if !last && let Err(message) = run.attempt(first).await? {
            failed.push(Attempt { runtime: runtime.kind, message });
            continue;
        }
        match run.all(apps).await {
            Ok(codes) => {
                let code = codes.iter().map(|(_, code)| *code).find(|code| *code != 0);
                let code = code.unwrap_or(0);
                return Ok(Ended { code, apps: codes, runtime: runtime.kind, failed });
            }
            // Another runtime would begin all over, and other apps may have run already.
            Err(RunError::NotStarted(attempts)) if apps.len() == 1 => failed.extend(attempts),
            Err(error) => return Err(error),
        }
    }
    Err(RunError::NotStarted(failed))
}

impl Run<'_> {
    /// Runs all, and gives their codes in the order in which they ended.
    async fn all(&self, apps: &[AppRun]) -> Result<Vec<(String, u8)>, RunError> {
        let mut running: FuturesUnordered<_> =
            apps.iter().map(|app| self.app(app, self.signals.subscribe())).collect();
        let (mut codes, mut error) = (Vec::new(), None);
        while let Some(ended) = running.next().await {
            match ended {
                Ok((_, 0)) if error.is_none() => {}
                Ok(_) => self.signals.end_all(),
                Err(_) if error.is_some() => {}
                Err(found) => {
                    self.signals.end_all();
                    error = Some(found);
                    continue;
                }
            }
            codes.extend(ended.ok());
        }
        error.map_or(Ok(codes), Err)
    }

    /// Runs one app with its event handlers.
    async fn app(
        &self,
        app: &AppRun,
        mut signals: Receiver<Passed>,
    ) -> Result<(String, u8), RunError> {
        let name = app.bundle.app_name().to_owned();
        let has = |event| app.bundle.handlers().any(|found| found == event);
        let (mut asked, mut code) = (false, 0);
        if has(Event::PreStart) {
            code = self.handler(app, Event::PreStart, &mut signals, None, &mut asked).await?;
        }
        asked |= child::end_asked(&mut signals);
        if code == 0 && !asked {
            let command = self.command(app, "run", &app.folder, &self.id(app, ""), &app.sockets)?;
            let status =
                self.one(app, "", command, self.input, &mut signals, None, &mut asked).await;
            match status {
                Ok(status) => code = child::code(status),
                // There was no app to come after.
                Err(error) => return Err(error),
            }
        } else if code == 0 {
            code = 143;
        }
        if has(Event::PostStop) {
            // It is no part of what was asked to end, and yet may not keep it from ending.
            let deadline = asked.then(|| Instant::now() + GRACE);
            let after =
                self.handler(app, Event::PostStop, &mut signals, deadline, &mut asked).await?;
            code = if code == 0 { after } else { code };
        }
        Ok((name, code))
    }

    async fn handler(
        &self,
        app: &AppRun,
        event: Event,
        signals: &mut Receiver<Passed>,
        deadline: Option<Instant>,
        asked: &mut bool,
    ) -> Result<u8, RunError> {
        let folder = app.folder.join(event.as_str());
        let command = self.command(app, "run", &folder, &self.id(app, event.as_str()), &[])?;
        let status =
            self.one(app, event.as_str(), command, Input::Nobody, signals, deadline, asked).await?;
        Ok(child::code(status))
    }

    /// Runs one container to its end.
    #[expect(clippy::too_many_arguments, reason = "one call for the app and both its handlers")]
    async fn one(
        &self,
        app: &AppRun,
        role: &str,
        command: Command,
        input: Input,
        signals: &mut Receiver<Passed>,
        deadline: Option<Instant>,
        asked: &mut bool,
    ) -> Result<ExitStatus, RunError> {
        let program = self.runtime.program().to_owned();
        let io = |source| RunError::Io { doing: "run", path: program.clone(), source };
        let id = self.id(app, role);
        self.folder.record(self.runtime, None)?;
        let running = Running::start(command, input).map_err(io)?;
        self.folder.record(self.runtime, running.id())?;
        let kill = || self.delete(&id);
        let limit = app.bundle.data_limit();
        let status = tokio::select! {
            status = running.wait(signals, deadline, asked, kill) => status.map_err(io)?,
            never = self.hold_memory(&id, limit) => match never {},
        };
        // systemd-nspawn does not tell its own failures from the program's; and one that was asked
        // to end before it had begun did not fail.
        let told_apart = self.runtime.kind != Kind::Nspawn && !*asked;
        if status.success() || !told_apart || self.folder.has_started(&id) {
            return Ok(status);
        }
        let messages = self.folder.messages();
        let message = if messages.is_empty() { status.to_string() } else { messages.join("; ") };
        self.folder.forget_attempt(self.runtime)?;
        Err(RunError::NotStarted(vec![Attempt { runtime: self.runtime.kind, message }]))
    }

    /// Limits the data of a container's first process, and so of those it begins, as soon as it
    /// has started: a runtime would not start under it. Never ends.
    async fn hold_memory(&self, id: &str, limit: Option<u64>) -> Infallible {
        let file = self.folder.pid_file(id);
        while let Some(limit) = limit {
            let text = fs::read_to_string(&file).unwrap_or_default();
            if let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) {
                let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
                if let Err(error) = rustix::process::prlimit(Some(pid), Resource::Data, limit) {
                    tracing::warn!(%error, "the limit of memory could not be set");
                }
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        std::future::pending().await
    }

    /// Creates the container, without starting its program, and deletes it.
    async fn attempt(&self, app: &AppRun) -> Result<Result<(), String>, RunError> {
        let trial = self.folder.path().join("trial");
        fs::create_dir_all(&trial).map_err(RunError::io("create", &trial))?;
        let mut config = app.bundle.config().seen_from(&app.folder);
        // A terminal would need somebody at its other end.
        config.process.terminal = false;
        let file = trial.join("config.json");
        let written = serde_json::to_vec(&config)
            .map_err(io::Error::from)
            .and_then(|bytes| stage::write(&file, &bytes, 0o600, Existing::Replace));
        written.map_err(RunError::io("write", &file))?;
        self.folder.record(self.runtime, None)?;
        let command = self.command(app, "create", &trial, &self.id(app, ""), &[])?;
        let io = RunError::io("run", self.runtime.program());
        let status = child::attempt(command).await.map_err(io)?;
        let mut messages = self.folder.messages();
        messages.retain(|message| !message.trim().is_empty());
        let result = match (status.success(), messages.is_empty()) {
            (true, _) => Ok(()),
            (false, true) => Err(status.to_string()),
            (false, false) => Err(messages.join("; ")),
        };
        self.delete(&self.id(app, ""));
        self.folder.forget_attempt(self.runtime)?;
        Ok(result)
    }

    /// The name of an app's container, or of its handler's.
    fn id(&self, app: &AppRun, role: &str) -> String {
        let mut id = self.folder.id().to_owned();
        if self.sandbox.is_some() {
            id.push('-');
            id.push_str(app.bundle.app_name());
        }
        if !role.is_empty() {
            id.push('-');
            id.push_str(role);
        }
        id
    }

    fn command(
        &self,
        app: &AppRun,
        verb: &str,
        bundle: &Path,
        id: &str,
        sockets: &[OwnedFd],
    ) -> Result<Command, RunError> {
        let program = self.runtime.program();
        let mut command = match self.sandbox {
            Some(sandbox) => sandbox.enter(program),
            None => Command::new(program),
        };
        if self.runtime.kind == Kind::Nspawn {
            command.args(nspawn::arguments(self.folder, &app.bundle, &app.folder)?);
            let (name, value) = nspawn::ENVIRONMENT;
            command.env(name, value);
            return Ok(command);
        }
        command.args(self.oci_arguments(verb, bundle, id, sockets.len()));
        let mut mappings = Vec::new();
        for (socket, child_fd) in sockets.iter().zip(3..) {
            let parent_fd =
                socket.try_clone().map_err(RunError::io("pass a socket to", program))?;
            mappings.push(FdMapping { parent_fd, child_fd });
        }
        if !mappings.is_empty() {
            command.fd_mappings(mappings).map_err(|collision| {
                RunError::io("pass a socket to", program)(io::Error::other(collision))
            })?;
        }
        Ok(command)
    }

    fn oci_arguments(&self, verb: &str, bundle: &Path, id: &str, sockets: usize) -> Vec<OsString> {
        let folder = self.folder;
        let mut arguments: Vec<OsString> = vec!["--root".into(), folder.state().into()];
        arguments.extend(["--log".into(), folder.log().into()]);
        arguments.extend(["--log-format", "json"].map(OsString::from));
        // Without root there are no control groups to manage, unless systemd makes them. As root
        // they stay: they are what keeps a container from the machine's devices.
        if self.host.asks_systemd() && self.sandbox.is_none() {
            arguments.push("--systemd-cgroup".into());
        } else if self.runtime.kind == Kind::Crun && !self.host.is_root() {
            arguments.push("--cgroup-manager=disabled".into());
        }
        arguments.extend([verb.into(), "--bundle".into(), bundle.into()]);
        if sockets > 0 {
            arguments.extend(["--preserve-fds".into(), sockets.to_string().into()]);
        }
        arguments.extend(["--pid-file".into(), folder.pid_file(id).into(), id.into()]);
        arguments
    }

    /// Stops a container with force.
    fn delete(&self, id: &str) {
        if self.runtime.kind == Kind::Nspawn {
            return;
        }
        let program = self.runtime.program();
        let mut command = match self.sandbox {
            Some(sandbox) => sandbox.enter(program),
            None => Command::new(program),
        };
        command.arg("--root").arg(self.folder.state()).args(["delete", "--force", id]);
        super::folder::quietly(&mut command);
    }
}
