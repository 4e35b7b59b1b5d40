//! What the commands share that bring images into the store.

use std::num::NonZeroUsize;

use aci::manifest::Dependency;
use aci::{ImageId, Reference};
use discovery::fetch::{FetchOptions, Fetched, Pull, Source, SourceError, Trust};
use discovery::store::{StoreError, StoredImage, Wanted};
use discovery::{Client, Store};

use super::client::{Watcher, wait};
use super::{Context, Failure, Kind, image};

/// How images are fetched.
#[derive(clap::Args)]
pub(super) struct FetchingOptions {
    /// When to ask the network: never, only for what is new to the store, or to update what it
    /// has [default: update]
    #[arg(long, value_name = "never|new|update", env = "GANTRY_PULL")]
    pull: Option<Pull>,
    /// Fetch at most so many of the images that an image needs at once [default: 4]
    #[arg(long, value_name = "N")]
    parallel: Option<NonZeroUsize>,
    /// Refuse an image file of more bytes (K, M, G and T stand for powers of 1024) [default: 16G]
    #[arg(long, value_name = "SIZE")]
    max_size: Option<discovery::config::Size>,
}

impl FetchingOptions {
    /// As this command, the configuration or nobody says.
    pub(super) fn options(&self, context: &Context) -> FetchOptions {
        let (default, config) = (FetchOptions::default(), context.config());
        FetchOptions {
            pull: self.pull.or(config.pull).unwrap_or(default.pull),
            parallel: self.parallel.or(config.parallel).unwrap_or(default.parallel),
            ..default
        }
    }

    /// The context with this command's limits.
    pub(super) fn limited(&self, context: &Context) -> Context {
        context.with_max_size(self.max_size)
    }
}

/// Whether an image that is used may be fetched first.
#[derive(clap::Args)]
pub(super) struct PullOption {
    /// When to fetch an image that is given by its name: never, only where the store has none,
    /// or to update what it has [default: new]
    #[arg(long, value_name = "never|new|update", env = "GANTRY_PULL")]
    pull: Option<Pull>,
}

impl PullOption {
    /// Opens the image a person means, locked against removal; fetches it first where the store
    /// has none of that name, or as this command, the configuration or nobody says.
    pub(super) fn open(&self, context: &Context, wanted: &Wanted) -> Result<StoredImage, Failure> {
        let pull = self.pull.or(context.config().pull).unwrap_or(Pull::New);
        let Wanted::Reference(reference) = wanted else { return image::open(context, wanted) };
        match pull {
            Pull::Never => return image::open(context, wanted),
            Pull::New => match context.store()?.find(wanted) {
                Err(StoreError::Absent { .. }) => context.note(format_args!(
                    "not in the store: {}",
                    discovery::printable_line(&reference.to_string())
                )),
                _ => return image::open(context, wanted),
            },
            Pull::Update => {}
        }
        let how = FetchingOptions { pull: Some(pull), parallel: None, max_size: None };
        let source = Source::Name(reference.clone());
        let fetcher = Fetcher::new(context, how.options(context), std::slice::from_ref(&source))?;
        let fetched = fetcher.fetch(&source)?;
        image::open_id(&fetcher.store, &fetched.imported.record.image_id)
    }
}

/// Reads what is to be fetched.
pub(super) fn sources(texts: &[String]) -> Result<Vec<Source>, Failure> {
    let usage = |error: SourceError| Failure::new(Kind::Usage, anyhow::anyhow!("{error}"));
    texts.iter().map(|text| text.parse().map_err(usage)).collect()
}

/// Opens the image of a reference, locked against removal: what the store has of this ID, where one
/// is given; else what the store has of that name, or what is fetched. In either case it is verified.
pub(super) fn open_pinned(
    context: &Context,
    reference: &Reference,
    id: Option<&ImageId>,
) -> Result<StoredImage, Failure> {
    if let Some(id) = id
        && let Some(stored) = context.store()?.open_image(id).map_err(super::client::failure)?
    {
        return Ok(stored);
    }
    let source = Source::Name(reference.clone());
    let how = FetchingOptions { pull: Some(Pull::New), parallel: None, max_size: None };
    let fetcher = Fetcher::new(context, how.options(context), std::slice::from_ref(&source))?;
    let fetched = fetcher.fetch(&source)?;
    image::open_id(&fetcher.store, &fetched.imported.record.image_id)
}

/// The dependency that means exactly this image, by the labels that were asked for.
pub(super) fn pinned(reference: &Reference, image: &StoredImage) -> Dependency {
    let record = image.record();
    Dependency {
        image_name: record.name.clone(),
        image_id: Some(record.image_id.clone()),
        labels: reference.labels().clone(),
        size: Some(record.file_bytes),
        extra: Default::default(),
    }
}

/// Brings images into the store, and says what is done and what came of it.
pub(super) struct Fetcher<'a> {
    context: &'a Context,
    client: Client,
    trust: Trust,
    options: FetchOptions,
    /// Where the images go.
    pub(super) store: Store,
}

impl<'a> Fetcher<'a> {
    /// Asks for news of the keys that may sign `sources`, where that is due, and reads the keys.
    pub(super) fn new(
        context: &'a Context,
        options: FetchOptions,
        sources: &[Source],
    ) -> Result<Self, Failure> {
        if options.pull != Pull::Never {
            for source in sources {
                super::trust::on_schedule(context, source);
            }
        }
        let (client, store, trust) = (context.client(), context.store()?, context.trust()?);
        Ok(Self { context, client, trust, options, store })
    }

    /// Fetches an image and what it needs.
    pub(super) fn fetch(&self, source: &Source) -> Result<Fetched, Failure> {
        let watcher = Watcher::start(self.context, "fetching");
        let Self { client, store, trust, options, .. } = self;
        let fetched = wait(client.fetch_with(source, options, store, trust, &watcher))?;
        drop(watcher);
        self.say(&fetched);
        Ok(fetched)
    }

    /// Who is trusted.
    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    fn say(&self, fetched: &Fetched) {
        for warning in &fetched.warnings {
            self.context.warn(warning);
        }
        let dependencies = fetched.dependencies.iter().map(|imported| (imported, "needed: "));
        for (imported, why) in dependencies.chain([(&fetched.imported, "")]) {
            let record = &imported.record;
            self.context.note(format_args!(
                "{why}{} signed by {}{}",
                discovery::printable_line(&record.reference().to_string()),
                record.signer,
                if imported.new { "" } else { ", in the store already" },
            ));
        }
    }
}
