//! A push that breaks off, and registries of other kinds and moods.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aci::Refusal;
use aci::push::{
    ByteRange, Commit, CreateUpload, ErrorBody, Progress, Pushed, Upload, UploadState,
};
use discovery::Kind;
use discovery::http::Retries;
use discovery::observer::{Event, Observer};
use discovery::push::{Done, Push, PushError, Token};

use super::support::{NoPause, Reply, Request, World, noise, ready_to_push, told};

const UPLOADS: &str = "/-/api/v1/uploads";
const UPLOAD: &str = "/-/api/v1/uploads/u1";

struct Scene {
    world: World,
    image: PathBuf,
    signature: PathBuf,
    pushed: Pushed,
    pace: Arc<NoPause>,
}

async fn scene() -> Scene {
    let pace = Arc::new(NoPause::default());
    let retries = Retries { count: 3, pace: pace.clone() };
    let world = World::with(|options| options.retries = retries).await;
    let (image, signature, pushed) = ready_to_push(&world, &noise(300_000));
    Scene { world, image, signature, pushed, pace }
}

impl Scene {
    async fn push(&self, observer: &Arc<dyn Observer>) -> Result<Done, PushError> {
        let token: Token = "secret".parse().unwrap();
        self.world.client.push(self.what(&token), observer).await
    }

    fn what<'a>(&'a self, token: &'a Token) -> Push<'a> {
        Push { image: &self.image, signature: &self.signature, registry: None, token }
    }

    async fn push_quietly(&self) -> Result<Done, PushError> {
        let silent: Arc<dyn Observer> = Arc::new(discovery::observer::Silent);
        self.push(&silent).await
    }

    /// An upload that holds these ranges, each up to an end.
    fn upload(&self, state: UploadState, held: &[(u64, u64)]) -> Upload {
        let held = held.iter().map(|(first, end)| ByteRange::new(*first, *end).unwrap()).collect();
        let progress = Progress {
            state,
            held,
            file_bytes: Some(self.pushed.file_bytes),
            file_digest: Some(self.pushed.file_digest.clone()),
            expires: jiff::Timestamp::UNIX_EPOCH,
            image: (state == UploadState::Published).then(|| self.pushed.clone()),
            refusal: None,
        };
        Upload { id: "u1".to_owned(), path: UPLOAD.to_owned(), progress: Some(progress) }
    }

    /// Answers one request after the other at this target; the last answer stays.
    fn answers(&self, target: &str, replies: Vec<Reply>) {
        let left = Mutex::new(replies);
        self.world.put(
            target,
            Reply::by(move |_| {
                let mut left = left.lock().unwrap();
                if left.len() > 1 { left.remove(0) } else { left[0].clone() }
            }),
        );
    }

    fn asked(&self) -> Vec<String> {
        let requests = self.world.server.requests();
        requests.iter().map(|request| format!("{} {}", request.method, request.target)).collect()
    }
}

fn json(status: u16, body: &impl serde::Serialize) -> Reply {
    Reply::Whole(status, serde_json::to_vec(body).unwrap())
}

fn refusal(status: u16, code: &str) -> Reply {
    json(status, &body(code))
}

fn body(code: &str) -> ErrorBody {
    let [message, wanted, found, rule, next] = ["m", "w", "f", "r", "n"].map(str::to_owned);
    ErrorBody {
        error: Refusal { code: code.into(), message, wanted, found, rule, next },
        upload: None,
    }
}

/// An observer that adds up what has moved, which must never be more than there is.
#[derive(Default)]
struct Sum(Mutex<(u64, u64, Vec<String>)>);

impl Observer for Sum {
    fn event(&self, event: Event<'_>) {
        let mut sum = self.0.lock().unwrap();
        match event {
            Event::Advanced(bytes) => {
                sum.0 += bytes;
                assert!(sum.0 <= sum.1, "more has moved than there is");
            }
            Event::Started(total) => sum.1 += total.unwrap(),
            other => sum.2.push(format!("{other:?}")),
        }
    }
}

#[tokio::test]
async fn push_whose_answer_was_lost_sends_what_is_missing_and_commits() {
    let scene = scene().await;
    let total = scene.pushed.file_bytes;
    let open = |held: &[(u64, u64)]| json(200, &scene.upload(UploadState::Open, held));
    scene.answers(UPLOADS, vec![json(201, &scene.upload(UploadState::Open, &[]))]);
    // The stream; where it stands; two ranges, the answer to the first of which is lost as well.
    scene.answers(
        UPLOAD,
        vec![
            Reply::Close,
            open(&[(0, 100_000), (200_000, 210_000)]),
            Reply::Close,
            open(&[(0, 210_000)]),
            open(&[(0, total)]),
        ],
    );
    let commit = format!("{UPLOAD}/commit");
    scene.answers(&commit, vec![Reply::Close, json(200, &scene.pushed)]);
    let sum = Arc::new(Sum::default());
    let observer: Arc<dyn Observer> = sum.clone();
    let done = scene.push(&observer).await.unwrap();
    assert_eq!(done.pushed, scene.pushed);
    let [put, get, patch] = ["PUT", "GET", "PATCH"].map(|method| format!("{method} {UPLOAD}"));
    let post = format!("POST {commit}");
    let wanted = [&format!("POST {UPLOADS}"), &put, &get, &patch, &get, &patch, &post, &get, &post];
    assert_eq!(scene.asked().iter().collect::<Vec<_>>(), wanted);
    let requests = scene.world.server.requests();
    let bytes = std::fs::read(&scene.image).unwrap();
    for (at, first, end) in [(3, 100_000, 200_000), (5, 210_000, total)] {
        let request: &Request = &requests[at];
        let range = format!("bytes {first}-{}/{total}", end - 1);
        assert_eq!(request.header("content-range"), Some(&*range));
        assert_eq!(request.body, bytes[first as usize..end as usize]);
    }
    let create: CreateUpload = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(create.file_digest.as_ref(), Some(&scene.pushed.file_digest));
    let commit: Commit = serde_json::from_slice(&requests[8].body).unwrap();
    assert_eq!(commit.file_digest, scene.pushed.file_digest);
    let (moved, of, said) = sum.0.lock().unwrap().clone();
    assert_eq!((moved, of), (total, total));
    assert_eq!(said.iter().filter(|said| *said == "Moved").count(), 1, "{said:?}");
}

#[tokio::test]
async fn push_that_is_run_again_asks_what_is_held() {
    let scene = scene().await;
    let total = scene.pushed.file_bytes;
    scene.answers(UPLOADS, vec![json(200, &scene.upload(UploadState::Open, &[(0, 100_000)]))]);
    scene.answers(UPLOAD, vec![json(200, &scene.upload(UploadState::Open, &[(0, total)]))]);
    scene.answers(&format!("{UPLOAD}/commit"), vec![json(201, &scene.pushed)]);
    scene.push_quietly().await.unwrap();
    let asked = scene.asked();
    assert_eq!(asked[1..], [format!("PATCH {UPLOAD}"), format!("POST {UPLOAD}/commit")]);
    // All is held, or served: nothing is sent.
    scene.answers(UPLOADS, vec![json(200, &scene.upload(UploadState::Refused, &[(0, total)]))]);
    scene.push_quietly().await.unwrap();
    assert_eq!(scene.asked()[4..], [format!("POST {UPLOAD}/commit")]);
    scene.answers(UPLOADS, vec![json(200, &scene.upload(UploadState::Published, &[]))]);
    scene.push_quietly().await.unwrap();
    assert_eq!(scene.asked().len(), 6);
}

#[tokio::test]
async fn push_to_a_registry_that_knows_one_stream_alone() {
    let scene = scene().await;
    let old = Upload { progress: None, ..scene.upload(UploadState::Open, &[]) };
    scene.answers(UPLOADS, vec![refusal(400, "request-malformed"), json(201, &old)]);
    scene.answers(
        UPLOAD,
        vec![Reply::Close, refusal(400, "upload-interrupted"), json(201, &scene.pushed)],
    );
    scene.push_quietly().await.unwrap();
    let put = format!("PUT {UPLOAD}");
    let [post, again] = [(); 2].map(|()| format!("POST {UPLOADS}"));
    assert_eq!(scene.asked(), [post, again, put.clone(), put.clone(), put]);
    let requests = scene.world.server.requests();
    let create: CreateUpload = serde_json::from_slice(&requests[1].body).unwrap();
    assert_eq!(create.file_digest, None);
    assert!(requests[2..].iter().all(|put| put.body == std::fs::read(&scene.image).unwrap()));
    // What stands in front of it knows one stream alone.
    for status in [404, 405, 501] {
        let before = scene.asked().len();
        scene.answers(UPLOADS, vec![json(201, &scene.upload(UploadState::Open, &[]))]);
        let absent = Reply::Whole(status, b"no".to_vec());
        scene.answers(UPLOAD, vec![Reply::Close, absent, json(201, &scene.pushed)]);
        scene.push_quietly().await.unwrap();
        let methods: Vec<_> =
            scene.world.server.requests()[before..].iter().map(|r| r.method.clone()).collect();
        assert_eq!(methods, ["POST", "PUT", "GET", "PUT"], "{status}");
    }
    // Several images at once need more.
    scene.answers(UPLOADS, vec![json(201, &old)]);
    let token: Token = "secret".parse().unwrap();
    let silent: Arc<dyn Observer> = Arc::new(discovery::observer::Silent);
    let pushes = [scene.what(&token), scene.what(&token)];
    let error = scene.world.client.push_together(&pushes, &silent).await.unwrap_err();
    assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::Server, "groups-unknown"));
    let many = vec![scene.what(&token); 65];
    let error = scene.world.client.push_together(&many, &silent).await.unwrap_err();
    assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::Usage, "group-size"));
}

#[tokio::test]
async fn push_waits_as_long_as_it_is_told_and_gives_up_in_the_end() {
    let scene = scene().await;
    let busy = |seconds: u32| {
        let body = serde_json::to_vec(&body("busy")).unwrap();
        Reply::said(503, &format!("Retry-After: {seconds}\r\n"), body)
    };
    let open = json(201, &scene.upload(UploadState::Open, &[]));
    scene.answers(UPLOADS, vec![busy(7), refusal(429, "slow"), open.clone()]);
    scene.answers(UPLOAD, vec![json(201, &scene.pushed)]);
    scene.push_quietly().await.unwrap();
    let pauses: Vec<f64> =
        scene.pace.0.lock().unwrap().drain(..).map(|pause| pause.as_secs_f64()).collect();
    assert_eq!(pauses, [7.0, 0.375]);
    // Longer than anybody waits, and answers that stay as they are.
    for (reply, kind) in [
        (busy(1000), Kind::Network),
        (refusal(507, "storage-full"), Kind::Server),
        (refusal(409, "version-exists"), Kind::Server),
        (refusal(422, "signature-invalid"), Kind::Server),
    ] {
        let before = scene.asked().len();
        scene.answers(UPLOAD, vec![reply]);
        assert_eq!(scene.push_quietly().await.unwrap_err().kind(), kind);
        assert_eq!(scene.asked().len(), before + 2);
    }
    scene.answers(UPLOAD, vec![busy(1000)]);
    let error = scene.push_quietly().await.unwrap_err();
    assert!(told(&error).next.ends_with("the registry asks to wait for 17 minutes"), "{error:?}");
    let bare = Reply::said(503, "Retry-After: 7300\r\n", b"<html>".to_vec());
    scene.answers(UPLOAD, vec![bare]);
    let error = scene.push_quietly().await.unwrap_err();
    assert_eq!(told(&error).next, "try again in 3 hours, as the server asks");
    // So often in a row, without progress.
    let before = scene.asked().len();
    scene.answers(UPLOAD, vec![Reply::Close]);
    assert_eq!(scene.push_quietly().await.unwrap_err().kind(), Kind::Network);
    assert_eq!(scene.asked().len() - before, 5);
    // An upload that is over is opened anew.
    scene.answers(UPLOAD, vec![refusal(404, "upload-unknown"), json(201, &scene.pushed)]);
    let before = scene.asked().len();
    let pushed = scene.push_quietly().await;
    assert!(pushed.is_ok(), "{pushed:?} {:?}", &scene.asked()[before..]);
}
