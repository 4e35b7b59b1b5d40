//! The crate as its users see it, against real gpg.

mod flips;
mod generate;
mod gpg;
mod receive;
mod refusals;
mod support;
mod trust_store;
