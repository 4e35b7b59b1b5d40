//! The App Container Image (ACI) format, specification 0.8.11.
//!
//! Names, labels, references, image IDs, manifests and archives. Everything
//! here is synchronous and works on `Read` and `Write`; there is no network and
//! no command line in this crate, so the server and the client share it whole.
//!
//! ```
//! let reference: aci::Reference = "example.com/hello:1.0.0,channel=beta".parse()?;
//! assert_eq!(reference.name().host(), "example.com");
//! # Ok::<(), aci::ReferenceError>(())
//! ```

pub mod archive;
mod digest;
mod finding;
pub mod isolator;
mod json;
mod labels;
mod limits;
pub mod manifest;
mod name;
pub mod push;
mod quantity;
mod reference;
mod refusal;
pub mod stage;
mod template;
mod types;

pub use digest::{DigestError, FileDigest, ImageId, ImageIdPrefix};
pub use finding::{Checked, Finding, Severity};
pub use json::{Document, EditError, JsonPath, PathError};
pub use labels::{Label, LabelError, Labels};
pub use limits::Limits;
pub use manifest::{ImageManifest, ManifestError, PodManifest};
pub use name::{Identifier, Name, NameError};
pub use quantity::{Quantity, QuantityError, QuantityFormat, QuantityParts};
pub use reference::{Reference, ReferenceError};
pub use refusal::{Refusal, Refuse};
pub use template::{Extension, Template};
pub use types::{
    AcKind, AcKindError, AcName, AcNameError, AcVersion, AcVersionError, GoPlatform, Timestamp,
    TimestampError, Uuid, UuidError, WebUrl, WebUrlError, host_platform,
};
