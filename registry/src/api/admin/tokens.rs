//! `…/tokens`: made, listed, given other secrets, revoked.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::asked::{Asked, Named};
use super::check;
use crate::access::Admin;
use crate::admin::{
    NewToken, RotateRequest, TokenInfo, TokenList, TokenMade, TokenRequest, Unfit, make_token,
    rotate_token_of,
};
use crate::catalog::StoredToken;
use crate::document::{MediaType, NotFound, TooLarge};
use crate::error::ApiError;
use crate::state::{Shared, State as Registry};
use crate::token::{Token, TokenId};

/// Bytes of what a token is called.
const NAME_BYTES: usize = 256;

/// The token, where there is one that is looked after.
async fn kept(state: &Registry, admin: &Admin, id: &TokenId) -> Result<StoredToken, ApiError> {
    let token = state.catalog.token_of(id).await?;
    let kept = token.filter(|token| token.revoked.is_none() && admin.keeps_all(&token.grant));
    kept.ok_or_else(|| Unfit::TokenUnknown(id.clone()).into())
}

fn made((token, info): (Token, TokenInfo)) -> Json<TokenMade> {
    Json(TokenMade { info, token: token.reveal().to_owned() })
}

#[utoipa::path(
    get,
    path = "/-/api/v1/admin/tokens",
    operation_id = "listTokens",
    tag = "administration",
    summary = "List the tokens that are looked after",
    responses((status = 200, description = "Without their secrets.", body = TokenList),),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn list(
    State(state): State<Shared>,
    admin: Admin,
) -> Result<Json<TokenList>, ApiError> {
    let tokens = state.catalog.tokens().await?.into_iter();
    let tokens = tokens.filter(|token| admin.keeps_all(&token.grant)).map(TokenInfo::from);
    Ok(Json(TokenList { tokens: tokens.collect() }))
}

#[utoipa::path(
    post,
    path = "/-/api/v1/admin/tokens",
    operation_id = "createToken",
    tag = "administration",
    summary = "Make a token",
    request_body = TokenRequest,
    responses((status = 201, description = "The token, and its secret, which is shown this once.", body = TokenMade), MediaType, TooLarge,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn create(
    State(state): State<Shared>,
    admin: Admin,
    Asked(wanted): Asked<TokenRequest>,
) -> Result<(StatusCode, Json<TokenMade>), ApiError> {
    if wanted.name.len() > NAME_BYTES {
        let found = format!("{} bytes", wanted.name.len());
        return Err(ApiError::RequestMalformed { wanted: "a name of at most 256 bytes", found });
    }
    let new = NewToken::from(wanted);
    check(&new.grant)?;
    admin.must_hold_all(&new.grant)?;
    let by = admin.caller().changer();
    let token = make_token(&state.catalog, new, &by, state.clock.now()).await?;
    Ok((StatusCode::CREATED, made(token)))
}

/// Who is given a secret may do what the token allows: as who makes one.
#[utoipa::path(
    post,
    path = "/-/api/v1/admin/tokens/{id}/rotate",
    operation_id = "rotateToken",
    tag = "administration",
    summary = "Give a token another secret",
    params(("id" = TokenId, Path, description = "The token's ID.")),
    request_body = RotateRequest,
    responses((status = 200, description = "The token, and its secret, which is shown this once.", body = TokenMade), NotFound, MediaType, TooLarge,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn rotate(
    State(state): State<Shared>,
    admin: Admin,
    Named(id): Named<TokenId>,
    Asked(wanted): Asked<RotateRequest>,
) -> Result<Json<TokenMade>, ApiError> {
    let token = kept(&state, &admin, &id).await?;
    admin.must_hold_all(&token.grant)?;
    let (by, now) = (admin.caller().changer(), state.clock.now());
    let rotated = rotate_token_of(&state.catalog, &id, wanted.into(), &by, now).await?;
    Ok(made(rotated.ok_or(Unfit::TokenUnknown(id))?))
}

#[utoipa::path(
    delete,
    path = "/-/api/v1/admin/tokens/{id}",
    operation_id = "revokeToken",
    tag = "administration",
    summary = "End a token now",
    params(("id" = TokenId, Path, description = "The token's ID.")),
    responses((status = 204, description = "It is good no longer."), NotFound,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn revoke(
    State(state): State<Shared>,
    admin: Admin,
    Named(id): Named<TokenId>,
) -> Result<StatusCode, ApiError> {
    kept(&state, &admin, &id).await?;
    let by = admin.caller().changer();
    if !state.catalog.revoke_token(&id, &by, state.clock.now()).await? {
        return Err(Unfit::TokenUnknown(id).into());
    }
    Ok(StatusCode::NO_CONTENT)
}
