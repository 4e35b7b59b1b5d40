//! `GET /{name path}`: the page of a name, and the meta tags.
//!
//! A discovery client is told where images and keys are whether or not there are
//! any: a push of a new name begins with the same question. People who look at a
//! name that does not exist are told so.

use std::cmp::Reverse;
use std::collections::HashMap;

use aci::{ImageId, Name};
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use web::{Discovery, Domain, ImageEntry, NamePage};

use super::{PageError, asks_for_discovery, day, html, name_entry};
use crate::catalog::{NameSummary, StoredImage};
use crate::error::ApiError;
use crate::host::Audience;
use crate::select::rank;
use crate::state::{Shared, State as Registry};

/// Images on one page.
const IMAGES: usize = 200;
/// Names below it on one page.
const CHILDREN: u32 = 500;
/// Sets of labels that templates are made for.
const LABEL_SETS: u32 = 64;

/// What there is at and below a name.
struct Content {
    name: Name,
    images: Vec<StoredImage>,
    /// Why those of them were withdrawn that were.
    reasons: HashMap<ImageId, String>,
    children: Vec<NameSummary>,
}

pub(super) async fn show(
    State(state): State<Shared>,
    Audience(domains): Audience,
    Path(path): Path<String>,
    uri: Uri,
) -> Result<Response, PageError> {
    let pages: Vec<(Domain, Name)> =
        domains.iter().filter_map(|d| Some((d.clone(), d.below(&path)?))).collect();
    let content = match content(&state, &pages).await? {
        Some(content) => content,
        None => match pages.first() {
            Some((_, name)) if asks_for_discovery(&uri) => Content {
                name: name.clone(),
                images: Vec::new(),
                reasons: HashMap::new(),
                children: Vec::new(),
            },
            Some((_, name)) => return Err(ApiError::NameUnknown(name.clone()).into()),
            None => return Err(ApiError::PathUnknown.into()),
        },
    };
    let label_sets = state.catalog.label_sets(&content.name, LABEL_SETS).await?;
    let page = page(content, Discovery::for_name(pages, label_sets));
    Ok(html(StatusCode::OK, page.render()?))
}

/// The first of these names that has anything.
async fn content(state: &Registry, pages: &[(Domain, Name)]) -> Result<Option<Content>, ApiError> {
    for (_, name) in pages {
        let mut children = state.catalog.names(name, None, CHILDREN).await?;
        if children.is_empty() {
            continue;
        }
        children.retain(|child| child.name != *name);
        let images = state.catalog.images(name, None).await?;
        let reasons = state.catalog.yank_reasons(name).await?;
        return Ok(Some(Content { name: name.clone(), images, reasons, children }));
    }
    Ok(None)
}

fn page(mut content: Content, discovery: Discovery) -> NamePage {
    content.images.sort_by_cached_key(|image| Reverse(rank(image)));
    let left_out = content.images.len().saturating_sub(IMAGES);
    let mut reasons = content.reasons;
    let entry = |image: StoredImage| ImageEntry {
        pushed: day(image.pushed),
        signer: image.signer.to_string(),
        withdrawn: reasons.remove(&image.image_id),
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
        images: content.images.into_iter().take(IMAGES).map(entry).collect(),
        left_out: u64::try_from(left_out).unwrap_or(u64::MAX),
        children: content.children.into_iter().map(child).collect(),
    }
}
