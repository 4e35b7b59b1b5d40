//! What the commands that find, fetch, store and push share.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aci::{Limits, Refuse};
use discovery::config::Size;
use discovery::fetch::Trust;
use discovery::http::Retries;
use discovery::observer::{Event, Observer};
use discovery::store::Wanted;
use discovery::{Client, ClientOptions, Store};
use indicatif::ProgressBar;

use super::{Context, Failure, Kind};

impl Context {
    /// The client, set up as the options and the configuration say.
    pub(super) fn client(&self) -> Client {
        self.client_that(self.retries())
    }

    /// The same, with a patience of its own.
    pub(super) fn client_that(&self, retries: Retries) -> Client {
        Client::new(ClientOptions {
            overrides: self.overrides().to_vec(),
            ca_file: self.ca_file(),
            limits: Limits { file_bytes: self.max_size(), ..Limits::default() },
            timeouts: self.timeouts(),
            proxy: self.proxy(),
            credentials: self.credentials(),
            insecure: self.insecure(),
            retries,
            limit_rate: self.limit_rate(),
        })
    }

    /// The most bytes an image file may have.
    pub(super) fn max_size(&self) -> u64 {
        self.config().max_size.map_or(Limits::default().file_bytes, Size::bytes)
    }

    /// The image store.
    pub(super) fn store(&self) -> Result<Store, Failure> {
        Store::open(self.store_dir()).map_err(failure)
    }

    /// The trusted keys. Says what was passed over.
    pub(super) fn trust(&self) -> Result<Trust, Failure> {
        let read = Trust::read(&self.trust_store(), now(), &Limits::default());
        let (trust, warnings) = read.map_err(super::trust::failure)?;
        for warning in warnings {
            self.warn_once(warning);
        }
        Ok(trust)
    }
}

/// The time that is now, for signatures and records.
pub(super) fn now() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "the command reads the clock, once")]
    SystemTime::now()
}

/// An error of the client as the end of a command.
pub(super) fn failure(error: impl Into<discovery::Error>) -> Failure {
    let error = error.into();
    match error.kind() {
        discovery::Kind::Refused if let Some(tree) = error.tree() => {
            Failure::untrusted(&error, tree.clone())
        }
        discovery::Kind::Failed => Failure::new(Kind::Failed, error),
        kind => Failure::refusal(kind.into(), error.refusal()),
    }
}

/// Runs what waits for the network.
pub(super) fn wait<T, E: Into<discovery::Error>>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(work).map_err(failure)
}

/// Reads an image as a person names it, for clap.
pub(super) fn wanted(text: &str) -> Result<Wanted, String> {
    text.parse().map_err(|error| format!("{error}"))
}

/// Says what the client is doing, with a bar while bytes move.
pub(super) struct Watcher {
    context: Context,
    verb: &'static str,
    bar: Mutex<Option<Moving>>,
}

/// The bar of all that moves now.
struct Moving {
    bar: ProgressBar,
    images: usize,
    /// All bytes that are known to move, until one says that it does not know.
    total: Option<u64>,
}

impl Watcher {
    /// A watcher whose bar says `verb`.
    pub(super) fn start(context: &Context, verb: &'static str) -> Arc<dyn Observer> {
        Arc::new(Self { context: context.clone(), verb, bar: Mutex::new(None) })
    }

    fn with_bar(&self, work: impl FnOnce(&mut Option<Moving>)) {
        work(&mut self.bar.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Observer for Watcher {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Signature(url) => self.context.note(format_args!("asking {url}")),
            Event::PassedOver(why) => {
                self.context.note(format_args!("passed over: {}", discovery::printable(why)));
            }
            Event::Resumed(bytes) => {
                self.context
                    .note(format_args!("going on after {bytes} bytes of an earlier attempt"));
            }
            Event::Again(bytes, why, pause) => self.context.note(format_args!(
                "broke off after {bytes} bytes: {}; trying again in {:.1}s",
                discovery::printable_line(why),
                pause.as_secs_f64(),
            )),
            Event::Started(total) => self.with_bar(|moving| match moving {
                Some(moving) => {
                    moving.images += 1;
                    moving.total = moving.total.zip(total).map(|(known, more)| known + more);
                    match moving.total {
                        Some(total) => moving.bar.set_length(total),
                        None => moving.bar.unset_length(),
                    }
                }
                None => {
                    let bar = self.context.progress(self.verb, total);
                    *moving = Some(Moving { bar, images: 1, total });
                }
            }),
            Event::Advanced(bytes) => self.with_bar(|moving| {
                if let Some(moving) = moving {
                    moving.bar.inc(bytes);
                }
            }),
            Event::Moved => self.with_bar(|moving| match moving {
                Some(Moving { images, .. }) if *images > 1 => *images -= 1,
                _ => {
                    if let Some(moving) = moving.take() {
                        moving.bar.finish_and_clear();
                    }
                }
            }),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.with_bar(|moving| {
            if let Some(moving) = moving.take() {
                moving.bar.finish_and_clear();
            }
        });
    }
}
