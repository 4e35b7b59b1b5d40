//! Pushers, fetchers and those who delete, with the collector running all the time.
//!
//! Some seconds of it, or as many as `GANTRY_STRESS_SECONDS` says, by as many of each as
//! `GANTRY_STRESS_WORKERS` says. The registry's clock runs fast, so that leases end meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use aci::push::Upload;
use registry::{Action, Clock, Keeping};
use reqwest::StatusCode;

use crate::acpush::Acpush;
use crate::fixture::*;
use crate::ranges::Sending;

/// A lease of an hour is over in three seconds.
const SPEED: u32 = 1200;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    There,
    Going,
}

struct Scene {
    registry: Registry,
    token: String,
    /// By its number; the last are pushed by several at once.
    images: Mutex<BTreeMap<usize, (Image, Now)>>,
    next: AtomicUsize,
    until: Instant,
    fetched: AtomicU64,
    deleted: AtomicU64,
}

impl Scene {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn some(&self, seed: &mut u64) -> Option<(usize, Image)> {
        let images = self.images.lock().unwrap();
        let there: Vec<_> = images.iter().filter(|(_, (_, now))| *now == Now::There).collect();
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (at, (image, _)) = there.get((*seed >> 33) as usize % there.len().max(1))?;
        Some((**at, image.clone()))
    }

    /// What two pushers bring at the same time, each with a signature of its own.
    async fn push(&self) {
        while !self.is_over() {
            let at = self.next.fetch_add(1, Ordering::SeqCst) / 2;
            let image = image(&format!("example.com/team/a:{at}.0.0"), &at.to_be_bytes());
            let signature = sign(team_key(), &image.bytes);
            loop {
                let status = self.registry.push(&self.token, &image, &signature).await.status();
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    continue;
                }
                // The other one may have brought it, and a third one deleted it.
                let known = status.is_success() || status == StatusCode::CONFLICT;
                assert!(known, "{at}: {status}");
                if status == StatusCode::CREATED {
                    let mut images = self.images.lock().unwrap();
                    images.entry(at).or_insert((image, Now::There));
                }
                break;
            }
        }
    }

    async fn fetch(&self, mut seed: u64) {
        while !self.is_over() {
            let Some((at, image)) = self.some(&mut seed) else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            let path = format!("/-/blobs/{}.aci", image.id);
            let signature = self.registry.get(&format!("{path}.asc")).await;
            let (signed, response) = (signature.status(), self.registry.get(&path).await);
            let status = response.status();
            let bytes = response.bytes().await;
            let still = self.images.lock().unwrap()[&at].1 == Now::There;
            if still {
                assert_eq!((status, signed), (StatusCode::OK, StatusCode::OK), "{at}");
            }
            assert!(status != StatusCode::OK || bytes.unwrap() == image.bytes, "{at}");
            self.fetched.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn delete(&self, mut seed: u64) {
        while !self.is_over() {
            tokio::time::sleep(Duration::from_millis(60)).await;
            let Some((at, image)) = self.some(&mut seed) else { continue };
            {
                let mut images = self.images.lock().unwrap();
                let now = &mut images.get_mut(&at).unwrap().1;
                if std::mem::replace(now, Now::Going) == Now::Going {
                    continue;
                }
            }
            let url = self.registry.url(&format!("/-/api/v1/images/{}", image.id));
            let gone = self.registry.client.delete(url).bearer_auth(&self.token).send().await;
            assert_eq!(gone.unwrap().status(), StatusCode::NO_CONTENT, "{at}");
            self.deleted.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// An upload that comes to nothing: its image is another's.
    async fn fail(&self) {
        while !self.is_over() {
            let image = image("example.com/other/x:1.0.0", b"x");
            let created = self.registry.create(&self.token, &sign(team_key(), b"y")).await;
            let upload: Upload = created.json().await.unwrap();
            let sent = self.registry.send(&self.token, &upload.path, image.bytes).await;
            assert!(sent.status().is_client_error(), "{}", sent.status());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn collector_takes_nothing_that_is_wanted_and_leaves_nothing_else() {
    let (seconds, workers) =
        (setting("GANTRY_STRESS_SECONDS", 5), setting("GANTRY_STRESS_WORKERS", 4));
    let (start, began, ahead) = (Instant::now(), SystemTime::now(), Arc::new(AtomicU64::new(0)));
    let jump = Arc::clone(&ahead);
    let clock =
        move || began + start.elapsed() * SPEED + Duration::from_secs(jump.load(Ordering::SeqCst));
    let registry = Registry::start_with(|config| {
        config.clock = Clock::new(clock);
        config.keeping = Keeping { collect_every: Duration::from_millis(5), ..Keeping::default() };
    })
    .await;
    registry.add_key("example.com/team", team_key()).await;
    let actions = vec![Action::Push, Action::Delete];
    let (token, _) = registry.token_that("example.com", actions, None).await;
    let scene = Arc::new(Scene {
        registry,
        token,
        images: Mutex::default(),
        next: AtomicUsize::new(0),
        until: Instant::now() + Duration::from_secs(seconds),
        fetched: AtomicU64::new(0),
        deleted: AtomicU64::new(0),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for at in 0..workers {
        let of = |scene: &Arc<Scene>| Arc::clone(scene);
        let (pusher, fetcher, deleter) = (of(&scene), of(&scene), of(&scene));
        tasks.spawn(async move { pusher.push().await });
        tasks.spawn(async move { fetcher.fetch(at).await });
        if at % 2 == 0 {
            tasks.spawn(async move { deleter.delete(at + 1000).await });
        }
    }
    let failing = Arc::clone(&scene);
    tasks.spawn(async move { failing.fail().await });
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    ahead.fetch_add(3 * 3600, Ordering::SeqCst);

    let images = std::mem::take(&mut *scene.images.lock().unwrap());
    let there: Vec<&Image> =
        images.values().filter(|(_, now)| *now == Now::There).map(|(image, _)| image).collect();
    let (fetched, deleted) = (&scene.fetched, &scene.deleted);
    assert!(fetched.load(Ordering::SeqCst) > 0 && deleted.load(Ordering::SeqCst) > 0);
    for image in &there {
        let path = format!("/-/blobs/{}.aci", image.id);
        assert_eq!(scene.registry.get(&path).await.bytes().await.unwrap(), image.bytes);
        let signature = scene.registry.get(&format!("{path}.asc")).await;
        assert_eq!(signature.status(), StatusCode::OK);
    }
    let blobs = scene.registry.data().join("blobs");
    // What was left behind goes on going, for as long as it takes.
    let (mut fewest, mut since) = (usize::MAX, Instant::now());
    loop {
        let (found, wanted) = (files_below(&blobs).len(), 2 * there.len());
        if found == wanted {
            break;
        }
        if found < fewest {
            (fewest, since) = (found, Instant::now());
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{found} files, not {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "{} pushed, {} fetched, {} deleted, {} there",
        images.len(),
        fetched.load(Ordering::SeqCst),
        deleted.load(Ordering::SeqCst),
        there.len()
    );
}

const PUSHERS: usize = 64;

/// Pushes other bytes than all others, by one way or another, when all are ready to. The status.
async fn compete(
    scene: &(Registry, String),
    at: usize,
    ready: &tokio::sync::Barrier,
) -> (u16, Image) {
    let (registry, token) = scene;
    let image = image("example.com/team/hello:1.0.0", &at.to_be_bytes());
    let signature = sign(team_key(), &image.bytes);
    let status = match at % 3 {
        0 => {
            let upload: Upload = registry.create(token, &signature).await.json().await.unwrap();
            ready.wait().await;
            let sent = registry.send(token, &upload.path, image.bytes.clone()).await;
            sent.status().as_u16()
        }
        1 => {
            let sending = Sending::open(registry, token, &image).await;
            sending.send_range(0, image.bytes.len()).await;
            ready.wait().await;
            sending.commit().await.status().as_u16()
        }
        _ => {
            let mut client = Acpush::bearer(registry, token).await;
            ready.wait().await;
            let ended = client.push("example.com/team/hello", &signature, &image.bytes).await;
            // It knows no other success than 200, which here is one that was there before too.
            if ended.success() { 201 } else { client.statuses[3] }
        }
    };
    (status, image)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_pushers_of_a_version_wins() {
    let scene = Arc::new(started().await);
    let ready = Arc::new(tokio::sync::Barrier::new(PUSHERS));
    let mut pushers = tokio::task::JoinSet::new();
    for at in 0..PUSHERS {
        let (scene, ready) = (Arc::clone(&scene), Arc::clone(&ready));
        pushers.spawn(async move { compete(&scene, at, &ready).await });
    }
    let ended = pushers.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = ended.iter().partition(|(status, _)| *status == 201);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|(status, _)| *status == 409), "{lost:?}");
    let (registry, winner) = (&scene.0, &won[0].1);
    let served = registry.get("/-/images/example.com/team/hello:1.0.0.aci").await;
    assert_eq!(served.bytes().await.unwrap(), winner.bytes);
    assert_eq!(files_below(&registry.data().join("blobs/sha512")).len(), 2);
    for (_, image) in lost {
        let path = format!("/-/blobs/{}.aci", image.id);
        assert_eq!(registry.get(&path).await.status(), StatusCode::NOT_FOUND);
    }
}
