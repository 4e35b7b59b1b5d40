//! The registry's log: who it is for, what is in a line, and how lines reach stderr.
//!
//! ```text
//! event ──▶ recorder (spans.rs: what a request is)  ──▶ text.rs or json.rs ──▶ lines.rs ──▶ stderr
//! ```
//!
//! There is a span and a line for every request, so both cost little here: with the registry of
//! spans and the formats of tracing-subscriber they took a third of the time of a small file.

mod lines;
mod recorder;

use std::io;

use tracing_subscriber::filter::Targets;

pub(super) use lines::Lines;
pub(super) use recorder::Form;
use recorder::Recorder;

/// Begins to log, by a filter such as `info,registry=debug`.
pub(super) fn begin(filter: Targets, form: Form) -> io::Result<Lines> {
    let lines = Lines::start()?;
    let recorder = Recorder::new(filter, form, lines.clone());
    // Somebody else's logging, where there is any, is as good.
    let _ = tracing::subscriber::set_global_default(recorder);
    Ok(lines)
}
