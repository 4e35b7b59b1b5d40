//! The database of apk: `lib/apk/db/installed`.
//!
//! ```text
//! C:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=
//! P:alpine-baselayout
//! V:3.6.5-r0
//! A:x86_64
//! o:alpine-baselayout
//! m:Natanael Copa <ncopa@alpinelinux.org>
//! L:GPL-2.0-only
//! F:etc
//! R:hosts
//! Z:Q1BD6zJKZTRWyqGnPi4tSfd3krsMU=
//! ```
//!
//! A letter, a colon and a value; an empty line ends a package (apk-package(5)). `F` is a folder,
//! and each `R` after it a file in there.

use super::fault::DatabaseFault;
use super::files::Claims;
use super::limits::SbomLimits;
use super::lines::Lines;
use super::package::{Manager, Package, Supplier, optional};

/// The packages of a database in its order, with their files.
pub(super) fn packages(
    content: &[u8],
    claims: &mut Claims<'_>,
    limits: &SbomLimits,
) -> Result<Vec<Package>, DatabaseFault> {
    let mut lines = Lines::new(content, limits.line_bytes);
    let mut packages = Vec::new();
    let mut record = Record::default();
    loop {
        let line = lines.next()?;
        match line {
            Some(line) if !line.is_empty() => {
                // Ten million packages of two lines each fit into the bytes that are read.
                if !record.begun && packages.len() >= limits.packages {
                    return Err(DatabaseFault::Packages { allowed: limits.packages });
                }
                record
                    .take(line, packages.len(), claims)
                    .ok_or(DatabaseFault::Form { line: lines.number() })?;
            }
            _ => packages.extend(std::mem::take(&mut record).package(lines.number())?),
        }
        if line.is_none() {
            return Ok(packages);
        }
    }
}

/// The fields that count.
#[derive(Default)]
struct Record<'a> {
    begun: bool,
    name: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    architecture: Option<&'a [u8]>,
    origin: Option<&'a [u8]>,
    maintainer: Option<&'a [u8]>,
    license: Option<&'a [u8]>,
    folder: Option<&'a [u8]>,
}

impl<'a> Record<'a> {
    fn take(&mut self, line: &'a [u8], package: usize, claims: &mut Claims<'_>) -> Option<()> {
        self.begun = true;
        let (letter, value) = (*line.first()?, line.get(1..)?.strip_prefix(b":")?);
        let field = match letter {
            b'P' => &mut self.name,
            b'V' => &mut self.version,
            b'A' => &mut self.architecture,
            b'o' => &mut self.origin,
            b'm' => &mut self.maintainer,
            b'L' => &mut self.license,
            b'F' => {
                self.folder = Some(value);
                return Some(());
            }
            b'R' => {
                claims.claim_in(package, self.folder?, value);
                return Some(());
            }
            _ => return Some(()),
        };
        // Which of two names is the package's?
        field.replace(value).is_none().then_some(())
    }

    fn package(self, line: u64) -> Result<Option<Package>, DatabaseFault> {
        if !self.begun {
            return Ok(None);
        }
        let lacks = |field| DatabaseFault::Field { line, field };
        Ok(Some(Package {
            manager: Manager::Apk,
            name: optional(self.name).ok_or_else(|| lacks("name"))?,
            version: optional(self.version).ok_or_else(|| lacks("version"))?,
            epoch: None,
            architecture: optional(self.architecture),
            supplier: optional(self.maintainer).map(Supplier::Maintainer),
            source: optional(self.origin),
            license: optional(self.license),
        }))
    }
}
