//! What no image refers to goes while the registry runs, and nothing else does.

use std::time::{Duration, Instant};

use registry::{Action, Clock, Keeping, admin};
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
    registry.add_key("example.com", team_key()).await;
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

/// An image that is deleted, and its files.
async fn deleted(registry: &Registry, token: &str, reference: &str) -> Vec<std::path::PathBuf> {
    let image = image(reference, reference.as_bytes());
    registry.publish(token, &image, team_key()).await;
    let url = registry.url(&format!("/-/api/v1/images/{}", image.id));
    let gone = registry.client.delete(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    image.files(&registry.data().join("blobs"))
}

#[tokio::test]
async fn file_that_cannot_be_removed_does_not_keep_the_others() {
    let (registry, _) = started().await;
    let actions = vec![registry::Action::Push, registry::Action::Delete];
    let (token, _) = registry.token_that("example.com", actions, None).await;
    let mut files = Vec::new();
    for at in 0..3 {
        files.extend(deleted(&registry, &token, &format!("example.com/team/a:{at}.0.0")).await);
    }
    files.sort();
    // In the place of the first is what is no file.
    std::fs::remove_file(&files[0]).unwrap();
    std::fs::create_dir(&files[0]).unwrap();
    let (place, now) = (registry.place().await, *registry.time.lock().unwrap());
    let later = Clock::new(move || now + 2 * HOUR);
    admin::collect(&place, later.clone()).await.unwrap_err();
    assert_eq!(files_below(&registry.data().join("blobs")).len(), 0);
    std::fs::remove_dir(&files[0]).unwrap();
    assert_eq!(admin::collect(&place, later).await.unwrap().blobs, 1);
}

/// SQLite has one writer at a time. PostgreSQL may have a collector come upon the row of a blob while
/// a push is about to refer to it, whose lease is over, so slow it was.
#[tokio::test]
async fn file_of_an_image_that_is_being_published_stays() {
    use sqlx::{Connection as _, Executor as _};
    if !crate::ON_POSTGRES {
        return;
    }
    let (registry, token) = started().await;
    let image = hello();
    registry.publish(&token, &image, team_key()).await;
    let place = registry.place().await;
    let url = place.database.as_ref().unwrap().url.to_string();
    let mut push = sqlx::PgConnection::connect(&url).await.unwrap();
    for sql in [
        "CREATE TABLE published AS SELECT * FROM images",
        "DELETE FROM images",
        "UPDATE blobs SET leased_until = 0",
        "BEGIN",
        "UPDATE blobs SET leased_until = 0",
        "INSERT INTO images OVERRIDING SYSTEM VALUE SELECT * FROM published",
    ] {
        push.execute(sql).await.unwrap();
    }
    assert_eq!(admin::collectable(&place, Clock::system()).await.unwrap().blobs, 2);
    // It waits for nobody, or this would take for ever.
    let collected = admin::collect(&place, Clock::system());
    let collected = tokio::time::timeout(Duration::from_secs(60), collected).await.unwrap();
    assert_eq!(collected.unwrap().blobs, 0);
    push.execute("COMMIT").await.unwrap();
    assert_eq!(admin::collect(&place, Clock::system()).await.unwrap().blobs, 0);
    assert_eq!(image.files(&registry.data().join("blobs")).len(), 2);
    assert_whole(&registry, &image).await;
}

/// A registry with a few versions of two names, the clock a day on from each to the next.
async fn with_versions(registry: &Registry, token: &str) -> Vec<Image> {
    let mut images = Vec::new();
    for reference in [
        "example.com/team/a:1.9.0",
        "example.com/team/a:1.10.0",
        "example.com/team/a:1.2.0",
        "example.com/team/b/c:1.0.0",
        "example.com/team/b/c:2.0.0",
        "example.com/team/free:1.0.0",
    ] {
        let image = image(reference, reference.as_bytes());
        registry.publish(token, &image, team_key()).await;
        *registry.time.lock().unwrap() += DAY;
        images.push(image);
    }
    images
}

fn rule(prefix: &str, more: &str) -> registry::Retention {
    toml::from_str(&format!("prefix = \"{prefix}\"\n{more}")).unwrap()
}

async fn served(registry: &Registry, images: &[Image]) -> Vec<bool> {
    let mut all = Vec::new();
    for image in images {
        let status = registry.get(&format!("/-/blobs/{}.aci", image.id)).await.status();
        all.push(status == StatusCode::OK);
    }
    all
}

#[tokio::test]
async fn retention_tells_what_goes_and_deletes_it() {
    let (registry, token) = started().await;
    let images = with_versions(&registry, &token).await;
    let place = registry.place().await;
    let now = *registry.time.lock().unwrap();
    let clock = Clock::new(move || now);
    let rules = [
        rule("example.com/team/a", "keep-newest = 1\nkeep-versions = [\"1.2.*\"]"),
        rule("example.com/team/b", "keep-newest = 9"),
        // The longest prefix speaks, alone.
        rule("example.com/team/b/c", "keep-younger = \"60h\""),
    ];
    let judged = admin::judge(&place, &rules, clock.clone()).await.unwrap();
    assert_eq!(judged.len(), 5, "of a name without a rule nothing is said");
    let goes: Vec<&str> = judged
        .iter()
        .filter(|judged| judged.stays.is_empty())
        .map(|judged| judged.reference.as_str())
        .collect();
    assert_eq!(goes, ["example.com/team/a:1.9.0", "example.com/team/b/c:1.0.0"]);
    assert_eq!(served(&registry, &images).await, [true; 6], "that was a dry run");

    let deleted = admin::retain(&place, &rules, clock.clone()).await.unwrap();
    assert_eq!(deleted.len(), 2);
    // A server that saw them a moment ago takes a second to see it.
    let (start, wanted) = (Instant::now(), [false, true, true, false, true, true]);
    while served(&registry, &images).await != wanted {
        assert!(start.elapsed() < Duration::from_secs(30), "they are still served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let again = registry.push(&token, &images[0], &sign(team_key(), &images[0].bytes)).await;
    assert_eq!(refused(again).await, (409, "version-deleted".to_owned()));
    assert!(admin::retain(&place, &rules, clock).await.unwrap().is_empty());
    // Their files go with the next collection.
    let later = Clock::new(move || now + 2 * HOUR);
    admin::collect(&place, later).await.unwrap();
    assert_eq!(files_below(&registry.data().join("blobs")).len(), 8);
}

#[tokio::test]
async fn retention_that_keeps_nothing_is_refused_over_the_api() {
    let registry = Registry::start().await;
    let actions = vec![Action::Admin, Action::Delete];
    let (token, _) = registry.token_that("example.com", actions, None).await;
    for part in [
        "\"keepYounger\":\"0d\"",
        "\"keepNewest\":0",
        "\"keepVersions\":[\"1.*.1\"]",
        "\"keepVersions\":[\"\"]",
    ] {
        let body = format!("{{\"prefix\":\"example.com\",{part},\"dryRun\":false}}");
        let request = registry.client.post(registry.url("/-/api/v1/admin/retain"));
        let request = request.bearer_auth(&token).header("content-type", "application/json");
        let (status, refusal) = refusal(request.body(body).send().await.unwrap()).await;
        assert_eq!((status, &*refusal.code), (400, "request-malformed"), "{part}: {refusal}");
        assert!(
            refusal.found.contains("of the retention of example.com keeps nothing"),
            "{refusal}"
        );
    }
}

#[tokio::test]
async fn retention_is_followed_by_a_running_server() {
    let rules = vec![rule("example.com/team/a", "keep-newest = 1")];
    let every = Duration::from_millis(50);
    let keeping = Keeping { collect_every: every, retention: rules, ..Keeping::default() };
    let registry = Registry::start_with(|config| config.keeping = keeping).await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let images = with_versions(&registry, &token).await;
    let start = std::time::Instant::now();
    while served(&registry, &images).await != [false, true, false, true, true, true] {
        assert!(start.elapsed() < Duration::from_secs(60), "they stay");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
