//! Fetching what is there and in order.

use std::sync::Arc;

use aci::archive::Compression;
use discovery::Kind;
use discovery::fetch::{FetchError, FetchOptions, Source};
use discovery::store::Origin;

use super::support::{Author, Reply, World, heard, signed, tar_image, told, trust};

#[tokio::test]
async fn fetch_by_name_imports_what_was_asked_for() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, "example.com/team/hello:1.0.0", b"hello");
    world.serve("example.com/team/hello", "1.0.0", &image, &signature);
    let trust = trust(&author, "example.com/team");
    let fetched = world.fetch("example.com/team/hello:1.0.0", &trust).await.unwrap();
    assert!(fetched.imported.new);
    assert_eq!(fetched.warnings, Vec::<String>::new());
    let record = fetched.imported.record;
    assert_eq!(record.signer, author.fingerprint());
    assert_eq!(record.file_bytes, image.len() as u64);
    let Origin::Discovery { reference, url } = &record.origin else { panic!() };
    assert_eq!(reference, "example.com/team/hello:1.0.0");
    assert!(url.starts_with("https://example.com/files/"));

    let stored = world.store().open_image(&record.image_id).unwrap().unwrap();
    assert_eq!(std::io::read_to_string(stored.file().unwrap()).ok(), None, "gzip is no text");
    let folder = world.folder.path().join("store/images").join(&record.image_id.digits()[..2]);
    let folder = folder.join(record.image_id.digits());
    assert_eq!(std::fs::read(folder.join("image.aci")).unwrap(), image);
    assert_eq!(std::fs::read(folder.join("image.aci.asc")).unwrap(), signature);
    assert_eq!(std::fs::read(folder.join("manifest")).unwrap(), stored.manifest_bytes());
}

#[tokio::test]
async fn fetch_again_changes_nothing() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, "example.com/hello:1.0.0", b"hello");
    world.serve("example.com/hello", "1.0.0", &image, &signature);
    let trust = trust(&author, "example.com");
    let first = world.fetch("example.com/hello:1.0.0", &trust).await.unwrap().imported;
    let second = world.fetch("example.com/hello:1.0.0", &trust).await.unwrap().imported;
    assert!(first.new && !second.new);
    assert_eq!(first.record, second.record);
    assert_eq!(world.store().list().unwrap().images.len(), 1);
}

#[tokio::test]
async fn fetch_asks_for_the_signature_first() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, "example.com/hello:1.0.0", b"hello");
    world.serve("example.com/hello", "1.0.0", &image, &signature);
    world.fetch("example.com/hello:1.0.0", &trust(&author, "example.com")).await.unwrap();
    let files: Vec<_> =
        world.server.targets().into_iter().filter(|t| t.starts_with("/files/")).collect();
    let (image, signature) = world.paths("example.com/hello", "1.0.0");
    assert_eq!(files, [signature, image]);
}

#[tokio::test]
async fn fetch_without_a_version_takes_what_latest_leads_to() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, "example.com/hello:7.0.0", b"hello");
    world.serve("example.com/hello", "latest", &image, &signature);
    let fetched = world.fetch("example.com/hello", &trust(&author, "example.com")).await.unwrap();
    assert_eq!(fetched.imported.record.labels.value("version"), Some("7.0.0"));
}

#[tokio::test]
async fn fetch_takes_an_image_for_this_platform_or_for_any() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let trust = trust(&author, "example.com");
    let (os, arch) = aci::host_platform();
    let other = if arch == "amd64" { "aarch64" } else { "amd64" };
    for (labels, fits) in [
        (String::new(), true),
        (format!(",os={os},arch={arch}"), true),
        (format!(",os={os}"), true),
        (format!(",os={os},arch={other}"), false),
        (",os=freebsd,arch=i386".to_owned(), false),
    ] {
        let (image, signature) = signed(&author, &format!("example.com/a:1.0.0{labels}"), b"a");
        world.serve("example.com/a", "1.0.0", &image, &signature);
        match world.fetch("example.com/a:1.0.0", &trust).await {
            Ok(_) => assert!(fits, "{labels}"),
            Err(error) => {
                assert!(!fits, "{labels}: {error:?}");
                assert!(matches!(error, FetchError::LabelMismatch { .. }), "{error:?}");
                assert_eq!(told(&error).code, "label-mismatch");
            }
        }
    }
}

#[tokio::test]
async fn fetch_passes_over_places_that_do_not_have_it() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, "example.com/a:1.0.0", b"a");
    let tag = |template: &str| format!("<meta name=ac-discovery content='example.com {template}'>");
    let page = [
        "https://unreachable.invalid/{name}.{ext}",
        "https://example.com/absent/{name}.{ext}",
        "https://example.com/half/{name}.{ext}",
        "https://example.com/there/{name}.{ext}",
    ];
    world.put("/?ac-discovery=1", Reply::ok(page.map(tag).concat()));
    // The signature alone is there.
    world.put("/half/example.com/a.aci.asc", Reply::ok(signature.clone()));
    world.put("/there/example.com/a.aci.asc", Reply::ok(signature));
    world.put("/there/example.com/a.aci", Reply::ok(image));
    let (observer, heard) = heard();
    let source: Source = "example.com/a:1.0.0".parse().unwrap();
    let trust = trust(&author, "example.com");
    let options = FetchOptions::default();
    let store = world.store();
    world.client.fetch_with(&source, &options, &store, &trust, &observer).await.unwrap();
    let passed: Vec<_> =
        heard.lock().unwrap().iter().filter(|e| e.starts_with("PassedOver")).cloned().collect();
    assert_eq!(passed.len(), 3, "{passed:?}");
}

#[tokio::test]
async fn fetch_that_no_place_can_serve_says_all_of_them() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let trust = trust(&author, "example.com");
    let error = world.refused("example.com/a:1.0.0", &trust).await;
    assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::NotFound, "not-found"));
    let tag = |template: &str| format!("<meta name=ac-discovery content='example.com {template}'>");
    let page = tag("https://unreachable.invalid/{name}.{ext}")
        + &tag("https://example.com/x/{name}.{ext}");
    world.put("/?ac-discovery=1", Reply::ok(page));
    let error = world.refused("example.com/a:1.0.0", &trust).await;
    assert_eq!(error.kind(), Kind::NotFound);
    let said = told(&error).found;
    assert!(said.contains("unreachable.invalid") && said.contains("404"), "{said}");
    world.put("/?ac-discovery=1", Reply::ok(tag("https://unreachable.invalid/{name}.{ext}")));
    assert_eq!(world.refused("example.com/a:1.0.0", &trust).await.kind(), Kind::Network);
    world.put("/x/example.com/a.aci.asc", Reply::Whole(401, Vec::new()));
    world.put("/?ac-discovery=1", Reply::ok(tag("https://example.com/x/{name}.{ext}")));
    assert_eq!(world.refused("example.com/a:1.0.0", &trust).await.kind(), Kind::Server);
}

#[tokio::test]
async fn fetch_by_url_needs_no_page() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, "example.com/a:1.0.0", b"a");
    world.put("/x/a.aci?token=1", Reply::ok(image));
    world.put("/x/a.aci.asc?token=1", Reply::ok(signature));
    let trust_of = |prefix| trust(&author, prefix);
    let fetched = world
        .fetch("https://example.com/x/a.aci?token=1", &trust_of("example.com/a"))
        .await
        .unwrap();
    assert!(matches!(fetched.imported.record.origin, Origin::Url { .. }));
    assert_eq!(world.server.targets(), ["/x/a.aci.asc?token=1", "/x/a.aci?token=1"]);
    // The name inside the image says which keys may have signed it.
    world.store().remove(&fetched.imported.record.image_id).unwrap();
    let error =
        world.refused("https://example.com/x/a.aci?token=1", &trust_of("example.com/x")).await;
    assert_eq!(told(&error).code, "signer-wrong-prefix");
}

#[tokio::test]
async fn fetch_from_a_file_asks_nobody() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, "example.com/a:1.0.0", b"a");
    let file = world.folder.path().join("a.aci");
    std::fs::write(&file, &image).unwrap();
    let trust = trust(&author, "example.com/a");
    let error = world.refused(file.to_str().unwrap(), &trust).await;
    assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::NotFound, "file-unreadable"));
    std::fs::write(file.with_extension("aci.asc"), &signature).unwrap();
    let fetched = world.fetch(file.to_str().unwrap(), &trust).await.unwrap();
    assert!(matches!(fetched.imported.record.origin, Origin::File { .. }));
    let fetched = world.fetch(&format!("file://{}", file.display()), &trust).await.unwrap();
    assert!(!fetched.imported.new);
    assert!(world.server.requests().is_empty());
}

#[tokio::test]
async fn fetch_of_any_compression_gives_the_same_image_id() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let trust = trust(&author, "example.com");
    let mut ids = Vec::new();
    for compression in [
        Compression::None,
        Compression::Gzip,
        Compression::Bzip2,
        Compression::Xz,
        Compression::Zstd,
    ] {
        let image = tar_image("example.com/a:1.0.0", b"a", compression);
        world.serve("example.com/a", "1.0.0", &image, &author.sign(&image));
        let record = world.fetch("example.com/a:1.0.0", &trust).await.unwrap().imported.record;
        world.store().remove(&record.image_id).unwrap();
        assert_eq!(record.compression, compression);
        ids.push(record.image_id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn fetch_tells_how_far_it_is() {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, "example.com/a:1.0.0", b"a");
    world.serve("example.com/a", "1.0.0", &image, &signature);
    let (observer, heard) = heard();
    let source: Source = "example.com/a:1.0.0".parse().unwrap();
    let trust = trust(&author, "example.com");
    let options = FetchOptions::default();
    let store = world.store();
    world.client.fetch_with(&source, &options, &store, &trust, &observer).await.unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard[0].starts_with("Signature"), "{heard:?}");
    assert_eq!(heard[1], format!("Started(Some({}))", image.len()));
    assert_eq!(heard.last().unwrap(), "Moved");
    let advanced: usize = heard
        .iter()
        .filter_map(|e| e.strip_prefix("Advanced(")?.strip_suffix(')')?.parse::<usize>().ok())
        .sum();
    assert_eq!(advanced, image.len());
}

#[tokio::test]
async fn fetch_of_a_large_image_at_once_with_another() {
    let world = Arc::new(World::new().await);
    let author = Author::new("team <team@example.com>");
    // Random enough that it stays large.
    let mut state = 1_u64;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    })
    .take(20 << 20)
    .collect();
    let image = tar_image("example.com/a:1.0.0", &content, Compression::None);
    world.serve("example.com/a", "1.0.0", &image, &author.sign(&image));
    let trust = Arc::new(trust(&author, "example.com"));
    let fetches: Vec<_> = (0..4)
        .map(|_| {
            let (world, trust) = (Arc::clone(&world), Arc::clone(&trust));
            tokio::spawn(async move { world.fetch("example.com/a:1.0.0", &trust).await.unwrap() })
        })
        .collect();
    let mut new = 0;
    for fetch in fetches {
        let imported = fetch.await.unwrap().imported;
        new += usize::from(imported.new);
        assert_eq!(imported.record.file_bytes, image.len() as u64);
    }
    assert_eq!(new, 1);
    assert_eq!(world.store().list().unwrap().images.len(), 1);
    let staging = world.folder.path().join("store/staging");
    assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0);
}
