//! `gantry image show`.

use discovery::store::{Origin, Wanted};

use super::super::client::wanted;
use super::{Context, Failure, open};

/// Show what is known of an image in the store: who signed it, where it came from
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry image show example.com/team/hello
  gantry image show sha512-8f1c")]
pub(crate) struct Args {
    /// The image: the beginning of its image ID, or NAME[:VERSION][,LABEL=VALUE…]
    #[arg(value_name = "ID|NAME", value_parser = wanted)]
    image: Wanted,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let image = open(context, &self.image)?;
        let record = image.record();
        let last_used = context.store()?.last_used(record);
        let origin = match &record.origin {
            Origin::Discovery { reference, url } => format!("{url}, found as {reference}"),
            Origin::Url { url } => url.clone(),
            Origin::File { path } => path.clone(),
            Origin::Rebuilt => "a record that was made again".to_owned(),
        };
        let text = format!(
            "name:        {}\nlabels:      {}\nimage ID:    {}\nfile digest: {}\n\
             file:        {} bytes, {}\narchive:     {} bytes\nsigned by:   {}\n\
             signed at:   {}\nimported at: {}\nlast used:   {last_used:.0}\nfrom:        {origin}",
            record.name,
            discovery::printable_line(&record.labels.to_string()),
            record.image_id,
            record.file_digest,
            record.file_bytes,
            record.compression,
            record.tar_bytes,
            record.signer,
            record.signed_at,
            record.imported_at,
        );
        let mut value = serde_json::to_value(record).map_err(anyhow::Error::from)?;
        value["lastUsed"] = serde_json::json!(last_used);
        Ok(context.print(&value, text)?)
    }
}
