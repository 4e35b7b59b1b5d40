//! What a crash leaves, and what becomes of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use aci::FileDigest;
use aci::push::{CreateUpload, Pushed, Upload};
use registry::{BackUp, Clock, DatabaseUrl, Place, Rebuild, admin};
use reqwest::StatusCode;

use crate::fixture::*;

#[tokio::test]
async fn restart_serves_what_was_published() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", b"a");
    registry.publish(&token, &image, team_key()).await;
    let registry = Registry::start_in(registry.stop().await, |_| {}).await;
    let served = registry.get("/-/images/example.com/a:1.aci").await;
    assert_eq!(served.bytes().await.unwrap(), image.bytes);
    let again = registry.push(&token, &image, &sign(team_key(), &image.bytes)).await;
    assert_eq!(again.status(), StatusCode::OK);
}

/// What had come of an image is held when the server is stopped in the middle of it.
#[tokio::test]
async fn stop_in_the_middle_of_an_image_keeps_what_has_come() {
    let registry = Registry::start_with(|config| {
        config.timeouts.drain = Duration::from_millis(200);
    })
    .await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", &noise(400_000));
    let signature = sign(team_key(), &image.bytes);
    let body = CreateUpload {
        signature: String::from_utf8(signature).unwrap(),
        file_bytes: Some(image.bytes.len() as u64),
        file_digest: Some(FileDigest::of_bytes(&image.bytes)),
    };
    let create = async |registry: &Registry| -> Upload {
        let request = registry.client.post(registry.url("/-/api/v1/uploads"));
        request.bearer_auth(&token).json(&body).send().await.unwrap().json().await.unwrap()
    };
    let upload = create(&registry).await;
    let first = &image.bytes[..300_000];
    let _stream = registry.begin_sending(&token, &upload.path, &image, first).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let registry = Registry::start_in(registry.stop().await, |_| {}).await;
    let again = create(&registry).await;
    assert_eq!(again.id, upload.id);
    let held: u64 = again.progress.unwrap().held.iter().map(|range| range.bytes()).sum();
    assert!(held > 200_000, "{held}");
}

#[tokio::test]
async fn files_of_images_are_for_the_registry_alone() {
    let (registry, token) = started().await;
    let image = image("example.com/team/a:1", b"a");
    registry.publish(&token, &image, team_key()).await;
    let files = image.files(&registry.data().join("blobs"));
    assert_eq!(files.len(), 2);
    for path in files.into_iter().chain([registry.data().join("blobs/..")]) {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{path:?}");
    }
}

/// Who forgets where the catalogue is, or gives another, is told so, and nothing is made.
#[tokio::test]
async fn catalogue_is_looked_for_where_it_is() {
    let (registry, token) = started().await;
    registry.publish(&token, &image("example.com/team/a:1", b"a"), team_key()).await;
    let place = registry.place().await;
    let other = registry.folder.path().join("other.db");
    let elsewhere = format!("sqlite://{}", other.display()).parse::<DatabaseUrl>().unwrap();
    let all = [None, Some(elsewhere.into())];
    let wrong = all.into_iter().filter(|given| given.is_some() || crate::ON_POSTGRES);
    for database in wrong {
        let wrong = Place { data: place.data.clone(), database };
        let (clock, backup) = (Clock::system(), registry.folder.path().join("backup"));
        let refused = [
            admin::tokens(&wrong).await.map(drop).map_err(|error| error.to_string()),
            admin::set_read_only(&wrong, true, clock.clone()).await.map_err(|e| e.to_string()),
            admin::collect(&wrong, clock.clone()).await.map(drop).map_err(|e| e.to_string()),
            admin::check(&wrong, clock.clone()).await.map(drop).map_err(|e| e.to_string()),
            admin::rebuild(&wrong, Rebuild::Now, clock.clone())
                .await
                .map(drop)
                .map_err(|e| e.to_string()),
            admin::back_up(&wrong, &backup, BackUp::default(), clock.clone())
                .await
                .map(drop)
                .map_err(|e| e.to_string()),
        ];
        for (at, refused) in refused.into_iter().enumerate() {
            let error = refused.unwrap_err();
            assert!(error.contains("the catalogue of the registry in"), "{at}: {error}");
        }
    }
    assert!(!other.exists(), "nothing is made");
    assert_eq!(place.data.join("gantry.db").exists(), !crate::ON_POSTGRES);
    assert_eq!(place.data.join("database").exists(), crate::ON_POSTGRES);
    assert_eq!(admin::tokens(&place).await.unwrap().len(), 1);
}

/// Puts files where those of an image would be, as a crash before the row leaves them.
fn leave(registry: &Registry, image: &Image, signature: &[u8], bytes: [&[u8]; 2]) {
    let digits = image.file_digits();
    let folder = registry.data().join("blobs/sha512").join(&digits[..2]);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{digits}.aci")), bytes[0]).unwrap();
    let signature = FileDigest::of_bytes(signature);
    let name = format!("{digits}.{}.aci.asc", &signature.digits()[..32]);
    fs::write(folder.join(name), bytes[1]).unwrap();
}

#[tokio::test]
async fn restart_takes_up_files_as_they_were_named_before() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let kept = image("example.com/a:1", b"a");
    registry.publish(&token, &kept, team_key()).await;
    let blobs = registry.data().join("blobs");
    let folder = registry.stop().await;
    // By image ID, without the folder that tells the digest.
    let digits = kept.id.digits();
    let old = blobs.join(&digits[..2]);
    fs::create_dir(&old).unwrap();
    for file in files_below(&blobs.join("sha512")) {
        let is_signature = file.extension().is_some_and(|extension| extension == "asc");
        let extension = if is_signature { "aci.asc" } else { "aci" };
        fs::rename(file, old.join(format!("{digits}.{extension}"))).unwrap();
    }
    fs::remove_dir_all(blobs.join("sha512")).unwrap();
    // Of a push that was cut off, of an older one, and a stranger.
    let orphan = image("example.com/a:2", b"b");
    let digits = orphan.id.digits();
    let cut_off = blobs.join(&digits[..2]);
    fs::create_dir_all(&cut_off).unwrap();
    fs::write(cut_off.join(format!("{digits}.aci")), b"x").unwrap();
    fs::write(cut_off.join(".gantry-stage-dead"), b"x").unwrap();
    fs::write(old.join("note"), b"an administrator's note").unwrap();

    let registry = Registry::start_in(folder, |_| {}).await;
    let served = registry.get(&format!("/-/blobs/{}.aci", kept.id)).await;
    assert_eq!(served.bytes().await.unwrap(), kept.bytes);
    assert_eq!(kept.files(&blobs).len(), 2);
    assert_eq!(files_below(&blobs).len(), 3, "{:?}", files_below(&blobs));
    assert!(old.join("note").exists());
    assert!(!cut_off.exists() || cut_off == old);
    let registry = Registry::start_in(registry.stop().await, |_| {}).await;
    registry.publish(&token, &orphan, team_key()).await;
}

#[tokio::test]
async fn push_heals_what_a_crash_left_without_a_restart() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", b"a");
    let signature = sign(team_key(), &image.bytes);
    leave(&registry, &image, &signature, [b"half", b"another half"]);
    let pushed = registry.push(&token, &image, &signature).await;
    assert_eq!(pushed.status(), StatusCode::CREATED);
    let blob = format!("/-/blobs/{}.aci", image.id);
    assert_eq!(registry.get(&blob).await.bytes().await.unwrap(), image.bytes);
    let asc = registry.get(&format!("{blob}.asc")).await;
    assert_eq!(asc.bytes().await.unwrap(), signature);
}

#[tokio::test]
async fn push_brings_back_files_that_were_lost() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", b"a");
    registry.publish(&token, &image, team_key()).await;
    let blob = format!("/-/blobs/{}.aci", image.id);
    for lost in [image.bytes.len(), 0] {
        // The image; then the signature that came with the push which brought the image back.
        let served = registry.get(&format!("{blob}.asc")).await.bytes().await.unwrap();
        let file = image.files(&registry.data().join("blobs")).into_iter().find(|file| {
            let bytes = fs::read(file).unwrap();
            if lost > 0 { bytes == image.bytes } else { bytes == served }
        });
        fs::remove_file(file.unwrap()).unwrap();
        let signature = sign(team_key(), &image.bytes);
        let pushed = registry.push(&token, &image, &signature).await;
        let pushed: Pushed = pushed.json().await.unwrap();
        assert_eq!(pushed.image_id, image.id);
        assert_eq!(registry.get(&blob).await.bytes().await.unwrap(), image.bytes);
        let asc = registry.get(&format!("{blob}.asc")).await;
        assert_eq!(asc.bytes().await.unwrap(), signature);
    }
}

#[tokio::test]
async fn push_whose_client_leaves_at_its_end_is_whole_or_absent() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    for at in 0..24_u32 {
        let image = image(&format!("example.com/a:{at}.0.0"), &[1; 4096]);
        let created = registry.create(&token, &sign(team_key(), &image.bytes)).await;
        let upload: Upload = created.json().await.unwrap();
        let stream = registry.begin_sending(&token, &upload.path, &image, &image.bytes).await;
        // Somewhere between the last byte and the answer.
        tokio::time::sleep(Duration::from_millis(1) * at).await;
        drop(stream);
        let blob = format!("/-/blobs/{}.aci", image.id);
        let settled = async || {
            let served = registry.get(&blob).await.status() == StatusCode::OK;
            (served, image.files(&registry.data().join("blobs")).len())
        };
        let start = std::time::Instant::now();
        while !matches!(settled().await, (true, 2) | (false, 0)) {
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", settled().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn second_server_on_the_same_data_is_refused() {
    let registry = Registry::start().await;
    let second = config(registry.place().await, &registry.time);
    let stop = std::future::pending();
    let error = registry::serve(second, |_| panic!("it listens"), stop).await.unwrap_err();
    assert!(error.to_string().contains("another registry is running"), "{error}");
    assert_eq!(registry.get("/-/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn shutdown_lets_a_running_push_end() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", &vec![1; 1 << 20]);
    let created = registry.create(&token, &sign(team_key(), &image.bytes)).await;
    let upload: Upload = created.json().await.unwrap();
    let (send, chunks) = futures_channel(&image.bytes);
    let request = registry
        .client
        .put(registry.url(&upload.path))
        .bearer_auth(&token)
        .body(reqwest::Body::wrap_stream(chunks));
    let push = tokio::spawn(request.send());
    send.send(()).await.unwrap();
    // The first half has been taken off the wire; now the server is told to stop.
    let stopping = tokio::spawn(registry.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    send.send(()).await.unwrap();
    drop(send);
    let response = push.await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    drop(response);
    stopping.await.unwrap();
}

/// A body in two halves, each sent when it is asked for.
fn futures_channel(
    bytes: &[u8],
) -> (
    tokio::sync::mpsc::Sender<()>,
    impl futures_util::Stream<Item = Result<Vec<u8>, std::io::Error>> + Send + 'static + use<>,
) {
    let (send, receive) = tokio::sync::mpsc::channel(1);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let halves = vec![second.to_vec(), first.to_vec()];
    let stream =
        futures_util::stream::unfold((receive, halves), async |(mut receive, mut halves)| {
            receive.recv().await;
            let half = halves.pop()?;
            Some((Ok(half), (receive, halves)))
        });
    (send, stream)
}

/// As many images as one, with files and rows of their own, in 90 folders.
const MANY: usize = 10_000;
const COPY: &str = "INSERT INTO images (image_id, name, version, labels, labels_canonical,
     extra_labels, manifest, compression, file_digest, file_bytes, tar_bytes, signature_digest,
     signature_bytes, image_blob, signature_blob, signer, signing_key, signed_at, pushed_at, pushed_by,
     version_order, variant)
 SELECT $1, name || '.' || $2, version, labels, labels_canonical, extra_labels, manifest,
     compression, $1, file_bytes, tar_bytes, signature_digest, signature_bytes, $1 || '.aci',
     $1 || '.' || substr(signature_digest, 8, 32) || '.aci.asc', signer, signing_key, signed_at,
     pushed_at, pushed_by, version_order, variant FROM images WHERE image_id = $3";
const COPY_BLOB: &str = "INSERT INTO blobs (blob_key, bytes, leased_until, leased_by)
 SELECT $1, bytes, leased_until, leased_by FROM blobs WHERE blob_key = $2";

macro_rules! multiply {
    ($connection:ty, $url:expr, $image:expr, $blobs:expr) => {{
        use sqlx::Connection as _;
        let mut connection = <$connection>::connect($url).await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let files = $image.files($blobs);
        for at in 0..MANY {
            let digits = format!("{:02}{at:08}", at % 90 + 10);
            let digits = format!("{digits}{}", &$image.file_digits()[digits.len()..]);
            let folder = $blobs.join("sha512").join(&digits[..2]);
            fs::create_dir_all(&folder).unwrap();
            for file in &files {
                let name = file.file_name().unwrap().to_str().unwrap();
                let copy = name.replace(&$image.file_digits(), &digits);
                fs::hard_link(file, folder.join(&copy)).unwrap();
                let (copy, name) = (format!("sha512-{copy}"), format!("sha512-{name}"));
                let copied = sqlx::query(COPY_BLOB).bind(copy).bind(name);
                copied.execute(&mut *transaction).await.unwrap();
            }
            let digest = format!("sha512-{digits}");
            let copied = sqlx::query(COPY).bind(digest).bind(at.to_string());
            let copied = copied.bind($image.id.as_str()).execute(&mut *transaction).await.unwrap();
            assert_eq!(copied.rows_affected(), 1);
        }
        transaction.commit().await.unwrap();
        connection.close().await.unwrap();
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_takes_no_longer_with_many_images() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", b"a");
    registry.publish(&token, &image, team_key()).await;
    let place = registry.place().await;
    let folder = registry.stop().await;
    let ready = async || {
        let start = std::time::Instant::now();
        let victim = crate::crash::Victim::start(&place).await;
        let (status, _) = victim.get("/-/readyz").await;
        assert_eq!(status, StatusCode::OK);
        let took = start.elapsed();
        victim.kill();
        took
    };
    let one = ready().await;
    let blobs = folder.path().join("data/blobs");
    match &place.database {
        None => {
            let url = format!("sqlite://{}", folder.path().join("data/gantry.db").display());
            multiply!(sqlx::SqliteConnection, &url, image, &blobs);
        }
        Some(database) => {
            multiply!(sqlx::PgConnection, &database.url.to_string(), image, &blobs);
        }
    }
    let many = ready().await;
    println!("from start to ready: {one:?} with one image, {many:?} with {MANY} more");
    assert!(many < Duration::from_secs(2), "{one:?} with one image, {many:?} with many");
    // They are there. What their files hold is the one image's, so that these are not served.
    let registry = Registry::start_in(folder, |_| {}).await;
    let last = registry.get(&format!("/a.{}", MANY - 1)).await;
    assert_eq!(last.status(), StatusCode::OK);
    assert_eq!(files_below(&blobs).len(), 2 * (MANY + 1));
}
