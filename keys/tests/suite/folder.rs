//! The folder of secret keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use keys::{Algorithm, KeyFolder, KeyFolderError, KeyName, SecretKey};

use crate::support::*;

fn key() -> SecretKey {
    SecretKey::read(&generated(Algorithm::Ed25519, january()).secret, &limits()).unwrap()
}

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn folder_keeps_keys_from_others() {
    let home = tempfile::tempdir().unwrap();
    let folder = KeyFolder::open(&home.path().join("a/keys"));
    assert!(folder.list(&limits()).unwrap().0.is_empty());
    assert!(!folder.path().exists(), "looking makes nothing");
    let key = key();
    let path = folder.lock().unwrap().write(&key).unwrap();
    assert_eq!(path, folder.path().join(format!("{}.asc", key.fingerprint())));
    assert_eq!((mode(folder.path()), mode(&path)), (0o700, 0o600));
    let (keys, warnings) = folder.list(&limits()).unwrap();
    assert_eq!((keys, warnings.len()), (vec![key.clone()], 0));
    assert!(folder.exposed(std::slice::from_ref(&key)).is_empty());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(folder.exposed(std::slice::from_ref(&key)), std::slice::from_ref(&path));
    // Writing it again makes it private again.
    folder.lock().unwrap().write(&key).unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn folder_passes_over_what_is_no_key() {
    let home = tempfile::tempdir().unwrap();
    let folder = KeyFolder::open(home.path());
    let key = key();
    folder.lock().unwrap().write(&key).unwrap();
    let digits = "0".repeat(40);
    fs::write(home.path().join("notes.txt"), "x").unwrap();
    fs::write(home.path().join(format!("{digits}.asc")), key.armored().unwrap()).unwrap();
    fs::write(home.path().join(format!("{}.asc", "1".repeat(40))), "no key").unwrap();
    fs::create_dir(home.path().join(format!("{}.asc", "2".repeat(40)))).unwrap();
    fs::write(home.path().join(format!("{}.asc", "3".repeat(40))), &ED25519.public).unwrap();
    let (keys, warnings) = folder.list(&limits()).unwrap();
    assert_eq!((keys.len(), warnings.len()), (1, 5), "{warnings:?}");
    let error = folder.read(&digits.parse().unwrap(), &limits()).unwrap_err();
    assert!(matches!(error, KeyFolderError::Key { .. }), "{error}");
    assert!(folder.read(&OTHER.fingerprint, &limits()).unwrap().is_none());
}

#[test]
fn folder_finds_a_key_by_every_name_it_has() {
    let home = tempfile::tempdir().unwrap();
    let folder = KeyFolder::open(home.path());
    let gpg = Gpg::new();
    for user in ["One <one@example.com>", "Two <two@example.com>", "Shared <one@example.com>"] {
        gpg.key(user, "ed25519", "sign", january(), "1y");
    }
    let add = |user: &str| {
        let secret = gpg.run(&["--export-secret-keys", &format!("={user}")]);
        let key = SecretKey::read(&secret, &limits()).unwrap();
        folder.lock().unwrap().write(&key).unwrap();
        key
    };
    let (one, two) = (add("One <one@example.com>"), add("Two <two@example.com>"));
    let find = |name: &str| folder.find(&KeyName::new(name), &limits());
    let digits = one.fingerprint().to_string();
    for name in [
        &digits,
        &digits.to_uppercase(),
        &digits[..8],
        &format!("0x{}", &digits[..16]),
        &one.fingerprint().spaced(),
        "One <one@example.com>",
        "one@example.com",
        "ONE@example.com",
    ] {
        assert_eq!(find(name).unwrap().unwrap(), one, "{name}");
    }
    assert_eq!(find("two@example.com").unwrap().unwrap(), two);
    for name in ["", "One", "example.com", "one@example", &digits[..3], &digits[1..], "zzzz"] {
        assert!(find(name).unwrap().is_none(), "{name}");
    }
    let shared = add("Shared <one@example.com>");
    let error = find("one@example.com").unwrap_err();
    let KeyFolderError::Ambiguous { keys, .. } = &error else { panic!("{error}") };
    assert_eq!(keys.len(), 2);
    assert!(error.to_string().contains(&shared.fingerprint().to_string()), "{error}");
    assert_eq!(find("Shared <one@example.com>").unwrap().unwrap(), shared);
}

#[test]
fn folder_changed_by_many_at_once_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let folder = KeyFolder::open(home.path());
    let first = key();
    folder.lock().unwrap().write(&first).unwrap();
    let count = 6;
    std::thread::scope(|scope| {
        for number in 1..=count {
            let (folder, first) = (&folder, &first);
            scope.spawn(move || {
                let locked = folder.lock().unwrap();
                let key = locked.read(first.fingerprint(), &limits()).unwrap().unwrap();
                let now = key.settled() + DAY * number;
                let added = key.add_signing_subkey(Algorithm::Ed25519, None, None, now);
                locked.write(&added.unwrap().0).unwrap();
            });
        }
    });
    let key = folder.read(first.fingerprint(), &limits()).unwrap().unwrap();
    assert_eq!(key.parts(day(400)).len(), 1 + count as usize);
}
