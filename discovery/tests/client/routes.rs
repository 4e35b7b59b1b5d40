//! Overrides: another address, and a mirror.

use discovery::route::Override;

use super::support::{Author, Reply, Request, Server, World, signed, told, trust};

#[tokio::test]
async fn connect_takes_a_host_name_too() {
    let world = World::new().await;
    let port = world.server.address.port();
    let other = World::with(|options| {
        let target = format!("localhost:{port}").parse().unwrap();
        options.overrides =
            vec![Override::connect("example.com".parse().unwrap(), target).unwrap()];
    })
    .await;
    other.client.find_images(&"example.com/a".parse().unwrap()).await.unwrap();
    assert!(!world.server.requests().is_empty());
}

#[tokio::test]
async fn connect_target_that_cannot_be_found_is_said() {
    let world = World::with(|options| {
        let target = "no-such-host.invalid:443".parse().unwrap();
        options.overrides =
            vec![Override::connect("example.com".parse().unwrap(), target).unwrap()];
    })
    .await;
    let error = world.client.find_images(&"example.com/a".parse().unwrap()).await.unwrap_err();
    assert!(told(&error).found.contains("no-such-host.invalid:443"), "{error:?}");
}

#[tokio::test]
async fn connect_is_for_the_prefixs_host_alone() {
    let world = World::new().await;
    let elsewhere = Server::start(&["files.example"], |_| Reply::absent()).await;
    // A redirect to another host does not go to the override's address.
    world.put(
        "/keys.asc",
        Reply::To(302, format!("https://localhost:{}/k", elsewhere.address.port())),
    );
    let before = world.server.requests().len();
    let error = world.client.keys_at(&"https://example.com/keys.asc".parse().unwrap()).await;
    assert!(error.unwrap_err().to_string().contains("localhost"));
    assert_eq!(world.server.requests().len(), before + 1);
}

/// A mirror of `example.com/team` below `/base`, and a world whose own server knows nothing.
async fn mirrored(image: Vec<u8>, signature: Vec<u8>) -> (World, Server) {
    let mirror = Server::start(&["localhost"], move |request: &Request| {
        let template = "https://example.com/-/images/{name}:{version}.{ext}";
        let page = format!("<meta name=ac-discovery content='example.com/team {template}'>");
        match request.target.as_str() {
            "/base/team/hello?ac-discovery=1" => Reply::ok(page),
            "/base/-/images/example.com/team/hello:1.0.0.aci" => Reply::ok(image.clone()),
            "/base/-/images/example.com/team/hello:1.0.0.aci.asc" => Reply::ok(signature.clone()),
            _ => Reply::absent(),
        }
    })
    .await;
    let url = format!("https://localhost:{}/base", mirror.address.port()).parse().unwrap();
    let world = World::with(|options| {
        let prefix = "example.com/team".parse().unwrap();
        options.overrides.push(Override::mirror(prefix, url).unwrap());
    })
    .await;
    (world, mirror)
}

#[tokio::test]
async fn mirror_is_asked_in_the_hosts_place() {
    let author = Author::new("team <team@example.com>");
    let (image, signature) = signed(&author, "example.com/team/hello:1.0.0", b"hello");
    let (world, mirror) = mirrored(image, signature).await;
    let trust = trust(&author, "example.com/team");
    let fetched = world.fetch("example.com/team/hello:1.0.0", &trust).await.unwrap();
    assert_eq!(fetched.imported.record.name.as_str(), "example.com/team/hello");
    assert_eq!(world.server.targets(), Vec::<String>::new());
    let request = &mirror.requests()[0];
    assert_eq!(request.host(), format!("localhost:{}", mirror.address.port()));
    assert_eq!(request.sni, "localhost");
}

#[tokio::test]
async fn mirror_changes_neither_names_nor_keys() {
    let stranger = Author::new("mirror <mirror@localhost>");
    let (image, signature) = signed(&stranger, "example.com/team/hello:1.0.0", b"hello");
    let (world, _mirror) = mirrored(image, signature).await;
    // Trusted for the mirror's own name, which is not the image's.
    let error = world.refused("example.com/team/hello:1.0.0", &trust(&stranger, "localhost")).await;
    assert_eq!(told(&error).code, "signer-wrong-prefix", "{error:?}");
}

#[tokio::test]
async fn mirror_is_for_its_prefix_alone() {
    let (world, mirror) = mirrored(Vec::new(), Vec::new()).await;
    world.client.find_images(&"example.com/other".parse().unwrap()).await.unwrap();
    assert!(mirror.requests().is_empty());
    assert!(!world.server.requests().is_empty());
}
