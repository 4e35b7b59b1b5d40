//! Removes what a step left.

use std::path::Path;
use std::process::Stdio;

use aci::stage;
use discovery::bundle::Host;
use discovery::runtime::Tools;

use super::error::Fault;
use super::order::Order;
use super::session::Session;
use super::{Helper, StepError};

/// What a step makes in its scratch folder, and the cache folders of a build that keeps none.
const MADE: [&str; 9] =
    ["merged", "points", "hidden", "upper", "work", "devices", "bundle", "changes", "caches"];

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
    Session::start(helper, host, tools, &order, Stdio::inherit())?.wait().map(drop)
}

/// Removes it, as root of the namespace whose files they are.
pub(super) fn clear(scratch: &Path) -> Result<(), Fault> {
    let cleared = || {
        // What was being removed when a process like this one was killed.
        stage::clean(scratch)?;
        MADE.iter().try_for_each(|name| {
            let path = scratch.join(name);
            match path.symlink_metadata() {
                Ok(found) if found.is_dir() => stage::remove_folder(&path),
                _ => stage::remove(&path),
            }
        })
    };
    cleared().map_err(Fault::setup("empty the scratch folder"))
}
