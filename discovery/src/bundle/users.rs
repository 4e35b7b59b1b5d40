//! As whom a program runs: names looked up in the image's own files.
//!
//! Source: aci.md, "user, group". The order is the spec's: the image's
//! `/etc/passwd` or `/etc/group`, then numbers; `/path` is the owner of that file.

use std::path::Path;

use aci::manifest::App;

use super::BundleError;
use super::host::Host;
use aci::root::{Root, clean};

/// Longest `/etc/passwd` or `/etc/group` that is read.
const FILE_BYTES: u64 = 4 << 20;

/// The numbers a program runs as, and what `/etc/passwd` knows about the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) account: Option<Account>,
}

/// One line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) home: String,
    pub(super) shell: String,
    uid: u32,
}

/// The two kinds of names.
struct Kind {
    word: &'static str,
    file: &'static str,
}

const USER: Kind = Kind { word: "user", file: "/etc/passwd" };
const GROUP: Kind = Kind { word: "group", file: "/etc/group" };

/// Looks up the app's user and group.
pub(super) fn resolve(
    root: &Root,
    app: &App,
    converted: bool,
    host: &Host,
) -> Result<Identity, BundleError> {
    let passwd = lines(root, &USER)?;
    let uid = match named(&passwd, &app.user) {
        Some(uid) => uid,
        None => other(root, &USER, &app.user, host)?,
    };
    let group = lines(root, &GROUP)?;
    let gid = match named(&group, &app.group) {
        Some(gid) => gid,
        // docker2aci writes the user's name as the group where there was none.
        None => match other(root, &GROUP, &app.group, host) {
            Err(BundleError::Unknown { .. }) if converted && app.user == app.group => uid,
            result => result?,
        },
    };
    let account = passwd.iter().rev().filter_map(|line| account(line)).find(|a| a.uid == uid);
    let identity = Identity { uid, gid, account };
    for (kind, id, mappings) in [("user", uid, host.uids()), ("group", gid, host.gids())] {
        if let Some(mappings) = mappings
            && !mappings.iter().any(|m| id.checked_sub(m.container).is_some_and(|at| at < m.size))
        {
            return Err(BundleError::Unmapped { kind, id });
        }
    }
    Ok(identity)
}

/// Lines of the file, split at colons. A line's first field is a name, its third a number.
fn lines(root: &Root, kind: &Kind) -> Result<Vec<Vec<String>>, BundleError> {
    let path = Path::new(kind.file);
    let bytes = root
        .read(path, FILE_BYTES)
        .map_err(|source| BundleError::Io { path: path.to_owned(), source })?
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect())
}

/// The last line of that name counts, as it does in rkt.
fn named(lines: &[Vec<String>], name: &str) -> Option<u32> {
    let line = lines.iter().rev().find(|line| line.len() > 2 && line[0] == name)?;
    number(&line[2])
}

fn account(line: &[String]) -> Option<Account> {
    let [name, _, uid, _, _, home, shell] = line else { return None };
    let uid = number(uid)?;
    Some(Account { name: name.clone(), home: home.clone(), shell: shell.clone(), uid })
}

/// What is no name of the image: `root`, a number, or a path.
fn other(root: &Root, kind: &Kind, text: &str, host: &Host) -> Result<u32, BundleError> {
    if text == "root" {
        return Ok(0);
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // 4294967296 is 0 to whoever keeps 32 bits, and 4294967295 is "no change"
        // to setresuid(2): either would leave the program root.
        return number(text)
            .ok_or_else(|| BundleError::OutOfRange { kind: kind.word, text: text.to_owned() });
    }
    let Some(path) = clean(text) else {
        return Err(BundleError::Unknown {
            kind: kind.word,
            text: text.to_owned(),
            file: kind.file,
        });
    };
    if !host.is_root() {
        return Err(BundleError::OwnerLost { kind: kind.word, path: text.to_owned() });
    }
    let stat = root
        .lstat(&path)
        .map_err(|source| BundleError::Io { path, source })?
        .ok_or_else(|| BundleError::OwnerOfNothing { kind: kind.word, path: text.to_owned() })?;
    Ok(if kind.word == USER.word { stat.st_uid } else { stat.st_gid })
}

fn number(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&id| id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{chown, lchown, symlink};

    use super::*;
    use crate::bundle::tests::{app, vectors};

    fn fixture() -> tempfile::TempDir {
        let rootfs = tempfile::tempdir().unwrap();
        let at = |name: &str| rootfs.path().join(name);
        fs::create_dir_all(at("etc")).unwrap();
        fs::create_dir_all(at("bin")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1001:Alice:/home/alice:/bin/sh\n\n\
            bob:x:2000:2000::/:/bin/false\nbob:x:2001:2001::/:/bin/false\n";
        fs::write(at("etc/passwd"), passwd).unwrap();
        fs::write(at("etc/group"), "root:x:0:\nstaff:x:50:alice\nalice:x:1001:\n").unwrap();
        fs::write(at("bin/app"), "").unwrap();
        symlink("app", at("bin/link")).unwrap();
        rootfs
    }

    fn look_up(
        rootfs: &Path,
        user: &str,
        group: &str,
        converted: bool,
    ) -> Result<(u32, u32), BundleError> {
        let app = App { user: user.into(), group: group.into(), ..app(&["/x"]) };
        let root = Root::open(rootfs).unwrap();
        resolve(&root, &app, converted, &Host::root()).map(|identity| (identity.uid, identity.gid))
    }

    #[test]
    fn user_resolves_as_the_reference_vectors_say() {
        let Some(all) = vectors("rkt_runtime") else { return };
        let rootfs = fixture();
        let mut seen = 0;
        for vector in all.iter().filter(|v| v["op"] == "user_group") {
            let input = &vector["input"];
            let text = |key: &str| input[key].as_str().unwrap().to_owned();
            if text("user").starts_with('/') {
                continue;
            }
            let found = look_up(
                rootfs.path(),
                &text("user"),
                &text("group"),
                input["converted_from_docker"].as_bool().unwrap(),
            );
            let expected = &vector["expected"];
            // The reference lets -1 through here and refuses it later.
            if vector["expect"] == "ok" && expected["uid"] != -1 {
                let (uid, gid) = found.unwrap();
                assert_eq!(
                    (&expected["uid"], &expected["gid"]),
                    (&uid.into(), &gid.into()),
                    "{vector}"
                );
            } else {
                assert!(found.is_err(), "{vector}");
            }
            seen += 1;
        }
        assert!(seen > 9);
    }

    #[test]
    fn user_number_that_wraps_is_refused() {
        let rootfs = fixture();
        for text in ["4294967296", "4294967295", "18446744073709551616"] {
            let error = look_up(rootfs.path(), text, "0", false).unwrap_err();
            assert!(matches!(error, BundleError::OutOfRange { kind: "user", .. }), "{error}");
            let error = look_up(rootfs.path(), "0", text, false).unwrap_err();
            assert!(matches!(error, BundleError::OutOfRange { kind: "group", .. }), "{error}");
        }
        assert_eq!(look_up(rootfs.path(), "4294967294", "7", false).unwrap(), (u32::MAX - 1, 7));
    }

    #[test]
    fn user_that_is_a_path_is_the_owner_of_the_file_itself() {
        let rootfs = fixture();
        let app_file = rootfs.path().join("bin/app");
        let link = rootfs.path().join("bin/link");
        if chown(&app_file, Some(33), Some(34)).is_err() {
            eprintln!("skipped: only root can give files away");
            return;
        }
        lchown(&link, Some(77), Some(78)).unwrap();
        assert_eq!(look_up(rootfs.path(), "/bin/app", "/bin/app", false).unwrap(), (33, 34));
        assert_eq!(look_up(rootfs.path(), "/bin/link", "/bin/link", false).unwrap(), (77, 78));
        let error = look_up(rootfs.path(), "/bin/none", "0", false).unwrap_err();
        assert!(matches!(error, BundleError::OwnerOfNothing { .. }), "{error}");
    }

    #[test]
    fn user_files_are_not_read_through_links_that_leave_the_rootfs() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("passwd"), "mallory:x:0:0::/:/bin/sh\n").unwrap();
        let rootfs = tempfile::tempdir().unwrap();
        fs::create_dir(rootfs.path().join("etc")).unwrap();
        symlink(outside.path().join("passwd"), rootfs.path().join("etc/passwd")).unwrap();
        let error = look_up(rootfs.path(), "mallory", "0", false).unwrap_err();
        assert!(matches!(error, BundleError::Unknown { kind: "user", .. }), "{error}");
    }

    #[test]
    fn user_outside_of_the_user_namespace_is_refused() {
        let rootfs = fixture();
        let root = Root::open(rootfs.path()).unwrap();
        let host = Host::user(1234, 1234);
        let with = |user: &str, group: &str| App {
            user: user.into(),
            group: group.into(),
            ..app(&["/x"])
        };
        let error = resolve(&root, &with("alice", "0"), false, &host).unwrap_err();
        assert!(matches!(error, BundleError::Unmapped { kind: "user", id: 1000 }), "{error}");
        let error = resolve(&root, &with("0", "50"), false, &host).unwrap_err();
        assert!(matches!(error, BundleError::Unmapped { kind: "group", id: 50 }), "{error}");
        let error = resolve(&root, &with("/bin/app", "0"), false, &host).unwrap_err();
        assert!(matches!(error, BundleError::OwnerLost { .. }), "{error}");
        let identity = resolve(&root, &with("root", "0"), false, &host).unwrap();
        assert_eq!(identity.account.unwrap().home, "/root");
    }
}
