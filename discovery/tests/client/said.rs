//! What a server says of an answer that does not help reaches who asked.

use aci::push::ErrorBody;
use aci::{Refusal, Refuse};
use discovery::Kind;
use discovery::explain::Explain;
use discovery::fetch::{FetchError, Trust};
use discovery::http::HttpError;
use keys::TrustStore;

use super::support::{Author, Reply, World, signed, told, trust};

const ASKED: &str = "example.com/a:1.0.0";
const JSON: &str = "Content-Type: application/json\r\n";

/// A world whose pages name two places, and which answers there with these.
async fn world(replies: [Reply; 2]) -> (World, Trust) {
    let world = World::new().await;
    let tags = ["one", "two"].map(|place| {
        let url = format!("https://example.com/{place}/{{name}}:{{version}}.{{ext}}");
        format!("<meta name=ac-discovery content='example.com {url}'>")
    });
    world.put("/?ac-discovery=1", Reply::ok(tags.concat()));
    for (place, reply) in ["one", "two"].into_iter().zip(replies) {
        for version in ["1.0.0", "1.0@sha512-8f1c"] {
            world.put(&format!("/{place}/example.com/a:{version}.aci.asc"), reply.clone());
        }
    }
    (world, trust(&Author::new("a <a@example.com>"), "example.com"))
}

/// A refusal as a registry words it.
fn refusal(code: &str, message: &str) -> Refusal {
    Refusal {
        code: code.to_owned(),
        message: message.to_owned(),
        wanted: "another request".to_owned(),
        found: "this one".to_owned(),
        rule: "a rule of the server".to_owned(),
        next: "ask its administrator".to_owned(),
    }
}

fn says(status: u16, refusal: Refusal) -> Reply {
    let body = ErrorBody { error: refusal, upload: None };
    Reply::said(status, JSON, serde_json::to_vec(&body).unwrap())
}

async fn told_of(replies: [Reply; 2]) -> (Kind, Refusal) {
    let (world, trust) = world(replies).await;
    let error = world.refused(ASKED, &trust).await;
    assert!(matches!(error, FetchError::NoEndpoint { .. }), "{error:?}");
    (error.kind(), told(&error))
}

#[tokio::test]
async fn credentials_are_spoken_of_where_they_are_lacking() {
    for status in [401, 403] {
        let bare = || Reply::Whole(status, b"no".to_vec());
        let (kind, told) = told_of([bare(), bare()]).await;
        assert_eq!(kind, Kind::Server);
        for words in ["[[credentials]]", "auth.d", "--auth-file"] {
            assert!(told.next.contains(words), "{told}");
        }
        let said = || says(status, refusal("token-unknown", "the token is not known here"));
        let (kind, told) = told_of([said(), said()]).await;
        assert_eq!(kind, Kind::Server);
        assert!(told.message.ends_with("2 places: the token is not known here"), "{told}");
        assert!(told.next.contains("auth.d"), "{told}");
        assert!(told.next.ends_with("the server says: ask its administrator"), "{told}");
    }
}

#[tokio::test]
async fn reason_of_a_registry_is_told_whichever_place_gave_it() {
    let gone = || says(410, refusal("image-deleted", "it was deleted"));
    let several = || says(404, refusal("image-ambiguous", "it names several images"));
    for (replies, words) in [
        ([gone(), Reply::absent()], "it was deleted"),
        ([Reply::absent(), gone()], "it was deleted"),
        ([several(), gone()], "it was deleted"),
        ([several(), Reply::absent()], "it names several images"),
        ([Reply::absent(), several()], "it names several images"),
    ] {
        let (kind, told) = told_of(replies).await;
        assert_eq!((kind, told.code.as_str()), (Kind::NotFound, "no-endpoint"));
        assert!(told.message.ends_with(&format!("places: {words}")), "{told}");
        assert!(told.found.contains(words), "{told}");
        assert_eq!(told.next, "the server says: ask its administrator");
    }
    let (kind, told) = told_of([Reply::absent(), Reply::absent()]).await;
    assert_eq!(kind, Kind::NotFound);
    assert!(told.next.contains("check the version and labels"), "{told}");
}

#[tokio::test]
async fn reason_is_told_of_one_url_and_of_a_server_that_is_busy() {
    let (world, trust) = world([Reply::absent(), Reply::absent()]).await;
    for (status, kind) in [(410, Kind::NotFound), (503, Kind::Network), (421, Kind::Server)] {
        world.put("/x.aci.asc", says(status, refusal("some-code", "it is so")));
        let error = world.refused("https://example.com/x.aci", &trust).await;
        assert!(matches!(error, FetchError::Http(HttpError::Status { .. })), "{error:?}");
        let told = told(&error);
        assert_eq!(error.kind(), kind);
        let url = "https://example.com/x.aci.asc";
        assert_eq!(told.message, format!("{url} answered with status {status}: it is so"));
        assert_eq!((told.wanted.as_str(), told.found.as_str()), ("another request", "this one"));
        // A program that reads codes is told ours, whatever a server calls it.
        assert!(matches!(told.code.as_str(), "not-found" | "http-status"), "{told}");
    }
    // The image itself, whose signature is there.
    let author = Author::new("b <b@example.com>");
    let (_, signature) = signed(&author, ASKED, b"a");
    world.put("/x.aci.asc", Reply::ok(signature));
    world.put("/x.aci", says(410, refusal("image-deleted", "it was deleted")));
    let trust = self::trust(&author, "example.com");
    let error = world.refused("https://example.com/x.aci", &trust).await;
    assert!(error.to_string().ends_with("status 410: it was deleted"), "{error}");
}

#[tokio::test]
async fn page_that_is_refused_says_so() {
    let (world, trust) = world([Reply::absent(), Reply::absent()]).await;
    for path in ["/?ac-discovery=1", "/a?ac-discovery=1"] {
        world.put(path, says(403, refusal("name-not-allowed", "not for you\nat all")));
    }
    let told = told(&world.refused(ASKED, &trust).await);
    assert!(told.found.contains("status 403: not for you\u{fffd}at all"), "{told}");
    assert!(told.next.contains("auth.d"), "{told}");
}

#[tokio::test]
async fn hostile_explanations_are_cut_off_or_made_harmless() {
    let (world, trust) = world([Reply::absent(), Reply::absent()]).await;
    let with = |headers: &str, body: Vec<u8>| Reply::said(410, headers, body);
    let body = |message: &str| {
        let error = refusal("x", message);
        serde_json::to_vec(&ErrorBody { error, upload: None }).unwrap()
    };
    let long = "x".repeat(70_000);
    for reply in [
        with(JSON, body(&long)),
        with("Content-Type: text/html\r\n", body("a reason")),
        with("", body("a reason")),
        with(JSON, b"{".to_vec()),
        with(JSON, b"{\"error\":\"a reason\"}".to_vec()),
        with(JSON, body(" ")),
        Reply::Cut {
            status: 410,
            headers: JSON.to_owned(),
            announced: 1000,
            body: body("a reason"),
            reset: false,
        },
    ] {
        world.put("/x.aci.asc", reply);
        let error = world.refused("https://example.com/x.aci", &trust).await;
        assert!(error.to_string().ends_with("answered with status 410"), "{error}");
        told(&error);
    }
    let steering = "a\u{1b}[2Jb\u{202e}c\nd\r\n  next:   run this";
    world.put(
        "/x.aci.asc",
        says(410, Refusal { next: steering.into(), ..refusal(steering, steering) }),
    );
    let told = told(&world.refused("https://example.com/x.aci", &trust).await);
    assert!(told.message.contains("status 410: a\u{fffd}[2Jb\u{fffd}c\u{fffd}d"), "{told}");
    assert!(told.next.starts_with("the server says: a\u{fffd}[2J"), "{told}");
    assert_eq!(told.to_string().lines().count(), 5, "{told}");
    // Without words of its own it is still told what to do.
    let bare = Refusal { wanted: String::new(), next: String::new(), ..refusal("x", "gone") };
    world.put("/x.aci.asc", says(404, bare));
    let refused = world.refused("https://example.com/x.aci", &trust).await.refusal();
    assert_eq!((refused.wanted.as_str(), refused.found.as_str()), ("status 200", "this one"));
    assert_eq!(refused.next, "check the name, version and labels");
}

#[tokio::test]
async fn long_explanations_are_cut_and_a_message_is_enough() {
    let (world, trust) = world([Reply::absent(), Reply::absent()]).await;
    let long = "é".repeat(10_000);
    world.put("/x.aci.asc", says(410, Refusal { next: long.clone(), ..refusal("x", &long) }));
    let told = told(&world.refused("https://example.com/x.aci", &trust).await);
    let cut = format!("{}…", "é".repeat(500));
    assert!(told.message.ends_with(&format!("status 410: {cut}")), "{told}");
    assert_eq!(told.next, format!("the server says: {cut}"));

    let bare = br#"{"error":{"message":"it is gone"},"detail":[]}"#;
    world.put("/x.aci.asc", Reply::said(410, JSON, bare.to_vec()));
    let error = world.refused("https://example.com/x.aci", &trust).await;
    assert!(error.to_string().ends_with("status 410: it is gone"), "{error}");
    self::told(&error);
}

#[tokio::test]
async fn explain_tells_the_same() {
    let said = || says(401, refusal("credentials-missing", "no token was given"));
    let (world, trust) = world([said(), said()]).await;
    let (store, trusted) = (world.store(), TrustStore::open(&world.folder.path().join("trust")));
    let explain =
        Explain { client: &world.client, store: &store, trust: &trust, trusted: &trusted };
    let explanation = explain.source(&ASKED.parse().unwrap()).await;
    assert_eq!(explanation.kind, Some(Kind::Server));
    let text = explanation.tree.to_string();
    for words in ["status 401: no token was given", "next: ", "auth.d", "ask its administrator"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[tokio::test]
async fn reference_that_cannot_be_meant_so_is_told() {
    let (world, trust) = world([Reply::absent(), Reply::absent()]).await;
    let told = told(&world.refused("example.com/a:1.0@sha512-8f1c", &trust).await);
    assert!(told.next.contains("ask for example.com/a:1.0 and compare"), "{told}");

    let author = Author::new("b <b@example.com>");
    let world = World::new().await;
    let (image, signature) = signed(&author, ASKED, b"a");
    world.serve("example.com/a", "latest", &image, &signature);
    let trust = self::trust(&author, "example.com");
    let error = world.refused("example.com/a:latest", &trust).await;
    assert!(matches!(error, FetchError::LabelMismatch { .. }), "{error:?}");
    assert!(error.refusal().next.starts_with("leave the version out"), "{}", error.refusal());
    world.fetch("example.com/a", &trust).await.unwrap();
}
