//! `docs/corpus-packing.md` and `docs/corpus-reading.md` have a test for each case that breaks
//! packers and readers, and every one of these tests exists.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

/// The names of all tests in the Rust sources below a folder.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some(name) = line.trim_start_matches("async ").strip_prefix("fn ") {
                    if is_test {
                        found.insert(name.split('(').next().unwrap().to_owned());
                    }
                    is_test = false;
                }
            }
        }
    }
}

/// What stands in the last column of the tables: the name of the row's test.
fn named(document: &str) -> Vec<String> {
    let rows = document.lines().filter(|line| {
        line.starts_with("| ") && !line.starts_with("| case") && !line.starts_with("|---")
    });
    let name = |row: &str| {
        let cell = row.strip_suffix('|')?.rsplit('|').next()?.trim();
        cell.strip_prefix('`')?.strip_suffix('`').map(str::to_owned)
    };
    rows.map(|row| name(row).unwrap_or_else(|| panic!("no test in the row {row}"))).collect()
}

fn every_row_has_a_test_of_its_own(corpus: &str, least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = root.join("docs").join(format!("corpus-{corpus}.md"));
    let rows = named(&fs::read_to_string(document).unwrap());
    let mut found = BTreeSet::new();
    for folder in ["aci", "builder", "keys", "discovery", "src", "tests"] {
        tests_below(&root.join(folder), &mut found);
    }
    let absent: Vec<_> = rows.iter().filter(|row| !found.contains(*row)).collect();
    assert!(absent.is_empty(), "no such tests: {absent:#?}");
    let tests: BTreeSet<_> = rows.iter().collect();
    // Not by println, which a test that passes keeps to itself.
    let count = format!("corpus {corpus}: {} rows, {} tests\n", rows.len(), tests.len());
    std::io::stdout().write_all(count.as_bytes()).unwrap();
    assert_eq!(rows.len(), tests.len(), "a test stands in two rows");
    assert!(rows.len() >= least, "only {} rows were found: the search is broken", rows.len());
}

#[test]
fn corpus_of_packing_has_its_tests() {
    every_row_has_a_test_of_its_own("packing", 60);
}

#[test]
fn corpus_of_reading_has_its_tests() {
    every_row_has_a_test_of_its_own("reading", 100);
}
