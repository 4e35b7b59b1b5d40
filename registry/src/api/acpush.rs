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

use aci::{Name, Refuse};
use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use keys::{Liveness, Policy};
use serde::{Deserialize, Serialize};

use super::auth::Holder;
use super::send::announced;
use crate::catalog::{StoredUpload, UploadState};
use crate::error::ApiError;
use crate::ingest::{self, Arrival};
use crate::state::Shared;
use crate::token::{Action, UploadId};

/// The most bytes of what the client says in the end.
const COMPLETED_BYTES: u64 = 64 << 10;

/// Where the parts of an upload go. All of it is on the domain that the name is of.
#[derive(Serialize)]
struct Initiated {
    aci_push_version: &'static str,
    multipart: bool,
    upload_manifest_url: String,
    upload_signature_url: String,
    upload_aci_url: String,
    completed_url: String,
}

/// What the client says in the end.
#[derive(Deserialize)]
struct Completed {
    #[serde(rename = "success")]
    _success: bool,
    reason: Option<String>,
}

/// What came of an upload.
#[derive(Serialize)]
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

impl Refused {
    fn status(&self) -> StatusCode {
        match self.0.status() {
            StatusCode::BAD_REQUEST => StatusCode::UNPROCESSABLE_ENTITY,
            other => other,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = self.0.into_response();
        *response.status_mut() = status;
        response
    }
}

/// `POST /-/acpush/{name}`: an upload begins. Its name says only which domain it goes by.
pub(super) async fn initiate(
    State(state): State<Shared>,
    holder: Result<Holder, ApiError>,
    Path(name): Path<String>,
) -> Result<Response, Refused> {
    let holder = holder?;
    holder.may(Action::Push)?;
    let name: Name = name.parse().map_err(|_| ApiError::PathUnknown)?;
    let domain = state.domains.iter().find(|domain| domain.owns(&name)).ok_or_else(|| {
        ApiError::NotServed { name: name.clone(), domains: state.domains.to_string() }
    })?;
    let id = UploadId::generate()?;
    state.catalog.open_upload(&id, holder.token(), b"", state.clock.now()).await?;
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

/// An upload, and whose it is.
pub(super) struct Open {
    id: UploadId,
    holder: Holder,
    upload: StoredUpload,
}

impl FromRequestParts<Shared> for Open {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Refused> {
        let holder = Holder::from_request_parts(parts, state).await?;
        holder.may(Action::Push)?;
        let id = UploadId::from_request_parts(parts, state).await?;
        let upload = state.catalog.upload(&id, holder.token(), state.clock.now()).await?;
        Ok(Self { upload: upload.ok_or(ApiError::UploadUnknown)?, id, holder })
    }
}

/// `PUT …/manifest`.
pub(super) async fn manifest(
    State(state): State<Shared>,
    open: Open,
    request: Request,
) -> Response {
    let limit = state.limits.manifest_bytes;
    let read = read(request.into_body(), limit).await.map(drop);
    settled(&state, &open.id, read.map(|()| None)).await
}

/// `PUT …/signature`.
pub(super) async fn signature(
    State(state): State<Shared>,
    open: Open,
    request: Request,
) -> Response {
    let read = async {
        let signature = read(request.into_body(), state.limits.signature_bytes).await?;
        let policy = Policy::new(state.clock.now(), Liveness::Now);
        state.keyring().await?.check_signer(&signature, None, &policy, &state.limits)?;
        state.catalog.sign_upload(&open.id, &signature).await?;
        Ok(None)
    };
    settled(&state, &open.id, read.await).await
}

/// `PUT …/aci`.
pub(super) async fn image(State(state): State<Shared>, open: Open, request: Request) -> Response {
    let Open { id, holder, upload } = open;
    let taken = async {
        let limit = state.limits.file_bytes;
        if let Some(found) = announced(request.headers()).filter(|bytes| *bytes > limit) {
            return Err(ApiError::FileTooLarge { limit, found });
        }
        let arrival = Arrival { signature: upload.signature, body: request.into_body() };
        let pushed = ingest::take_in(&state, holder, arrival).await?;
        Ok(Some(UploadState::Published(pushed.image_id)))
    };
    let taken = taken.await;
    settled(&state, &id, taken).await
}

/// `POST …/complete`: the one answer that the user sees. What was published is, whatever the client
/// believes.
pub(super) async fn complete(open: Open, request: Request) -> Result<Response, Refused> {
    let said = read(request.into_body(), COMPLETED_BYTES).await?;
    let said: Completed = serde_json::from_slice(&said)
        .map_err(|error| ApiError::RequestMalformed(error.to_string()))?;
    let refusal = match open.upload.state {
        UploadState::Published(_) => None,
        UploadState::Refused(refusal) => Some(*refusal),
        UploadState::Open => Some(ApiError::UploadIncomplete.refusal()),
    };
    let outcome = Outcome {
        success: refusal.is_none(),
        reason: said.reason.filter(|_| refusal.is_some()),
        server_reason: refusal.map(|refusal| refusal.to_string()),
    };
    Ok(Json(outcome).into_response())
}

/// Keeps what came of a part with the upload, and answers.
async fn settled(
    state: &Shared,
    id: &UploadId,
    came: Result<Option<UploadState>, ApiError>,
) -> Response {
    let (kept, response) = match came {
        Ok(kept) => (kept, StatusCode::OK.into_response()),
        Err(error) => {
            let kept = UploadState::Refused(Box::new(error.refusal()));
            (Some(kept), Refused(error).into_response())
        }
    };
    let Some(kept) = kept else { return response };
    match state.catalog.settle_upload(id, &kept).await {
        Ok(()) => response,
        // An image that is published is no failure; why one was refused is in the answer, too.
        Err(error) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "what came of an upload was not noted");
            response
        }
    }
}

/// A body of at most so many bytes.
async fn read(body: Body, limit: u64) -> Result<Vec<u8>, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut all = Vec::new();
    while let Some(chunk) = chunks.next().await {
        all.extend_from_slice(&chunk.map_err(|_| ApiError::Interrupted)?);
        if all.len() as u64 > limit {
            return Err(ApiError::BodyTooLarge { limit });
        }
    }
    Ok(all)
}
