//! `…/policies`: what is so below a prefix.
//!
//! A policy gives something to others: `read: public` lets everybody read, `overwrite: allowed` lets
//! who pushes take images away. Nobody gives what they do not hold, so the first needs `read` there,
//! and the second `delete`; and so does removing what says otherwise.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::asked::{Asked, Queried};
use crate::access::{Action, Admin, OverwritePolicy, PolicyEntry, ReadPolicy};
use crate::admin::{PolicyList, PrefixQuery, Unfit};
use crate::document::{MediaType, NotFound, TooLarge};
use crate::error::ApiError;
use crate::state::Shared;

/// What is given away by setting this.
fn given(entry: &PolicyEntry) -> Vec<Action> {
    let read = (entry.read == Some(ReadPolicy::Public)).then_some(Action::Read);
    let delete = (entry.overwrite == Some(OverwritePolicy::Allowed)).then_some(Action::Delete);
    read.into_iter().chain(delete).collect()
}

/// What may be given away by removing this: what is above counts then, whatever it is.
fn withheld(entry: &PolicyEntry) -> Vec<Action> {
    let read = (entry.read == Some(ReadPolicy::Token)).then_some(Action::Read);
    let delete = (entry.overwrite == Some(OverwritePolicy::Never)).then_some(Action::Delete);
    read.into_iter().chain(delete).collect()
}

#[utoipa::path(
    get,
    path = "/-/api/v1/admin/policies",
    operation_id = "listPolicies",
    tag = "administration",
    summary = "List what prefixes say",
    responses((status = 200, description = "By prefix.", body = PolicyList),),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn list(
    State(state): State<Shared>,
    admin: Admin,
) -> Result<Json<PolicyList>, ApiError> {
    let policies = state.catalog.policies().await?.into_iter();
    let policies = policies.filter(|entry| admin.keeps(&entry.prefix)).collect();
    Ok(Json(PolicyList { policies }))
}

#[utoipa::path(
    put,
    path = "/-/api/v1/admin/policies",
    operation_id = "setPolicy",
    tag = "administration",
    summary = "Have a prefix say something; what it said of other things stays",
    request_body = PolicyEntry,
    responses((status = 200, description = "All that it says now.", body = PolicyEntry), MediaType, TooLarge,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn set(
    State(state): State<Shared>,
    admin: Admin,
    Asked(entry): Asked<PolicyEntry>,
) -> Result<Json<PolicyEntry>, ApiError> {
    admin.must_hold(&given(&entry), &entry.prefix)?;
    if entry.read.is_none() && entry.overwrite.is_none() {
        let wanted = "`read` or `overwrite`, or both";
        return Err(ApiError::RequestMalformed { wanted, found: "neither".to_owned() });
    }
    let by = admin.caller().changer();
    Ok(Json(state.catalog.set_policy(&entry, &by, state.clock.now()).await?))
}

#[utoipa::path(
    delete,
    path = "/-/api/v1/admin/policies",
    operation_id = "removePolicy",
    tag = "administration",
    summary = "Have a prefix say nothing",
    params(PrefixQuery),
    responses((status = 204, description = "What is above it counts."), NotFound,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn remove(
    State(state): State<Shared>,
    admin: Admin,
    Queried(PrefixQuery { prefix }): Queried<PrefixQuery>,
) -> Result<StatusCode, ApiError> {
    let prefix = prefix.ok_or_else(|| ApiError::RequestMalformed {
        wanted: "`?prefix=`, which is to say nothing any more",
        found: "no prefix".to_owned(),
    })?;
    admin.must_keep(&prefix)?;
    let unknown = || Unfit::PolicyUnknown(prefix.clone());
    let entry = state.catalog.policy(&prefix).await?.ok_or_else(unknown)?;
    admin.must_hold(&withheld(&entry), &prefix)?;
    let by = admin.caller().changer();
    if !state.catalog.remove_policy(&entry, &by, state.clock.now()).await? {
        return Err(unknown().into());
    }
    Ok(StatusCode::NO_CONTENT)
}
