//! The databases of rpm: one table of an SQLite file, `rpmdb.sqlite`, in `var/lib/rpm` or
//! `usr/lib/sysimage/rpm`.
//!
//! ```text
//! CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)
//! ```
//!
//! Each blob is the header of a package. The file is read here and not by SQLite, which is made
//! to be safe against hostile SQL, and less so against hostile files; one table is not much to
//! read. The older databases, Berkeley DB and ndb, are not read, nor is one that was not closed.
//!
//! The keys that rpm keeps among its packages as `gpg-pubkey` are no packages and not listed.

mod header;
mod sqlite;

#[cfg(test)]
mod tests;

use super::fault::DatabaseFault;
use super::files::Claims;
use super::limits::SbomLimits;
use super::package::{Manager, Package, Supplier, optional};
use header::{Header, tag};

/// The packages of a database in its order, with their files.
pub(super) fn packages(
    content: &[u8],
    claims: &mut Claims<'_>,
    limits: &SbomLimits,
) -> Result<Vec<Package>, DatabaseFault> {
    let mut packages = Vec::new();
    sqlite::blobs(content, |number, blob| {
        // Each costs more than the bytes it takes in the file.
        if packages.len() >= limits.packages {
            return Err(DatabaseFault::Packages { allowed: limits.packages });
        }
        let damaged = |fault| DatabaseFault::Header { package: number, fault };
        let header = Header::parse(blob).map_err(damaged)?;
        if let Some(package) = package(&header).map_err(damaged)? {
            claim_files(&header, packages.len(), claims).map_err(damaged)?;
            packages.push(package);
        }
        Ok(())
    })?;
    Ok(packages)
}

fn package(header: &Header<'_>) -> Result<Option<Package>, &'static str> {
    let text = |tag| header.text(tag).map(optional);
    let name = text(tag::NAME)?.ok_or("it has no name")?;
    if name == "gpg-pubkey" {
        return Ok(None);
    }
    let version = text(tag::VERSION)?.ok_or("it has no version")?;
    let release = text(tag::RELEASE)?.ok_or("it has no release")?;
    let vendor = text(tag::VENDOR)?.map(Supplier::Vendor);
    let packager = text(tag::PACKAGER)?.map(Supplier::Maintainer);
    Ok(Some(Package {
        manager: Manager::Rpm,
        name,
        version: format!("{version}-{release}"),
        epoch: header.numbers(tag::EPOCH)?.next(),
        architecture: text(tag::ARCHITECTURE)?,
        supplier: vendor.or(packager),
        source: text(tag::SOURCE)?,
        license: text(tag::LICENSE)?,
    }))
}

/// A file of a package that is there and is its own: the others were replaced, or not installed.
const NORMAL: u8 = 0;
/// A file that the package owns and does not bring.
const GHOST: u32 = 1 << 6;

/// The largest packages have some 20,000.
const MOST_FOLDERS: usize = 1 << 20;

fn claim_files(
    header: &Header<'_>,
    package: usize,
    claims: &mut Claims<'_>,
) -> Result<(), &'static str> {
    let folders: Vec<&[u8]> = header.texts(tag::FOLDERS)?.take(MOST_FOLDERS + 1).collect();
    // A name of nothing but its end takes one byte there and sixteen here.
    if folders.len() > MOST_FOLDERS {
        return Err("it has too many folders");
    }
    let mut folder_of = header.numbers(tag::FOLDER_INDEXES)?;
    let mut flags = header.numbers(tag::FILE_FLAGS)?;
    let mut states = header.bytes(tag::FILE_STATES)?.iter();
    for name in header.texts(tag::FILE_NAMES)? {
        let at = folder_of.next().ok_or("it has more files than folders for them")?;
        let folder = usize::try_from(at).ok().and_then(|at| folders.get(at));
        let folder = folder.ok_or("a file lies in a folder that it has not")?;
        let ghost = flags.next().is_some_and(|flags| flags & GHOST != 0);
        let state = states.next().copied().unwrap_or(NORMAL);
        if !ghost && state == NORMAL {
            claims.claim_in(package, folder, name);
        }
    }
    Ok(())
}
