//! As `archive`, but behind the wall that a fuzzer cannot climb: every header's magic and checksum
//! are made right first. What is inspected without complaint can be unpacked, below its folder.
#![no_main]

use std::fs;

use aci::Limits;
use aci::archive::{Ownership, UnpackOptions, inspect, unpack};
use libfuzzer_sys::fuzz_target;

const BLOCK: usize = 512;

/// Gives each header of the stream the magic and the checksum it should have.
fn repair(tar: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = tar.get_mut(at..at + BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            return;
        }
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&header[124..135])
            .ok()
            .and_then(|digits| usize::from_str_radix(digits, 8).ok())
            .unwrap_or(0);
        at += BLOCK + size.min(tar.len()).next_multiple_of(BLOCK);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut tar = bytes.to_vec();
    repair(&mut tar);
    let limits = Limits { tar_bytes: 1 << 20, entries: 200, ..Limits::default() };
    let Ok(inspected) = inspect(&*tar, &limits) else { return };

    let folder = std::env::temp_dir().join(format!("gantry-fuzz-tar-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    let target = folder.join("target");
    fs::create_dir_all(&target).expect("a folder can be made");
    if let Ok(unpacked) = unpack(&*tar, &target, &UnpackOptions::new(Ownership::Caller), &limits) {
        assert_eq!(unpacked.image.image_id(), inspected.image_id());
    }
    let beside = fs::read_dir(&folder).expect("the folder is readable").count();
    assert_eq!(beside, 1, "something was written beside the target");
    let _ = fs::remove_dir_all(&folder);
});
