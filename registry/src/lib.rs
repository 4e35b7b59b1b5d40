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
//!     listen: vec!["127.0.0.1:8443".parse()?],
//!     http: Vec::new(),
//!     trusted_proxies: Vec::new(),
//!     proxy_header: registry::ProxyHeader::XForwardedFor,
//!     domains: vec!["example.com".parse()?].try_into()?,
//!     limits: aci::Limits::default(),
//!     tls: registry::Tls::OwnAuthority,
//!     timeouts: registry::Timeouts::default(),
//!     connections: registry::ConnectionLimits::default(),
//!     keeping: registry::Keeping::default(),
//!     issuer_ca: None,
//!     rates: registry::Rates::default(),
//!     metrics: registry::MetricsAccess::default(),
//!     readiness: registry::Readiness::default(),
//!     clock: registry::Clock::system(),
//! };
//! let stop = std::future::pending();
//! registry::serve(config, |ready| println!("{:?}", ready.https), stop).await?;
//! # Ok(())
//! # }
//! ```

// Tests may read the clock and write files as they like; nothing else may: clippy.toml.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod access;
pub mod admin;
mod api;
mod audit;
mod blobs;
mod catalog;
mod client_address;
mod commit;
mod config;
mod connection;
mod data;
mod decoders;
mod document;
mod error;
mod files;
mod host;
mod incoming;
mod ingest;
mod keeping;
mod metrics;
mod pages;
mod parts;
mod router;
mod select;
mod serve;
mod serving;
mod stamp;
mod state;
mod store;
mod tls;
mod token;
mod trace;
mod yank;

pub use access::{
    AccessError, Action, ActionError, CaFileError, ClaimPattern, Grant, HashError, IssuerUrl,
    OverwritePolicy, Password, PolicyEntry, PolicyError, Rates, ReadPolicy, Rule, RuleError,
    RuleId, UserError, UserName,
};
pub use audit::{Actor, AuditAction, AuditFault, AuditRecord, AuditVerdict};
pub use catalog::{CatalogError, Database, DatabaseUrl, DatabaseUrlError, DumpError};
pub use config::{
    AccessSection, Acme, AcmeSection, AmountError, Challenge, ChallengeKind, CheckError, Clock,
    Config, ConfigError, ConfigFile, DatabaseSection, DirectoryUrl, DirectoryUrlError, Domains,
    KeepingSection, LimitsSection, Network, NetworkError, NoDomain, ProxyHeader, Readiness,
    ServerSection, SettingError, Size, Span, Timeouts, TimeoutsSection, Tls, TlsSection,
};
pub use connection::ConnectionLimits;
pub use data::{DataDir, DataError, Place};
pub use keeping::{
    Age, AgeError, BackUp, BackedUp, Checked, Collected, Damaged, Finding, FindingCode, Judged,
    KeepError, Keeping, KeepsNothing, NotReplaced, Quota, Reason, Rebuild, Restored, Retention,
    Scrubbed, WrittenRetention,
};
pub use metrics::MetricsAccess;
pub use serve::{Ready, Reloader, ServeError, serve};
pub use tls::TlsError;
pub use token::{Token, TokenError, TokenId};
pub use web::{Domain, DomainError};
