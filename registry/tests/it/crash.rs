//! `kill -9` at points spread over a push. After a restart the image is whole and
//! verified or absent, what was answered for is there, and a second push succeeds.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use aci::push::{CreateUpload, Upload};
use keys::Generated;
use registry::admin::{self, NewToken};
use registry::{Action, Database, DatabaseUrl, Place};
use reqwest::{Client, Response, StatusCode};

use crate::fixture::*;

const DATA: &str = "GANTRY_TEST_CRASH_DATA";
const DATABASE: &str = "GANTRY_TEST_CRASH_DATABASE";
/// How many threads the server has for what blocks, where it is to have few.
const THREADS: &str = "GANTRY_TEST_CRASH_THREADS";

/// How many servers a test kills: so many by itself, or its share of those `GANTRY_KILLS` says.
pub(crate) fn kills(percent: u32, usual: u32) -> u32 {
    let all = std::env::var("GANTRY_KILLS").ok().map(|text| text.parse::<u32>().unwrap());
    all.map_or(usual, |all| all * percent / 100)
}

/// The server of a crash: this test, run again in a process of its own. Without the
/// variable it is nothing.
#[test]
fn crash_server() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Ok(threads) = std::env::var(THREADS) {
        runtime.max_blocking_threads(threads.parse().unwrap());
        // One that waits for work would end after ten seconds.
        runtime.thread_keep_alive(Duration::from_secs(3600));
    }
    runtime.enable_all().build().unwrap().block_on(serve());
}

async fn serve() {
    let Some(data) = std::env::var_os(DATA).map(PathBuf::from) else { return };
    let database = std::env::var(DATABASE).ok();
    let database = database.map(|url| Database::from(url.parse::<DatabaseUrl>().unwrap()));
    let time = Arc::new(Mutex::new(SystemTime::now()));
    let address = data.with_extension("address");
    let ready = |ready: &registry::Ready| {
        let text = ready.https[0].to_string();
        aci::stage::write(&address, text.as_bytes(), 0o644, aci::stage::Existing::Replace).unwrap();
    };
    registry::serve(config(Place { data, database }, &time), ready, std::future::pending())
        .await
        .unwrap();
}

/// A server in a process that can be killed.
pub(crate) struct Victim {
    pub(crate) process: Child,
    pub(crate) client: Client,
    pub(crate) url: String,
}

impl Victim {
    pub(crate) async fn start(place: &Place) -> Self {
        Self::start_with(place, &[]).await
    }

    /// One that has two threads for what blocks.
    pub(crate) async fn start_small(place: &Place) -> Self {
        Self::start_with(place, &[(THREADS, "2")]).await
    }

    async fn start_with(place: &Place, variables: &[(&str, &str)]) -> Self {
        let data = &place.data;
        let file = data.with_extension("address");
        let _ = std::fs::remove_file(&file);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "crash::crash_server"]).env(DATA, data).stdout(Stdio::null());
        command.envs(variables.iter().copied());
        if let Some(database) = &place.database {
            command.env(DATABASE, database.url.to_string());
        }
        let process = command.spawn().unwrap();
        let start = Instant::now();
        let address = loop {
            if let Ok(text) = std::fs::read_to_string(&file) {
                break text.parse().unwrap();
            }
            assert!(start.elapsed() < Duration::from_secs(60), "the server does not start");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let client = client(address, &data.join("tls/ca.pem"), false);
        Self { process, client, url: format!("https://example.com:{}", address.port()) }
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// A token for this, and the team's key; without a server.
    pub(crate) async fn token(place: &Place, actions: Vec<Action>) -> String {
        let grant = registry::Grant::new(vec!["example.com".parse().unwrap()], actions);
        let new = NewToken { name: String::new(), grant, lifetime: None };
        let (token, _) = admin::create_token(place, new, SystemTime::now()).await.unwrap();
        let (prefix, limits) = ("example.com".parse().unwrap(), aci::Limits::default());
        let (key, now) = (&team_key().public, SystemTime::now());
        admin::add_keys(place, &prefix, key, &limits, now).await.unwrap();
        token.reveal().to_owned()
    }

    pub(crate) async fn create(&self, token: &str, body: &CreateUpload) -> Response {
        let request = self.client.post(format!("{}/-/api/v1/uploads", self.url));
        request.bearer_auth(token).json(body).send().await.unwrap()
    }

    pub(crate) async fn upload(&self, token: &str, signature: &[u8]) -> String {
        let signature = String::from_utf8(signature.to_vec()).unwrap();
        let body = CreateUpload { signature, file_bytes: None, file_digest: None };
        let created = self.create(token, &body).await;
        assert_eq!(created.status(), StatusCode::CREATED);
        created.json::<Upload>().await.unwrap().path
    }

    pub(crate) fn put(
        &self,
        token: &str,
        path: &str,
        body: reqwest::Body,
    ) -> reqwest::RequestBuilder {
        self.client.put(format!("{}{path}", self.url)).bearer_auth(token).body(body)
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Vec<u8>) {
        let response = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        (response.status(), response.bytes().await.unwrap().to_vec())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is the same for all points.
struct Scene {
    place: Place,
    token: String,
    key: &'static Generated,
    points: u32,
    /// So many of them lie before the last byte of the image was sent.
    while_sending: u32,
}

/// What became of a push whose server was killed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Whole,
    Absent,
}

impl Scene {
    /// Pushes, kills the server at this point of it, starts it again and looks.
    async fn crash(&self, point: u32, usual: Duration) -> Outcome {
        let image = image(&format!("example.com/crash:{point}.0.0"), &content(point));
        let signature = sign(self.key, &image.bytes);
        let victim = Victim::start(&self.place).await;
        let path = victim.upload(&self.token, &signature).await;
        let answered = self.push_and_kill(victim, &path, &image, point, usual).await;

        let victim = Victim::start(&self.place).await;
        let outcome = look(&victim, &image, &signature).await;
        assert!(!answered || outcome == Outcome::Whole, "point {point}: answered, and lost");
        let left = files_below(&self.place.data.join("spool"));
        assert!(left.is_empty(), "point {point}: {left:?}");
        // What came to nothing is removed soon after the start.
        let wanted = if outcome == Outcome::Whole { 2 } else { 0 };
        let start = Instant::now();
        while image.files(&self.place.data.join("blobs")).len() != wanted {
            assert!(start.elapsed() < Duration::from_secs(60), "point {point}: files are left");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }

        // The upload is still open: the client may simply send again.
        let again = victim.put(&self.token, &path, image.bytes.clone().into());
        let again = again.send().await.unwrap().status();
        let wanted = if outcome == Outcome::Whole { 200 } else { 201 };
        assert_eq!(again.as_u16(), wanted, "point {point}");
        assert_eq!(look(&victim, &image, &signature).await, Outcome::Whole);
        victim.kill();
        outcome
    }

    /// Whether the push was answered before the server died.
    async fn push_and_kill(
        &self,
        victim: Victim,
        path: &str,
        image: &Image,
        point: u32,
        usual: Duration,
    ) -> bool {
        let chunks = image.bytes.chunks(image.bytes.len() / self.while_sending as usize + 1);
        let chunks: Vec<Vec<u8>> = chunks.map(<[u8]>::to_vec).collect();
        let (send, receive) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
        let body = futures_util::stream::unfold(receive, async |mut receive| {
            Some((Ok::<_, std::io::Error>(receive.recv().await?), receive))
        });
        let request = victim.put(&self.token, path, reqwest::Body::wrap_stream(body));
        let push = tokio::spawn(request.send());
        for (at, chunk) in chunks.into_iter().enumerate() {
            if at as u32 == point {
                victim.kill();
                return push.await.unwrap().is_ok_and(|r| r.status().is_success());
            }
            let _ = send.send(chunk).await;
        }
        drop(send);
        if point == self.points - 1 {
            // The last one is answered first, however slow the machine.
            let answered = push.await.unwrap().is_ok_and(|r| r.status().is_success());
            victim.kill();
            return answered;
        }
        // From the last byte to a little after the usual time of the answer.
        let (at, steps) = (point - self.while_sending, self.points - self.while_sending);
        let after = usual.mul_f64(1.3) * at / steps;
        tokio::time::sleep(after).await;
        victim.kill();
        push.await.unwrap().is_ok_and(|response| response.status().is_success())
    }
}

/// Whole by every path, or absent by every path.
pub(crate) async fn look(victim: &Victim, image: &Image, signature: &[u8]) -> Outcome {
    let mut found = Vec::new();
    for base in [format!("/-/blobs/{}.aci", image.id), format!("/-/images/{}.aci", image.reference)]
    {
        found.push(victim.get(&base).await == (StatusCode::OK, image.bytes.clone()));
        found
            .push(victim.get(&format!("{base}.asc")).await == (StatusCode::OK, signature.to_vec()));
    }
    let (_, page) = victim.get("/crash?ac-discovery=1").await;
    found.push(String::from_utf8_lossy(&page).contains(image.id.as_str()));
    match found.iter().filter(|found| **found).count() {
        0 => Outcome::Absent,
        5 => Outcome::Whole,
        _ => panic!("some of it: {found:?}"),
    }
}

/// Half a megabyte that does not pack.
fn content(point: u32) -> Vec<u8> {
    let mut state = u64::from(point) * 2 + 1;
    let next = std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    next.take(512 << 10).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_at_any_point_leaves_the_image_whole_or_absent() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path()).await;
    let token = Victim::token(&place, vec![Action::Push]).await;
    let points = kills(30, 50);
    let while_sending = points * 2 / 5;
    let scene = Scene { place, token, key: team_key(), points, while_sending };

    // How long a push usually takes, to aim by.
    let victim = Victim::start(&scene.place).await;
    let mut usual = Duration::ZERO;
    for try_out in 1000..1003 {
        let image = image(&format!("example.com/crash:{try_out}.0.0"), &content(try_out));
        let path = victim.upload(&scene.token, &sign(scene.key, &image.bytes)).await;
        let start = Instant::now();
        let pushed = victim.put(&scene.token, &path, image.bytes.into()).send().await.unwrap();
        assert_eq!(pushed.status(), StatusCode::CREATED);
        usual = usual.max(start.elapsed());
    }
    victim.kill();

    let mut absent = 0;
    for point in 0..points {
        if scene.crash(point, usual).await == Outcome::Absent {
            absent += 1;
        }
    }
    println!("{points} kills while an image was pushed: {absent} times it was absent");
    assert!(absent >= while_sending, "what was not sent cannot be there");
    assert!(absent < points, "no push was ever done before its server was killed");
}
