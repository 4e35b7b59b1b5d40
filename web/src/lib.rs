//! The pages people see, and the page that carries the discovery meta tags.
//!
//! Contexts are plain data, filled by the server; every text in them is escaped
//! by the templates. There is no JavaScript, and nothing is loaded from
//! elsewhere.
//!
//! ```
//! use web::{Discovery, Domain};
//! let domain: Domain = "example.com".parse()?;
//! let tags = Discovery::for_home(&[domain]).tags();
//! assert_eq!(tags[0].content, "example.com https://example.com/-/images/{name}:{version},os={os},arch={arch}.{ext}");
//! # Ok::<(), web::DomainError>(())
//! ```

// Tests may read the clock and write files as they like; nothing else may: clippy.toml.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod assets;
mod discovery;
mod domain;
mod pages;
mod text;

pub use assets::{ASSETS, Asset};
pub use discovery::{Discovery, MetaTag};
pub use domain::{Domain, DomainError};
pub use pages::{ErrorPage, HomePage, ImageEntry, NameEntry, NamePage};
pub use text::{fetch_reference, shell_word, visible};

/// A page could not be put together; the templates make this all but impossible.
#[derive(Debug, thiserror::Error)]
#[error("the page could not be rendered: {0}")]
pub struct RenderError(#[from] askama::Error);
