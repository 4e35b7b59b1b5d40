//! `gantry unpublish`: an image is deleted from its registry.

use serde_json::json;

use super::push::{PublishedArgs, wait_for};
use super::{Context, Failure, Kind};

/// Delete an image from the registry of its name
///
/// It is gone by every path, and its name and labels never become another image's. To warn people of
/// an image and let those who pinned it go on, use `gantry yank`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry unpublish hello.aci --token-file token
  gantry unpublish --name example.com/team/hello --image-id sha512-… --token-file token")]
pub(crate) struct Args {
    #[command(flatten)]
    published: PublishedArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let (name, image_id) = self.published.image()?;
        let token = self.published.token()?;
        let image = self.published.of(&name, &image_id, &token);
        wait_for(Kind::Absent, context.client().unpublish(image))?;
        let value = json!({ "name": name, "imageId": image_id, "deleted": true });
        Ok(context.print(&value, format_args!("{image_id} deleted"))?)
    }
}
