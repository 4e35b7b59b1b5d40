//! The path whitelist (spec: aci.md, "pathWhitelist"): every path it does not name is
//! removed. A folder on it stands for itself, not for what is in it; the folders
//! above a path on it stay.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// Removes from `rootfs` what is neither on the whitelist nor above something that
/// is. Gives the number of files and folders removed.
pub(super) fn apply(rootfs: &Path, whitelist: &[String]) -> io::Result<u64> {
    let mut kept = HashSet::new();
    for path in whitelist {
        let path = cleaned(path);
        // The ancestors of a relative path end with the empty one, which is the rootfs.
        kept.extend(path.ancestors().map(Path::to_owned));
    }
    prune(rootfs, Path::new(""), &kept)
}

/// Below the root, `..` resolved by its text as rkt does: `/x/../f`, `./f` and `f` are one.
fn cleaned(path: &str) -> PathBuf {
    let mut parts: Vec<OsString> = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_owned()),
            Component::ParentDir => drop(parts.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    parts.iter().collect()
}

fn prune(folder: &Path, inside: &Path, kept: &HashSet<PathBuf>) -> io::Result<u64> {
    let before = fs::symlink_metadata(folder)?;
    let mode = before.permissions().mode();
    // An image may have folders that not even their owner may write to or search.
    let shut = mode & 0o700 != 0o700 && !rustix::process::geteuid().is_root();
    if shut {
        fs::set_permissions(folder, Permissions::from_mode(mode | 0o700))?;
    }
    let mut removed = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = inside.join(entry.file_name());
        let wanted = kept.contains(&path);
        // A link to a folder is a file here: what it leads to is judged by its own path.
        if entry.file_type()?.is_dir() {
            removed += prune(&entry.path(), &path, kept)?;
            if !wanted {
                fs::remove_dir(entry.path())?;
            }
        } else if !wanted {
            fs::remove_file(entry.path())?;
        }
        removed += u64::from(!wanted);
    }
    if removed > 0 {
        File::open(folder)?.set_modified(before.modified()?)?;
    }
    if shut {
        fs::set_permissions(folder, before.permissions())?;
    }
    Ok(removed)
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
        let removed = apply(rootfs.path(), &list).unwrap();
        (removed, names(rootfs.path()))
    }

    #[test]
    fn whitelist_keeps_what_it_names_and_the_folders_above() {
        assert_eq!(
            kept(&["/a/1", "/d/deep/1", "/f"]).1,
            ["a", "a/1", "d", "d/deep", "d/deep/1", "f"]
        );
        assert_eq!(kept(&["/link"]).1, ["link"]);
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
