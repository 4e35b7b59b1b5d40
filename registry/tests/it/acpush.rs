//! The appc push protocol, by a client that sends what acpush sends, byte for byte, and judges
//! answers as it does.

use std::mem;

use aci::archive::EntryKind;
use registry::admin;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::fixture::*;

/// The pieces in which Go sends a file.
const CHUNK: usize = 32 << 10;

/// acpush, with what it says of who it is.
pub(crate) struct Acpush<'r> {
    registry: &'r Registry,
    /// The lines of the header `Authorization`.
    authorization: Vec<String>,
    /// It is used again, as Go does, unless the server says that it ends.
    connection: BufReader<TlsStream<TcpStream>>,
    ends: bool,
    /// The statuses of its requests.
    pub(crate) statuses: Vec<u16>,
}

/// A part as it goes over the wire.
enum Framed<'a> {
    Length(&'a [u8]),
    Chunked(&'a [u8]),
}

/// How a push ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// With the answer to its last request.
    Answered(Value),
    /// Before that, with what acpush would print.
    Failed(String),
}

impl Ended {
    pub(crate) fn success(&self) -> bool {
        matches!(self, Self::Answered(answer) if *answer == json!({"success": true}))
    }

    /// What the user reads.
    pub(crate) fn server_reason(&self) -> &str {
        let Self::Answered(answer) = self else { panic!("{self:?}") };
        assert_eq!(answer["success"], false, "{answer}");
        answer["server_reason"].as_str().unwrap()
    }
}

impl<'r> Acpush<'r> {
    async fn new(registry: &'r Registry, authorization: &[String]) -> Self {
        let (authorization, connection) = (authorization.to_vec(), Self::connect(registry).await);
        Self { registry, authorization, connection, ends: false, statuses: Vec::new() }
    }

    async fn connect(registry: &Registry) -> BufReader<TlsStream<TcpStream>> {
        BufReader::new(registry.connect(&[b"http/1.1"]).await)
    }

    pub(crate) async fn bearer(registry: &'r Registry, token: &str) -> Self {
        Self::new(registry, &[format!("Bearer {token}")]).await
    }

    fn head(&self, method: &str, path: &str, framed: &Framed<'_>) -> String {
        let length = match framed {
            Framed::Length(body) => format!("Content-Length: {}", body.len()),
            Framed::Chunked(_) => "Transfer-Encoding: chunked".to_owned(),
        };
        let who: String =
            self.authorization.iter().map(|one| format!("Authorization: {one}\r\n")).collect();
        format!(
            "{method} {path} HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Go-http-client/1.1\r\n\
             {length}\r\n{who}Accept-Encoding: gzip\r\n\r\n"
        )
    }

    /// One request, and its answer.
    async fn request(&mut self, method: &str, url: &str, framed: Framed<'_>) -> (u16, Vec<u8>) {
        let path = url.strip_prefix("https://example.com").unwrap_or(url);
        let head = self.head(method, path, &framed);
        if mem::take(&mut self.ends) {
            self.connection = Self::connect(self.registry).await;
        }
        self.connection.write_all(head.as_bytes()).await.unwrap();
        match framed {
            Framed::Length(body) => self.connection.write_all(body).await.unwrap(),
            Framed::Chunked(body) => {
                for piece in body.chunks(CHUNK) {
                    let head = format!("{:x}\r\n", piece.len());
                    for bytes in [head.as_bytes(), piece, b"\r\n"] {
                        self.connection.write_all(bytes).await.unwrap();
                    }
                }
                self.connection.write_all(b"0\r\n\r\n").await.unwrap();
            }
        }
        self.connection.flush().await.unwrap();
        self.answer().await
    }

    async fn answer(&mut self) -> (u16, Vec<u8>) {
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.connection.read_line(&mut line).await.unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().unwrap();
            } else if let Some(bytes) = line.strip_prefix("content-length: ") {
                length = bytes.parse().unwrap();
            } else if line == "connection: close" {
                self.ends = true;
            } else if line.is_empty() {
                break;
            }
            assert!(!line.starts_with("location:"), "a redirect: {line}");
        }
        // The client takes a 400 for a success.
        assert_ne!(status, 400);
        let mut body = vec![0; length];
        self.connection.read_exact(&mut body).await.unwrap();
        self.statuses.push(status);
        (status, body)
    }

    async fn initiate(&mut self, name: &str) -> Result<Value, String> {
        let url = format!("https://example.com/-/acpush/{name}");
        match self.request("POST", &url, Framed::Length(b"")).await {
            (200, body) => Ok(serde_json::from_slice(&body).unwrap()),
            (status, _) => Err(format!("bad HTTP status code: {status}")),
        }
    }

    async fn complete(&mut self, urls: &Value, said: &Value) -> Ended {
        let said = said.to_string();
        let url = urls["completed_url"].as_str().unwrap();
        match self.request("POST", url, Framed::Length(said.as_bytes())).await {
            (200, body) => Ended::Answered(serde_json::from_slice(&body).unwrap()),
            (status, _) => Ended::Failed(format!("bad HTTP status code: {status}")),
        }
    }

    /// A push, as acpush goes about it.
    pub(crate) async fn push(&mut self, name: &str, signature: &[u8], image: &[u8]) -> Ended {
        let urls = match self.initiate(name).await {
            Ok(urls) => urls,
            Err(failed) => return Ended::Failed(failed),
        };
        let manifest = br#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/x"}"#;
        let parts = [
            ("manifest", "upload_manifest_url", Framed::Length(manifest)),
            ("signature", "upload_signature_url", Framed::Chunked(signature)),
            ("ACI", "upload_aci_url", Framed::Chunked(image)),
        ];
        for (part, url, framed) in parts {
            let (status, _) = self.request("PUT", urls[url].as_str().unwrap(), framed).await;
            if status != 200 {
                let reason = format!("error uploading {part}: bad HTTP status code: {status}");
                return self.complete(&urls, &json!({"success": false, "reason": reason})).await;
            }
        }
        self.complete(&urls, &json!({"success": true})).await
    }
}

/// Pushes an image with a signature over these bytes by the team; what the user reads of a refusal,
/// after which there is nothing.
async fn reason(image: &Image, signature: &[u8], statuses: &[u16], words: &[&str]) {
    let (registry, token) = started().await;
    let mut client = Acpush::bearer(&registry, &token).await;
    let ended = client.push("example.com/team/hello", signature, &image.bytes).await;
    let told = ended.server_reason();
    for word in words.iter().chain(&["wanted:", "found:", "rule:", "next:"]) {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert_eq!(client.statuses, statuses);
    registry.assert_absent(image).await;
}

#[tokio::test]
async fn acpush_publishes_with_a_bearer_and_with_a_password() {
    let (registry, token) = started().await;
    use base64::Engine as _;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("ci:{token}"));
    let ways = [
        vec![format!("Bearer {token}")],
        vec![format!("Basic {pair}")],
        // Go's client appends the header again where it follows a redirect.
        vec![format!("Basic {pair}"), format!("Basic {pair}")],
    ];
    for (at, way) in ways.iter().enumerate() {
        let reference = format!("example.com/team/hello:1.0.{at}");
        let image = image(&reference, &vec![b'x'; 100_000 + at]);
        let signature = sign(team_key(), &image.bytes);
        let mut client = Acpush::new(&registry, way).await;
        let ended = client.push("example.com/team/hello", &signature, &image.bytes).await;
        assert!(ended.success(), "{way:?} {ended:?}");
        assert_eq!(client.statuses, [200; 5]);
        // As the author made them.
        let path = format!("/-/images/{reference}.aci");
        assert_eq!(registry.get(&path).await.bytes().await.unwrap(), image.bytes);
        let path = format!("{path}.asc");
        assert_eq!(registry.get(&path).await.bytes().await.unwrap(), signature);
        // The same again is as good.
        let ended = client.push("example.com/team/hello", &signature, &image.bytes).await;
        assert!(ended.success(), "{ended:?}");
    }
    // What has no version in its URL is found by the version of its manifest, and as the latest.
    let latest = registry.get("/-/images/example.com/team/hello:latest.aci").await;
    assert_eq!(latest.status(), 200);
}

#[tokio::test]
async fn acpush_names_an_image_by_its_manifest_and_not_by_a_url() {
    let (registry, token) = started().await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    let mut client = Acpush::bearer(&registry, &token).await;
    let ended = client.push("example.com/other/thing", &signature, &image.bytes).await;
    assert!(ended.success(), "{ended:?}");
    assert_eq!(registry.get("/-/images/example.com/team/hello:1.0.0.aci").await.status(), 200);
    assert_eq!(registry.get("/other/thing").await.status(), 404);
}

#[tokio::test]
async fn acpush_is_told_where_to_on_its_own_domain_alone() {
    let (registry, token) = started().await;
    let mut client = Acpush::bearer(&registry, &token).await;
    let urls = client.initiate("example.com/team/hello").await.unwrap();
    assert_eq!(urls["aci_push_version"], "0.0.1");
    assert_eq!(urls["multipart"], false);
    let upload = urls["completed_url"].as_str().unwrap().strip_suffix("/complete").unwrap();
    let id = upload.strip_prefix("https://example.com/-/acpush/-/").unwrap();
    assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    for (url, part) in [
        ("upload_manifest_url", "manifest"),
        ("upload_signature_url", "signature"),
        ("upload_aci_url", "aci"),
    ] {
        assert_eq!(urls[url], format!("{upload}/{part}"));
    }
    let failed = client.initiate("example.org/team/hello").await.unwrap_err();
    assert_eq!(failed, "bad HTTP status code: 422");
    for name in ["example.com/Team", "example.com/%ff", "example.com/%2e%2e"] {
        let failed = client.initiate(name).await.unwrap_err();
        assert_eq!(failed, "bad HTTP status code: 404", "{name}");
    }
}

#[tokio::test]
async fn acpush_without_a_token_that_is_good_is_refused_at_once() {
    let (registry, token) = started().await;
    let unknown = format!("gantry_{}", "0".repeat(64));
    let (expired, _) = registry.token_for("example.com", Some(DAY)).await;
    let (revoked, id) = registry.token_for("example.com", None).await;
    assert!(
        admin::revoke_token(&registry.place().await, &id, std::time::SystemTime::now())
            .await
            .unwrap()
    );
    *registry.time.lock().unwrap() += 2 * DAY;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    for way in [
        vec![],
        vec![format!("Bearer {unknown}")],
        vec![format!("Bearer {expired}")],
        vec![format!("Bearer {revoked}")],
        vec![format!("Bearer {token}"), format!("Bearer {unknown}")],
        vec!["Basic x".to_owned()],
    ] {
        let mut client = Acpush::new(&registry, &way).await;
        let ended = client.push("example.com/team/hello", &signature, &image.bytes).await;
        assert!(matches!(&ended, Ended::Failed(why) if why.ends_with(" 401")), "{way:?} {ended:?}");
        assert_eq!(client.statuses, [401], "nothing more is sent");
    }
    let (idle, _) = registry.token_that("example.com", Vec::new(), None).await;
    let mut client = Acpush::bearer(&registry, &idle).await;
    let ended = client.push("example.com/team/hello", &signature, &image.bytes).await;
    assert!(matches!(&ended, Ended::Failed(why) if why.ends_with(" 403")), "{ended:?}");
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn acpush_tells_of_a_signature_that_is_none() {
    let statuses = [200, 200, 422, 200];
    for signature in [&b""[..], b"no signature", &[0; 100_000]] {
        reason(&hello(), signature, &statuses, &[]).await;
    }
    let huge = vec![b'x'; 3 << 20];
    reason(&hello(), &huge, &[200, 200, 413, 200], &["the signature is larger", "bytes"]).await;
    // What is served as .asc is armored.
    use base64::Engine as _;
    let armored = String::from_utf8(sign(team_key(), &hello().bytes)).unwrap();
    let (_, packets) = armored.split_once("\n\n").unwrap();
    let packets: String =
        packets.lines().take_while(|line| !line.starts_with(['=', '-'])).collect();
    let binary = base64::engine::general_purpose::STANDARD.decode(packets).unwrap();
    reason(&hello(), &binary, &statuses, &["not ASCII-armored", "gpg --armor"]).await;
}

#[tokio::test]
async fn acpush_tells_of_an_image_without_a_signature_and_of_a_manifest_that_is_too_large() {
    let (registry, token) = started().await;
    let mut client = Acpush::bearer(&registry, &token).await;
    let image = hello();
    for (signature, word) in
        [(None, "without a signature"), (Some(&b"x\n"[..]), "neither an armored nor a binary")]
    {
        let urls = client.initiate("example.com/team/hello").await.unwrap();
        if let Some(signature) = signature {
            let url = urls["upload_signature_url"].as_str().unwrap();
            assert_eq!(client.request("PUT", url, Framed::Chunked(signature)).await.0, 422);
        }
        let url = urls["upload_aci_url"].as_str().unwrap();
        assert_eq!(client.request("PUT", url, Framed::Chunked(&image.bytes)).await.0, 422);
        let ended = client.complete(&urls, &json!({"success": false})).await;
        assert!(ended.server_reason().contains(word), "{ended:?}");
    }
    let urls = client.initiate("example.com/team/hello").await.unwrap();
    let url = urls["upload_manifest_url"].as_str().unwrap();
    assert_eq!(client.request("PUT", url, Framed::Chunked(&vec![b' '; 9 << 20])).await.0, 413);
    let ended = client.complete(&urls, &json!({"success": false})).await;
    assert!(ended.server_reason().contains("the manifest is larger"), "{ended:?}");
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn acpush_tells_of_a_signer_nobody_trusts() {
    let image = hello();
    let signature = sign(other_key(), &image.bytes);
    let words = ["gantry registry keys add"];
    reason(&image, &signature, &[200, 200, 422, 200], &words).await;
}

#[tokio::test]
async fn acpush_tells_of_a_signature_of_something_else() {
    let signature = sign(team_key(), b"something else");
    reason(&hello(), &signature, &[200, 200, 200, 422, 200], &["sign"]).await;
}

#[tokio::test]
async fn acpush_tells_of_a_key_of_other_names() {
    let image = image("example.com/web:1.0.0", b"web");
    let signature = sign(team_key(), &image.bytes);
    let words = ["example.com/web"];
    reason(&image, &signature, &[200, 200, 200, 422, 200], &words).await;
}

#[tokio::test]
async fn acpush_tells_of_an_archive_that_is_hostile_or_none() {
    let file = EntryKind::File { size: 1 };
    let hostile = archive(
        "example.com/team/hello:1.0.0",
        &[("rootfs", EntryKind::Directory), ("../x", file)],
    );
    let garbage = Image { bytes: vec![b'x'; 200_000], ..hello() };
    let empty = Image { bytes: Vec::new(), ..hello() };
    // It is refused long before its end.
    let large = Image { bytes: vec![b'x'; 150 << 20], ..hello() };
    for image in [hostile, garbage, empty, large] {
        let signature = sign(team_key(), &image.bytes);
        reason(&image, &signature, &[200, 200, 200, 422, 200], &[]).await;
    }
}

#[tokio::test]
async fn acpush_tells_of_a_name_of_another_domain_or_token() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    registry.add_key("example.org", team_key()).await;
    let token = registry.token("example.com/team").await;
    let mut client = Acpush::bearer(&registry, &token).await;
    for (reference, status, word) in
        [("example.org/x:1", 422, "example.org/x"), ("example.com/web:1", 403, "example.com/team")]
    {
        let image = image(reference, b"x");
        let signature = sign(team_key(), &image.bytes);
        let ended = client.push("example.com/team/hello", &signature, &image.bytes).await;
        assert!(ended.server_reason().contains(word), "{ended:?}");
        assert_eq!(std::mem::take(&mut client.statuses), [200, 200, 200, status, 200]);
    }
    // A key for it would not help.
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let mut client = Acpush::bearer(&registry, &registry.token("example.com").await).await;
    let image = image("example.net/x:1", b"x");
    let ended = client.push("example.com/x", &sign(team_key(), &image.bytes), &image.bytes).await;
    let told = ended.server_reason();
    assert!(told.contains("example.net/x") && !told.contains("keys add"), "{told}");
    assert!(files_below(&registry.data().join("blobs")).is_empty());
}

#[tokio::test]
async fn acpush_tells_of_a_version_that_is_another_image() {
    let (registry, token) = started().await;
    let first = hello();
    registry.publish(&token, &first, team_key()).await;
    let second = image(&first.reference, b"other");
    let signature = sign(team_key(), &second.bytes);
    let mut client = Acpush::bearer(&registry, &token).await;
    let ended = client.push("example.com/team/hello", &signature, &second.bytes).await;
    assert!(ended.server_reason().contains("published already"), "{ended:?}");
    assert_eq!(client.statuses, [200, 200, 200, 409, 200]);
    let path = format!("/-/images/{}.aci", first.reference);
    assert_eq!(registry.get(&path).await.bytes().await.unwrap(), first.bytes);
}

#[tokio::test]
async fn acpush_tells_of_an_image_too_large_though_it_is_still_sent() {
    let registry = Registry::start_with(|config| config.limits.file_bytes = 100_000).await;
    registry.add_key("example.com/team", team_key()).await;
    let token = registry.token("example.com").await;
    let mut number = 1_u64;
    let next = |_| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (number >> 33) as u8
    };
    let content: Vec<u8> = (0..2_000_000).map(next).collect();
    let image = image("example.com/team/hello:1.0.0", &content);
    assert!(image.bytes.len() > 500_000);
    let signature = sign(team_key(), &image.bytes);
    let mut client = Acpush::bearer(&registry, &token).await;
    let ended = client.push("example.com/team/hello", &signature, &image.bytes).await;
    assert!(ended.server_reason().contains("100000"), "{ended:?}");
    assert_eq!(client.statuses, [200, 200, 200, 413, 200]);
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn acpush_that_completes_nothing_or_half_of_an_image_is_told_so() {
    let (registry, token) = started().await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    let mut client = Acpush::bearer(&registry, &token).await;
    let urls = client.initiate("example.com/team/hello").await.unwrap();
    let ended = client.complete(&urls, &json!({"success": true})).await;
    assert!(ended.server_reason().contains("has not arrived"), "{ended:?}");
    let ended = client.complete(&urls, &json!([true, null])).await;
    assert!(matches!(&ended, Ended::Failed(status) if status.ends_with("422")), "{ended:?}");
    let url = urls["upload_signature_url"].as_str().unwrap();
    client.request("PUT", url, Framed::Chunked(&signature)).await;
    // A client that goes away in the middle of the image.
    let mut other = Acpush::bearer(&registry, &token).await;
    let path =
        urls["upload_aci_url"].as_str().unwrap().strip_prefix("https://example.com").unwrap();
    let head = other.head("PUT", path, &Framed::Chunked(b""));
    let half = &image.bytes[..image.bytes.len() / 2];
    let begun =
        [head.as_bytes(), format!("{:x}\r\n", half.len()).as_bytes(), half, b"\r\n"].concat();
    other.connection.write_all(&begun).await.unwrap();
    other.connection.flush().await.unwrap();
    drop(other);
    let said = json!({"success": false, "reason": "error uploading ACI: EOF"});
    let ended = client.complete(&urls, &said).await;
    assert!(!ended.server_reason().is_empty());
    let Ended::Answered(answer) = &ended else { panic!("{ended:?}") };
    assert_eq!(answer["reason"], "error uploading ACI: EOF");
    registry.assert_absent(&image).await;
    // The upload is still good for the whole image.
    let url = urls["upload_aci_url"].as_str().unwrap();
    assert_eq!(client.request("PUT", url, Framed::Chunked(&image.bytes)).await.0, 200);
    assert!(client.complete(&urls, &said).await.success(), "it is published, whatever was said");
}

#[tokio::test]
async fn acpush_reaches_no_upload_but_its_own() {
    let (registry, token) = started().await;
    let image = hello();
    let mut client = Acpush::bearer(&registry, &token).await;
    let urls = client.initiate("example.com/team/hello").await.unwrap();
    let other = registry.token("example.com").await;
    let mut thief = Acpush::bearer(&registry, &other).await;
    for url in ["upload_manifest_url", "upload_signature_url", "upload_aci_url"] {
        let url = urls[url].as_str().unwrap();
        assert_eq!(thief.request("PUT", url, Framed::Chunked(&image.bytes)).await.0, 404);
        assert_eq!(client.request("GET", url, Framed::Length(b"")).await.0, 405);
    }
    let ended = thief.complete(&urls, &json!({"success": true})).await;
    assert!(matches!(&ended, Ended::Failed(why) if why.ends_with(" 404")), "{ended:?}");
    for bad in ["not JSON", "{}", "{\"success\": 1}"] {
        let url = urls["completed_url"].as_str().unwrap();
        assert_eq!(client.request("POST", url, Framed::Length(bad.as_bytes())).await.0, 422);
    }
    // The client's own text of a manifest may be larger than the one in the image.
    let url = urls["upload_manifest_url"].as_str().unwrap();
    for (bytes, status) in [(3 << 20, 200), (9 << 20, 413)] {
        let text = vec![b'x'; bytes];
        assert_eq!(client.request("PUT", url, Framed::Length(&text)).await.0, status);
    }
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn acpush_that_goes_away_at_the_end_of_an_image_is_told_what_became_of_it() {
    let (registry, token) = started().await;
    let mut client = Acpush::bearer(&registry, &token).await;
    for at in 0..20 {
        let image = image(&format!("example.com/team/hello:{at}"), &vec![b'x'; 300_000]);
        let signature = sign(team_key(), &image.bytes);
        let urls = client.initiate("example.com/team/hello").await.unwrap();
        let url = urls["upload_signature_url"].as_str().unwrap();
        assert_eq!(client.request("PUT", url, Framed::Chunked(&signature)).await.0, 200);
        let mut other = Acpush::bearer(&registry, &token).await;
        let path = urls["upload_aci_url"].as_str().unwrap();
        let path = path.strip_prefix("https://example.com").unwrap();
        let head = other.head("PUT", path, &Framed::Length(&image.bytes));
        other.connection.write_all(&[head.as_bytes(), &image.bytes].concat()).await.unwrap();
        other.connection.flush().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(at)).await;
        drop(other);
        // Until the server has seen that it went away, the image may still be on its way.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let said = json!({"success": false, "reason": "error uploading ACI: EOF"});
        let told = client.complete(&urls, &said).await.success();
        let path = format!("/-/images/{}.aci", image.reference);
        assert_eq!(told, registry.get(&path).await.status() == 200, "{at}");
    }
}

#[tokio::test]
async fn acpush_on_an_upload_among_many_is_told_the_last_of_it() {
    let (registry, token) = started().await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    let mut client = Acpush::bearer(&registry, &token).await;
    let urls = client.initiate("example.com/team/hello").await.unwrap();
    for _ in 0..100 {
        client.initiate("example.com/team/hello").await.unwrap();
    }
    let parts = |part: &str| urls[part].as_str().unwrap().to_owned();
    let (to_signature, to_image) = (parts("upload_signature_url"), parts("upload_aci_url"));
    let refused = client.request("PUT", &to_signature, Framed::Chunked(b"x")).await;
    assert_eq!(refused.0, 422);
    let said = json!({"success": true});
    assert!(!client.complete(&urls, &said).await.server_reason().contains("has not arrived"));
    // A good signature after a bad one.
    let taken = client.request("PUT", &to_signature, Framed::Chunked(&signature)).await;
    assert_eq!(taken.0, 200);
    assert!(client.complete(&urls, &said).await.server_reason().contains("has not arrived"));
    assert_eq!(client.request("PUT", &to_image, Framed::Chunked(&image.bytes)).await.0, 200);
    // What comes after the image takes nothing back.
    assert_eq!(client.request("PUT", &to_signature, Framed::Chunked(b"x")).await.0, 422);
    assert_eq!(client.request("PUT", &to_image, Framed::Chunked(b"x")).await.0, 422);
    assert!(client.complete(&urls, &said).await.success());
}

#[tokio::test]
async fn acpush_publishes_nothing_with_a_token_that_was_revoked_meanwhile() {
    let (registry, _) = started().await;
    let (token, id) = registry.token_for("example.com", None).await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    let mut client = Acpush::bearer(&registry, &token).await;
    let urls = client.initiate("example.com/team/hello").await.unwrap();
    let url = urls["upload_signature_url"].as_str().unwrap();
    assert_eq!(client.request("PUT", url, Framed::Chunked(&signature)).await.0, 200);
    let path = urls["upload_aci_url"].as_str().unwrap();
    let path = path.strip_prefix("https://example.com").unwrap();
    let head = client.head("PUT", path, &Framed::Length(&image.bytes));
    let (first, rest) = image.bytes.split_at(image.bytes.len() / 2);
    client.connection.write_all(&[head.as_bytes(), first].concat()).await.unwrap();
    client.connection.flush().await.unwrap();
    // The token is asked for when the request begins.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let now = std::time::SystemTime::now();
    assert!(admin::revoke_token(&registry.place().await, &id, now).await.unwrap());
    client.connection.write_all(rest).await.unwrap();
    client.connection.flush().await.unwrap();
    assert_eq!(client.answer().await.0, 401);
    registry.assert_absent(&image).await;
}
