//! `gantry registry read-only`.

use clap::ValueEnum;
use registry::{Clock, admin};
use serde_json::json;

use super::{Context, Failure, PlaceArgs, wait};

/// Let a registry take nothing in for a while
///
/// Pushes, deletions and the rules of retention wait: clients are told to try again. What is published
/// is served. All servers of the registry see it with their next request, without a restart.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry registry read-only on --data ./data
  gantry registry read-only off --data ./data")]
pub(crate) struct Args {
    /// Whether it is read-only from now on
    state: State,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum State {
    On,
    Off,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let on = self.state == State::On;
        wait(admin::set_read_only(&self.place.place(), on, Clock::system()))?;
        let text = if on { "read-only" } else { "takes images in" };
        Ok(context.print(&json!({ "readOnly": on }), text)?)
    }
}
