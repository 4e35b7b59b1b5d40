//! `…/usage`, `…/scrub`, `…/read-only`, `…/gc` and `…/retain`.

use axum::Json;
use axum::extract::State;

use super::asked::{Asked, Queried};
use crate::access::{Action, Admin};
use crate::admin::{
    DamagedList, GcRequest, PrefixQuery, ReadOnly, ReadOnlyRequest, RetainRequest, RetainedImages,
    UsageReport, quotas, usage_of,
};
use crate::document::{MediaType, TooLarge};
use crate::error::ApiError;
use crate::keeping::{Collected, KeepError, Keeper, Retention};
use crate::state::Shared;

/// What images come to, and what there may be.
#[utoipa::path(
    get,
    path = "/-/api/v1/admin/usage",
    operation_id = "usage",
    tag = "administration",
    summary = "Tell how much there is, and may be",
    params(PrefixQuery),
    responses((status = 200, description = "By name, and by quota.", body = UsageReport),),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn usage(
    State(state): State<Shared>,
    admin: Admin,
    Queried(PrefixQuery { prefix }): Queried<PrefixQuery>,
) -> Result<Json<UsageReport>, ApiError> {
    let prefixes = match prefix {
        Some(prefix) => {
            admin.must_keep(&prefix)?;
            Some(vec![prefix])
        }
        None => admin.prefixes(),
    };
    let within = |name: &aci::Name| match &prefixes {
        Some(prefixes) => prefixes.iter().any(|prefix| name.is_under(prefix)),
        None => true,
    };
    let mut report = usage_of(&state.catalog, prefixes.as_deref()).await?;
    let config = state.config();
    let told = config.keeping.quotas.iter().filter(|quota| within(&quota.prefix));
    report.quotas = quotas(&state.catalog, told).await?;
    Ok(Json(report))
}

/// What is known to be lost or damaged. Reading files again is the machine's own work.
#[utoipa::path(
    get,
    path = "/-/api/v1/admin/scrub",
    operation_id = "listDamaged",
    tag = "administration",
    summary = "List what is known to be lost or damaged",
    responses((status = 200, description = "Files, and their images.", body = DamagedList),),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn damaged(
    State(state): State<Shared>,
    admin: Admin,
) -> Result<Json<DamagedList>, ApiError> {
    let damaged = Keeper::node(&state).damaged().await?.into_iter();
    let damaged = damaged.filter(|damaged| admin.keeps(&damaged.name)).collect();
    Ok(Json(DamagedList { damaged }))
}

/// Whoever may not push just now may know why.
#[utoipa::path(
    get,
    path = "/-/api/v1/admin/read-only",
    operation_id = "showReadOnly",
    tag = "administration",
    summary = "Tell whether the registry takes nothing in",
    responses((status = 200, description = "Whether, and since when.", body = ReadOnly),),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn read_only(
    State(state): State<Shared>,
    _: Admin,
) -> Result<Json<ReadOnly>, ApiError> {
    Ok(Json(state.catalog.read_only_since().await?.into()))
}

#[utoipa::path(
    put,
    path = "/-/api/v1/admin/read-only",
    operation_id = "setReadOnly",
    tag = "administration",
    summary = "Let the registry take nothing in, or again",
    request_body = ReadOnlyRequest,
    responses((status = 200, description = "What is so now.", body = ReadOnly), MediaType, TooLarge,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn set_read_only(
    State(state): State<Shared>,
    admin: Admin,
    Asked(wanted): Asked<ReadOnlyRequest>,
) -> Result<Json<ReadOnly>, ApiError> {
    let by = admin.of_all()?.caller().changer();
    state.catalog.set_read_only(wanted.read_only, &by, state.clock.now()).await?;
    Ok(Json(state.catalog.read_only_since().await?.into()))
}

#[utoipa::path(
    post,
    path = "/-/api/v1/admin/gc",
    operation_id = "collect",
    tag = "administration",
    summary = "Remove files that no image refers to",
    request_body = GcRequest,
    responses((status = 200, description = "What was removed, or would be.", body = Collected), MediaType, TooLarge,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn gc(
    State(state): State<Shared>,
    admin: Admin,
    Asked(wanted): Asked<GcRequest>,
) -> Result<Json<Collected>, ApiError> {
    let actor = admin.of_all()?.caller().actor();
    let keeper = Keeper::request(&state)?;
    if wanted.dry_run {
        return Ok(Json(keeper.collectable().await?));
    }
    to_its_end(async move { keeper.collect(&actor).await }).await.map(Json)
}

/// Deletes images, so it is for who may delete them, and waits as deletions do.
#[utoipa::path(
    post,
    path = "/-/api/v1/admin/retain",
    operation_id = "retain",
    tag = "administration",
    summary = "Delete the images of a prefix that nothing keeps",
    request_body = RetainRequest,
    responses((status = 200, description = "What was deleted, or would be, and why the rest stays.", body = RetainedImages), MediaType, TooLarge,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn retain(
    State(state): State<Shared>,
    admin: Admin,
    Asked(wanted): Asked<RetainRequest>,
) -> Result<Json<RetainedImages>, ApiError> {
    admin.must_hold(&[Action::Delete], &wanted.prefix)?;
    let dry_run = wanted.dry_run;
    let rule: Retention = wanted.try_into().map_err(|error| ApiError::RequestMalformed {
        wanted: "a rule that keeps something",
        found: format!("{error}"),
    })?;
    let (keeper, by) = (Keeper::request(&state)?, admin.caller().changer());
    let judged = match dry_run {
        true => keeper.judge(&[rule]).await?,
        false if state.catalog.is_read_only().await? => return Err(ApiError::ReadOnly),
        false => to_its_end(async move { keeper.retain(&[rule], &by).await }).await?,
    };
    Ok(Json(judged.into_iter().collect()))
}

/// Work that goes on when the client does not wait: cut off, it would hold its lease for a minute.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<Option<T>, KeepError>> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::spawn(work).await??.ok_or(ApiError::Occupied)
}
