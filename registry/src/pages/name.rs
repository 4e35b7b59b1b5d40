//! `GET /{name path}`: the page of a name, and the meta tags.
//!
//! A discovery client is told where images and keys are whether or not there are
//! any: a push of a new name begins with the same question. People who look at a
//! name that does not exist are told so.

use std::collections::HashMap;

use aci::{ImageId, Name};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use web::{Discovery, Domain, ImageEntry, NamePage, visible};

use super::{PageError, PageRefusals, asks_for_discovery, day, html, name_entry};
use crate::access::Sight;
use crate::catalog::{NameSummary, StoredImage};
use crate::error::ApiError;
use crate::host::Audience;
use crate::state::{Shared, State as Registry};

/// Images on one page.
const IMAGES: u32 = 200;
/// Names below it on one page.
const CHILDREN: u32 = 100;
/// Sets of labels that templates are made for.
const LABEL_SETS: u32 = 64;

/// What there is at and below a name.
struct Content {
    name: Name,
    /// The newest.
    images: Vec<StoredImage>,
    /// How many more there are.
    left_out: u64,
    /// Why those of them were withdrawn that were.
    reasons: HashMap<ImageId, String>,
    children: Vec<NameSummary>,
    /// The last of these, where more follow.
    more_after: Option<Name>,
}

#[utoipa::path(
    get,
    path = "/{*path}",
    operation_id = "name",
    tag = "pages",
    summary = "The page of a name, with the discovery tags",
    params(
        ("path" = String, Path, description = "The name without its host."),
        ("ac-discovery" = Option<String>, Query, description = "1: also of a name that nothing has."),
    ),
    responses((status = 200, description = "A page.", content_type = "text/html", body = String), PageRefusals),
    security((), ("token" = []), ("password" = [])),
)]
pub(super) async fn show(
    State(state): State<Shared>,
    Audience(domains): Audience,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    sight: Sight,
) -> Result<Response, PageError> {
    let Path(path) = path.map_err(|_| ApiError::PathUnknown)?;
    let pages: Vec<(Domain, Name)> =
        domains.iter().filter_map(|d| Some((d.clone(), d.below(&path)?))).collect();
    let content = match content(&state, &sight, &pages).await? {
        Some(content) => content,
        None => match pages.first() {
            Some((_, name)) if asks_for_discovery(&uri) => Content {
                name: name.clone(),
                images: Vec::new(),
                left_out: 0,
                reasons: HashMap::new(),
                children: Vec::new(),
                more_after: None,
            },
            Some((_, name)) => {
                sight.admit(name)?;
                return Err(ApiError::NameUnknown(name.clone()).into());
            }
            None => return Err(ApiError::PathUnknown.into()),
        },
    };
    let label_sets = match sight.sees(&content.name) {
        true => state.catalog.label_sets(&content.name, LABEL_SETS).await?,
        false => Vec::new(),
    };
    let page = page(content, Discovery::for_name(pages, label_sets));
    Ok(sight.mark(None, html(StatusCode::OK, page.render()?)))
}

/// The first of these names that has anything.
async fn content(
    state: &Registry,
    sight: &Sight,
    pages: &[(Domain, Name)],
) -> Result<Option<Content>, ApiError> {
    for (_, name) in pages {
        // Itself, those below, and one more, which tells that there are more.
        let mut children = sight.names(state, name, None, CHILDREN + 2).await?;
        if children.is_empty() {
            continue;
        }
        // It is the first of them, where it has images that may be seen.
        let own = children.first().filter(|child| child.name == *name).map(|child| child.images);
        let (images, reasons) = match own {
            Some(_) => {
                children.remove(0);
                let catalog = &state.catalog;
                (catalog.newest(name, IMAGES).await?, catalog.yank_reasons(name, IMAGES).await?)
            }
            None => (Vec::new(), HashMap::new()),
        };
        let left_out = own.unwrap_or_default().saturating_sub(images.len() as u64);
        let more = children.len() > CHILDREN as usize;
        children.truncate(CHILDREN as usize);
        let more_after = children.last().filter(|_| more).map(|child| child.name.clone());
        let name = name.clone();
        return Ok(Some(Content { name, images, left_out, reasons, children, more_after }));
    }
    Ok(None)
}

fn page(content: Content, discovery: Discovery) -> NamePage {
    let mut reasons = content.reasons;
    let entry = |image: StoredImage| ImageEntry {
        pushed: day(image.pushed),
        signer: image.signer.to_string(),
        withdrawn: reasons.remove(&image.image_id).map(|reason| visible(&reason)),
        labels: image.labels,
        image_id: image.image_id,
        file_digest: image.file_digest,
        file_bytes: image.file_bytes,
    };
    let child = |child: NameSummary| {
        let href = format!("/{}", child.name.path());
        name_entry(child, href)
    };
    NamePage {
        discovery,
        name: content.name,
        images: content.images.into_iter().map(entry).collect(),
        left_out: content.left_out,
        children: content.children.into_iter().map(child).collect(),
        more_after: content.more_after,
    }
}
