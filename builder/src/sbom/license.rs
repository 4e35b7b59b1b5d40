//! What a database says of a package's licence, in the words of SPDX.
//!
//! SPDX wants an expression of its own identifiers (SPDX 2.3, annex D). Some databases have just
//! that; others have words of their own, older spellings, or nonsense. An expression of known
//! identifiers is taken as it is. Anything else becomes one identifier of the document's own, a
//! `LicenseRef-…`, whose text is what the database says: nothing is guessed.

use super::package::Manager;
use super::sums::token;

/// A licence as a document has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct License {
    /// What stands in the package.
    pub(super) expression: String,
    /// The identifiers of the document's own that are in there, and what they stand for.
    pub(super) references: Vec<(String, String)>,
}

impl License {
    /// What the database of this manager says.
    pub(super) fn of(manager: Manager, text: &str) -> Self {
        match manager {
            Manager::Apk | Manager::Rpm => Self::of_field(text),
            Manager::Dpkg => Self::of_debian(text),
        }
    }

    /// From an expression, or something like it.
    fn of_field(text: &str) -> Self {
        if text.len() <= LONGEST && is_expression(text) {
            return Self { expression: text.to_owned(), references: Vec::new() };
        }
        let id = format!("LicenseRef-{}", token(&[text.as_bytes()]));
        Self { expression: id.clone(), references: vec![(id, text.to_owned())] }
    }

    /// From Debian's short names, one for some of the files in each line: all of them are the
    /// package's.
    fn of_debian(text: &str) -> Self {
        let of_line = |line: &str| {
            let words = spdx_words(line).filter(|words| is_expression(words));
            Self::of_field(words.as_deref().unwrap_or(line))
        };
        let mut all: Vec<Self> = text.lines().flat_map(operands).map(of_line).collect();
        // Two spellings of one licence.
        all.sort_by(|a, b| a.expression.cmp(&b.expression));
        all.dedup();
        let alone = all.len() == 1;
        let bracketed = |expression: &str| {
            if !alone && expression.contains(" OR ") {
                format!("({expression})")
            } else {
                expression.to_owned()
            }
        };
        let parts: Vec<_> = all.iter().map(|license| bracketed(&license.expression)).collect();
        let references = all.into_iter().flat_map(|license| license.references).collect();
        Self { expression: parts.join(" AND "), references }
    }
}

/// The licences that a line names, where it says that all of them hold; else the line whole.
fn operands(line: &str) -> impl Iterator<Item = &str> {
    let all_hold = !line.contains([',', '(']) && !line.contains(" or ");
    let parts = line.split(if all_hold { " and " } else { "\n" }).map(str::trim);
    parts.filter(|part| !part.is_empty())
}

/// A line of Debian's short names in the words of SPDX, where all of them have one there.
fn spdx_words(line: &str) -> Option<String> {
    let word = |word: &str| match word {
        "and" => Some("AND".to_owned()),
        "or" => Some("OR".to_owned()),
        name => match DEBIAN.iter().find(|(debian, _)| *debian == name) {
            Some((_, spdx)) => Some((*spdx).to_owned()),
            None => is_known(name).then(|| name.to_owned()),
        },
    };
    let words: Option<Vec<String>> = line.split_ascii_whitespace().map(word).collect();
    words.map(|words| words.join(" "))
}

/// Short names of Debian that are spelled otherwise in SPDX ("Machine-readable debian/copyright
/// file", short names).
#[rustfmt::skip]
const DEBIAN: &[(&str, &str)] = &[
    ("BSD-2-clause", "BSD-2-Clause"), ("BSD-3-clause", "BSD-3-Clause"),
    ("BSD-4-clause", "BSD-4-Clause"), ("Expat", "MIT"),
    ("GFDL-1.2+", "GFDL-1.2-or-later"), ("GFDL-1.3+", "GFDL-1.3-or-later"),
    ("GPL-1+", "GPL-1.0-or-later"), ("GPL-2", "GPL-2.0-only"), ("GPL-2+", "GPL-2.0-or-later"),
    ("GPL-3", "GPL-3.0-only"), ("GPL-3+", "GPL-3.0-or-later"), ("LGPL-2", "LGPL-2.0-only"),
    ("LGPL-2+", "LGPL-2.0-or-later"), ("LGPL-2.1", "LGPL-2.1-only"),
    ("LGPL-2.1+", "LGPL-2.1-or-later"), ("LGPL-3", "LGPL-3.0-only"),
    ("LGPL-3+", "LGPL-3.0-or-later"),
];

const LONGEST: usize = 1024;

/// Operands with `AND` or `OR` between them, and brackets that match.
fn is_expression(text: &str) -> bool {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut open = 0_usize;
    let mut operand_before = false;
    let mut tokens = spaced.split_ascii_whitespace().peekable();
    while let Some(token) = tokens.next() {
        operand_before = match (token, operand_before) {
            ("(", false) => {
                open += 1;
                false
            }
            (")", true) if open > 0 => {
                open -= 1;
                true
            }
            ("AND" | "OR", true) => false,
            ("WITH", true) | (_, true) => return false,
            (id, false) if is_known(id) => {
                if tokens.next_if_eq(&"WITH").is_some() {
                    let known = tokens.next().is_some_and(|id| EXCEPTIONS.contains(&id));
                    if !known {
                        return false;
                    }
                }
                true
            }
            _ => return false,
        };
    }
    operand_before && open == 0
}

fn is_known(id: &str) -> bool {
    LICENSES.contains(&id)
}

/// Identifiers of the SPDX License List that distributions use, the deprecated ones among them.
#[rustfmt::skip]
const LICENSES: &[&str] = &[
    "0BSD", "AFL-2.1", "AFL-3.0", "AGPL-3.0", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-1.1",
    "Apache-2.0", "Artistic-1.0", "Artistic-1.0-Perl", "Artistic-2.0", "BSD-1-Clause",
    "BSD-2-Clause", "BSD-2-Clause-Patent", "BSD-3-Clause", "BSD-4-Clause", "BSD-4-Clause-UC",
    "BSD-Source-Code", "BSL-1.0", "BlueOak-1.0.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0",
    "CC-BY-SA-4.0", "CC0-1.0", "CDDL-1.0", "CECILL-2.1", "CPL-1.0", "ClArtistic", "EPL-1.0",
    "EPL-2.0", "EUPL-1.2", "FSFAP", "FSFUL", "FSFULLR", "FTL", "GFDL-1.1-or-later",
    "GFDL-1.2-or-later", "GFDL-1.3-only", "GFDL-1.3-or-later", "GPL-1.0-only", "GPL-1.0-or-later",
    "GPL-2.0", "GPL-2.0+", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0", "GPL-3.0+",
    "GPL-3.0-only", "GPL-3.0-or-later", "HPND", "HPND-sell-variant", "ICU", "IJG", "ISC",
    "LGPL-2.0-only", "LGPL-2.0-or-later", "LGPL-2.1", "LGPL-2.1+", "LGPL-2.1-only",
    "LGPL-2.1-or-later", "LGPL-3.0", "LGPL-3.0+", "LGPL-3.0-only", "LGPL-3.0-or-later", "Libpng",
    "MIT", "MIT-0", "MIT-CMU", "MIT-open-group", "MPL-1.1", "MPL-2.0",
    "MS-PL", "NCSA", "NTP", "OFL-1.0", "OFL-1.1", "OLDAP-2.8", "OpenSSL", "PHP-3.01", "PSF-2.0",
    "PostgreSQL", "Python-2.0", "Python-2.0.1", "QPL-1.0", "Ruby", "SGI-B-2.0", "SISSL", "SMLNJ",
    "Sleepycat", "TCL", "TCP-wrappers", "TU-Berlin-1.0", "UPL-1.0", "Unicode-3.0",
    "Unicode-DFS-2016", "Unlicense", "Vim", "W3C", "WTFPL", "X11", "ZPL-2.1", "Zlib",
    "blessing", "bzip2-1.0.6", "curl", "libpng-2.0", "libtiff", "zlib-acknowledgement",
];

/// The same for what stands behind `WITH`.
#[rustfmt::skip]
const EXCEPTIONS: &[&str] = &[
    "Autoconf-exception-2.0", "Autoconf-exception-3.0", "Autoconf-exception-generic",
    "Bison-exception-2.2", "Classpath-exception-2.0", "Font-exception-2.0", "GCC-exception-2.0",
    "GCC-exception-3.1", "LLVM-exception", "Libtool-exception", "Linux-syscall-note",
    "cryptsetup-OpenSSL-exception", "openvpn-openssl-exception",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn license_takes_an_expression_of_known_identifiers() {
        for text in [
            "MIT",
            "GPL-2.0-only AND (MIT OR BSD-3-Clause)",
            "((ISC))",
            "GPL-3.0-or-later WITH GCC-exception-3.1 AND LGPL-2.1-or-later",
        ] {
            let license = License::of(Manager::Apk, text);
            assert_eq!((license.expression.as_str(), license.references), (text, vec![]));
        }
    }

    #[test]
    fn license_of_other_words_is_a_reference_with_them() {
        let deep = "(".repeat(1025);
        for text in [
            "GPLv2+ and MIT",
            "MIT AND",
            "AND MIT",
            "MIT ISC",
            "(MIT",
            "MIT)",
            "()",
            "MIT WITH",
            "MIT WITH MIT",
            "MIT WITH WITH",
            "mit",
            "",
            "LicenseRef-a",
            &deep,
        ] {
            let License { expression, references } = License::of(Manager::Rpm, text);
            assert_eq!(references, [(expression.clone(), text.to_owned())]);
            assert!(expression.starts_with("LicenseRef-"), "{text:?} is no expression");
            assert_eq!(expression.len(), "LicenseRef-".len() + 32);
        }
    }

    #[test]
    fn license_of_debian_is_all_of_its_short_names() {
        let told = |text: &str| License::of(Manager::Dpkg, text);
        assert_eq!(told("Expat").expression, "MIT");
        assert_eq!(told("GPL-2+ or Expat").expression, "GPL-2.0-or-later OR MIT");
        assert_eq!(told("Expat\nMIT").expression, "MIT");
        assert_eq!(told("ISC and Expat\nExpat").expression, "ISC AND MIT");
        assert_eq!(told("ISC and  and Expat").expression, "ISC AND MIT");
        let two = told("Expat\nGPL-2+ or LGPL-3");
        assert_eq!(two.expression, "(GPL-2.0-or-later OR LGPL-3.0-only) AND MIT");
        assert_eq!(two.references, []);
        for line in ["GPL-2+ with OpenSSL exception", "public-domain", "Expat, and ISC", "or"] {
            let mixed = told(&format!("Expat\n{line}"));
            let [(id, text)] = mixed.references.as_slice() else { panic!("{mixed:?}") };
            assert!(mixed.expression.contains(id.as_str()) && mixed.expression.contains(" AND "));
            assert_eq!(text, line);
        }
    }
}
