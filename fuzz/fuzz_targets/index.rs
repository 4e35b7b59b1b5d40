//! An index as it lies in a store, and an image that gets one: what an index says is where it
//! says, every content is read back from the archive by itself, and whoever hashes the file
//! elsewhere is told the same of it.
#![no_main]

use std::io::Cursor;
use std::sync::OnceLock;

use aci::archive::{
    AccessPoint, ArchiveParts, IndexEntry, IndexReader, IndexRecord, inspect, inspect_hashed,
    inspect_indexed,
};
use aci::{ContentHash, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    read_index(bytes);
    let limits = Limits { tar_bytes: 4 << 20, ..Limits::default() };
    let mut index = Vec::new();
    let (plain, indexed) = (inspect(bytes, &limits), inspect_indexed(bytes, &limits, &mut index));
    let (image, (same, seal)) = match (plain, indexed) {
        (Ok(image), Ok(indexed)) => (image, indexed),
        (Err(_), Err(_)) => return,
        (plain, indexed) => panic!("{plain:?}, with an index {indexed:?}"),
    };
    assert_eq!(image.image_id(), same.image_id());
    assert_eq!(seal.bytes, index.len() as u64);
    let digest = OnceLock::from(image.file_digest().clone());
    let hashed = inspect_hashed(bytes, &digest, &limits).expect("it is the same image");
    assert_eq!((hashed.image_id(), hashed.file_digest()), (image.image_id(), image.file_digest()));

    let (entries, points) = read_index(&index).expect("an index that was written is one");
    assert_eq!(entries.len() as u64, seal.entries);
    let mut parts = ArchiveParts::new(Cursor::new(bytes), image.compression(), points, &limits);
    // From the last to the first: each begins anew where it can.
    for content in entries.iter().rev().filter_map(|entry| entry.content) {
        parts.seek(content.offset).expect("the place is in the archive");
        let (mut hash, mut left) = (ContentHash::default(), content.size as usize);
        let mut buffer = [0; 4096];
        while left > 0 {
            let want = left.min(buffer.len());
            match parts.read(&mut buffer[..want]).expect("it was read before") {
                0 => panic!("the archive ends before a content does"),
                got => {
                    hash.update(&buffer[..got]);
                    left -= got;
                }
            }
        }
        assert_eq!(hash.finish(), content.digest);
    }
});

/// All records, each of which is read by itself as well; `None` where it is no whole index.
fn read_index(bytes: &[u8]) -> Option<(Vec<IndexEntry>, Vec<AccessPoint>)> {
    let mut reader = IndexReader::new(bytes).ok()?;
    let (mut entries, mut points) = (Vec::new(), Vec::new());
    while let Some((place, record)) = reader.next_record().ok()? {
        let alone = IndexReader::at(&bytes[place as usize..], place).next_record();
        assert_eq!(alone.ok().flatten(), Some((place, record.clone())));
        match record {
            IndexRecord::Entry(entry) => entries.push(entry),
            IndexRecord::Point(point) => points.push(point),
            IndexRecord::End { .. } => {}
        }
    }
    Some((entries, points))
}
