//! `gantry image fold`.

use std::fmt::Write;

use discovery::store::{Folded, fold};
use serde_json::json;

use super::super::client::failure;
use super::{Chosen, Context, Failure, size};

/// Keep files that the store has as objects no second time in their images' archives
///
/// The archive is put together again whenever it is asked for, byte for byte; it is only given up
/// after that was tried. Images that are not compressed can always be folded, others where they
/// are compressed as Gantry does it. One that would take more room then is left alone: its files
/// become objects when it is rendered.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image fold example.com/team/hello
  gantry image fold --all --json")]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let store = context.store()?;
        let (mut text, mut done) = (String::new(), Vec::new());
        for id in self.chosen.ids(&store)? {
            let folded = fold(&store, &id).map_err(failure)?;
            let what = match folded {
                Folded::Done { freed } => {
                    let _ = writeln!(text, "{id}");
                    format!("{} freed", size(freed))
                }
                Folded::Already => "folded already".to_owned(),
                Folded::NotExact => "left: it is not compressed as Gantry does it".to_owned(),
                Folded::NoGain => "left: it would take more room".to_owned(),
                Folded::InUse => "left: somebody uses it".to_owned(),
                Folded::Absent => "left: it is gone, or damaged".to_owned(),
            };
            context.note(format_args!("{id}: {what}"));
            done.push(json!({ "imageId": id, "outcome": folded }));
        }
        if !context.json() && text.is_empty() {
            return Ok(());
        }
        Ok(context.print(&json!({ "images": done }), text.trim_end())?)
    }
}
