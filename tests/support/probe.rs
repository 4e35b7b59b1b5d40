//! A program for images: it shows what it sees, and needs no other file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program, built once: `discovery/tests/probe.c`.
pub fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let building = folder.join(format!("run-probe-{}", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/discovery/tests/probe.c");
        let mut cc = Command::new("cc");
        let built = cc.args(["-static", "-O1", "-o"]).arg(&building).arg(source).status().unwrap();
        assert!(built.success(), "cc -static failed: the C library's static part is needed");
        let program = folder.join("run-probe");
        fs::rename(building, &program).unwrap();
        program
    })
}
