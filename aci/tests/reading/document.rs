//! `docs/corpus-reading.md` names one test for each case, and every one of them exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names in the last column of the table.
fn rows(document: &str) -> Vec<String> {
    let cells = document.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let last = cells.filter_map(|row| row.rsplit('|').next());
    last.filter_map(|cell| cell.trim().strip_prefix('`')?.strip_suffix('`'))
        .map(str::to_owned)
        .collect()
}

/// The names of all tests in the Rust sources below a folder.
fn tests_below(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                tests_below(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(text.split("#[test]").skip(1).filter_map(|rest| {
                let name = rest.split_once("fn ")?.1.split_once('(')?.0;
                Some(name.to_owned())
            }));
        }
    }
}

#[test]
fn document_names_a_test_for_every_case() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let rows = rows(&fs::read_to_string(root.join("docs/corpus-reading.md")).unwrap());
    let mut sources = BTreeSet::new();
    for folder in ["aci", "keys", "discovery", "tests"] {
        tests_below(&root.join(folder), &mut sources);
    }
    let missing: Vec<_> = rows.iter().filter(|row| !sources.contains(*row)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
    let tests: BTreeSet<_> = rows.iter().collect();
    println!("corpus reading: {} rows, {} tests", rows.len(), tests.len());
    assert_eq!(rows.len(), tests.len(), "a test stands in two rows");
    assert!(rows.len() > 100, "only {} rows were found, so the search is broken", rows.len());
}
