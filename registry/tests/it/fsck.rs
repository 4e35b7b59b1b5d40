//! Catalogue, files and keys compared; and the catalogue made anew from the files.

use std::collections::BTreeSet;
use std::path::Path;

use registry::{
    Action, AuditAction, BackUp, Checked, Clock, FindingCode, Place, PolicyEntry, ReadPolicy,
    Rebuild, ServeError, admin,
};
use reqwest::StatusCode;

use crate::fixture::*;
use crate::withdraw::said;

fn codes(checked: &Checked) -> BTreeSet<String> {
    checked.findings.iter().map(|finding| format!("{:?}", finding.code)).collect()
}

async fn check(place: &Place) -> Checked {
    admin::check(place, Clock::system()).await.unwrap()
}

async fn rebuild(place: &Place) -> Checked {
    admin::rebuild(place, Rebuild::Now, Clock::system()).await.unwrap()
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
    let running = admin::rebuild(&place, Rebuild::Now, Clock::system()).await.unwrap_err();
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
    assert_eq!(of(FindingCode::Unverified), 2, "{:?}", rebuilt.findings);
    assert_eq!(of(FindingCode::Untrusted), 1, "the image of the other key");
    // Without a row of it, it is told what it would take, too.
    let again = rebuild(&place).await;
    let advice = "gantry registry keys add --data ";
    assert!(again.findings.iter().any(|found| found.detail.contains(advice)), "{again:?}");
    assert!(rebuilt.lost.is_empty() && rebuilt.closed.is_empty(), "{rebuilt:?}");
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
        assert_all_lost(&rebuilt);
    }
    let registry = Registry::start_in(folder, |_| {}).await;
    assert_closed_until_opened(&registry, &images).await;
}

/// What a catalogue has lost of which nothing is left.
fn assert_all_lost(rebuilt: &Checked) {
    for table in [
        "audit",
        "audit_head",
        "images",
        "oidc_rules",
        "policies",
        "settings",
        "tokens",
        "tombstones",
        "users",
        "yanks",
    ] {
        assert!(rebuilt.lost.iter().any(|lost| lost == table), "{table}: {:?}", rebuilt.lost);
    }
    let closed: Vec<&str> = rebuilt.closed.iter().map(|name| name.as_str()).collect();
    assert_eq!(closed, ["example.com"]);
}

/// Nobody sees what may have been for some alone, until somebody says that all may.
async fn assert_closed_until_opened(registry: &Registry, images: &[Image]) {
    let place = registry.place().await;
    for image in images {
        let hidden = registry.get(&format!("/-/images/{}.aci", image.reference)).await;
        assert!(hidden.status().is_client_error(), "{}", hidden.status());
    }
    let records = admin::audit_records(&place, 9).await.unwrap();
    let actions: Vec<AuditAction> = records.iter().map(|record| record.action).collect();
    assert!(actions.ends_with(&[AuditAction::PolicySet, AuditAction::Rebuild]), "{actions:?}");
    let now = std::time::SystemTime::now();
    let prefix = "example.com".parse().unwrap();
    let entry = PolicyEntry { prefix, read: Some(ReadPolicy::Public), overwrite: None };
    admin::set_policy(&place, &entry, now).await.unwrap();
    let start = std::time::Instant::now();
    for image in images {
        loop {
            let served = registry.get(&format!("/-/images/{}.aci", image.reference)).await;
            if served.status() == StatusCode::OK {
                assert_eq!(served.bytes().await.unwrap(), image.bytes);
                break;
            }
            assert!(start.elapsed() < std::time::Duration::from_secs(30), "it stays hidden");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

/// Empties the catalogue of a registry that is stopped.
pub(crate) async fn forget(place: &Place) {
    use sqlx::{Connection as _, Executor as _};
    match &place.database {
        None => remove_database(&place.data),
        Some(database) => {
            let url = database.url.to_string();
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.unwrap();
        }
    }
}

#[tokio::test]
async fn catalogue_that_is_gone_is_not_begun_anew_and_a_new_one_shows_nothing_to_everybody() {
    let (registry, _, images) = scene().await;
    let place = registry.place().await;
    let private = "example.com/a".parse().unwrap();
    let entry = PolicyEntry { prefix: private, read: Some(ReadPolicy::Token), overwrite: None };
    admin::set_policy(&place, &entry, std::time::SystemTime::now()).await.unwrap();
    let folder = registry.stop().await;
    let data = folder.path().join("data");
    forget(&place).await;

    let time = std::sync::Arc::new(std::sync::Mutex::new(std::time::SystemTime::now()));
    let served = registry::serve(config(place.clone(), &time), |_| {}, std::future::pending());
    let served = tokio::time::timeout(std::time::Duration::from_secs(60), served).await.unwrap();
    let ServeError::Catalog(error) = served.unwrap_err() else { panic!("it is served") };
    let refusal = error.refusal().unwrap();
    assert!(refusal.next.contains("gantry registry fsck --data DATA --rebuild"), "{refusal}");
    let checked = admin::check(&place, Clock::system()).await.unwrap_err();
    assert_eq!(checked.refusal().unwrap().code, "catalogue-gone");
    admin::policies(&place).await.unwrap_err();
    assert!(!data.join("gantry.db").exists(), "none was begun");

    let foreseen = admin::rebuild(&place, Rebuild::DryRun, Clock::system()).await.unwrap();
    assert_all_lost(&foreseen);
    assert_eq!(foreseen.images, 3);
    assert!(!data.join("gantry.db").exists(), "that was a dry run");
    admin::check(&place, Clock::system()).await.unwrap_err();
    let rebuilt = rebuild(&place).await;
    assert_all_lost(&rebuilt);
    let registry = Registry::start_in(folder, |_| {}).await;
    assert_closed_until_opened(&registry, &images).await;
}

/// A page in the middle that no look-up of images needs.
#[tokio::test]
async fn damage_of_the_database_is_found() {
    if crate::ON_POSTGRES {
        return;
    }
    let (registry, _, _) = scene().await;
    let place = registry.place().await;
    let folder = registry.stop().await;
    let file = folder.path().join("data/gantry.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let marked = b"token-create";
    let page = bytes.chunks(4096).rposition(|page| page.windows(12).any(|text| text == marked));
    bytes[page.unwrap() * 4096..][..100].fill(0xff);
    std::fs::write(&file, &bytes).unwrap();
    let found = check(&place).await;
    assert_eq!(codes(&found), ["DamagedDatabase".to_owned()].into(), "{found:?}");
    let told = &found.findings[0].detail;
    assert!(told.contains("page") && !told.contains("***"), "{told}");

    // Nothing of it is moved or made by a dry run.
    let foreseen = admin::rebuild(&place, Rebuild::DryRun, Clock::system()).await.unwrap();
    assert_eq!(foreseen.lost, ["audit"]);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    assert_eq!(rebuild(&place).await.lost, ["audit"]);
    assert_eq!(check(&place).await.findings.len(), 2, "the files of what was deleted");

    std::fs::write(&file, b"this is no database").unwrap();
    let _ = std::fs::remove_file(file.with_extension("db-wal"));
    let refused = admin::check(&place, Clock::system()).await.unwrap_err();
    assert_eq!(refused.refusal().unwrap().code, "catalogue-damaged");
}

/// When each image was pushed, by whom, and whether it is withdrawn.
async fn pushes(place: &Place) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    admin::back_up(place, folder.path(), BackUp::default(), Clock::system()).await.unwrap();
    let catalogue = std::fs::read_to_string(folder.path().join("catalogue")).unwrap();
    let rows = catalogue.lines().filter(|line| line.contains("\"pushed_by\":"));
    let row = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        ["image_id", "pushed_at", "pushed_by", "yanked"]
            .map(|column| row[column].to_string())
            .join(" ")
    };
    rows.filter(|line| !line.starts_with('#')).map(row).collect()
}

#[tokio::test]
async fn image_whose_key_is_trusted_no_more_is_told_and_comes_back_as_it_was() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let actions = vec![Action::Push, Action::Yank];
    let (token, _) = registry.token_that("example.com", actions, None).await;
    let (kept, gone) = (image("example.com/a:1.0.0", b"1"), image("example.com/a:2.0.0", b"2"));
    registry.publish(&token, &kept, team_key()).await;
    registry.add_key("example.com", other_key()).await;
    registry.publish(&token, &gone, other_key()).await;
    let url = registry.url(&format!("/-/api/v1/images/{}/yank", gone.id));
    let statement = said(&gone, true, "it burns", 1_700_000_000, other_key());
    let withdrawn = registry.client.put(url).bearer_auth(&token).json(&statement).send().await;
    assert_eq!(withdrawn.unwrap().status(), StatusCode::OK);
    let place = registry.place().await;
    let pushed = pushes(&place).await;
    assert_eq!(pushed.len(), 2);
    let folder = registry.stop().await;
    let prefix = "example.com".parse().unwrap();
    let fingerprint = *keys::Certificate::read_all(&other_key().public, &aci::Limits::default())
        .unwrap()[0]
        .fingerprint();
    let now = std::time::SystemTime::now();
    let limits = aci::Limits::default();
    admin::remove_key(&place, &prefix, &fingerprint, &limits, now).await.unwrap();

    let told = |checked: &Checked| {
        assert_eq!(checked.images, 1);
        let [finding] = &checked.findings[..] else { panic!("{checked:?}") };
        assert_eq!((finding.code, &*finding.what), (FindingCode::Untrusted, gone.id.as_str()));
        assert!(finding.detail.starts_with("example.com/a:2.0.0: "), "{}", finding.detail);
        assert!(finding.detail.contains("gantry registry keys add --data "), "{}", finding.detail);
        assert!(!finding.detail.contains("gantry trust"), "{}", finding.detail);
    };
    told(&admin::rebuild(&place, Rebuild::DryRun, Clock::system()).await.unwrap());
    assert_eq!(pushes(&place).await, pushed, "that was a dry run");
    told(&rebuild(&place).await);
    let last = admin::audit_records(&place, 1).await.unwrap().remove(0);
    assert_eq!(last.action, AuditAction::Rebuild);
    assert_eq!(last.detail.unwrap(), "1 images, 1 dropped");

    let file = &other_key().public;
    admin::add_keys(&place, &prefix, file, &limits, now).await.unwrap();
    let again = rebuild(&place).await;
    assert_eq!((again.images, again.findings.len()), (2, 0), "{again:?}");
    assert_eq!(pushes(&place).await, pushed, "when it came, by whom, and that it is withdrawn");
    let registry = Registry::start_in(folder, |_| {}).await;
    let latest = registry.get("/-/images/example.com/a.aci").await;
    assert_eq!(latest.bytes().await.unwrap(), kept.bytes, "the other is withdrawn");
}

#[tokio::test]
async fn files_that_nothing_knows_are_removed_when_they_are_a_day_old() {
    let (registry, token, images) = scene().await;
    let place = registry.place().await;
    let folder = registry.stop().await;
    rebuild(&place).await;
    let orphaned = ["Orphaned".to_owned()];
    assert_eq!(codes(&check(&place).await), orphaned.clone().into());
    let young = admin::remove_orphans(&place, Clock::system()).await.unwrap();
    assert_eq!(young.blobs, 0, "they are not a day old");
    assert_eq!(codes(&check(&place).await), orphaned.into());
    let later = std::time::SystemTime::now() + 2 * DAY;
    let clock = Clock::new(move || later);
    assert_eq!(admin::remove_orphans(&place, clock).await.unwrap().blobs, 2);
    assert_eq!(check(&place).await.findings.len(), 0);
    let registry = Registry::start_in(folder, |_| {}).await;
    for image in &images[..2] {
        let served = registry.get(&format!("/-/images/{}.aci", image.reference)).await;
        assert_eq!(served.bytes().await.unwrap(), image.bytes);
    }
    registry.publish(&token, &image("example.com/a:4.0.0", b"4"), team_key()).await;
}

/// Rows can be missing though all that is asked for is answered.
#[tokio::test]
async fn policies_of_which_a_part_is_lost_are_lost() {
    if crate::ON_POSTGRES {
        return;
    }
    let (registry, _, _) = scene().await;
    let place = registry.place().await;
    for (prefix, read) in
        [("example.com/hush", ReadPolicy::Token), ("example.com/open", ReadPolicy::Public)]
    {
        let prefix = prefix.parse().unwrap();
        let entry = PolicyEntry { prefix, read: Some(read), overwrite: None };
        admin::set_policy(&place, &entry, std::time::SystemTime::now()).await.unwrap();
    }
    let folder = registry.stop().await;
    let file = folder.path().join("data/gantry.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let row = b"example.com/hushtoken";
    let page = bytes.chunks(4096).position(|page| page.windows(row.len()).any(|text| text == row));
    // A leaf of a table with two rows, which says from now on that it has one.
    let head = &mut bytes[page.unwrap() * 4096..][..5];
    assert_eq!((head[0], head[4]), (0x0d, 2));
    head[4] = 1;
    std::fs::write(&file, &bytes).unwrap();
    let rebuilt = rebuild(&place).await;
    assert_eq!(rebuilt.lost, ["policies"]);
    let policies = admin::policies(&place).await.unwrap();
    let said: Vec<String> =
        policies.iter().map(|entry| format!("{} {entry}", entry.prefix)).collect();
    assert_eq!(said, ["example.com read=token"]);
}
