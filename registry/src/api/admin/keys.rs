//! `…/keys`: which keys may sign for which prefix. Their files stay this server's own: a path on its
//! disk is told to nobody.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use keys::{Certificate, Fingerprint, Scope};

use super::asked::{Asked, Named, Queried};
use crate::access::Admin;
use crate::admin::{
    AddedKey, AddedKeys, KeyInfo, KeyList, KeysRequest, PrefixQuery, Unfit, add_key, list_keys,
    remove_key_of,
};
use crate::document::{MediaType, NotFound, TooLarge};
use crate::error::ApiError;
use crate::state::Shared;

#[utoipa::path(
    get,
    path = "/-/api/v1/admin/keys",
    operation_id = "listKeys",
    tag = "administration",
    summary = "List the keys that may sign, by prefix",
    responses((status = 200, description = "The keys.", body = KeyList),),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn list(
    State(state): State<Shared>,
    admin: Admin,
) -> Result<Json<KeyList>, ApiError> {
    let (data, limits) = (state.data.clone(), state.config().limits.clone());
    let read = tokio::task::spawn_blocking(move || list_keys(&data, &limits)).await?;
    let (entries, warnings) = read.map_err(ApiError::internal)?;
    for warning in warnings {
        tracing::warn!(warning, "a trusted key");
    }
    let all = admin.prefixes().is_none();
    let kept = entries.into_iter().filter(|entry| match &entry.scope {
        Scope::Root => all,
        Scope::Prefix(prefix) => admin.keeps(prefix),
    });
    let now = state.clock.now();
    let keys = kept.map(|entry| KeyInfo { path: None, ..KeyInfo::new(entry, now) }).collect();
    Ok(Json(KeyList { keys, warnings: Vec::new() }))
}

#[utoipa::path(
    post,
    path = "/-/api/v1/admin/keys",
    operation_id = "addKeys",
    tag = "administration",
    summary = "Let keys sign for a prefix",
    request_body = KeysRequest,
    responses((status = 200, description = "Which, and whether they could before.", body = AddedKeys), MediaType, TooLarge,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn add(
    State(state): State<Shared>,
    admin: Admin,
    Asked(KeysRequest { prefix, keys }): Asked<KeysRequest>,
) -> Result<Json<AddedKeys>, ApiError> {
    admin.must_keep(&prefix)?;
    let limits = state.config().limits.clone();
    let keys = Certificate::read_all(keys.as_bytes(), &limits).map_err(|error| {
        let wanted = "OpenPGP public keys, ASCII-armored";
        ApiError::RequestMalformed { wanted, found: error.to_string() }
    })?;
    let (by, mut added) = (admin.caller().changer(), Vec::new());
    for key in keys {
        let now = state.clock.now();
        let one = add_key(&state.catalog, &state.data, &prefix, key, &limits, &by, now).await?;
        added.push(AddedKey { path: None, ..one });
    }
    Ok(Json(AddedKeys { added }))
}

#[utoipa::path(
    delete,
    path = "/-/api/v1/admin/keys/{fingerprint}",
    operation_id = "removeKey",
    tag = "administration",
    summary = "Let a key sign for a prefix no longer",
    params(("fingerprint" = String, Path, pattern = "^[0-9a-f]{40}$", description = "The key."), PrefixQuery),
    responses((status = 204, description = "It may no longer."), NotFound,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn remove(
    State(state): State<Shared>,
    admin: Admin,
    Named(fingerprint): Named<Fingerprint>,
    Queried(PrefixQuery { prefix }): Queried<PrefixQuery>,
) -> Result<StatusCode, ApiError> {
    let prefix = prefix.ok_or_else(|| ApiError::RequestMalformed {
        wanted: "`?prefix=`, from which the key is to be taken",
        found: "no prefix".to_owned(),
    })?;
    admin.must_keep(&prefix)?;
    let limits = state.config().limits.clone();
    let (by, now) = (admin.caller().changer(), state.clock.now());
    let (catalog, data) = (&state.catalog, &state.data);
    if !remove_key_of(catalog, data, &prefix, &fingerprint, &limits, &by, now).await? {
        return Err(Unfit::KeyUnknown { prefix, fingerprint }.into());
    }
    Ok(StatusCode::NO_CONTENT)
}
