//! Several images that become visible together, and several nodes that share what they hold.

use aci::FileDigest;
use aci::push::{
    CommitGroup, CommitOne, ErrorBody, GROUP_IMAGES, Pushed, PushedGroup, UploadState,
};
use registry::Keeping;
use reqwest::{Response, StatusCode};

use crate::fixture::*;
use crate::ranges::{Sending, large, no_parts};

async fn commit(sendings: &[&Sending<'_>]) -> Response {
    let uploads = sendings.iter().map(|sending| one(sending)).collect();
    let (registry, token) = (sendings[0].registry, sendings[0].token);
    send(registry, token, &CommitGroup { uploads }).await
}

fn one(sending: &Sending<'_>) -> CommitOne {
    let image_id = Some(sending.image.id.clone());
    CommitOne { id: sending.id.clone(), file_digest: sending.digest(), image_id }
}

async fn send(registry: &Registry, token: &str, body: &impl serde::Serialize) -> Response {
    let request = registry.client.post(registry.url("/-/api/v1/commits"));
    request.bearer_auth(token).json(body).send().await.unwrap()
}

/// The images of one version for several architectures.
fn architectures(version: &str, seed: u64) -> Vec<Image> {
    let image = |(at, arch): (u64, &&str)| {
        let reference = format!("example.com/team/app:{version},os=linux,arch={arch}");
        large(&reference, seed + at, 150_000)
    };
    (0..).zip(&["amd64", "aarch64", "armv7l"]).map(image).collect()
}

async fn sent<'a>(registry: &'a Registry, token: &'a str, images: &'a [Image]) -> Vec<Sending<'a>> {
    let mut sendings = Vec::new();
    for image in images {
        let sending = Sending::open(registry, token, image).await;
        sending.send_range(0, image.bytes.len()).await;
        sendings.push(sending);
    }
    sendings
}

async fn visible(registry: &Registry, images: &[Image]) -> usize {
    let mut visible = 0;
    for image in images {
        let blob = registry.get(&format!("/-/blobs/{}.aci", image.id)).await;
        visible += usize::from(blob.status() == StatusCode::OK);
    }
    visible
}

#[tokio::test]
async fn group_becomes_visible_together_and_again_is_the_same() {
    let (registry, token) = started().await;
    let images = architectures("1.0.0", 1);
    let sendings = sent(&registry, &token, &images).await;
    assert_eq!(visible(&registry, &images).await, 0);
    let all: Vec<_> = sendings.iter().collect();
    let committed = commit(&all).await;
    assert_eq!(committed.status(), StatusCode::CREATED);
    let group: PushedGroup = committed.json().await.unwrap();
    let ids: Vec<_> = group.images.iter().map(|pushed| &pushed.image_id).collect();
    assert_eq!(ids, images.iter().map(|image| &image.id).collect::<Vec<_>>(), "in their order");
    assert!(group.images.iter().all(|pushed| pushed.created));
    for sending in &sendings {
        sending.assert_served().await;
    }
    no_parts(&registry).await;
    let again = commit(&all).await;
    assert_eq!(again.status(), StatusCode::OK);
    let again: PushedGroup = again.json().await.unwrap();
    let not_new = |pushed: Pushed| Pushed { created: false, ..pushed };
    assert_eq!(again.images, group.images.into_iter().map(not_new).collect::<Vec<_>>());
    // One of them alone is the same, too; and one that is there already is no reason to refuse others.
    assert_eq!(sendings[1].commit().await.status(), StatusCode::OK);
    let later = [images[0].clone(), architectures("1.0.1", 9).remove(0)];
    let sendings = sent(&registry, &token, &later[1..]).await;
    let known = Sending::open(&registry, &token, &later[0]).await;
    known.send_range(0, later[0].bytes.len()).await;
    let mixed = commit(&[&known, &sendings[0]]).await;
    assert_eq!(mixed.status(), StatusCode::CREATED);
    let mixed: PushedGroup = mixed.json().await.unwrap();
    let created: Vec<bool> = mixed.images.iter().map(|pushed| pushed.created).collect();
    assert_eq!(created, [false, true]);
}

#[tokio::test]
async fn group_with_one_that_is_refused_publishes_none() {
    let (registry, token) = started().await;
    registry.add_key("example.com/team", other_key()).await;
    let taken = image("example.com/team/app:1.0.0,os=linux,arch=armv7l", b"taken");
    registry.publish(&token, &taken, other_key()).await;
    let images = architectures("1.0.0", 1);
    let mut sendings = sent(&registry, &token, &images).await;
    let refused_of = async |answer: Response| {
        let status = answer.status().as_u16();
        let ErrorBody { error, upload } = answer.json().await.unwrap();
        assert!(error.message.starts_with("none of the images was published: "), "{error:?}");
        (status, error.code, upload.unwrap())
    };
    // The third has a version that is taken.
    let all: Vec<_> = sendings.iter().collect();
    let refused = refused_of(commit(&all).await).await;
    assert_eq!(refused, (409, "version-exists".to_owned(), sendings[2].id.clone()));
    assert_eq!(visible(&registry, &images).await, 0);
    assert_eq!(sendings[2].progress().await.state, UploadState::Refused);
    assert_eq!(sendings[0].progress().await.state, UploadState::Open);
    // Two of them claim one version.
    let twin = [large("example.com/team/app:1.0.0,os=linux,arch=amd64", 77, 1000)];
    sendings[2] = sent(&registry, &token, &twin).await.remove(0);
    let all: Vec<_> = sendings.iter().collect();
    let refused = refused_of(commit(&all).await).await;
    assert_eq!(refused, (409, "version-exists".to_owned(), sendings[2].id.clone()));
    // The second is not whole, though the first is; and what is said of it is wrong.
    let hole = [large("example.com/team/app:1.0.2", 78, 200_000)];
    let open = Sending::open(&registry, &token, &hole[0]).await;
    open.send_range(0, 100_000).await;
    let refused = refused_of(commit(&[&sendings[0], &open]).await).await;
    assert_eq!(refused, (409, "upload-gaps".to_owned(), open.id.clone()));
    let lie = CommitOne { file_digest: FileDigest::of_bytes(b"x"), ..one(&sendings[1]) };
    let body = CommitGroup { uploads: vec![one(&sendings[0]), lie] };
    let refused = refused_of(send(&registry, &token, &body).await).await;
    assert_eq!(refused, (422, "file-digest-mismatch".to_owned(), sendings[1].id.clone()));
    assert_eq!(visible(&registry, &images).await + visible(&registry, &twin).await, 0);
    assert_eq!(taken.files(&registry.data().join("blobs")).len(), 2);
    let others: usize =
        images.iter().map(|image| image.files(&registry.data().join("blobs/sha512")).len()).sum();
    assert_eq!(others, 0, "nothing is kept of images that were not published");
    // What is right of it is published without being sent again.
    let two = commit(&[&sendings[0], &sendings[1]]).await;
    assert_eq!(two.status(), StatusCode::CREATED);
    assert_eq!(visible(&registry, &images).await, 2);
}

#[tokio::test]
async fn group_tells_of_an_image_that_was_replaced_or_is_one_too_many() {
    let (registry, token) = started().await;
    allow_overwriting(&registry, "example.com/team").await;
    let images = architectures("1.0.0", 1);
    let sendings = sent(&registry, &token, &images).await;
    let all: Vec<_> = sendings.iter().collect();
    assert_eq!(commit(&all).await.status(), StatusCode::CREATED);
    let other = large(&images[1].reference, 99, 1000);
    registry.publish(&token, &other, team_key()).await;
    let ErrorBody { error, upload } = commit(&all).await.json().await.unwrap();
    assert_eq!((&*error.code, upload), ("image-replaced", Some(sendings[1].id.clone())));

    let keeping = Keeping {
        quotas: vec![toml::from_str("prefix = \"example.com/team/b\"\nimages = 1").unwrap()],
        ..Keeping::default()
    };
    let registry = Registry::start_with(|config| config.keeping = keeping).await;
    registry.add_key("example.com", team_key()).await;
    let token = registry.token("example.com").await;
    registry.publish(&token, &image("example.com/team/b/a:1", b"a"), team_key()).await;
    let images =
        ["a", "b/b", "c"].map(|name| large(&format!("example.com/team/{name}:1"), 1, 1000));
    let sendings = sent(&registry, &token, &images).await;
    let answer = commit(&sendings.iter().collect::<Vec<_>>()).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let ErrorBody { error, upload } = answer.json().await.unwrap();
    assert!(error.message.starts_with("none of the images was published: "), "{error:?}");
    assert_eq!((&*error.code, upload), ("quota-exceeded", Some(sendings[1].id.clone())));
    assert_eq!(visible(&registry, &images).await, 0);
}

#[tokio::test]
async fn group_takes_the_place_of_none_of_its_own() {
    let (registry, token) = started().await;
    allow_overwriting(&registry, "example.com/team").await;
    let reference = "example.com/team/app:1.0.0";
    let all = [large(reference, 1, 100_000), large(reference, 2, 100_000)];
    let published = sent(&registry, &token, &all[..1]).await;
    assert_eq!(published[0].commit().await.status(), StatusCode::CREATED);
    let later = sent(&registry, &token, &all).await;
    // The one that is there comes first, last, and by the upload that had brought it.
    for group in [[&later[0], &later[1]], [&later[1], &later[0]], [&published[0], &later[1]]] {
        let refused = commit(&group).await;
        assert_eq!(refused.status(), StatusCode::CONFLICT);
        let ErrorBody { error, .. } = refused.json().await.unwrap();
        assert_eq!(error.code, "version-exists");
        assert_eq!(visible(&registry, &all[..1]).await, 1);
        assert_eq!(visible(&registry, &all[1..]).await, 0);
    }
}

#[tokio::test]
async fn group_that_makes_no_sense_is_refused() {
    let (registry, token) = started().await;
    let images = architectures("1.0.0", 1);
    let sendings = sent(&registry, &token, &images[..1]).await;
    let group = |uploads: Vec<CommitOne>| CommitGroup { uploads };
    let first = one(&sendings[0]);
    let many = vec![first.clone(); GROUP_IMAGES + 1];
    let unknown = CommitOne { id: "0".repeat(64), ..first.clone() };
    let no_id = CommitOne { id: "x".to_owned(), ..first.clone() };
    for (uploads, status, code) in [
        (vec![], 400, "group-size"),
        (many, 400, "group-size"),
        (vec![first.clone(), first.clone()], 400, "upload-twice"),
        (vec![first.clone(), unknown], 404, "upload-unknown"),
        (vec![first.clone(), no_id], 404, "upload-unknown"),
    ] {
        let answer = send(&registry, &token, &group(uploads)).await;
        assert_eq!(refused(answer).await, (status, code.to_owned()));
    }
    let array = (&first.id, &first.file_digest, &first.image_id);
    for body in [
        serde_json::json!({"uploads": [{}]}),
        serde_json::json!({"uploads": [array]}),
        serde_json::json!([[first]]),
    ] {
        let answer = send(&registry, &token, &body).await;
        assert_eq!(refused(answer).await, (400, "request-malformed".to_owned()), "{body}");
    }
    assert_eq!(send(&registry, "x", &group(vec![first.clone()])).await.status(), 401);
    let stranger = registry.token("example.com").await;
    let answer = send(&registry, &stranger, &group(vec![first])).await;
    assert_eq!(refused(answer).await, (404, "upload-unknown".to_owned()));
    assert_eq!(visible(&registry, &images).await, 0);
}

/// A further node on the same catalogue and the same blobs.
async fn second_node(first: &Registry) -> Registry {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for shared in ["blobs", "trustedkeys"] {
        std::os::unix::fs::symlink(first.data().join(shared), data.join(shared)).unwrap();
    }
    let place = first.place().await;
    let database = place
        .database
        .unwrap_or_else(|| registry::DatabaseUrl::file(&first.data().join("gantry.db")).into());
    Registry::start_in(folder, |config| config.database = Some(database)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_what_they_hold() {
    let (first, token) = started().await;
    let second = second_node(&first).await;
    for round in 0..4 {
        let image = large(&format!("example.com/team/a:{round}"), round, 700_000);
        let total = image.bytes.len();
        let here = Sending::open(&first, &token, &image).await;
        let there = here.on(&second);
        for (at, begin) in (0..total).step_by(100_000).enumerate() {
            let node = if at % 2 == 0 { &here } else { &there };
            node.send_range(begin, total.min(begin + 100_000)).await;
        }
        assert_eq!(here.progress().await, there.progress().await);
        // Both at once, then each again.
        let (one, two) = tokio::join!(here.commit(), there.commit());
        let statuses = [one.status().as_u16(), two.status().as_u16()];
        assert!(matches!(statuses, [200, 201] | [201, 200]), "{statuses:?}");
        let (one, two): (Pushed, Pushed) = (one.json().await.unwrap(), two.json().await.unwrap());
        assert_eq!(Pushed { created: false, ..one }, Pushed { created: false, ..two });
        for node in [&here, &there] {
            assert_eq!(node.commit().await.status(), StatusCode::OK);
            node.assert_served().await;
        }
        no_parts(&first).await;
        assert_eq!(image.files(&first.data().join("blobs")).len(), 2);
    }
    // A node that starts takes nothing from under the others.
    let images = architectures("2.0.0", 20);
    let sendings = sent(&first, &token, &images).await;
    let second = Registry::start_in(second.stop().await, {
        let database = first.place().await.database;
        let file =
            registry::Database::from(registry::DatabaseUrl::file(&first.data().join("gantry.db")));
        move |config| config.database = Some(database.unwrap_or(file))
    })
    .await;
    let there: Vec<_> = sendings.iter().map(|sending| sending.on(&second)).collect();
    assert_eq!(commit(&there.iter().collect::<Vec<_>>()).await.status(), StatusCode::CREATED);
    assert_eq!(visible(&first, &images).await, 3);
}
