//! Backups of a running registry, and registries made of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use registry::{Action, Clock, Keeping, Place, admin};
use reqwest::StatusCode;

use crate::fixture::*;

/// Images by their IDs, each with its signature.
type Pushed = BTreeMap<String, (Image, Vec<u8>)>;

fn clock() -> Clock {
    Clock::system()
}

/// What is in a registry: the IDs and the references of its images.
async fn contents(place: &Place) -> BTreeMap<String, String> {
    let all = toml::from_str("prefix = \"example.com\"\nkeep-versions = [\"*\"]").unwrap();
    let judged = admin::judge(place, &[all], clock()).await.unwrap();
    judged.into_iter().map(|image| (image.image_id.to_string(), image.reference)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_amid_pushes_and_deletions_is_whole() {
    let keeping = Keeping { collect_every: Duration::from_millis(20), ..Keeping::default() };
    let registry = Registry::start_with(|config| config.keeping = keeping).await;
    registry.add_key("example.com", team_key()).await;
    let (token, _) =
        registry.token_that("example.com", vec![Action::Push, Action::Delete], None).await;
    let place = registry.place().await;
    let registry = Arc::new(registry);
    let pushed: Arc<Mutex<Pushed>> = Arc::default();
    let stop = tokio_util::sync::CancellationToken::new();
    let mut work = tokio::task::JoinSet::new();
    for worker in 0..3 {
        let (registry, token) = (Arc::clone(&registry), token.clone());
        let (pushed, stop) = (Arc::clone(&pushed), stop.clone());
        work.spawn(async move {
            let mut at = 0;
            while !stop.is_cancelled() {
                let image = image(&format!("example.com/w{worker}:{at}.0.0"), &[worker; 100]);
                let signature = sign(team_key(), &image.bytes);
                let id = image.id.to_string();
                pushed.lock().unwrap().insert(id, (image.clone(), signature.clone()));
                let status = registry.push(&token, &image, &signature).await.status();
                assert_eq!(status, StatusCode::CREATED);
                if at % 3 == 0 {
                    let url = registry.url(&format!("/-/api/v1/images/{}", image.id));
                    registry.client.delete(url).bearer_auth(&token).send().await.unwrap();
                }
                at += 1;
            }
        });
    }
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let done = admin::back_up(&place, &to, true, clock()).await.unwrap();
        assert!(done.lost.is_empty(), "{:?}", done.lost);
    }
    stop.cancel();
    while let Some(ended) = work.join_next().await {
        ended.unwrap();
    }

    let restored = tempfile::tempdir().unwrap();
    let place = crate::fixture::place(restored.path()).await;
    let done = admin::restore(&to, &place, false, clock()).await.unwrap();
    let images = contents(&place).await;
    assert!(images.len() > 5, "{}", images.len());
    assert_eq!(done.blobs as usize, 2 * images.len());
    assert_eq!(files_below(&to.join("blobs")).len(), 2 * images.len(), "the rest was pruned");
    let restored = Registry::start_in(restored, |_| {}).await;
    for id in images.keys() {
        let (image, signature) = pushed.lock().unwrap()[id].clone();
        let path = format!("/-/blobs/{id}.aci");
        assert_eq!(restored.get(&path).await.bytes().await.unwrap(), image.bytes);
        let signed = restored.get(&format!("{path}.asc")).await.bytes().await.unwrap();
        assert_eq!(signed, signature);
    }
}

#[tokio::test]
async fn restored_registry_goes_on_as_the_other_did_in_either_database() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let (token, _) =
        registry.token_that("example.com", vec![Action::Push, Action::Delete], None).await;
    let images: Vec<Image> =
        (0..4_u8).map(|at| image(&format!("example.com/a:{at}.0.0"), &[at])).collect();
    for image in &images {
        registry.publish(&token, image, team_key()).await;
    }
    let url = registry.url(&format!("/-/api/v1/images/{}", images[0].id));
    let deleted = registry.client.delete(url).bearer_auth(&token).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    // Something that waits is no part of a backup.
    registry.create(&token, &sign(team_key(), &images[1].bytes)).await;

    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let place = registry.place().await;
    let done = admin::back_up(&place, &first, false, clock()).await.unwrap();
    assert_eq!((done.blobs, done.copied), (6, 6));
    let again = admin::back_up(&place, &first, false, clock()).await.unwrap();
    assert_eq!((again.blobs, again.copied), (6, 0), "what is there is not copied again");

    // Into a file, whatever it came from, and from there into what it came from.
    let between = Place { data: folder.path().join("data"), database: None };
    admin::restore(&first, &between, false, clock()).await.unwrap();
    admin::back_up(&between, &second, false, clock()).await.unwrap();
    let last = tempfile::tempdir().unwrap();
    let place = crate::fixture::place(last.path()).await;
    admin::restore(&second, &place, false, clock()).await.unwrap();
    let read = |folder: &Path| std::fs::read_to_string(folder.join("catalogue")).unwrap();
    let sorted = |folder: &Path| {
        let text = read(folder);
        // Columns stand in the order of either database.
        let mut lines: Vec<serde_json::Value> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        lines.sort_by_key(ToString::to_string);
        lines
    };
    assert_eq!(sorted(&first), sorted(&second));

    let restored = Registry::start_in(last, |_| {}).await;
    for image in &images[1..] {
        let served = restored.get(&format!("/-/images/{}.aci", image.reference)).await;
        assert_eq!(served.bytes().await.unwrap(), image.bytes);
    }
    let buried = restored.push(&token, &images[0], &sign(team_key(), &images[0].bytes)).await;
    assert_eq!(refused(buried).await, (409, "version-deleted".to_owned()));
    // The order of pushes goes on.
    let next = image("example.com/a:9.0.0", b"9");
    restored.publish(&token, &next, team_key()).await;
    let latest = restored.get("/-/images/example.com/a.aci").await;
    assert_eq!(latest.bytes().await.unwrap(), next.bytes);
}

#[tokio::test]
async fn backup_that_is_not_whole_is_not_restored() {
    let (registry, token) = started().await;
    registry.publish(&token, &hello(), team_key()).await;
    let place = registry.place().await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    let into = || Place { data: folder.path().join("data"), database: None };
    let restore = async |allow| admin::restore(&to, &into(), allow, clock()).await;
    let absent = restore(false).await.unwrap_err().to_string();
    assert!(absent.contains("there is no backup in"), "{absent}");
    admin::back_up(&place, &to, false, clock()).await.unwrap();

    let file = files_below(&to.join("blobs")).remove(0);
    let bytes = std::fs::read(&file).unwrap();
    let mut changed = bytes.clone();
    changed[3] ^= 1;
    std::fs::write(&file, &changed).unwrap();
    let damaged = restore(false).await.unwrap_err().to_string();
    assert!(damaged.contains("1 files are missing from the backup or damaged"), "{damaged}");
    let catalogue = to.join("catalogue");
    let lines = std::fs::read_to_string(&catalogue).unwrap();
    for (text, wanted) in [
        (lines[..lines.len() - 5].to_owned(), "cut off"),
        (lines.lines().take(3).map(|line| format!("{line}\n")).collect(), "cut off"),
        (lines.replacen("\"schema\":", "\"schema\":9", 1), "newer version"),
        (lines.replacen("\"table\":\"", "\"table\":\"x", 1), "nothing here is called"),
        ("{}\n".to_owned(), "line 1 is not of a catalogue"),
    ] {
        std::fs::write(&catalogue, text).unwrap();
        let error = restore(false).await.unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    std::fs::write(&catalogue, &lines).unwrap();
    assert!(!folder.path().join("data").exists(), "nothing of it is there");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nor beside it");

    let restored = restore(true).await.unwrap();
    assert_eq!(restored.lost.len(), 1);
    let full = restore(true).await.unwrap_err().to_string();
    assert!(full.contains("is not empty"), "{full}");
    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(restore(false).await.unwrap().lost.len(), 0);
}

#[tokio::test]
async fn backup_tells_what_the_registry_has_lost_and_has_the_rest() {
    let (registry, token) = started().await;
    registry.publish(&token, &hello(), team_key()).await;
    let place = registry.place().await;
    std::fs::remove_file(&hello().files(&registry.data().join("blobs"))[0]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let done = admin::back_up(&place, folder.path(), false, clock()).await.unwrap();
    assert_eq!((done.blobs, done.copied, done.lost.len()), (2, 1, 1));
}
