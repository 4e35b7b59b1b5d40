//! What a push is refused for. After each, nothing is visible and nothing is left.

use std::time::{Duration, SystemTime};

use aci::archive::EntryKind;
use aci::push::Upload;
use keys::Signer;
use registry::admin;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::*;

/// Pushes an image, signed as it is by the team, and sees it refused.
async fn assert_refused(image: &Image, status: u16, code: &str) {
    let (registry, token) = started().await;
    let response = registry.push(&token, image, &sign(team_key(), &image.bytes)).await;
    assert_eq!(refused(response).await, (status, code.to_owned()));
    registry.assert_absent(image).await;
}

#[tokio::test]
async fn refused_without_a_token_that_is_known() {
    let (registry, _) = started().await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    let bare = registry.client.post(registry.url("/-/api/v1/uploads")).send().await.unwrap();
    assert_eq!(bare.headers()["www-authenticate"], "Bearer");
    assert_eq!(refused(bare).await, (401, "credentials-missing".to_owned()));
    let unknown = format!("gantry_{}", "0".repeat(64));
    for token in ["x", unknown.as_str()] {
        let response = registry.push(token, &image, &signature).await;
        assert_eq!(refused(response).await, (401, "token-unknown".to_owned()), "{token}");
        let response = registry.send(token, "/-/api/v1/uploads/0", image.bytes.clone()).await;
        assert_eq!(refused(response).await, (401, "token-unknown".to_owned()), "{token}");
    }
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_with_a_token_that_has_expired() {
    let (registry, _) = started().await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    let (token, _) = registry.token_for("example.com", Some(DAY)).await;
    let created: Upload = registry.create(&token, &signature).await.json().await.unwrap();
    *registry.time.lock().unwrap() += 2 * DAY;
    let response = registry.push(&token, &image, &signature).await;
    assert_eq!(refused(response).await, (401, "token-expired".to_owned()));
    let response = registry.send(&token, &created.path, image.bytes.clone()).await;
    assert_eq!(refused(response).await, (401, "token-expired".to_owned()));
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_with_a_token_that_was_revoked_in_between() {
    let (registry, _) = started().await;
    let image = hello();
    let (token, id) = registry.token_for("example.com", None).await;
    let signature = sign(team_key(), &image.bytes);
    let created: Upload = registry.create(&token, &signature).await.json().await.unwrap();
    assert!(admin::revoke_token(&registry.place().await, &id, SystemTime::now()).await.unwrap());
    let response = registry.send(&token, &created.path, image.bytes.clone()).await;
    assert_eq!(refused(response).await, (401, "token-revoked".to_owned()));
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_with_a_token_that_does_not_allow_it() {
    let (registry, token) = started().await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    let (idle, _) = registry.token_that("example.com", Vec::new(), None).await;
    let created: Upload = registry.create(&token, &signature).await.json().await.unwrap();
    for response in [
        registry.create(&idle, &signature).await,
        registry.send(&idle, &created.path, image.bytes.clone()).await,
    ] {
        assert_eq!(refused(response).await, (403, "action-not-allowed".to_owned()));
    }
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_with_a_token_for_other_names() {
    let (registry, _) = started().await;
    let image = hello();
    for prefix in ["example.com/other", "example.com/team/hello/deeper", "example.com/te"] {
        let token = registry.token(prefix).await;
        let response = registry.push(&token, &image, &sign(team_key(), &image.bytes)).await;
        assert_eq!(refused(response).await, (403, "name-not-allowed".to_owned()), "{prefix}");
    }
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_on_an_upload_of_another_token_or_none() {
    let (registry, token) = started().await;
    let image = hello();
    let created = registry.create(&token, &sign(team_key(), &image.bytes)).await;
    let created: Upload = created.json().await.unwrap();
    let other = registry.token("example.com").await;
    let unknown = format!("/-/api/v1/uploads/{}", "0".repeat(64));
    for (token, path) in [
        (&other, created.path.as_str()),
        (&token, unknown.as_str()),
        (&token, "/-/api/v1/uploads/x"),
    ] {
        let response = registry.send(token, path, image.bytes.clone()).await;
        assert_eq!(refused(response).await, (404, "upload-unknown".to_owned()), "{path}");
    }
    // It waits a day, no longer.
    *registry.time.lock().unwrap() += 2 * DAY;
    let response = registry.send(&token, &created.path, image.bytes.clone()).await;
    assert_eq!(refused(response).await, (404, "upload-unknown".to_owned()));
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_before_the_image_is_sent() {
    let (registry, token) = started().await;
    let image = hello();
    let cases: [(Vec<u8>, u16, &str); 4] = [
        (sign(other_key(), &image.bytes), 422, "signer-not-trusted"),
        (b"no signature".to_vec(), 422, "signature-malformed"),
        (team_key().public.clone(), 422, "signature-not-detached"),
        (vec![b'x'; 300 << 10], 413, "signature-too-large"),
    ];
    for (signature, status, code) in cases {
        let response = registry.create(&token, &signature).await;
        assert_eq!(refused(response).await, (status, code.to_owned()));
    }
    let post = |body: Vec<u8>| {
        let request = registry.client.post(registry.url("/-/api/v1/uploads"));
        request.bearer_auth(&token).body(body).send()
    };
    let signature = String::from_utf8(sign(team_key(), &image.bytes)).unwrap();
    let large = serde_json::json!({ "signature": signature, "fileBytes": u64::MAX });
    let typo = serde_json::json!({ "signature": signature, "filebytes": 1 });
    let array = serde_json::json!([signature]);
    let cases = [
        (b"{".to_vec(), 400, "request-malformed"),
        (b"{}".to_vec(), 400, "request-malformed"),
        (typo.to_string().into_bytes(), 400, "request-malformed"),
        (array.to_string().into_bytes(), 400, "request-malformed"),
        (large.to_string().into_bytes(), 413, "image-too-large"),
        (vec![b' '; 2 << 20], 413, "request-too-large"),
    ];
    for (body, status, code) in cases {
        assert_eq!(refused(post(body).await.unwrap()).await, (status, code.to_owned()));
    }
}

#[tokio::test]
async fn refused_with_one_bit_flipped_anywhere() {
    let (registry, token) = started().await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    for at in [0, 3, 10, image.bytes.len() / 2, image.bytes.len() - 5, image.bytes.len() - 1] {
        let mut flipped = image.clone();
        flipped.bytes[at] ^= 1;
        let response = registry.push(&token, &flipped, &signature).await;
        let (status, _) = refused(response).await;
        assert_eq!(status, 422, "byte {at}");
    }
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_with_the_signature_of_another_image() {
    let (registry, token) = started().await;
    let image = hello();
    let other = crate::fixture::image("example.com/team/hello:2.0.0", b"other");
    let response = registry.push(&token, &image, &sign(team_key(), &other.bytes)).await;
    assert_eq!(refused(response).await, (422, "signature-invalid".to_owned()));
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_by_a_signer_of_another_prefix() {
    let (registry, token) = started().await;
    registry.add_key("example.com/other", other_key()).await;
    let image = hello();
    let response = registry.push(&token, &image, &sign(other_key(), &image.bytes)).await;
    let (status, refusal) = refusal(response).await;
    assert_eq!((status, refusal.code.as_str()), (422, "signer-wrong-prefix"));
    assert!(refusal.next.contains("gantry registry keys add"), "{refusal}");
    registry.assert_absent(&image).await;
    // A prefix is whole segments.
    let image = crate::fixture::image("example.com/teamwork:1", b"x");
    let response = registry.push(&token, &image, &sign(team_key(), &image.bytes)).await;
    assert_eq!(refused(response).await, (422, "signer-wrong-prefix".to_owned()));
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_by_a_key_that_has_expired_since() {
    let (registry, token) = started().await;
    // Made an hour ago, so it has four to go.
    let key = key(Some(Duration::from_secs(5 * 3600)));
    registry.add_key("example.com/team", &key).await;
    let image = hello();
    let signature = sign(&key, &image.bytes);
    let created: Upload = registry.create(&token, &signature).await.json().await.unwrap();
    *registry.time.lock().unwrap() += Duration::from_secs(4 * 3600 + 60);
    for response in [
        registry.create(&token, &signature).await,
        registry.send(&token, &created.path, image.bytes.clone()).await,
    ] {
        assert_eq!(refused(response).await, (422, "key-expired".to_owned()));
    }
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_by_a_key_that_was_taken_away_in_between() {
    let (registry, token) = started().await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    let created: Upload = registry.create(&token, &signature).await.json().await.unwrap();
    let store = keys::TrustStore::open(&registry.data().join("trustedkeys"));
    let scope = keys::Scope::Prefix("example.com/team".parse().unwrap());
    let limits = aci::Limits::default();
    assert!(store.remove(&scope, &team_key().fingerprint, &limits).unwrap().happened());
    let response = registry.send(&token, &created.path, image.bytes.clone()).await;
    assert_eq!(refused(response).await, (422, "signer-not-trusted".to_owned()));
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_with_a_signature_from_the_future() {
    let (registry, token) = started().await;
    let image = hello();
    let signer = Signer::open(&team_key().secret, None, SystemTime::now() + DAY).unwrap();
    let signature = signer.sign(image.bytes.as_slice()).unwrap();
    let response = registry.push(&token, &image, &signature).await;
    assert_eq!(refused(response).await, (422, "signature-in-future".to_owned()));
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_under_a_domain_of_somebody_else() {
    let (registry, _) = started().await;
    // Even where key and token would allow it.
    registry.add_key("example.net", team_key()).await;
    let token = registry.token("example.net").await;
    let image = image("example.net/a:1", b"a");
    let response = registry.push(&token, &image, &sign(team_key(), &image.bytes)).await;
    assert_eq!(refused(response).await, (422, "domain-not-served".to_owned()));
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_where_it_is_cut_short() {
    let (registry, token) = started().await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    for length in [0, 1, 100, image.bytes.len() / 2, image.bytes.len() - 1] {
        let cut = Image { bytes: image.bytes[..length].to_vec(), ..image.clone() };
        let response = registry.push(&token, &cut, &signature).await;
        assert_eq!(refused(response).await.0, 422, "{length} bytes");
    }
    registry.assert_absent(&image).await;
    // Signed as it is, cut as it is.
    let cut = Image { bytes: image.bytes[..image.bytes.len() - 9].to_vec(), ..image };
    assert_refused(&cut, 422, "image-truncated").await;
}

#[tokio::test]
async fn refused_where_the_client_goes_away() {
    let (registry, token) = started().await;
    let image = image("example.com/team/hello:1.0.0", &noise(4 << 20));
    let created = registry.create(&token, &sign(team_key(), &image.bytes)).await;
    let upload: Upload = created.json().await.unwrap();
    for http1 in [true, false] {
        let client = client(registry.address, &registry.data().join("tls/ca.pem"), http1);
        let half = image.bytes[..image.bytes.len() / 2].to_vec();
        let chunks = [Ok(half), Err("gone")];
        let request = client
            .put(registry.url(&upload.path))
            .bearer_auth(&token)
            .header("content-length", image.bytes.len())
            .body(reqwest::Body::wrap_stream(futures_util::stream::iter(chunks)));
        assert!(request.send().await.is_err());
        drop(client);
        registry.assert_absent(&image).await;
    }
    // And what was said to be whole can still come.
    let sent = registry.send(&token, &upload.path, image.bytes.clone()).await;
    assert_eq!(sent.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn refused_where_it_is_no_image() {
    let hello = hello();
    for bytes in [b"<!doctype html>".to_vec(), vec![0; 4096], Vec::new()] {
        let none = Image { bytes, ..hello.clone() };
        let (registry, token) = started().await;
        let response = registry.push(&token, &none, &sign(team_key(), &none.bytes)).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        registry.assert_absent(&none).await;
    }
}

#[tokio::test]
async fn refused_where_it_would_write_outside() {
    let reference = "example.com/team/hello:1.0.0";
    let directory = ("rootfs", EntryKind::Directory);
    let link = |target: &str| EntryKind::Symlink { target: target.into() };
    let file = EntryKind::File { size: 1 };
    let cases: [(&[(&str, EntryKind)], &str); 6] = [
        (&[directory.clone(), ("rootfs/../evil", file.clone())], "image-path"),
        (&[directory.clone(), ("/etc/evil", file.clone())], "image-path"),
        (
            &[directory.clone(), ("rootfs/l", link("/etc")), ("rootfs/l/evil", file.clone())],
            "image-path",
        ),
        (&[("rootfs", link("/"))], "image-layout"),
        (&[directory.clone(), ("evil", file.clone())], "image-layout"),
        (&[], "image-layout"),
    ];
    for (entries, code) in cases {
        assert_refused(&archive(reference, entries), 422, code).await;
    }
}

#[tokio::test]
async fn refused_where_it_is_larger_than_the_limit() {
    let registry = Registry::start_with(|config| config.limits.file_bytes = 1 << 20).await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", &noise(3 << 20));
    let signature = sign(team_key(), &image.bytes);
    // Said at once, where the length is known.
    let response = registry.push(&token, &image, &signature).await;
    let (status, refusal) = refusal(response).await;
    assert_eq!((status, refusal.code.as_str()), (413, "image-too-large"));
    assert_eq!(refusal.found, format!("{} bytes", image.bytes.len()));
    // And found out, where it is not.
    let upload: Upload = registry.create(&token, &signature).await.json().await.unwrap();
    let chunks: Vec<_> = image.bytes.chunks(50_000).map(|c| Ok::<_, String>(c.to_vec())).collect();
    let response = registry
        .client
        .put(registry.url(&upload.path))
        .bearer_auth(&token)
        .body(reqwest::Body::wrap_stream(futures_util::stream::iter(chunks)))
        .send()
        .await
        .unwrap();
    assert_eq!(refused(response).await, (413, "image-too-large".to_owned()));
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn refused_where_it_unpacks_to_too_much() {
    let registry = Registry::start_with(|config| {
        config.limits.tar_bytes = 8 << 20;
        config.limits.ratio_floor = 1 << 20;
    })
    .await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    for (bytes, status, code) in
        [(4 << 20, 422, "image-bomb"), (9 << 20, 413, "image-unpacked-too-large")]
    {
        // Zeros pack a thousand to one; noise does not pack at all.
        let content = if code == "image-bomb" { vec![0; bytes] } else { noise(bytes) };
        let image = image("example.com/a:1", &content);
        let response = registry.push(&token, &image, &sign(team_key(), &image.bytes)).await;
        assert_eq!(refused(response).await, (status, code.to_owned()));
        registry.assert_absent(&image).await;
    }
}

#[tokio::test]
async fn refused_large_pushes_get_to_see_why() {
    let (registry, token) = started().await;
    // Far more than the socket buffers hold. A plain client sends all of it before it
    // looks for an answer: if nobody read it, its system would have thrown the answer away.
    let body = vec![0; 150 << 20];
    for (token, status) in [("gantry_x", 401), (token.as_str(), 404)] {
        let mut stream = registry.connect(&[b"http/1.1"]).await;
        let head = format!(
            "PUT /-/api/v1/uploads/{} HTTP/1.1\r\nHost: example.com\r\n\
             Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
            "0".repeat(64),
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
    }
}

#[tokio::test]
async fn refused_clients_that_ask_first_need_not_send() {
    let (registry, _) = started().await;
    let mut stream = registry.connect(&[b"http/1.1"]).await;
    let head = "PUT /-/api/v1/uploads/x HTTP/1.1\r\nHost: example.com\r\n\
                Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}
