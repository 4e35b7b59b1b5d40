//! The document of the corpus says what is tested, and nothing that is not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The last cell of each row of the document's tables: the name of its test.
fn rows(document: &str) -> Vec<String> {
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "/");
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let rows = document.lines().filter(|line| line.starts_with("| ")).map(cells);
    let rows = rows.filter(|cells| cells.len() == 3 && cells[2].starts_with('`'));
    rows.map(|cells| cells[2].trim_matches('`').to_owned()).collect()
}

/// The functions below these folders that are tests.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line == "#[test]" {
                    is_test = true;
                } else if let Some(name) = line.strip_prefix("fn ") {
                    if is_test {
                        found.insert(name.split('(').next().unwrap().to_owned());
                    }
                    is_test = false;
                }
            }
        }
    }
}

#[test]
fn every_case_of_the_document_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = fs::read_to_string(root.join("docs/corpus-packing.md")).unwrap();
    let rows = rows(&document);
    let mut found = BTreeSet::new();
    for folder in ["builder/src", "builder/tests", "aci/src/archive", "tests"] {
        tests(&root.join(folder), &mut found);
    }
    let named: BTreeSet<_> = rows.iter().cloned().collect();
    let absent: Vec<_> = named.difference(&found).collect();
    assert!(absent.is_empty(), "no such test: {absent:#?}");
    println!("corpus packing: {} rows, {} tests", rows.len(), named.len());
    assert_eq!(rows.len(), named.len(), "a test stands in two rows");
    let lines =
        document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case"));
    assert_eq!(lines.count(), rows.len(), "a row names no test");
    assert!(rows.len() > 60, "the document's table is not found");
}
