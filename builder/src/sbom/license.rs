//! What a database says of a package's licence, in the words of SPDX.
//!
//! SPDX wants an expression of its own identifiers (SPDX 2.3, annex D). Some databases have just
//! that; others have words of their own, older spellings, or nonsense. An expression of known
//! identifiers is taken as it is. Anything else becomes one identifier of the document's own, a
//! `LicenseRef-…`, whose text is what the database says: nothing is guessed.

use super::sums::token;

/// A licence as a document has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum License {
    /// An expression of known identifiers.
    Expression(String),
    /// An identifier of the document's own, and what it stands for.
    Reference { id: String, text: String },
}

impl License {
    pub(super) fn of(text: &str) -> Self {
        if text.len() <= LONGEST && is_expression(text) {
            return Self::Expression(text.to_owned());
        }
        Self::Reference {
            id: format!("LicenseRef-{}", token(&[text.as_bytes()])),
            text: text.to_owned(),
        }
    }

    /// What stands in the package.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Expression(id) | Self::Reference { id, .. } => id,
        }
    }
}

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
    "MIT", "MIT-0", "MIT-CMU", "MIT-open-group", "MPL-1.1", "MPL-2.0", "MPL-2.0-no-copyleft-exception",
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
    "OpenSSL-exception", "cryptsetup-OpenSSL-exception", "openvpn-openssl-exception",
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
            assert_eq!(License::of(text), License::Expression(text.to_owned()));
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
            let License::Reference { id, text: kept } = License::of(text) else {
                panic!("{text:?} is no expression");
            };
            assert_eq!(kept, text);
            assert_eq!(id.len(), "LicenseRef-".len() + 32);
        }
    }
}
