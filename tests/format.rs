//! The commands that work on image files: what they say, what they write, and what they leave
//! alone, with the tools of others as judges.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

mod format {
    mod convert;
    mod diff;
    mod inspect;
    mod patch;
    mod validate;
}
