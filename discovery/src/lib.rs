//! The client: resolve, fetch, verify, store, render, hand to a runtime; push.

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

pub use client::{Client, ClientOptions};
pub use closure::ClosureError;
pub use config::Config;
pub use error::{Error, Kind, printable, printable_line};
pub use store::Store;
