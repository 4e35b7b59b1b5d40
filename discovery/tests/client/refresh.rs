//! News of trusted keys: when a domain is asked, and what its answer can do.

use std::time::{Duration, SystemTime};

use discovery::Kind;
use discovery::refresh::RefreshError;
use keys::{
    Interval, NotTaken, PrefixPolicy, RefreshOptions, RefreshOutcome, Refreshed, Scope, TrustStore,
};

use super::support::{Author, Reply, World, told};

const TEAM: &str = "example.com/team";
const HOUR: Duration = Duration::from_secs(3600);

/// A world whose site publishes keys, and a store that trusts `author` for [`TEAM`].
async fn world(author: &Author, published: &[&Author]) -> (World, TrustStore) {
    let world = World::new().await;
    let tag = "<meta name=ac-discovery-pubkeys content='example.com https://example.com/k.asc'>";
    world.put("/?ac-discovery=1", Reply::ok(tag));
    let keys: Vec<u8> = published.iter().flat_map(|author| author.public.clone()).collect();
    world.put("/k.asc", Reply::ok(keys));
    let store = TrustStore::open(&world.folder.path().join("trust"));
    let scope = Scope::Prefix(TEAM.parse().unwrap());
    store.add(&scope, &author.certificate, &aci::Limits::default()).unwrap();
    (world, store)
}

fn asked(world: &World) -> usize {
    world.server.targets().iter().filter(|target| *target == "/k.asc").count()
}

#[tokio::test]
async fn refresh_on_schedule_asks_once_in_an_interval_whatever_comes_of_it() {
    let author = Author::new("a <a@example.com>");
    let (world, store) = world(&author, &[&author]).await;
    let name = "example.com/team/hello".parse().unwrap();
    let start = SystemTime::now();
    let refresh = |after| {
        let (client, store, name) = (&world.client, &store, &name);
        async move {
            let daily = Interval::default();
            client.refresh_on_schedule(store, name, daily, start + after).await.unwrap()
        }
    };
    let all = refresh(HOUR).await;
    let Ok(Refreshed::Asked { keys, .. }) = &all[0].outcome else { panic!("{all:?}") };
    assert_eq!(keys[0].outcome, RefreshOutcome::Unchanged);
    assert_eq!(asked(&world), 1);
    assert!(refresh(HOUR * 24).await.is_empty());
    assert_eq!(asked(&world), 1);
    // A domain that fails is asked no more often than one that answers.
    world.put("/k.asc", Reply::absent());
    let all = refresh(HOUR * 25).await;
    let error = all[0].outcome.as_ref().unwrap_err();
    assert!(matches!(error, RefreshError::Published(_)), "{error}");
    assert_eq!(error.kind(), Kind::NotFound);
    told(error);
    assert_eq!(asked(&world), 2);
    assert!(refresh(HOUR * 26).await.is_empty());
    assert_eq!(asked(&world), 2);
    // What was trusted stays trusted.
    let (keyring, _) = store.keyring(&aci::Limits::default()).unwrap();
    assert_eq!(keyring.trusted_for(&name).count(), 1);
}

#[tokio::test]
async fn refresh_gives_a_domains_own_key_no_trust() {
    let (author, thief) = (Author::new("a <a@example.com>"), Author::new("a <a@example.com>"));
    let (world, store) = world(&author, &[&thief]).await;
    let options = RefreshOptions::at(SystemTime::now());
    let prefix = TEAM.parse().unwrap();
    let refreshed = world.client.refresh_keys(&store, &prefix, &options).await.unwrap();
    let Refreshed::Asked { keys, unpublished } = refreshed else { panic!("nothing is pinned") };
    assert_eq!(keys[0].outcome, RefreshOutcome::Offered(NotTaken::NotCertified));
    assert_eq!(unpublished, [author.fingerprint()]);
    let (keyring, _) = store.keyring(&aci::Limits::default()).unwrap();
    let trusted: Vec<_> = keyring.trusted_for(&prefix).map(|c| *c.fingerprint()).collect();
    assert_eq!(trusted, [author.fingerprint()]);
    // Asked for by hand, it counts as asked.
    assert_eq!(store.last_asked(&prefix), Some(options.now));
}

#[tokio::test]
async fn refresh_does_not_even_ask_for_a_pinned_prefix() {
    let author = Author::new("a <a@example.com>");
    let (world, store) = world(&author, &[&author]).await;
    let prefix = TEAM.parse().unwrap();
    let pinned = PrefixPolicy { pinned: Some(true), ..PrefixPolicy::default() };
    store.set_policy(&prefix, &pinned).unwrap();
    let options = RefreshOptions::at(SystemTime::now());
    let refreshed = world.client.refresh_keys(&store, &prefix, &options).await.unwrap();
    assert!(matches!(refreshed, Refreshed::Pinned));
    let daily = Interval::default();
    let all = world.client.refresh_on_schedule(&store, &prefix, daily, options.now).await.unwrap();
    assert!(all.is_empty());
    assert!(world.server.targets().is_empty());
}
