//! The runtimes' processes: their input and output are the caller's, and so are signals.

use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command as StdCommand, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::time::Instant;

/// How long a container has to end by itself when it is asked to. A program that
/// handles no signals never does: as the first process of its namespace it does not
/// even see them (pid_namespaces(7)).
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Signals that are passed on, and whether they ask for an end.
const PASSED_ON: [(Signal, bool); 6] = [
    (Signal::HUP, true),
    (Signal::INT, true),
    (Signal::TERM, true),
    (Signal::QUIT, true),
    (Signal::USR1, false),
    (Signal::USR2, false),
];

/// A signal for all containers of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    signal: Signal,
    /// Whether it asks for an end.
    end: bool,
    /// Whether it came from outside, where a terminal may have sent it to everybody.
    outside: bool,
}

/// Signals to this process, and those that one container's end means for the others.
pub(super) struct Signals {
    sender: Sender<Passed>,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let (sender, _) = broadcast::channel(64);
        for (which, end) in PASSED_ON {
            let mut stream = signal(SignalKind::from_raw(which.as_raw()))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    // Nobody may be listening at this moment.
                    let _ = sender.send(Passed { signal: which, end, outside: true });
                }
            });
        }
        Ok(Self { sender })
    }

    pub(super) fn subscribe(&self) -> Receiver<Passed> {
        self.sender.subscribe()
    }

    /// Asks all that still run for their end.
    pub(super) fn end_all(&self) {
        let _ = self.sender.send(Passed { signal: Signal::TERM, end: true, outside: false });
    }
}

/// Whose input a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Caller,
    Nobody,
}

/// A started runtime.
pub(super) struct Running {
    child: Child,
    /// Whether it is in the terminal's foreground group with us.
    shared_group: bool,
}

impl Running {
    pub(super) fn start(mut command: StdCommand, input: Input) -> io::Result<Self> {
        command.stdin(match input {
            Input::Caller => Stdio::inherit(),
            Input::Nobody => Stdio::null(),
        });
        command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
        let mut command = Command::from(command);
        // The terminal sends its signals to all of its foreground group, and lets no
        // other group read. Without a terminal the group is the runtime's own, and what
        // reaches it is what is passed on.
        let shared_group = input == Input::Caller && io::stdin().is_terminal();
        if !shared_group {
            command.process_group(0);
        }
        Ok(Self { child: command.spawn()?, shared_group })
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for its end, passing on signals. Whoever does not end when asked is killed, and so
    /// is who has not ended by `deadline`. `asked` becomes true where an end was asked for.
    pub(super) async fn wait(
        mut self,
        signals: &mut Receiver<Passed>,
        mut deadline: Option<Instant>,
        asked: &mut bool,
        kill: impl Fn(),
    ) -> io::Result<ExitStatus> {
        loop {
            tokio::select! {
                status = self.child.wait() => return status,
                Some(passed) = next(signals) => {
                    let from_terminal = matches!(passed.signal, Signal::INT | Signal::QUIT);
                    if !(self.shared_group && from_terminal && passed.outside) {
                        send(&self.child, passed.signal);
                    }
                    if passed.end {
                        *asked = true;
                        deadline.get_or_insert_with(|| Instant::now() + GRACE);
                    }
                }
                () = until(deadline) => {
                    kill();
                    send(&self.child, Signal::KILL);
                    deadline = None;
                }
            }
        }
    }
}

/// The next signal; `None` where some were missed.
async fn next(signals: &mut Receiver<Passed>) -> Option<Passed> {
    match signals.recv().await {
        Ok(passed) => Some(passed),
        Err(broadcast::error::RecvError::Lagged(_)) => None,
        Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
    }
}

/// Whether an end was asked for since these were last looked at.
pub(super) fn end_asked(signals: &mut Receiver<Passed>) -> bool {
    let mut asked = false;
    loop {
        match signals.try_recv() {
            Ok(passed) => asked |= passed.end,
            Err(broadcast::error::TryRecvError::Lagged(_)) => {}
            Err(_) => return asked,
        }
    }
}

/// Whether a runtime can start a container at all, tried without the caller's input and
/// output.
pub(super) async fn attempt(command: StdCommand) -> io::Result<ExitStatus> {
    let mut command = Command::from(command);
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().await
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
