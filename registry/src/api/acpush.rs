//! The appc push protocol, as acpush speaks it. No specification was ever merged; the client is its
//! text.
//!
//! ```text
//! POST /-/acpush/{name}            → 200 {"upload_manifest_url": …, "upload_signature_url": …, …}
//! PUT  /-/acpush/-/{id}/manifest   → 200; read, and of no account: the image has its own
//! PUT  /-/acpush/-/{id}/signature  → 200
//! PUT  /-/acpush/-/{id}/aci        → 200, and the image is served
//! POST /-/acpush/-/{id}/complete   → 200 {"success": …, "server_reason": …}
//! ```
//!
//! The client knows two statuses, 200 and 400, both of which mean success to it: so nothing else
//! is a success here, and no refusal is a 400. It shows its user nothing of a refusal but the
//! `server_reason` of the last answer. So why a part was refused is kept with the upload, and told
//! there. What is pushed is what the manifest inside the image says, never a URL.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use aci::{Name, Refusal, Refuse};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use keys::{Liveness, Policy};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::{json, read, whole};
use super::send::Open;
use crate::access::Pusher;
use crate::document::{Conflict, Forbidden, NotFound, TooLarge, Unauthorized, Unprocessable};
use crate::error::ApiError;
use crate::metrics::Protocol;
use crate::state::Shared;
use crate::token::UploadId;

/// The most bytes of what the client says in the end.
const COMPLETED_BYTES: u64 = 64 << 10;

/// Where the parts of an upload go. All of it is on the domain that the name is of.
#[derive(Serialize, ToSchema)]
struct Initiated {
    aci_push_version: &'static str,
    multipart: bool,
    upload_manifest_url: String,
    upload_signature_url: String,
    upload_aci_url: String,
    completed_url: String,
}

/// What the client says in the end.
#[derive(Deserialize, ToSchema)]
struct Completed {
    #[serde(rename = "success")]
    _success: bool,
    reason: Option<String>,
}

/// What came of an upload.
#[derive(Serialize, ToSchema)]
#[schema(as = Completion)]
struct Outcome {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_reason: Option<String>,
}

/// An error in a status that no client takes for a success.
pub(super) struct Refused(ApiError);

impl<E: Into<ApiError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        if response.status() == StatusCode::BAD_REQUEST {
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        }
        response
    }
}

/// `POST /-/acpush/{name}`: an upload begins. Its name says only which domain it goes by.
#[utoipa::path(
    post,
    path = "/-/acpush/{*name}",
    operation_id = "acpushInitiate",
    tag = "acpush",
    summary = "Begin an upload",
    description = "The appc push protocol, as acpush speaks it.",
    params(("name" = Name, Path, description = "A name of the registry's domains.")),
    responses(
        (status = 200, description = "Where the parts of the upload go.", body = Initiated),
        Unauthorized, Forbidden, NotFound, Unprocessable,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn initiate(
    State(state): State<Shared>,
    pusher: Result<Pusher, ApiError>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Refused> {
    let Pusher(caller) = pusher?;
    let Path(name) = name.map_err(|_| ApiError::PathUnknown)?;
    let name: Name = name.parse().map_err(|_| ApiError::PathUnknown)?;
    let domains = &state.config().domains;
    let domain = domains
        .iter()
        .find(|domain| domain.owns(&name))
        .ok_or_else(|| ApiError::NotServed { name: name.clone(), domains: domains.to_string() })?;
    let id = UploadId::generate()?;
    state.catalog.open_upload(&id, caller.id(), b"", state.clock.now()).await?;
    let url = |part: &str| format!("https://{domain}/-/acpush/-/{}/{part}", id.as_str());
    Ok(Json(Initiated {
        aci_push_version: "0.0.1",
        multipart: false,
        upload_manifest_url: url("manifest"),
        upload_signature_url: url("signature"),
        upload_aci_url: url("aci"),
        completed_url: url("complete"),
    })
    .into_response())
}

/// `PUT …/manifest`. The client writes it anew, with escapes of its own, so that it may be larger
/// than the one in the image.
#[utoipa::path(
    put,
    path = "/-/acpush/-/{id}/manifest",
    operation_id = "acpushManifest",
    tag = "acpush",
    summary = "The manifest, which is read and of no account",
    params(UploadId),
    request_body(content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "It was taken."),
        Unauthorized, Forbidden, NotFound, TooLarge, Unprocessable,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn manifest(
    State(state): State<Shared>,
    open: Open,
    request: Request,
) -> Response {
    let limit = state.config().limits.manifest_bytes.saturating_mul(8);
    let read = read(request.into_body(), "manifest", limit, |_| {}).await;
    answer(&state, &open.id, read).await
}

/// `PUT …/signature`.
#[utoipa::path(
    put,
    path = "/-/acpush/-/{id}/signature",
    operation_id = "acpushSignature",
    tag = "acpush",
    summary = "The signature",
    params(UploadId),
    request_body(content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "It was taken."),
        Unauthorized, Forbidden, NotFound, TooLarge, Unprocessable,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn signature(
    State(state): State<Shared>,
    open: Open,
    request: Request,
) -> Response {
    let read = async {
        let limit = state.config().limits.signature_bytes;
        let signature = whole(request.into_body(), "signature", limit).await?;
        // In Gantry's own protocol it is a text.
        if std::str::from_utf8(&signature).is_err() {
            return Err(ApiError::SignatureNotArmored);
        }
        let policy = Policy::new(state.clock.now(), Liveness::Now);
        state.keyring().await?.check_signer(&signature, None, &policy, &state.config().limits)?;
        Ok(state.catalog.sign_upload(&open.id, &signature).await?)
    };
    let read = read.await;
    answer(&state, &open.id, read).await
}

/// `PUT …/aci`.
#[utoipa::path(
    put,
    path = "/-/acpush/-/{id}/aci",
    operation_id = "acpushImage",
    tag = "acpush",
    summary = "The image file: it is verified, and served once this has answered",
    params(UploadId),
    request_body(content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "It was taken."),
        Unauthorized, Forbidden, NotFound, Conflict, TooLarge, Unprocessable,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn image(State(state): State<Shared>, open: Open, request: Request) -> Response {
    let id = open.id.clone();
    if open.upload.signature.is_empty() {
        // Why the one that was sent was not taken says more.
        let refused = open.upload.refused.map(|refusal| ApiError::Refused(Box::new(refusal)));
        return answer(&state, &id, Err(refused.unwrap_or(ApiError::SignatureMissing))).await;
    }
    let taken = open.take_in(&state, request, Protocol::Acpush).await.map(drop);
    answer(&state, &id, taken).await
}

/// `POST …/complete`: the one answer that the user sees. What was published is, whatever the client
/// believes.
#[utoipa::path(
    post,
    path = "/-/acpush/-/{id}/complete",
    operation_id = "acpushComplete",
    tag = "acpush",
    summary = "The end of an upload, and what came of it",
    params(UploadId),
    request_body(content = Completed, description = "At most 64 KiB."),
    responses(
        (status = 200, description = "Whether the image is published, and why not.", body = Outcome),
        Unauthorized, Forbidden, NotFound, TooLarge, Unprocessable,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn complete(
    State(state): State<Shared>,
    open: Open,
    request: Request,
) -> Result<Response, Refused> {
    let wanted = "{\"success\": true}, or false with a \"reason\"";
    let said: Completed = json(request.into_body(), COMPLETED_BYTES, wanted).await?;
    let unfinished = match state.catalog.is_read_only().await? {
        true => ApiError::ReadOnly,
        false => ApiError::UploadIncomplete,
    };
    let refused = match open.upload.published.is_some() {
        true => None,
        false => Some(
            open.upload
                .refused
                .or_else(|| state.unnoted.take(&open.id))
                .unwrap_or_else(|| unfinished.refusal()),
        ),
    };
    let outcome = Outcome {
        success: refused.is_none(),
        reason: said.reason.filter(|_| refused.is_some()),
        server_reason: refused.map(|refusal| refusal.to_string()),
    };
    Ok(Json(outcome).into_response())
}

/// The answer to a part. Why it was refused is kept with the upload.
async fn answer(state: &Shared, id: &UploadId, came: Result<(), ApiError>) -> Response {
    let Err(error) = came else { return StatusCode::OK.into_response() };
    let refusal = error.refusal();
    if let Err(fault) = state.catalog.refuse_upload(id, &refusal).await {
        let fault: &dyn std::error::Error = &fault;
        tracing::warn!(error = fault, "why an upload was refused was not noted");
        state.unnoted.put(id, refusal);
    }
    Refused(error).into_response()
}

/// Why uploads were refused, where the catalogue could not note it: the disk is full, say. Forgotten
/// with the process, and where there are many.
#[derive(Default)]
pub(crate) struct Unnoted(Mutex<VecDeque<(UploadId, Refusal)>>);

impl Unnoted {
    /// How many there are at most.
    const MOST: usize = 256;

    fn put(&self, id: &UploadId, refusal: Refusal) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back((id.clone(), refusal));
        if all.len() > Self::MOST {
            all.pop_front();
        }
    }

    fn take(&self, id: &UploadId) -> Option<Refusal> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().rposition(|(other, _)| other == id)?;
        all.remove(at).map(|(_, refusal)| refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_that_was_not_noted_is_told_once_and_few_are_remembered() {
        let unnoted = Unnoted::default();
        let ids: Vec<UploadId> = (0..300).map(|_| UploadId::generate().unwrap()).collect();
        let refusal =
            |at: usize| Refusal { found: at.to_string(), ..ApiError::PathUnknown.refusal() };
        ids.iter().enumerate().for_each(|(at, id)| unnoted.put(id, refusal(at)));
        unnoted.put(&ids[299], refusal(1000));
        assert_eq!(unnoted.take(&ids[0]), None);
        assert_eq!(unnoted.take(&ids[299]), Some(refusal(1000)), "the last of it");
        assert_eq!(unnoted.take(&ids[100]), Some(refusal(100)));
        assert_eq!(unnoted.take(&ids[100]), None);
    }
}
