//! Trees of many files and many levels. The full sizes are measured, see docs/performance.md.

use std::fs;

use crate::support::{DeepTree, below, options, pack, tree};

#[test]
fn folder_of_many_entries_is_packed_in_order() {
    const ENTRIES: usize = 20_000;
    let tree = tree(&[]);
    for at in 0..ENTRIES {
        fs::write(tree.path().join(at.to_string()), "").unwrap();
    }
    let (bytes, packed) = pack(&options(tree.path())).unwrap();
    let found = below(&bytes);
    assert_eq!(found.len(), ENTRIES);
    assert!(found.is_sorted());
    assert_eq!(packed.written.tar_bytes, 512 * (2 + 1 + ENTRIES as u64 + 2));
}

#[test]
fn folders_2000_deep_are_packed_without_recursion() {
    const DEPTH: usize = 2000;
    let tree = DeepTree::new((0..DEPTH).map(|_| "d"), "file");
    // On a stack in which 2,000 calls would not fit.
    let path = tree.path().to_owned();
    let small = std::thread::Builder::new().stack_size(256 << 10);
    let found = small.spawn(move || {
        let mut bytes = Vec::new();
        builder::pack(&mut bytes, &options(&path)).unwrap();
        below(&bytes)
    });
    let found = found.unwrap().join().unwrap();
    assert_eq!(found.len(), DEPTH + 1);
    assert_eq!(found[DEPTH - 1].len(), 2 * DEPTH - 1);
    assert!(found[DEPTH].ends_with("d/file"));
}
