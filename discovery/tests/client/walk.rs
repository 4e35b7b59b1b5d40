//! From a name to endpoints: which pages are asked, and which tags count.

use aci::{Limits, Reference};
use discovery::Kind;
use discovery::resolve::{LevelFault, ResolveError};

use super::support::{Reply, Server, World, told};

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn tag(prefix: &str, template: &str) -> String {
    format!("<meta name=\"ac-discovery\" content=\"{prefix} {template}\">")
}

fn keys_tag(prefix: &str, url: &str) -> String {
    format!("<meta name=\"ac-discovery-pubkeys\" content=\"{prefix} {url}\">")
}

#[tokio::test]
async fn walk_goes_up_and_stops_at_the_first_page_that_helps() {
    let world = World::new().await;
    world.put("/a/b?ac-discovery=1", Reply::ok("<html>nothing here</html>"));
    world.put(
        "/a?ac-discovery=1",
        Reply::ok(tag("example.com/a", "https://s.example.com/{name}.{ext}")),
    );
    let found = world.client.find_images(&reference("example.com/a/b/c")).await.unwrap();
    assert_eq!(found.page, "https://example.com/a?ac-discovery=1");
    assert_eq!(found.found[0].image.as_str(), "https://s.example.com/example.com/a/b/c.aci");
    assert_eq!(
        found.found[0].signature.as_str(),
        "https://s.example.com/example.com/a/b/c.aci.asc"
    );
    let failed: Vec<_> =
        found.failed_levels.iter().map(|l| (l.url.as_str(), l.why.to_string())).collect();
    assert_eq!(failed[0], ("https://example.com/a/b/c?ac-discovery=1", "status 404".to_owned()));
    assert_eq!(failed[1].0, "https://example.com/a/b?ac-discovery=1");
    assert!(matches!(found.failed_levels[1].why, LevelFault::NoTag("ac-discovery")));
    let image_walk = ["/a/b/c?ac-discovery=1", "/a/b?ac-discovery=1", "/a?ac-discovery=1"];
    assert_eq!(world.server.targets()[..3], image_walk);
}

#[tokio::test]
async fn walk_of_keys_is_its_own() {
    let world = World::new().await;
    world.put(
        "/a?ac-discovery=1",
        Reply::ok(tag("example.com", "https://s.example.com/{name}.{ext}")),
    );
    world.put("/?ac-discovery=1", Reply::ok(keys_tag("example.com", "https://example.com/k.asc")));
    let images = world.client.find_images(&reference("example.com/a")).await.unwrap();
    assert_eq!(images.page, "https://example.com/a?ac-discovery=1");
    let keys = world.client.find_keys(&"example.com/a".parse().unwrap()).await.unwrap();
    assert_eq!(keys.page, "https://example.com/?ac-discovery=1");
    assert_eq!(keys.found[0].url.as_str(), "https://example.com/k.asc");
}

#[tokio::test]
async fn walk_that_fails_tells_every_page() {
    let world = World::new().await;
    world.put("/?ac-discovery=1", Reply::Whole(500, Vec::new()));
    let error = world.client.find_images(&reference("example.com/a/b")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let said = told(&error).found;
    for level in ["example.com/a/b?", "example.com/a?", "example.com/?", "404", "500"] {
        assert!(said.contains(level), "{said}");
    }
}

#[tokio::test]
async fn walk_without_any_answer_is_the_networks_failure() {
    let world = World::new().await;
    let address = world.server.address;
    drop(world);
    let world = World::with(|options| {
        options.overrides = vec![
            discovery::route::Override::connect(
                "example.com".parse().unwrap(),
                address.to_string().parse().unwrap(),
            )
            .unwrap(),
        ];
    })
    .await;
    let error = world.client.find_images(&reference("example.com/a")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    assert_eq!(told(&error).code, "network");
}

#[tokio::test]
async fn walk_prefix_covers_whole_segments() {
    let world = World::new().await;
    let page = tag("example.com/foo", "https://s.example.com/wrong.{ext}")
        + &tag("example", "https://s.example.com/short.{ext}")
        + &tag("Example.com", "https://s.example.com/upper.{ext}")
        + &tag("example.org", "https://s.example.com/other.{ext}")
        + &tag("example.com/", "https://s.example.com/slash.{ext}")
        + &tag("example.com/foobar", "https://s.example.com/right.{ext}");
    world.put("/foobar?ac-discovery=1", Reply::ok(page));
    let found = world.client.find_images(&reference("example.com/foobar")).await.unwrap();
    let images: Vec<_> = found.found.iter().map(|e| e.image.path()).collect();
    assert_eq!(images, ["/slash.aci", "/right.aci"]);
}

#[tokio::test]
async fn walk_uses_no_template_it_cannot_use() {
    let world = World::new().await;
    let page = tag("example.com", "http://s.example.com/{name}.{ext}")
        + &tag("example.com", "hdfs://s.example.com/{name}.{ext}")
        + &tag("example.com", "/relative/{name}.{ext}")
        + &tag("example.com", "https://s.example.com/{channel}.{ext}")
        + &tag("example.com", "https://s.example.com/{name}");
    world.put("/a?ac-discovery=1", Reply::ok(page));
    let found = world.client.find_images(&reference("example.com/a")).await.unwrap();
    assert_eq!(found.page, "https://example.com/?ac-discovery=1");
    let LevelFault::Unusable(reasons) = &found.failed_levels[0].why else { panic!() };
    assert_eq!(reasons.len(), 5, "{reasons:?}");
    assert!(reasons[3].contains("label"), "{reasons:?}");
    assert!(reasons[4].contains("{ext}"), "{reasons:?}");
}

#[tokio::test]
async fn walk_fills_in_this_machines_platform() {
    let world = World::new().await;
    world.put(
        "/a?ac-discovery=1",
        Reply::ok(tag("example.com", "https://s.example.com/{version}/{os}/{arch}.{ext}")),
    );
    let (os, arch) = aci::host_platform();
    for (asked, path) in [
        ("example.com/a", format!("/latest/{os}/{arch}.aci")),
        ("example.com/a:1.0", format!("/1.0/{os}/{arch}.aci")),
        ("example.com/a:1.0,os=freebsd,arch=arm", "/1.0/freebsd/arm.aci".to_owned()),
    ] {
        let found = world.client.find_images(&reference(asked)).await.unwrap();
        assert_eq!(found.found[0].image.path(), path, "{asked}");
    }
    // No platform of its own has this machine's arch.
    let error = world.client.find_images(&reference("example.com/a,os=darwin")).await;
    if arch == "amd64" {
        assert!(matches!(error, Err(ResolveError::Platform(_))), "{error:?}");
        assert_eq!(error.unwrap_err().kind(), Kind::Usage);
    }
}

#[tokio::test]
async fn walk_page_larger_than_the_limit_does_not_help() {
    let world = World::with(|options| {
        options.limits = Limits { page_bytes: 100_000, ..Limits::default() };
    })
    .await;
    world.put("/a?ac-discovery=1", Reply::Endless);
    let found = world.client.find_images(&reference("example.com/a")).await.unwrap();
    assert_eq!(found.page, "https://example.com/?ac-discovery=1");
    assert!(found.failed_levels[0].why.to_string().contains("100000"), "{found:?}");
}

#[tokio::test]
async fn walk_refuses_a_name_whose_host_is_read_otherwise() {
    let world = World::new().await;
    for name in ["1.2/app", "127.1/app", "0x7f.1/app"] {
        let error = world.client.find_images(&reference(name)).await.unwrap_err();
        assert!(matches!(error, ResolveError::Host { .. }), "{name}: {error:?}");
        assert_eq!(told(&error).code, "host-invalid");
    }
}

#[tokio::test]
async fn walk_asks_as_the_name_says() {
    let world = World::new().await;
    world.client.find_images(&reference("example.com/a")).await.unwrap();
    let request = &world.server.requests()[0];
    assert_eq!(request.method, "GET");
    assert_eq!(request.host(), "example.com");
    assert_eq!(request.sni, "example.com");
    assert_eq!(request.header("user-agent"), Some(concat!("gantry/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(request.header("authorization"), None);
    // The bytes as served are what was signed.
    assert_eq!(request.header("accept-encoding"), None);
}

#[tokio::test]
async fn walk_text_of_a_page_cannot_steer_a_terminal() {
    let world = World::new().await;
    world.put(
        "/?ac-discovery=1",
        Reply::ok(
            tag("example.com", "ftp://\u{1b}[2J{name}.{ext}") + &keys_tag("example.com", "x"),
        ),
    );
    let error = world.client.find_images(&reference("example.com/a")).await.unwrap_err();
    assert!(!told(&error).found.contains('\u{1b}'));
}

#[tokio::test]
async fn server_of_another_name_is_not_believed() {
    let server = Server::start(&["other.example"], |_| {
        Reply::ok(tag("example.com", "https://s/{name}.{ext}"))
    })
    .await;
    let address = server.address;
    let world = World::with(|options| {
        options.overrides = vec![
            discovery::route::Override::connect(
                "example.com".parse().unwrap(),
                address.to_string().parse().unwrap(),
            )
            .unwrap(),
        ];
    })
    .await;
    let error = world.client.find_images(&reference("example.com")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    assert!(told(&error).found.contains("certificate"), "{error:?}");
    assert!(server.requests().is_empty());
}
