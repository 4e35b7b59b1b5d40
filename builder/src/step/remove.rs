//! Removes what a step left.

use std::fs;
use std::io;
use std::path::Path;

use discovery::bundle::Host;
use discovery::runtime::Tools;

use super::child::more_descriptors;
use super::error::Fault;
use super::order::Order;
use super::session::Session;
use super::{Helper, StepError};

/// What a step makes in its scratch folder.
const MADE: [&str; 8] =
    ["merged", "points", "upper", "work", "devices", "bundle", "changes", "state"];

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
    more_descriptors();
    for name in MADE {
        let path = scratch.join(name);
        let removed = match fs::symlink_metadata(&path) {
            Err(error) => Err(error),
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Fault::setup("empty the scratch folder")(error));
            }
            _ => {}
        }
    }
    Ok(())
}
