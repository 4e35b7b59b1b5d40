//! Images that need others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aci::ImageId;
use aci::archive::inspect;
use discovery::Kind;
use discovery::fetch::{FetchError, FetchOptions, Pull, Trust};

use super::support::{Author, Reply, World, files_below, image, image_needing, told, trust};

struct Scene {
    world: World,
    author: Author,
    trust: Trust,
}

impl Scene {
    async fn new() -> Self {
        let author = Author::new("team <team@example.com>");
        Self { world: World::new().await, trust: trust(&author, "example.com"), author }
    }

    /// Serves `example.com/NAME:1`, which needs these.
    fn serve(&self, name: &str, needs: &[String]) -> (ImageId, u64) {
        let reference = format!("example.com/{name}:1");
        let bytes = match needs {
            [] => image(&reference, name.as_bytes()),
            needs => image_needing(&reference, needs),
        };
        let signature = self.author.sign(&bytes);
        self.world.serve(&format!("example.com/{name}"), "1", &bytes, &signature);
        let inspected = inspect(&*bytes, &aci::Limits::default()).unwrap();
        (inspected.image_id().clone(), bytes.len() as u64)
    }

    async fn refused(&self, name: &str, code: &str) -> FetchError {
        let error = self.world.fetch(&format!("example.com/{name}:1"), &self.trust).await;
        let error = error.unwrap_err();
        assert_eq!(told(&error).code, code, "{error:?}");
        error
    }

    fn names(&self) -> Vec<String> {
        let images = self.world.store().list().unwrap().images;
        images.iter().map(|record| record.name.last_segment().to_owned()).collect()
    }
}

fn need(name: &str) -> String {
    format!(r#"{{"imageName":"example.com/{name}","labels":[{{"name":"version","value":"1"}}]}}"#)
}

fn pinned(name: &str, id: &ImageId, size: u64) -> String {
    need(name).replacen('{', &format!(r#"{{"imageID":"{id}","size":{size},"#), 1)
}

#[tokio::test]
async fn dependencies_come_once_and_first() {
    let scene = Scene::new().await;
    let (base, size) = scene.serve("base", &[]);
    scene.serve("left", &[need("base")]);
    scene.serve("right", &[pinned("base", &base, size)]);
    scene.serve("top", &[need("left"), need("right"), need("base")]);
    let fetched = scene.world.fetch("example.com/top:1", &scene.trust).await.unwrap();
    assert_eq!(fetched.imported.record.name.as_str(), "example.com/top");
    let order: Vec<_> =
        fetched.dependencies.iter().map(|i| i.record.name.last_segment().to_owned()).collect();
    assert_eq!(order.len(), 3, "{order:?}");
    assert_eq!(order[0], "base");
    assert_eq!(scene.names(), ["base", "left", "right", "top"]);
    // By name and labels it was asked for once, and by its ID once more at most.
    let (path, _) = scene.world.paths("example.com/base", "1");
    let asked = scene.world.server.targets().iter().filter(|t| **t == path).count();
    assert!((1..=2).contains(&asked), "{asked}");
    // All is there: nobody is asked.
    let asked = scene.world.server.requests().len();
    for pull in [Pull::Never, Pull::New] {
        let options = FetchOptions { pull, ..FetchOptions::default() };
        let again = scene.world.fetch_with("example.com/top:1", &options, &scene.trust).await;
        assert!(again.unwrap().dependencies.iter().all(|imported| !imported.new));
    }
    assert_eq!(scene.world.server.requests().len(), asked);
}

#[tokio::test]
async fn dependencies_can_be_left_out() {
    let scene = Scene::new().await;
    scene.serve("top", &[need("absent")]);
    let options = FetchOptions { dependencies: false, ..FetchOptions::default() };
    let fetched = scene.world.fetch_with("example.com/top:1", &options, &scene.trust).await;
    assert!(fetched.unwrap().dependencies.is_empty());
    assert_eq!(scene.names(), ["top"]);
}

#[tokio::test]
async fn dependency_that_fails_keeps_out_what_needs_it() {
    let scene = Scene::new().await;
    scene.serve("there", &[]);
    scene.serve("middle", &[need("there"), need("absent")]);
    scene.serve("top", &[need("middle")]);
    let error = scene.refused("top", "not-found").await;
    assert_eq!(error.kind(), Kind::NotFound);
    let said = error.to_string();
    assert!(
        said.contains("example.com/top:1 needs example.com/middle:1 needs example.com/absent:1"),
        "{said}"
    );
    assert!(scene.names().iter().all(|name| name == "there"), "{:?}", scene.names());
    let staging = files_below(&scene.world.folder.path().join("store/staging"));
    assert!(staging.is_empty(), "{staging:?}");
    // Without the network it is the same answer.
    scene.serve("absent", &[]);
    scene.world.fetch("example.com/top:1", &scene.trust).await.unwrap();
    let id = scene.world.store().find(&"example.com/absent".parse().unwrap()).unwrap();
    scene.world.store().remove(&id).unwrap();
    let never = FetchOptions { pull: Pull::Never, ..FetchOptions::default() };
    let error =
        scene.world.fetch_with("example.com/top:1", &never, &scene.trust).await.unwrap_err();
    assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::NotFound, "image-absent"));
}

#[tokio::test]
async fn dependency_must_be_the_very_image_that_is_named() {
    let scene = Scene::new().await;
    let (id, size) = scene.serve("base", &[]);
    let (other, _) = scene.serve("other", &[]);
    for (pin, code) in [
        (pinned("base", &other, size), "image-id-mismatch"),
        (pinned("base", &id, size + 1), "size-mismatch"),
        (pinned("base", &id, size - 1), "size-mismatch"),
    ] {
        scene.serve("top", &[pin]);
        let error = scene.refused("top", code).await;
        assert_eq!(error.kind(), Kind::Refused);
        assert!(scene.names().is_empty(), "{:?}", scene.names());
    }
    // Signed by somebody who is not trusted for it.
    let stranger = Author::new("stranger <s@example.org>");
    let bytes = image("example.com/base:1", b"base");
    scene.world.serve("example.com/base", "1", &bytes, &stranger.sign(&bytes));
    scene.serve("top", &[need("base")]);
    scene.refused("top", "signer-not-trusted").await;
    assert!(scene.names().is_empty());
}

#[tokio::test]
async fn dependencies_in_a_circle_are_named() {
    let scene = Scene::new().await;
    scene.serve("a", &[need("b")]);
    scene.serve("b", &[need("c")]);
    scene.serve("c", &[need("b")]);
    let error = scene.refused("a", "dependency-cycle").await;
    let FetchError::Cycle { cycle } = &error else { panic!("{error:?}") };
    assert_eq!(cycle.len(), 3, "{cycle:?}");
    assert!(scene.names().is_empty());
    // The image that was asked for, needed under another name.
    scene.serve("d", &[need("d")]);
    let error = scene.refused("d", "dependency-cycle").await;
    assert_eq!(error.kind(), Kind::Refused);
}

#[tokio::test]
async fn dependencies_are_limited_in_number_and_depth() {
    let author = Author::new("team <team@example.com>");
    for (dependencies, dependency_depth, code) in
        [(2, 256, "dependency-count"), (1000, 2, "dependency-depth")]
    {
        let world = World::with(|options| {
            options.limits.dependencies = dependencies;
            options.limits.dependency_depth = dependency_depth;
        })
        .await;
        let scene = Scene {
            world,
            trust: trust(&author, "example.com"),
            author: Author::new("x <x@example.com>"),
        };
        let scene = Scene { trust: trust(&scene.author, "example.com"), ..scene };
        for (name, next) in [("a", "b"), ("b", "c"), ("c", "d")] {
            scene.serve(name, &[need(next)]);
        }
        scene.serve("d", &[]);
        scene.refused("a", code).await;
        assert!(scene.names().is_empty());
    }
}

#[tokio::test]
async fn dependencies_move_side_by_side_within_bounds() {
    let scene = Scene::new().await;
    let names: Vec<String> = (0..8).map(|n| format!("n{n}")).collect();
    for name in &names {
        scene.serve(name, &[]);
    }
    scene.serve("top", &names.iter().map(|name| need(name)).collect::<Vec<_>>());
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for name in &names {
        let (path, signature) = scene.world.paths(&format!("example.com/{name}"), "1");
        let (image, before) = (scene.world.reply(&path), scene.world.reply(&signature));
        let (running, highest) = (Arc::clone(&now), Arc::clone(&most));
        scene.world.put(
            &signature,
            Reply::by(move |_| {
                highest.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                before.clone()
            }),
        );
        let running = Arc::clone(&now);
        scene.world.put(
            &path,
            Reply::by(move |_| {
                running.fetch_sub(1, Ordering::SeqCst);
                image.clone()
            }),
        );
    }
    let options = FetchOptions { parallel: 3.try_into().unwrap(), ..FetchOptions::default() };
    scene.world.fetch_with("example.com/top:1", &options, &scene.trust).await.unwrap();
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?}");
    assert_eq!(scene.names().len(), 9);
}
