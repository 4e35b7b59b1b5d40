//! The holder of a step: it starts its first process, ends it when the caller ends, and lists what
//! was changed.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use discovery::runtime::unshare;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::thread::UnshareFlags;
use signal_hook::consts::{SIGINT, SIGQUIT};

use super::child::again;
use super::collect::{self, Prepared};
use super::error::Fault;
use super::order::{Channel, Order, Run, Said};
use super::{printable, remove};

/// Holds a step to its end. Gives the command's code; after an error the scratch folder is empty
/// again.
pub(super) fn hold(run: Run, caller: &mut Channel, input: OwnedFd) -> Result<u8, Fault> {
    let scratch = run.scratch.path();
    let mut entries = fs::read_dir(&scratch).map_err(Fault::setup("read the scratch folder"))?;
    if entries.next().is_some() {
        return Err(Fault::Setup {
            doing: format!("use {}", printable(&scratch)),
            why: "a scratch folder is to be empty".to_owned(),
        });
    }
    let ended = step(run, caller, input);
    // Where the caller has ended, somebody else may be clearing it by now.
    if ended.is_err() && is_there(caller) {
        remove::clear(&scratch)?;
    }
    ended
}

/// Whether the other end of a socket is still open, and silent.
fn is_there(other: &Channel) -> bool {
    let mut end = [PollFd::from_borrowed_fd(other.descriptor(), PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(again(|| rustix::event::poll(&mut end, Some(&now))), Ok(0))
}

fn step(run: Run, caller: &Channel, input: OwnedFd) -> Result<u8, Fault> {
    // Typed at the terminal, they are for the command, and for the caller, with whom all ends.
    for signal in [SIGINT, SIGQUIT] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))
            .map_err(Fault::setup("handle signals"))?;
    }
    become_root(run.alone).map_err(Fault::setup("become root of the step"))?;
    unshare(UnshareFlags::NEWPID).map_err(Fault::no_namespaces)?;
    let order = Order::Init(Box::new(run));
    let Order::Init(run) = &order else { return Err(Fault::NoCommand) };
    let mut init = Init::start(run, &order, input)
        .map_err(Fault::setup("start the first process of the step"))?;
    let mut prepared = Prepared::default();
    let code = loop {
        match init.hear(caller).map_err(Fault::setup("hear of the step"))? {
            Some(Said::Prepared(list)) => prepared = list.into(),
            Some(Said::Ended(code)) => break code,
            Some(Said::Failed(fault)) => return Err(fault),
            Some(Said::Unshared) | None => {
                return Err(Fault::Setup {
                    doing: "wait for the command".to_owned(),
                    why: "the first process of the step was ended".to_owned(),
                });
            }
        }
    };
    // When this process has ended, so has every other in its namespace, and nothing is mounted.
    init.wait().map_err(Fault::setup("wait for the step"))?;
    collect::collect(run, &prepared)?;
    Ok(code)
}

/// User and group 0, and no other group where that can be had: with one ID only, the kernel keeps
/// the caller's (user_namespaces(7)).
fn become_root(alone: bool) -> io::Result<()> {
    use rustix::process::{Gid, Uid};
    let (user, group) = (Uid::ROOT, Gid::ROOT);
    if !alone {
        rustix::thread::set_thread_groups(&[])?;
    }
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)?;
    Ok(())
}

/// The first process of the step, seen from outside. Dropped, it is killed.
struct Init {
    process: Child,
    channel: Channel,
}

impl Init {
    fn start(run: &Run, order: &Order, input: OwnedFd) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let (program, arguments) = &run.helper;
        let process = Command::new(program.path())
            .args(arguments.iter().map(super::Bytes::text))
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        let mut init = Self { process, channel: Channel::new(ours)? };
        init.channel.pass(input.as_fd())?;
        init.channel.say(order)?;
        Ok(init)
    }

    /// What it says next; an error where the caller has ended.
    fn hear(&mut self, caller: &Channel) -> io::Result<Option<Said>> {
        loop {
            let mut ends = [
                PollFd::from_borrowed_fd(caller.descriptor(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.channel.descriptor(), PollFlags::IN),
            ];
            again(|| rustix::event::poll(&mut ends, None))?;
            let [caller_end, init_end] = ends.map(|end| !end.revents().is_empty());
            if init_end {
                return self.channel.hear();
            }
            if caller_end {
                // It says nothing more: this is its end.
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        self.process.wait().map(drop)
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
