//! What commands have made is kept, by all that it depends on.

use std::path::PathBuf;

use aci::FileDigest;
use builder::context::Context;

use super::super::Build;
use super::super::go::failed;
use crate::cli::Failure;

/// What the keys of kept builds mean. It changes where a build of the same key would be another.
const FORM: &str = "gantry recipe 1";

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
        let digest = FileDigest::of_bytes(&self.0).to_string();
        // Half of a SHA-512 tells any two apart.
        digest.chars().skip("sha512-".len()).take(64).collect()
    }
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
            Ok(()) => Ok(true),
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
}
