//! What a push comes to when all is well.

use aci::ImageManifest;
use aci::archive::Compression;
use aci::push::{Pushed, Upload};
use reqwest::StatusCode;

use crate::fixture::*;

#[tokio::test]
async fn push_serves_the_authors_bytes() {
    let registry = Registry::start().await;
    registry.add_key("example.com/team", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/team/hello:1.0.0,os=linux,arch=amd64", b"hello");
    let signature = sign(team_key(), &image.bytes);
    let created = registry.create(&token, &signature).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let location = created.headers()["location"].to_str().unwrap().to_owned();
    let upload: Upload = created.json().await.unwrap();
    assert_eq!(location, upload.path);
    registry.assert_absent(&image).await;

    let response = registry.send(&token, &upload.path, image.bytes.clone()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let pushed: Pushed = response.json().await.unwrap();
    assert_eq!(pushed.image_id, image.id);
    assert_eq!(pushed.file_bytes, image.bytes.len() as u64);
    assert_eq!(pushed.signer, team_key().fingerprint.to_string());
    assert!(pushed.created);
    for path in [
        format!("/-/blobs/{}.aci", image.id),
        "/-/images/example.com/team/hello:1.0.0,os=linux,arch=amd64.aci".to_owned(),
        "/-/images/example.com/team/hello.aci".to_owned(),
    ] {
        assert_eq!(registry.get(&path).await.bytes().await.unwrap(), image.bytes, "{path}");
        let asc = registry.get(&format!("{path}.asc")).await;
        assert_eq!(asc.headers()["content-type"], "application/pgp-signature");
        assert_eq!(asc.bytes().await.unwrap(), signature, "{path}.asc");
    }
    assert!(files_below(&registry.data().join("spool")).is_empty());
}

#[tokio::test]
async fn push_of_the_same_image_again_changes_nothing() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", b"a");
    let signature = sign(team_key(), &image.bytes);
    let first = registry.push(&token, &image, &signature).await;
    assert_eq!(first.status(), StatusCode::CREATED);
    let first: Pushed = first.json().await.unwrap();
    for signature in [signature.clone(), sign(team_key(), &image.bytes)] {
        let again = registry.push(&token, &image, &signature).await;
        assert_eq!(again.status(), StatusCode::OK);
        let again: Pushed = again.json().await.unwrap();
        assert_eq!(again, Pushed { created: false, ..first.clone() });
    }
    let served = registry.get(&format!("/-/blobs/{}.aci.asc", image.id)).await;
    assert_eq!(served.bytes().await.unwrap(), signature);
}

#[tokio::test]
async fn push_may_be_sent_again_on_the_same_upload() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", b"a");
    let created = registry.create(&token, &sign(team_key(), &image.bytes)).await;
    let upload: Upload = created.json().await.unwrap();
    let cut = image.bytes[..image.bytes.len() / 2].to_vec();
    assert!(registry.send(&token, &upload.path, cut).await.status().is_client_error());
    registry.assert_absent(&image).await;
    for status in [StatusCode::CREATED, StatusCode::OK] {
        let sent = registry.send(&token, &upload.path, image.bytes.clone()).await;
        assert_eq!(sent.status(), status);
    }
}

#[tokio::test]
async fn push_of_one_image_compressed_two_ways_keeps_the_first_file() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let manifest = ImageManifest::new("example.com/a".parse().unwrap(), Default::default());
    let gzip = image_compressed(&manifest, "example.com/a", b"a", Compression::Gzip);
    let plain = image_compressed(&manifest, "example.com/a", b"a", Compression::None);
    assert_eq!(gzip.id, plain.id);
    let first = registry.publish(&token, &gzip, team_key()).await;
    let second = registry.push(&token, &plain, &sign(team_key(), &plain.bytes)).await;
    assert_eq!(second.status(), StatusCode::OK);
    let second: Pushed = second.json().await.unwrap();
    assert_eq!(second, Pushed { created: false, ..first });
    let served = registry.get("/-/images/example.com/a.aci").await;
    assert_eq!(served.bytes().await.unwrap(), gzip.bytes);
}

#[tokio::test]
async fn push_of_another_image_under_the_same_labels_is_a_conflict() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let first = image("example.com/a:1,os=linux,arch=amd64", b"first");
    registry.publish(&token, &first, team_key()).await;
    // The order of labels makes no other version.
    let second = image("example.com/a:1,arch=amd64,os=linux", b"second");
    let response = registry.push(&token, &second, &sign(team_key(), &second.bytes)).await;
    assert_eq!(refused(response).await, (409, "version-exists".to_owned()));
    let served = registry.get("/-/images/example.com/a:1,os=linux,arch=amd64.aci").await;
    assert_eq!(served.bytes().await.unwrap(), first.bytes);
    let absent = registry.get(&format!("/-/blobs/{}.aci", second.id)).await;
    assert_eq!(absent.status(), StatusCode::NOT_FOUND);
    assert_eq!(files_below(&registry.data().join("blobs")).len(), 2);
    let third = image("example.com/a:2,os=linux,arch=amd64", b"second");
    registry.publish(&token, &third, team_key()).await;
}

#[tokio::test]
async fn push_of_labels_that_no_header_holds_is_refused() {
    let (registry, token) = started().await;
    for (value, wanted) in [("x".repeat(2048 - 7), 201), ("x".repeat(2049 - 7), 422)] {
        let image = image_with("example.com/team/a", &[("version", &value)], value.as_bytes());
        let pushed = registry.push(&token, &image, &sign(team_key(), &image.bytes)).await;
        assert_eq!(pushed.status().as_u16(), wanted);
        if wanted == 422 {
            assert_eq!(refused(pushed).await.1, "labels-too-long");
        }
    }
}

#[tokio::test]
async fn push_by_several_at_once_makes_one_image() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", &vec![7; 3 << 20]);
    let pushes = (0..8).map(|_| async {
        // Each has a signature of its own: files and row must come from one of them.
        let signature = sign(team_key(), &image.bytes);
        let response = registry.push(&token, &image, &signature).await;
        let status = response.status();
        (status, response.json::<Pushed>().await.unwrap(), signature)
    });
    let all = futures_util::future::join_all(pushes).await;
    let winners: Vec<_> = all.iter().filter(|(status, ..)| *status == 201).collect();
    assert_eq!(winners.len(), 1);
    assert!(all.iter().all(|(status, pushed, _)| pushed.created == (*status == 201)));
    let served = registry.get(&format!("/-/blobs/{}.aci.asc", image.id)).await;
    assert_eq!(served.bytes().await.unwrap(), winners[0].2);
}

#[tokio::test]
async fn push_of_several_images_of_one_version_lets_one_win() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let images: Vec<_> = (0..6).map(|n| image("example.com/a:1", &[n; 1 << 20])).collect();
    let (registry, token) = (&registry, token.as_str());
    let pushes = images.iter().map(|image| async move {
        let signature = sign(team_key(), &image.bytes);
        (image, registry.push(token, image, &signature).await.status())
    });
    let all = futures_util::future::join_all(pushes).await;
    let won: Vec<_> = all.iter().filter(|(_, status)| *status == 201).collect();
    assert_eq!(won.len(), 1);
    assert!(all.iter().all(|(_, status)| [201, 409].contains(&status.as_u16())), "conflicts");
    let served = registry.get("/-/images/example.com/a:1.aci").await;
    assert_eq!(served.bytes().await.unwrap(), won[0].0.bytes);
    assert_eq!(files_below(&registry.data().join("blobs")).len(), 2);
}

#[tokio::test]
async fn push_by_http1_and_without_a_length_works() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", &vec![1; 1 << 20]);
    let created = registry.create(&token, &sign(team_key(), &image.bytes)).await;
    let upload: Upload = created.json().await.unwrap();
    let http1 = client(registry.address, &registry.data().join("tls/ca.pem"), true);
    let chunks: Vec<_> = image.bytes.chunks(1000).map(|c| Ok::<_, String>(c.to_vec())).collect();
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let response =
        http1.put(registry.url(&upload.path)).bearer_auth(&token).body(body).send().await.unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_11);
    assert_eq!(response.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn push_takes_keys_up_while_the_server_runs() {
    let registry = Registry::start().await;
    let token = registry.token("example.com").await;
    let image = image("example.com/a:1", b"a");
    let signature = sign(team_key(), &image.bytes);
    let response = registry.push(&token, &image, &signature).await;
    assert_eq!(refused(response).await, (422, "signer-not-trusted".to_owned()));
    registry.add_key("example.com", team_key()).await;
    assert_eq!(registry.push(&token, &image, &signature).await.status(), StatusCode::CREATED);
}
