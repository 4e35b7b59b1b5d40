//! An image that is sent in ranges, or by a connection that breaks off.

use std::time::{Duration, SystemTime};

use aci::push::{Commit, CreateUpload, Progress, Pushed, Upload, UploadState};
use aci::{FileDigest, Limits};
use futures_util::future::join_all;
use registry::admin;
use reqwest::{Response, StatusCode};
use tokio::io::AsyncWriteExt;

use crate::fixture::*;

/// The smallest range.
const SMALLEST: usize = 64 << 10;

/// Bytes that do not pack.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed * 2 + 1;
    let next = std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    next.take(length).collect()
}

/// An image of a little more than so many bytes.
pub(crate) fn large(reference: &str, seed: u64, length: usize) -> Image {
    image(reference, &noise(seed, length))
}

/// An image on its way to a registry.
pub(crate) struct Sending<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) token: &'a str,
    pub(crate) image: &'a Image,
    pub(crate) signature: Vec<u8>,
    pub(crate) path: String,
    pub(crate) id: String,
}

impl<'a> Sending<'a> {
    /// Opens an upload of which all is said.
    pub(crate) async fn open(registry: &'a Registry, token: &'a str, image: &'a Image) -> Self {
        let signature = sign(team_key(), &image.bytes);
        let mut sending =
            Self { registry, token, image, signature, path: String::new(), id: String::new() };
        let (status, upload) = sending.create().await;
        assert_eq!(status, 201);
        (sending.path, sending.id) = (upload.path, upload.id);
        sending
    }

    /// The same by way of another node.
    pub(crate) fn on(&self, registry: &'a Registry) -> Self {
        let Self { token, image, .. } = *self;
        let (signature, path, id) = (self.signature.clone(), self.path.clone(), self.id.clone());
        Self { registry, token, image, signature, path, id }
    }

    pub(crate) async fn create(&self) -> (u16, Upload) {
        let body = CreateUpload {
            signature: String::from_utf8(self.signature.clone()).unwrap(),
            file_bytes: Some(self.image.bytes.len() as u64),
            file_digest: Some(self.digest()),
        };
        let request = self.registry.client.post(self.registry.url("/-/api/v1/uploads"));
        let created = request.bearer_auth(self.token).json(&body).send().await.unwrap();
        (created.status().as_u16(), created.json().await.unwrap())
    }

    pub(crate) fn digest(&self) -> FileDigest {
        FileDigest::of_bytes(&self.image.bytes)
    }

    pub(crate) async fn patch(&self, first: usize, end: usize) -> Response {
        let range = format!("bytes {first}-{}/{}", end - 1, self.image.bytes.len());
        self.patch_with(&range, self.image.bytes[first..end].to_vec()).await
    }

    pub(crate) async fn patch_with(&self, range: &str, bytes: Vec<u8>) -> Response {
        let request = self.registry.client.patch(self.registry.url(&self.path));
        let request = request.bearer_auth(self.token).header("content-range", range);
        request.body(bytes).send().await.unwrap()
    }

    pub(crate) async fn send_range(&self, first: usize, end: usize) -> Progress {
        let sent = self.patch(first, end).await;
        assert_eq!(sent.status(), StatusCode::OK, "{first} to {end}");
        sent.json::<Upload>().await.unwrap().progress.unwrap()
    }

    pub(crate) async fn progress(&self) -> Progress {
        let request = self.registry.client.get(self.registry.url(&self.path));
        let answer = request.bearer_auth(self.token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json::<Upload>().await.unwrap().progress.unwrap()
    }

    pub(crate) async fn commit(&self) -> Response {
        self.commit_as(self.digest()).await
    }

    pub(crate) async fn commit_as(&self, file_digest: FileDigest) -> Response {
        let body = Commit { file_digest, image_id: Some(self.image.id.clone()) };
        self.commit_with(&body).await
    }

    pub(crate) async fn commit_with(&self, body: &impl serde::Serialize) -> Response {
        let url = self.registry.url(&format!("{}/commit", self.path));
        self.registry.client.post(url).bearer_auth(self.token).json(body).send().await.unwrap()
    }

    pub(crate) async fn abort(&self) -> Response {
        let request = self.registry.client.delete(self.registry.url(&self.path));
        request.bearer_auth(self.token).send().await.unwrap()
    }

    pub(crate) async fn assert_served(&self) {
        let served = self.registry.get(&format!("/-/blobs/{}.aci", self.image.id)).await;
        assert_eq!(served.bytes().await.unwrap(), self.image.bytes);
        let served = self.registry.get(&format!("/-/blobs/{}.aci.asc", self.image.id)).await;
        assert_eq!(served.bytes().await.unwrap(), self.signature);
    }
}

/// The files of parts.
pub(crate) fn parts(registry: &Registry) -> usize {
    let folder = registry.data().join("blobs/part");
    if folder.exists() { files_below(&folder).len() } else { 0 }
}

pub(crate) async fn no_parts(registry: &Registry) {
    let start = std::time::Instant::now();
    while parts(registry) > 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "parts stay");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn held(progress: &Progress) -> Vec<(u64, u64)> {
    progress.held.iter().map(|range| (range.first(), range.end())).collect()
}

#[tokio::test]
async fn ranges_of_any_size_in_any_order_make_up_the_image() {
    let (registry, token) = started().await;
    let image = large("example.com/team/a:1", 1, 600_000);
    let total = image.bytes.len();
    let sending = Sending::open(&registry, &token, &image).await;
    let fresh = sending.progress().await;
    assert_eq!((fresh.state, fresh.held.as_slice()), (UploadState::Open, &[][..]));
    assert_eq!(fresh.file_bytes, Some(total as u64));
    assert_eq!(fresh.file_digest, Some(sending.digest()));
    // The end first, small as it is; ranges twice; ranges that overlap; a small one up to another.
    let tail = total - 500;
    assert_eq!(held(&sending.send_range(tail, total).await), [(tail as u64, total as u64)]);
    sending.send_range(200_000, 300_000).await;
    sending.send_range(200_000, 300_000).await;
    sending.send_range(0, 120_000).await;
    let before = sending.send_range(100_000, 199_990).await;
    let tail = tail as u64;
    assert_eq!(
        held(&before),
        [(0, 199_990), (200_000, 300_000), (tail, total as u64)],
        "{before:?}"
    );
    sending.send_range(199_990, 200_000).await;
    unseen(&registry, &image).await;
    let early = sending.commit().await;
    let (status, refusal) = refusal(early).await;
    assert_eq!((status, refusal.code.as_str()), (409, "upload-gaps"));
    assert_eq!(refusal.found, format!("bytes 300000-{} are missing", tail - 1));
    sending.send_range(280_000, total).await;
    assert_eq!(held(&sending.progress().await), [(0, total as u64)]);
    let committed = sending.commit().await;
    assert_eq!(committed.status(), StatusCode::CREATED);
    let location = committed.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(location, format!("/-/blobs/{}.aci", image.id));
    let pushed: Pushed = committed.json().await.unwrap();
    assert!(pushed.created && pushed.image_id == image.id);
    sending.assert_served().await;
    no_parts(&registry).await;
    assert_eq!(image.files(&registry.data().join("blobs")).len(), 2);
    let after = sending.progress().await;
    assert_eq!((after.state, after.held.as_slice()), (UploadState::Published, &[][..]));
    assert_eq!(after.image, Some(Pushed { created: false, ..pushed }));
}

#[tokio::test]
async fn commit_again_answers_the_same_after_a_restart_too() {
    let (registry, token) = started().await;
    let image = large("example.com/team/a:1", 1, 100_000);
    let sending = Sending::open(&registry, &token, &image).await;
    sending.send_range(0, image.bytes.len()).await;
    let first: Pushed = sending.commit().await.json().await.unwrap();
    let (path, id, signature) =
        (sending.path.clone(), sending.id.clone(), sending.signature.clone());
    let registry = Registry::start_in(registry.stop().await, |_| {}).await;
    let sending =
        Sending { registry: &registry, token: &token, image: &image, signature, path, id };
    for _ in 0..2 {
        let again = sending.commit().await;
        assert_eq!(again.status(), StatusCode::OK);
        let again: Pushed = again.json().await.unwrap();
        assert_eq!(again, Pushed { created: false, ..first.clone() });
    }
    // Who lost the ID asks by the file, and need not send anything.
    let (status, upload) = sending.create().await;
    let progress = upload.progress.unwrap();
    assert_eq!(
        (status, upload.id, progress.state),
        (200, sending.id.clone(), UploadState::Published)
    );
    assert_eq!(progress.image.unwrap(), Pushed { created: false, ..first });
    // Another file is not what it brought.
    let other = sending.commit_as(FileDigest::of_bytes(b"another")).await;
    assert_eq!(refused(other).await, (422, "file-digest-mismatch".to_owned()));
    let late = sending.patch(0, image.bytes.len()).await;
    assert_eq!(refused(late).await, (409, "upload-published".to_owned()));
}

async fn unseen(registry: &Registry, image: &Image) {
    let reference = &image.reference;
    for path in [format!("/-/blobs/{}.aci", image.id), format!("/-/images/{reference}.aci")] {
        assert_eq!(registry.get(&path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn upload_is_given_again_to_whoever_sends_the_same_file() {
    let (registry, token) = started().await;
    let image = large("example.com/team/a:1", 1, 200_000);
    let sending = Sending::open(&registry, &token, &image).await;
    sending.send_range(0, 100_000).await;
    let Sending { signature, path, id, .. } = sending;
    let registry = Registry::start_in(registry.stop().await, |_| {}).await;
    let sending = Sending {
        registry: &registry,
        token: &token,
        image: &image,
        signature,
        path: path.clone(),
        id: id.clone(),
    };
    let (status, again) = sending.create().await;
    assert_eq!((status, &again.id, &again.path), (200, &id, &path));
    assert_eq!(held(&again.progress.unwrap()), [(0, 100_000)]);
    // Another signature is another upload: the author may have signed again.
    let other = Sending::open(&registry, &token, &image).await;
    assert!(other.id != id && other.progress().await.held.is_empty());
    // Another caller's uploads are none of this one's.
    let stranger = registry.token("example.com").await;
    let theirs = Sending { token: &stranger, ..sending };
    for answer in [
        theirs.patch(100_000, image.bytes.len()).await,
        theirs.commit().await,
        theirs.abort().await,
    ] {
        assert_eq!(refused(answer).await, (404, "upload-unknown".to_owned()));
    }
    let (status, new) = theirs.create().await;
    assert_eq!((status, new.progress.unwrap().held), (201, vec![]));
    assert_eq!(parts(&registry), 1);
}

#[tokio::test]
async fn range_that_makes_no_sense_is_refused() {
    let (registry, token) = started().await;
    let image = large("example.com/team/a:1", 1, 300_000);
    let total = image.bytes.len();
    let sending = Sending::open(&registry, &token, &image).await;
    let whole = format!("bytes 0-{}/{total}", total - 1);
    for (range, bytes, status, code) in [
        ("bytes 0-*/5", vec![0; 5], 400, "range-malformed"),
        ("bytes 5-4/10", vec![0; 5], 400, "range-malformed"),
        (&format!("bytes 0-{total}/{total}"), vec![0; 5], 400, "range-malformed"),
        ("bytes 0-99999/100000", vec![0; 100_000], 409, "range-foreign"),
        (&whole, vec![0; total - 1], 400, "range-length"),
        (&whole, vec![0; total + 1], 400, "range-length"),
        (
            &format!("bytes 0-{}/{total}", SMALLEST - 2),
            vec![0; SMALLEST - 1],
            400,
            "range-too-small",
        ),
    ] {
        let answer = sending.patch_with(range, bytes).await;
        assert_eq!(refused(answer).await, (status, code.to_owned()), "{range}");
    }
    let request = registry.client.patch(registry.url(&sending.path)).bearer_auth(&token);
    let none = request.body(image.bytes.clone()).send().await.unwrap();
    assert_eq!(refused(none).await, (400, "range-malformed".to_owned()));
    // Chunked, so that the length shows at the end alone.
    for length in [total - 1, total + 1] {
        let chunks =
            vec![0; length].chunks(50_000).map(|c| Ok::<_, String>(c.to_vec())).collect::<Vec<_>>();
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
        let request = registry.client.patch(registry.url(&sending.path)).bearer_auth(&token);
        let answer = request.header("content-range", &whole).body(body).send().await.unwrap();
        assert_eq!(refused(answer).await, (400, "range-length".to_owned()), "{length}");
    }
    assert_eq!(parts(&registry), 0);
    assert_eq!(sending.progress().await.held, []);
    for body in
        [serde_json::json!({}), serde_json::json!({"fileDigest": "x"}), serde_json::json!([])]
    {
        let answer = sending.commit_with(&body).await;
        assert_eq!(refused(answer).await, (400, "request-malformed".to_owned()));
    }
    let large = serde_json::json!({ "fileDigest": "x".repeat(100_000) });
    assert_eq!(
        refused(sending.commit_with(&large).await).await,
        (413, "request-too-large".to_owned())
    );
    // It is as good as new.
    sending.send_range(0, total).await;
    assert_eq!(sending.commit().await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn range_that_is_small_may_reach_into_what_is_held_and_not_lie_in_it() {
    let (registry, token) = started().await;
    let other = large("example.com/team/b:1", 2, 300_000);
    let filling = Sending::open(&registry, &token, &other).await;
    filling.send_range(150_000, 300_000).await;
    let within = filling.patch(200_000, 200_500).await;
    assert_eq!(refused(within).await, (400, "range-too-small".to_owned()));
    filling.send_range(149_000, 150_500).await;
    filling.send_range(0, 149_100).await;
    assert_eq!(filling.progress().await.held.len(), 1);
}

#[tokio::test]
async fn what_uploads_hold_is_limited() {
    let (registry, token) = {
        let registry = Registry::start_with(|config| config.limits.file_bytes = 400_000).await;
        registry.add_key("example.com/team", team_key()).await;
        let token = registry.token("example.com").await;
        (registry, token)
    };
    let images: Vec<_> =
        (0..5).map(|n| large(&format!("example.com/team/a:{n}"), n, 350_000)).collect();
    let too_large = large("example.com/team/b:1", 9, 500_000);
    let body = serde_json::json!({ "signature": String::from_utf8(sign(team_key(), &too_large.bytes)).unwrap() });
    let created = registry.client.post(registry.url("/-/api/v1/uploads")).bearer_auth(&token);
    let upload: Upload = created.json(&body).send().await.unwrap().json().await.unwrap();
    let sending = Sending {
        registry: &registry,
        token: &token,
        image: &too_large,
        signature: Vec::new(),
        path: upload.path,
        id: upload.id,
    };
    assert_eq!(refused(sending.patch(0, 100_000).await).await, (413, "image-too-large".to_owned()));
    // Of one upload: ranges that overlap count in full.
    let first = Sending::open(&registry, &token, &images[0]).await;
    first.send_range(0, 200_000).await;
    first.send_range(100_000, 290_000).await;
    let full = first.patch(284_000, 284_000 + SMALLEST).await;
    assert_eq!(refused(full).await, (409, "upload-full".to_owned()));
    first.send_range(0, 290_000).await;
    // Of a token: four times the largest image.
    for image in &images[1..4] {
        let sending = Sending::open(&registry, &token, image).await;
        sending.send_range(0, image.bytes.len()).await;
    }
    let last = Sending::open(&registry, &token, &images[4]).await;
    let full = last.patch(0, images[4].bytes.len()).await;
    assert_eq!(refused(full).await, (413, "uploads-too-large".to_owned()));
    assert_eq!(parts(&registry), 5);
    // Another token has room of its own, and room comes back.
    let other = registry.token("example.com").await;
    let theirs = Sending::open(&registry, &other, &images[4]).await;
    theirs.send_range(0, images[4].bytes.len()).await;
    assert_eq!(first.abort().await.status(), StatusCode::NO_CONTENT);
    last.send_range(0, images[4].bytes.len()).await;
    assert_eq!(last.commit().await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn upload_that_ends_leaves_nothing() {
    let (registry, token) = started().await;
    let image = large("example.com/team/a:1", 1, 300_000);
    let sending = Sending::open(&registry, &token, &image).await;
    sending.send_range(0, 100_000).await;
    sending.send_range(200_000, 300_000).await;
    assert_eq!(parts(&registry), 2);
    assert_eq!(sending.abort().await.status(), StatusCode::NO_CONTENT);
    assert_eq!(refused(sending.abort().await).await, (404, "upload-unknown".to_owned()));
    assert_eq!(refused(sending.patch(0, 100_000).await).await, (404, "upload-unknown".to_owned()));
    no_parts(&registry).await;
    registry.assert_absent(&image).await;
    // An image that it brought stays.
    let sending = Sending::open(&registry, &token, &image).await;
    sending.send_range(0, image.bytes.len()).await;
    sending.commit().await;
    assert_eq!(sending.abort().await.status(), StatusCode::NO_CONTENT);
    sending.assert_served().await;
}

#[tokio::test]
async fn upload_expires_a_day_after_its_last_part() {
    let (registry, token) = started().await;
    let image = large("example.com/team/a:1", 1, 300_000);
    let sending = Sending::open(&registry, &token, &image).await;
    let pass = |time: Duration| *registry.time.lock().unwrap() += time;
    sending.send_range(0, 100_000).await;
    // Many hours between them, and a restart now and then: no part is taken from under it.
    pass(DAY - Duration::from_secs(60));
    let before = sending.progress().await.expires;
    sending.send_range(100_000, 200_000).await;
    assert!(sending.progress().await.expires > before);
    pass(DAY - Duration::from_secs(60));
    let time = *registry.time.lock().unwrap();
    let Sending { signature, path, id, .. } = sending;
    let folder = registry.stop().await;
    let at =
        |config: &mut registry::Config, time| config.clock = registry::Clock::new(move || time);
    let registry = Registry::start_in(folder, |config| at(config, time)).await;
    let sending =
        Sending { registry: &registry, token: &token, image: &image, signature, path, id };
    assert_eq!(held(&sending.progress().await), [(0, 200_000)]);
    assert_eq!(parts(&registry), 2);
    let Sending { signature, path, id, .. } = sending;
    let (time, folder) = (time + Duration::from_secs(120), registry.stop().await);
    let registry = Registry::start_in(folder, |config| at(config, time)).await;
    let sending =
        Sending { registry: &registry, token: &token, image: &image, signature, path, id };
    assert_eq!(refused(sending.commit().await).await, (404, "upload-unknown".to_owned()));
    no_parts(&registry).await;
    registry.assert_absent(&image).await;
    assert_eq!(sending.create().await.0, 201);
}

/// Sends the beginning of a body by hand, and drops the connection.
async fn break_off(registry: &Registry, head: &str, total: usize, bytes: &[u8]) {
    let mut stream = registry.connect(&[b"http/1.1"]).await;
    let head = format!("{head}Host: example.com\r\nContent-Length: {total}\r\n\r\n");
    stream.write_all(&[head.as_bytes(), bytes].concat()).await.unwrap();
    // All of it has arrived when the server has closed its end.
    stream.shutdown().await.unwrap();
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

#[tokio::test]
async fn what_came_of_a_stream_that_broke_off_is_held() {
    let (registry, token) = started().await;
    let image = large("example.com/team/a:1", 1, 2 << 20);
    let total = image.bytes.len();
    let sending = Sending::open(&registry, &token, &image).await;
    let authorization = format!("Authorization: Bearer {token}\r\n");
    let head = format!("PUT {} HTTP/1.1\r\n{authorization}", sending.path);
    break_off(&registry, &head, total, &image.bytes[..1_100_000]).await;
    let first = until_held(&sending, 0).await;
    assert_eq!(first, 1_100_000, "all that came");
    // A range that breaks off goes on where it began.
    let head = format!(
        "PATCH {} HTTP/1.1\r\n{authorization}Content-Range: bytes {first}-{}/{total}\r\n",
        sending.path,
        total - 1
    );
    let end = first + 300_000;
    break_off(&registry, &head, total - first, &image.bytes[first..end]).await;
    let second = until_held(&sending, first).await;
    assert!((first + 200_000..=end).contains(&second), "{second}");
    assert_eq!(sending.progress().await.held.len(), 1);
    sending.send_range(second, total).await;
    assert_eq!(sending.commit().await.status(), StatusCode::CREATED);
    sending.assert_served().await;
    no_parts(&registry).await;
}

/// Waits until more than so much is held of the beginning, and gives how much.
async fn until_held(sending: &Sending<'_>, before: usize) -> usize {
    let start = std::time::Instant::now();
    loop {
        if let Some(range) = sending.progress().await.held.first()
            && range.end() as usize > before
        {
            return range.end() as usize;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "nothing is held");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn stream_after_ranges_is_the_whole_image() {
    let (registry, token) = started().await;
    let image = large("example.com/team/a:1", 1, 300_000);
    let sending = Sending::open(&registry, &token, &image).await;
    sending.send_range(0, 100_000).await;
    // Of as many bytes as were announced.
    let mut others = (2..).map(|seed| large("example.com/team/a:2", seed, 300_000));
    let other = others.find(|other| other.bytes.len() == image.bytes.len()).unwrap();
    let wrong = registry.send(&token, &sending.path, other.bytes.clone()).await;
    assert_eq!(refused(wrong).await, (422, "signature-invalid".to_owned()));
    let told = sending.progress().await;
    assert_eq!(told.state, UploadState::Refused);
    assert_eq!(told.refusal.unwrap().code, "signature-invalid");
    let sent = registry.send(&token, &sending.path, image.bytes.clone()).await;
    assert_eq!(sent.status(), StatusCode::CREATED);
    sending.assert_served().await;
    no_parts(&registry).await;
    // What was announced must come, though it is signed.
    let announced = CreateUpload {
        signature: String::from_utf8(sign(team_key(), &other.bytes)).unwrap(),
        file_bytes: None,
        file_digest: Some(sending.digest()),
    };
    let request = registry.client.post(registry.url("/-/api/v1/uploads")).bearer_auth(&token);
    let upload: Upload = request.json(&announced).send().await.unwrap().json().await.unwrap();
    let wrong = registry.send(&token, &upload.path, other.bytes.clone()).await;
    assert_eq!(refused(wrong).await, (422, "file-digest-mismatch".to_owned()));
    unseen(&registry, &other).await;
}

#[tokio::test]
async fn commit_of_something_else_is_refused_and_can_be_mended() {
    let (registry, token) = started().await;
    let image = large("example.com/team/a:1", 1, 300_000);
    let total = image.bytes.len();
    let sending = Sending::open(&registry, &token, &image).await;
    // Nothing yet.
    let (status, gaps) = refusal(sending.commit().await).await;
    assert_eq!((status, gaps.found), (409, format!("bytes 0-{} are missing", total - 1)));
    // A byte was turned on the way.
    let mut bytes = image.bytes[..100_000].to_vec();
    bytes[50_000] ^= 1;
    assert_eq!(sending.patch_with(&format!("bytes 0-99999/{total}"), bytes).await.status(), 200);
    sending.send_range(100_000, total).await;
    assert_eq!(refused(sending.commit().await).await, (422, "file-digest-mismatch".to_owned()));
    let told = sending.progress().await;
    assert_eq!((told.state, told.held), (UploadState::Refused, vec![]));
    no_parts(&registry).await;
    registry.assert_absent(&image).await;
    sending.send_range(0, total).await;
    assert_eq!(sending.progress().await.state, UploadState::Open);
    // Another file than was announced, and another image than is in it.
    let other = sending.commit_as(FileDigest::of_bytes(b"other")).await;
    assert_eq!(refused(other).await, (422, "file-digest-mismatch".to_owned()));
    let body = Commit { file_digest: sending.digest(), image_id: Some(hello().id) };
    let other = sending.commit_with(&body).await;
    assert_eq!(refused(other).await, (422, "image-id-mismatch".to_owned()));
    // Only what was asked for was wrong, of what is held nothing is.
    assert_eq!(sending.progress().await.state, UploadState::Open);
    // The disk lost one: the file is asked for again.
    let lost = files_below(&registry.data().join("blobs/part"));
    std::fs::remove_file(&lost[0]).unwrap();
    assert_eq!(refused(sending.commit().await).await, (409, "upload-gaps".to_owned()));
    assert_eq!(sending.progress().await.held, []);
    sending.send_range(0, total).await;
    assert_eq!(sending.commit().await.status(), StatusCode::CREATED);
    sending.assert_served().await;
    let other = sending.commit_with(&body).await;
    assert_eq!(refused(other).await, (422, "image-id-mismatch".to_owned()));
    let told = sending.progress().await;
    assert_eq!((told.state, told.refusal), (UploadState::Published, None));
}

#[tokio::test]
async fn stream_is_the_whole_file_that_was_announced() {
    let (registry, token) = started().await;
    let image = large("example.com/team/a:1", 1, 100_000);
    let announced = CreateUpload {
        signature: String::from_utf8(sign(team_key(), &image.bytes)).unwrap(),
        file_bytes: Some(10),
        file_digest: None,
    };
    let request = registry.client.post(registry.url("/-/api/v1/uploads")).bearer_auth(&token);
    let upload: Upload = request.json(&announced).send().await.unwrap().json().await.unwrap();
    let sent = registry.send(&token, &upload.path, image.bytes.clone()).await;
    assert_eq!(refused(sent).await, (409, "range-foreign".to_owned()));
    // Its length is not known before the end.
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(image.bytes.clone())]);
    let body = reqwest::Body::wrap_stream(chunks);
    let request = registry.client.put(registry.url(&upload.path)).bearer_auth(&token);
    let sent = request.body(body).send().await.unwrap();
    assert_eq!(refused(sent).await, (409, "range-foreign".to_owned()));
    let sending = Sending::open(&registry, &token, &image).await;
    let request = registry.client.put(registry.url(&sending.path)).bearer_auth(&token);
    let total = image.bytes.len();
    let request = request.header("content-range", format!("bytes 0-{}/{total}", total - 1));
    let sent = request.body(image.bytes.clone()).send().await.unwrap();
    assert_eq!(refused(sent).await, (400, "range-of-whole".to_owned()));
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn upload_that_was_ended_publishes_nothing() {
    let (registry, token) = started().await;
    let image = large("example.com/team/a:1", 1, 300_000);
    let sending = Sending::open(&registry, &token, &image).await;
    let request = registry.client.put(registry.url(&sending.path)).bearer_auth(&token);
    let sent = send_and_meanwhile(request, &image, async {
        assert_eq!(sending.abort().await.status(), StatusCode::NO_CONTENT);
    });
    assert_eq!(refused(sent.await).await, (404, "upload-unknown".to_owned()));
    unseen(&registry, &image).await;
}

#[tokio::test]
async fn key_that_goes_while_an_image_is_sent_does_not_count() {
    let (registry, token) = started().await;
    let image = large("example.com/team/a:1", 1, 300_000);
    let place = registry.place().await;
    let sending = Sending::open(&registry, &token, &image).await;
    let request = registry.client.put(registry.url(&sending.path)).bearer_auth(&token);
    let sent = send_and_meanwhile(request, &image, async {
        let (prefix, now) = ("example.com/team".parse().unwrap(), SystemTime::now());
        let (key, limits) = (&team_key().fingerprint, Limits::default());
        assert!(admin::remove_key(&place, &prefix, key, &limits, now).await.unwrap());
    });
    assert_eq!(refused(sent.await).await, (422, "signer-not-trusted".to_owned()));
    unseen(&registry, &image).await;
}

#[tokio::test]
async fn commit_makes_the_same_checks_as_a_stream() {
    let (registry, token) = started().await;
    registry.publish(&token, &large("example.com/team/taken:1", 3, 1000), team_key()).await;
    let narrow = registry.token("example.com/team/below").await;
    registry.add_key("example.org", team_key()).await;
    for (token, image, status, code) in [
        (&token, large("example.com/other:1", 1, 1000), 422, "signer-wrong-prefix"),
        (&token, large("example.org/a:1", 1, 1000), 422, "domain-not-served"),
        (&narrow, large("example.com/team/a:1", 1, 1000), 403, "name-not-allowed"),
        (&token, large("example.com/team/taken:1", 4, 1000), 409, "version-exists"),
    ] {
        let sending = Sending::open(&registry, token, &image).await;
        sending.send_range(0, image.bytes.len()).await;
        for _ in 0..2 {
            assert_eq!(refused(sending.commit().await).await, (status, code.to_owned()));
        }
        let told = sending.progress().await;
        assert_eq!(
            (told.state, told.refusal.unwrap().code),
            (UploadState::Refused, code.to_owned())
        );
        let blob = registry.get(&format!("/-/blobs/{}.aci", image.id)).await;
        assert_eq!(blob.status(), StatusCode::NOT_FOUND, "{code}");
    }
    // What was refused for want of a key needs no second journey.
    let image = large("example.com/other:1", 1, 1000);
    let sending = Sending::open(&registry, &token, &image).await;
    sending.send_range(0, image.bytes.len()).await;
    assert_eq!(sending.commit().await.status(), 422);
    registry.add_key("example.com/other", team_key()).await;
    assert_eq!(sending.commit().await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn commit_by_several_at_once_makes_one_image() {
    let (registry, token) = started().await;
    let image = large("example.com/team/a:1", 1, 1 << 20);
    let sending = Sending::open(&registry, &token, &image).await;
    let total = image.bytes.len();
    // All ranges at once, and some of them twice.
    let bounds: Vec<_> =
        (0..total).step_by(100_000).map(|at| (at, total.min(at + 100_000))).collect();
    let sent = bounds.iter().chain(&bounds).map(|(first, end)| sending.patch(*first, *end));
    for sent in join_all(sent).await {
        let status = sent.status();
        assert_eq!(status, 200, "{}", sent.text().await.unwrap());
    }
    assert_eq!(held(&sending.progress().await), [(0, total as u64)]);
    let committed = join_all((0..6).map(|_| sending.commit())).await;
    let statuses: Vec<u16> = committed.iter().map(|answer| answer.status().as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 201].contains(status)), "{statuses:?}");
    for answer in committed {
        assert_eq!(answer.json::<Pushed>().await.unwrap().image_id, image.id);
    }
    sending.assert_served().await;
    no_parts(&registry).await;
}
