//! Downloads that break off, and go on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aci::archive::Compression;
use discovery::Kind;
use discovery::fetch::{FetchError, Fetched, Trust};
use discovery::http::{HttpError, Retries};

use super::support::{
    Author, NoPause, Reply, Request, World, files_below, noise, tar_image, told, trust,
};

const ASKED: &str = "example.com/a:1.0.0";
const VALIDATORS: &str = "ETag: \"one\"\r\nLast-Modified: Mon, 06 Jan 2025 10:00:00 GMT\r\n";

/// A world that tries again `count` times, and how long it paused.
async fn patient(count: u32) -> (World, Arc<NoPause>) {
    let pace = Arc::new(NoPause::default());
    let retries = Retries { count, pace: pace.clone() };
    (World::with(|options| options.retries = retries).await, pace)
}

/// An image that is served with its signature beside it; how the image is answered is for
/// the test.
struct Scene {
    world: World,
    trust: Trust,
    image: Arc<Vec<u8>>,
}

impl Scene {
    fn new(world: World, size: usize) -> Self {
        let author = Author::new("team <team@example.com>");
        let image = tar_image(ASKED, &noise(size), Compression::None);
        world.serve("example.com/a", "1.0.0", &image, &author.sign(&image));
        Self { trust: trust(&author, "example.com"), world, image: Arc::new(image) }
    }

    fn path(&self) -> String {
        self.world.paths("example.com/a", "1.0.0").0
    }

    fn answer(&self, handler: impl Fn(&Request, &[u8]) -> Reply + Send + Sync + 'static) {
        let image = Arc::clone(&self.image);
        self.world.put(&self.path(), Reply::by(move |request| handler(request, &image)));
    }

    async fn fetch(&self) -> Result<Fetched, FetchError> {
        self.world.fetch(ASKED, &self.trust).await
    }

    async fn fetches(&self) {
        let id = self.fetch().await.unwrap().imported.record.image_id;
        let folder = self.world.folder.path().join("store/images");
        let path = folder.join(&id.digits()[..2]).join(id.digits()).join("image.aci");
        assert!(std::fs::read(path).unwrap() == *self.image, "the image is not the one served");
        assert_eq!(self.partials(), 0);
    }

    /// Files of unfinished downloads.
    fn partials(&self) -> usize {
        files_below(&self.world.folder.path().join("store/partial")).len()
    }

    /// The beginnings of the ranges asked for, in order; 0 where all was asked for.
    fn begun(&self) -> Vec<usize> {
        let requests = self.world.server.requests();
        requests.iter().filter(|r| r.target == self.path()).map(from).collect()
    }
}

/// Where the client wants to go on.
fn from(request: &Request) -> usize {
    let range = request.header("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-'));
    range.map_or(0, |range| range.parse().unwrap())
}

/// The part of a file from where it is asked for, as an honest server gives it, up to `until`.
fn part(request: &Request, image: &[u8], until: usize, reset: bool) -> Reply {
    let from = from(request);
    let (status, range) = if from > 0 {
        (206, format!("Content-Range: bytes {from}-{}/{}\r\n", image.len() - 1, image.len()))
    } else {
        (200, String::new())
    };
    let headers = format!("{VALIDATORS}{range}");
    let body = image[from..until.max(from)].to_vec();
    Reply::Cut { status, headers, announced: image.len() - from, body, reset }
}

#[tokio::test]
async fn resume_after_200_drops_resends_little() {
    let (world, _) = patient(10).await;
    let scene = Scene::new(world, 12 << 20);
    let size = scene.image.len();
    // Drawn once for all: every run drops at the same 200 points.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut points: Vec<usize> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        1 + (state >> 33) as usize % (size - 1)
    })
    .take(200)
    .collect();
    points.sort_unstable();
    let (drops, sent) = (points.clone(), Arc::new(Mutex::new(Vec::new())));
    let written = Arc::clone(&sent);
    scene.answer(move |request, image| {
        let mut written = written.lock().unwrap();
        let until = drops.get(written.len()).copied().unwrap_or(image.len());
        let reset = until < image.len() && written.len() % 2 == 0;
        let reply = part(request, image, until, reset);
        let Reply::Cut { body, .. } = &reply else { unreachable!() };
        written.push((from(request), from(request) + body.len()));
        reply
    });
    scene.fetches().await;
    let sent = sent.lock().unwrap();
    assert_eq!(sent.len(), 201, "each drop is one more request");
    for pair in sent.windows(2) {
        let ((_, ended), (begins, _)) = (pair[0], pair[1]);
        assert!(begins <= ended, "bytes {ended} to {begins} were never sent");
        assert!(ended - begins <= 1 << 20, "{} bytes were sent again", ended - begins);
    }
    for request in scene.world.server.requests().iter().filter(|r| r.header("range").is_some()) {
        assert_eq!(request.header("if-range"), Some("\"one\""));
    }
}

#[tokio::test]
async fn resume_after_the_process_ended_reads_what_is_there() {
    let (world, _) = patient(0).await;
    let scene = Scene::new(world, 4 << 20);
    scene.answer(|request, image| part(request, image, 3 << 20, false));
    let error = scene.fetch().await.unwrap_err();
    assert!(matches!(error, FetchError::Truncated { .. }), "{error:?}");
    assert_eq!(scene.partials(), 2, "the bytes, and what they are of");
    scene.answer(|request, image| part(request, image, image.len(), false));
    scene.fetches().await;
    assert_eq!(scene.begun(), [0, 3 << 20]);
}

#[tokio::test]
async fn resume_of_a_download_that_lacked_nothing_asks_for_one_byte() {
    let (world, _) = patient(0).await;
    let scene = Scene::new(world, 100_000);
    let size = scene.image.len();
    // All bytes came, and the process ended before they were verified.
    scene.answer(|request, image| part(request, image, image.len() - 1, false));
    scene.fetch().await.unwrap_err();
    let partial = std::fs::read_dir(scene.world.folder.path().join("store/partial")).unwrap();
    let path = partial.map(|e| e.unwrap().path()).find(|p| p.extension().is_none()).unwrap();
    std::fs::write(path, &*scene.image).unwrap();
    scene.answer(|request, image| part(request, image, image.len(), false));
    scene.fetches().await;
    assert_eq!(scene.begun(), [0, size - 1]);
}

#[tokio::test]
async fn partial_that_was_damaged_costs_a_download_and_no_more() {
    let (world, _) = patient(0).await;
    let scene = Scene::new(world, 1 << 20);
    scene.answer(|request, image| part(request, image, 1 << 19, false));
    scene.fetch().await.unwrap_err();
    let partial = std::fs::read_dir(scene.world.folder.path().join("store/partial")).unwrap();
    let path = partial.map(|e| e.unwrap().path()).find(|p| p.extension().is_none()).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100_000] ^= 1;
    std::fs::write(path, bytes).unwrap();
    scene.answer(|request, image| part(request, image, image.len(), false));
    scene.fetches().await;
    assert_eq!(scene.begun(), [0, 1 << 19, 0]);
}

#[tokio::test]
async fn file_that_changed_starts_over() {
    type Answer = fn(&Request, &[u8]) -> Reply;
    let changed: [(&str, Answer); 5] = [
        ("200 in the place of 206", |_, image| Reply::said(200, VALIDATORS, image)),
        ("416", |request, image| match from(request) {
            0 => Reply::said(200, VALIDATORS, image),
            _ => Reply::said(416, "Content-Range: bytes */7\r\n", ""),
        }),
        ("another ETag", |request, image| match from(request) {
            0 => Reply::said(200, "ETag: \"two\"\r\n", image),
            from => Reply::said(
                206,
                &format!(
                    "ETag: \"two\"\r\nContent-Range: bytes {from}-{0}/{1}\r\n",
                    image.len() - 1,
                    image.len()
                ),
                &image[from..],
            ),
        }),
        ("another length", |request, image| match from(request) {
            0 => Reply::said(200, VALIDATORS, image),
            from => Reply::said(
                206,
                &format!("Content-Range: bytes {from}-{0}/{1}\r\n", image.len(), image.len() + 1),
                [&image[from..], b"x"].concat(),
            ),
        }),
        ("another beginning", |request, image| match from(request) {
            0 => Reply::said(200, VALIDATORS, image),
            from => Reply::said(
                206,
                &format!(
                    "Content-Range: bytes {}-{}/{}\r\n",
                    from - 1,
                    image.len() - 1,
                    image.len()
                ),
                &image[from - 1..],
            ),
        }),
    ];
    for (what, answer) in changed {
        // Within one process.
        let scene = Scene::new(patient(3).await.0, 1 << 20);
        let calls = Mutex::new(0);
        scene.answer(move |request, image| {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            if *calls == 1 { part(request, image, 1 << 19, false) } else { answer(request, image) }
        });
        scene.fetches().await;
        let begun = scene.begun();
        assert_eq!((begun[0], begun[1] > 0, begun[2]), (0, true, 0), "{what}: {begun:?}");
        // And by a later one.
        let scene = Scene::new(patient(0).await.0, 1 << 20);
        scene.answer(|request, image| part(request, image, 1 << 19, false));
        scene.fetch().await.unwrap_err();
        scene.answer(answer);
        scene.fetches().await;
    }
}

#[tokio::test]
async fn file_that_cannot_be_known_again_starts_over() {
    let (world, _) = patient(2).await;
    let scene = Scene::new(world, 1 << 20);
    let calls = Mutex::new(0);
    scene.answer(move |_, image| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        match *calls {
            1 => Reply::Short { announced: image.len(), body: image[..1 << 19].to_vec() },
            _ => Reply::ok(image),
        }
    });
    scene.fetches().await;
    assert_eq!(scene.begun(), [0, 0]);
}

#[tokio::test]
async fn server_that_makes_no_progress_is_given_up() {
    let (world, pace) = patient(3).await;
    let scene = Scene::new(world, 1 << 20);
    scene.answer(|request, image| part(request, image, from(request) + 10, false));
    let error = scene.fetch().await.unwrap_err();
    assert_eq!(told(&error).code, "download-truncated");
    assert_eq!(scene.begun(), [0, 10, 20, 30]);
    assert_eq!(pace.0.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn refused_image_leaves_no_part_behind() {
    let (world, _) = patient(0).await;
    let scene = Scene::new(world, 1 << 20);
    scene.answer(|request, image| {
        let mut image = image.to_vec();
        image[1 << 19] ^= 1;
        part(request, &image, image.len(), false)
    });
    let error = scene.fetch().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert_eq!(scene.partials(), 0);
}

#[tokio::test]
async fn busy_server_is_asked_again_when_it_says() {
    let (world, pace) = patient(2).await;
    let scene = Scene::new(world, 1000);
    let calls = Mutex::new(0);
    scene.answer(move |_, image| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        match *calls {
            1 => Reply::said(503, "Retry-After: 7\r\n", ""),
            2 => Reply::said(
                429,
                "Date: Mon, 06 Jan 2025 10:00:00 GMT\r\nRetry-After: Mon, 06 Jan 2025 10:00:09 GMT\r\n",
                "",
            ),
            _ => Reply::ok(image),
        }
    });
    scene.fetches().await;
    assert_eq!(*pace.0.lock().unwrap(), [Duration::from_secs(7), Duration::from_secs(9)]);
}

#[tokio::test]
async fn refusal_and_long_wait_are_not_asked_again() {
    for (status, headers) in [(404, ""), (403, ""), (501, ""), (503, "Retry-After: 100000\r\n")] {
        let (world, pace) = patient(2).await;
        let scene = Scene::new(world, 1000);
        scene.answer(move |_, _| Reply::said(status, headers, ""));
        scene.fetch().await.unwrap_err();
        assert_eq!(scene.begun().len(), 1, "{status}");
        assert!(pace.0.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn signature_may_come_after_the_image() {
    let (world, _) = patient(0).await;
    let scene = Scene::new(world, 1 << 20);
    let signature = scene.world.paths("example.com/a", "1.0.0").1;
    scene.answer(|request, image| part(request, image, image.len(), false));
    // Not after the image either.
    let served = scene.world.reply(&signature);
    scene.world.put(&signature, Reply::Whole(202, Vec::new()));
    let error = scene.fetch().await.unwrap_err();
    assert_eq!((told(&error).code.as_str(), error.kind()), ("deferred", Kind::Server));
    assert!(scene.world.store().list().unwrap().images.is_empty());
    let targets = scene.world.server.targets();
    let asked: Vec<_> = targets.iter().filter(|t| t.starts_with("/files/")).collect();
    assert_eq!(asked, [&signature, &scene.path(), &signature]);
    // After the image.
    let calls = Mutex::new(0);
    scene.world.put(
        &signature,
        Reply::by(move |_| {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            if *calls == 1 { Reply::Whole(202, Vec::new()) } else { served.clone() }
        }),
    );
    scene.fetches().await;
    // An image cannot be deferred.
    let id = scene.world.store().list().unwrap().images[0].image_id.clone();
    scene.world.store().remove(&id).unwrap();
    scene.answer(|_, _| Reply::Whole(202, Vec::new()));
    let error = scene.fetch().await.unwrap_err();
    assert!(matches!(error, FetchError::Deferred { what: "image", .. }), "{error:?}");
}

#[tokio::test]
async fn image_that_takes_too_long_is_given_up() {
    let world = World::with(|options| {
        options.timeouts.total = Some(Duration::from_millis(300));
    })
    .await;
    let scene = Scene::new(world, 1000);
    scene.answer(|_, _| Reply::Silence);
    let error = scene.fetch().await.unwrap_err();
    assert_eq!((told(&error).code.as_str(), error.kind()), ("too-slow", Kind::Network));
}

#[tokio::test]
async fn image_larger_than_its_limit_is_not_begun() {
    let world = World::with(|options| options.limits.file_bytes = 5000).await;
    let scene = Scene::new(world, 10_000);
    let error = scene.fetch().await.unwrap_err();
    assert!(
        matches!(error, FetchError::Http(HttpError::TooLarge { limit: 5000, .. })),
        "{error:?}"
    );
    assert_eq!(scene.partials(), 0);
}
