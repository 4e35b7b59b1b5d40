//! The store: what gets in, how it is found, and who waits for whom.

use std::fs;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use aci::{ImageId, Limits};
use discovery::Store;
use discovery::fetch::Trust;
use discovery::store::{Damage, Origin, Record, StoreError, Wanted, verify};

use super::support::{Author, files_below, signed, told, trust};

struct Scene {
    folder: tempfile::TempDir,
    store: Store,
    author: Author,
    trust: Trust,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let author = Author::new("team <team@example.com>");
    let trust = trust(&author, "example.com");
    Scene { folder, store, author, trust }
}

impl Scene {
    fn import(&self, reference: &str, content: &[u8]) -> Record {
        self.import_at(reference, content, SystemTime::now())
    }

    fn import_at(&self, reference: &str, content: &[u8], now: SystemTime) -> Record {
        let (image, signature) = signed(&self.author, reference, content);
        let mut incoming = self.store.stage().unwrap();
        let Trust { keyring, policy } = &self.trust;
        let limits = Limits::default();
        let verified =
            keys::receive(&image[..], &mut incoming, &signature, keyring, policy, &limits).unwrap();
        let origin = Origin::File { path: "/x.aci".to_owned() };
        incoming.commit(&verified, &signature, origin, now).unwrap().record
    }

    fn find(&self, wanted: &str) -> Result<ImageId, StoreError> {
        self.store.find(&wanted.parse::<Wanted>().unwrap())
    }

    fn file(&self, id: &ImageId, name: &str) -> PathBuf {
        self.store.root().join("images").join(&id.digits()[..2]).join(id.digits()).join(name)
    }

    fn verify(&self, id: &ImageId) -> Result<(), Damage> {
        verify(&self.store, id, &self.trust, &Limits::default()).map(drop)
    }
}

#[test]
fn store_that_is_not_there_is_empty_and_stays_so() {
    let scene = scene();
    assert!(scene.store.list().unwrap().images.is_empty());
    assert!(matches!(scene.find("example.com/a"), Err(StoreError::Absent { .. })));
    assert!(matches!(scene.find("sha512-00"), Err(StoreError::Absent { .. })));
    let id: ImageId = format!("sha512-{}", "0".repeat(128)).parse().unwrap();
    assert!(scene.store.open_image(&id).unwrap().is_none());
    assert!(!scene.store.remove(&id).unwrap());
    assert!(!scene.store.root().exists());
}

#[test]
fn store_record_says_what_was_checked() {
    let scene = scene();
    let record = scene.import("example.com/a:1.0.0,os=linux", b"a");
    let text = fs::read_to_string(scene.file(&record.image_id, "record.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["imageId"], record.image_id.as_str());
    assert_eq!(json["name"], "example.com/a");
    assert_eq!(json["labels"][1]["value"], "linux");
    assert_eq!(json["signer"], scene.author.fingerprint().to_string());
    assert_eq!(json["origin"]["kind"], "file");
    assert_eq!(scene.store.record(&record.image_id).unwrap().unwrap(), record);
    assert_eq!(record.reference().to_string(), "example.com/a:1.0.0,os=linux");
}

#[test]
fn store_import_that_is_dropped_leaves_nothing() {
    let scene = scene();
    let mut incoming = scene.store.stage().unwrap();
    std::io::Write::write_all(&mut incoming, b"half an image").unwrap();
    assert_eq!(files_below(scene.folder.path()).len(), 2, "the staging folder and its file");
    drop(incoming);
    assert!(files_below(scene.folder.path()).is_empty());
}

#[test]
fn store_open_clears_away_what_the_dead_left_and_nothing_else() {
    let scene = scene();
    let incoming = scene.store.stage().unwrap();
    let dead = scene.store.root().join("staging/.gantry-stage-0123456789abcdef");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("image.aci"), b"half").unwrap();
    Store::open(scene.store.root()).unwrap();
    assert!(!dead.exists());
    assert_eq!(files_below(scene.folder.path()).len(), 2);
    drop(incoming);
}

#[test]
fn find_by_image_id() {
    let scene = scene();
    let a = scene.import("example.com/a:1.0.0", b"a").image_id;
    assert_eq!(scene.find(&a.as_str()[..12]).unwrap(), a);
    assert_eq!(scene.find(a.as_str()).unwrap(), a);
    // With 257 images two share their first two digits; far fewer will do.
    let mut seen = vec![a];
    for number in 0..257_u32 {
        let id = scene.import("example.com/b:1.0.0", &number.to_le_bytes()).image_id;
        let begins = &id.as_str()[..9];
        if seen.iter().any(|other| other.as_str().starts_with(begins)) {
            let error = scene.find(begins).unwrap_err();
            assert!(matches!(&error, StoreError::Ambiguous { found, .. } if found.len() == 2));
            assert!(told(&error).found.contains(id.as_str()));
            return;
        }
        seen.push(id);
    }
    panic!("no two image IDs share their first two digits");
}

#[test]
fn find_by_name_prefers_platform_then_version_then_the_newest_import() {
    let scene = scene();
    let (os, arch) = aci::host_platform();
    let other = if arch == "amd64" { "aarch64" } else { "amd64" };
    let here = format!("os={os},arch={arch}");
    let start = SystemTime::now() - Duration::from_secs(1000);
    let images = [
        format!("example.com/a:1.9.0,{here}"),
        format!("example.com/a:1.10.0,{here}"),
        "example.com/a:1.10.0".to_owned(),
        format!("example.com/a:1.11.0-rc.1,{here}"),
        format!("example.com/a:9.0.0,os={os},arch={other}"),
        format!("example.com/a:weekly,{here}"),
        "example.com/ab:99.0.0".to_owned(),
        format!("example.com/b:one,{here}"),
        format!("example.com/b:two,{here}"),
    ];
    let mut ids = Vec::new();
    for (at, image) in images.iter().enumerate() {
        let now = start + Duration::from_secs(at as u64);
        ids.push(scene.import_at(image, image.as_bytes(), now).image_id);
    }
    for (wanted, at) in [
        // As the registry chooses the latest: a release, where there is one.
        ("example.com/a", 1),
        ("example.com/a:1.11.0-rc.1", 3),
        ("example.com/a:1.10.0", 1),
        ("example.com/a:1.9.0", 0),
        ("example.com/a:weekly", 5),
        ("example.com/a:9.0.0", 4),
        ("example.com/b", 8),
        ("example.com/b:one", 7),
        ("example.com/ab", 6),
    ] {
        assert_eq!(scene.find(wanted).unwrap(), ids[at], "{wanted}");
    }
    let named = format!("example.com/a,arch={other}");
    assert_eq!(scene.find(&named).unwrap(), ids[4]);
    let error = scene.find("example.com/a:2.0.0").unwrap_err();
    let refusal = told(&error);
    assert!(refusal.found.contains("1.10.0"), "{refusal}");
    assert!(refusal.next.contains("gantry fetch example.com/a:2.0.0"), "{refusal}");
}

#[test]
fn remove_waits_for_whoever_reads() {
    let scene = scene();
    let id = scene.import("example.com/a:1.0.0", b"a").image_id;
    let reading = scene.store.open_image(&id).unwrap().unwrap();
    let (told, removed) = mpsc::channel();
    let (store, gone) = (scene.store.clone(), id.clone());
    let remover = std::thread::spawn(move || {
        told.send(store.remove(&gone).unwrap()).unwrap();
    });
    assert!(removed.recv_timeout(Duration::from_millis(300)).is_err(), "it did not wait");
    assert!(scene.file(&id, "image.aci").exists());
    drop(reading);
    assert!(removed.recv_timeout(Duration::from_secs(10)).unwrap());
    remover.join().unwrap();
    assert!(scene.store.open_image(&id).unwrap().is_none());
    assert!(!scene.store.remove(&id).unwrap());
    let left: Vec<_> = files_below(scene.store.root()).into_keys().collect();
    assert_eq!(left, [scene.store.root().join("locks").join(id.as_str()).display().to_string()]);
}

#[test]
fn imports_and_removals_at_once() {
    let scene = scene();
    std::thread::scope(|scope| {
        for worker in 0..4_u8 {
            let scene = &scene;
            scope.spawn(move || {
                for round in 0..8_u8 {
                    let content = [round % 2];
                    let id = scene.import("example.com/a:1.0.0", &content).image_id;
                    if (worker + round) % 3 == 0 {
                        scene.store.remove(&id).unwrap();
                    } else if let Some(image) = scene.store.open_image(&id).unwrap() {
                        assert_eq!(image.record().image_id, id);
                    }
                    Store::open(scene.store.root()).unwrap();
                }
            });
        }
    });
    let listing = scene.store.list().unwrap();
    assert!(listing.damaged.is_empty());
    for record in listing.images {
        scene.verify(&record.image_id).unwrap();
    }
    assert_eq!(fs::read_dir(scene.store.root().join("staging")).unwrap().count(), 0);
}

#[test]
fn verify_again_under_todays_trust() {
    let scene = scene();
    let id = scene.import("example.com/a:1.0.0", b"a").image_id;
    scene.verify(&id).unwrap();
    let other = Author::new("other <other@example.com>");
    let today = trust(&other, "example.com");
    let error = verify(&scene.store, &id, &today, &Limits::default()).unwrap_err();
    assert!(matches!(error, Damage::Image { .. }), "{error:?}");
    assert_eq!(told(&error).code, "signer-not-trusted");
}

#[test]
fn verify_finds_every_kind_of_damage() {
    let scene = scene();
    let id = scene.import("example.com/a:1.0.0", b"a").image_id;
    let other = scene.import("example.com/a:1.0.0", b"b").image_id;
    let restore = |name: &str, bytes: &[u8]| fs::write(scene.file(&id, name), bytes).unwrap();
    for name in ["image.aci", "image.aci.asc", "manifest", "record.json"] {
        let good = fs::read(scene.file(&id, name)).unwrap();
        let mut flipped = good.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for bad in [&flipped[..], &good[..good.len() / 2], b""] {
            restore(name, bad);
            let error = scene.verify(&id).unwrap_err();
            assert_eq!(error.kind(), discovery::Kind::Refused, "{name}: {error:?}");
            told(&error);
        }
        fs::remove_file(scene.file(&id, name)).unwrap();
        scene.verify(&id).unwrap_err();
        restore(name, &good);
        scene.verify(&id).unwrap();
    }
    // Another good image of the same author in its place.
    for name in ["image.aci", "image.aci.asc", "manifest"] {
        fs::copy(scene.file(&other, name), scene.file(&id, name)).unwrap();
    }
    let error = scene.verify(&id).unwrap_err();
    assert!(matches!(error, Damage::Store(StoreError::Damaged { .. })), "{error:?}");
    assert_eq!(told(&error).code, "store-damaged");
    // And a record that fits it, but for the image ID.
    let record = fs::read_to_string(scene.file(&other, "record.json")).unwrap();
    restore("record.json", record.replace(other.as_str(), id.as_str()).as_bytes());
    let error = scene.verify(&id).unwrap_err();
    assert!(told(&error).found.contains(other.as_str()), "{error:?}");
    // And its very record.
    restore("record.json", record.as_bytes());
    assert!(matches!(scene.store.record(&id), Err(StoreError::Damaged { .. })));
    scene.verify(&id).unwrap_err();
}

#[test]
fn damaged_image_does_not_hide_the_others() {
    let scene = scene();
    let bad = scene.import("example.com/a:1.0.0", b"a").image_id;
    let good = scene.import("example.com/b:1.0.0", b"b").image_id;
    fs::write(scene.file(&bad, "record.json"), "{").unwrap();
    fs::create_dir(scene.store.root().join("images/stray")).unwrap();
    let listing = scene.store.list().unwrap();
    assert_eq!(listing.images.len(), 1);
    assert_eq!(listing.images[0].image_id, good);
    assert_eq!(listing.damaged.len(), 1);
    assert!(scene.store.open_image(&bad).is_err());
    assert_eq!(scene.find(&bad.as_str()[..40]).unwrap(), bad);
    assert!(scene.store.remove(&bad).unwrap());
    assert!(scene.store.list().unwrap().damaged.is_empty());
}
