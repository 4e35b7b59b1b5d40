//! The caller's side: a helper process, its IDs, and what it says in the end.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use discovery::bundle::Host;
use discovery::runtime::{Tools, map_ids};

use super::Helper;
use super::error::StepError;
use super::order::{Channel, Order, Said};

/// A helper at work. Dropped, it ends.
pub(super) struct Session {
    helper: Child,
    /// `None` when it is being dropped.
    channel: Option<Channel>,
}

impl Session {
    pub(super) fn start(
        helper: &Helper,
        host: &Host,
        tools: &Tools,
        order: &Order,
        output: Stdio,
    ) -> Result<Self, StepError> {
        let failed = |source| StepError::Helper { program: helper.program.clone(), source };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        // Without the caller's environment, which a process of the step could otherwise read.
        let child = Command::new(&helper.program)
            .args(&helper.arguments)
            .env_clear()
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(output)
            .spawn()
            .map_err(failed)?;
        let mut session =
            Self { helper: child, channel: Some(Channel::new(ours).map_err(failed)?) };
        let id = session.helper.id();
        let Some(channel) = &mut session.channel else { return Ok(session) };
        channel.pass(io::stdin().as_fd()).map_err(failed)?;
        channel.say(order).map_err(failed)?;
        if order.needs_user_namespace() {
            match channel.hear::<Said>().map_err(failed)? {
                Some(Said::Unshared) => {}
                Some(Said::Failed(fault)) => return Err(fault.into()),
                _ => return Err(StepError::Interrupted),
            }
            map_ids(id, host, tools).map_err(StepError::Ids)?;
            channel.say(&"mapped").map_err(failed)?;
        }
        Ok(session)
    }

    /// The code that the helper says in the end.
    pub(super) fn wait(&mut self) -> Result<u8, StepError> {
        let Some(channel) = &mut self.channel else { return Err(StepError::Interrupted) };
        match channel.hear::<Said>() {
            Ok(Some(Said::Ended(code))) => Ok(code),
            Ok(Some(Said::Failed(fault))) => Err(fault.into()),
            _ => Err(StepError::Interrupted),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.channel = None;
        let _ = self.helper.wait();
    }
}
