//! `gantry yank`: an author withdraws an image that is published.

use std::path::PathBuf;

use aci::yank::{SignedYank, Yank};
use anyhow::Context as _;
use jiff::Timestamp;

use super::client::now;
use super::key::PassphraseArgs;
use super::push::{PublishedArgs, wait_for};
use super::sign::signer;
use super::{Context, Failure, Kind};

/// Withdraw an image that is published, as its author
///
/// A statement about the image is signed with a key of its name, and handed in. The image is then no
/// longer the newest of its name; who asks for its version or its ID still gets it. The latest
/// statement counts: --undo takes an earlier one back.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry yank hello.aci --key author.key --reason 'its TLS library has a hole' --token-file token
  gantry yank hello.aci --key author.key --undo --token-file token
  gantry yank --name example.com/team/hello --image-id sha512-… --key author.key --token-file token")]
pub(crate) struct Args {
    #[command(flatten)]
    published: PublishedArgs,
    /// The secret key's file, or a key of the folder of keys, as for `gantry sign`
    #[arg(long, short, value_name = "FILE|KEY")]
    key: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Why, for people; it is shown on the image's page
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Say that the image is good after all
    #[arg(long)]
    undo: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let (name, image_id) = self.published.image()?;
        let token = self.published.token()?;
        let issued = Timestamp::try_from(now()).context("the clock shows no time")?;
        let yank = Yank::new(name.clone(), image_id.clone(), !self.undo, self.reason, issued)
            .map_err(|error| Failure::new(Kind::Usage, error))?;
        let statement = yank.to_json().context("the statement cannot be written")?;
        let signer = signer(context, &self.key, &self.passphrase)?;
        let signature = signer.sign(statement.as_bytes()).context("the statement is not signed")?;
        let signature = String::from_utf8(signature).context("the signature is no text")?;
        let said = SignedYank { statement, signature };
        let image = self.published.of(&name, &image_id, &token);
        let taken = wait_for(Kind::NotFound, context.client().yank(image, &said))?;
        let done = match (taken.yanked, taken.new) {
            (true, true) => "withdrawn",
            (true, false) => "was withdrawn before",
            (false, true) => "no longer withdrawn",
            (false, false) => "was no longer withdrawn before",
        };
        Ok(context.print(&taken, format_args!("{image_id} {done}"))?)
    }
}
