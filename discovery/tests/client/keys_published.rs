//! Keys a domain publishes.

use discovery::Kind;
use discovery::published::PublishedError;

use super::support::{Author, Reply, World, told};

fn page(locations: &[(&str, &str)]) -> Reply {
    let tag = |(prefix, url): &(&str, &str)| {
        format!("<meta name=ac-discovery-pubkeys content='{prefix} {url}'>")
    };
    Reply::ok(locations.iter().map(tag).collect::<String>())
}

#[tokio::test]
async fn published_keys_are_read_from_every_place() {
    let world = World::new().await;
    let (a, b) = (Author::new("a <a@example.com>"), Author::new("b <b@example.com>"));
    world.put(
        "/?ac-discovery=1",
        page(&[
            ("example.com", "https://example.com/a.asc"),
            ("example.org", "https://example.com/other.asc"),
            ("example.com/team", "https://example.com/both.asc"),
            ("example.com", "https://example.com/absent.asc"),
            ("example.com", "http://example.com/plain.asc"),
        ]),
    );
    world.put("/a.asc", Reply::ok(a.public.clone()));
    world.put("/both.asc", Reply::ok([a.public.clone(), b.public.clone()].concat()));
    let published =
        world.client.published_keys(&"example.com/team/x".parse().unwrap()).await.unwrap();
    let found: Vec<_> = published
        .keys
        .iter()
        .map(|keys| (keys.location.prefix.as_str(), keys.certificates.len()))
        .collect();
    assert_eq!(found, [("example.com", 1), ("example.com/team", 2)]);
    assert_eq!(published.fingerprints(), [a.fingerprint(), b.fingerprint()]);
    assert_eq!(published.failed.len(), 1);
}

#[tokio::test]
async fn published_file_without_a_key_is_said() {
    let world = World::new().await;
    world.put("/?ac-discovery=1", page(&[("example.com", "https://example.com/k.asc")]));
    for body in ["<html>keys</html>", "", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n"] {
        world.put("/k.asc", Reply::ok(body));
        let error = world.client.published_keys(&"example.com".parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, PublishedError::Key { .. }), "{body}: {error:?}");
        assert_eq!(error.kind(), Kind::Refused);
        told(&error);
    }
}

#[tokio::test]
async fn published_nowhere_is_not_found() {
    let world = World::new().await;
    let error = world.client.published_keys(&"example.com/x".parse().unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::NotFound, "discovery-failed"));
}

#[tokio::test]
async fn published_place_is_taken_literally() {
    let world = World::new().await;
    let author = Author::new("a <a@example.com>");
    world.put("/?ac-discovery=1", page(&[("example.com", "https://example.com/{name}.asc")]));
    world.put("/%7Bname%7D.asc", Reply::ok(author.public.clone()));
    world.put("/{name}.asc", Reply::ok(author.public));
    let published = world.client.published_keys(&"example.com".parse().unwrap()).await.unwrap();
    assert_eq!(published.keys[0].certificates.len(), 1);
}
