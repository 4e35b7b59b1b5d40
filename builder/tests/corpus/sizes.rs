//! Sizes of files, and folders with nothing in them.

use std::fs::File;
use std::io::{self, Write};

use crate::support::{entries, options, pack, packed, set_mode, tree};

#[test]
fn size_around_a_block_is_padded_right() {
    let tree = tree(&[]);
    let sizes = [0, 1, 511, 512, 513, 1024];
    for size in sizes {
        std::fs::write(tree.path().join(size.to_string()), vec![b'x'; size]).unwrap();
    }
    let (bytes, packed) = pack(&options(tree.path())).unwrap();
    // Two for the manifest, one for the root, two zero blocks, and of each file the header.
    let blocks = 2 + 1 + 2 + sizes.len() + [0, 1, 1, 1, 2, 2].iter().sum::<usize>();
    assert_eq!(bytes.len(), blocks * 512);
    assert_eq!(packed.written.tar_bytes, bytes.len() as u64);
    for (path, seen) in entries(&bytes).split_off(2) {
        let size = std::str::from_utf8(&path[7..]).unwrap().parse().unwrap();
        assert_eq!(seen.content, vec![b'x'; size]);
    }
}

/// Takes the first bytes, and then no more.
struct Beginning(Vec<u8>);

impl Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        if self.0.len() < 4096 { Ok(bytes.len()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn size_around_8_gib_is_in_ustar_then_in_pax() {
    const GIB_8: u64 = 8 << 30;
    for size in [GIB_8 - 1, GIB_8, GIB_8 + 1] {
        let tree = tree(&[]);
        File::create(tree.path().join("f")).unwrap().set_len(size).unwrap();
        let mut out = Beginning(Vec::new());
        builder::pack(&mut out, &options(tree.path())).unwrap_err();
        // manifest, its content, rootfs, then the file.
        let header = &out.0[3 * 512..];
        if size < GIB_8 {
            assert_eq!(&header[124..136], b"77777777777\0");
            assert_eq!(header[156], b'0');
        } else {
            assert_eq!(header[156], b'x');
            let record = format!("19 size={size}\n");
            assert_eq!(&header[512..512 + record.len()], record.as_bytes());
            assert_eq!(&header[1024 + 124..1024 + 136], b"00000000000\0");
        }
    }
}

#[test]
fn empty_rootfs_is_an_image() {
    let tree = tree(&[]);
    let (bytes, packed) = pack(&options(tree.path())).unwrap();
    assert_eq!(crate::support::paths(&bytes), ["manifest", "rootfs"]);
    assert_eq!(packed.warnings, []);
}

#[test]
fn empty_folder_is_kept() {
    let tree = tree(&["a/", "b/c/"]);
    let all = packed(&options(tree.path()));
    assert_eq!(all.len(), 5);
    assert_eq!(all[&b"rootfs/b/c"[..]].kind, tar::EntryType::Directory);
}

#[test]
fn folder_that_is_read_only_is_kept() {
    let tree = tree(&["a/f"]);
    set_mode(&tree.path().join("a"), 0o555);
    let all = packed(&options(tree.path()));
    assert_eq!(all[&b"rootfs/a"[..]].mode, 0o555);
    assert_eq!(all[&b"rootfs/a/f"[..]].content, b"a/f");
    set_mode(&tree.path().join("a"), 0o755);
}
