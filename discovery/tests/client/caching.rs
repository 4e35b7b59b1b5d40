//! What the store has already: when the network is asked, and what is checked all the same.

use std::time::{Duration, SystemTime};

use aci::Refuse;
use discovery::Kind;
use discovery::fetch::{FetchError, FetchOptions, Pull, SignatureSource, Trust};
use keys::{Keyring, Liveness, Policy};

use super::support::{Author, Reply, Request, World, signed, told, trust};

const ASKED: &str = "example.com/a:1.0.0";

fn pull(pull: Pull) -> FetchOptions {
    FetchOptions { pull, ..FetchOptions::default() }
}

/// The same trust, so much later.
fn later(trust: &Trust, seconds: u64) -> Trust {
    let now = trust.policy.now + Duration::from_secs(seconds);
    Trust { policy: Policy { now, ..trust.policy.clone() }, ..trust.clone() }
}

/// Serves an image by its ETag, with this `Cache-Control`.
fn by_etag(image: Vec<u8>, cache: &'static str) -> Reply {
    Reply::by(move |request: &Request| {
        let headers = format!("ETag: \"one\"\r\nCache-Control: {cache}\r\n");
        match request.header("if-none-match") {
            Some("\"one\"") => Reply::said(304, &headers, ""),
            _ => Reply::said(200, &headers, image.clone()),
        }
    })
}

#[tokio::test]
async fn never_asks_nobody() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, ASKED, b"a");
    world.serve("example.com/a", "1.0.0", &image, &signature);
    world.put("/x/a.aci", Reply::ok(image));
    world.put("/x/a.aci.asc", Reply::ok(signature));
    let trust = trust(&author, "example.com");
    let never = pull(Pull::Never);
    for what in [ASKED, "https://example.com/x/a.aci", "sha512-00"] {
        let error = world.fetch_with(what, &never, &trust).await.unwrap_err();
        assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::NotFound, "image-absent"));
    }
    assert!(world.server.requests().is_empty());
    let id = world.fetch(ASKED, &trust).await.unwrap().imported.record.image_id;
    world.fetch("https://example.com/x/a.aci", &trust).await.unwrap();
    let asked = world.server.requests().len();
    let prefix = &id.as_str()[..20];
    for what in [ASKED, "example.com/a", "https://example.com/x/a.aci", id.as_str(), prefix] {
        for how in [Pull::Never, Pull::New] {
            let fetched = world.fetch_with(what, &pull(how), &trust).await.unwrap();
            assert_eq!(
                (fetched.imported.new, fetched.imported.record.image_id),
                (false, id.clone())
            );
        }
    }
    assert_eq!(world.server.requests().len(), asked);
    // An image for another machine does not pass for one for this.
    let (_, arch) = aci::host_platform();
    let other = if arch == "amd64" { "aarch64" } else { "amd64" };
    let foreign = format!("example.com/b:1.0.0,os=linux,arch={other}");
    let file = world.folder.path().join("b.aci");
    let (image, signature) = signed(&author, &foreign, b"b");
    std::fs::write(&file, image).unwrap();
    std::fs::write(file.with_extension("aci.asc"), signature).unwrap();
    world.fetch(file.to_str().unwrap(), &trust).await.unwrap();
    let error = world.fetch_with("example.com/b:1.0.0", &never, &trust).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    world.fetch_with(&foreign, &never, &trust).await.unwrap();
}

#[tokio::test]
async fn new_asks_for_what_is_not_there() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, ASKED, b"a");
    world.serve("example.com/a", "1.0.0", &image, &signature);
    let trust = trust(&author, "example.com");
    let fetched = world.fetch_with(ASKED, &pull(Pull::New), &trust).await.unwrap();
    assert!(fetched.imported.new);
}

#[tokio::test]
async fn unchanged_image_is_not_sent_again() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, ASKED, b"a");
    world.serve("example.com/a", "1.0.0", &image, &signature);
    let (path, signature_path) = world.paths("example.com/a", "1.0.0");
    world.put(&path, by_etag(image, "no-cache"));
    let trust = trust(&author, "example.com");
    let mut mark = 0;
    assert!(world.fetch(ASKED, &trust).await.unwrap().imported.new);
    world.files_since(&mut mark);
    assert!(!world.fetch(ASKED, &trust).await.unwrap().imported.new);
    assert_eq!(world.files_since(&mut mark), [signature_path, path.clone()]);
    let last = world.server.requests().pop().unwrap();
    assert_eq!(last.header("if-none-match"), Some("\"one\""));
    // One that was removed is asked for without a condition.
    let id = world.store().list().unwrap().images[0].image_id.clone();
    world.store().remove(&id).unwrap();
    assert!(world.fetch(ASKED, &trust).await.unwrap().imported.new);
    assert_eq!(world.server.requests().pop().unwrap().header("if-none-match"), None);
}

#[tokio::test]
async fn fresh_image_is_not_asked_for_until_its_age() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, ASKED, b"a");
    world.serve("example.com/a", "1.0.0", &image, &signature);
    let (path, _) = world.paths("example.com/a", "1.0.0");
    world.put(&path, by_etag(image, "max-age=100"));
    let trust = trust(&author, "example.com");
    let mut mark = 0;
    world.fetch(ASKED, &trust).await.unwrap();
    world.files_since(&mut mark);
    for (seconds, requests) in [(0, 0), (99, 0), (100, 2), (150, 0), (199, 0), (200, 2)] {
        world.fetch(ASKED, &later(&trust, seconds)).await.unwrap();
        assert_eq!(world.files_since(&mut mark).len(), requests, "after {seconds} seconds");
    }
}

#[tokio::test]
async fn image_of_the_store_must_pass_todays_trust() {
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, ASKED, b"a");
    for cache in ["max-age=1000", "no-cache"] {
        let world = World::new().await;
        world.serve("example.com/a", "1.0.0", &image, &signature);
        let (path, _) = world.paths("example.com/a", "1.0.0");
        world.put(&path, by_etag(image.clone(), cache));
        let good = trust(&author, "example.com");
        world.fetch(ASKED, &good).await.unwrap();
        let mut masked = super::support::keyring(&author, "example.com");
        masked.mask(author.fingerprint(), keys::Scope::Prefix("example.com/a".parse().unwrap()));
        for keyring in [Keyring::default(), masked] {
            let trust = Trust {
                keyring: keyring.into(),
                policy: Policy::new(SystemTime::now(), Liveness::AtSigning),
            };
            for how in [Pull::Never, Pull::New, Pull::Update] {
                let error = world.fetch_with(ASKED, &pull(how), &trust).await.unwrap_err();
                assert_eq!(error.kind(), Kind::Refused, "{cache} {how:?}: {error:?}");
                told(&error);
            }
        }
        // And the file must be what it was: the last byte of it, too.
        let id = world.store().list().unwrap().images[0].image_id.clone();
        let file = world.folder.path().join("store/images").join(&id.digits()[..2]);
        let file = file.join(id.digits()).join("image.aci");
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let error = world.fetch(ASKED, &good).await.unwrap_err();
        assert!(matches!(error, FetchError::Stored(_)), "{error:?}");
        assert_eq!(error.kind(), Kind::Refused);
    }
}

#[tokio::test]
async fn what_is_remembered_is_no_truth() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, ASKED, b"a");
    world.serve("example.com/a", "1.0.0", &image, &signature);
    let (path, _) = world.paths("example.com/a", "1.0.0");
    world.put(&path, by_etag(image, "max-age=1000"));
    let trust = trust(&author, "example.com");
    world.fetch(ASKED, &trust).await.unwrap();
    let folder = world.folder.path().join("store/remotes");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    // Somebody else's image under this URL's memory: the name does not fit.
    let (other, signature) = signed(&author, "example.com/b:1.0.0", b"b");
    world.serve("example.com/b", "1.0.0", &other, &signature);
    let id = world.fetch("example.com/b:1.0.0", &trust).await.unwrap().imported.record.image_id;
    let mut remote: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    remote["imageId"] = id.as_str().into();
    std::fs::write(&file, remote.to_string()).unwrap();
    let error = world.fetch(ASKED, &trust).await.unwrap_err();
    assert_eq!(error.refusal().code, "name-mismatch");
    // Garbage costs a request.
    std::fs::write(&file, "garbage").unwrap();
    assert!(!world.fetch(ASKED, &trust).await.unwrap().imported.new);
}

#[tokio::test]
async fn signature_from_elsewhere() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, ASKED, b"a");
    let (path, beside) = world.paths("example.com/a", "1.0.0");
    world.put(&path, Reply::ok(image.clone()));
    world.put("/elsewhere.asc", Reply::ok(signature.clone()));
    let trust = trust(&author, "example.com");
    world.refused(ASKED, &trust).await;
    let signature_file = world.folder.path().join("elsewhere.asc");
    std::fs::write(&signature_file, &signature).unwrap();
    let image_file = world.folder.path().join("a.aci");
    std::fs::write(&image_file, &image).unwrap();
    let url = SignatureSource::Url("https://example.com/elsewhere.asc".parse().unwrap());
    for from in [url, SignatureSource::File(signature_file)] {
        let options = FetchOptions { signature: Some(from), ..FetchOptions::default() };
        for what in [ASKED, image_file.to_str().unwrap()] {
            let mut mark = world.server.requests().len();
            let fetched = world.fetch_with(what, &options, &trust).await.unwrap();
            assert!(!world.files_since(&mut mark).contains(&beside));
            world.store().remove(&fetched.imported.record.image_id).unwrap();
        }
    }
}
