//! `/-/api/v1/images/{image ID}`: deleting an image, and taking and giving what its author says of it.

use aci::yank::{SignedYank, YankTaken};
use aci::{ImageId, Name};
use axum::Json;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use keys::{Liveness, Policy};

use super::body::json;
use crate::access::{Action, Caller, Sight};
use crate::catalog::{CatalogError, StoredImage, Yanked};
use crate::document::{Conflict, Forbidden, Gone, NotFound, TooLarge, Unauthorized, Unprocessable};
use crate::error::ApiError;
use crate::keeping::FILES_STAY;
use crate::state::{Shared, State as Registry};
use crate::yank::VerifiedYank;

/// The image ID of the path.
pub(super) struct Id(ImageId);

impl FromRequestParts<Shared> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::PathUnknown)?;
        Ok(Self(id.parse().map_err(|_| ApiError::PathUnknown)?))
    }
}

/// The image, where there is one and the caller may do this to it.
async fn image(
    state: &Registry,
    (caller, sight): (&Caller, &Sight),
    action: Action,
    id: ImageId,
) -> Result<StoredImage, ApiError> {
    caller.may_somewhere(action)?;
    // Whoever may neither do this nor see it is not told that it is there, or was.
    let shows = |name: &Name| caller.may(action, name).is_ok() || sight.sees(name);
    if let Some(image) = state.catalog.image(&id).await?.filter(|image| shows(&image.name)) {
        caller.may(action, &image.name)?;
        return Ok(image);
    }
    let deleted = state.catalog.deleted(&id).await?.is_some_and(|name| shows(&name));
    Err(if deleted { ApiError::BlobDeleted(id) } else { ApiError::BlobUnknown(id) })
}

/// `DELETE …`: it is not found any more, by any path.
#[utoipa::path(
    delete,
    path = "/-/api/v1/images/{id}",
    operation_id = "deleteImage",
    tag = "taking back",
    summary = "Delete an image",
    description = "Its name and labels never become another image's.",
    params(("id" = ImageId, Path, description = "The image ID.")),
    responses(
        (status = 204, description = "It is not found any more, by any path."),
        Unauthorized, Forbidden, NotFound, Gone,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn delete(
    State(state): State<Shared>,
    caller: Caller,
    sight: Sight,
    Id(id): Id,
) -> Result<StatusCode, ApiError> {
    let image = image(&state, (&caller, &sight), Action::Delete, id).await?;
    let now = state.clock.now();
    let (id, by) = (&image.image_id, caller.changer());
    let mut deleted = state.catalog.delete(id, &by, now, now + FILES_STAY).await;
    if deleted.as_ref().is_err_and(CatalogError::is_full_disk) && state.data.reserve().give_up() {
        deleted = state.catalog.delete(id, &by, now, now + FILES_STAY).await;
    }
    if deleted?.is_none() {
        // Somebody else was faster.
        return Err(ApiError::BlobDeleted(image.image_id));
    }
    state.serving.memory.forget(id);
    tracing::info!(image = %id, reference = %image.reference(), by = by.actor.who, "deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT …/yank`: what the author says, and the signature over exactly that.
#[utoipa::path(
    put,
    path = "/-/api/v1/images/{id}/yank",
    operation_id = "yankImage",
    tag = "taking back",
    summary = "Withdraw an image, or take that back",
    description = "The statement is JSON that the author has signed, as `gantry yank` makes it. The \
        latest counts.",
    params(("id" = ImageId, Path, description = "The image ID.")),
    request_body(content = SignedYank, description = "By default at most 576 KiB."),
    responses(
        (status = 200, description = "What is so now.", body = YankTaken),
        Unauthorized, Forbidden, NotFound, Conflict, Gone, TooLarge, Unprocessable,
    ),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn yank(
    State(state): State<Shared>,
    caller: Caller,
    sight: Sight,
    Id(id): Id,
    request: Request,
) -> Result<Json<YankTaken>, ApiError> {
    let image = image(&state, (&caller, &sight), Action::Yank, id).await?;
    let limit =
        state.config().limits.signature_bytes.saturating_mul(2) + 4 * aci::yank::MAX_BYTES as u64;
    let wanted = "a JSON object with `statement` and `signature`";
    let SignedYank { statement, signature } = json(request.into_body(), limit, wanted).await?;
    let policy = Policy::new(state.clock.now(), Liveness::Now);
    let keyring = state.keyring().await?;
    let yank =
        VerifiedYank::check(statement, signature, &keyring, &policy, &state.config().limits)?;
    let said = yank.said();
    if said.image_id != image.image_id || said.name != image.name {
        let wanted = format!("a statement about {} {}", image.name, image.image_id);
        let found = format!("one about {} {}", said.name, said.image_id);
        return Err(ApiError::YankOfAnother { wanted, found });
    }
    let yanked = state.catalog.yank(&yank, &caller, state.clock.now()).await?;
    state.serving.memory.forget(&said.image_id);
    let new = match yanked {
        Yanked::Taken => true,
        Yanked::Known => false,
        Yanked::Stale => return Err(ApiError::YankStale),
        Yanked::Absent => return Err(ApiError::BlobDeleted(image.image_id)),
    };
    tracing::info!(image = %said.image_id, yanked = said.yanked, new, "its author has spoken");
    Ok(Json(YankTaken { image_id: image.image_id, yanked: said.yanked, new }))
}

/// `GET …/yank`: the last that the author said, as it was signed.
#[utoipa::path(
    get,
    path = "/-/api/v1/images/{id}/yank",
    operation_id = "showYank",
    tag = "taking back",
    summary = "What an image's author has last said of it",
    params(("id" = ImageId, Path, description = "The image ID.")),
    responses(
        (status = 200, description = "The statement, as it was signed.", body = SignedYank),
        NotFound,
    ),
    security((), ("token" = []), ("password" = [])),
)]
pub(super) async fn said(
    State(state): State<Shared>,
    sight: Sight,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let image = state.catalog.image(&id).await?.filter(|image| sight.sees(&image.name));
    let said = match &image {
        Some(image) => state.catalog.last_yank(&image.image_id).await?,
        None => None,
    };
    let said = said.ok_or(ApiError::YankUnknown(id))?;
    let body = SignedYank { statement: said.statement, signature: said.signature };
    let fresh: [(HeaderName, HeaderValue); 1] =
        [(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    let response = (fresh, Json(body)).into_response();
    Ok(sight.mark(image.as_ref().map(|image| &image.name), response))
}
