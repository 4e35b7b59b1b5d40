//! Removes what a step left.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use discovery::bundle::Host;
use discovery::runtime::Tools;

use super::error::Fault;
use super::order::Order;
use super::session::Session;
use super::{Helper, StepError};

/// What a step makes in its scratch folder.
const MADE: [&str; 7] = ["merged", "points", "upper", "work", "devices", "bundle", "changes"];

/// Removes everything that a step made in `scratch`, also one that was killed, whose files belong to
/// IDs of a namespace. The folder itself stays.
pub fn remove_scratch(
    scratch: &Path,
    helper: &Helper,
    host: &Host,
    tools: &Tools,
) -> Result<(), StepError> {
    let path = |source| StepError::Path { path: scratch.to_owned(), source };
    let real = scratch.canonicalize().map_err(path)?;
    let order = Order::Remove { user: !host.is_root(), scratch: real.into() };
    Session::start(helper, host, tools, &order)?.wait().map(drop)
}

/// Removes it, as root of the namespace whose files they are.
pub(super) fn clear(scratch: &Path) -> Result<(), Fault> {
    let pile = scratch.join("pile");
    let cleared = || {
        match fs::create_dir(&pile) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        for name in MADE {
            put_away(&scratch.join(name), &pile)?;
        }
        empty(&pile)?;
        fs::remove_dir(&pile)
    };
    cleared().map_err(Fault::setup("empty the scratch folder"))
}

/// Removes a file, or moves a folder to the pile.
fn put_away(path: &Path, pile: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.is_dir() {
        return fs::remove_file(path);
    }
    // The number of a file is its own among those of a file system.
    Ok(rustix::fs::rename(path, pile.join(found.ino().to_string()))?)
}

/// Removes the folders of the pile, and those in them when they have come to the pile. Attack:
/// folders so deep in each other that no path leads there, and no stack is enough to walk them.
fn empty(pile: &Path) -> io::Result<()> {
    loop {
        let mut empty = true;
        for folder in fs::read_dir(pile)? {
            empty = false;
            let folder = folder?.path();
            for entry in fs::read_dir(&folder)? {
                put_away(&entry?.path(), pile)?;
            }
            fs::remove_dir(&folder)?;
        }
        if empty {
            return Ok(());
        }
    }
}
