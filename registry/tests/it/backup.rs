//! Backups of a running registry, and registries made of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aci::FileDigest;
use registry::{
    Action, BackUp, Clock, DataError, Keeping, Place, PolicyEntry, ReadPolicy, ServeError, admin,
};
use reqwest::StatusCode;

use crate::fixture::*;
use crate::fsck::forget;

const PRUNE: BackUp = BackUp { prune: true, verify: false, replace: false };

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
        let done = admin::back_up(&place, &to, PRUNE, clock()).await.unwrap();
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
    let done = admin::back_up(&place, &first, BackUp::default(), clock()).await.unwrap();
    assert_eq!((done.blobs, done.copied), (6, 6));
    let again = admin::back_up(&place, &first, BackUp::default(), clock()).await.unwrap();
    assert_eq!((again.blobs, again.copied), (6, 0), "what is there is not copied again");

    // Into a file, whatever it came from, and from there into what it came from.
    let between = Place { data: folder.path().join("data"), database: None };
    admin::restore(&first, &between, false, clock()).await.unwrap();
    admin::back_up(&between, &second, BackUp::default(), clock()).await.unwrap();
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
    admin::back_up(&place, &to, BackUp::default(), clock()).await.unwrap();

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
        (lines.replacen("Catalogue\":2", "Catalogue\":3", 1), "newer version"),
        (with_digest(&lines.replacen("\"schema\":", "\"schema\":9", 1)), "newer version"),
        (
            with_digest(&lines.replacen("\"table\":\"", "\"table\":\"x", 1)),
            "nothing here is called",
        ),
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
    let done = admin::back_up(&place, folder.path(), BackUp::default(), clock()).await.unwrap();
    assert_eq!((done.blobs, done.copied, done.lost.len()), (2, 1, 1));
}

/// A registry with one image, and its backup.
async fn backed_up(to: &Path) -> Registry {
    let (registry, token) = started().await;
    registry.publish(&token, &hello(), team_key()).await;
    let place = registry.place().await;
    admin::back_up(&place, to, BackUp::default(), clock()).await.unwrap();
    registry
}

#[tokio::test]
async fn backup_gives_way_to_none_that_is_empty_or_of_another_registry() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    let registry = backed_up(&to).await;
    let there = || {
        let mut files = files_below(&to);
        files.sort();
        let catalogue = std::fs::read(to.join("catalogue")).unwrap();
        (files, catalogue)
    };
    let before = there();
    let refused = async |place: &Place| {
        let refused = admin::back_up(place, &to, PRUNE, clock()).await.unwrap_err();
        assert!(before == there(), "{refused}");
        refused.refusal().unwrap().code
    };
    // Another registry, with an image.
    let (other, token) = started().await;
    other.publish(&token, &image("example.com/team/a:1.0.0", b"a"), team_key()).await;
    let others = other.place().await;
    assert_eq!(refused(&others).await, "other-backup");
    // All images are deleted: it may be meant, and has to be said.
    let (token, _) = registry.token_that("example.com", vec![Action::Delete], None).await;
    let url = registry.url(&format!("/-/api/v1/images/{}", hello().id));
    let gone = registry.client.delete(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NO_CONTENT);
    assert_eq!(refused(&registry.place().await).await, "other-backup");
    // The database was forgotten, or the disk is not mounted.
    let empty = folder.path().join("data");
    std::fs::create_dir(&empty).unwrap();
    assert_eq!(refused(&Place { data: empty.clone(), database: None }).await, "no-catalogue");
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0, "nothing was made there");
    // The catalogue is gone; then there is a new one.
    let place = registry.place().await;
    let stopped = registry.stop().await;
    forget(&place).await;
    let gone = if crate::ON_POSTGRES { "catalogue-gone" } else { "no-catalogue" };
    assert_eq!(refused(&place).await, gone);
    std::fs::remove_dir_all(place.data.join("blobs")).unwrap();
    admin::set_read_only(&place, true, clock()).await.unwrap();
    assert_eq!(refused(&place).await, "other-backup");
    drop(stopped);

    let how = BackUp { replace: true, ..PRUNE };
    let done = admin::back_up(&others, &to, how, clock()).await.unwrap();
    assert_eq!((done.blobs, done.copied, done.pruned), (2, 2, 2));
    // Which goes on from there.
    admin::back_up(&others, &to, PRUNE, clock()).await.unwrap();
}

/// Lines with the digest that is theirs.
fn with_digest(lines: &str) -> String {
    let (before, last) = lines.trim_end().rsplit_once('\n').unwrap();
    let rows = last.split(",\"digest\"").next().unwrap();
    let digest = FileDigest::of_bytes(format!("{before}\n").as_bytes());
    format!("{before}\n{rows},\"digest\":\"{digest}\"}}\n")
}

/// All files below a folder but locks and links to nothing, with their content.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let lock = |file: &PathBuf| file.ends_with("lock") || file.ends_with(".lock");
    let files = files_below(folder).into_iter().filter(|file| !lock(file) && file.exists());
    // A database that is open is written to.
    let files = files.filter(|file| !file.to_string_lossy().contains("gantry.db"));
    files.map(|file| (file.clone(), std::fs::read(file).unwrap())).collect()
}

#[tokio::test]
async fn backup_destroys_nothing_that_is_no_backup() {
    let (registry, token) = started().await;
    registry.publish(&token, &hello(), team_key()).await;
    let (other, token) = started().await;
    other.publish(&token, &image("example.com/team/a:1.0.0", b"a"), team_key()).await;
    let place = registry.place().await;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let made = |name: &str, file: &str, bytes: &[u8]| {
        let path = root.join(name).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        root.join(name)
    };
    let link = |name: &str, to: &Path| {
        std::os::unix::fs::symlink(to, root.join(name)).unwrap();
        root.join(name)
    };
    // As a backup looked that an older version had begun, and as a data directory may look.
    let alike = made("alike", "blobs/sha512/ab/ab.aci", b"an image");
    made("alike", "trustedkeys/prefix.d/example.com/ab", b"a key");
    // Into the registry's own data directory an older version would have written this.
    std::fs::write(other.data().join("catalogue"), "#{\"gantryCatalogue\":1,\"schema\":1}\n")
        .unwrap();
    std::fs::create_dir(registry.folder.path().join("elsewhere")).unwrap();
    let data = registry.data();
    for (to, code) in [
        (other.data(), "not-a-backup"),
        (other.data().join("blobs"), "not-a-backup"),
        (other.data().join("trustedkeys"), "not-a-backup"),
        (link("to-other", &other.data()), "not-a-backup"),
        (alike, "not-a-backup"),
        (made("books", "list", b"a book"), "not-a-backup"),
        (made("script", "gantry-backup", b"#!/bin/sh\n"), "not-a-backup"),
        (made("folders", "gantry-backup/list", b"a book"), "not-a-backup"),
        (made("catalogues", "catalogue", b"a list of books\n"), "not-a-backup"),
        (data.clone(), "backup-in-data"),
        (data.join("backup"), "backup-in-data"),
        (data.join("a/b/../c"), "backup-in-data"),
        (data.join("blobs"), "backup-in-data"),
        (registry.folder.path().to_owned(), "backup-in-data"),
        (registry.folder.path().join("elsewhere/../data/x"), "backup-in-data"),
        (link("to-data", &data), "backup-in-data"),
        (root.join("to-data/x"), "backup-in-data"),
        (root.join("none/../to-data"), "backup-in-data"),
        (root.join("none/../to-other"), "not-a-backup"),
    ] {
        let all = || [root, &data, &other.data()].map(everything);
        let (before, was_there) = (all(), to.exists());
        for replace in [false, true] {
            let how = BackUp { replace, verify: true, ..PRUNE };
            let error = admin::back_up(&place, &to, how, clock()).await.unwrap_err();
            assert_eq!(error.refusal().unwrap().code, code, "{to:?}: {error}");
        }
        assert!(all() == before, "{to:?} is not what it was");
        assert_eq!(to.exists(), was_there, "{to:?}");
    }
    // A backup whose files would lie elsewhere, as where another registry has its own.
    let linked = root.join("linked");
    admin::back_up(&place, &linked, PRUNE, clock()).await.unwrap();
    std::fs::remove_dir_all(linked.join("blobs")).unwrap();
    for blobs in [other.data().join("blobs"), data.join("blobs"), root.join("nowhere")] {
        std::os::unix::fs::symlink(&blobs, linked.join("blobs")).unwrap();
        let all = || [root, &data, &other.data()].map(everything);
        let before = all();
        let error = admin::back_up(&place, &linked, PRUNE, clock()).await.unwrap_err();
        assert_eq!(error.refusal().unwrap().code, "backup-elsewhere", "{blobs:?}: {error}");
        assert!(all() == before, "{blobs:?} is not what it was");
        std::fs::remove_file(linked.join("blobs")).unwrap();
    }
    // Blobs may be on another disk.
    let disk = root.join("disk");
    std::fs::create_dir(&disk).unwrap();
    std::fs::rename(data.join("blobs"), disk.join("blobs")).unwrap();
    std::os::unix::fs::symlink(disk.join("blobs"), data.join("blobs")).unwrap();
    for to in [disk.clone(), disk.join("blobs/backup")] {
        let error = admin::back_up(&place, &to, PRUNE, clock()).await.unwrap_err();
        assert_eq!(error.refusal().unwrap().code, "backup-in-data", "{to:?}");
    }
}

#[tokio::test]
async fn first_backup_that_was_cut_off_goes_on() {
    let (registry, token) = started().await;
    registry.publish(&token, &hello(), team_key()).await;
    let place = registry.place().await;
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    // Before anything, and on a disk of its own.
    std::fs::create_dir_all(to.join("lost+found")).unwrap();
    for file in ["lock", ".gantry-stage-1234"] {
        std::fs::write(to.join(file), "").unwrap();
    }
    let whole = admin::back_up(&place, &to, BackUp::default(), clock()).await.unwrap();
    assert_eq!((whole.blobs, whole.copied), (2, 2));
    // Amid its blobs.
    std::fs::remove_file(to.join("catalogue")).unwrap();
    std::fs::remove_file(files_below(&to.join("blobs")).remove(0)).unwrap();
    let rest = admin::back_up(&place, &to, BackUp::default(), clock()).await.unwrap();
    assert_eq!((rest.blobs, rest.copied), (2, 1));
    let into = Place { data: folder.path().join("data"), database: None };
    assert_eq!(admin::restore(&to, &into, false, clock()).await.unwrap().lost.len(), 0);
}

#[tokio::test]
async fn catalogue_of_a_backup_that_was_changed_is_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    let registry = backed_up(&to).await;
    let place = registry.place().await;
    let prefix = "example.com/team".parse().unwrap();
    let entry = PolicyEntry { prefix, read: Some(ReadPolicy::Token), overwrite: None };
    admin::set_policy(&place, &entry, std::time::SystemTime::now()).await.unwrap();
    admin::back_up(&place, &to, BackUp::default(), clock()).await.unwrap();
    let catalogue = to.join("catalogue");
    let whole = std::fs::read_to_string(&catalogue).unwrap();
    let into = || Place { data: folder.path().join("data"), database: None };
    // One bit: the prefix is another; the key is another; and a line is gone.
    let private =
        whole.replace("\"prefix\":\"example.com/team\"", "\"prefix\":\"example.com/teal\"");
    let at = whole.rfind("\"bytes\":\"").unwrap() + 20;
    let mut key = whole.clone().into_bytes();
    key[at] = if key[at] == b'1' { b'0' } else { b'1' };
    let no_key: Vec<&str> = whole.lines().filter(|line| !line.starts_with("#{\"key\"")).collect();
    for text in [private, String::from_utf8(key).unwrap(), no_key.join("\n") + "\n"] {
        assert_ne!(text, whole);
        std::fs::write(&catalogue, text).unwrap();
        for allow_lost in [false, true] {
            let error = admin::restore(&to, &into(), allow_lost, clock()).await.unwrap_err();
            assert_eq!(error.refusal().unwrap().code, "backup-damaged", "{error}");
            assert!(!into().data.exists(), "nothing is made");
        }
    }
    // One that cannot be read is not replaced without a word, and is with one.
    let bit = whole.replace("\"prefix\":\"example.com/team\"", "\"prefix\":\"example.com/teal\"");
    let newer = whole.replacen("Catalogue\":2", "Catalogue\":3", 1);
    for (text, code) in [
        (newer, "other-backup"),
        (bit, "backup-damaged"),
        (whole[..whole.len() / 2].to_owned(), "backup-damaged"),
    ] {
        std::fs::write(&catalogue, &text).unwrap();
        let refusal = admin::back_up(&place, &to, PRUNE, clock()).await.unwrap_err().refusal();
        let refusal = refusal.unwrap();
        assert_eq!(refusal.code, code, "{refusal}");
        let newer = refusal.next.starts_with("use the newer program; or make this backup in");
        assert_eq!(newer, code == "other-backup", "{refusal}");
        assert!(std::fs::read_to_string(&catalogue).unwrap() == text, "{refusal}");
    }
    let how = BackUp { replace: true, ..PRUNE };
    assert_eq!(admin::back_up(&place, &to, how, clock()).await.unwrap().copied, 0);
    admin::restore(&to, &into(), false, clock()).await.unwrap();
}

#[tokio::test]
async fn keys_are_restored_as_they_were_with_the_catalogue() {
    let (registry, token) = started().await;
    registry.publish(&token, &hello(), team_key()).await;
    registry.add_key("example.com/team/b", other_key()).await;
    let place = registry.place().await;
    let keys = registry.data().join("trustedkeys");
    // A link to a key is trusted, too.
    let linked = everything(&keys).into_keys().next().unwrap();
    let aside = registry.folder.path().join("aside");
    std::fs::rename(&linked, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &linked).unwrap();
    let read = |keys: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        let path = |file: &PathBuf| file.strip_prefix(keys).unwrap().to_owned();
        everything(keys).into_iter().map(|(file, bytes)| (path(&file), bytes)).collect()
    };
    // What is known of keys is hidden, and counts.
    std::fs::create_dir_all(keys.join(".known")).unwrap();
    std::fs::write(keys.join(".known/ab"), [0, 159, 255]).unwrap();
    let mut trusted = read(&keys);
    // What is no key stays behind: what is too large for one, and what is hidden.
    let large = std::fs::File::create(keys.join("core")).unwrap();
    large.set_len(1 << 30).unwrap();
    std::fs::create_dir_all(keys.join(".snapshot/prefix.d")).unwrap();
    for hidden in [".snapshot/prefix.d/ab", "prefix.d/.ab.swp"] {
        std::fs::write(keys.join(hidden), "an old key").unwrap();
    }
    trusted.insert(linked.strip_prefix(&keys).unwrap().to_owned(), std::fs::read(&linked).unwrap());
    assert!(trusted.len() > 1);
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    admin::back_up(&place, &to, BackUp::default(), clock()).await.unwrap();

    let into = Place { data: folder.path().join("data"), database: None };
    admin::restore(&to, &into, false, clock()).await.unwrap();
    assert!(read(&into.data.join("trustedkeys")) == trusted);

    // The same as an older version made it: without digest and mark, the keys beside it.
    let lines = std::fs::read_to_string(to.join("catalogue")).unwrap();
    let lines = lines.lines().filter(|line| !line.starts_with("#{\"key\"")).map(|line| {
        let line = line.replace("Catalogue\":2", "Catalogue\":1");
        let end = line.split(",\"digest\"").next().filter(|_| line.starts_with("#{\"rows\""));
        end.map_or(format!("{line}\n"), |end| format!("{end}}}\n"))
    });
    std::fs::write(to.join("catalogue"), lines.collect::<String>()).unwrap();
    std::fs::remove_file(to.join("gantry-backup")).unwrap();
    for (path, bytes) in &trusted {
        let file = to.join("trustedkeys").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    let into = Place { data: folder.path().join("older"), database: None };
    admin::restore(&to, &into, false, clock()).await.unwrap();
    assert!(read(&into.data.join("trustedkeys")) == trusted);
    let done = admin::back_up(&place, &to, BackUp::default(), clock()).await.unwrap();
    assert_eq!((done.blobs, done.copied), (2, 0));
    assert!(!to.join("trustedkeys").exists());
    let into = Place { data: folder.path().join("newer"), database: None };
    admin::restore(&to, &into, false, clock()).await.unwrap();
    assert!(read(&into.data.join("trustedkeys")) == trusted);
}

#[tokio::test]
async fn damage_in_a_backup_is_found_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    let registry = backed_up(&to).await;
    let place = registry.place().await;
    let file = files_below(&to.join("blobs")).remove(0);
    let bytes = std::fs::read(&file).unwrap();
    let mut changed = bytes.clone();
    changed[3] ^= 1;
    std::fs::write(&file, &changed).unwrap();
    let done = admin::back_up(&place, &to, BackUp::default(), clock()).await.unwrap();
    assert_eq!((done.copied, done.repaired), (0, 0), "what is there is not read");
    let how = BackUp { verify: true, ..BackUp::default() };
    let done = admin::back_up(&place, &to, how, clock()).await.unwrap();
    assert_eq!((done.blobs, done.copied, done.repaired), (2, 1, 1));
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

#[tokio::test]
async fn restored_folder_is_the_one_that_was_there() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    drop(backed_up(&to).await);
    let restored = tempfile::tempdir().unwrap();
    let place = crate::fixture::place(restored.path()).await;
    // A file system that is mounted there, which cannot be renamed.
    std::fs::create_dir_all(place.data.join("lost+found")).unwrap();
    std::fs::set_permissions(&place.data, std::fs::Permissions::from_mode(0o750)).unwrap();
    let before = place.data.metadata().unwrap();
    // Nothing is left of what fails, wherever it does.
    let file = files_below(&to.join("blobs")).remove(0);
    std::fs::rename(&file, folder.path().join("aside")).unwrap();
    let failed = admin::restore(&to, &place, false, clock()).await.unwrap_err().to_string();
    assert!(failed.contains("1 files are missing"), "{failed}");
    let left: Vec<_> =
        std::fs::read_dir(&place.data).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "lost+found" || name == "lock"), "{left:?}");
    std::fs::rename(folder.path().join("aside"), &file).unwrap();

    admin::restore(&to, &place, false, clock()).await.unwrap();
    let after = place.data.metadata().unwrap();
    assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
    assert!(place.data.join("lost+found").is_dir());
    let full = admin::restore(&to, &place, false, clock()).await.unwrap_err().to_string();
    assert!(full.contains("is not empty"), "{full}");
    let beside: Vec<_> = std::fs::read_dir(restored.path()).unwrap().collect();
    assert_eq!(beside.len(), 1, "nothing is made beside it");
    let restored = Registry::start_in(restored, |_| {}).await;
    let served = restored.get(&format!("/-/images/{}.aci", hello().reference)).await;
    assert_eq!(served.bytes().await.unwrap(), hello().bytes);

    let nowhere = Place { data: to.join("catalogue/data"), database: None };
    let failed = admin::restore(&to, &nowhere, false, clock()).await.unwrap_err().to_string();
    assert!(failed.contains("backup/catalogue/data"), "{failed}");
}

#[tokio::test]
async fn restore_that_was_cut_off_is_done_again_and_nothing_runs_on_it_before() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("backup");
    drop(backed_up(&to).await);
    let restored = tempfile::tempdir().unwrap();
    let place = crate::fixture::place(restored.path()).await;
    let address = place.database.as_ref().map(|database| database.url.to_string());
    let cut_off = || {
        std::fs::write(place.data.join("restoring"), address.as_deref().unwrap_or("")).unwrap();
    };
    // While files are copied; and when all is there, the database too.
    let stray = place.data.join("blobs/sha512/ab");
    std::fs::create_dir_all(&stray).unwrap();
    std::fs::write(stray.join("half"), b"half").unwrap();
    for _ in 0..2 {
        cut_off();
        let time = Arc::new(Mutex::new(std::time::SystemTime::now()));
        let served = registry::serve(config(place.clone(), &time), |_| {}, std::future::pending());
        let served = tokio::time::timeout(Duration::from_secs(60), served).await.unwrap();
        let refused = served.unwrap_err();
        assert!(matches!(refused, ServeError::Data(DataError::HalfRestored(_))), "{refused}");
        admin::policies(&place).await.unwrap_err();
        let done = admin::restore(&to, &place, false, clock()).await.unwrap();
        assert_eq!((done.blobs, done.lost.len()), (2, 0));
        assert!(!stray.join("half").exists());
    }
    let restored = Registry::start_in(restored, |_| {}).await;
    let served = restored.get(&format!("/-/images/{}.aci", hello().reference)).await;
    assert_eq!(served.bytes().await.unwrap(), hello().bytes);
}
