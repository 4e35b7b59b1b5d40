//! `…/users`: added, listed, given other passwords, removed.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::asked::{Asked, Named};
use super::check;
use crate::access::{Admin, Grant, Password, PasswordHash, UserName};
use crate::admin::{PasswordRequest, Unfit, UserInfo, UserList, UserRequest, add_user_to};
use crate::catalog::StoredUser;
use crate::document::{Conflict, MediaType, NotFound, TooLarge};
use crate::error::ApiError;
use crate::state::{Shared, State as Registry};

/// The user, where there is one that is looked after.
async fn kept(state: &Registry, admin: &Admin, name: &UserName) -> Result<StoredUser, ApiError> {
    let user = state.catalog.user(name).await?.filter(|user| admin.keeps_all(&user.grant));
    user.ok_or_else(|| Unfit::UserUnknown(name.clone()).into())
}

async fn hash(state: &Registry, password: &str) -> Result<PasswordHash, ApiError> {
    let wanted = "a password that is hard to guess";
    let password: Password = password
        .parse()
        .map_err(|error| ApiError::RequestMalformed { wanted, found: format!("{error}") })?;
    state.access.hash(password).await
}

#[utoipa::path(
    get,
    path = "/-/api/v1/admin/users",
    operation_id = "listUsers",
    tag = "administration",
    summary = "List the users that are looked after",
    responses((status = 200, description = "Without their passwords.", body = UserList),),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn list(
    State(state): State<Shared>,
    admin: Admin,
) -> Result<Json<UserList>, ApiError> {
    let users = state.catalog.users().await?.into_iter();
    let users = users.filter(|user| admin.keeps_all(&user.grant)).map(UserInfo::from);
    Ok(Json(UserList { users: users.collect() }))
}

#[utoipa::path(
    post,
    path = "/-/api/v1/admin/users",
    operation_id = "addUser",
    tag = "administration",
    summary = "Add a user",
    request_body = UserRequest,
    responses((status = 201, description = "The user.", body = UserInfo), Conflict, MediaType, TooLarge,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn add(
    State(state): State<Shared>,
    admin: Admin,
    Asked(wanted): Asked<UserRequest>,
) -> Result<(StatusCode, Json<UserInfo>), ApiError> {
    let UserRequest { name, password, prefixes, allow } = wanted;
    let grant = Grant::new(prefixes, allow);
    check(&grant)?;
    admin.must_hold_all(&grant)?;
    let hash = hash(&state, &password).await?;
    let (by, now) = (admin.caller().changer(), state.clock.now());
    let added = add_user_to(&state.catalog, name.clone(), hash, grant, &by, now).await?;
    Ok((StatusCode::CREATED, Json(added.ok_or(Unfit::UserExists(name))?)))
}

/// Who sets a password may do what the user may: as who adds one.
#[utoipa::path(
    put,
    path = "/-/api/v1/admin/users/{name}/password",
    operation_id = "setPassword",
    tag = "administration",
    summary = "Give a user another password",
    params(("name" = UserName, Path, description = "The user's name.")),
    request_body = PasswordRequest,
    responses((status = 204, description = "The one before is good no longer."), NotFound, MediaType, TooLarge,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn set_password(
    State(state): State<Shared>,
    admin: Admin,
    Named(name): Named<UserName>,
    Asked(wanted): Asked<PasswordRequest>,
) -> Result<StatusCode, ApiError> {
    let user = kept(&state, &admin, &name).await?;
    admin.must_hold_all(&user.grant)?;
    let hash = hash(&state, &wanted.password).await?;
    let (by, now) = (admin.caller().changer(), state.clock.now());
    if !state.catalog.change_password(&user, &hash, &by, now).await? {
        return Err(Unfit::UserUnknown(name).into());
    }
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(
    delete,
    path = "/-/api/v1/admin/users/{name}",
    operation_id = "removeUser",
    tag = "administration",
    summary = "Remove a user",
    params(("name" = UserName, Path, description = "The user's name.")),
    responses((status = 204, description = "The user is one no longer."), NotFound,),
    security(("token" = []), ("password" = [])),
)]
pub(super) async fn remove(
    State(state): State<Shared>,
    admin: Admin,
    Named(name): Named<UserName>,
) -> Result<StatusCode, ApiError> {
    let user = kept(&state, &admin, &name).await?;
    let by = admin.caller().changer();
    if !state.catalog.remove_user(&user, &by, state.clock.now()).await? {
        return Err(Unfit::UserUnknown(name).into());
    }
    Ok(StatusCode::NO_CONTENT)
}
