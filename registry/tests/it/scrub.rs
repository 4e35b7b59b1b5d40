//! Files that a disk changed are found, not served, and brought back by a push.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use registry::{Clock, Keeping, admin};
use reqwest::StatusCode;

use crate::fixture::*;

const FAST: u64 = 1 << 40;

/// Files with one bit changed, or as many as `GANTRY_FLIPS` says: two of each image.
fn flips() -> usize {
    std::env::var("GANTRY_FLIPS").ok().map_or(120, |text| text.parse().unwrap())
}

/// Changes one bit somewhere.
fn flip(file: &Path, seed: &mut u64) {
    let mut bytes = std::fs::read(file).unwrap();
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let bit = (*seed >> 20) as usize % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    std::fs::write(file, bytes).unwrap();
}

/// The files that are served, without those that were set aside.
fn blobs(registry: &Registry) -> Vec<PathBuf> {
    files_below(&registry.data().join("blobs/sha512"))
}

#[tokio::test]
async fn every_changed_bit_is_found_and_healed_by_a_push() {
    let (registry, token) = started().await;
    let mut images = Vec::new();
    for at in 0..flips() / 2 {
        let image = image(&format!("example.com/team/a:{at}.0.0"), &at.to_be_bytes());
        registry.publish(&token, &image, team_key()).await;
        images.push(image);
    }
    let place = registry.place().await;
    let clock = Clock::system();
    let scrubbed = admin::scrub(&place, FAST, clock.clone()).await.unwrap();
    assert_eq!((scrubbed.blobs as usize, scrubbed.damaged.len()), (flips(), 0));

    let mut seed = 42;
    let files = blobs(&registry);
    assert_eq!(files.len(), flips());
    files.iter().for_each(|file| flip(file, &mut seed));
    let scrubbed = admin::scrub(&place, FAST, clock.clone()).await.unwrap();
    let found: BTreeSet<&str> = scrubbed.damaged.iter().map(|damaged| &*damaged.blob).collect();
    assert_eq!(found.len(), flips());
    assert_eq!(blobs(&registry).len(), 0, "none of it is served");
    let aside = files_below(&registry.data().join("blobs/quarantine"));
    let aside: BTreeSet<&str> =
        aside.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(aside, found);
    for image in &images[..3] {
        for path in [format!("/-/blobs/{}.aci", image.id), format!("/-/blobs/{}.aci.asc", image.id)]
        {
            let refused = refused(registry.get(&path).await).await;
            assert_eq!(refused, (503, "file-lost".to_owned()), "{path}");
        }
    }

    for image in &images {
        let pushed = registry.push(&token, image, &sign(team_key(), &image.bytes)).await;
        assert!(pushed.status().is_success(), "{}", pushed.status());
        let served = registry.get(&format!("/-/blobs/{}.aci", image.id)).await;
        assert_eq!(served.bytes().await.unwrap(), image.bytes);
    }
    let scrubbed = admin::scrub(&place, FAST, clock).await.unwrap();
    assert!(scrubbed.damaged.is_empty(), "{:?}", scrubbed.damaged);
}

#[tokio::test]
async fn lost_file_is_found_and_one_put_back_is_good_again() {
    let (registry, token) = started().await;
    registry.publish(&token, &hello(), team_key()).await;
    let place = registry.place().await;
    for file in blobs(&registry) {
        let bytes = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let scrubbed = admin::scrub(&place, FAST, Clock::system()).await.unwrap();
        assert_eq!(scrubbed.damaged.len(), 1);
        assert_eq!(scrubbed.damaged[0].image_id, hello().id);
        std::fs::write(&file, bytes).unwrap();
        let scrubbed = admin::scrub(&place, FAST, Clock::system()).await.unwrap();
        assert!(scrubbed.damaged.is_empty());
    }
}

#[tokio::test]
async fn running_server_reads_again_what_it_has_not_for_a_while() {
    let every = Duration::from_millis(50);
    let keeping = Keeping { scrub_every: every, ..Keeping::default() };
    let registry = Registry::start_with(|config| config.keeping = keeping).await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    registry.publish(&token, &hello(), team_key()).await;
    let path = format!("/-/blobs/{}.aci", hello().id);
    flip(hello().files(&registry.data().join("blobs")).first().unwrap(), &mut 7);
    flip(hello().files(&registry.data().join("blobs")).last().unwrap(), &mut 7);
    let start = Instant::now();
    while registry.get(&path).await.status() != StatusCode::SERVICE_UNAVAILABLE {
        assert!(start.elapsed() < Duration::from_secs(60), "it is still served");
        *registry.time.lock().unwrap() += Duration::from_secs(1);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn scrub_keeps_its_pace() {
    let (registry, token) = started().await;
    for at in 0..4 {
        let image = image(&format!("example.com/team/a:{at}.0.0"), &[at; 4096]);
        registry.publish(&token, &image, team_key()).await;
    }
    let bytes = blobs(&registry).iter().map(|file| file.metadata().unwrap().len()).sum::<u64>();
    let place = registry.place().await;
    let start = Instant::now();
    admin::scrub(&place, bytes, Clock::system()).await.unwrap();
    // All of it in one second, and so not in half of one.
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
}
