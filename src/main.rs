//! The `gantry` command.

// Tests may read the clock and write files as they like; nothing else may: clippy.toml.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod cli;

use std::process::ExitCode;

/// Requests are answered by one thread and let go by another, where the C library's allocator has threads
/// wait for each other: docs/performance.md. How it keeps memory is said in .cargo/config.toml.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
