//! A site for `example.com`, a client that finds it, and a store.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aci::{Limits, Refusal, Refuse};
use discovery::fetch::{FetchError, FetchOptions, Fetched, Source, Trust};
use discovery::http::{Pace, Retries, Timeouts};
use discovery::observer::{Event, Observer, Silent};
use discovery::route::Override;
use discovery::{Client, ClientOptions, Store};
use keys::{Keyring, Liveness, Policy, Scope};

use super::{Author, Authority, Reply, Request, Server};

/// The template of every page here.
pub(crate) const TEMPLATE: &str = "https://example.com/files/{name}-{version}-{os}-{arch}.{ext}";

type Pages = Arc<Mutex<BTreeMap<String, Reply>>>;

/// A site at `example.com`, and everything a client needs.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) folder: tempfile::TempDir,
    pages: Pages,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// A world whose client has other options.
    pub(crate) async fn with(change: impl FnOnce(&mut ClientOptions)) -> Self {
        let pages = Pages::default();
        let served = Arc::clone(&pages);
        let server = Server::start(&["example.com"], move |request: &Request| {
            let pages = served.lock().unwrap();
            pages.get(&request.target).cloned().unwrap_or_else(Reply::absent)
        })
        .await;
        let client = Self::client("example.com", &server, change);
        let world = Self { server, client, folder: tempfile::tempdir().unwrap(), pages };
        world.put(
            "/?ac-discovery=1",
            Reply::ok(format!(r#"<meta name="ac-discovery" content="example.com {TEMPLATE}">"#)),
        );
        world
    }

    /// A client that finds `host` at a server.
    pub(crate) fn client(
        host: &str,
        server: &Server,
        change: impl FnOnce(&mut ClientOptions),
    ) -> Client {
        let mut options = ClientOptions {
            overrides: vec![
                Override::connect(
                    host.parse().unwrap(),
                    server.address.to_string().parse().unwrap(),
                )
                .unwrap(),
            ],
            ca_file: Some(Authority::get().ca_file()),
            limits: Limits::default(),
            timeouts: Timeouts { idle: Duration::from_secs(20), ..Timeouts::default() },
            retries: Retries { count: 0, pace: Arc::new(NoPause::default()) },
            ..ClientOptions::default()
        };
        change(&mut options);
        Client::new(options)
    }

    pub(crate) fn put(&self, target: &str, reply: Reply) {
        self.pages.lock().unwrap().insert(target.to_owned(), reply);
    }

    /// What is served there now.
    pub(crate) fn reply(&self, target: &str) -> Reply {
        self.pages.lock().unwrap()[target].clone()
    }

    /// Serves an image and a signature where [`TEMPLATE`] leads for `name:version`.
    pub(crate) fn serve(&self, name: &str, version: &str, image: &[u8], signature: &[u8]) {
        let (path, _) = self.paths(name, version);
        self.put(&path, Reply::ok(image));
        self.put(&format!("{path}.asc"), Reply::ok(signature));
    }

    /// The paths of image and signature on the server.
    pub(crate) fn paths(&self, name: &str, version: &str) -> (String, String) {
        let (os, arch) = aci::host_platform();
        let path = format!("/files/{name}-{version}-{os}-{arch}.aci");
        (path.clone(), format!("{path}.asc"))
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.folder.path().join("store")).unwrap()
    }

    pub(crate) async fn fetch(&self, what: &str, trust: &Trust) -> Result<Fetched, FetchError> {
        let source: Source = what.parse().unwrap();
        self.client.fetch(&source, &self.store(), trust).await
    }

    pub(crate) async fn fetch_with(
        &self,
        what: &str,
        options: &FetchOptions,
        trust: &Trust,
    ) -> Result<Fetched, FetchError> {
        let source: Source = what.parse().unwrap();
        let silent: Arc<dyn Observer> = Arc::new(Silent);
        self.client.fetch_with(&source, options, &self.store(), trust, &silent).await
    }

    /// The paths of files asked for since the last time this was called with this mark.
    pub(crate) fn files_since(&self, mark: &mut usize) -> Vec<String> {
        let all = self.server.targets();
        let new = all[*mark..].iter().filter(|target| target.starts_with("/files/"));
        let new = new.cloned().collect();
        *mark = all.len();
        new
    }

    /// A fetch that must be refused, and must leave the store as it was.
    pub(crate) async fn refused(&self, what: &str, trust: &Trust) -> FetchError {
        let before = files_below(&self.folder.path().join("store"));
        let error = self.fetch(what, trust).await.expect_err("this must be refused");
        assert_eq!(files_below(&self.folder.path().join("store")), before, "the store changed");
        error
    }
}

/// Time that passes at once, and is written down.
#[derive(Default)]
pub(crate) struct NoPause(pub(crate) Mutex<Vec<Duration>>);

impl Pace for NoPause {
    fn fraction(&self) -> f64 {
        0.5
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.lock().unwrap().push(time);
        Box::pin(std::future::ready(()))
    }
}

/// Every file below a folder, with its content.
pub(crate) fn files_below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                // A staging folder that is left over would show even when empty.
                if path.file_name().unwrap().to_str().unwrap().starts_with('.') {
                    files.insert(path.display().to_string(), Vec::new());
                }
                folders.push(path);
            } else {
                files.insert(path.display().to_string(), std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// A keyring that trusts an author for a prefix.
pub(crate) fn keyring(author: &Author, prefix: &str) -> Keyring {
    let mut keyring = Keyring::default();
    keyring.push(author.certificate.clone(), Scope::Prefix(prefix.parse().unwrap()));
    keyring
}

pub(crate) fn trust(author: &Author, prefix: &str) -> Trust {
    Trust {
        keyring: Arc::new(keyring(author, prefix)),
        policy: Policy::new(SystemTime::now(), Liveness::AtSigning),
    }
}

/// The refusal of an error, with nothing left unsaid.
pub(crate) fn told(error: &impl Refuse) -> Refusal {
    let refusal = error.refusal();
    for part in [&refusal.code, &refusal.message, &refusal.wanted, &refusal.found] {
        assert!(!part.is_empty(), "{refusal:?}");
    }
    assert!(!refusal.rule.is_empty() && !refusal.next.is_empty(), "{refusal:?}");
    refusal
}

/// An observer that adds up.
pub(crate) fn heard() -> (Arc<dyn Observer>, Arc<Mutex<Vec<String>>>) {
    struct Ears(Arc<Mutex<Vec<String>>>);
    impl Observer for Ears {
        fn event(&self, event: Event<'_>) {
            self.0.lock().unwrap().push(format!("{event:?}"));
        }
    }
    let heard = Arc::new(Mutex::new(Vec::new()));
    (Arc::new(Ears(Arc::clone(&heard))), heard)
}
