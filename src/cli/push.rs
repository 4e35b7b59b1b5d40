//! `gantry push`: images and their signatures to a registry.

use std::path::{Path, PathBuf};

use aci::{ImageId, Name, Reference, Refuse as _};
use discovery::push::{Done, Published, Push, PushError, Token};
use serde_json::json;
use url::Url;

use super::client::{self, Watcher, wait};
use super::files::{read_small, signature_beside};
use super::sign::regular;
use super::{Context, Failure, Kind};

/// Largest token file read, in bytes.
const MAX_TOKEN: u64 = 64 << 10;
/// How often in a row, and without progress, a push is tried again: for about a minute.
const RETRIES: u32 = 8;

/// Push signed images to the registry of their name
///
/// Each image is checked here first, then the registry checks it again, and the signature
/// against the keys that may sign for the name. Nothing is visible before that. Several
/// images become visible together or not at all, such as one version for all architectures.
///
/// A connection that breaks off is taken up again where it was (--retries, --total-timeout),
/// and so is a push that was stopped and is run again: only what the registry does not hold is
/// sent. It keeps what it holds of an unfinished push for a day.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  GANTRY_TOKEN=… gantry push hello.aci                  # signature: hello.aci.asc
  gantry push hello.aci --token-file token
  gantry push hello.aci --signature hello.asc --registry https://registry.example.net
  gantry push hello-amd64.aci hello-arm64.aci --token-file token    # both or none
  gantry push hello.aci --token-file token --retries 20 --total-timeout 2h

Exit codes: 5 where an image is refused here, 6 where the registry refuses it, 7 where the
registry cannot be reached, breaks off or is too busy in the end: another time may do.")]
pub(crate) struct Args {
    /// The image files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The signature, where one image is pushed [default: FILE.asc]
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
        let (files, registry, token) = (&self.files, self.registry.as_ref(), &token);
        if files.len() > 1 && self.signature.is_some() {
            let error = anyhow::anyhow!(
                "--signature is for one image; of several, each has its signature beside it: FILE.asc"
            );
            return Err(Failure::new(Kind::Usage, error));
        }
        let beside = |file: &PathBuf| signature_beside(file);
        let signatures: Vec<PathBuf> = match self.signature {
            Some(signature) => vec![signature],
            None => files.iter().map(beside).collect(),
        };
        let pushes = files.iter().zip(&signatures);
        let pushes = pushes.map(|(image, signature)| Push { image, signature, registry, token });
        let pushes: Vec<Push<'_>> = pushes.collect();
        let watcher = Watcher::start(context, "pushing");
        let client = context.client_that(context.retries_or(RETRIES));
        if let [push] = pushes[..] {
            let done = wait(client.push(push, &watcher))?;
            let (value, text) = said(context, &done);
            return Ok(context.print(&value, text)?);
        }
        let done = wait(client.push_together(&pushes, &watcher))?;
        let (values, texts): (Vec<_>, Vec<_>) = done.iter().map(|done| said(context, done)).unzip();
        Ok(context.print(&json!({ "images": values }), texts.join("\n"))?)
    }
}

/// What is printed of an image that was pushed, as JSON and as text.
fn said(context: &Context, done: &Done) -> (serde_json::Value, String) {
    let pushed = &done.pushed;
    let page = done.registry.join(pushed.name.path()).unwrap_or_else(|_| done.registry.clone());
    let reference = Reference::new(pushed.name.clone(), pushed.labels.clone());
    context.note(format_args!(
        "{} {} signed by {}",
        if pushed.created { "pushed" } else { "there already:" },
        discovery::printable_line(&reference.to_string()),
        discovery::printable(&pushed.signer),
    ));
    (json!({ "pushed": pushed, "page": page }), format!("{}\n{page}", pushed.image_id))
}

/// From a file or the environment, never an argument: those every user can see.
pub(super) fn token(file: Option<&Path>) -> Result<Token, Failure> {
    #[expect(clippy::disallowed_methods, reason = "the command reads the environment")]
    let variable = std::env::var("GANTRY_TOKEN").ok().filter(|text| !text.is_empty());
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

/// An image that is not there is not found, as everywhere; `deleted` says what one is that was
/// deleted before.
pub(super) fn wait_for<T>(
    deleted: Kind,
    work: impl Future<Output = Result<T, PushError>>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(work).map_err(|error| match error {
        PushError::Refused { status, ref refusal, .. } => match (status, &*refusal.code) {
            (404, "image-unknown") => Failure::refusal(Kind::NotFound, error.refusal()),
            (410, "image-deleted") => Failure::refusal(deleted, error.refusal()),
            _ => client::failure(error),
        },
        error => client::failure(error),
    })
}

/// An image that is published: by its file, or by name and ID.
#[derive(clap::Args)]
pub(super) struct PublishedArgs {
    /// The image file, as it was published
    #[arg(required_unless_present = "image_id")]
    file: Option<PathBuf>,
    /// In the place of the file: the image's name
    #[arg(long, value_name = "NAME", requires = "image_id", conflicts_with = "file")]
    name: Option<Name>,
    /// In the place of the file: the image's ID
    #[arg(long, value_name = "ID", requires = "name", conflicts_with = "file")]
    image_id: Option<ImageId>,
    /// The registry [default: https:// and the host of the image's name]
    #[arg(long, value_name = "URL")]
    registry: Option<Url>,
    /// Read the token from this file [default: the variable GANTRY_TOKEN]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl PublishedArgs {
    /// The name and the ID of the image.
    pub(super) fn image(&self) -> Result<(Name, ImageId), Failure> {
        match (&self.file, &self.name, &self.image_id) {
            (Some(file), ..) => {
                let (opened, _) = regular(file)?;
                let inspected = aci::archive::inspect(opened, &aci::Limits::default())
                    .map_err(|error| Failure::refusal(Kind::Refused, error.refusal()))?;
                Ok((inspected.manifest().name.clone(), inspected.image_id().clone()))
            }
            (None, Some(name), Some(id)) => Ok((name.clone(), id.clone())),
            _ => {
                let error = anyhow::anyhow!("name a file, or give --name and --image-id");
                Err(Failure::new(Kind::Usage, error))
            }
        }
    }

    /// The token of who asks.
    pub(super) fn token(&self) -> Result<Token, Failure> {
        token(self.token_file.as_deref())
    }

    pub(super) fn of<'a>(
        &'a self,
        name: &'a Name,
        image_id: &'a ImageId,
        token: &'a Token,
    ) -> Published<'a> {
        Published { name, image_id, registry: self.registry.as_ref(), token }
    }
}
