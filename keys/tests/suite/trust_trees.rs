//! Several trees of trusted keys: what a later one says counts, and nothing that is known of
//! a key is lost on the way. And a tree that rkt and gpg have made.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use keys::{
    Certificate, Fingerprint, Liveness, PrefixPolicy, Removal, Scope, TrustEntry, TrustStore,
};

use crate::gpg::revoke;
use crate::support::*;

const TEAM: &str = "example.com/team";

fn prefix(text: &str) -> Scope {
    Scope::Prefix(text.parse().unwrap())
}

/// Three trees: the vendor's, the system's, the user's.
struct Trees {
    folder: tempfile::TempDir,
}

impl Trees {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, tree: &str) -> PathBuf {
        self.folder.path().join(tree)
    }

    fn tree(&self, tree: &str) -> TrustStore {
        TrustStore::open(&self.path(tree))
    }

    fn all(&self) -> TrustStore {
        TrustStore::layered([self.path("vendor"), self.path("system")], self.path("user"))
    }

    /// Writes a file of a tree as a person would.
    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

fn trusted(store: &TrustStore, name: &str) -> Vec<Fingerprint> {
    let (keyring, _) = store.keyring(&limits()).unwrap();
    keyring.trusted_for(&name.parse().unwrap()).map(|c| *c.fingerprint()).collect()
}

#[test]
fn trees_add_up_and_a_later_one_masks() {
    let trees = Trees::new();
    let (one, other) = (&ED25519, &OTHER);
    trees.tree("vendor").add(&prefix(TEAM), &one.certificate, &limits()).unwrap();
    trees.tree("system").add(&Scope::Root, &other.certificate, &limits()).unwrap();
    let all = trees.all();
    assert_eq!(trusted(&all, TEAM).len(), 2);
    // In the same scope.
    trees.put(&format!("system/prefix.d/{TEAM}/{}", one.fingerprint), b"");
    assert_eq!(trusted(&all, TEAM), [other.fingerprint]);
    // The user says otherwise again.
    trees.tree("user").add(&prefix(TEAM), &one.certificate, &limits()).unwrap();
    assert_eq!(trusted(&all, TEAM).len(), 2);
    // A wider scope's key, for the narrower scope.
    trees.put(&format!("user/prefix.d/example.com/{}", other.fingerprint), b"");
    assert_eq!(trusted(&all, TEAM), [one.fingerprint]);
    assert_eq!(trusted(&all, "example.org"), [other.fingerprint]);
    let (entries, warnings) = all.list(&limits()).unwrap();
    assert_eq!(warnings, []);
    let of = |tree: &str| -> Vec<&TrustEntry> {
        entries.iter().filter(|entry| entry.tree == trees.path(tree)).collect()
    };
    let own = trees.path("user").join(format!("prefix.d/{TEAM}/{}", one.fingerprint));
    assert_eq!(of("vendor")[0].overridden_by, Some(own.clone()));
    assert_eq!((of("system").len(), of("user").len()), (2, 2));
    assert!(of("system").iter().any(|entry| entry.overridden_by == Some(own.clone())));
}

/// What the file of a later tree would have said cannot be told; that must not bring back what
/// it may have taken away.
#[test]
fn trees_file_that_cannot_be_read_hides_its_namesake() {
    let trees = Trees::new();
    let key = &ED25519;
    trees.tree("vendor").add(&prefix(TEAM), &key.certificate, &limits()).unwrap();
    trees.put(&format!("user/prefix.d/{TEAM}/{}", key.fingerprint), b"damaged");
    assert_eq!(trusted(&trees.all(), TEAM), []);
    assert_eq!(trees.all().keyring(&limits()).unwrap().1.len(), 1);
}

#[test]
fn trees_remove_writes_to_the_last_one_alone() {
    let trees = Trees::new();
    let key = &ED25519;
    trees.tree("vendor").add(&prefix(TEAM), &key.certificate, &limits()).unwrap();
    let before = files(&trees.path("vendor"));
    let all = trees.all();
    let remove = || all.remove(&prefix(TEAM), &key.fingerprint, &limits()).unwrap();
    let Removal::Masked { path, brought_by } = remove() else { panic!("it is the vendor's") };
    assert!(path.starts_with(trees.path("user")) && brought_by.starts_with(trees.path("vendor")));
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    assert_eq!(trusted(&all, TEAM), []);
    assert_eq!(remove(), Removal::Absent);
    assert_eq!(trusted(&all, TEAM), []);
    // Added again and removed again.
    all.add(&prefix(TEAM), &key.certificate, &limits()).unwrap();
    assert_eq!(trusted(&all, TEAM), [key.fingerprint]);
    assert!(matches!(remove(), Removal::Masked { .. }));
    // Masked where only a wider scope trusts it.
    assert!(all.mask(&prefix("example.com/team/x"), &key.fingerprint, &limits()).unwrap());
    assert!(!all.mask(&prefix("example.com/team/x"), &key.fingerprint, &limits()).unwrap());
    assert_eq!(files(&trees.path("vendor")), before);
    // What is of the last tree alone leaves no mask.
    all.add(&Scope::Root, &key.certificate, &limits()).unwrap();
    assert_eq!(all.remove(&Scope::Root, &key.fingerprint, &limits()).unwrap(), Removal::Removed);
}

/// A copy that does not know of a revocation cannot hide it, in whatever tree and scope it lies,
/// and removing the copy that knows it takes nothing back.
#[test]
fn trees_revocation_that_any_copy_knows_counts() {
    let trees = Trees::new();
    let gpg = Gpg::new();
    gpg.key("ann", "ed25519", "sign", january(), "0");
    let read = || Certificate::read_all(&gpg.public("ann"), &limits()).unwrap().remove(0);
    let fresh = read();
    revoke(&gpg, "ann", "1", day(5));
    let revoked = read();
    trees.tree("vendor").add(&prefix(TEAM), &revoked, &limits()).unwrap();
    trees.tree("user").add(&prefix(TEAM), &fresh, &limits()).unwrap();
    let is_revoked = || {
        let (entries, _) = trees.all().list(&limits()).unwrap();
        entries.iter().filter_map(|entry| entry.certificate.as_ref()).all(|c| c.revoked(day(9)))
    };
    assert!(is_revoked());
    let own = trees.tree("own");
    own.add(&prefix(TEAM), &revoked, &limits()).unwrap();
    own.remove(&prefix(TEAM), fresh.fingerprint(), &limits()).unwrap();
    own.add(&prefix("example.com/other"), &fresh, &limits()).unwrap();
    let (entries, _) = own.list(&limits()).unwrap();
    assert_eq!(entries.len(), 1);
    assert!(entries[0].certificate.as_ref().unwrap().revoked(day(9)));
}

#[test]
fn trees_policies_are_decided_setting_by_setting() {
    let trees = Trees::new();
    let team = TEAM.parse().unwrap();
    let set = |tree: &str, policy| trees.tree(tree).set_policy(&team, &policy).map(drop).unwrap();
    let two = 2.try_into().unwrap();
    set("vendor", PrefixPolicy { threshold: Some(two), pinned: Some(true), ..Default::default() });
    set("user", PrefixPolicy { pinned: Some(false), ..Default::default() });
    let policies = trees.all().policies().unwrap();
    assert_eq!(policies.threshold(&team).value, two);
    assert!(!policies.pinned(&team).value);
    assert!(policies.pinned(&team).by.unwrap().1.starts_with(trees.path("user")));
    // Only what the last tree says is taken back.
    assert!(trees.all().unset_policy(&team).unwrap());
    assert!(!trees.all().unset_policy(&team).unwrap());
    assert!(trees.all().policies().unwrap().pinned(&team).value);
}

/// Two key sets made by gpg, in a tree as rkt leaves it, on which nobody may write.
#[test]
fn tree_of_rkt_with_keys_of_gpg_is_used_unchanged() {
    let trees = Trees::new();
    let (one, other) = (Gpg::new(), Gpg::new());
    one.key("ann", "rsa2048", "cert", january(), "2y");
    one.run_at(day(1), &["--quick-add-key", &one.fingerprint("ann"), "rsa2048", "sign", "1y"]);
    one.key("root", "ed25519", "sign", january(), "0");
    other.key("bob", "ed25519", "sign", january(), "1y");
    other.run_at(day(1), &["--quick-add-uid", &other.fingerprint("bob"), "bob@example.org"]);
    let file = |gpg: &Gpg, user: &str| gpg.fingerprint(user).to_lowercase();
    trees.put(&format!("rkt/root.d/{}", file(&one, "root")), &one.public("root"));
    trees.put(&format!("rkt/prefix.d/{TEAM}/{}", file(&one, "ann")), &one.public("ann"));
    trees.put(&format!("rkt/prefix.d/example.org/{}", file(&other, "bob")), &other.public("bob"));
    set_modes(&trees.path("rkt"), 0o555, 0o444);
    let before = files(&trees.path("rkt"));
    let store = trees.tree("rkt");
    let (keyring, warnings) = store.keyring(&limits()).unwrap();
    assert_eq!(warnings, []);
    for (gpg, user, name, taken) in [
        (&one, "ann", "example.com/team/hello", true),
        (&one, "ann", "example.com/teamster", false),
        (&other, "bob", "example.org/x", true),
        (&other, "bob", "example.com/team", false),
        (&one, "root", "elsewhere.example/x", true),
    ] {
        let signature = gpg.sign(user, day(3), &[]);
        let good = keys::verify(
            DATA,
            &signature,
            &keyring,
            &keys::Policy::new(day(4), Liveness::AtSigning),
            &limits(),
        )
        .unwrap();
        assert_eq!(good.speaks_for(&name.parse().unwrap()), taken, "{user} {name}");
    }
    // As a tree that comes before one's own, it is added to, and not written to.
    let both = TrustStore::layered([trees.path("rkt")], trees.path("user"));
    let ann: Fingerprint = one.fingerprint("ann").parse().unwrap();
    assert!(matches!(both.remove(&prefix(TEAM), &ann, &limits()).unwrap(), Removal::Masked { .. }));
    assert_eq!(trusted(&both, TEAM).len(), 1);
    assert_eq!(files(&trees.path("rkt")), before);
    set_modes(&trees.path("rkt"), 0o755, 0o644);
}

fn set_modes(folder: &Path, folders: u32, files: u32) {
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { set_modes(&path, folders, files) } else { mode(&path, files) }
    }
    mode(folder, folders);
}

/// Every file below a folder: content, mode, time of change.
fn files(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::metadata(&path).unwrap();
        if metadata.is_dir() {
            all.extend(files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            all.insert(path, (bytes, metadata.permissions().mode(), metadata.modified().unwrap()));
        }
    }
    all
}
