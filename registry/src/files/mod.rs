//! Images, signatures and keys, as files over HTTP.

mod blobs;
mod conditional;
mod content;
mod document;
mod images;
mod memory;
mod multipart;
mod pubkeys;
mod range;
mod respond;

use aci::Extension;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::document::{NoRoom, Unavailable, also_answers};
use crate::state::Shared;

pub(crate) use memory::Memory;

pub(crate) fn router() -> OpenApiRouter<Shared> {
    let mut router =
        OpenApiRouter::new().routes(routes!(images::serve)).routes(routes!(blobs::serve));
    also_answers(router.get_openapi_mut(), &[Unavailable::STATUS, NoRoom::STATUS]);
    router.routes(routes!(pubkeys::serve))
}

/// A file name without its extension, and what the extension says.
fn split_extension(file: &str) -> Option<(&str, Extension)> {
    let signature = file.strip_suffix(".aci.asc").map(|rest| (rest, Extension::Signature));
    signature.or_else(|| file.strip_suffix(".aci").map(|rest| (rest, Extension::Image)))
}
