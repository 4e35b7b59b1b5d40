//! Users: who shows a name and a password.

use std::time::SystemTime;

use aci::push::Upload;
use registry::{Action, Grant, admin};
use reqwest::{Response, StatusCode};

use crate::fixture::*;

const PASSWORD: &str = "correct horse battery";

async fn add(registry: &Registry, name: &str, prefix: &str, actions: &[Action]) {
    let grant = Grant::new(vec![prefix.parse().unwrap()], actions.to_vec());
    let password = PASSWORD.parse().unwrap();
    let (place, name) = (registry.place().await, name.parse().unwrap());
    let added = admin::add_user(&place, name, &password, grant, SystemTime::now()).await.unwrap();
    assert!(added.is_some());
}

/// Begins an upload as a user.
async fn create(registry: &Registry, user: &str, password: &str, signature: &[u8]) -> Response {
    let signature = String::from_utf8_lossy(signature).into_owned();
    let body = aci::push::CreateUpload { signature, file_bytes: None, file_digest: None };
    let url = registry.url("/-/api/v1/uploads");
    let request = registry.client.post(url).basic_auth(user, Some(password)).json(&body);
    request.send().await.unwrap()
}

async fn send(registry: &Registry, user: &str, upload: &Upload, image: &Image) -> Response {
    let request = registry.client.put(registry.url(&upload.path)).basic_auth(user, Some(PASSWORD));
    request.body(image.bytes.clone()).send().await.unwrap()
}

#[tokio::test]
async fn user_pushes_with_a_password() {
    let (registry, token) = started().await;
    add(&registry, "alice", "example.com/team", &[Action::Push]).await;
    add(&registry, "bob", "example.com/team", &[Action::Push]).await;
    add(&registry, "carol", "example.com/team", &[Action::Read]).await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    let created = create(&registry, "alice", PASSWORD, &signature).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let upload: Upload = created.json().await.unwrap();
    // An upload is the user's who opened it.
    assert_eq!(send(&registry, "bob", &upload, &image).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(send(&registry, "carol", &upload, &image).await.status(), StatusCode::FORBIDDEN);
    let other = registry.send(&token, &upload.path, image.bytes.clone()).await;
    assert_eq!(other.status(), StatusCode::NOT_FOUND);
    assert_eq!(send(&registry, "alice", &upload, &image).await.status(), StatusCode::CREATED);
    // Names are those of the prefix.
    let other = crate::fixture::image("example.com/team2:1", b"x");
    registry.add_key("example.com", team_key()).await;
    let created = create(&registry, "alice", PASSWORD, &sign(team_key(), &other.bytes)).await;
    let upload: Upload = created.json().await.unwrap();
    let refused_name = refused(send(&registry, "alice", &upload, &other).await).await;
    assert_eq!(refused_name, (403, "name-not-allowed".to_owned()));
}

#[tokio::test]
async fn user_with_another_password_is_told_the_same_as_nobody() {
    let (registry, _) = started().await;
    add(&registry, "alice", "example.com/team", &[Action::Push]).await;
    let signature = sign(team_key(), b"x");
    let mut answers = Vec::new();
    for (user, password) in
        [("alice", "wrong"), ("alice", ""), ("mallory", PASSWORD), ("No User", PASSWORD)]
    {
        let response = create(&registry, user, password, &signature).await;
        assert!(response.headers().contains_key("www-authenticate"));
        answers.push(refusal(response).await);
    }
    assert_eq!((answers[0].0, answers[0].1.code.as_str()), (401, "user-unknown"));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn user_whose_password_is_changed_or_who_is_removed_is_no_longer_one() {
    let (registry, _) = started().await;
    add(&registry, "alice", "example.com/team", &[Action::Push]).await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    let created = create(&registry, "alice", PASSWORD, &signature).await;
    let upload: Upload = created.json().await.unwrap();
    let place = registry.place().await;
    let alice = "alice".parse().unwrap();
    let other = "another horse battery";
    let now = SystemTime::now();
    assert!(admin::change_password(&place, &alice, &other.parse().unwrap(), now).await.unwrap());
    // It was right a moment ago, and remembered.
    let sent = send(&registry, "alice", &upload, &image).await;
    assert_eq!(refused(sent).await, (401, "user-unknown".to_owned()));
    assert_eq!(create(&registry, "alice", other, &signature).await.status(), StatusCode::CREATED);
    assert!(admin::remove_user(&place, &alice, SystemTime::now()).await.unwrap());
    let gone = create(&registry, "alice", other, &signature).await;
    assert_eq!(refused(gone).await, (401, "user-unknown".to_owned()));
    assert!(!admin::remove_user(&place, &alice, SystemTime::now()).await.unwrap());
    assert!(!admin::change_password(&place, &alice, &other.parse().unwrap(), now).await.unwrap());
    registry.assert_absent(&image).await;
}

/// Removed while the image is under way, the user publishes nothing.
#[tokio::test]
async fn user_who_is_removed_meanwhile_publishes_nothing() {
    let (registry, _) = started().await;
    add(&registry, "alice", "example.com/team", &[Action::Push]).await;
    let image = hello();
    let created = create(&registry, "alice", PASSWORD, &sign(team_key(), &image.bytes)).await;
    let upload: Upload = created.json().await.unwrap();
    let request = registry.client.put(registry.url(&upload.path));
    let request = request.basic_auth("alice", Some(PASSWORD));
    let place = registry.place().await;
    let removed = async {
        let alice = "alice".parse().unwrap();
        assert!(admin::remove_user(&place, &alice, SystemTime::now()).await.unwrap());
    };
    let response = send_and_meanwhile(request, &image, removed).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    registry.assert_absent(&image).await;
}

#[tokio::test]
async fn user_of_a_name_that_another_had_has_none_of_the_others_uploads() {
    let (registry, _) = started().await;
    add(&registry, "alice", "example.com/team", &[Action::Push]).await;
    let image = hello();
    let created = create(&registry, "alice", PASSWORD, &sign(team_key(), &image.bytes)).await;
    let upload: Upload = created.json().await.unwrap();
    let (place, alice) = (registry.place().await, "alice".parse().unwrap());
    assert!(admin::remove_user(&place, &alice, SystemTime::now()).await.unwrap());
    add(&registry, "alice", "example.com/team", &[Action::Push]).await;
    let sent = send(&registry, "alice", &upload, &image).await;
    assert_eq!(refused(sent).await, (404, "upload-unknown".to_owned()));
}

#[tokio::test]
async fn user_is_kept_without_the_password() {
    let registry = Registry::start().await;
    add(&registry, "alice", "example.com/team", &[Action::Push]).await;
    let place = registry.place().await;
    let users = admin::users(&place).await.unwrap();
    assert_eq!((users.len(), users[0].name.as_str()), (1, "alice"));
    let password = PASSWORD.parse().unwrap();
    let again = admin::add_user(
        &place,
        "alice".parse().unwrap(),
        &password,
        Grant::default(),
        SystemTime::now(),
    );
    assert!(again.await.unwrap().is_none());
    for file in files_below(registry.stop().await.path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(PASSWORD.len()).any(|w| w == PASSWORD.as_bytes()), "{file:?}");
    }
}
