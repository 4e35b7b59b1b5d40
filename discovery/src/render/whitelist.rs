//! The path whitelist on a folder that was unpacked: what the rule of [`aci::plan`] leaves out
//! is removed.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aci::plan::Whitelist;

/// Removes from `rootfs` what is not on the whitelist, but for folders with something in them
/// that is. Gives the number of files and folders removed.
pub(super) fn apply(rootfs: &Path, whitelist: &Whitelist) -> io::Result<u64> {
    Ok(prune(rootfs, Path::new(""), whitelist)?.removed)
}

#[derive(Default)]
struct Pruned {
    removed: u64,
    remaining: u64,
}

fn prune(folder: &Path, inside: &Path, whitelist: &Whitelist) -> io::Result<Pruned> {
    let before = fs::symlink_metadata(folder)?;
    let mode = before.permissions().mode();
    // An image may have folders that not even their owner may write to or search.
    let shut = mode & 0o700 != 0o700 && !rustix::process::geteuid().is_root();
    if shut {
        fs::set_permissions(folder, Permissions::from_mode(mode | 0o700))?;
    }
    let mut pruned = Pruned::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = inside.join(entry.file_name());
        let mut wanted = whitelist.names(path.as_os_str().as_bytes());
        // A link to a folder is a file here: what it leads to is judged by its own path.
        if entry.file_type()?.is_dir() {
            let below = prune(&entry.path(), &path, whitelist)?;
            pruned.removed += below.removed;
            wanted |= below.remaining > 0;
            if !wanted {
                fs::remove_dir(entry.path())?;
            }
        } else if !wanted {
            fs::remove_file(entry.path())?;
        }
        pruned.removed += u64::from(!wanted);
        pruned.remaining += u64::from(wanted);
    }
    if pruned.removed > 0 {
        File::open(folder)?.set_modified(before.modified()?)?;
    }
    if shut {
        fs::set_permissions(folder, before.permissions())?;
    }
    Ok(pruned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let rootfs = tempfile::tempdir().unwrap();
        let at = |name: &str| rootfs.path().join(name);
        for folder in ["a", "b", "c", "d/deep"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["a/1", "a/2", "b/1", "c/1", "d/deep/1", "f"] {
            fs::write(at(file), file).unwrap();
        }
        symlink("/a", at("link")).unwrap();
        rootfs
    }

    fn names(rootfs: &Path) -> Vec<String> {
        fn walk(folder: &Path, rootfs: &Path, all: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                all.push(path.strip_prefix(rootfs).unwrap().to_str().unwrap().to_owned());
                if path.symlink_metadata().unwrap().is_dir() {
                    walk(&path, rootfs, all);
                }
            }
        }
        let mut all = Vec::new();
        walk(rootfs, rootfs, &mut all);
        all.sort();
        all
    }

    fn kept(list: &[&str]) -> (u64, Vec<String>) {
        let rootfs = tree();
        let list: Vec<String> = list.iter().map(|&path| path.to_owned()).collect();
        let whitelist = Whitelist::new(&list).unwrap();
        let removed = apply(rootfs.path(), &whitelist).unwrap();
        (removed, names(rootfs.path()))
    }

    #[test]
    fn whitelist_keeps_what_it_names_and_the_folders_above() {
        assert_eq!(
            kept(&["/a/1", "/d/deep/1", "/f"]).1,
            ["a", "a/1", "d", "d/deep", "d/deep/1", "f"]
        );
        assert_eq!(kept(&["/link"]).1, ["link"]);
        // A folder stays for what is in it, not for what could be.
        assert_eq!(kept(&["/a/1", "/b/none", "/d/deep/none"]).1, ["a", "a/1"]);
    }

    #[test]
    fn whitelist_folder_stands_for_itself_alone() {
        let (removed, names) = kept(&["/c/", "/d"]);
        assert_eq!(names, ["c", "d"]);
        assert_eq!(removed, 10);
    }

    #[test]
    fn whitelist_paths_are_cleaned_as_rkt_does() {
        assert_eq!(kept(&["f"]).1, ["f"]);
        assert_eq!(kept(&["//x/../f", "./a/1", "../../b/1/"]).1, ["a", "a/1", "b", "b/1", "f"]);
        assert_eq!(kept(&["none"]).1, Vec::<String>::new());
    }
}
