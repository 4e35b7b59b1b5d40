//! Any file can be inspected without a panic, and the result does not depend on how its bytes
//! arrive. What nothing is wrong with is accepted, and what is accepted can be rendered.
#![no_main]

use std::io::{self, Read};

use aci::archive::{ArchiveError, inspect, read_entries, validate};
use aci::plan::{PlanEntry, PlanImage, plan};
use aci::{Limits, Severity};
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
    let validated = validate(bytes, &limits).expect("bytes can be read");
    if !validated.has(Severity::Error) {
        assert!(whole.is_ok(), "nothing is wrong with it, but {whole:?}");
    }
    match (whole, trickled) {
        (Ok(whole), Ok(trickled)) => {
            assert_eq!(whole.image_id(), trickled.image_id());
            assert_eq!(whole.file_digest(), trickled.file_digest());
            assert_eq!(whole.file_bytes(), bytes.len() as u64);
            assert_eq!(validated.image_id.as_ref(), Some(whole.image_id()));
        }
        (Err(_), Err(_)) => return,
        (whole, trickled) => panic!("one way accepted, the other not: {whole:?} {trickled:?}"),
    }

    let mut entries = Vec::new();
    let image = read_entries(bytes, &limits, |entry, _| {
        entries.push(PlanEntry { path: entry.path, kind: entry.kind });
        Ok::<_, ArchiveError>(())
    })
    .expect("it was read before");
    let mut manifest = image.manifest().clone();
    manifest.dependencies.clear();
    let image = PlanImage {
        image_id: image.image_id(),
        manifest: &manifest,
        file_bytes: Some(image.file_bytes()),
        entries: &entries,
    };
    let planned = plan(&image, &[], &limits).expect("an image that was accepted can be rendered");
    if manifest.path_whitelist.is_empty() {
        assert!(planned.files.len() >= entries.len());
    }
});
