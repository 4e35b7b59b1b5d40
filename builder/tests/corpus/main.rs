//! The cases that break packers: one test for each row of `docs/corpus-packing.md`.
//!
//! What needs another user or a file system of its own gets it: such a test runs itself once more
//! in a child. What needs root says that it is skipped where there is none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "what cannot be tried here is told")]

/// The name of the test that calls it, as the test program takes it.
macro_rules! this_test {
    () => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here);
        name.split_once("::").unwrap().1.strip_suffix("::here").unwrap()
    }};
}
mod attributes;
mod changes;
mod exec;
mod golden;
mod ignore;
mod kinds;
mod links;
mod mounts;
mod overrides;
mod owners;
mod pack;
mod paths;
mod scale;
mod sizes;
mod support;
mod times;
