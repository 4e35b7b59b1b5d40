//! Calls to the disk that fail, one after the other, while an image is pushed. The push is answered and
//! the image is whole, or it is refused and nothing of it is to be seen; the server lives on, and the
//! next push of the image succeeds.
//!
//! `strace` makes the calls fail, each in its turn: some of them, or all where `GANTRY_FAULTS=all`. It
//! counts by thread, so it is attached to the one whose call is meant; and the server has two threads for
//! what blocks, which a commit of ranges needs, so that soon the same one makes the same call again. Where
//! the disk fails from one call on, it does in all threads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use aci::FileDigest;
use aci::push::{ByteRange, Commit, CreateUpload, Upload, UploadState};
use registry::{Action, Clock, Place, admin};
use reqwest::{RequestBuilder, Response};

use crate::crash::{Outcome, Victim, look};
use crate::fixture::*;
use crate::ranges::large;

/// Calls that may fail, as strace selects them. Those of the first come first: the folders that a push
/// makes are there for the next one.
const KINDS: [(&str, &str); 10] = [
    ("mkdir", "?mkdir,mkdirat"),
    ("open", "?open,openat"),
    ("write", "write"),
    ("pwrite", "pwrite64"),
    ("truncate", "ftruncate"),
    ("allocate", "fallocate"),
    ("fsync", "fsync"),
    ("fdatasync", "fdatasync"),
    ("link", "?link,linkat"),
    ("rename", "?rename,?renameat,renameat2"),
];
const UNLINK: &str = "?unlink,unlinkat";
/// Longer than a push takes where no file is removed.
const REMOVES: Duration = Duration::from_millis(500);

/// How often a call is waited for that was made before, by one of two threads.
const TRIES: usize = 6;

/// How an image is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Stream,
    Ranges,
    Acpush,
}

impl Way {
    const ALL: [Self; 3] = [Self::Stream, Self::Ranges, Self::Acpush];
}

/// For how long calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// This one does.
    Once,
    /// All that follow do too, until the server is killed when it has answered.
    Lasting,
    /// This one does, and the server is killed while it takes back what it has stored.
    TakingBack,
}

/// Which call fails, and how.
#[derive(Debug, Clone, Copy)]
struct Point {
    way: Way,
    kind: (&'static str, &'static str),
    /// The thread that makes the call, where it is not each.
    thread: Option<u32>,
    /// Of the calls of a thread.
    nth: usize,
    error: &'static str,
    end: End,
}

impl Point {
    fn inject(&self) -> Vec<String> {
        let Self { kind: (_, calls), nth, error, end, .. } = self;
        let lasting = if *end == End::Lasting { "+" } else { "" };
        let mut all = vec![format!("{calls}:error={error}:when={nth}{lasting}")];
        if *end == End::TakingBack {
            all.push(format!("{UNLINK}:delay_exit=5000000"));
        }
        all
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { way, kind: (name, _), thread, nth, error, end } = self;
        let thread = thread.map_or_else(|| "each".to_owned(), |thread| thread.to_string());
        write!(f, "{way:?}, {name} {nth} of thread {thread}, {error}, {end:?}")
    }
}

/// A call as strace has seen it.
#[derive(Debug)]
struct Call {
    thread: u32,
    failed: bool,
}

/// A tracer of a server.
struct Tracer {
    process: Child,
    log: PathBuf,
}

impl Tracer {
    /// Traces calls of a kind, those that lead to some paths where any are given, of one thread or of all,
    /// and makes some fail.
    fn attach(
        victim: &Victim,
        data: &Path,
        calls: &str,
        paths: &[PathBuf],
        thread: Option<u32>,
        inject: &[String],
    ) -> Self {
        let log = data.with_extension("strace");
        let mut strace = Command::new("strace");
        match thread {
            // Two of the same, as it says whose a call is where there are several.
            Some(thread) => strace.arg("-p").arg(format!("{thread},{}", victim.process.id())),
            None => strace.arg("-f").arg("-p").arg(victim.process.id().to_string()),
        };
        strace.arg("-o").arg(&log);
        strace.arg("-e").arg(format!("trace={calls},{UNLINK}"));
        for inject in inject {
            strace.arg("-e").arg(format!("inject={inject}"));
        }
        for path in paths {
            strace.arg("-P").arg(path);
        }
        let process = strace.stderr(Stdio::piped()).spawn();
        let mut process = process.expect("strace is missing: apt-get install strace");
        let (mut said, mut errors) =
            (String::new(), BufReader::new(process.stderr.take().unwrap()));
        while !said.contains(" attached") {
            let more = errors.read_line(&mut said).unwrap();
            assert!(
                more > 0,
                "strace may not trace here, so that no call can be made to fail: {said}"
            );
        }
        // Nobody reads what else it says, and it is not to wait for that.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        Self { process, log }
    }

    /// Lets the server go on alone, where it has not ended; gives the calls in their order.
    fn end(mut self) -> Vec<Call> {
        let strace = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(strace, rustix::process::Signal::INT);
        // Where it has killed the server itself, it may wait for threads that are gone.
        let start = Instant::now();
        while self.process.try_wait().unwrap().is_none() {
            if start.elapsed() > Duration::from_secs(2) {
                let _ = self.process.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let log = std::fs::read_to_string(&self.log).unwrap();
        let mut calls: Vec<Call> = Vec::new();
        for line in log.lines() {
            let (thread, what) = line.split_once(' ').unwrap();
            let (thread, what) = (thread.parse().unwrap(), what.trim_start());
            let failed = what.ends_with("(INJECTED)");
            if what.starts_with("<... ") {
                let begun = calls.iter_mut().rfind(|call| call.thread == thread);
                begun.into_iter().for_each(|call| call.failed |= failed);
            } else if what.starts_with(|first: char| first.is_ascii_lowercase())
                && !what.starts_with("unlink")
            {
                calls.push(Call { thread, failed });
            }
        }
        calls
    }
}

/// A file without a name is told by its number, and those that come next have one near to that of this
/// one. Other files are not meant: threads wake each other up by writing to one.
fn nameless(spool: &Path) -> Vec<PathBuf> {
    let spool = spool.canonicalize().unwrap();
    let next = tempfile::tempfile_in(&spool).unwrap().metadata().unwrap().ino();
    (next.saturating_sub(300)..next + 300).map(|number| spool.join(format!("#{number}"))).collect()
}

/// What is answered to a push: its status, or that of the refusal and its code.
type Answer = Result<u16, (u16, String)>;

/// The answer, where it is no refusal. Where there is none, because the server died, its status is 0.
async fn ask(request: RequestBuilder) -> Result<Response, (u16, String)> {
    match request.send().await {
        Ok(answer) if answer.status().is_success() => Ok(answer),
        Ok(answer) => Err(refused(answer).await),
        Err(error) => Err((0, error.to_string())),
    }
}

/// What the points have come to.
#[derive(Default)]
struct Figures {
    points: usize,
    /// Calls that failed.
    failed: BTreeMap<(Way, &'static str), usize>,
    /// Which calls of which thread were the first to fail.
    places: BTreeMap<(Way, &'static str), BTreeSet<(u32, usize)>>,
    answers: BTreeMap<(&'static str, String), usize>,
}

struct Scene {
    place: Place,
    token: String,
    victim: Option<Victim>,
    /// Images made, and those of them that are pushed.
    made: u64,
    pushed: usize,
    figures: Figures,
}

impl Scene {
    async fn new(folder: &Path) -> Self {
        let place = place(folder).await;
        let token = Victim::token(&place, vec![Action::Push]).await;
        let (victim, figures) = (None, Figures::default());
        let mut scene = Self { place, token, victim, made: 0, pushed: 0, figures };
        scene.restart().await;
        scene
    }

    fn victim(&self) -> &Victim {
        self.victim.as_ref().unwrap()
    }

    /// Another server, that has pushed before: the first push opens what the next ones find open.
    async fn restart(&mut self) {
        self.victim = None;
        self.victim = Some(Victim::start_small(&self.place).await);
        let (image, signature) = self.image();
        self.push(Way::Stream, &image, &signature).await.unwrap();
    }

    /// The folder of the files of an image.
    fn folder(&self, image: &Image) -> PathBuf {
        self.place.data.join("blobs/sha512").join(&image.file_digits()[..2])
    }

    /// An image whose folder is not there yet.
    fn image(&mut self) -> (Image, Vec<u8>) {
        loop {
            self.made += 1;
            let reference = format!("example.com/crash:{}.0.0", self.made);
            let image = large(&reference, self.made, 140_000);
            // There are 256 of them.
            if !self.folder(&image).exists() || self.pushed > 100 {
                self.pushed += 1;
                let signature = sign(team_key(), &image.bytes);
                return (image, signature);
            }
        }
    }

    async fn push(&self, way: Way, image: &Image, signature: &[u8]) -> Answer {
        if way == Way::Acpush {
            return self.acpush(image, signature).await;
        }
        let (client, total) = (&self.victim().client, image.bytes.len());
        let url = |path: &str| format!("{}{path}", self.victim().url);
        let digest = FileDigest::of_bytes(&image.bytes);
        let in_ranges = way == Way::Ranges;
        let body = CreateUpload {
            signature: String::from_utf8(signature.to_vec()).unwrap(),
            file_bytes: in_ranges.then_some(total as u64),
            file_digest: in_ranges.then(|| digest.clone()),
        };
        let created = client.post(url("/-/api/v1/uploads")).bearer_auth(&self.token).json(&body);
        let upload: Upload = ask(created).await?.json().await.unwrap();
        let url = url(&upload.path);
        if way == Way::Stream {
            let sent = client.put(url).bearer_auth(&self.token).body(image.bytes.clone());
            return Ok(ask(sent).await?.status().as_u16());
        }
        let progress = upload.progress.unwrap();
        if progress.state == UploadState::Published {
            return Ok(200);
        }
        for missing in ByteRange::missing(&progress.held, total as u64) {
            let (first, end) = (missing.first() as usize, missing.end() as usize);
            let middle = if first == 0 { (total / 2).min(end) } else { end };
            for (first, end) in [(first, middle), (middle, end)] {
                if first < end {
                    let sent = client.patch(&url).bearer_auth(&self.token);
                    let range = format!("bytes {first}-{}/{total}", end - 1);
                    let sent = sent.header("content-range", range);
                    ask(sent.body(image.bytes[first..end].to_vec())).await?;
                }
            }
        }
        let commit = Commit { file_digest: digest, image_id: None };
        let commit = client.post(format!("{url}/commit")).bearer_auth(&self.token).json(&commit);
        Ok(ask(commit).await?.status().as_u16())
    }

    /// The requests of acpush, which reads what came of them in the last one.
    async fn acpush(&self, image: &Image, signature: &[u8]) -> Answer {
        let client = &self.victim().client;
        let url = |path: &str| format!("{}{path}", self.victim().url);
        let initiate = client.post(url("/-/acpush/example.com/crash")).bearer_auth(&self.token);
        let urls: serde_json::Value = ask(initiate).await?.json().await.unwrap();
        let of = |what: &str| {
            url(urls[what].as_str().unwrap().strip_prefix("https://example.com").unwrap())
        };
        let parts = [("upload_signature_url", signature), ("upload_aci_url", &image.bytes)];
        for (what, bytes) in parts {
            ask(client.put(of(what)).bearer_auth(&self.token).body(bytes.to_vec())).await?;
        }
        let said = client.post(of("completed_url")).bearer_auth(&self.token);
        let said = ask(said.json(&serde_json::json!({ "success": true }))).await?;
        let status = said.status().as_u16();
        let told: serde_json::Value = said.json().await.unwrap();
        match told["server_reason"].as_str() {
            Some(reason) => Err((500, reason.split(['\n', ';']).next().unwrap().to_owned())),
            None => Ok(status),
        }
    }

    fn attach(
        &self,
        (name, calls): (&str, &str),
        thread: Option<u32>,
        inject: &[String],
    ) -> Tracer {
        let data = &self.place.data;
        let paths = if name == "write" { nameless(&data.join("spool")) } else { Vec::new() };
        Tracer::attach(self.victim(), data, calls, &paths, thread, inject)
    }

    /// The calls of a push of which none fails.
    async fn calls(&mut self, way: Way, kind: (&str, &str)) -> Vec<Call> {
        let mut calls = Vec::new();
        for _ in 0..TRIES {
            calls = self.calls_of_one(way, kind).await;
            // The numbers of files may have jumped away from those that were watched.
            if !calls.is_empty() || kind.0 != "write" {
                break;
            }
        }
        calls
    }

    async fn calls_of_one(&mut self, way: Way, kind: (&str, &str)) -> Vec<Call> {
        let (image, signature) = self.image();
        let tracer = self.attach(kind, None, &[]);
        let wanted = if way == Way::Acpush { 200 } else { 201 };
        assert_eq!(self.push(way, &image, &signature).await, Ok(wanted));
        tracer.end()
    }

    /// Whether the call was made, and failed.
    async fn fail(&mut self, point: Point) -> bool {
        let (image, signature) = self.image();
        let Point { way, kind, thread, end, .. } = point;
        let tracer = self.attach(kind, thread, &point.inject());
        let push = self.push(way, &image, &signature);
        let answered = match end {
            End::TakingBack => tokio::time::timeout(REMOVES, push).await.ok(),
            _ => Some(push.await),
        };
        let killed = end == End::Lasting || answered.is_none();
        if killed {
            let process = rustix::process::Pid::from_child(&self.victim().process);
            rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        }
        let calls = tracer.end();
        if killed {
            self.restart().await;
        }
        let pushed = answered.unwrap_or_else(|| Err((0, "none, it was killed".to_owned())));
        let found = look(self.victim(), &image, &signature).await;
        let is_whole = found == Outcome::Whole;
        let told = match &pushed {
            Ok(status) => {
                assert!(is_whole, "{point}: answered with {status}, and lost");
                "done".to_owned()
            }
            Err((status, code)) => {
                assert!(*status >= 500 || killed && *status == 0, "{point}: {status} {code}");
                format!("{status} {code}{}", if is_whole { ", and whole" } else { "" })
            }
        };
        let again = self.push(way, &image, &signature).await;
        assert!(again.is_ok(), "{point}, and then: {again:?}");
        assert_eq!(look(self.victim(), &image, &signature).await, Outcome::Whole, "{point}");

        let (at, figures) = ((way, kind.0), &mut self.figures);
        let failed = calls.iter().filter(|call| call.failed).count();
        figures.points += 1;
        *figures.failed.entry(at).or_default() += failed;
        if failed > 0 {
            *figures.answers.entry((kind.0, told)).or_default() += 1;
            if let Some(thread) = thread {
                assert_eq!(failed, 1, "{point}");
                figures.places.entry(at).or_default().insert((thread, point.nth));
            }
        }
        failed > 0
    }

    /// What is on the disk when all that nobody needs is removed.
    async fn files(&self) -> usize {
        let later = SystemTime::now() + 10 * DAY;
        admin::collect(&self.place, Clock::new(move || later)).await.unwrap();
        files_below(&self.place.data.join("blobs")).len()
    }
}

/// Makes each call of this kind fail that such a push makes, or some of them; none where not every
/// push makes any. Gives how many a push makes.
async fn fail_each(
    scene: &mut Scene,
    way: Way,
    kind: (&'static str, &'static str),
    all: bool,
) -> Option<usize> {
    let calls = scene.calls(way, kind).await;
    let (mut threads, mut points): (BTreeMap<u32, usize>, _) = (BTreeMap::new(), Vec::new());
    for call in &calls {
        let nth = threads.entry(call.thread).or_default();
        *nth += 1;
        points.push((call.thread, *nth));
    }
    // What not every push does is the database's own: it truncates a file now and then.
    if calls.is_empty() || scene.calls(way, kind).await.is_empty() {
        return None;
    }
    // The last one, and where not all, two more.
    let step = if all { 1 } else { points.len().div_ceil(3) };
    for (thread, nth) in points.into_iter().rev().step_by(step) {
        let errors = if all { &["EIO", "ENOSPC"][..] } else { &[["EIO", "ENOSPC"][nth % 2]] };
        for error in errors {
            let (thread, end) = (Some(thread), End::Once);
            for _ in 0..TRIES {
                if scene.fail(Point { way, kind, thread, nth, error, end }).await {
                    break;
                }
            }
        }
    }
    let most = threads.values().max().copied().unwrap_or_default();
    for nth in if all { 1..=most } else { most..=most } {
        let (thread, error, end) = (None, "EIO", End::Lasting);
        scene.fail(Point { way, kind, thread, nth, error, end }).await;
    }
    scene.restart().await;
    Some(calls.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_calls_of_a_push_lose_nothing() {
    let all = std::env::var("GANTRY_FAULTS").is_ok_and(|which| which == "all");
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(folder.path()).await;
    let mut made = BTreeMap::new();
    for kind in KINDS {
        for way in Way::ALL {
            // Where the machine has much else to do, the calls of a push are now and then of other
            // threads than those of the push before.
            for _ in 0..TRIES {
                let Some(calls) = fail_each(&mut scene, way, kind, all).await else { break };
                made.insert((way, kind.0), calls);
                if scene.figures.failed.get(&(way, kind.0)).is_some_and(|failed| *failed > 0) {
                    break;
                }
            }
        }
    }
    assert_eq!(scene.files().await, 2 * scene.pushed, "files are lost, or left");
    for (at, calls) in &made {
        let failed = scene.figures.failed.get(at).copied().unwrap_or_default();
        let places = scene.figures.places.get(at).map_or(0, BTreeSet::len);
        println!("{at:?}: {calls} calls of a push; {places} failed alone, {failed} calls in all");
        assert!(failed > 0, "{at:?}: none failed");
    }
    for ((kind, told), times) in &scene.figures.answers {
        println!("{kind}: {times} × {told}");
    }
    println!("{} points", scene.figures.points);
    for wanted in ["open", "mkdir", "write", "fsync", "fdatasync", "link", "rename"] {
        let ways = Way::ALL.map(|way| (way, wanted));
        assert!(ways.iter().all(|at| made.contains_key(at)), "a push makes no {wanted}");
    }
    assert!(crate::ON_POSTGRES || made.contains_key(&(Way::Stream, "pwrite")));
    assert!(scene.figures.failed.values().sum::<usize>() > made.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn image_whose_commit_failed_is_whole_or_absent_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(folder.path()).await;
    for way in Way::ALL {
        for kind in [KINDS[6], KINDS[7]] {
            let calls = scene.calls(way, kind).await.len();
            for nth in 1..=calls {
                let (thread, error, end) = (None, "EIO", End::TakingBack);
                scene.fail(Point { way, kind, thread, nth, error, end }).await;
            }
        }
    }
    println!("{:?}", scene.figures.answers);
    let killed = scene.figures.answers.keys().any(|(_, told)| told.starts_with("0 "));
    assert!(killed, "no server was killed while it took an image back");
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_that_could_not_be_synced_is_synced_by_the_next_push() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(folder.path()).await;
    let (image, signature) = scene.image();
    // It makes the folder that is meant here.
    assert_eq!(scene.push(Way::Stream, &image, &signature).await, Ok(201));
    let (image, signature) = scene.image();
    let parent = [scene.place.data.join("blobs/sha512").canonicalize().unwrap()];
    let data = scene.place.data.clone();
    let inject = ["fsync:error=EIO".to_owned()];
    let tracer = Tracer::attach(scene.victim(), &data, "fsync", &parent, None, &inject);
    let pushed = scene.push(Way::Stream, &image, &signature).await;
    assert_eq!(pushed, Err((500, "internal".to_owned())));
    assert!(tracer.end().iter().any(|call| call.failed));
    let tracer = Tracer::attach(scene.victim(), &data, "fsync", &parent, None, &[]);
    assert_eq!(scene.push(Way::Stream, &image, &signature).await, Ok(201));
    assert!(!tracer.end().is_empty(), "what was answered for may be lost with its folder");
}
