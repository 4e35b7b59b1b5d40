//! What is taken of what a domain publishes: rotation by real gpg, and a domain that lies.

use std::fs;
use std::time::Duration;

use keys::{
    Certificate, Fingerprint, Interval, News, NotTaken, PrefixPolicy, RefreshOptions,
    RefreshOutcome, Refreshed, Scope, TrustStore,
};
use sequoia_openpgp::Packet;
use sequoia_openpgp::packet::UserID;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::SerializeInto;

use crate::gpg::revoke;
use crate::support::*;

const TEAM: &str = "example.com/team";

/// A store in which `ann` may sign for a prefix.
struct World {
    gpg: Gpg,
    store: TrustStore,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let gpg = Gpg::new();
        gpg.key("ann", "ed25519", "cert,sign", january(), "1y");
        let folder = tempfile::tempdir().unwrap();
        let store = TrustStore::open(&folder.path().join("trust"));
        let world = Self { gpg, store, folder };
        world.store.add(&world.scope(), &world.key("ann"), &limits()).unwrap();
        world
    }

    fn scope(&self) -> Scope {
        Scope::Prefix(TEAM.parse().unwrap())
    }

    fn key(&self, user: &str) -> Certificate {
        Certificate::read_all(&self.gpg.public(user), &limits()).unwrap().remove(0)
    }

    fn refresh(&self, offered: &[Certificate], options: &RefreshOptions) -> Refreshed {
        self.store.refresh(&TEAM.parse().unwrap(), offered, options, &limits()).unwrap()
    }

    /// What becomes of one key that is published on the tenth day.
    fn outcome(&self, offered: &Certificate) -> RefreshOutcome {
        let options = RefreshOptions::at(day(10));
        match self.refresh(std::slice::from_ref(offered), &options) {
            Refreshed::Asked { keys, .. } => keys[0].outcome.clone(),
            Refreshed::Pinned => panic!("nothing is pinned"),
        }
    }

    fn known(&self) -> Certificate {
        let (entries, warnings) = self.store.list(&limits()).unwrap();
        assert_eq!(warnings, []);
        let ann: Fingerprint = self.gpg.fingerprint("ann").parse().unwrap();
        entries.into_iter().find(|entry| entry.fingerprint == ann).unwrap().certificate.unwrap()
    }

    fn trusted(&self) -> Vec<Fingerprint> {
        let (keyring, _) = self.store.keyring(&limits()).unwrap();
        keyring.trusted_for(&TEAM.parse().unwrap()).map(|c| *c.fingerprint()).collect()
    }

    /// `by` signs the user IDs of `whom`.
    fn certify(&self, by: &str, whom: &str, at: u32) {
        let (by, whom) = (self.gpg.fingerprint(by), self.gpg.fingerprint(whom));
        self.gpg.run_at(day(at), &["--local-user", &by, "--quick-sign-key", &whom]);
    }
}

#[test]
fn refresh_takes_subkeys_expiry_and_revocations_and_an_old_copy_takes_nothing_back() {
    let world = World::new();
    let old = world.key("ann");
    assert_eq!(world.outcome(&old), RefreshOutcome::Unchanged);
    let ann = world.gpg.fingerprint("ann");
    world.gpg.run_at(day(2), &["--quick-add-key", &ann, "ed25519", "sign", "30d"]);
    let RefreshOutcome::Updated(changes) = world.outcome(&world.key("ann")) else { panic!() };
    let subkey = world.key("ann").subkey_fingerprints()[0];
    assert_eq!(changes, [News::SubkeyAdded(subkey)]);
    assert_eq!(world.outcome(&world.key("ann")), RefreshOutcome::Unchanged);
    world.gpg.run_at(day(3), &["--quick-set-expire", &ann, "2y"]);
    let RefreshOutcome::Updated(changes) = world.outcome(&world.key("ann")) else { panic!() };
    assert!(matches!(changes[..], [News::Expires { .. }]), "{changes:?}");
    let later = world.known().expires(day(10));
    assert_eq!(world.outcome(&old), RefreshOutcome::Unchanged);
    assert_eq!(world.known().expires(day(10)), later);
    assert_eq!(world.known().subkey_fingerprints(), [subkey]);
    // An earlier expiry is news as well.
    world.gpg.run_at(day(4), &["--quick-set-expire", &ann, "20d"]);
    assert!(matches!(world.outcome(&world.key("ann")), RefreshOutcome::Updated(_)));
    assert!(world.known().expires(day(10)) < later);
    revoke(&world.gpg, "ann", "1", day(5));
    let RefreshOutcome::Updated(changes) = world.outcome(&world.key("ann")) else { panic!() };
    assert_eq!(changes[0], News::Revoked);
    world.outcome(&old);
    assert!(world.known().revoked(day(10)));
    // The file rkt would read says so too; and adding an old copy by hand takes nothing back.
    let path = world.folder.path().join(format!("trust/prefix.d/{TEAM}/{}", old.fingerprint()));
    let file = Certificate::read_all(&fs::read(path).unwrap(), &limits()).unwrap();
    assert!(file[0].revoked(day(10)));
    world.store.remove(&world.scope(), old.fingerprint(), &limits()).unwrap();
    world.store.add(&world.scope(), &old, &limits()).unwrap();
    assert!(world.known().revoked(day(10)));
}

#[test]
fn refresh_takes_a_new_key_only_where_a_trusted_one_has_certified_it() {
    let world = World::new();
    world.gpg.key("new", "ed25519", "cert,sign", january(), "1y");
    world.gpg.key("stranger", "ed25519", "cert,sign", january(), "1y");
    let not_certified = RefreshOutcome::Offered(NotTaken::NotCertified);
    assert_eq!(world.outcome(&world.key("new")), not_certified);
    // By somebody nobody trusts; by somebody who is trusted elsewhere.
    world.certify("stranger", "new", 2);
    assert_eq!(world.outcome(&world.key("new")), not_certified);
    for scope in [Scope::Root, Scope::Prefix("example.com".parse().unwrap())] {
        world.store.add(&scope, &world.key("stranger"), &limits()).unwrap();
    }
    assert_eq!(world.outcome(&world.key("new")), not_certified);
    assert_eq!(world.trusted().len(), 2);
    world.certify("ann", "new", 3);
    let offered = [world.key("new")];
    let dry = RefreshOptions { dry_run: true, ..RefreshOptions::at(day(10)) };
    let Refreshed::Asked { keys, unpublished } = world.refresh(&offered, &dry) else { panic!() };
    let ann: Fingerprint = world.gpg.fingerprint("ann").parse().unwrap();
    assert_eq!(keys[0].outcome, RefreshOutcome::Certified(ann));
    assert_eq!(unpublished, [ann]);
    assert_eq!(world.trusted().len(), 2, "a dry run has changed something");
    assert_eq!(world.outcome(&offered[0]), RefreshOutcome::Certified(ann));
    assert_eq!(world.trusted().len(), 3);
    assert_eq!(world.outcome(&offered[0]), RefreshOutcome::Unchanged);
    assert!(world.trusted().contains(&ann), "what is not published any more stays trusted");
}

/// A stolen key that its owner has revoked vouches for nobody, even where the revocation comes
/// with the very answer that holds the thief's new key; neither does one that has expired, or a
/// certification that was taken back.
#[test]
fn refresh_believes_no_certifier_that_is_revoked_or_expired() {
    let world = World::new();
    world.gpg.key("new", "ed25519", "cert,sign", january(), "2y");
    world.certify("ann", "new", 2);
    let options = RefreshOptions::at(day(500));
    let new = [world.key("new")];
    let outcome = |refreshed| match refreshed {
        Refreshed::Asked { keys, .. } => keys.last().unwrap().outcome.clone(),
        Refreshed::Pinned => panic!("nothing is pinned"),
    };
    let not_certified = RefreshOutcome::Offered(NotTaken::NotCertified);
    assert_eq!(outcome(world.refresh(&new, &options)), not_certified, "an expired certifier");
    revoke(&world.gpg, "ann", "3", day(5));
    let both = [world.key("ann"), world.key("new")];
    let options = RefreshOptions::at(day(10));
    assert_eq!(outcome(world.refresh(&both, &options)), not_certified, "a retired certifier");
    assert_eq!(world.trusted().len(), 1);
}

#[test]
fn refresh_believes_no_certification_that_was_taken_back() {
    let world = World::new();
    world.gpg.key("new", "ed25519", "cert,sign", january(), "1y");
    world.certify("ann", "new", 2);
    let (ann, new) = (world.gpg.fingerprint("ann"), world.gpg.fingerprint("new"));
    world.gpg.run_at(day(4), &["--quick-revoke-sig", &new, &ann]);
    let outcome = world.outcome(&world.key("new"));
    assert_eq!(outcome, RefreshOutcome::Offered(NotTaken::NotCertified));
}

#[test]
fn refresh_takes_nothing_for_a_pinned_prefix() {
    let world = World::new();
    let pinned = PrefixPolicy { pinned: Some(true), ..Default::default() };
    world.store.set_policy(&"example.com".parse().unwrap(), &pinned).unwrap();
    let ann = world.gpg.fingerprint("ann");
    world.gpg.run_at(day(2), &["--quick-add-key", &ann, "ed25519", "sign", "30d"]);
    let refreshed = world.refresh(&[world.key("ann")], &RefreshOptions::at(day(10)));
    assert!(matches!(refreshed, Refreshed::Pinned));
    assert_eq!(world.known().subkey_fingerprints(), []);
}

#[test]
fn refresh_takes_what_the_operator_agrees_to_and_gives_no_masked_key_its_trust_back() {
    let world = World::new();
    world.gpg.key("new", "ed25519", "cert,sign", january(), "1y");
    world.certify("ann", "new", 2);
    let new = world.key("new");
    world
        .store
        .mask(&Scope::Prefix("example.com".parse().unwrap()), new.fingerprint(), &limits())
        .unwrap();
    assert_eq!(world.outcome(&new), RefreshOutcome::Offered(NotTaken::Masked));
    let consent =
        RefreshOptions { consent: vec![*new.fingerprint()], ..RefreshOptions::at(day(10)) };
    let Refreshed::Asked { keys, .. } = world.refresh(std::slice::from_ref(&new), &consent) else {
        panic!()
    };
    assert_eq!(keys[0].outcome, RefreshOutcome::Agreed);
    assert!(world.trusted().contains(new.fingerprint()));
}

#[test]
fn refresh_takes_no_new_key_that_cannot_sign() {
    let world = World::new();
    world.gpg.key("new", "ed25519", "cert,sign", january(), "5d");
    world.certify("ann", "new", 2);
    let outcome = world.outcome(&world.key("new"));
    assert_eq!(outcome, RefreshOutcome::Offered(NotTaken::CannotSign));
}

/// A domain can write what it likes on a copy of a key. None of it is kept: it could fill the
/// file until a revocation had no room any more, or the key could not be read at all.
#[test]
fn refresh_keeps_nothing_a_stranger_has_written_on_a_key() {
    let world = World::new();
    let cert = sequoia_openpgp::Cert::from_bytes(&world.gpg.public("ann")).unwrap();
    let forged = (0..400).map(|at| Packet::from(UserID::from(format!("{at}{}", "x".repeat(900)))));
    let (bloated, _) = cert.insert_packets(forged.collect::<Vec<_>>()).unwrap();
    let bytes = bloated.armored().to_vec().unwrap();
    assert!(bytes.len() > 400_000);
    let bloated = Certificate::read_all(&bytes, &limits()).unwrap().remove(0);
    assert_eq!(world.outcome(&bloated), RefreshOutcome::Unchanged);
    assert_eq!(world.known().user_ids(), ["ann"]);
    revoke(&world.gpg, "ann", "1", day(5));
    assert!(matches!(world.outcome(&world.key("ann")), RefreshOutcome::Updated(_)));
    assert!(world.known().revoked(day(10)));
}

/// A revocation is taken though the file is nearly as large as one may be.
#[test]
fn refresh_finds_room_for_a_revocation() {
    let world = World::new();
    let tight = aci::Limits { key_bytes: world.known().armored().len() as u64 + 900, ..limits() };
    let ann = world.gpg.fingerprint("ann");
    for _ in 0..6 {
        world.gpg.run_at(day(2), &["--quick-add-key", &ann, "ed25519", "sign", "30d"]);
    }
    revoke(&world.gpg, "ann", "1", day(5));
    let options = RefreshOptions::at(day(10));
    world.store.refresh(&TEAM.parse().unwrap(), &[world.key("ann")], &options, &tight).unwrap();
    assert!(world.known().revoked(day(10)));
    assert_eq!(world.known().subkey_fingerprints(), []);
}

/// News of a key that an earlier tree brings do not copy it into the last tree: whoever
/// brought it can still take it back.
#[test]
fn refresh_learns_of_a_vendors_key_without_adopting_it() {
    let world = World::new();
    let vendor = world.folder.path().join("trust");
    let store = TrustStore::layered([vendor.clone()], world.folder.path().join("own"));
    revoke(&world.gpg, "ann", "1", day(5));
    let options = RefreshOptions::at(day(10));
    store.refresh(&TEAM.parse().unwrap(), &[world.key("ann")], &options, &limits()).unwrap();
    let (entries, _) = store.list(&limits()).unwrap();
    assert!(entries[0].certificate.as_ref().unwrap().revoked(day(10)));
    assert!(!world.known().revoked(day(10)), "the vendor's tree was written to");
    fs::remove_dir_all(vendor.join("prefix.d")).unwrap();
    assert!(store.keyring(&limits()).unwrap().0.is_empty());
}

#[test]
fn schedule_asks_no_more_often_than_its_interval() {
    let world = World::new();
    let (name, team) = ("example.com/team/hello".parse().unwrap(), TEAM.parse().unwrap());
    let hour = Duration::from_secs(3600);
    let due = |now, default| world.store.due(&name, default, now, &limits()).unwrap();
    let daily = Interval::default();
    assert_eq!(due(day(1), Interval::Never), []);
    assert_eq!(due(day(1), daily), [team]);
    assert_eq!(world.store.last_asked(&TEAM.parse().unwrap()), Some(day(1)));
    assert_eq!(due(day(1), daily), []);
    assert_eq!(due(day(2) - hour, daily), []);
    assert_eq!(due(day(2), daily).len(), 1);
    // A name no prefix covers has nobody to be asked.
    let other = "example.com/teamster".parse().unwrap();
    assert_eq!(world.store.due(&other, daily, day(9), &limits()).unwrap(), []);
    // The prefix's own interval goes first.
    let set = |policy| world.store.set_policy(&TEAM.parse().unwrap(), &policy).map(drop).unwrap();
    set(PrefixPolicy { refresh: Some("2h".parse().unwrap()), ..Default::default() });
    assert_eq!(due(day(2) + hour, daily), []);
    assert_eq!(due(day(2) + hour * 2, Interval::Never).len(), 1);
    set(PrefixPolicy { pinned: Some(true), ..Default::default() });
    assert_eq!(due(day(5), daily), []);
    set(PrefixPolicy { pinned: Some(false), ..Default::default() });
    // A clock that was wrong, and a file that is damaged, ask at once, and once.
    assert_eq!(due(day(1), daily).len(), 1);
    fs::write(world.folder.path().join("trust/.refresh.toml"), "x").unwrap();
    assert_eq!(due(day(1), daily).len(), 1);
    assert_eq!(due(day(1), daily), []);
}

#[test]
fn schedule_lets_one_of_many_ask() {
    let world = World::new();
    let name = "example.com/team/hello".parse().unwrap();
    let asked: usize = std::thread::scope(|threads| {
        let ask = || world.store.due(&name, Interval::default(), day(1), &limits()).unwrap().len();
        let all: Vec<_> = (0..8).map(|_| threads.spawn(ask)).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(asked, 1);
}
