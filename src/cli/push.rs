//! `gantry push`: an image and its signature to a registry.

use std::path::{Path, PathBuf};

use aci::Reference;
use discovery::push::{Push, Token};
use serde_json::json;
use url::Url;

use super::client::{Watcher, wait};
use super::files::{read_small, signature_beside};
use super::{Context, Failure, Kind};

/// Largest token file read, in bytes.
const MAX_TOKEN: u64 = 64 << 10;

/// Push a signed image to the registry of its name
///
/// The image is checked here first, then the registry checks it again, and the signature
/// against the keys that may sign for the name. Nothing is visible before that.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  GANTRY_TOKEN=… gantry push hello.aci                  # signature: hello.aci.asc
  gantry push hello.aci --token-file token
  gantry push hello.aci --signature hello.asc --registry https://registry.example.net")]
pub(crate) struct Args {
    /// The image file
    file: PathBuf,
    /// Its signature [default: FILE.asc]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// The registry [default: https:// and the host of the image's name]
    #[arg(long, value_name = "URL")]
    registry: Option<Url>,
    /// Read the token from this file [default: the variable GANTRY_TOKEN]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let token = token(self.token_file.as_deref())?;
        let signature = self.signature.unwrap_or_else(|| signature_beside(&self.file));
        let push = Push {
            image: &self.file,
            signature: &signature,
            registry: self.registry.as_ref(),
            token: &token,
        };
        let watcher = Watcher::start(context, "pushing");
        let client = context.client();
        let done = wait(client.push(push, &watcher))?;
        let pushed = &done.pushed;
        let page = done.registry.join(pushed.name.path()).unwrap_or_else(|_| done.registry.clone());
        let reference = Reference::new(pushed.name.clone(), pushed.labels.clone());
        context.note(format_args!(
            "{} {} signed by {}",
            if pushed.created { "pushed" } else { "there already:" },
            discovery::printable_line(&reference.to_string()),
            discovery::printable(&pushed.signer),
        ));
        let value = json!({ "pushed": pushed, "page": page });
        Ok(context.print(&value, format_args!("{}\n{page}", pushed.image_id))?)
    }
}

/// From a file or the environment, never an argument: those every user can see.
fn token(file: Option<&Path>) -> Result<Token, Failure> {
    #[expect(clippy::disallowed_methods, reason = "the command reads the environment")]
    let variable = std::env::var("GANTRY_TOKEN").ok();
    let text = match (file, variable) {
        (Some(path), _) => String::from_utf8(read_small(path, MAX_TOKEN)?).map_err(|_| {
            let error = anyhow::anyhow!("{} holds no token: it is no text", path.display());
            Failure::new(Kind::Usage, error)
        })?,
        (None, Some(text)) => text,
        (None, None) => {
            let error = anyhow::anyhow!(
                "no token: give --token-file FILE or set GANTRY_TOKEN; the registry's owner \
                 makes one with gantry registry token create"
            );
            return Err(Failure::new(Kind::Usage, error));
        }
    };
    text.parse().map_err(|error: discovery::push::TokenError| Failure::new(Kind::Usage, error))
}
