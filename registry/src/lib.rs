//! The server: ingest, catalogue, blobs, API.
//!
//! A push goes spool → inspect → verify → store → record (`ingest.rs`), and until
//! the last of these is done nothing of it can be fetched. Images and signatures
//! are kept and served as their authors made them; the server signs nothing.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = registry::Config {
//!     data: "/var/lib/gantry-registry".into(),
//!     database: None,
//!     listen: "127.0.0.1:8443".parse()?,
//!     domains: vec!["example.com".parse()?].try_into()?,
//!     limits: aci::Limits::default(),
//!     tls: registry::Tls::OwnAuthority,
//!     timeouts: registry::Timeouts::default(),
//!     issuer_ca: None,
//!     clock: registry::Clock::system(),
//! };
//! let stop = std::future::pending();
//! registry::serve(config, |ready| println!("https://{}", ready.address), stop).await?;
//! # Ok(())
//! # }
//! ```

mod access;
pub mod admin;
mod api;
mod blobs;
mod catalog;
mod config;
mod connection;
mod data;
mod error;
mod files;
mod gc;
mod ingest;
mod pages;
mod router;
mod select;
mod serve;
mod state;
mod tls;
mod token;

pub use access::{
    AccessError, Action, ActionError, CaFileError, ClaimPattern, Grant, HashError, IssuerUrl,
    OverwritePolicy, Password, PolicyEntry, PolicyError, ReadPolicy, Rule, RuleError, RuleId,
    UserError, UserName,
};
pub use catalog::{CatalogError, DatabaseUrl, DatabaseUrlError};
pub use config::{Clock, Config, Domains, NoDomain, Timeouts, Tls};
pub use data::{DataDir, DataError, Place};
pub use serve::{Ready, ServeError, serve};
pub use tls::TlsError;
pub use token::{Token, TokenError, TokenId};
pub use web::{Domain, DomainError};
