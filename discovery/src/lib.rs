//! The client: resolve, fetch, verify, store, render, hand to a runtime; push.
//!
//! Made to be embedded: it knows no command line and prints nothing. What it needs is passed in:
//! folders, trusted keys, the time, limits. What waits for the network is a future, and dropping
//! it leaves the store as it was. Who wants to hear of progress is an [`observer::Observer`];
//! every error has a [`Kind`] and says what was wanted, what was found, which rule and what to do
//! next ([`Refuse`]).
//!
//! It has no state outside of what it is given, but for one thing that rustls keeps for the whole
//! process: where the program has not installed a provider of cryptography, [`Client`] installs
//! ring.
//!
//! The example `fetch_verified` of this crate is a whole program:
//!
//! ```no_run

// Tests may read the clock and write files as they like; nothing else may: clippy.toml.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]
#![doc = include_str!("../examples/fetch_verified.rs")]
//! ```

pub mod bundle;
mod client;
mod closure;
pub mod config;
pub mod credentials;
mod error;
pub mod explain;
pub mod fetch;
pub mod html;
pub mod http;
pub mod mirror;
pub mod observer;
pub mod pod;
pub mod published;
pub mod push;
pub mod refresh;
pub mod render;
pub mod resolve;
pub mod route;
pub mod runtime;
pub mod store;
pub mod transfer;
mod unverified;

pub use aci::{ImageId, Limits, Name, Reference, Refusal, Refuse};
pub use client::{Client, ClientOptions};
pub use closure::ClosureError;
pub use config::Config;
pub use error::{Error, Kind, chain, printable, printable_line};
pub use fetch::{Fetched, Source, Trust};
pub use keys::TrustStore;
pub use store::Store;
pub use unverified::Unverified;
