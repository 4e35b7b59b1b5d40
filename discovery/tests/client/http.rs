//! Redirects, certificates, broken answers.

use std::time::{Duration, Instant};

use discovery::http::{HttpError, Timeouts};
use discovery::published::PublishedError;
use discovery::{Client, ClientOptions, Kind};

use super::support::{Author, Reply, World, told};

const KEYS: &str = "https://example.com/keys.asc";

async fn keys(world: &World, url: &str) -> Result<usize, HttpError> {
    match world.client.keys_at(&url.parse().unwrap()).await {
        Ok(certificates) => Ok(certificates.len()),
        Err(PublishedError::Http(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

async fn world() -> World {
    let world = World::new().await;
    world.put("/keys.asc", Reply::ok(Author::new("a <a@example.com>").public));
    world
}

#[tokio::test]
async fn redirect_of_every_kind_is_followed() {
    let world = world().await;
    for status in [301, 302, 303, 307, 308] {
        for location in ["/keys.asc", "keys.asc", KEYS, "//example.com/keys.asc#fragment"] {
            world.put("/from", Reply::To(status, location.to_owned()));
            let found = keys(&world, "https://example.com/from").await;
            assert_eq!(found.unwrap(), 1, "{status} {location}");
        }
    }
}

#[tokio::test]
async fn redirect_ten_times_and_no_more() {
    let world = world().await;
    for step in 1..=11 {
        world.put(&format!("/{step}"), Reply::To(302, format!("/{}", step - 1)));
    }
    world.put("/0", Reply::To(302, "/keys.asc".to_owned()));
    // /9 is the first of ten redirects.
    assert_eq!(keys(&world, "https://example.com/9").await.unwrap(), 1);
    let error = keys(&world, "https://example.com/10").await.unwrap_err();
    assert!(matches!(error, HttpError::TooManyRedirects { limit: 10, .. }), "{error:?}");
    told(&error);
    world.put("/loop", Reply::To(302, "/loop".to_owned()));
    let error = keys(&world, "https://example.com/loop").await.unwrap_err();
    assert!(matches!(error, HttpError::TooManyRedirects { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Network);
}

#[tokio::test]
async fn redirect_that_leaves_https_is_refused() {
    let world = world().await;
    for location in
        ["http://example.com/keys.asc", "ftp://example.com/keys.asc", "file:///etc/passwd"]
    {
        world.put("/from", Reply::To(302, location.to_owned()));
        let error = keys(&world, "https://example.com/from").await.unwrap_err();
        assert!(matches!(error, HttpError::Downgrade { .. }), "{error:?}");
        assert_eq!(
            (error.kind(), told(&error).code.as_str()),
            (Kind::Refused, "redirect-not-https")
        );
    }
}

#[tokio::test]
async fn redirect_to_nowhere_or_with_credentials_is_refused() {
    let world = world().await;
    for location in ["https://", "https://exa mple.com/"] {
        world.put("/from", Reply::To(302, location.to_owned()));
        let error = keys(&world, "https://example.com/from").await.unwrap_err();
        assert!(matches!(error, HttpError::Redirect { .. }), "{error:?}");
        told(&error);
    }
    world.put("/from", Reply::To(302, "https://user:secret@example.com/keys.asc".to_owned()));
    let error = keys(&world, "https://example.com/from").await.unwrap_err();
    assert!(matches!(error, HttpError::Credentials { .. }), "{error:?}");
    assert!(!told(&error).to_string().contains("secret"));
}

#[tokio::test]
async fn server_that_asks_for_a_long_pause_is_told_with_it() {
    let world = world().await;
    for (status, kind) in [(429, Kind::Network), (503, Kind::Network), (507, Kind::Server)] {
        let busy = Reply::said(status, "Retry-After: 1000\r\n", b"busy".to_vec());
        world.put("/keys.asc", busy);
        let error = keys(&world, KEYS).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        let next = told(&error).next;
        let is_said = next == "try again in 17 minutes, as the server asks";
        assert_eq!(is_said, kind == Kind::Network, "{status}: {next}");
    }
}

#[tokio::test]
async fn url_that_is_not_https_is_refused_before_it_is_asked() {
    let world = world().await;
    let error = keys(&world, "http://example.com/keys.asc").await.unwrap_err();
    assert!(matches!(error, HttpError::NotHttps { .. }), "{error:?}");
    told(&error);
    assert!(world.server.requests().is_empty());
}

#[tokio::test]
async fn status_decides_the_kind() {
    let world = world().await;
    for (status, kind) in [
        (201, Kind::Server),
        (202, Kind::Server),
        (204, Kind::Server),
        (304, Kind::Server),
        (400, Kind::Server),
        (401, Kind::Server),
        (403, Kind::Server),
        (404, Kind::NotFound),
        (410, Kind::NotFound),
        (500, Kind::Network),
        (503, Kind::Network),
    ] {
        world.put("/keys.asc", Reply::Whole(status, Vec::new()));
        let error = keys(&world, KEYS).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status}");
        assert!(told(&error).found.contains(&status.to_string()));
    }
}

#[tokio::test]
async fn document_larger_than_its_limit_is_refused() {
    let world = world().await;
    for reply in [
        Reply::Endless,
        Reply::ok(vec![b'x'; (1 << 20) + 1]),
        Reply::Unannounced(vec![b'x'; (1 << 20) + 1]),
    ] {
        world.put("/keys.asc", reply);
        let error = keys(&world, KEYS).await.unwrap_err();
        assert!(
            matches!(error, HttpError::TooLarge { limit, .. } if limit == 1 << 20),
            "{error:?}"
        );
        assert_eq!(error.kind(), Kind::Refused);
        told(&error);
    }
}

#[tokio::test]
async fn document_cut_short_is_an_error() {
    let world = world().await;
    world.put("/keys.asc", Reply::Short { announced: 1000, body: b"half".to_vec() });
    let error = keys(&world, KEYS).await.unwrap_err();
    assert!(matches!(error, HttpError::EndedEarly { .. }), "{error:?}");
    told(&error);
    for reply in [Reply::Close, Reply::Reset { announced: 1000, body: b"half".to_vec() }] {
        world.put("/keys.asc", reply.clone());
        let error = keys(&world, KEYS).await.unwrap_err();
        assert!(matches!(error, HttpError::Request { .. }), "{reply:?} {error:?}");
        assert_eq!(error.kind(), Kind::Network);
        told(&error);
    }
}

#[tokio::test]
async fn silence_ends_after_the_idle_time() {
    let world = World::with(|options| {
        options.timeouts = Timeouts {
            connect: Duration::from_millis(500),
            idle: Duration::from_millis(300),
            ..Timeouts::default()
        };
    })
    .await;
    for reply in [Reply::Silence, Reply::Stall { announced: 10, body: b"half".to_vec() }] {
        world.put("/keys.asc", reply);
        let begun = Instant::now();
        let error = keys(&world, KEYS).await.unwrap_err();
        assert!(matches!(error, HttpError::Timeout { .. }), "{error:?}");
        assert_eq!(error.kind(), Kind::Network);
        assert!(begun.elapsed() < Duration::from_secs(10));
        told(&error);
    }
}

#[tokio::test]
async fn certificate_of_an_unknown_authority_is_not_believed() {
    let world = World::with(|options| options.ca_file = None).await;
    let error = keys(&world, KEYS).await.unwrap_err();
    // On a machine without any CA certificate TLS cannot even be set up.
    assert!(matches!(error, HttpError::Request { .. } | HttpError::Tls { .. }), "{error:?}");
    assert!(world.server.requests().is_empty());
    told(&error);
}

#[tokio::test]
async fn ca_file_that_holds_no_certificate_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing\n").unwrap();
    for path in [empty, folder.path().join("absent.pem")] {
        let client = Client::new(ClientOptions { ca_file: Some(path), ..ClientOptions::default() });
        let error = client.keys_at(&KEYS.parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, PublishedError::Http(HttpError::CaFile { .. })), "{error:?}");
        assert_eq!(error.kind(), Kind::Usage);
        told(&error);
        // Not one page could be asked: that is no answer of "not found".
        let error = client.find_images(&"example.com/a".parse().unwrap()).await.unwrap_err();
        assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::Usage, "ca-file-invalid"));
    }
}
