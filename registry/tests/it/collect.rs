//! What no image refers to goes while the registry runs, and nothing else does.

use std::time::Duration;

use registry::{Clock, Keeping, admin};
use reqwest::StatusCode;

use crate::fixture::*;

const HOUR: Duration = Duration::from_secs(3600);

/// An image whose first signature is nobody's any more: its file was lost, and came back with
/// another one.
async fn resigned(registry: &Registry, token: &str) -> Image {
    let image = image("example.com/team/hello:1.0.0", b"hello");
    registry.publish(token, &image, team_key()).await;
    let of_image = |file: &std::path::PathBuf| std::fs::read(file).unwrap() == image.bytes;
    let file = image.files(&registry.data().join("blobs")).into_iter().find(of_image);
    std::fs::remove_file(file.unwrap()).unwrap();
    // A signature says when it was made, to the second.
    let signer = keys::Signer::open(
        &team_key().secret,
        None,
        std::time::SystemTime::now() - Duration::from_secs(60),
    );
    let signature = signer.unwrap().sign(&*image.bytes).unwrap();
    let pushed = registry.push(token, &image, &signature).await;
    assert!(pushed.status().is_success(), "{}", pushed.status());
    assert_eq!(image.files(&registry.data().join("blobs")).len(), 3);
    image
}

async fn assert_whole(registry: &Registry, image: &Image) {
    for path in [format!("/-/blobs/{}.aci", image.id), format!("/-/blobs/{}.aci.asc", image.id)] {
        assert_eq!(registry.get(&path).await.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn file_nobody_refers_to_goes_after_its_lease_by_a_command() {
    let (registry, token) = started().await;
    let image = resigned(&registry, &token).await;
    let place = registry.place().await;
    let now = *registry.time.lock().unwrap();
    let at = |time| Clock::new(move || time);
    let held = admin::collectable(&place, at(now)).await.unwrap();
    assert_eq!(held.blobs, 0, "a push holds what it brought for an hour");
    let later = at(now + 2 * HOUR);
    let would = admin::collectable(&place, later.clone()).await.unwrap();
    assert_eq!(would.blobs, 1);
    assert_eq!(image.files(&registry.data().join("blobs")).len(), 3, "that was a dry run");
    assert_eq!(admin::collect(&place, later.clone()).await.unwrap(), would);
    assert_eq!(image.files(&registry.data().join("blobs")).len(), 2);
    assert_eq!(admin::collect(&place, later).await.unwrap().blobs, 0);
    assert_whole(&registry, &image).await;
}

#[tokio::test]
async fn file_nobody_refers_to_goes_by_itself() {
    let keeping = Keeping { collect_every: Duration::from_millis(50), ..Keeping::default() };
    let registry = Registry::start_with(|config| config.keeping = keeping).await;
    registry.add_key("example.com", team_key());
    let token = registry.token("example.com").await;
    let image = resigned(&registry, &token).await;
    *registry.time.lock().unwrap() += 2 * HOUR;
    let start = std::time::Instant::now();
    while image.files(&registry.data().join("blobs")).len() > 2 {
        assert!(start.elapsed() < Duration::from_secs(60), "it stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_whole(&registry, &image).await;
}
