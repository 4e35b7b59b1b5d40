//! The runtime's process: its input and output are the caller's, and so are signals.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Kind, RunError, RunFolder, Runtime, nspawn};

/// How long a container has to end by itself when it is asked to. A program that
/// handles no signals never does: as the first process of its namespace it does not
/// even see them (pid_namespaces(7)).
const GRACE: Duration = Duration::from_secs(10);

/// Signals that are passed on, and whether they ask for an end.
const PASSED_ON: [(Signal, bool); 6] = [
    (Signal::HUP, true),
    (Signal::INT, true),
    (Signal::TERM, true),
    (Signal::QUIT, true),
    (Signal::USR1, false),
    (Signal::USR2, false),
];

/// Runs the runtime to its end.
pub(super) async fn run(
    runtime: &Runtime,
    arguments: &[OsString],
    folder: &RunFolder,
) -> Result<ExitStatus, RunError> {
    let io = |source| RunError::Io { doing: "run", path: runtime.program().to_owned(), source };
    folder.record(runtime, None)?;
    // Before the process begins: no signal may slip through between.
    let mut signals = Signals::listen().map_err(io)?;
    let mut command = Command::new(runtime.program());
    command.args(arguments);
    if runtime.kind() == Kind::Nspawn {
        let (name, value) = nspawn::ENVIRONMENT;
        command.env(name, value);
    }
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    // The terminal sends its signals to all of its foreground group, and lets no
    // other group read. Without a terminal the group is the runtime's own, and what
    // reaches it is what is passed on.
    let shared_group = io::stdin().is_terminal();
    if !shared_group {
        command.process_group(0);
    }
    let mut child = command.spawn().map_err(io)?;
    folder.record(runtime, child.id())?;
    let mut deadline = None;
    loop {
        tokio::select! {
            status = child.wait() => return status.map_err(io),
            (signal, end) = signals.next() => {
                let from_terminal = matches!(signal, Signal::INT | Signal::QUIT);
                if !(shared_group && from_terminal) {
                    send(&child, signal);
                }
                if end {
                    deadline.get_or_insert_with(|| Instant::now() + GRACE);
                }
            }
            () = until(deadline) => {
                folder.kill(runtime);
                send(&child, Signal::KILL);
                deadline = None;
            }
        }
    }
}

/// Whether the runtime can start this container at all, tried without the caller's
/// input and output; in its own words where it cannot.
pub(super) async fn attempt(
    runtime: &Runtime,
    arguments: &[OsString],
    folder: &RunFolder,
) -> Result<Result<(), String>, RunError> {
    let io = |source| RunError::Io { doing: "run", path: runtime.program().to_owned(), source };
    folder.record(runtime, None)?;
    let mut command = Command::new(runtime.program());
    command.args(arguments).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().await.map_err(io)?;
    if status.success() {
        return Ok(Ok(()));
    }
    let messages = folder.messages();
    Ok(Err(if messages.is_empty() { status.to_string() } else { messages.join("; ") }))
}

/// The exit code that is passed on.
pub(super) fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    u8::try_from(code).unwrap_or(u8::MAX)
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn send(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // Not waited for yet, so the number is still its own; it may have ended.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Signals to this process, one after another.
struct Signals {
    received: mpsc::UnboundedReceiver<(Signal, bool)>,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let (sender, received) = mpsc::unbounded_channel();
        for (which, end) in PASSED_ON {
            let mut stream = signal(SignalKind::from_raw(which.as_raw()))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() && sender.send((which, end)).is_ok() {}
            });
        }
        Ok(Self { received })
    }

    async fn next(&mut self) -> (Signal, bool) {
        match self.received.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}
