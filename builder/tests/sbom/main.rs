//! Bills of materials against the tools whose databases they read.
//!
//! A test whose tool is not there says that it is skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "what cannot be tried here is told")]

mod apk;
mod dpkg;
mod rpm;
mod support;
