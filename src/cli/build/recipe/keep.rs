//! What is kept from one build to the next, by all that it depends on.
//!
//! ```text
//! CACHE/build/
//!   steps/      what commands have made: whole builds, whose files are further names of these
//!   blocks/     compressed pieces of images
//!   digests/    the digests of base files, by what tells that a file was not changed
//!   folders/    the folders that steps name with `cache`
//! ```

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aci::archive::KeptBlocks;
use aci::stage::{self, Existing};
use aci::{ContentDigest, ContentHash, FileDigest};
use builder::context::Context;

use super::super::Build;
use super::super::go::failed;
use super::resolve;
use crate::cli::{Failure, client};

/// What was not used for so long is removed.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most steps that are kept: each is a whole root file system.
const STEPS: u64 = 64;
/// The most bytes of compressed blocks that are kept.
const BLOCK_BYTES: u64 = 2 << 30;
/// A file that was changed later than this before now may change again within one tick of its clock.
const SETTLED: Duration = Duration::from_secs(2);

/// What the keys of kept builds mean. It changes where a build of the same key would be another.
const FORM: &str = "gantry recipe 2";

/// A chain of keys: each depends on all before it.
pub(super) struct Key(Vec<u8>);

impl Key {
    /// The key of what a recipe begins with. Who builds without root, and with which IDs, sees other
    /// owners.
    pub(super) fn of_base(base: &str, epoch: i64, ids: &str) -> Self {
        Self(format!("{FORM}\n{base}\n{epoch}\n{ids}\n").into_bytes())
    }

    /// The key after one more step.
    pub(super) fn then(&self, parts: &[&[u8]]) -> Self {
        let mut all = FileDigest::of_bytes(&self.0).to_string().into_bytes();
        for part in parts {
            all.extend_from_slice(format!("{}:", part.len()).as_bytes());
            all.extend_from_slice(part);
        }
        Self(all)
    }

    fn name(&self) -> String {
        name(&self.0)
    }
}

/// A name for what some bytes say.
fn name(bytes: &[u8]) -> String {
    let digest = FileDigest::of_bytes(bytes).to_string();
    // Half of a SHA-512 tells any two apart.
    digest.chars().skip("sha512-".len()).take(64).collect()
}

impl Build<'_> {
    fn kept(&self, key: &Key) -> PathBuf {
        self.context.cache_dir().join("build/steps").join(key.name())
    }

    /// Begins with what was kept under a key; `false` where nothing was.
    pub(super) fn thaw(&self, key: &Key) -> Result<bool, Failure> {
        let kept = self.kept(key);
        if !kept.is_dir() {
            return Ok(false);
        }
        match Context::thaw(&kept, &self.work) {
            Ok(()) => {
                used(&kept);
                Ok(true)
            }
            // Removed in the meantime, or on another file system: it is made again.
            Err(_) => Ok(false),
        }
    }

    /// Keeps the context as it is under a key. Where it cannot be kept, it is made again next time.
    pub(super) fn freeze(&self, key: &Key) -> Result<(), Failure> {
        let kept = self.kept(key);
        if kept.is_dir() || aci::stage::create_folders(aci::stage::folder_of(&kept)).is_err() {
            return Ok(());
        }
        let context = self.open()?;
        if let Err(error) = context.freeze(&kept).map_err(failed) {
            let Failure::Error(_, error) = error else { return Ok(()) };
            self.context.note(format_args!("note: {error}"));
        }
        Ok(())
    }

    /// The digest of a file, which is read where it is not the file it was.
    pub(super) fn digest(&self, path: &Path) -> Result<FileDigest, Failure> {
        let Ok(found) = path.metadata() else { return resolve::digest(path) };
        let state = format!(
            "{} {} {} {}.{} {}.{}",
            found.dev(),
            found.ino(),
            found.len(),
            found.mtime(),
            found.mtime_nsec(),
            found.ctime(),
            found.ctime_nsec(),
        );
        let kept = self.context.cache_dir().join("build/digests").join(name(state.as_bytes()));
        if let Some(digest) = fs::read_to_string(&kept).ok().and_then(|text| text.parse().ok()) {
            used(&kept);
            return Ok(digest);
        }
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(found.ctime().unsigned_abs());
        let settled = client::now().duration_since(changed).is_ok_and(|age| age > SETTLED);
        let digest = resolve::digest(path)?;
        if settled && stage::create_folders(stage::folder_of(&kept)).is_ok() {
            // Where it cannot be kept, it is made again.
            let _ = stage::put(&kept, digest.to_string().as_bytes(), 0o644, Existing::Replace);
        }
        Ok(digest)
    }
}

/// Compressed blocks of images. Each file begins with the digest of what follows.
pub(super) struct Blocks(PathBuf);

impl Blocks {
    pub(super) fn of(build: &Build<'_>) -> Self {
        Self(build.context.cache_dir().join("build/blocks"))
    }

    fn path(&self, name: &[u8; 32]) -> PathBuf {
        let digits = ContentDigest::of(*name).digits();
        self.0.join(&digits[..2]).join(&digits[2..])
    }
}

impl KeptBlocks for Blocks {
    fn find(&self, name: &[u8; 32]) -> Option<Vec<u8>> {
        let path = self.path(name);
        let mut bytes = fs::read(&path).ok()?;
        let (sum, packed) = bytes.split_at_checked(SUM)?;
        // What a power cut has left of it is no block.
        if sum != sum_of(packed).as_bytes() {
            return None;
        }
        bytes.drain(..SUM);
        used(&path);
        Some(bytes)
    }

    fn keep(&self, name: &[u8; 32], packed: &[u8]) {
        let path = self.path(name);
        let bytes = [sum_of(packed).as_bytes(), packed].concat();
        if stage::create_folders(stage::folder_of(&path)).is_ok() {
            let _ = stage::put(&path, &bytes, 0o644, Existing::Replace);
        }
    }
}

/// The bytes of a digest as it is written.
const SUM: usize = 64;

fn sum_of(packed: &[u8]) -> String {
    let mut hash = ContentHash::default();
    hash.update(packed);
    hash.finish().digits()
}

/// Notes that something was used just now, at most once a day.
fn used(path: &Path) {
    let now = client::now();
    let is_old = |path: &Path| {
        let modified = path.metadata()?.modified()?;
        let age = now.duration_since(modified).unwrap_or_default();
        std::io::Result::Ok(age > Duration::from_secs(24 * 60 * 60))
    };
    if is_old(path).unwrap_or(false) {
        let _ = File::open(path).and_then(|file| file.set_modified(now));
    }
}

/// Removes what was not used for a month, and of the rest what was not used for longest where it is
/// more than [`STEPS`] and [`BLOCK_BYTES`].
pub(super) fn prune(build: &Build<'_>) {
    let all = build.context.cache_dir().join("build");
    let blocks = Kept::all(&all.join("blocks"), 2, |bytes| bytes);
    let steps = Kept::all(&all.join("steps"), 1, |_| 1);
    let digests = Kept::all(&all.join("digests"), 1, |_| 0);
    let now = client::now();
    let gone = [(blocks, BLOCK_BYTES), (steps, STEPS), (digests, 0)];
    for path in gone.into_iter().flat_map(|(kept, most)| surplus(kept, most, now)) {
        // What cannot be removed now can be later.
        let _ = if path.is_dir() { stage::remove_folder(&path) } else { fs::remove_file(&path) };
    }
}

/// Something that is kept.
struct Kept {
    used: SystemTime,
    path: PathBuf,
    /// How much of what may be kept it is.
    weight: u64,
}

impl Kept {
    /// All that is so deep in a folder, with weights that are made of sizes.
    fn all(folder: &Path, depth: usize, weight: fn(u64) -> u64) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        if depth > 1 {
            return entries.flat_map(|it| Self::all(&it.path(), depth - 1, weight)).collect();
        }
        let kept = |entry: fs::DirEntry| {
            let found = entry.metadata().ok()?;
            let used = found.modified().ok()?;
            Some(Self { used, path: entry.path(), weight: weight(found.len()) })
        };
        entries.filter_map(kept).collect()
    }
}

/// What is too old, and what is too much, of which the latest stays.
fn surplus(mut kept: Vec<Kept>, most: u64, now: SystemTime) -> Vec<PathBuf> {
    kept.sort_by_key(|one| std::cmp::Reverse(one.used));
    let mut total = 0;
    let is_surplus = |one: &Kept| {
        total += one.weight;
        let age = now.duration_since(one.used).unwrap_or_default();
        total > most || age > KEPT_FOR
    };
    kept.into_iter().filter(is_surplus).map(|one| one.path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_or_too_much_goes_and_the_latest_stays() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 32);
        let kept = |days: u64, weight| Kept {
            used: now - Duration::from_secs(days * 24 * 60 * 60),
            path: days.to_string().into(),
            weight,
        };
        let surplus = |kept, most| {
            surplus(kept, most, now).iter().map(|it| it.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(surplus(vec![kept(31, 0), kept(1, 0), kept(29, 0)], 0), ["31"]);
        assert_eq!(surplus(vec![kept(3, 4), kept(1, 4), kept(2, 4), kept(4, 1)], 10), ["3", "4"]);
        assert_eq!(surplus(vec![kept(0, 4), kept(1, 4)], 8), [""; 0]);
    }
}
