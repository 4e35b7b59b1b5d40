//! `kill -9` at points spread over ranges and their commit. After a restart all that was acknowledged
//! is held, nothing else lies on the disk, and going on makes the image whole.

use std::time::{Duration, Instant};

use aci::FileDigest;
use aci::push::{ByteRange, Commit, CreateUpload, Progress, Upload, UploadState};
use registry::Place;
use reqwest::{Response, StatusCode};
use tokio::task::JoinHandle;

use crate::crash::{Victim, kills};
use crate::fixture::*;
use crate::ranges::large;

const RANGE: usize = 64 << 10;
const RANGES: usize = 6;
/// Parts of the points: as many while each range is sent, and four while the image is committed.
const PARTS: u32 = RANGES as u32 + 4;
/// Not before the commit is answered.
const LAST: Duration = Duration::MAX;

struct Sent<'a> {
    place: &'a Place,
    token: &'a str,
    image: &'a Image,
    signature: Vec<u8>,
}

impl Sent<'_> {
    async fn open(&self, victim: &Victim) -> (StatusCode, Upload) {
        let body = CreateUpload {
            signature: String::from_utf8(self.signature.clone()).unwrap(),
            file_bytes: Some(self.image.bytes.len() as u64),
            file_digest: Some(self.digest()),
        };
        let answer = victim.create(self.token, &body).await;
        (answer.status(), answer.json().await.unwrap())
    }

    fn digest(&self) -> FileDigest {
        FileDigest::of_bytes(&self.image.bytes)
    }

    fn ranges(&self) -> Vec<(usize, usize)> {
        let total = self.image.bytes.len();
        (0..RANGES)
            .map(|at| (at * RANGE, if at + 1 < RANGES { (at + 1) * RANGE } else { total }))
            .collect()
    }

    fn send(
        &self,
        victim: &Victim,
        path: &str,
        (first, end): (usize, usize),
    ) -> impl Future<Output = reqwest::Result<Response>> + Send + 'static {
        let range = format!("bytes {first}-{}/{}", end - 1, self.image.bytes.len());
        let request = victim.client.patch(format!("{}{path}", victim.url));
        let request = request.bearer_auth(self.token).header("content-range", range);
        request.body(self.image.bytes[first..end].to_vec()).send()
    }

    fn commit(
        &self,
        victim: &Victim,
        path: &str,
    ) -> impl Future<Output = reqwest::Result<Response>> + Send + 'static {
        let body = Commit { file_digest: self.digest(), image_id: None };
        let request = victim.client.post(format!("{}{path}/commit", victim.url));
        request.bearer_auth(self.token).json(&body).send()
    }

    async fn progress(&self, victim: &Victim, path: &str) -> Progress {
        let request = victim.client.get(format!("{}{path}", victim.url));
        let answer = request.bearer_auth(self.token).send().await.unwrap();
        answer.json::<Upload>().await.unwrap().progress.unwrap()
    }

    /// Sends, kills the server in the step of a range, or of the commit, and looks. Whether the image
    /// was published before that.
    async fn crash(&self, at: usize, after: Duration) -> bool {
        let victim = Victim::start(self.place).await;
        let (status, upload) = self.open(&victim).await;
        assert_eq!(status, StatusCode::CREATED);
        let mut acknowledged = Vec::new();
        let ranges = self.ranges();
        for range in &ranges[..at] {
            let sent = self.send(&victim, &upload.path, *range).await.unwrap();
            assert_eq!(sent.status(), StatusCode::OK);
            acknowledged.push(ByteRange::new(range.0 as u64, range.1 as u64).unwrap());
        }
        let answered = match ranges.get(at) {
            Some(range) => {
                let sent = tokio::spawn(self.send(&victim, &upload.path, *range));
                tokio::time::sleep(after).await;
                victim.kill();
                let answered = sent.await.unwrap().is_ok_and(|sent| sent.status() == 200);
                acknowledged
                    .extend(ByteRange::new(range.0 as u64, range.1 as u64).filter(|_| answered));
                false
            }
            None => {
                let committed = tokio::spawn(self.commit(&victim, &upload.path));
                let answered = async |committed: JoinHandle<reqwest::Result<Response>>| {
                    committed.await.unwrap().is_ok_and(|answer| answer.status().is_success())
                };
                if after == LAST {
                    let answered = answered(committed).await;
                    victim.kill();
                    answered
                } else {
                    tokio::time::sleep(after).await;
                    victim.kill();
                    answered(committed).await
                }
            }
        };
        let published = self.look(&upload, &acknowledged).await;
        assert!(published || !answered, "answered, and lost");
        published
    }

    /// What is there after a restart; then the rest is sent.
    async fn look(&self, upload: &Upload, acknowledged: &[ByteRange]) -> bool {
        let victim = Victim::start(self.place).await;
        // Who was killed too, and has kept nothing, is given the same upload.
        let (status, again) = self.open(&victim).await;
        assert_eq!((status, &again.id), (StatusCode::OK, &upload.id));
        let mut progress = self.progress(&victim, &upload.path).await;
        assert_eq!(again.progress.as_ref(), Some(&progress));
        let published = progress.state == UploadState::Published;
        for range in acknowledged.iter().filter(|_| !published) {
            let covers =
                |held: &ByteRange| held.first() <= range.first() && held.end() >= range.end();
            assert!(progress.held.iter().any(covers), "{range} of {progress:?}");
        }
        let spool = files_below(&self.place.data.join("spool"));
        assert!(spool.is_empty(), "{spool:?}");
        let held =
            |progress: &Progress| progress.held.iter().map(|range| range.bytes()).sum::<u64>();
        // What is not held is removed soon after the start. What the killed server had told PostgreSQL
        // to record may be so a moment after that.
        let start = Instant::now();
        while self.parts_bytes() != held(&progress) {
            let (found, slow) = (self.parts_bytes(), start.elapsed() > Duration::from_secs(60));
            assert!(!slow, "{found} bytes lie there, and {progress:?} are held");
            tokio::time::sleep(Duration::from_millis(5)).await;
            progress = self.progress(&victim, &upload.path).await;
        }
        let published = progress.state == UploadState::Published;
        let total = self.image.bytes.len() as u64;
        for range in ByteRange::missing(&progress.held, total).into_iter().filter(|_| !published) {
            let range = (range.first() as usize, range.end() as usize);
            assert_eq!(self.send(&victim, &upload.path, range).await.unwrap().status(), 200);
        }
        let committed = self.commit(&victim, &upload.path).await.unwrap();
        let wanted = if published { StatusCode::OK } else { StatusCode::CREATED };
        assert_eq!(committed.status(), wanted);
        let blob = format!("/-/blobs/{}.aci", self.image.id);
        assert_eq!(victim.get(&blob).await, (StatusCode::OK, self.image.bytes.clone()));
        let start = Instant::now();
        while self.parts_bytes() > 0 {
            assert!(start.elapsed() < Duration::from_secs(30), "parts stay");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(self.image.files(&self.place.data.join("blobs")).len(), 2);
        victim.kill();
        published
    }

    fn parts_bytes(&self) -> u64 {
        let folder = self.place.data.join("blobs/part");
        let files = if folder.exists() { files_below(&folder) } else { Vec::new() };
        // One that goes away meanwhile has none.
        files.iter().filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_while_ranges_are_sent_loses_none_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path()).await;
    let token = Victim::token(&place, vec![registry::Action::Push]).await;

    // How long a range and a commit usually take, to aim by.
    let image = large("example.com/ranges:0.0.0", 1000, RANGES * RANGE - 4096);
    let signature = sign(team_key(), &image.bytes);
    let sent = Sent { place: &place, token: &token, image: &image, signature };
    let victim = Victim::start(&place).await;
    let (_, upload) = sent.open(&victim).await;
    let mut range_time = Duration::ZERO;
    for range in sent.ranges() {
        let start = Instant::now();
        assert_eq!(sent.send(&victim, &upload.path, range).await.unwrap().status(), 200);
        range_time = range_time.max(start.elapsed());
    }
    let start = Instant::now();
    assert_eq!(sent.commit(&victim, &upload.path).await.unwrap().status(), 201);
    let commit_time = start.elapsed();
    victim.kill();

    let steps_of_range = kills(30, 40) / PARTS;
    let (steps_of_commit, mut published) = (4 * steps_of_range, 0);
    for at in 0..=RANGES {
        let usual = if at < RANGES { range_time } else { commit_time };
        // The commit is what most depends on: it has more points than a range.
        let steps = if at < RANGES { steps_of_range } else { steps_of_commit };
        for step in 0..steps {
            let seed = at as u64 * 1000 + u64::from(step) + 1;
            let image =
                large(&format!("example.com/ranges:{seed}.0.0"), seed, RANGES * RANGE - 4096);
            let signature = sign(team_key(), &image.bytes);
            let sent = Sent { place: &place, token: &token, image: &image, signature };
            // The last one is answered first, however slow the machine.
            let is_last = at == RANGES && step == steps - 1;
            let after = if is_last { LAST } else { usual.mul_f64(1.2) * step / (steps - 1) };
            published += u32::from(sent.crash(at, after).await);
        }
    }
    let (kills, commits) = (steps_of_range * PARTS, steps_of_commit);
    println!(
        "{kills} kills, {commits} of them while an image was committed: {published} times it was"
    );
    assert!((1..=commits).contains(&published), "{published}: some commits were done, no more");
}
