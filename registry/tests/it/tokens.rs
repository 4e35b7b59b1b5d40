//! Tokens, as an administrator sees them.

use std::time::SystemTime;

use registry::{Place, admin};

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
    registry.add_key("example.com", team_key());
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
            prefix: "example.com".parse().unwrap(),
            actions: vec![registry::Action::Push],
            lifetime: None,
        };
        admin::create_token(&place, new, SystemTime::now())
    });
    for made in futures_util::future::join_all(made).await {
        made.unwrap();
    }
    assert_eq!(admin::tokens(&place).await.unwrap().len(), 4);
}
