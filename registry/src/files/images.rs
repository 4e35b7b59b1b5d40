//! `GET /-/images/NAME[:VERSION][,LABEL=VALUE…].aci[.asc]`: by name and labels. The
//! discovery templates point here.

use std::sync::Arc;
use std::time::Instant;

use aci::{Extension, Reference};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::document::{Conditions, FileAnswers};
use super::memory::Row;
use super::respond::{Caching, Since};
use super::split_extension;
use crate::access::Sight;
use crate::document::{Forbidden, Gone, NotFound, Unauthorized};
use crate::error::ApiError;
use crate::select::{Selection, asks_for_newest, candidates, means, select};
use crate::state::Shared;

/// Deleted images of a name among which one is looked for that a reference would have meant.
const DELETED: u32 = 1024;

/// What the path asks for.
pub(crate) struct Wanted {
    /// The reference as it is written.
    text: String,
    extension: Extension,
}

impl FromRequestParts<Shared> for Wanted {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let Path(file) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::PathUnknown)?;
        let (text, extension) = split_extension(&file).ok_or(ApiError::PathUnknown)?;
        Ok(Self { text: text.to_owned(), extension })
    }
}

#[utoipa::path(
    get,
    path = "/-/images/{*reference}",
    operation_id = "imageByName",
    tag = "serving",
    summary = "An image or its signature, by name and labels",
    description = "The discovery templates of every page point here. Without a version, or with \
        `latest`, it is the newest that runs where `os` and `arch` say.",
    params(
        ("reference" = String, Path, pattern = "^[^:,]+(:[^,]+)?(,[^=,]+=[^,]*)*\\.aci(\\.asc)?$",
            description = "NAME[:VERSION][,LABEL=VALUE…].aci, or .aci.asc for the signature.",
            example = "example.com/team/hello:1.0.0,os=linux,arch=amd64.aci"),
        Conditions,
    ),
    responses(FileAnswers, Unauthorized, Forbidden, NotFound, Gone),
    security((), ("token" = []), ("password" = [])),
)]
pub(crate) async fn serve(
    State(state): State<Shared>,
    sight: Sight,
    Wanted { text, extension }: Wanted,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // A reference that was read a moment ago need not be read again.
    let (sight, row) = match state.serving.memory.meant(&text) {
        Some(row) => (sight.admit(&row.name)?, row),
        None => {
            let reference: Reference = text.parse()?;
            let sight = sight.admit(reference.name())?;
            (sight, look_up(&state, text, reference).await?)
        }
    };
    let response = row.file(extension).respond(&state, &method, &headers).await?;
    Ok(sight.mark(Some(&row.name), response))
}

async fn look_up(state: &Shared, text: String, reference: Reference) -> Result<Arc<Row>, ApiError> {
    let memory = &state.serving.memory;
    let (seen, now, changes) = (Instant::now(), state.clock.now(), memory.changes());
    let labels = reference.labels();
    // Asked for before the images: what changes in between is later.
    let changed = state.catalog.last_change(reference.name()).await?;
    let images = candidates(&state.catalog, &reference).await?;
    let image = match select(&images, &reference) {
        Selection::Found(image) => image,
        Selection::Withdrawn => return Err(ApiError::ImageYanked(Box::new(reference))),
        Selection::Absent => {
            let deleted = state.catalog.deleted_labels(reference.name(), labels, DELETED).await?;
            let meant = deleted.iter().any(|deleted| means(&reference, deleted));
            let reference = Box::new(reference);
            return Err(match meant {
                true => ApiError::ImageDeleted(reference),
                false => ApiError::ImageUnknown(reference),
            });
        }
        Selection::Ambiguous(several) => {
            let candidates = several.iter().map(|image| image.reference().to_string()).collect();
            return Err(ApiError::ImageAmbiguous { reference: Box::new(reference), candidates });
        }
    };
    // The newest may be an older one than a moment ago, but never since an earlier time.
    let is_exact = image.labels.canonical() == labels.canonical() && !asks_for_newest(labels);
    let since = match is_exact {
        true => Since::settled(image.pushed),
        false => Since::changing(changed.map_or(image.pushed, |at| at.max(image.pushed)), now),
    };
    let row = Arc::new(Row::of(image, Caching::Revalidate, seen, since));
    memory.understood(text, Arc::clone(&row), changes);
    Ok(row)
}
