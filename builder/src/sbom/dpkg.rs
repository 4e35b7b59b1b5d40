//! The databases of dpkg: `var/lib/dpkg/status`, or one file for each package in
//! `var/lib/dpkg/status.d`, as images without a shell have it.
//!
//! ```text
//! Package: libc6
//! Status: install ok installed
//! Architecture: amd64
//! Source: glibc
//! Version: 2.36-9+deb12u10
//! Maintainer: Maintainers of libc <libc@example.com>
//! Description: GNU C Library: Shared libraries
//!  Contains the standard libraries that are used by nearly all programs.
//! ```
//!
//! Paragraphs end with an empty line (deb-control(5), dpkg-query(1)). Listed is what is unpacked
//! at least: not what is `not-installed`, and not what left nothing but `config-files`. A
//! paragraph without a status counts as installed.

use std::collections::HashMap;

use super::fault::DatabaseFault;
use super::files::Claims;
use super::limits::SbomLimits;
use super::lines::Lines;
use super::package::{Manager, Package, Supplier, optional};

/// The packages of one database, in its order.
pub(super) fn packages(content: &[u8], limits: &SbomLimits) -> Result<Vec<Package>, DatabaseFault> {
    let mut lines = Lines::new(content, limits.line_bytes);
    let mut packages = Vec::new();
    let mut paragraph = Paragraph::default();
    loop {
        let line = lines.next()?;
        match line {
            Some(line) if !line.trim_ascii().is_empty() => {
                paragraph.take(line).ok_or(DatabaseFault::Form { line: lines.number() })?;
            }
            _ => {
                let ended = std::mem::take(&mut paragraph);
                let package = ended.package(lines.number())?;
                // Ten million packages of three lines each fit into the bytes that are read.
                if package.is_some() && packages.len() >= limits.packages {
                    return Err(DatabaseFault::Packages { allowed: limits.packages });
                }
                packages.extend(package);
            }
        }
        if line.is_none() {
            return Ok(packages);
        }
    }
}

/// The fields that count.
#[derive(Default)]
struct Paragraph<'a> {
    begun: bool,
    name: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    architecture: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    source: Option<&'a [u8]>,
    maintainer: Option<&'a [u8]>,
}

impl<'a> Paragraph<'a> {
    /// Takes a line in; `None` where it is none of a paragraph.
    fn take(&mut self, line: &'a [u8]) -> Option<()> {
        let continues = line.starts_with(b" ") || line.starts_with(b"\t");
        if continues {
            return self.begun.then_some(());
        }
        self.begun = true;
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let is = |field: &[u8]| name.eq_ignore_ascii_case(field);
        let field = if is(b"Package") {
            &mut self.name
        } else if is(b"Version") {
            &mut self.version
        } else if is(b"Architecture") {
            &mut self.architecture
        } else if is(b"Status") {
            &mut self.status
        } else if is(b"Source") {
            &mut self.source
        } else if is(b"Maintainer") {
            &mut self.maintainer
        } else {
            return Some(());
        };
        // Which of two names is the package's?
        field.replace(value).is_none().then_some(())
    }

    fn package(self, line: u64) -> Result<Option<Package>, DatabaseFault> {
        if !self.begun || !self.is_there() {
            return Ok(None);
        }
        let lacks = |field| DatabaseFault::Field { line, field };
        let version = optional(self.version).ok_or_else(|| lacks("version"))?;
        Ok(Some(Package {
            manager: Manager::Dpkg,
            name: optional(self.name).ok_or_else(|| lacks("name"))?,
            source: optional(self.source).map(|source| match source.split_once(" (") {
                Some((name, its_version)) => {
                    format!("{name} {}", its_version.trim_end_matches(')'))
                }
                None => format!("{source} {version}"),
            }),
            version,
            epoch: None,
            architecture: optional(self.architecture),
            supplier: optional(self.maintainer).map(Supplier::Maintainer),
            // Stands elsewhere, in a file of its own.
            license: None,
        }))
    }

    /// The third word of the status is what has happened, the first one only what is wanted.
    fn is_there(&self) -> bool {
        let state = self.status.map(|status| {
            let mut words = status.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            words.nth(2).unwrap_or_default()
        });
        !matches!(state, Some(b"not-installed" | b"config-files"))
    }
}

/// Files that a package brings under one name and that were put under another for a second
/// package's sake (dpkg-divert(1)).
#[derive(Default)]
pub(super) struct Diversions<'a>(HashMap<&'a [u8], (&'a [u8], &'a [u8])>);

impl<'a> Diversions<'a> {
    /// Three lines each: from where, to where, for which package.
    pub(super) fn parse(content: &'a [u8], limits: &SbomLimits) -> Result<Self, DatabaseFault> {
        let mut lines = Lines::new(content, limits.line_bytes);
        let mut all = HashMap::new();
        while let Some(from) = lines.next()? {
            let (Some(to), Some(package)) = (lines.next()?, lines.next()?) else {
                return Err(DatabaseFault::Form { line: lines.number() });
            };
            // Lines of one byte each become fifty bytes here.
            if all.len() >= limits.owned_files {
                return Err(DatabaseFault::OwnedFiles { allowed: limits.owned_files });
            }
            all.insert(from, (to, package));
        }
        Ok(Self(all))
    }

    fn real<'b>(&self, package: &str, path: &'b [u8]) -> &'b [u8]
    where
        'a: 'b,
    {
        match self.0.get(path) {
            Some((to, other)) if *other != package.as_bytes() => to,
            _ => path,
        }
    }
}

/// Takes in `NAME.list`: one absolute path a line, folders among them.
pub(super) fn claim_list(
    claims: &mut Claims<'_>,
    (at, package): (usize, &Package),
    list: &[u8],
    diversions: &Diversions<'_>,
    limits: &SbomLimits,
) -> Result<(), DatabaseFault> {
    let mut lines = Lines::new(list, limits.line_bytes);
    while let Some(path) = lines.next()? {
        claims.claim(at, diversions.real(&package.name, path));
    }
    Ok(())
}

/// Takes in `NAME.md5sums`: a digest, two blanks, and a path that begins at the root.
pub(super) fn claim_sums(
    claims: &mut Claims<'_>,
    package: usize,
    sums: &[u8],
    limits: &SbomLimits,
) -> Result<(), DatabaseFault> {
    let mut lines = Lines::new(sums, limits.line_bytes);
    while let Some(line) = lines.next()? {
        let path = line.get(32..).and_then(|rest| rest.strip_prefix(b"  "));
        claims.claim(package, path.ok_or(DatabaseFault::Form { line: lines.number() })?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<Package>, DatabaseFault> {
        packages(text.as_bytes(), &SbomLimits::default())
    }

    #[test]
    fn dpkg_packages_have_their_fields() {
        let status = "Package: libc6\nStatus: install ok installed\nSource: glibc (2.36-9)\n\
            Version: 2.36-9+b1\nArchitecture: amd64\nmaintainer: A <a@example.com>\n\
            Description: C\n Package: not this\n\tVersion: nor this\n\n\n\
            Package: b\nVersion: 1:2\nSource: c";
        let packages = read(status).unwrap();
        let [libc, b] = packages.as_slice() else { panic!("{packages:?}") };
        assert_eq!((libc.name.as_str(), libc.version.as_str()), ("libc6", "2.36-9+b1"));
        assert_eq!(libc.architecture.as_deref(), Some("amd64"));
        assert_eq!(libc.source.as_deref(), Some("glibc 2.36-9"));
        assert_eq!(libc.supplier, Some(Supplier::Maintainer("A <a@example.com>".into())));
        assert_eq!((b.name.as_str(), b.source.as_deref()), ("b", Some("c 1:2")));
    }

    #[test]
    fn dpkg_lists_what_is_there_whatever_was_wanted() {
        let named = |status: &str| read(&format!("Package: a\nStatus: {status}\nVersion: 1\n"));
        for there in ["install ok installed", "deinstall ok installed", "hold ok unpacked"] {
            assert_eq!(named(there).unwrap().len(), 1, "{there}");
        }
        for gone in ["deinstall ok config-files", "unknown ok not-installed"] {
            assert_eq!(named(gone).unwrap().len(), 0, "{gone}");
        }
        // These have no version to complain of.
        assert_eq!(read("Package: a\nStatus: purge ok not-installed\n"), Ok(vec![]));
    }

    #[test]
    fn dpkg_refuses_what_is_no_database() {
        let form = |line| Err(DatabaseFault::Form { line });
        assert_eq!(read("Package: a\nnonsense\n"), form(2));
        assert_eq!(read(" continued\n"), form(1));
        assert_eq!(read("Package: a\npackage: b\nVersion: 1\n"), form(2));
        let lacks = |line, field| Err(DatabaseFault::Field { line, field });
        assert_eq!(read("Package: a\n\n"), lacks(2, "version"));
        assert_eq!(read("Version: 1"), lacks(1, "name"));
        assert_eq!(read("\n\n"), Ok(vec![]));
        let limits = SbomLimits { packages: 1, line_bytes: 20, ..SbomLimits::default() };
        let two = b"Package: a\nVersion: 1\n\nPackage: b\nVersion: 1\n";
        assert_eq!(packages(two, &limits), Err(DatabaseFault::Packages { allowed: 1 }));
        let long = format!("Package: {}", "a".repeat(20));
        let fault = DatabaseFault::Line { line: 1, allowed: 20 };
        assert_eq!(packages(long.as_bytes(), &limits), Err(fault));
    }

    #[test]
    fn diversions_are_for_all_packages_but_one() {
        let content = b"/bin/sh\n/bin/sh.distrib\ndash\n";
        let limits = SbomLimits::default();
        let diversions = Diversions::parse(content, &limits).unwrap();
        assert_eq!(diversions.real("bash", b"/bin/sh"), b"/bin/sh.distrib");
        assert_eq!(diversions.real("dash", b"/bin/sh"), b"/bin/sh");
        assert_eq!(diversions.real("bash", b"/bin/ls"), b"/bin/ls");
        let limits = SbomLimits { owned_files: 0, ..limits };
        let many = Diversions::parse(content, &limits);
        assert_eq!(many.err(), Some(DatabaseFault::OwnedFiles { allowed: 0 }));
        let cut = Diversions::parse(b"/bin/sh\n/bin/sh.distrib", &limits);
        assert_eq!(cut.err(), Some(DatabaseFault::Form { line: 2 }));
    }

    #[test]
    fn sums_have_a_digest_before_each_path() {
        let limits = SbomLimits::default();
        let claim = |sums: &str| claim_sums(&mut Claims::new(None, 1), 0, sums.as_bytes(), &limits);
        assert_eq!(claim(&format!("{}  usr/bin/a\n", "0".repeat(32))), Ok(()));
        assert_eq!(claim("usr/bin/a\n"), Err(DatabaseFault::Form { line: 1 }));
    }

    proptest! {
        #[test]
        fn dpkg_never_panics(text in "((Package|Version|Status|Source|x)?[: \n\t(a)é]{0,4}){0,40}") {
            let limits = SbomLimits { packages: 3, line_bytes: 30, ..SbomLimits::default() };
            let _ = packages(text.as_bytes(), &limits);
            let _ = Diversions::parse(text.as_bytes(), &limits);
        }
    }
}
