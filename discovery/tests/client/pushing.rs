//! Pushing to a registry as `aci::push` describes it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aci::Refusal;
use aci::push::{CreateUpload, ErrorBody, Pushed, Upload};
use discovery::http::{Insecure, Timeouts};
use discovery::observer::{Observer, Silent};
use discovery::push::{Administered, Done, Published, Push, PushError, Token};
use discovery::{Client, ClientOptions, Kind};
use url::Url;

use super::support::{Reply, World, ready_to_push, told};

const SECRET: &str = "secret-token-1";

struct Scene {
    world: World,
    image: PathBuf,
    signature: PathBuf,
    pushed: Pushed,
}

/// A signed image on disk, and a registry at `example.com` that takes it.
async fn scene() -> Scene {
    scene_in(World::new().await)
}

fn scene_in(world: World) -> Scene {
    let (image, signature, pushed) = ready_to_push(&world, &[7; 300_000]);
    let scene = Scene { world, image, signature, pushed };
    scene.upload("/-/api/v1/uploads/u1");
    scene.answer("/-/api/v1/uploads/u1", 201, &scene.pushed);
    scene
}

impl Scene {
    fn answer(&self, target: &str, status: u16, body: &impl serde::Serialize) {
        self.world.put(target, Reply::Whole(status, serde_json::to_vec(body).unwrap()));
    }

    fn upload(&self, path: &str) {
        let upload = Upload { id: "u1".to_owned(), path: path.to_owned(), progress: None };
        self.answer("/-/api/v1/uploads", 201, &upload);
    }

    async fn push(&self, registry: Option<&Url>) -> Result<Done, PushError> {
        let token: Token = SECRET.parse().unwrap();
        let push = Push { image: &self.image, signature: &self.signature, registry, token: &token };
        let silent: Arc<dyn Observer> = Arc::new(Silent);
        self.world.client.push(push, &silent).await
    }
}

#[tokio::test]
async fn push_sends_the_signature_then_the_image() {
    let scene = scene().await;
    let done = scene.push(None).await.unwrap();
    assert_eq!(done.pushed, scene.pushed);
    assert_eq!(done.registry.as_str(), "https://example.com/");
    let requests = scene.world.server.requests();
    let asked: Vec<_> = requests.iter().map(|r| (r.method.as_str(), r.target.as_str())).collect();
    assert_eq!(asked, [("POST", "/-/api/v1/uploads"), ("PUT", "/-/api/v1/uploads/u1")]);
    let create: CreateUpload = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(create.signature.as_bytes(), std::fs::read(&scene.signature).unwrap());
    assert_eq!(create.file_bytes, Some(scene.pushed.file_bytes));
    assert_eq!(requests[1].body, std::fs::read(&scene.image).unwrap());
    assert_eq!(requests[1].header("content-length"), Some(&*scene.pushed.file_bytes.to_string()));
    for request in &requests {
        assert_eq!(request.header("authorization"), Some(&*format!("Bearer {SECRET}")));
        assert_eq!(request.host(), "example.com");
    }
}

#[tokio::test]
async fn push_to_a_registry_below_a_path() {
    let scene = scene().await;
    let upload =
        Upload { id: "u1".to_owned(), path: "/-/api/v1/uploads/u1".to_owned(), progress: None };
    scene.answer("/below/-/api/v1/uploads", 201, &upload);
    scene.answer("/below/-/api/v1/uploads/u1", 201, &scene.pushed);
    for base in ["https://example.com/below", "https://example.com/below/?x#y"] {
        let done = scene.push(Some(&base.parse().unwrap())).await.unwrap();
        assert_eq!(done.registry.as_str(), "https://example.com/below/");
    }
    // The rest of the server is somebody else's.
    assert!(
        scene.world.server.requests().iter().all(|asked| asked.target.starts_with("/below/-/"))
    );
    for path in ["/../-/api/v1/uploads/u1", "/%2e%2e/u1", "/./../../u1"] {
        let upload = Upload { id: "u1".to_owned(), path: path.to_owned(), progress: None };
        scene.answer("/below/-/api/v1/uploads", 201, &upload);
        let before = scene.world.server.requests().len();
        let error =
            scene.push(Some(&"https://example.com/below".parse().unwrap())).await.unwrap_err();
        assert!(matches!(error, PushError::Answer { .. }), "{path}: {error:?}");
        assert_eq!(scene.world.server.requests().len(), before + 1, "{path}");
    }
}

#[tokio::test]
async fn push_refused_shows_the_registrys_own_words() {
    let scene = scene().await;
    let refusal = Refusal {
        code: "signer-not-allowed".to_owned(),
        message: "this key may not sign \u{1b}[31mhere".to_owned(),
        wanted: "another".to_owned(),
        found: "this".to_owned(),
        rule: "the rule".to_owned(),
        next: "the step".to_owned(),
    };
    let body = ErrorBody { error: refusal.clone(), upload: None };
    for (status, kind) in [
        (400, Kind::Server),
        (401, Kind::Server),
        (409, Kind::Server),
        (422, Kind::Server),
        (429, Kind::Network),
        (501, Kind::Server),
        (503, Kind::Network),
        (507, Kind::Server),
    ] {
        for target in ["/-/api/v1/uploads/u1", "/-/api/v1/uploads"] {
            scene.answer(target, status, &body);
            let error = scene.push(None).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{status}");
            let said = told(&error);
            assert_eq!((said.code, said.next), (refusal.code.clone(), refusal.next.clone()));
            assert!(!said.message.contains('\u{1b}'));
        }
        scene.upload("/-/api/v1/uploads/u1");
    }
    // A refused signature is refused before the image is sent.
    scene.answer("/-/api/v1/uploads", 403, &body);
    let before = scene.world.server.requests().len();
    scene.push(None).await.unwrap_err();
    assert_eq!(scene.world.server.requests().len(), before + 1);
}

#[tokio::test]
async fn push_to_something_else_than_a_registry() {
    let scene = scene().await;
    for (status, body, code) in [
        (200, &b"<html>"[..], "answer-invalid"),
        (201, b"{}", "answer-invalid"),
        (404, b"<html>", "http-status"),
        (301, b"", "http-status"),
    ] {
        scene.world.put("/-/api/v1/uploads", Reply::Whole(status, body.to_vec()));
        let error = scene.push(None).await.unwrap_err();
        assert_eq!((error.kind(), told(&error).code.as_str()), (Kind::Server, code), "{status}");
    }
    scene.world.put("/-/api/v1/uploads", Reply::Endless);
    assert_eq!(told(&scene.push(None).await.unwrap_err()).code, "answer-too-large");
}

#[tokio::test]
async fn push_token_goes_to_no_other_server() {
    let scene = scene().await;
    let before = scene.world.server.requests().len();
    for path in [
        "https://evil.example/u1",
        "//evil.example/u1",
        "uploads/u1",
        "https://example.com:444/u1",
        "\\\\evil.example\\u1",
        "/\\evil.example/u1",
        "",
    ] {
        scene.upload(path);
        let error = scene.push(None).await.unwrap_err();
        assert!(matches!(error, PushError::Answer { .. }), "{path}: {error:?}");
        told(&error);
    }
    // Only the seven first requests were made: nothing followed where the answer pointed.
    assert_eq!(scene.world.server.requests().len(), before + 7);
    scene.world.put("/-/api/v1/uploads", Reply::To(307, "https://evil.example/".to_owned()));
    let error = scene.push(None).await.unwrap_err();
    assert!(matches!(error, PushError::Status { status: 307, .. }), "{error:?}");
    assert!(!format!("{:?}", SECRET.parse::<Token>().unwrap()).contains(SECRET));
}

#[tokio::test]
async fn push_of_a_broken_image_sends_nothing() {
    let scene = scene().await;
    let mut bytes = std::fs::read(&scene.image).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&scene.image, &bytes).unwrap();
    let error = scene.push(None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{error:?}");
    told(&error);
    assert!(scene.world.server.requests().is_empty());
}

#[tokio::test]
async fn push_of_what_is_not_there() {
    let scene = scene().await;
    std::fs::write(&scene.signature, [0xff, 0xfe]).unwrap();
    let error = scene.push(None).await.unwrap_err();
    assert!(matches!(error, PushError::NotArmored { .. }));
    told(&error);
    std::fs::remove_file(&scene.signature).unwrap();
    let error = scene.push(None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(told(&error).wanted.contains("hello.aci.asc"));
}

#[tokio::test]
async fn push_that_ends_as_another_image_is_said() {
    let scene = scene().await;
    let mut other = scene.pushed.clone();
    other.image_id = format!("sha512-{}", "0".repeat(128)).parse().unwrap();
    scene.answer("/-/api/v1/uploads/u1", 201, &other);
    let error = scene.push(None).await.unwrap_err();
    assert_eq!(told(&error).code, "image-id-mismatch");
}

#[tokio::test]
async fn push_over_plain_http_is_refused() {
    let scene = scene().await;
    for base in [
        "http://example.com/",
        "localhost:8443",
        "http://u:p@example.com/",
        "https://u:p@example.com/",
    ] {
        let error = scene.push(Some(&base.parse().unwrap())).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{base}");
        let said = told(&error).to_string();
        assert!(!said.contains("u:p") && !said.contains("--insecure"), "{said}");
    }
    assert!(scene.world.server.requests().is_empty());
}

#[tokio::test]
async fn push_to_a_server_that_is_not_checked_is_refused() {
    for allow_http in [false, true] {
        let insecure = Insecure { skip_tls_verify: true, allow_http, keys_over_http: false };
        let scene = scene_in(World::with(|options| options.insecure = insecure).await);
        let named = "https://example.com/".parse().unwrap();
        for registry in [None, Some(&named)] {
            let error = scene.push(registry).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{error:?}");
            assert!(told(&error).found.contains("--insecure-skip-tls-verify"));
        }
        let token: Token = SECRET.parse().unwrap();
        let (name, image_id) = (&scene.pushed.name, &scene.pushed.image_id);
        let published = Published { name, image_id, registry: None, token: &token };
        let error = scene.world.client.unpublish(published).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{error:?}");
        let client = Client::new(ClientOptions { insecure, ..ClientOptions::default() });
        let admin = Administered::new(client, &named, token);
        assert_eq!(admin.unwrap_err().kind(), Kind::Usage);
        assert!(scene.world.server.requests().is_empty());
    }
}

#[tokio::test]
async fn push_says_what_a_bare_status_most_likely_means() {
    let scene = scene().await;
    let target = "/-/api/v1/uploads";
    for (status, words) in [
        (404, "no Gantry registry is there"),
        (405, "no Gantry registry is there"),
        (501, "no Gantry registry is there"),
        (413, "client_max_body_size"),
    ] {
        scene.world.put(target, Reply::Whole(status, b"<html>".to_vec()));
        let error = scene.push(None).await.unwrap_err();
        let said = told(&error);
        assert!(error.kind() == Kind::Server && said.next.contains(words), "{status}: {said}");
    }
}

#[tokio::test]
async fn push_of_no_regular_file_is_refused() {
    let scene = scene().await;
    std::fs::remove_file(&scene.image).unwrap();
    std::fs::remove_file(&scene.signature).unwrap();
    // The image is named, not its signature.
    let error = scene.push(None).await.unwrap_err();
    assert!(matches!(&error, PushError::File { path, .. } if *path == scene.image), "{error:?}");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &scene.image, rustix::fs::FileType::Fifo, mode, 0)
        .unwrap();
    let error = scene.push(None).await.unwrap_err();
    assert!(matches!(error, PushError::NoRegularFile { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Usage);
    told(&error);
}

#[tokio::test]
async fn push_to_a_server_that_falls_silent() {
    let world = World::with(|options| {
        let short = Duration::from_millis(600);
        options.timeouts =
            Timeouts { idle: short, document: short, commit: short, ..Timeouts::default() };
    })
    .await;
    let scene = scene_in(world);
    for target in ["/-/api/v1/uploads/u1", "/-/api/v1/uploads"] {
        scene.world.put(target, Reply::Silence);
        let error = scene.push(None).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Network, "{error:?}");
        assert_eq!(told(&error).code, "network");
    }
}

#[test]
fn token_forms() {
    assert!(" abc.def-1\n".parse::<Token>().is_ok());
    for bad in ["", "\n", "a b", "a\nb", "ä"] {
        assert!(bad.parse::<Token>().is_err(), "{bad:?}");
    }
}
