//! Images, signatures and keys, as files over HTTP.

mod blobs;
mod conditional;
mod content;
mod images;
mod memory;
mod multipart;
mod pubkeys;
mod range;
mod respond;

use aci::Extension;
use axum::Router;
use axum::routing::get;

use crate::state::Shared;

pub(crate) use memory::Memory;

pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/-/images/{*reference}", get(images::serve))
        .route("/-/blobs/{file}", get(blobs::serve))
        .route("/-/pubkeys/{*prefix}", get(pubkeys::serve))
}

/// A file name without its extension, and what the extension says.
fn split_extension(file: &str) -> Option<(&str, Extension)> {
    let signature = file.strip_suffix(".aci.asc").map(|rest| (rest, Extension::Signature));
    signature.or_else(|| file.strip_suffix(".aci").map(|rest| (rest, Extension::Image)))
}
