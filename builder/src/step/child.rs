//! What a helper process does, whichever it is.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use discovery::runtime::unshare;
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::error::Fault;
use super::order::{Channel, Order, Said};
use super::{holder, init, remove};

/// Does what the process that started this one asks for, over its standard input. A program calls
/// this as the first thing it does, before it has begun any thread or opened any file.
pub fn child() -> io::Result<ExitCode> {
    close_inherited()?;
    hear_ignored_signals()?;
    let mut channel = Channel::of_input()?;
    let input = channel.passed()?;
    let Some(order) = channel.hear::<Order>()? else { return Ok(ExitCode::FAILURE) };
    if let Order::Init(run) = order {
        return init::run(&run, channel, input);
    }
    if order.needs_user_namespace() {
        if let Err(error) = unshare(UnshareFlags::NEWUSER) {
            channel.say(&Said::Failed(Fault::no_namespaces(error)))?;
            return Ok(ExitCode::FAILURE);
        }
        channel.say(&Said::Unshared)?;
        // The IDs are there when the next line is.
        if channel.hear::<String>()?.is_none() {
            return Ok(ExitCode::FAILURE);
        }
    }
    let said = match order {
        Order::Run(run) => holder::hold(*run, &mut channel, input),
        Order::Remove { scratch, .. } => remove::clear(&scratch.path()).map(|()| 0),
        Order::Init(_) => return Ok(ExitCode::FAILURE),
    };
    Ok(last_words(&mut channel, said))
}

/// Says how it ended. Where nobody listens any more, that is why it ended.
pub(super) fn last_words(channel: &mut Channel, said: Result<u8, Fault>) -> ExitCode {
    let said = match said {
        Ok(code) => Said::Ended(code),
        Err(fault) => Said::Failed(fault),
    };
    match channel.say(&said) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Closes what a caller left open for its children: a command must not find files of the host.
fn close_inherited() -> io::Result<()> {
    let names: Vec<_> =
        fs::read_dir("/proc/self/fd")?.flatten().map(|entry| entry.file_name()).collect();
    let number = |name: &OsStr| name.to_str()?.parse::<i32>().ok().filter(|number| *number > 2);
    for descriptor in names.iter().filter_map(|name| number(name)) {
        // The folder's own is closed already.
        let _ = nix::unistd::close(descriptor);
    }
    Ok(())
}

/// A process whose parent ignores a signal ignores it too, and so would the command. What is
/// handled here has its default again after `exec` (signal(7)).
fn hear_ignored_signals() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    // Rust's own start ignores SIGPIPE, and gives children the default.
    let ignored = (1..=31).filter(|signal| mask & (1 << (signal - 1)) != 0);
    for signal in ignored.filter(|signal| !signal_hook::consts::FORBIDDEN.contains(signal)) {
        if signal != signal_hook::consts::SIGPIPE {
            signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
        }
    }
    Ok(())
}

/// A call that was cut short by a signal is made again.
pub(super) fn again<T>(mut call: impl FnMut() -> Result<T, Errno>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}
