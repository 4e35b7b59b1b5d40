//! `gantry registry read-only`.

use clap::ValueEnum;
use registry::Clock;
use registry::admin::{self, ReadOnly, ReadOnlyRequest};

use super::{At, AtArgs, Context, Failure, moment, wait};

/// Let a registry take nothing in for a while, or tell whether it does
///
/// Pushes, deletions and the rules of retention wait: clients are told to try again. What is published
/// is served. All servers of the registry see it with their next request, without a restart.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry read-only on --data ./data
  gantry registry read-only off --data ./data
  gantry registry read-only show --registry https://example.com --token-file admin.token")]
pub(crate) struct Args {
    /// Whether it is read-only from now on, or `show`
    state: State,
    #[command(flatten)]
    at: AtArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    On,
    Off,
    /// Change nothing
    Show,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let state = match (self.at.at(context)?, self.state) {
            (At::Data(place), State::Show) => wait(admin::read_only(&place))?,
            (At::Data(place), state) => wait(async {
                admin::set_read_only(&place, state == State::On, Clock::system()).await?;
                admin::read_only(&place).await
            })?,
            (At::Server(server), State::Show) => server.get("read-only", &[])?,
            (At::Server(server), state) => {
                server.put("read-only", &ReadOnlyRequest { read_only: state == State::On })?
            }
        };
        let ReadOnly { read_only, since } = state;
        let since = since.map_or_else(String::new, |since| format!(" since {}", moment(since)));
        let text =
            if read_only { format!("read-only{since}") } else { "takes images in".to_owned() };
        Ok(context.print(&state, text)?)
    }
}
