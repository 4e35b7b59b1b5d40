//! `…/audit`: what was done. Who looks after some prefixes sees the records of what is below them, and
//! cannot check the whole.

use axum::Json;
use axum::extract::State;

use super::asked::Queried;
use crate::access::Admin;
use crate::admin::{AuditPage, AuditQuery, RecordHash, VerifyQuery, audit_page};
use crate::audit::AuditVerdict;
use crate::error::ApiError;
use crate::state::Shared;

/// Records of a page, where nobody says how many.
const LAST: u32 = 50;

#[utoipa::path(
    get,
    path = "/-/api/v1/admin/audit",
    operation_id = "listAudit",
    tag = "administration",
    summary = "Read the audit log, from its end",
    params(AuditQuery),
    responses((status = 200, description = "Records, in their order.", body = AuditPage),),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn list(
    State(state): State<Shared>,
    admin: Admin,
    Queried(AuditQuery { last, before }): Queried<AuditQuery>,
) -> Result<Json<AuditPage>, ApiError> {
    let (prefixes, last) = (admin.prefixes(), last.unwrap_or(LAST));
    Ok(Json(audit_page(&state.catalog, prefixes.as_deref(), before, last).await?))
}

#[utoipa::path(
    get,
    path = "/-/api/v1/admin/audit/verify",
    operation_id = "verifyAudit",
    tag = "administration",
    summary = "Check the audit log",
    params(VerifyQuery),
    responses((status = 200, description = "Whether it is whole.", body = AuditVerdict),),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn verify(
    State(state): State<Shared>,
    admin: Admin,
    Queried(VerifyQuery { noted }): Queried<VerifyQuery>,
) -> Result<Json<AuditVerdict>, ApiError> {
    admin.of_all()?;
    Ok(Json(state.catalog.verify_audit(noted.as_ref().map(RecordHash::as_str)).await?))
}
