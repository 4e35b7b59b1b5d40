//! The first process of a step's PID namespace: it makes the root file system and everything else
//! that the command finds, starts the command, and takes in processes whose parents have ended.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use discovery::runtime::{loopback_up, unshare};
use rustix::fs::Mode;
use rustix::mount::MountPropagationFlags;
use rustix::process::Signal;
use rustix::thread::UnshareFlags;

use super::child::last_words;
use super::error::Fault;
use super::order::{Channel, Engine, Run, Said};
use super::{furnish, oci, owners, process, root};

/// Runs the command and says how it ended.
pub(super) fn run(run: &Run, mut channel: Channel, input: OwnedFd) -> io::Result<ExitCode> {
    // Either would do where the holder is killed: this until there is a thread that listens.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let said = step(run, &mut channel, input);
    // The kernel ends all others when this process does.
    Ok(last_words(&mut channel, said))
}

fn step(run: &Run, channel: &mut Channel, input: OwnedFd) -> Result<u8, Fault> {
    leave(run)?;
    let root = root::assemble(run)?;
    let prepared = owners::apply(run, &root.copied)?;
    channel.say(&Said::Prepared(prepared)).map_err(Fault::setup("speak to the holder"))?;
    process::end_with(channel).map_err(Fault::setup("listen to the holder"))?;
    match run.engine {
        Engine::Namespaces => {
            furnish::furnish(run, &root, &input)?;
            root::enter(run)?;
            process::run(run, input)
        }
        Engine::Crun | Engine::Runc => oci::run(run, &root, input),
    }
}

/// Leaves the host's namespaces.
fn leave(run: &Run) -> Result<(), Fault> {
    let mut flags =
        UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWCGROUP;
    if !run.host_network {
        flags |= UnshareFlags::NEWNET;
    }
    unshare(flags).map_err(Fault::no_namespaces)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)
        .map_err(|errno| Fault::setup("keep mounts to ourselves")(errno.into()))?;
    if !run.host_network {
        loopback_up().map_err(Fault::setup("bring up the loopback interface"))?;
    }
    rustix::system::sethostname(run.hostname.as_bytes())
        .map_err(|errno| Fault::setup("set the host's name")(errno.into()))?;
    rustix::system::setdomainname(b"(none)")
        .map_err(|errno| Fault::setup("set the domain's name")(errno.into()))
}
