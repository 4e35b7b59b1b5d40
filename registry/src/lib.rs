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
//!     listen: "127.0.0.1:8443".parse()?,
//!     domains: vec!["example.com".parse()?].try_into()?,
//!     limits: aci::Limits::default(),
//!     tls: registry::Tls::OwnAuthority,
//!     timeouts: registry::Timeouts::default(),
//!     connections: registry::ConnectionLimits::default(),
//!     metrics: registry::MetricsAccess::default(),
//!     readiness: registry::Readiness::default(),
//!     clock: registry::Clock::system(),
//! };
//! let stop = std::future::pending();
//! registry::serve(config, |ready| println!("https://{}", ready.address), stop).await?;
//! # Ok(())
//! # }
//! ```

pub mod admin;
mod api;
mod blobs;
mod catalog;
mod config;
mod connection;
mod data;
mod error;
mod files;
mod host;
mod ingest;
mod metrics;
mod pages;
mod router;
mod select;
mod serve;
mod serving;
mod state;
mod tls;
mod token;
mod trace;

pub use catalog::CatalogError;
pub use config::{Clock, Config, Domains, NoDomain, Readiness, Timeouts, Tls};
pub use connection::ConnectionLimits;
pub use data::{DataDir, DataError};
pub use metrics::MetricsAccess;
pub use serve::{Ready, ServeError, serve};
pub use tls::TlsError;
pub use token::{Action, Token, TokenError, TokenId};
pub use web::{Domain, DomainError};
