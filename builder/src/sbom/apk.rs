//! The database of apk: `lib/apk/db/installed`.
//!
//! ```text
//! C:Q1AAECAwQFBgcICQoLDA0ODxAREhM=
//! P:alpine-baselayout
//! V:3.6.5-r0
//! A:x86_64
//! o:alpine-baselayout
//! m:A Maintainer <maintainer@example.com>
//! L:GPL-2.0-only
//! F:etc
//! R:hosts
//! Z:Q1EhMUFRYXGBkaGxwdHh8gISIjJCU=
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<Package>, DatabaseFault> {
        packages(text.as_bytes(), &mut Claims::new(None, 0), &SbomLimits::default())
    }

    #[test]
    fn apk_packages_have_their_fields() {
        let text = "C:Q1x=\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\nm:T <t@example.com>\n\
            F:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\n\n\nP:b\nV:1";
        let packages = read(text).unwrap();
        let [musl, b] = packages.as_slice() else { panic!("{packages:?}") };
        assert_eq!((musl.name.as_str(), musl.version.as_str()), ("musl", "1.2.5-r0"));
        assert_eq!(musl.license.as_deref(), Some("MIT"));
        assert_eq!(musl.source.as_deref(), Some("musl"));
        assert_eq!((b.name.as_str(), b.architecture.as_deref()), ("b", None));
    }

    #[test]
    fn apk_refuses_what_is_no_database() {
        let form = |line| Err(DatabaseFault::Form { line });
        assert_eq!(read("P:a\nV:1\nnonsense\n"), form(3));
        assert_eq!(read("P:a\nR:file-without-folder\n"), form(2));
        assert_eq!(read("P:a\nP:b\nV:1\n"), form(2));
        assert_eq!(read("P"), form(1));
        assert_eq!(read("P:a\n\n"), Err(DatabaseFault::Field { line: 2, field: "version" }));
        let limits = SbomLimits { packages: 1, line_bytes: 9, ..SbomLimits::default() };
        let limited = |text: &[u8]| packages(text, &mut Claims::new(None, 0), &limits);
        let two = limited(b"P:a\nV:1\n\nP:b\nV:1\n");
        assert_eq!(two, Err(DatabaseFault::Packages { allowed: 1 }));
        assert_eq!(limited(b"P:a\nV:1\n\n").unwrap().len(), 1);
        let endless = limited(b"P:aaaaaaaaaaaa");
        assert_eq!(endless, Err(DatabaseFault::Line { line: 1, allowed: 9 }));
    }

    proptest! {
        #[test]
        fn apk_never_panics(text in "([PVAFRZ]?[:\n/aé]{0,3}){0,40}") {
            let limits = SbomLimits { packages: 3, line_bytes: 9, ..SbomLimits::default() };
            let _ = packages(text.as_bytes(), &mut Claims::new(None, 0), &limits);
        }
    }
}
