//! Credentials, proxies, plain http.

use std::path::Path;
use std::sync::{Arc, Mutex};

use discovery::credentials::Credentials;
use discovery::fetch::FetchError;
use discovery::http::{HttpError, Insecure, Proxy};
use discovery::published::PublishedError;
use discovery::{ClientOptions, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::support::{Author, Reply, Server, World, signed, told, trust};

const ASKED: &str = "example.com/a:1.0.0";

fn credentials(folder: &Path, domain: &str) -> Credentials {
    let path = folder.join("auth.json");
    let text = format!(
        r#"{{"rktKind":"auth","rktVersion":"v1","domains":["{domain}"],"type":"oauth","credentials":{{"token":"t0k3n"}}}}"#
    );
    std::fs::write(&path, text).unwrap();
    Credentials::of_file(&path).unwrap().0
}

/// A world whose client has these credentials, with an image and its author's keys.
async fn world(change: impl FnOnce(&mut ClientOptions)) -> (World, discovery::fetch::Trust) {
    let world = World::with(change).await;
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, ASKED, b"a");
    world.serve("example.com/a", "1.0.0", &image, &signature);
    world.put("/keys.asc", Reply::ok(author.public.clone()));
    (world, trust(&author, "example.com"))
}

#[tokio::test]
async fn credentials_go_with_pages_signatures_images_and_keys_of_their_host() {
    let folder = tempfile::tempdir().unwrap();
    let own = credentials(folder.path(), "example.com");
    let (world, trust) = world(|options| options.credentials = own).await;
    world.fetch(ASKED, &trust).await.unwrap();
    world.client.keys_at(&"https://example.com/keys.asc".parse().unwrap()).await.unwrap();
    let requests = world.server.requests();
    assert!(requests.len() >= 4);
    for request in requests {
        assert_eq!(request.header("authorization"), Some("Bearer t0k3n"), "{}", request.target);
    }
}

#[tokio::test]
async fn credentials_go_to_no_other_host_or_port() {
    let folder = tempfile::tempdir().unwrap();
    for domain in ["example.com:8443", "sub.example.com", "example.org", "com"] {
        let own = credentials(folder.path(), domain);
        let (world, trust) = world(|options| options.credentials = own).await;
        world.fetch(ASKED, &trust).await.unwrap();
        assert!(world.server.requests().iter().all(|r| r.header("authorization").is_none()));
    }
}

#[tokio::test]
async fn credentials_stay_behind_at_a_redirect() {
    let folder = tempfile::tempdir().unwrap();
    let own = credentials(folder.path(), "example.com");
    let other =
        Server::start(&["127.0.0.1"], |_| Reply::To(302, "https://example.com/k".into())).await;
    let (world, _) = world(|options| options.credentials = own.clone()).await;
    world.put("/from", Reply::To(302, format!("https://{}/k", other.address)));
    world.put("/k", world.reply("/keys.asc"));
    let url = "https://example.com/from".parse().unwrap();
    world.client.keys_at(&url).await.unwrap();
    assert_eq!(other.requests()[0].header("authorization"), None);
    // Back at its own host it is sent again.
    let asked = world.server.requests();
    assert_eq!(asked.last().unwrap().target, "/k");
    assert!(asked.iter().all(|request| request.header("authorization").is_some()));

    // The target's own credentials are used for the target, and only there.
    let own = credentials(folder.path(), &other.address.to_string());
    let (world, _) = self::world(|options| options.credentials = own).await;
    world.put("/from", Reply::To(302, format!("https://{}/k", other.address)));
    world.put("/k", world.reply("/keys.asc"));
    world.client.keys_at(&url).await.unwrap();
    assert_eq!(other.requests()[1].header("authorization"), Some("Bearer t0k3n"));
    assert!(world.server.requests().iter().all(|r| r.header("authorization").is_none()));
}

#[tokio::test]
async fn credentials_go_over_checked_tls_only() {
    let folder = tempfile::tempdir().unwrap();
    for insecure in [
        Insecure { skip_tls_verify: true, ..Insecure::default() },
        Insecure { allow_http: true, keys_over_http: true, ..Insecure::default() },
    ] {
        let own = credentials(folder.path(), "example.com");
        let (world, trust) = world(|options| {
            options.credentials = own;
            options.insecure = insecure;
        })
        .await;
        world.put(
            "/?ac-discovery=1",
            Reply::by(|request| match request.secure {
                true => Reply::absent(),
                false => Reply::ok(
                    "<meta name=ac-discovery content='example.com http://example.com/plain.{ext}'>",
                ),
            }),
        );
        for ext in ["aci", "aci.asc"] {
            let (image, signature) = world.paths("example.com/a", "1.0.0");
            let reply = world.reply(if ext == "aci" { &image } else { &signature });
            world.put(&format!("/plain.{ext}"), reply);
        }
        let fetched = world.fetch(ASKED, &trust).await;
        assert_eq!(fetched.is_ok(), insecure.allow_http, "{fetched:?}");
        for request in world.server.requests() {
            let checked = request.secure && !insecure.skip_tls_verify;
            assert_eq!(request.header("authorization").is_some(), checked, "{request:?}");
        }
    }
}

#[tokio::test]
async fn unusable_credentials_stop_every_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.json");
    std::fs::write(&path, "{").unwrap();
    let error = Credentials::of_file(&path).unwrap_err();
    let (world, trust) = world(|o| o.credentials = Credentials::unusable(error)).await;
    let error = world.fetch(ASKED, &trust).await.unwrap_err();
    assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::Usage, "credentials-unusable"));
    assert!(world.server.requests().is_empty());
}

#[tokio::test]
async fn http_is_asked_only_where_it_is_allowed_and_https_gives_nothing() {
    let plain = "<meta name=ac-discovery content='example.com http://example.com/p.{ext}'>\
                 <meta name=ac-discovery-pubkeys content='example.com http://example.com/keys.asc'>";
    let allowed =
        |allow_http, keys_over_http| Insecure { allow_http, keys_over_http, ..Insecure::default() };
    for (insecure, image, keys) in [
        (Insecure::default(), false, false),
        (allowed(true, false), true, false),
        (allowed(false, true), false, true),
    ] {
        let (world, trust) = world(|options| options.insecure = insecure).await;
        let (path, signature) = world.paths("example.com/a", "1.0.0");
        world.put("/p.aci", world.reply(&path));
        world.put("/p.aci.asc", world.reply(&signature));
        world.put("/?ac-discovery=1", Reply::ok(plain));
        let fetched = world.fetch(ASKED, &trust).await;
        assert_eq!(fetched.is_ok(), image, "{insecure:?} {fetched:?}");
        let published = world.client.published_keys(&"example.com".parse().unwrap()).await;
        assert_eq!(published.is_ok(), keys, "{insecure:?} {published:?}");
        let url = "http://example.com/keys.asc".parse().unwrap();
        match world.client.keys_at(&url).await {
            Ok(_) => assert!(keys),
            Err(PublishedError::Http(error)) => {
                assert!(!keys && matches!(error, HttpError::NotHttps { .. }), "{error:?}");
            }
            Err(other) => panic!("{other:?}"),
        }
        // An image URL is asked as it is given, or not at all.
        let fetched = world.fetch("http://example.com/p.aci", &trust).await;
        assert_eq!(fetched.is_ok(), image, "{fetched:?}");
        if !image {
            assert!(matches!(fetched, Err(FetchError::Http(HttpError::NotHttps { .. }))));
        }
        // What began on https does not leave it.
        world.put("/down", Reply::To(302, "http://example.com/keys.asc".into()));
        let url = "https://example.com/down".parse().unwrap();
        let error = world.client.keys_at(&url).await.unwrap_err();
        assert!(matches!(error, PublishedError::Http(HttpError::Downgrade { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn unchecked_tls_is_for_one_client_alone() {
    let no_authority = |skip_tls_verify| {
        World::with(move |options| {
            options.ca_file = None;
            options.insecure = Insecure { skip_tls_verify, ..Insecure::default() };
        })
    };
    let url = "https://example.com/keys.asc".parse().unwrap();
    for skip in [true, false] {
        let world = no_authority(skip).await;
        world.put("/keys.asc", Reply::ok(Author::new("a <a@example.com>").public));
        let found = world.client.keys_at(&url).await;
        assert_eq!(found.is_ok(), skip, "{found:?}");
    }
}

/// A proxy that takes every host to one address, and what it was asked.
async fn proxy(to: std::net::SocketAddr) -> (std::net::SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let heard = Arc::clone(&heard);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                heard.lock().unwrap().push(head.lines().next().unwrap().to_owned());
                let mut target = TcpStream::connect(to).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut target).await;
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn proxy_is_asked_to_connect_and_sees_no_more() {
    let (server, _) = world(|_| ()).await;
    let (address, asked) = proxy(server.server.address).await;
    let (world, _) = world(|options| {
        options.overrides.clear();
        options.proxy = Proxy::Through(format!("http://{address}").parse().unwrap());
    })
    .await;
    let url = "https://example.com/keys.asc".parse().unwrap();
    world.client.keys_at(&url).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["CONNECT example.com:443 HTTP/1.1"]);
    assert_eq!(server.server.targets(), ["/keys.asc"]);
    // An override connects where it says, and asks no proxy.
    let (direct, _) = self::world(|options| {
        options.proxy = Proxy::Through(format!("http://{address}").parse().unwrap());
    })
    .await;
    direct.client.keys_at(&url).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn rate_is_limited() {
    let (world, trust) =
        world(|options| options.limit_rate = std::num::NonZeroU64::new(1000)).await;
    let (path, _) = world.paths("example.com/a", "1.0.0");
    let Reply::Whole(_, image) = world.reply(&path) else { panic!() };
    let begun = tokio::time::Instant::now();
    world.fetch(ASKED, &trust).await.unwrap();
    // A clock that runs slow cannot fail this, only one that does not wait.
    assert!(begun.elapsed().as_secs_f64() >= image.len() as f64 / 1000.0);
}
