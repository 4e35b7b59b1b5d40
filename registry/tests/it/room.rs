//! Quotas, a registry that takes nothing in, and a disk that is full.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use aci::archive::Compression;
use aci::push::CreateUpload;
use aci::{FileDigest, ImageManifest};
use registry::admin::{self, NewToken};
use registry::{Action, Clock, Grant, Keeping, Place, Quota, Retention};
use reqwest::{Body, Client, Response, StatusCode};
use serde_json::Value;

use crate::fixture::*;

fn quota(text: &str) -> Quota {
    toml::from_str(&format!("prefix = \"example.com/team\"\n{text}")).unwrap()
}

async fn with_quota(text: &str) -> (Registry, String) {
    let keeping = Keeping { quotas: vec![quota(text)], ..Keeping::default() };
    let registry = Registry::start_with(|config| config.keeping = keeping).await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    (registry, token)
}

#[tokio::test]
async fn quota_of_images_holds_below_its_prefix_and_room_comes_back() {
    let (registry, _) = with_quota("images = 2").await;
    let actions = vec![Action::Push, Action::Delete];
    let (token, _) = registry.token_that("example.com", actions, None).await;
    let of = |name: &str| image(&format!("example.com/{name}:1.0.0"), name.as_bytes());
    let first = of("team/a");
    registry.publish(&token, &first, team_key()).await;
    registry.publish(&token, &of("team/b/c"), team_key()).await;
    registry.publish(&token, &of("teams"), team_key()).await;
    let third = of("team");
    let refuse = async || registry.push(&token, &third, &sign(team_key(), &third.bytes)).await;
    let (status, refusal) = refusal(refuse().await).await;
    assert_eq!((status, &*refusal.code), (403, "quota-exceeded"));
    assert_eq!(refusal.wanted, "at most 2 images under example.com/team");
    assert!(third.files(&registry.data().join("blobs")).is_empty());
    // What is there is no more for being pushed again.
    let again = registry.push(&token, &first, &sign(team_key(), &first.bytes)).await;
    assert_eq!(again.status(), StatusCode::OK);
    let (place, prefix) = (registry.place().await, "example.com/team".parse().unwrap());
    let usage = admin::usage(&place, Some(&prefix)).await.unwrap();
    let names: Vec<&str> = usage.names.iter().map(|usage| usage.name.as_str()).collect();
    assert_eq!(names, ["example.com/team/a", "example.com/team/b/c"]);

    let url = registry.url(&format!("/-/api/v1/images/{}", first.id));
    registry.client.delete(url).bearer_auth(&token).send().await.unwrap();
    assert_eq!(refuse().await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn quota_of_bytes_is_told_before_the_image_is_sent() {
    let (registry, _) = with_quota("bytes = \"1MiB\"").await;
    let token = registry.token("example.com/team").await;
    let create = async |bytes, file_digest| {
        let signature = sign(team_key(), b"x");
        let body = CreateUpload {
            signature: String::from_utf8(signature).unwrap(),
            file_bytes: Some(bytes),
            file_digest,
        };
        let request = registry.client.post(registry.url("/-/api/v1/uploads"));
        request.bearer_auth(&token).json(&body).send().await.unwrap()
    };
    assert_eq!(refused(create(1 << 21, None).await).await, (403, "quota-exceeded".to_owned()));
    assert_eq!(create(1 << 19, None).await.status(), StatusCode::CREATED);
    // A file that is here needs no room, where the caller could have pushed it.
    let all = registry.token("example.com").await;
    for (name, status) in [("example.com/team/a:1", 201), ("example.com/other:1", 403)] {
        let image = image(name, name.as_bytes());
        registry.publish(&all, &image, team_key()).await;
        let digest = Some(FileDigest::of_bytes(&image.bytes));
        assert_eq!(create(1 << 21, digest).await.status(), status, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quota_is_not_exceeded_by_pushes_at_once() {
    let (registry, token) = with_quota("images = 3").await;
    let registry = Arc::new(registry);
    let mut pushes = tokio::task::JoinSet::new();
    for at in 0..12 {
        let (registry, token) = (Arc::clone(&registry), token.clone());
        pushes.spawn(async move {
            let image = image(&format!("example.com/team/a{at}:1.0.0"), b"x");
            registry.push(&token, &image, &sign(team_key(), &image.bytes)).await.status()
        });
    }
    let all = pushes.join_all().await;
    let count = |wanted| all.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(StatusCode::CREATED), count(StatusCode::FORBIDDEN)), (3, 9), "{all:?}");
}

#[tokio::test]
async fn read_only_registry_serves_and_takes_nothing_in() {
    let (registry, token) = started().await;
    registry.publish(&token, &hello(), team_key()).await;
    let next = image("example.com/team/hello:2.0.0", b"2");
    let signature = sign(team_key(), &next.bytes);
    let created = registry.create(&token, &signature).await;
    let upload: aci::push::Upload = created.json().await.unwrap();
    let place = registry.place().await;
    for _ in 0..2 {
        admin::set_read_only(&place, true, Clock::system()).await.unwrap();
    }
    // Whoever pushes by acpush is told why in the end alone.
    let post = |path: &str| registry.client.post(registry.url(path)).bearer_auth(&token);
    let begun = post("/-/acpush/example.com/team/hello").send().await.unwrap();
    let begun: serde_json::Value = begun.json().await.unwrap();
    let path = |of: &str| begun[of].as_str().unwrap().replace("https://example.com", "");
    let refusals = [
        registry.create(&token, &signature).await,
        registry.send(&token, &upload.path, next.bytes.clone()).await,
        registry.send(&token, &path("upload_signature_url"), signature.clone()).await,
    ];
    for response in refusals {
        assert_eq!(response.headers()["retry-after"], "60");
        assert_eq!(refused(response).await, (503, "read-only".to_owned()));
    }
    let end = post(&path("completed_url")).json(&serde_json::json!({"success": false}));
    let end: serde_json::Value = end.send().await.unwrap().json().await.unwrap();
    let reason = end["server_reason"].as_str().unwrap();
    assert!(reason.contains("the registry takes nothing in just now"), "{reason}");
    let served = registry.get(&format!("/-/blobs/{}.aci", hello().id)).await;
    assert_eq!(served.status(), StatusCode::OK);
    admin::set_read_only(&place, false, Clock::system()).await.unwrap();
    let sent = registry.send(&token, &upload.path, next.bytes.clone()).await;
    assert_eq!(sent.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn read_only_registry_keeps_what_a_command_would_delete() {
    let (registry, token) = started().await;
    registry.publish(&token, &hello(), team_key()).await;
    let place = registry.place().await;
    admin::set_read_only(&place, true, Clock::system()).await.unwrap();
    let keeps_one = toml::from_str("prefix = \"example.com\"\nkeep-versions = [\"9\"]").unwrap();
    let rules: [Retention; 1] = [keeps_one];
    let deleted = admin::retain(&place, &rules, Clock::system()).await.unwrap_err();
    assert_eq!(deleted.refusal().unwrap().code, "read-only");
    assert_eq!(admin::judge(&place, &rules, Clock::system()).await.unwrap().len(), 1);
}

const DATA: &str = "GANTRY_TEST_FULL_DATA";
const DATABASE: &str = "GANTRY_TEST_FULL_DATABASE";

/// The server of the small disk: this test, run again below a mount of its own. Without the variable
/// it is nothing.
#[tokio::test(flavor = "multi_thread")]
async fn full_server() {
    let Some(data) = std::env::var_os(DATA).map(PathBuf::from) else { return };
    let database = std::env::var(DATABASE)
        .ok()
        .map(|url| url.parse::<registry::DatabaseUrl>().unwrap().into());
    let place = Place { data: data.clone(), database };
    let new = NewToken {
        name: String::new(),
        grant: Grant::new(vec!["example.com".parse().unwrap()], vec![Action::Push, Action::Delete]),
        lifetime: None,
    };
    let (token, _) = admin::create_token(&place, new, SystemTime::now()).await.unwrap();
    let (prefix, limits) = ("example.com".parse().unwrap(), aci::Limits::default());
    let now = SystemTime::now();
    admin::add_keys(&place, &prefix, &team_key().public, &limits, now).await.unwrap();
    let secret = data.with_extension("key");
    std::fs::write(&secret, &team_key().secret).unwrap();
    let (said, ahead) = (data.with_extension("address"), data.with_extension("ahead"));
    let mut config = config(place, &Arc::new(Mutex::new(SystemTime::now())));
    config.keeping = Keeping { collect_every: Duration::from_millis(100), ..Keeping::default() };
    config.clock = Clock::new(move || {
        let hours = std::fs::read_to_string(&ahead).ok().and_then(|text| text.parse().ok());
        SystemTime::now() + Duration::from_secs(3600 * hours.unwrap_or(0))
    });
    let ready = |ready: &registry::Ready| {
        let text = format!("{} {}", ready.https[0], token.reveal());
        aci::stage::write(&said, text.as_bytes(), 0o600, aci::stage::Existing::Replace).unwrap();
    };
    registry::serve(config, ready, std::future::pending()).await.unwrap();
}

/// A registry whose data is on a disk of 50 MB.
struct Small {
    process: Child,
    client: Client,
    url: String,
    token: String,
    key: keys::Signer,
    /// Its data, as it sees it.
    data: PathBuf,
    ahead: PathBuf,
    _folder: tempfile::TempDir,
}

impl Small {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path()).await;
        let data = place.data.clone();
        std::fs::create_dir(&data).unwrap();
        let script = format!(
            "mount -t tmpfs -o size=50m tmpfs '{}' && exec \"$0\" --exact room::full_server",
            data.display()
        );
        let how = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
        let mut command = Command::new("unshare");
        command.args([how, "/bin/sh", "-ec", &script]).arg(std::env::current_exe().unwrap());
        command.env(DATA, &data).stdout(Stdio::null());
        if let Some(database) = &place.database {
            command.env(DATABASE, database.url.to_string());
        }
        let process = command.spawn().unwrap();
        let file = data.with_extension("address");
        let start = Instant::now();
        let said = loop {
            match std::fs::read_to_string(&file) {
                Ok(text) => break text,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
            assert!(start.elapsed() < Duration::from_secs(60), "the server does not start");
        };
        let (address, token) = said.split_once(' ').unwrap();
        let address: std::net::SocketAddr = address.parse().unwrap();
        let inside = PathBuf::from(format!("/proc/{}/root{}", process.id(), data.display()));
        let secret = std::fs::read(data.with_extension("key")).unwrap();
        Self {
            client: client(address, &inside.join("tls/ca.pem"), false),
            url: format!("https://example.com:{}", address.port()),
            token: token.to_owned(),
            key: keys::Signer::open(&secret, None, SystemTime::now()).unwrap(),
            data: inside,
            ahead: data.with_extension("ahead"),
            process,
            _folder: folder,
        }
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: impl Into<Body>) -> Response {
        let url =
            if path.starts_with('/') { format!("{}{path}", self.url) } else { path.to_owned() };
        let request = self.client.request(method, url).bearer_auth(&self.token).body(body);
        request.send().await.unwrap()
    }

    async fn create(&self, image: &Image, bytes: Option<u64>) -> Response {
        let signature = self.key.sign(&*image.bytes).unwrap();
        let body = serde_json::json!({
            "signature": String::from_utf8(signature).unwrap(), "fileBytes": bytes
        });
        self.ask(reqwest::Method::POST, "/-/api/v1/uploads", body.to_string()).await
    }

    /// Pushes without a word about its size.
    async fn push(&self, image: &Image) -> Response {
        let created: aci::push::Upload = self.create(image, None).await.json().await.unwrap();
        self.ask(reqwest::Method::PUT, &created.path, chunked(image)).await
    }

    /// As acpush does; gives the status of the image, and what its user is told.
    async fn acpush(&self, image: &Image) -> (StatusCode, String) {
        use reqwest::Method;
        let begun = self.ask(Method::POST, "/-/acpush/example.com/team/big", "").await;
        let begun: Value = begun.json().await.unwrap();
        let to = |part: &str| {
            let path = begun[part].as_str().unwrap();
            path.strip_prefix("https://example.com").unwrap().to_owned()
        };
        let signature = self.key.sign(&*image.bytes).unwrap();
        self.ask(Method::PUT, &to("upload_manifest_url"), "{}").await;
        self.ask(Method::PUT, &to("upload_signature_url"), signature).await;
        let sent = self.ask(Method::PUT, &to("upload_aci_url"), chunked(image)).await.status();
        let told = self.ask(Method::POST, &to("completed_url"), "{\"success\":false}").await;
        let told: Value = told.json().await.unwrap();
        (sent, told["server_reason"].as_str().unwrap_or_default().to_owned())
    }

    fn free(&self) -> u64 {
        let system = rustix::fs::statvfs(&self.data).unwrap();
        system.f_bavail * system.f_frsize
    }

    async fn serves(&self, image: &Image) -> bool {
        let path = format!("/-/blobs/{}.aci", image.id);
        let served = self.ask(reqwest::Method::GET, &path, "").await;
        served.status() == StatusCode::OK && served.bytes().await.unwrap() == image.bytes
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn chunked(image: &Image) -> Body {
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
        image.bytes.chunks(1 << 20).map(|chunk| Ok(chunk.to_vec())).collect();
    Body::wrap_stream(futures_util::stream::iter(chunks))
}

fn sized(reference: &str, bytes: usize) -> Image {
    let parsed: aci::Reference = reference.parse().unwrap();
    let manifest = ImageManifest::new(parsed.name().clone(), parsed.labels().clone());
    image_compressed(&manifest, reference, &vec![7; bytes], Compression::None)
}

/// Fills the disk to its last byte.
fn fill(file: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(file).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_refuses_what_has_no_room_and_still_deletes() {
    let small = Small::start().await;
    let kept = sized("example.com/team/kept:1.0.0", 1 << 20);
    assert_eq!(small.push(&kept).await.status(), StatusCode::CREATED);
    let before = small.free();

    let big = sized("example.com/team/big:1.0.0", 200 << 20);
    let early = small.create(&big, Some(big.bytes.len() as u64)).await;
    assert_eq!(refused(early).await, (507, "storage-full".to_owned()));
    assert_eq!(small.push(&big).await.status(), StatusCode::INSUFFICIENT_STORAGE);
    let (status, told) = small.acpush(&big).await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);
    assert!(told.contains("the registry's disk is full"), "{told}");
    let start = Instant::now();
    // SQLite's log grows to 4 MB, and is used again then.
    while small.free() + (6 << 20) < before {
        assert!(start.elapsed() < Duration::from_secs(60), "{} of {before}", small.free());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(small.serves(&kept).await);
    let little = sized("example.com/team/little:1.0.0", 10 << 10);
    assert_eq!(small.push(&little).await.status(), StatusCode::CREATED);

    // Somebody else fills what is left of it.
    fill(&small.data.join("somebody-elses"));
    let next = sized("example.com/team/little:2.0.0", 10 << 10);
    let create = small.create(&next, Some(next.bytes.len() as u64)).await;
    assert_eq!(refused(create).await, (507, "storage-full".to_owned()));
    assert!(small.serves(&kept).await);
    let path = format!("/-/api/v1/images/{}", kept.id);
    let deleted = small.ask(reqwest::Method::DELETE, &path, "").await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    std::fs::write(&small.ahead, "2").unwrap();
    let start = Instant::now();
    while small.free() < 1 << 20 {
        assert!(start.elapsed() < Duration::from_secs(60), "its file stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(small.serves(&little).await);
}
