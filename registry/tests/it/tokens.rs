//! Tokens, as an administrator sees them.

use std::time::SystemTime;

use aci::push::Upload;
use registry::admin::{NewToken, Rotation};
use registry::{Action, Grant, Place, admin};
use reqwest::StatusCode;

use crate::fixture::*;

#[tokio::test]
async fn token_is_kept_as_a_hash_only() {
    let registry = Registry::start().await;
    let (token, id) = registry.token_for("example.com", None).await;
    let folder = registry.stop().await;
    let secret = token.strip_prefix("gantry_").unwrap().as_bytes();
    for file in files_below(folder.path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{file:?}");
    }
    let tokens = admin::tokens(&place(folder.path()).await).await.unwrap();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].id, id);
}

#[tokio::test]
async fn token_tells_when_it_was_used() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let (token, _) = registry.token_for("example.com", Some(DAY)).await;
    let used = async || admin::tokens(&registry.place().await).await.unwrap()[0].last_used;
    assert_eq!(used().await, None);
    registry.create(&token, &sign(team_key(), b"x")).await;
    let first = used().await.unwrap();
    *registry.time.lock().unwrap() += DAY / 2;
    registry.create(&token, &sign(team_key(), b"x")).await;
    assert!(used().await.unwrap() > first);
}

#[tokio::test]
async fn token_is_revoked_once() {
    let registry = Registry::start().await;
    let (_, id) = registry.token_for("example.com", None).await;
    let revoke = async || {
        admin::revoke_token(&registry.place().await, &id, SystemTime::now()).await.unwrap()
    };
    assert!(revoke().await);
    assert!(!revoke().await);
    let unknown = "00000000".parse().unwrap();
    assert!(
        !admin::revoke_token(&registry.place().await, &unknown, SystemTime::now()).await.unwrap()
    );
}

#[tokio::test]
async fn tokens_can_be_made_before_and_beside_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let Place { database, .. } = place(folder.path()).await;
    let place = Place { data: folder.path().join("deep/data"), database };
    // Several at once on no database yet.
    let made = (0..4).map(|_| {
        let new = admin::NewToken {
            name: String::new(),
            grant: registry::Grant::new(
                vec!["example.com".parse().unwrap()],
                vec![registry::Action::Push],
            ),
            lifetime: None,
        };
        admin::create_token(&place, new, SystemTime::now())
    });
    for made in futures_util::future::join_all(made).await {
        made.unwrap();
    }
    assert_eq!(admin::tokens(&place).await.unwrap().len(), 4);
}

#[tokio::test]
async fn token_is_good_below_each_of_its_prefixes() {
    let registry = Registry::start().await;
    registry.add_key("example.com", team_key()).await;
    let prefixes = ["example.com/a", "example.com/b"].map(|p| p.parse().unwrap()).to_vec();
    let new = NewToken {
        name: "ci of two teams".to_owned(),
        grant: Grant::new(prefixes, vec![Action::Read, Action::Push]),
        lifetime: None,
    };
    let place = registry.place().await;
    let (token, _) = admin::create_token(&place, new, SystemTime::now()).await.unwrap();
    for name in ["example.com/a", "example.com/b/c"] {
        registry.publish(token.reveal(), &image(&format!("{name}:1"), b"x"), team_key()).await;
    }
    let other = image("example.com/c:1", b"x");
    let response = registry.push(token.reveal(), &other, &sign(team_key(), &other.bytes)).await;
    let (status, refusal) = refusal(response).await;
    assert_eq!((status, refusal.code.as_str()), (403, "name-not-allowed"));
    assert_eq!(refusal.wanted, "a name at or under example.com/a, example.com/b");
    assert_eq!(admin::tokens(&place).await.unwrap()[0].name, "ci of two teams");
}

#[tokio::test]
async fn token_that_is_rotated_has_two_secrets_for_a_time() {
    let (registry, _) = started().await;
    let image = hello();
    let signature = sign(team_key(), &image.bytes);
    let (old, id) = registry.token_for("example.com", Some(3 * DAY)).await;
    let upload: Upload = registry.create(&old, &signature).await.json().await.unwrap();
    let place = registry.place().await;
    let rotate = async |grace, lifetime| {
        let now = *registry.time.lock().unwrap();
        let rotation = Rotation { grace, lifetime };
        let rotated = admin::rotate_token(&place, &id, rotation, now).await.unwrap();
        rotated.map(|(token, info)| (token.reveal().to_owned(), info))
    };
    let (new, info) = rotate(DAY, None).await.unwrap();
    assert_eq!(info.id, id);
    // It is the same caller, whose uploads stay its own.
    let sent = registry.send(&new, &upload.path, image.bytes.clone()).await;
    assert_eq!(sent.status(), StatusCode::CREATED);
    let good = async |token: &str| registry.create(token, &signature).await.status();
    assert_eq!(good(&old).await, StatusCode::CREATED);
    *registry.time.lock().unwrap() += DAY + DAY / 24;
    assert_eq!(good(&old).await, StatusCode::UNAUTHORIZED);
    assert_eq!(good(&new).await, StatusCode::CREATED);
    // An old secret is not good for longer than it would have been.
    let (newer, _) = rotate(10 * DAY, Some(None)).await.unwrap();
    *registry.time.lock().unwrap() += 2 * DAY;
    assert_eq!(good(&new).await, StatusCode::UNAUTHORIZED);
    assert_eq!(good(&newer).await, StatusCode::CREATED);
    // One that has expired has no secret that would be good; given more time, it has.
    let (last, _) = rotate(DAY, Some(Some(DAY))).await.unwrap();
    *registry.time.lock().unwrap() += 2 * DAY;
    assert!(rotate(DAY, None).await.is_none());
    assert_eq!(good(&last).await, StatusCode::UNAUTHORIZED);
    let (newer, _) = rotate(DAY, Some(None)).await.unwrap();
    assert_eq!(good(&newer).await, StatusCode::CREATED);
    // And none of them is once the token is revoked.
    let (newest, _) = rotate(DAY, None).await.unwrap();
    assert!(admin::revoke_token(&place, &id, SystemTime::now()).await.unwrap());
    for token in [&old, &new, &newer, &newest] {
        assert_eq!(good(token).await, StatusCode::UNAUTHORIZED);
    }
    assert!(rotate(DAY, None).await.is_none());
}
