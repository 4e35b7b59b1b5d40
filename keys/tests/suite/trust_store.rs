//! The trusted keys on disk.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use keys::{Certificate, Keyring, Scope, TrustStore};

use crate::support::*;

fn prefix(text: &str) -> Scope {
    Scope::Prefix(text.parse().unwrap())
}

fn open(folder: &Path) -> TrustStore {
    TrustStore::open(&folder.join("trustedkeys"))
}

fn trusted(keyring: &Keyring, name: &str) -> Vec<String> {
    keyring.trusted_for(&name.parse().unwrap()).map(|c| c.fingerprint().to_string()).collect()
}

#[test]
fn trust_store_has_the_layout_of_rkt() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    assert!(store.keyring(&limits()).unwrap().0.is_empty());
    let (one, other) = (&ED25519.certificate, &OTHER.certificate);
    let added = store.add(&prefix("example.com/team"), one, &limits()).unwrap();
    assert!(added.new);
    assert!(store.add(&Scope::Root, other, &limits()).unwrap().new);
    let root = folder.path().join("trustedkeys");
    let path = root.join("prefix.d/example.com/team").join(one.fingerprint().to_string());
    assert_eq!(added.path, path);
    assert_eq!(fs::read(&path).unwrap(), one.armored());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o644);
    for folder in ["", "root.d", "prefix.d", "prefix.d/example.com", "prefix.d/example.com/team"] {
        assert_eq!(mode(&root.join(folder)), 0o755, "{folder}");
    }
    assert!(root.join("root.d").join(other.fingerprint().to_string()).is_file());

    let (keyring, warnings) = store.keyring(&limits()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(trusted(&keyring, "example.com/team/hello").len(), 2);
    assert_eq!(trusted(&keyring, "example.com/teamster"), [other.fingerprint().to_string()]);
}

#[test]
fn trust_store_adds_twice_and_learns_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let gpg = Gpg::new();
    gpg.key("one", "ed25519", "sign", january(), "10d");
    let read = || Certificate::read_all(&gpg.public("one"), &limits()).unwrap().remove(0);
    let young = read();
    gpg.run_at(day(5), &["--quick-set-expire", &gpg.fingerprint("one"), "1y"]);
    let renewed = read();
    let scope = prefix("example.com");
    assert!(store.add(&scope, &young, &limits()).unwrap().new);
    assert!(!store.add(&scope, &young, &limits()).unwrap().new);
    let expires = || {
        let (entries, warnings) = store.list(&limits()).unwrap();
        assert_eq!((entries.len(), warnings.len()), (1, 0));
        entries[0].certificate.as_ref().unwrap().expires(day(6))
    };
    assert_eq!(expires(), Some(day(10)));
    assert!(!store.add(&scope, &renewed, &limits()).unwrap().new);
    let later = expires();
    assert!(later > Some(day(300)), "{later:?}");
    // An old copy takes nothing back.
    store.add(&scope, &young, &limits()).unwrap();
    assert_eq!(expires(), later);
}

#[test]
fn trust_store_removes_and_leaves_no_empty_folders() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let key = &ED25519.certificate;
    let scope = prefix("example.com/a/b");
    let remove =
        |scope: &Scope| store.remove(scope, key.fingerprint(), &limits()).unwrap().happened();
    assert!(!remove(&scope));
    store.add(&scope, key, &limits()).unwrap();
    store.add(&prefix("example.com"), key, &limits()).unwrap();
    store.add(&Scope::Root, key, &limits()).unwrap();
    assert!(!remove(&prefix("example.com/a")));
    assert!(remove(&scope));
    assert!(!remove(&scope));
    let prefixes = folder.path().join("trustedkeys/prefix.d");
    assert!(!prefixes.join("example.com/a").exists());
    assert!(prefixes.join("example.com").exists());
    assert!(remove(&prefix("example.com")));
    assert!(remove(&Scope::Root));
    assert!(store.keyring(&limits()).unwrap().0.is_empty());
    store.add(&scope, key, &limits()).unwrap();
}

#[test]
fn trust_store_passes_over_bad_files_and_keeps_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (one, other) = (&ED25519, &OTHER);
    store.add(&prefix("example.com"), &one.certificate, &limits()).unwrap();
    let root = folder.path().join("trustedkeys");
    let put = |path: &str, bytes: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let name = other.fingerprint.to_string();
    put("prefix.d/example.com/README", b"hello");
    put("prefix.d/example.com/0123456789abcdef0123456789abcdef01234567", &other.public);
    put(&format!("prefix.d/example.com/{}", name.to_uppercase()), &other.public);
    put(&format!("prefix.d/example.com/x/{name}"), b"not a key");
    put(&format!("prefix.d/example.com/y/{name}"), &vec![b'x'; 2 << 20]);
    put(&format!("prefix.d/Not A Name/{name}"), &other.public);
    put(&format!("prefix.d/{name}"), &other.public);
    put(&format!("root.d/below/{name}"), &other.public);
    put("prefix.d/example.com/.hidden", b"");
    symlink("/nowhere", root.join(format!("root.d/{name}"))).unwrap();
    let (keyring, warnings) = store.keyring(&limits()).unwrap();
    let all: Vec<String> =
        keyring.certificates().map(|(c, _)| c.fingerprint().to_string()).collect();
    assert_eq!(all, [one.fingerprint.to_string()], "{warnings:?}");
    assert_eq!(warnings.len(), 9, "{warnings:#?}");
    for warning in warnings {
        assert!(warning.to_string().contains("is passed over: "));
    }
}

#[test]
fn trust_store_masks_keys_with_empty_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let key = &ED25519.certificate;
    store.add(&Scope::Root, key, &limits()).unwrap();
    let name = key.fingerprint().to_string();
    let masked = folder.path().join("trustedkeys/prefix.d/example.com/private");
    fs::create_dir_all(&masked).unwrap();
    fs::write(masked.join(&name), b"").unwrap();
    let (keyring, warnings) = store.keyring(&limits()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(trusted(&keyring, "example.com/public").len(), 1);
    assert_eq!(trusted(&keyring, "example.com/private/x"), [""; 0]);
    // Removing it once more does not give the trust back.
    let scope = prefix("example.com/private");
    assert!(!store.remove(&scope, key.fingerprint(), &limits()).unwrap().happened());
    assert!(masked.join(&name).exists());
    // Added for that very scope, it is trusted again.
    assert!(store.add(&prefix("example.com/private"), key, &limits()).unwrap().new);
    let (keyring, _) = store.keyring(&limits()).unwrap();
    assert_eq!(trusted(&keyring, "example.com/private/x"), [name]);
}

#[test]
fn trust_store_stands_many_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let keys = [&ED25519.certificate, &OTHER.certificate];
    let scope = prefix("example.com/a");
    std::thread::scope(|threads| {
        for at in 0..4 {
            let (store, scope, key) = (&store, &scope, keys[at % 2]);
            threads.spawn(move || {
                for _ in 0..10 {
                    store.add(scope, key, &limits()).unwrap();
                    store.keyring(&limits()).unwrap();
                    store.remove(scope, key.fingerprint(), &limits()).unwrap();
                }
                store.add(scope, key, &limits()).unwrap();
            });
        }
    });
    let (keyring, warnings) = store.keyring(&limits()).unwrap();
    assert_eq!((keyring.certificates().count(), warnings.len()), (2, 0));
}
