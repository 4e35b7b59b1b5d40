//! Any file can be inspected without a panic, and the result does not depend on how its bytes
//! arrive.
#![no_main]

use std::io::{self, Read};

use aci::Limits;
use aci::archive::inspect;
use libfuzzer_sys::fuzz_target;

/// Gives a few bytes at a time, as a slow network does.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(7);
        self.0.read(&mut buffer[..length])
    }
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { tar_bytes: 4 << 20, ratio_floor: 1 << 20, ..Limits::default() };
    let whole = inspect(bytes, &limits);
    let trickled = inspect(Trickle(bytes), &limits);
    match (whole, trickled) {
        (Ok(whole), Ok(trickled)) => {
            assert_eq!(whole.image_id(), trickled.image_id());
            assert_eq!(whole.file_digest(), trickled.file_digest());
            assert_eq!(whole.file_bytes(), bytes.len() as u64);
        }
        (Err(_), Err(_)) => {}
        (whole, trickled) => panic!("one way accepted, the other not: {whole:?} {trickled:?}"),
    }
});
