//! Files with several names. An overlay copies a file when it is written to, under the one name that
//! was used, and the others would keep the old content: so such files are copied before, with all
//! their names.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::Fault;
use super::owners;

/// Copies the files with several names that are seen at `merged` into the folder `upper`. Gives the
/// paths of all that was made there.
#[expect(clippy::disallowed_methods, reason = "into a scratch folder, which a crash throws away")]
pub(super) fn copy(merged: &Path, upper: &Path) -> Result<Vec<PathBuf>, Fault> {
    let mut made = Vec::new();
    for names in groups(merged)?.into_values().filter(|names| names.len() > 1) {
        let (first, others) = (&names[0], &names[1..]);
        let (from, to) = (merged.join(first), upper.join(first));
        let failed = |error| Fault::owner(first, error);
        for name in &names {
            let parent = name.parent().unwrap_or(name);
            fs::create_dir_all(upper.join(parent)).map_err(failed)?;
        }
        fs::copy(&from, &to).map_err(failed)?;
        owners::copy(&from, &to)?;
        for name in others {
            fs::hard_link(&to, upper.join(name)).map_err(failed)?;
        }
        made.extend(names);
    }
    let ways = owners::copy_ways(made.iter().map(PathBuf::as_path), merged, upper)?;
    made.extend(ways);
    Ok(made)
}

/// The names of each regular file that has several, by device and inode.
fn groups(merged: &Path) -> Result<BTreeMap<(u64, u64), Vec<PathBuf>>, Fault> {
    let mut groups: BTreeMap<_, Vec<PathBuf>> = BTreeMap::new();
    let mut left = vec![PathBuf::new()];
    while let Some(folder) = left.pop() {
        let failed = |error: io::Error| Fault::owner(&folder, error);
        for entry in fs::read_dir(merged.join(&folder)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let found: Metadata = entry.metadata().map_err(failed)?;
            let path = folder.join(entry.file_name());
            if found.is_dir() {
                left.push(path);
            } else if found.is_file() && found.nlink() > 1 {
                groups.entry((found.dev(), found.ino())).or_default().push(path);
            }
        }
    }
    groups.values_mut().for_each(|names| names.sort());
    Ok(groups)
}
