//! Catalogue, files and keys compared; and the catalogue made anew from the files.

use std::collections::BTreeSet;
use std::path::Path;

use registry::{Action, Checked, Clock, FindingCode, Place, admin};
use reqwest::StatusCode;

use crate::fixture::*;

fn codes(checked: &Checked) -> BTreeSet<String> {
    checked.findings.iter().map(|finding| format!("{:?}", finding.code)).collect()
}

async fn check(place: &Place) -> Checked {
    admin::check(place, Clock::system()).await.unwrap()
}

async fn rebuild(place: &Place) -> Checked {
    admin::rebuild(place, Clock::system()).await.unwrap()
}

/// Three images, of which one is deleted and its files still there, and a token that may all.
async fn scene() -> (Registry, String, Vec<Image>) {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let actions = vec![Action::Push, Action::Delete];
    let (token, _) = registry.token_that("example.com", actions, None).await;
    let images: Vec<Image> = ["1.0.0", "2.0.0", "3.0.0"]
        .iter()
        .map(|version| image(&format!("example.com/a:{version}"), version.as_bytes()))
        .collect();
    for image in &images {
        registry.publish(&token, image, team_key()).await;
    }
    let url = registry.url(&format!("/-/api/v1/images/{}", images[2].id));
    registry.client.delete(url).bearer_auth(&token).send().await.unwrap();
    (registry, token, images)
}

#[tokio::test]
async fn check_finds_what_does_not_fit() {
    let (registry, _, images) = scene().await;
    let place = registry.place().await;
    let clean = check(&place).await;
    assert_eq!((clean.images, clean.blobs, clean.findings.len()), (2, 6, 0));

    let blobs = registry.data().join("blobs");
    std::fs::remove_file(&images[0].files(&blobs)[0]).unwrap();
    std::fs::write(&images[1].files(&blobs)[0], b"short").unwrap();
    let stray = format!("sha512/ab/{}.aci", "ab".repeat(64));
    std::fs::create_dir_all(blobs.join("sha512/ab")).unwrap();
    std::fs::write(blobs.join(stray), b"x").unwrap();
    let keys = files_below(&registry.data().join("trustedkeys"));
    keys.iter().for_each(|key| std::fs::remove_file(key).unwrap());
    let found = check(&place).await;
    let wanted = ["Missing", "Orphaned", "Untrusted", "WrongSize"].map(str::to_owned);
    assert_eq!(codes(&found), wanted.into());
    assert_eq!(found.findings.len(), 5, "{:?}", found.findings);
}

#[tokio::test]
async fn rebuild_is_refused_beside_a_server_and_changes_nothing_that_is_whole() {
    let (registry, token, images) = scene().await;
    let place = registry.place().await;
    let running = admin::rebuild(&place, Clock::system()).await.unwrap_err();
    assert!(running.to_string().contains("another registry is running"), "{running}");
    let folder = registry.stop().await;
    let rebuilt = rebuild(&place).await;
    assert_eq!((rebuilt.images, rebuilt.blobs), (2, 6));
    // The files of the deleted image are there still, and it stays deleted.
    assert_eq!(codes(&rebuilt), ["Superseded".to_owned()].into());
    let registry = Registry::start_in(folder, |_| {}).await;
    let latest = registry.get("/-/images/example.com/a.aci").await;
    assert_eq!(latest.bytes().await.unwrap(), images[1].bytes);
    let gone = registry.get(&format!("/-/blobs/{}.aci", images[2].id)).await;
    assert_eq!(gone.status(), StatusCode::GONE);
    let next = image("example.com/a:4.0.0", b"4");
    registry.publish(&token, &next, team_key()).await;
}

#[tokio::test]
async fn rebuild_shows_nothing_that_does_not_verify() {
    let (registry, token, _) = scene().await;
    registry.add_key("example.com/other", other_key()).await;
    let other = image("example.com/other/b:1.0.0", b"b");
    registry.publish(&token, &other, other_key()).await;
    let place = registry.place().await;
    let folder = registry.stop().await;
    let data = folder.path().join("data");
    // One key is trusted no more; one image is not what its name says; one has no signature.
    for key in files_below(&data.join("trustedkeys")) {
        if key.to_string_lossy().contains("other") {
            std::fs::remove_file(key).unwrap();
        }
    }
    let bad = image("example.com/a:9.0.0", b"9");
    let name = format!("{}.aci", "cd".repeat(64));
    std::fs::create_dir_all(data.join("blobs/sha512/cd")).unwrap();
    std::fs::write(data.join("blobs/sha512/cd").join(name), &bad.bytes).unwrap();
    let signed = format!("{}.{}.aci.asc", "cd".repeat(64), "0".repeat(32));
    std::fs::write(data.join("blobs/sha512/cd").join(signed), sign(team_key(), &bad.bytes))
        .unwrap();
    let alone = image("example.com/a:8.0.0", b"8");
    let digits = alone.file_digits();
    std::fs::create_dir_all(data.join("blobs/sha512").join(&digits[..2])).unwrap();
    let file = data.join("blobs/sha512").join(&digits[..2]).join(format!("{digits}.aci"));
    std::fs::write(file, &alone.bytes).unwrap();

    let rebuilt = rebuild(&place).await;
    assert_eq!(rebuilt.images, 2);
    let of = |code| rebuilt.findings.iter().filter(|finding| finding.code == code).count();
    assert_eq!(of(FindingCode::Unverified), 3, "{:?}", rebuilt.findings);
    assert_eq!(of(FindingCode::Missing), 1, "the image of the other key");
    let registry = Registry::start_in(folder, |_| {}).await;
    for image in [&other, &bad, &alone] {
        let served = registry.get(&format!("/-/blobs/{}.aci", image.id)).await;
        assert_eq!(served.status(), StatusCode::NOT_FOUND);
    }
}

fn remove_database(data: &Path) {
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(data.join(format!("gantry.db{end}")));
    }
}

/// In a file only: a server's database is repaired with its own tools, or left empty.
#[tokio::test]
async fn rebuild_makes_a_lost_catalogue_of_the_files_and_saves_what_it_can_of_a_damaged_one() {
    if crate::ON_POSTGRES {
        return;
    }
    let (registry, token, images) = scene().await;
    let place = registry.place().await;
    let folder = registry.stop().await;
    let data = folder.path().join("data");
    let whole = std::fs::read(data.join("gantry.db")).unwrap();

    // The rows of the images are unreadable, those of tokens and tombstones are not.
    remove_database(&data);
    let mut damaged = whole.clone();
    let marked = images[0].id.as_str().as_bytes();
    let pages: Vec<usize> = whole
        .chunks(4096)
        .enumerate()
        .filter(|(at, page)| *at > 0 && page.windows(marked.len()).any(|text| text == marked))
        .map(|(at, _)| at)
        .collect();
    assert!(!pages.is_empty());
    for page in pages {
        damaged[page * 4096..][..200].fill(0xff);
    }
    std::fs::write(data.join("gantry.db"), &damaged).unwrap();
    let rebuilt = rebuild(&place).await;
    assert!(rebuilt.images >= 2, "{rebuilt:?}");
    assert!(rebuilt.lost.contains(&"images".to_owned()), "{:?}", rebuilt.lost);
    assert!(!rebuilt.lost.contains(&"tokens".to_owned()), "{:?}", rebuilt.lost);
    let registry = Registry::start_in(folder, |_| {}).await;
    let again = registry.push(&token, &images[0], &sign(team_key(), &images[0].bytes)).await;
    assert_eq!(again.status(), StatusCode::OK, "the token is what it was");
    let folder = registry.stop().await;

    // No page can be read; then there is none; then it is empty.
    for database in [Some(&b"this is no database"[..]), None, Some(&b""[..])] {
        remove_database(&data);
        if let Some(bytes) = database {
            std::fs::write(data.join("gantry.db"), bytes).unwrap();
        }
        let rebuilt = rebuild(&place).await;
        assert_eq!(rebuilt.images, 3, "what was deleted is not known any more");
        assert_eq!(rebuilt.lost.is_empty(), database.is_none_or(<[u8]>::is_empty), "{rebuilt:?}");
    }
    let registry = Registry::start_in(folder, |_| {}).await;
    for image in &images {
        let served = registry.get(&format!("/-/images/{}.aci", image.reference)).await;
        assert_eq!(served.bytes().await.unwrap(), image.bytes);
    }
}
