//! The registry's log.
//!
//! ```text
//! what happens ──▶ recorder.rs: a line of it ──▶ lines.rs: many together ──▶ stderr
//! ```
//!
//! There is a span and a line for every request, so both cost little here: with the registry of
//! spans and the formats of tracing-subscriber they took more than a quarter of the time of a small file.

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
