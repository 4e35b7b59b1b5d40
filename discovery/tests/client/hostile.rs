//! What must be refused, with the store unchanged and nothing left behind.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aci::Limits;
use discovery::Kind;
use discovery::fetch::{FetchError, Trust};
use keys::{Keyring, Liveness, Policy};

use super::support::{Author, Reply, World, image, signed, told, trust};

const NAME: &str = "example.com/team/hello";
const ASKED: &str = "example.com/team/hello:1.0.0";

/// A world with one good image in the store, so that "unchanged" means something,
/// and another one about to be served badly.
struct Scene {
    world: World,
    author: Author,
    trust: Trust,
    image: Vec<u8>,
    signature: Vec<u8>,
}

async fn scene() -> Scene {
    let world = World::new().await;
    let author = Author::new("team <team@example.com>");
    let trust = trust(&author, "example.com/team");
    let (first, signature) = signed(&author, "example.com/team/first:1.0.0", b"first");
    world.serve("example.com/team/first", "1.0.0", &first, &signature);
    world.fetch("example.com/team/first:1.0.0", &trust).await.unwrap();
    let (image, signature) = signed(&author, ASKED, &[7; 50_000]);
    Scene { world, author, trust, image, signature }
}

impl Scene {
    /// Serves this and expects a refusal of this code: exit code 5, everything said.
    async fn refused(&self, image: &[u8], signature: &[u8], code: &str) -> FetchError {
        self.world.serve(NAME, "1.0.0", image, signature);
        let error = self.world.refused(ASKED, &self.trust).await;
        assert_eq!(error.kind(), Kind::Refused, "{error:?}");
        assert_eq!(told(&error).code, code, "{error:?}");
        error
    }

    fn body_was_asked_for(&self) -> bool {
        let (path, _) = self.world.paths(NAME, "1.0.0");
        self.world.server.targets().contains(&path)
    }
}

#[tokio::test]
async fn scene_itself_is_in_order() {
    let scene = scene().await;
    scene.world.serve(NAME, "1.0.0", &scene.image, &scene.signature);
    assert!(scene.world.fetch(ASKED, &scene.trust).await.unwrap().imported.new);
}

#[tokio::test]
async fn image_with_a_bit_flipped() {
    let scene = scene().await;
    let length = scene.image.len();
    for at in [0, 3, 15, length / 3, length / 2, length - 9, length - 5, length - 1] {
        let mut image = scene.image.clone();
        image[at] ^= 1;
        scene.world.serve(NAME, "1.0.0", &image, &scene.signature);
        let error = scene.world.refused(ASKED, &scene.trust).await;
        assert_eq!(error.kind(), Kind::Refused, "byte {at}: {error:?}");
        told(&error);
    }
}

#[tokio::test]
async fn signature_of_another_image() {
    let scene = scene().await;
    let (other, _) = signed(&scene.author, "example.com/team/hello:1.0.0", b"other");
    scene.refused(&other, &scene.signature, "signature-invalid").await;
}

#[tokio::test]
async fn signer_nobody_trusts_is_refused_before_the_image_is_asked_for() {
    let scene = scene().await;
    let stranger = Author::new("stranger <x@example.org>");
    let signature = stranger.sign(&scene.image);
    let error = scene.refused(&scene.image, &signature, "signer-not-trusted").await;
    assert!(!scene.body_was_asked_for());
    let FetchError::Signer { suggestions, .. } = &error else { panic!("{error:?}") };
    assert!(suggestions.is_empty());
}

#[tokio::test]
async fn signer_the_domain_publishes_comes_with_the_command_to_trust_it() {
    let scene = scene().await;
    let publisher = Author::new("team <new@example.com>");
    let other = Author::new("other <other@example.com>");
    let template = "https://example.com/files/{name}-{version}-{os}-{arch}.{ext}";
    scene.world.put(
        "/?ac-discovery=1",
        Reply::ok(format!(
            "<meta name=ac-discovery content='example.com {template}'>\
             <meta name=ac-discovery-pubkeys content='example.com https://example.com/k.asc'>"
        )),
    );
    scene.world.put("/k.asc", Reply::ok([other.public.clone(), publisher.public.clone()].concat()));
    let signature = publisher.sign(&scene.image);
    let error = scene.refused(&scene.image, &signature, "signer-not-trusted").await;
    let command = format!(
        "gantry trust add --prefix example.com/team/hello --fingerprint {}",
        publisher.fingerprint()
    );
    let next = told(&error).next;
    assert!(next.contains(&command), "{next}");
    assert!(!next.contains(&other.fingerprint().to_string()), "{next}");

    // A key the domain does not publish is no key to suggest.
    let stranger = Author::new("stranger <x@example.org>");
    let signature = stranger.sign(&scene.image);
    let error = scene.refused(&scene.image, &signature, "signer-not-trusted").await;
    assert!(told(&error).next.contains("do not trust"), "{}", told(&error).next);
}

#[tokio::test]
async fn no_trusted_key_at_all_is_refused_alike() {
    let scene = scene().await;
    scene.world.serve(NAME, "1.0.0", &scene.image, &scene.signature);
    let nobody = Trust { keyring: Arc::new(Keyring::default()), ..scene.trust.clone() };
    let error = scene.world.refused(ASKED, &nobody).await;
    assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::Refused, "signer-not-trusted"));
    assert!(!scene.body_was_asked_for());
}

#[tokio::test]
async fn signer_of_another_prefix_is_refused_before_the_image_is_asked_for() {
    let scene = scene().await;
    scene.world.serve(NAME, "1.0.0", &scene.image, &scene.signature);
    for prefix in ["example.com/other", "example.com/team/hello/below", "example.com/tea"] {
        let error = scene.world.refused(ASKED, &trust(&scene.author, prefix)).await;
        assert_eq!(error.kind(), Kind::Refused);
        assert_eq!(told(&error).code, "signer-wrong-prefix", "{prefix}");
    }
    assert!(!scene.body_was_asked_for());
}

#[tokio::test]
async fn image_of_another_name() {
    let scene = scene().await;
    for name in
        ["example.com/team/other:1.0.0", "example.com/team:1.0.0", "example.com/team/hello/x:1.0.0"]
    {
        let (image, signature) = signed(&scene.author, name, b"other");
        let error = scene.refused(&image, &signature, "name-mismatch").await;
        let refusal = told(&error);
        assert!(refusal.wanted.contains(NAME), "{refusal}");
        assert!(name.starts_with(&refusal.found), "{refusal}");
    }
}

#[tokio::test]
async fn image_of_another_version_or_without_one() {
    let scene = scene().await;
    for name in
        ["example.com/team/hello:1.0.1", "example.com/team/hello", "example.com/team/hello:1.0.0+x"]
    {
        let (image, signature) = signed(&scene.author, name, b"other");
        let error = scene.refused(&image, &signature, "label-mismatch").await;
        assert_eq!(told(&error).wanted, "version=1.0.0");
    }
}

#[tokio::test]
async fn image_without_a_label_that_was_asked_for() {
    let scene = scene().await;
    scene.world.serve(NAME, "1.0.0", &scene.image, &scene.signature);
    for (asked, wanted) in [
        ("example.com/team/hello:1.0.0,channel=beta", "channel=beta"),
        // What is asked for by name must be there, a defaulted platform need not.
        ("example.com/team/hello:1.0.0,os=linux", "os=linux"),
    ] {
        let error = scene.world.refused(asked, &scene.trust).await;
        let refusal = told(&error);
        assert_eq!((refusal.code.as_str(), refusal.wanted.as_str()), ("label-mismatch", wanted));
    }
}

#[tokio::test]
async fn download_that_ends_early() {
    let scene = scene().await;
    let (path, _) = scene.world.paths(NAME, "1.0.0");
    scene.world.serve(NAME, "1.0.0", &scene.image, &scene.signature);
    let length = scene.image.len();
    for kept in [0, 1, length / 2, length - 1] {
        let body = scene.image[..kept].to_vec();
        scene.world.put(&path, Reply::Short { announced: length, body: body.clone() });
        let error = scene.world.refused(ASKED, &scene.trust).await;
        assert_eq!(error.kind(), Kind::Refused, "{kept}: {error:?}");
        let refusal = told(&error);
        assert_eq!(refusal.code, "download-truncated");
        assert_eq!(refusal.wanted, format!("{length} bytes"));
        assert!(refusal.found.starts_with(&format!("{kept} bytes")), "{refusal}");
        // Not announced, or announced as short as it is: complete for HTTP, but no image.
        for reply in [Reply::Unannounced(body.clone()), Reply::ok(body)] {
            scene.world.put(&path, reply);
            let error = scene.world.refused(ASKED, &scene.trust).await;
            assert_eq!(error.kind(), Kind::Refused, "{kept}: {error:?}");
            told(&error);
        }
    }
}

#[tokio::test]
async fn download_that_breaks_off_is_the_networks_failure() {
    let scene = scene().await;
    let (path, _) = scene.world.paths(NAME, "1.0.0");
    scene.world.serve(NAME, "1.0.0", &scene.image, &scene.signature);
    let half = scene.image[..scene.image.len() / 2].to_vec();
    scene.world.put(&path, Reply::Reset { announced: scene.image.len(), body: half });
    let error = scene.world.refused(ASKED, &scene.trust).await;
    assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::Network, "network"), "{error:?}");
}

#[tokio::test]
async fn bytes_after_the_image() {
    let scene = scene().await;
    for more in [b"x".to_vec(), vec![0; 512], scene.image.clone()] {
        let longer = [scene.image.clone(), more].concat();
        scene.refused(&longer, &scene.signature, "signature-invalid").await;
    }
}

#[tokio::test]
async fn answer_that_is_no_image_though_signed() {
    let scene = scene().await;
    for bytes in [&b"<html>not found</html>"[..], b"", &[0; 1024]] {
        scene.world.serve(NAME, "1.0.0", bytes, &scene.author.sign(bytes));
        let error = scene.world.refused(ASKED, &scene.trust).await;
        assert_eq!(error.kind(), Kind::Refused, "{error:?}");
        told(&error);
    }
}

#[tokio::test]
async fn signature_that_is_none() {
    let scene = scene().await;
    let huge = vec![b'x'; (256 << 10) + 1];
    for signature in [&b""[..], b"<html>", &scene.image, &huge] {
        scene.world.serve(NAME, "1.0.0", &scene.image, signature);
        let error = scene.world.refused(ASKED, &scene.trust).await;
        assert_eq!(error.kind(), Kind::Refused, "{error:?}");
        told(&error);
    }
    let (_, path) = scene.world.paths(NAME, "1.0.0");
    scene.world.put(&path, Reply::Endless);
    let error = scene.world.refused(ASKED, &scene.trust).await;
    assert_eq!(told(&error).code, "answer-too-large");
    assert!(!scene.body_was_asked_for());
}

#[tokio::test]
async fn image_larger_than_the_limit() {
    let author = Author::new("team <team@example.com>");
    let world = World::with(|options| {
        options.limits = Limits { file_bytes: 1000, ..Limits::default() };
    })
    .await;
    let trust = trust(&author, "example.com/team");
    let image = image(ASKED, &(0..100_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
    let signature = author.sign(&image);
    let (path, _) = world.paths(NAME, "1.0.0");
    world.serve(NAME, "1.0.0", &image, &signature);
    // What is announced as too large is not waited for.
    let announced = Reply::Stall { announced: 1001, body: Vec::new() };
    for reply in
        [announced, Reply::ok(image.clone()), Reply::Unannounced(image.clone()), Reply::Endless]
    {
        world.put(&path, reply);
        let error = world.refused(ASKED, &trust).await;
        assert_eq!(error.kind(), Kind::Refused, "{error:?}");
        assert_eq!(told(&error).code, "answer-too-large", "{error:?}");
    }
}

#[tokio::test]
async fn image_or_signature_behind_a_redirect_to_http() {
    let scene = scene().await;
    let (image, signature) = scene.world.paths(NAME, "1.0.0");
    scene.world.serve(NAME, "1.0.0", &scene.image, &scene.signature);
    scene.world.put(&image, Reply::To(302, format!("http://example.com{image}")));
    let error = scene.world.refused(ASKED, &scene.trust).await;
    assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::Refused, "redirect-not-https"));
    scene.world.put(&signature, Reply::To(302, format!("http://example.com{signature}")));
    let error = scene.world.refused(ASKED, &scene.trust).await;
    assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::Refused, "redirect-not-https"));
}

#[tokio::test]
async fn signature_from_the_future() {
    let scene = scene().await;
    scene.world.serve(NAME, "1.0.0", &scene.image, &scene.signature);
    let early = SystemTime::now() - Duration::from_secs(1800);
    let trust = Trust { policy: Policy::new(early, Liveness::AtSigning), ..scene.trust.clone() };
    let error = scene.world.refused(ASKED, &trust).await;
    assert_eq!(error.kind(), Kind::Refused, "{error:?}");
    told(&error);
}

#[tokio::test]
async fn verification_failure_is_not_hidden_by_another_place() {
    let scene = scene().await;
    let tag = |template: &str| format!("<meta name=ac-discovery content='example.com {template}'>");
    let page =
        tag("https://example.com/bad/{name}.{ext}") + &tag("https://example.com/good/{name}.{ext}");
    scene.world.put("/?ac-discovery=1", Reply::ok(page));
    let mut bad = scene.image.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    for (place, image) in [("bad", &bad), ("good", &scene.image)] {
        scene.world.put(&format!("/{place}/{NAME}.aci"), Reply::ok(image.clone()));
        scene.world.put(&format!("/{place}/{NAME}.aci.asc"), Reply::ok(scene.signature.clone()));
    }
    assert_eq!(scene.world.refused(ASKED, &scene.trust).await.kind(), Kind::Refused);
    let targets = scene.world.server.targets();
    assert!(!targets.iter().any(|target| target.starts_with("/good/")), "{targets:?}");
}
