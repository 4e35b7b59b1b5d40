//! The regular files of an image, and whose they are.

use std::cell::Cell;
use std::collections::HashMap;

use super::fault::DatabaseFault;
use super::sums::Sums;

/// A regular file; its path has neither `rootfs/` nor a slash before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileRecord {
    pub(super) path: Vec<u8>,
    pub(super) sums: Sums,
}

/// All regular files, and the links through which databases name some of them: on a merged
/// `/usr`, dpkg says `/bin/ls` where the archive has `usr/bin/ls`.
#[derive(Debug)]
pub(super) struct Files {
    all: Vec<FileRecord>,
    links: HashMap<Vec<u8>, Vec<u8>>,
    /// Bytes of path that may still be looked at to follow links.
    effort: Cell<u64>,
}

/// As many bytes as are looked at in a few seconds; a distribution of 100,000 files needs 50 MB.
const EFFORT: u64 = 4 << 30;

/// What Linux takes, as [`aci::Limits`] has it.
const LONGEST_PATH: usize = 4095;

/// As Linux has it.
const LINKS_FOLLOWED: usize = 40;

impl Files {
    /// From the files and symbolic links in any order, and hard links in that of the archive.
    pub(super) fn new(
        mut all: Vec<FileRecord>,
        links: HashMap<Vec<u8>, Vec<u8>>,
        hard_links: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Self {
        all.sort_by(|a, b| a.path.cmp(&b.path));
        let mut linked: HashMap<Vec<u8>, Sums> = HashMap::new();
        for (path, target) in hard_links {
            let sums = match all.binary_search_by(|file| file.path.cmp(&target)) {
                Ok(at) => Some(all[at].sums),
                Err(_) => linked.get(&target).copied(),
            };
            // Another name of a link or a device is no regular file.
            if let Some(sums) = sums {
                linked.insert(path, sums);
            }
        }
        all.extend(linked.into_iter().map(|(path, sums)| FileRecord { path, sums }));
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Self { all, links, effort: Cell::new(EFFORT) }
    }

    /// The files in the order of their paths.
    pub(super) fn all(&self) -> &[FileRecord] {
        &self.all
    }

    /// The file that a database means by `path`, with or without a slash before it.
    fn find(&self, path: &[u8]) -> Result<Option<u32>, DatabaseFault> {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        self.spend(path.len())?;
        if let Some(found) = self.at(path) {
            return Ok(Some(found));
        }
        let slash = path.iter().rposition(|&byte| byte == b'/');
        let (folder, name) = path.split_at(slash.map_or(0, |slash| slash + 1));
        let Some(mut real) = self.real_folder(folder)? else { return Ok(None) };
        if !real.is_empty() {
            real.push(b'/');
        }
        real.extend_from_slice(name);
        Ok(self.at(&real))
    }

    fn at(&self, path: &[u8]) -> Option<u32> {
        let at = self.all.binary_search_by(|file| file.path.as_slice().cmp(path)).ok()?;
        u32::try_from(at).ok()
    }

    /// A folder's path with all symbolic links followed; `None` where they lead in a circle.
    fn real_folder(&self, folder: &[u8]) -> Result<Option<Vec<u8>>, DatabaseFault> {
        let mut rest: Vec<&[u8]> = folder.split(|&byte| byte == b'/').rev().collect();
        let mut real: Vec<u8> = Vec::new();
        let mut followed = 0;
        while let Some(part) = rest.pop() {
            let parent = real.len();
            match part {
                b"" | b"." => continue,
                b".." => {
                    real.truncate(real.iter().rposition(|&byte| byte == b'/').unwrap_or(0));
                    continue;
                }
                name => {
                    if !real.is_empty() {
                        real.push(b'/');
                    }
                    real.extend_from_slice(name);
                }
            }
            self.spend(real.len())?;
            let Some(target) = self.links.get(&real) else { continue };
            followed += 1;
            if followed > LINKS_FOLLOWED {
                return Ok(None);
            }
            real.truncate(if target.starts_with(b"/") { 0 } else { parent });
            self.spend(target.len())?;
            rest.extend(target.split(|&byte| byte == b'/').rev());
        }
        Ok(Some(real))
    }

    /// Long paths through many links, a million times, would keep a reader busy for hours.
    fn spend(&self, bytes: usize) -> Result<(), DatabaseFault> {
        let left = self.effort.get().checked_sub(bytes as u64 + 1);
        self.effort.set(left.ok_or(DatabaseFault::Links)?);
        Ok(())
    }
}

/// Which files belong to which of the packages that are just read.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    files: Option<&'a Files>,
    allowed: usize,
    pairs: Vec<(u32, u32)>,
    fault: Option<DatabaseFault>,
}

impl<'a> Claims<'a> {
    /// Of these files; without any, nothing is looked for.
    pub(super) fn new(files: Option<&'a Files>, allowed: usize) -> Self {
        Self { files, allowed, pairs: Vec::new(), fault: None }
    }

    /// Whether files are looked for.
    pub(super) fn wanted(&self) -> bool {
        self.files.is_some() && self.fault.is_none()
    }

    /// The package at this place of its list has the file at `path`, where there is one.
    pub(super) fn claim(&mut self, package: usize, path: &[u8]) {
        if let Err(fault) = self.try_claim(package, path) {
            self.give_up(fault);
        }
    }

    /// The same for a file of this name in a folder.
    pub(super) fn claim_in(&mut self, package: usize, folder: &[u8], name: &[u8]) {
        // One long folder that millions of short names share. No archive has such a path.
        if self.wanted() && folder.len() + name.len() < LONGEST_PATH {
            self.claim(package, &[folder.strip_suffix(b"/").unwrap_or(folder), name].join(&b'/'));
        }
    }

    fn try_claim(&mut self, package: usize, path: &[u8]) -> Result<(), DatabaseFault> {
        let Some(files) = self.files.filter(|_| self.fault.is_none()) else { return Ok(()) };
        let Some(file) = files.find(path)? else { return Ok(()) };
        let too_many = DatabaseFault::OwnedFiles { allowed: self.allowed };
        // The same file in the list of each of a thousand packages.
        if self.pairs.len() >= self.allowed {
            return Err(too_many);
        }
        self.pairs.push((file, u32::try_from(package).map_err(|_| too_many)?));
        Ok(())
    }

    /// Half of the files of packages would be a wrong list: then rather none.
    pub(super) fn give_up(&mut self, fault: DatabaseFault) {
        self.pairs = Vec::new();
        self.fault = Some(fault);
    }

    /// File and package, by their places; or why it cannot be told.
    pub(super) fn finish(self) -> Result<Vec<(u32, u32)>, DatabaseFault> {
        self.fault.map_or(Ok(self.pairs), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::sums::Summing;

    fn files(paths: &[&str], links: &[(&str, &str)], hard: &[(&str, &str)]) -> Files {
        let sums = |path: &str| {
            let mut sums = Summing::default();
            sums.update(path.as_bytes());
            sums.finish()
        };
        let bytes = |(a, b): &(&str, &str)| (a.as_bytes().to_vec(), b.as_bytes().to_vec());
        let record = |path: &&str| FileRecord { path: path.as_bytes().to_vec(), sums: sums(path) };
        Files::new(
            paths.iter().map(record).collect(),
            links.iter().map(bytes).collect(),
            hard.iter().map(bytes).collect(),
        )
    }

    #[test]
    fn files_are_found_through_links_of_folders_only() {
        let links = [("bin", "usr/bin"), ("usr/s", "/bin/.."), ("a", "b"), ("b", "a"), ("f", "x")];
        let files = files(&["usr/bin/ls", "x"], &links, &[]);
        let found = |path: &str| files.find(path.as_bytes()).unwrap();
        assert_eq!(found("usr/bin/ls"), Some(0));
        assert_eq!(found("/bin/ls"), Some(0));
        assert_eq!(found("/usr/s/bin/ls"), Some(0));
        assert_eq!(found("/../bin//./ls"), Some(0));
        assert_eq!(found("/a/ls"), None);
        // The link is what the package has, not what it points to.
        assert_eq!(found("f"), None);
        assert_eq!((found(""), found("/"), found("usr/bin")), (None, None, None));
    }

    #[test]
    fn files_count_a_hard_link_as_a_file() {
        let files = files(&["b"], &[("l", "b")], &[("c", "b"), ("a", "c"), ("d", "l")]);
        let paths: Vec<_> = files.all().iter().map(|file| file.path.as_slice()).collect();
        assert_eq!(paths, [b"a", b"b", b"c"]);
        assert_eq!(files.all()[0].sums, files.all()[1].sums);
    }

    #[test]
    fn files_are_not_looked_for_for_ever() {
        let long = "x/".repeat(2000);
        let files = files(&["f"], &[("l", &long)], &[]);
        files.effort.set(1_000_000);
        let mut claims = Claims::new(Some(&files), 10);
        for _ in 0..1000 {
            claims.claim(0, b"l/f");
        }
        assert_eq!(claims.finish(), Err(DatabaseFault::Links));
    }

    #[test]
    fn claims_beyond_the_limit_leave_none() {
        let files = files(&["f"], &[], &[]);
        let mut claims = Claims::new(Some(&files), 2);
        claims.claim(0, b"f");
        claims.claim(1, b"/f");
        assert!(claims.wanted());
        claims.claim(2, b"f");
        assert!(!claims.wanted());
        assert_eq!(claims.finish(), Err(DatabaseFault::OwnedFiles { allowed: 2 }));
    }
}
