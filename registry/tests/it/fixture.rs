//! A running registry, keys, and images made in code.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use aci::archive::{ArchiveWriter, Compression, Entry, EntryKind, WriteOptions};
use aci::push::{CreateUpload, ErrorBody, Pushed, Upload};
use aci::{FileDigest, ImageId, ImageManifest, Label, Limits, Refusal};
use keys::{Algorithm, GenerateOptions, Generated, Signer};
use registry::admin::{self, NewToken};
use registry::{
    Action, Clock, Config, ConnectionLimits, Grant, Keeping, MetricsAccess, OverwritePolicy, Place,
    PolicyEntry, ProxyHeader, Rates, Readiness, Timeouts, Tls,
};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::document::AllTold;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// A registry that runs, for example.com unless told otherwise.
pub(crate) struct Registry {
    pub(crate) folder: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    pub(crate) time: Arc<Mutex<SystemTime>>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    _told: AllTold,
}

pub(crate) fn config(place: Place, time: &Arc<Mutex<SystemTime>>) -> Config {
    let time = Arc::clone(time);
    let Place { data, database } = place;
    Config {
        data,
        database,
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        http: Vec::new(),
        trusted_proxies: Vec::new(),
        proxy_header: ProxyHeader::XForwardedFor,
        domains: vec!["example.com".parse().unwrap()].try_into().unwrap(),
        limits: Limits::default(),
        tls: Tls::OwnAuthority,
        timeouts: Timeouts { drain: Duration::from_secs(5), ..Timeouts::default() },
        connections: ConnectionLimits::default(),
        keeping: Keeping::default(),
        issuer_ca: None,
        rates: Rates::default(),
        metrics: MetricsAccess::default(),
        readiness: Readiness::default(),
        clock: Clock::new(move || *time.lock().unwrap()),
    }
}

/// Where the data of a registry in this folder is: beside it in SQLite, or in a database of its own
/// in the cluster of this process.
pub(crate) async fn place(folder: &Path) -> Place {
    let database =
        if crate::ON_POSTGRES { Some(crate::cluster::database(folder).await.into()) } else { None };
    Place { data: folder.join("data"), database }
}

/// One provider for the process; a second installation changes nothing.
pub(crate) fn provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client that finds these domains at this address, and trusts this authority.
pub(crate) fn client(address: SocketAddr, authority: &Path, http1: bool) -> Client {
    provider();
    let pem = std::fs::read(authority).unwrap();
    let mut client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .redirect(reqwest::redirect::Policy::none());
    for domain in ["example.com", "example.org", "evil.example"] {
        client = client.resolve(domain, address);
    }
    client = if http1 { client.http1_only() } else { client.http2_prior_knowledge() };
    client.build().unwrap()
}

impl Image {
    /// The digits of its file's digest, by which its files are kept.
    pub(crate) fn file_digits(&self) -> String {
        FileDigest::of_bytes(&self.bytes).digits().to_owned()
    }

    /// The files that are kept of it below a folder of blobs.
    pub(crate) fn files(&self, blobs: &Path) -> Vec<PathBuf> {
        let digits = self.file_digits();
        let ours = |path: &PathBuf| path.to_string_lossy().contains(&digits);
        files_below(blobs).into_iter().filter(ours).collect()
    }
}

impl Registry {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), adjust).await
    }

    pub(crate) async fn start_in(folder: TempDir, adjust: impl FnOnce(&mut Config)) -> Self {
        crate::log::begin();
        let time = Arc::new(Mutex::new(SystemTime::now()));
        let mut config = config(place(folder.path()).await, &time);
        adjust(&mut config);
        let (ready, listens) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let ready = |at: &registry::Ready| ready.send(at.https[0]).unwrap();
            let stopped = async { drop(stopped.await) };
            registry::serve(config, ready, stopped).await.unwrap();
        });
        let address = listens.await.unwrap();
        let client = client(address, &folder.path().join("data/tls/ca.pem"), false);
        Self { folder, address, client, time, running: Some((stop, task)), _told: AllTold }
    }

    /// Stops in good order, and gives the folder back.
    pub(crate) async fn stop(mut self) -> TempDir {
        let (stop, task) = self.running.take().unwrap();
        let _ = stop.send(());
        task.await.unwrap();
        self.folder
    }

    /// A bare connection, for clients that do things their own way.
    pub(crate) async fn connect(&self, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        provider();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.data().join("tls/ca.pem")).unwrap()).unwrap();
        let mut config =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect("example.com".try_into().unwrap(), stream).await.unwrap()
    }

    /// A connection that has begun to send an image, whose bytes these are the first of.
    pub(crate) async fn begin_sending(
        &self,
        token: &str,
        path: &str,
        image: &Image,
        first: &[u8],
    ) -> TlsStream<TcpStream> {
        let mut stream = self.connect(&[b"http/1.1"]).await;
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: example.com\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {}\r\n\r\n",
            image.bytes.len()
        );
        stream.write_all(&[head.as_bytes(), first].concat()).await.unwrap();
        stream.flush().await.unwrap();
        stream
    }

    pub(crate) async fn place(&self) -> Place {
        place(self.folder.path()).await
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.url_of("example.com", path)
    }

    pub(crate) fn url_of(&self, domain: &str, path: &str) -> String {
        format!("https://{domain}:{}{path}", self.address.port())
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.client.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub(crate) async fn add_key(&self, prefix: &str, key: &Generated) {
        let (place, prefix, now) = (self.place().await, prefix.parse().unwrap(), SystemTime::now());
        let limits = Limits::default();
        admin::add_keys(&place, &prefix, &key.public, &limits, now).await.unwrap();
    }

    pub(crate) async fn token(&self, prefix: &str) -> String {
        self.token_for(prefix, None).await.0
    }

    pub(crate) async fn token_for(
        &self,
        prefix: &str,
        lifetime: Option<Duration>,
    ) -> (String, registry::TokenId) {
        self.token_that(prefix, vec![Action::Push], lifetime).await
    }

    pub(crate) async fn token_that(
        &self,
        prefix: &str,
        actions: Vec<Action>,
        lifetime: Option<Duration>,
    ) -> (String, registry::TokenId) {
        let grant = Grant::new(vec![prefix.parse().unwrap()], actions);
        let new = NewToken { name: String::new(), grant, lifetime };
        let place = self.place().await;
        let (token, info) = admin::create_token(&place, new, SystemTime::now()).await.unwrap();
        (token.reveal().to_owned(), info.id)
    }

    pub(crate) async fn create(&self, token: &str, signature: &[u8]) -> Response {
        let body = CreateUpload {
            signature: String::from_utf8_lossy(signature).into_owned(),
            file_bytes: None,
            file_digest: None,
        };
        self.client
            .post(self.url("/-/api/v1/uploads"))
            .bearer_auth(token)
            .json(&body)
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn send(&self, token: &str, path: &str, image: Vec<u8>) -> Response {
        self.client.put(self.url(path)).bearer_auth(token).body(image).send().await.unwrap()
    }

    /// Pushes, as far as it goes.
    pub(crate) async fn push(&self, token: &str, image: &Image, signature: &[u8]) -> Response {
        let created = self.create(token, signature).await;
        if created.status() != StatusCode::CREATED {
            return created;
        }
        let upload: Upload = created.json().await.unwrap();
        self.send(token, &upload.path, image.bytes.clone()).await
    }

    /// Pushes what must be accepted.
    pub(crate) async fn publish(&self, token: &str, image: &Image, key: &Generated) -> Pushed {
        let response = self.push(token, image, &sign(key, &image.bytes)).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        response.json().await.unwrap()
    }

    /// Nothing of an image can be fetched by any path, and nothing of it is on the disk.
    pub(crate) async fn assert_absent(&self, image: &Image) {
        let reference = &image.reference;
        let (name, _) = reference.split_once([':', ',']).unwrap_or((reference, ""));
        let (_, below) = name.split_once('/').unwrap_or((name, ""));
        for path in [
            format!("/-/blobs/{}.aci", image.id),
            format!("/-/blobs/{}.aci.asc", image.id),
            format!("/-/images/{reference}.aci"),
            format!("/-/images/{reference}.aci.asc"),
            format!("/-/images/{name}.aci"),
            format!("/{below}"),
        ] {
            let status = self.get(&path).await.status();
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        }
        let home = self.get("/").await.text().await.unwrap();
        assert!(!home.contains(name), "{home}");
        let left = files_below(&self.data().join("blobs"));
        assert!(left.is_empty(), "{left:?}");
        let left = files_below(&self.data().join("spool"));
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Sends the first half of an image, does something, and sends the rest.
pub(crate) async fn send_and_meanwhile(
    request: RequestBuilder,
    image: &Image,
    meanwhile: impl Future<Output = ()>,
) -> Response {
    let (more, chunks) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
    let body = futures_util::stream::unfold(chunks, async |mut chunks| {
        let chunk = chunks.recv().await?;
        Some((Ok::<_, std::io::Error>(chunk), chunks))
    });
    let sent = tokio::spawn(request.body(reqwest::Body::wrap_stream(body)).send());
    let (first, rest) = image.bytes.split_at(image.bytes.len() / 2);
    more.send(first.to_vec()).await.unwrap();
    // Whoever asks is found out before the body is read: when the second piece is taken, it was.
    tokio::time::sleep(Duration::from_millis(300)).await;
    meanwhile.await;
    more.send(rest.to_vec()).await.unwrap();
    drop(more);
    sent.await.unwrap().unwrap()
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files_below(&path)) } else { all.push(path) }
    }
    all
}

/// The refusal in an answer, every part of which says something.
pub(crate) async fn refusal(response: Response) -> (u16, Refusal) {
    let status = response.status().as_u16();
    let ErrorBody { error, .. } = response.json().await.unwrap();
    for part in [&error.code, &error.message, &error.wanted, &error.found, &error.rule, &error.next]
    {
        assert!(!part.is_empty(), "{error:?}");
    }
    (status, error)
}

pub(crate) async fn refused(response: Response) -> (u16, String) {
    let (status, refusal) = refusal(response).await;
    (status, refusal.code)
}

/// A key made once for all tests that do not care which.
pub(crate) fn team_key() -> &'static Generated {
    static KEY: OnceLock<Generated> = OnceLock::new();
    KEY.get_or_init(|| key(None))
}

pub(crate) fn other_key() -> &'static Generated {
    static KEY: OnceLock<Generated> = OnceLock::new();
    KEY.get_or_init(|| key(None))
}

/// A key that was made an hour ago.
pub(crate) fn key(expires: Option<Duration>) -> Generated {
    keys::generate(&GenerateOptions {
        user_id: "Team <team@example.com>".to_owned(),
        algorithm: Algorithm::Ed25519,
        expires,
        passphrase: None,
        now: SystemTime::now() - Duration::from_secs(3600),
    })
    .unwrap()
}

pub(crate) fn sign(key: &Generated, data: &[u8]) -> Vec<u8> {
    Signer::open(&key.secret, None, SystemTime::now()).unwrap().sign(data).unwrap()
}

/// An image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) id: ImageId,
    pub(crate) reference: String,
}

/// A registry that takes images of example.com/team by the team's key, and a token.
pub(crate) async fn started() -> (Registry, String) {
    let registry = Registry::start().await;
    registry.add_key("example.com/team", team_key()).await;
    let token = registry.token("example.com").await;
    (registry, token)
}

/// Lets images at and below a prefix take the place of others: at once where the server was not asked
/// anything yet, and else within a second.
pub(crate) async fn allow_overwriting(registry: &Registry, prefix: &str) {
    let allowed = PolicyEntry {
        prefix: prefix.parse().unwrap(),
        read: None,
        overwrite: Some(OverwritePolicy::Allowed),
    };
    admin::set_policy(&registry.place().await, &allowed, SystemTime::now()).await.unwrap();
}

pub(crate) fn hello() -> Image {
    image("example.com/team/hello:1.0.0", b"hello")
}

/// An image of this name and these labels, `NAME[:VERSION][,LABEL=VALUE…]`, with one
/// file of this content.
pub(crate) fn image(reference: &str, content: &[u8]) -> Image {
    let parsed: aci::Reference = reference.parse().unwrap();
    image_of(
        &ImageManifest::new(parsed.name().clone(), parsed.labels().clone()),
        reference,
        content,
    )
}

/// An image with labels no reference can hold.
pub(crate) fn image_with(name: &str, labels: &[(&str, &str)], content: &[u8]) -> Image {
    let labels: Vec<Label> = labels
        .iter()
        .map(|(name, value)| Label { name: name.parse().unwrap(), value: (*value).to_owned() })
        .collect();
    let manifest = ImageManifest::new(name.parse().unwrap(), labels.try_into().unwrap());
    image_of(&manifest, name, content)
}

fn image_of(manifest: &ImageManifest, reference: &str, content: &[u8]) -> Image {
    image_compressed(manifest, reference, content, Compression::Gzip)
}

pub(crate) fn image_compressed(
    manifest: &ImageManifest,
    reference: &str,
    content: &[u8],
    compression: Compression,
) -> Image {
    let mut bytes = Vec::new();
    let options = WriteOptions { compression, threads: 1.try_into().unwrap() };
    let written = aci::archive::write(&mut bytes, &options, |archive| {
        archive.manifest(&manifest.to_json().unwrap(), 0)?;
        archive.entry(&entry("rootfs", EntryKind::Directory))?;
        file(archive, "rootfs/hello", content)
    })
    .unwrap();
    Image { bytes, id: written.image_id, reference: reference.to_owned() }
}

fn file(archive: &mut ArchiveWriter, path: &str, mut content: &[u8]) -> std::io::Result<()> {
    let size = content.len() as u64;
    archive.file(&entry(path, EntryKind::File { size }), &mut content)
}

/// An archive with these entries after the manifest: for images no honest tool makes.
pub(crate) fn archive(reference: &str, entries: &[(&str, EntryKind)]) -> Image {
    let parsed: aci::Reference = reference.parse().unwrap();
    let manifest = ImageManifest::new(parsed.name().clone(), parsed.labels().clone());
    let mut bytes = Vec::new();
    let options = WriteOptions { compression: Compression::None, threads: 1.try_into().unwrap() };
    let written = aci::archive::write(&mut bytes, &options, |archive| {
        archive.manifest(&manifest.to_json().unwrap(), 0)?;
        for (path, kind) in entries {
            match kind {
                EntryKind::File { size } => {
                    file(archive, path, &vec![b'x'; usize::try_from(*size).unwrap()])?;
                }
                kind => archive.entry(&entry(path, kind.clone()))?,
            }
        }
        Ok::<_, std::io::Error>(())
    })
    .unwrap();
    Image { bytes, id: written.image_id, reference: reference.to_owned() }
}

fn entry(path: &str, kind: EntryKind) -> Entry {
    let mode = if kind == EntryKind::Directory { 0o755 } else { 0o644 };
    Entry { path: path.into(), kind, mode, uid: 0, gid: 0, mtime: 0, xattrs: Vec::new() }
}

/// Bytes that do not pack.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}
