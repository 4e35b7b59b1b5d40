//! The small types of the spec (types.md) that manifests are made of.

mod acname;
mod platform;
mod timestamp;
mod uuid;
mod version;
mod web_url;

pub use acname::{AcName, AcNameError};
pub(crate) use platform::check_platform;
pub use platform::{GoPlatform, host_platform};
pub use timestamp::{Timestamp, TimestampError};
pub use uuid::{Uuid, UuidError};
pub use version::{AcKind, AcKindError, AcVersion, AcVersionError};
pub use web_url::{WebUrl, WebUrlError};
