//! `gantry rebuild`: does a recipe make this very image?

use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::json;

use super::build::{Build, BuildOptions, HowArgs, Plan};
use super::diff;
use super::files::in_json;
use super::limits::LimitArgs;
use super::open::OpenArgs;
use super::{Context, Failure, Kind};

/// Build a recipe again, and say whether it makes this very image
///
/// All steps are done again; nothing that an earlier build has kept is used, and nothing is
/// kept. Exit code 0: the image is the same, byte for byte. 1: it is not, and what differs is
/// told, as by `gantry diff`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry rebuild --check web-1.0.0-linux-amd64.aci web.toml
  gantry rebuild --check web-1.0.0-linux-amd64.aci web.toml --secret token=./token.txt --json")]
pub(crate) struct Args {
    /// Compare with this image file
    #[arg(long, required = true)]
    check: bool,
    /// The image file
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// The recipe
    #[arg(value_name = "RECIPE")]
    recipe: PathBuf,
    #[command(flatten)]
    how: HowArgs,
    #[command(flatten)]
    open: OpenArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

impl Args {
    pub(crate) fn run(mut self, context: &Context) -> Result<(), Failure> {
        self.how.no_cache = true;
        let limits = self.limits.limits();
        let file = self.open.open(context, &self.image, &limits)?;
        let wanted =
            aci::archive::inspect(file, &limits).map_err(|error| Failure::refused(&error))?;
        let plan = Plan::read(&self.recipe, &self.how, false)?;
        let build = Build::new(context, BuildOptions::default());
        let work = plan.workspace(&build)?;
        let (built, _) = plan.build(&build, work.path(), None, false)?;
        let labels = wanted.manifest().labels.canonical();
        let same_labels = |manifest: &aci::ImageManifest| manifest.labels.canonical() == labels;
        let count = built.len();
        let found = built
            .into_iter()
            .find(|one| count == 1 || same_labels(&one.packed.manifest))
            .ok_or_else(|| {
            let text = anyhow!("the recipe makes no image of the labels {labels}");
            Failure::new(Kind::Usage, text)
        })?;
        let id = found.packed.written.image_id.clone();
        let file_is_same = found.packed.written.file_digest.as_ref() == Some(wanted.file_digest());
        if id == *wanted.image_id() {
            let value = json!({ "same": true, "sameFile": file_is_same, "imageId": id, "file": in_json(&self.image) });
            if !file_is_same {
                context.note("note: the same image, compressed in another way");
            }
            return Ok(context.print(&value, format_args!("{id}: the same"))?);
        }
        let rebuilt = found.pending.commit_quietly()?;
        // The file that was built goes with this command: what is told of it is where it comes from.
        let files = [(self.image.as_path(), self.image.as_path()), (&rebuilt, &self.recipe)];
        diff::compare(context, &self.open, &limits, files, &[])?;
        // Laid out in another way, and nothing else.
        Err(Failure::No)
    }
}
