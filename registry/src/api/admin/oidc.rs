//! `…/oidc`: rules for jobs.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::asked::{Asked, Named};
use super::check;
use crate::access::{Admin, Rule, RuleId};
use crate::admin::{RuleInfo, RuleList, RuleRequest, Unfit, add_rule_to};
use crate::document::{Conflict, MediaType, NotFound, TooLarge};
use crate::error::ApiError;
use crate::state::Shared;

#[utoipa::path(
    get,
    path = "/-/api/v1/admin/oidc",
    operation_id = "listRules",
    tag = "administration",
    summary = "List the rules for jobs",
    responses((status = 200, description = "By name.", body = RuleList),),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn list(
    State(state): State<Shared>,
    admin: Admin,
) -> Result<Json<RuleList>, ApiError> {
    let rules = state.catalog.rules().await?.into_iter();
    let rules = rules.filter(|stored| admin.keeps_all(&stored.rule.grant)).map(RuleInfo::from);
    Ok(Json(RuleList { rules: rules.collect() }))
}

#[utoipa::path(
    post,
    path = "/-/api/v1/admin/oidc",
    operation_id = "addRule",
    tag = "administration",
    summary = "Add a rule for jobs",
    request_body = RuleRequest,
    responses((status = 201, description = "The rule.", body = RuleInfo), Conflict, MediaType, TooLarge,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn add(
    State(state): State<Shared>,
    admin: Admin,
    Asked(wanted): Asked<RuleRequest>,
) -> Result<(StatusCode, Json<RuleInfo>), ApiError> {
    let rule: Rule = wanted.try_into().map_err(|error| ApiError::RequestMalformed {
        wanted: "a rule: which jobs may do what",
        found: format!("{error}"),
    })?;
    check(rule.grant())?;
    admin.must_hold_all(rule.grant())?;
    let (id, by) = (rule.id().clone(), admin.caller().changer());
    let added = add_rule_to(&state.catalog, rule, &by, state.clock.now()).await?;
    Ok((StatusCode::CREATED, Json(added.ok_or(Unfit::RuleExists(id))?)))
}

#[utoipa::path(
    delete,
    path = "/-/api/v1/admin/oidc/{name}",
    operation_id = "removeRule",
    tag = "administration",
    summary = "Remove a rule for jobs",
    params(("name" = RuleId, Path, description = "The rule's name.")),
    responses((status = 204, description = "It counts no longer."), NotFound,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn remove(
    State(state): State<Shared>,
    admin: Admin,
    Named(name): Named<RuleId>,
) -> Result<StatusCode, ApiError> {
    let unknown = || Unfit::RuleUnknown(name.clone());
    let stored = state.catalog.rule(&name).await?;
    let stored = stored.filter(|stored| admin.keeps_all(&stored.rule.grant)).ok_or_else(unknown)?;
    let by = admin.caller().changer();
    if !state.catalog.remove_rule(&stored, &by, state.clock.now()).await? {
        return Err(unknown().into());
    }
    Ok(StatusCode::NO_CONTENT)
}
