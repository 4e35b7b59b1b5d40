//! `kill -9` while an image is deleted, and while what nobody needs is removed. What was answered for
//! stays so, nothing that is referred to is lost, and the next collection removes the rest.

use std::time::{Duration, Instant};

use registry::{Action, Place};
use reqwest::StatusCode;

use crate::crash::{Outcome, Victim, kills, look};
use crate::fixture::*;

/// Deleted images whose files are there when the collector begins.
const GARBAGE: u32 = 20;

struct Scene {
    place: Place,
    token: String,
    /// It stays, whatever happens.
    kept: Image,
    signature: Vec<u8>,
}

impl Scene {
    async fn new(folder: &std::path::Path) -> Self {
        let place = place(folder).await;
        let token = Victim::token(&place, vec![Action::Push, Action::Delete]).await;
        let kept = image("example.com/crash:0.0.1", b"kept");
        let signature = sign(team_key(), &kept.bytes);
        let scene = Self { place, token, kept, signature };
        let victim = Victim::start(&scene.place).await;
        assert_eq!(scene.push(&victim, &scene.kept, &scene.signature).await, StatusCode::CREATED);
        victim.kill();
        scene
    }

    async fn push(&self, victim: &Victim, image: &Image, signature: &[u8]) -> StatusCode {
        let path = victim.upload(&self.token, signature).await;
        let sent = victim.put(&self.token, &path, image.bytes.clone().into());
        sent.send().await.unwrap().status()
    }

    fn delete(
        &self,
        victim: &Victim,
        image: &Image,
    ) -> impl Future<Output = reqwest::Result<StatusCode>> + Send + 'static {
        let url = format!("{}/-/api/v1/images/{}", victim.url, image.id);
        let request = victim.client.delete(url).bearer_auth(&self.token).send();
        async { Ok(request.await?.status()) }
    }

    async fn assert_kept(&self, victim: &Victim, point: u32) {
        let found = look(victim, &self.kept, &self.signature).await;
        assert_eq!(found, Outcome::Whole, "point {point}");
    }

    /// An image is deleted by every path, and its version is nobody's.
    async fn assert_deleted(&self, victim: &Victim, image: &Image, point: u32) {
        for base in [format!("blobs/{}", image.id), format!("images/{}", image.reference)] {
            for extension in ["aci", "aci.asc"] {
                let (status, _) = victim.get(&format!("/-/{base}.{extension}")).await;
                assert_eq!(status, StatusCode::GONE, "point {point}: {base}.{extension}");
            }
        }
        assert_eq!(self.delete(victim, image).await.unwrap(), StatusCode::GONE, "point {point}");
        let other = self::image(&image.reference, b"other bytes");
        for image in [image, &other] {
            let again = self.push(victim, image, &sign(team_key(), &image.bytes)).await;
            assert_eq!(again, StatusCode::CONFLICT, "point {point}");
        }
    }

    /// Deletes an image, and kills the server so much later. Whether the image is gone.
    async fn crash(&self, point: u32, after: Option<Duration>) -> bool {
        let image = image(&format!("example.com/crash:{point}.0.0"), &point.to_be_bytes());
        let signature = sign(team_key(), &image.bytes);
        let victim = Victim::start(&self.place).await;
        assert_eq!(self.push(&victim, &image, &signature).await, StatusCode::CREATED);
        let deleted = tokio::spawn(self.delete(&victim, &image));
        let answered = if let Some(after) = after {
            tokio::time::sleep(after).await;
            victim.kill();
            deleted.await.unwrap().is_ok_and(|status| status.is_success())
        } else {
            // The last one is answered first, however slow the machine.
            let status = deleted.await.unwrap().unwrap();
            victim.kill();
            status == StatusCode::NO_CONTENT
        };

        let victim = Victim::start(&self.place).await;
        self.assert_kept(&victim, point).await;
        let (status, _) = victim.get(&format!("/-/blobs/{}.aci", image.id)).await;
        let gone = status == StatusCode::GONE;
        assert!(gone || !answered, "point {point}: answered, and there again");
        if !gone {
            assert_eq!(look(&victim, &image, &signature).await, Outcome::Whole, "point {point}");
            let status = self.delete(&victim, &image).await.unwrap();
            assert_eq!(status, StatusCode::NO_CONTENT, "point {point}");
        }
        self.assert_deleted(&victim, &image, point).await;
        victim.kill();
        gone
    }

    fn blobs(&self) -> usize {
        files_below(&self.place.data.join("blobs")).len()
    }

    /// Until nothing is left but the files of the image that stays.
    async fn collected(&self, point: u32) {
        let start = Instant::now();
        while self.blobs() != 2 {
            let found = self.blobs();
            assert!(start.elapsed() < Duration::from_secs(60), "point {point}: {found} files");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Leaves the files of deleted images, for the server that starts next to remove.
    async fn litter(&self, point: u32) {
        let victim = Victim::start(&self.place).await;
        for at in 0..GARBAGE {
            let reference = format!("example.com/litter:{point}.{at}.0");
            let image = image(&reference, reference.as_bytes());
            let pushed = self.push(&victim, &image, &sign(team_key(), &image.bytes)).await;
            assert_eq!(pushed, StatusCode::CREATED);
            let deleted = self.delete(&victim, &image).await.unwrap();
            assert_eq!(deleted, StatusCode::NO_CONTENT);
        }
        victim.kill();
        assert_eq!(self.blobs(), 2 + 2 * GARBAGE as usize);
    }

    /// Kills the server so long after it has begun to collect, or when the first file is gone. How many
    /// files it had removed.
    async fn crash_collector(&self, point: u32, after: Option<Duration>) -> usize {
        self.litter(point).await;
        let all = self.blobs();
        let victim = Victim::start(&self.place).await;
        match after {
            Some(after) => tokio::time::sleep(after).await,
            None => {
                let start = Instant::now();
                while self.blobs() == all {
                    assert!(start.elapsed() < Duration::from_secs(60), "nothing goes");
                }
            }
        }
        victim.kill();
        let removed = all - self.blobs();
        let victim = Victim::start(&self.place).await;
        self.assert_kept(&victim, point).await;
        self.collected(point).await;
        self.assert_kept(&victim, point).await;
        victim.kill();
        removed
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_while_an_image_is_deleted_leaves_it_there_or_gone() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path()).await;
    let victim = Victim::start(&scene.place).await;
    let mut usual = Duration::ZERO;
    for try_out in 1000..1003_u32 {
        let image = image(&format!("example.com/crash:{try_out}.0.0"), &try_out.to_be_bytes());
        let pushed = scene.push(&victim, &image, &sign(team_key(), &image.bytes)).await;
        assert_eq!(pushed, StatusCode::CREATED);
        let start = Instant::now();
        let deleted = scene.delete(&victim, &image).await.unwrap();
        assert_eq!(deleted, StatusCode::NO_CONTENT);
        usual = usual.max(start.elapsed());
    }
    victim.kill();
    let points = kills(20, 12);
    let mut gone = 0;
    for point in 1..=points {
        let after = (point < points).then(|| usual.mul_f64(1.3) * (point - 1) / points);
        gone += u32::from(scene.crash(point, after).await);
    }
    println!("{points} kills while an image was deleted: {gone} times it was gone");
    assert!(0 < gone && gone < points, "{gone} of {points}");
}

#[tokio::test(flavor = "multi_thread")]
async fn crash_of_the_collector_loses_nothing_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::new(folder.path()).await;
    // How long it usually takes, to aim by.
    scene.litter(1000).await;
    let victim = Victim::start(&scene.place).await;
    let start = Instant::now();
    scene.collected(1000).await;
    let usual = start.elapsed();
    victim.kill();
    let points = kills(20, 12);
    let mut halfway = 0;
    for point in 0..points {
        let after = (point % 2 == 0).then(|| usual.mul_f64(1.2) * point / points);
        let removed = scene.crash_collector(point, after).await;
        halfway += u32::from(removed > 0 && removed < 2 * GARBAGE as usize);
    }
    println!("{points} kills while files were removed: {halfway} times some of them were");
    assert!(halfway > 0, "no collector was killed at its work");
}
