//! Debian's machine-readable copyright files: `usr/share/doc/NAME/copyright`.
//!
//! ```text
//! Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
//!
//! Files: *
//! Copyright: 2001 Jane Doe
//! License: GPL-2+ or Artistic
//!
//! Files: debian/*
//! Copyright: 2010 John Doe
//! License: Expat
//! ```
//!
//! Of each paragraph about files the short names of its licences are taken. They are those of the
//! source that a package was built from. A file in another form says nothing to a machine, and
//! that is no fault.

use std::collections::BTreeSet;

use super::lines::{Lines, text};

/// More licences than this are no statement that anybody reads.
const MOST: usize = 64;

/// No short name is longer.
const LONGEST: usize = 256;

const FORMATS: [&str; 2] =
    ["www.debian.org/doc/packaging-manuals/copyright-format/1.0", "dep.debian.net/deps/dep5"];

/// The licences that the file names, each once and one in each line, in order; `None` where it
/// is not of this form.
pub(super) fn licenses(content: &[u8], line_bytes: usize) -> Option<String> {
    let mut lines = Lines::new(content, line_bytes);
    let field = |line: Option<&[u8]>| {
        let line = line?;
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((line[..colon].to_ascii_lowercase(), text(&line[colon + 1..])))
    };
    let (name, format) = field(lines.next().ok()?)?;
    let address = format.trim_start_matches("http").trim_start_matches('s');
    let address = address.trim_start_matches("://").trim_end_matches('/');
    if name != b"format" || !FORMATS.contains(&address) {
        return None;
    }
    let mut found = BTreeSet::new();
    let mut about_files = false;
    while let Some(line) = lines.next().ok()? {
        if line.trim_ascii().is_empty() {
            about_files = false;
        }
        // What a line begins with that goes on is no name of a field.
        match field(Some(line)) {
            Some((name, _)) if name == b"files" => about_files = true,
            Some((name, license)) if name == b"license" && about_files => {
                if license.is_empty() || license.len() > LONGEST || found.len() >= MOST {
                    return None;
                }
                found.insert(license);
            }
            _ => {}
        }
    }
    (!found.is_empty()).then(|| found.into_iter().collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMAT: &str =
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n";

    fn told(rest: &str) -> Option<String> {
        licenses(format!("{FORMAT}{rest}").as_bytes(), 1000)
    }

    #[test]
    fn copyright_names_the_licences_of_files() {
        let text = "Upstream-Name: a\nLicense: of-the-header\n\nFiles: *\nCopyright: A\n B\n\
            License: GPL-2+ or Artistic\n This is free.\n License: no-field\n\nLicense: alone\n\n\
            files: debian/*\nlicense: Expat\n\nFiles: x\nLicense: Expat\n";
        assert_eq!(told(text), Some("Expat\nGPL-2+ or Artistic".to_owned()));
    }

    #[test]
    fn copyright_of_another_form_says_nothing() {
        for text in ["", "Files: *\n", "License: x\n", "Files: *\nLicense:\n text\n"] {
            assert_eq!(told(text), None, "{text:?}");
        }
        let files = "Files: *\nLicense: Expat\n";
        assert_eq!(licenses(files.as_bytes(), 1000), None);
        assert_eq!(licenses(format!("\n{FORMAT}{files}").as_bytes(), 1000), None);
        assert_eq!(licenses(format!("Format: mine\n\n{files}").as_bytes(), 1000), None);
        assert_eq!(told(&format!("{files} {}\n", "x".repeat(1000))), None);
        assert_eq!(told(&format!("Files: *\nLicense: {}\n", "x".repeat(257))), None);
        let many: String = (0..65).map(|at| format!("\nFiles: *\nLicense: {at}\n")).collect();
        assert_eq!(told(&many), None);
    }

    proptest! {
        #[test]
        fn copyright_never_panics(rest in "((Files|License)?[: \n\té]{0,3}){0,30}") {
            told(&rest);
        }
    }
}
