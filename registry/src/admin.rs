//! What an administrator does to a registry's data: tokens, users, keys, policies and rules, and the
//! work that keeps it. All of it works beside a running server, which sees it with the next request.
//!
//! Each thing is done by one function on a catalogue. A command calls it on the data directory
//! (here), a server for who asks it (`api/admin/`); both leave the same record in the audit log. The
//! types are those of the API's JSON, too.

mod audit;
mod error;
mod keeping;
mod keys;
mod policies;
mod requests;
mod rules;
mod tokens;
mod users;

use crate::catalog::Catalog;
use crate::data::{DataDir, Place};

pub use audit::{AuditPage, audit_records, verify_audit};
pub use error::{AdminError, Unfit};
pub use keeping::{
    QuotaUse, ReadOnly, RetainedImage, RetainedImages, Usage, UsageReport, back_up, check, collect,
    collectable, damaged, judge, read_only, rebuild, remove_orphans, restore, retain, scrub,
    set_read_only, usage,
};
pub use keys::{AddedKey, KeyInfo, KeyList, add_keys, keys, remove_key};
pub use policies::{policies, remove_policy, set_policy};
pub use requests::{
    AddedKeys, AuditQuery, DamagedList, GcRequest, KeysRequest, Lifetime, NoRecordHash,
    PasswordRequest, PolicyList, PrefixQuery, ReadOnlyRequest, RecordHash, RetainRequest,
    RotateRequest, RuleList, RuleRequest, TokenList, TokenMade, TokenRequest, UserList,
    UserRequest, VerifyQuery,
};
pub use rules::{RuleInfo, add_rule, remove_rule, rules};
pub use tokens::{NewToken, Rotation, TokenInfo, create_token, revoke_token, rotate_token, tokens};
pub use users::{UserInfo, add_user, change_password, remove_user, users};

pub(crate) use audit::page as audit_page;
pub(crate) use keeping::{quotas, usage_of};
pub(crate) use keys::{add as add_key, list as list_keys, remove as remove_key_of};
pub(crate) use rules::add as add_rule_to;
pub(crate) use tokens::{make as make_token, rotate as rotate_token_of};
pub(crate) use users::add as add_user_to;

/// Works on the catalogue of a place that is there.
async fn within<T, E: Into<AdminError>>(
    place: &Place,
    work: impl AsyncFnOnce(&Catalog) -> Result<T, E>,
) -> Result<T, AdminError> {
    open(DataDir::open_existing(&place.data)?, place, work).await
}

/// Works on the catalogue of a place, which is made where it is not there.
async fn within_new<T, E: Into<AdminError>>(
    place: &Place,
    work: impl AsyncFnOnce(&Catalog) -> Result<T, E>,
) -> Result<T, AdminError> {
    open(DataDir::open(&place.data)?, place, work).await
}

async fn open<T, E: Into<AdminError>>(
    data: DataDir,
    place: &Place,
    work: impl AsyncFnOnce(&Catalog) -> Result<T, E>,
) -> Result<T, AdminError> {
    let catalog = data.open_catalog::<AdminError>(place.database.as_ref()).await?;
    let done = work(&catalog).await.map_err(Into::into);
    catalog.close().await;
    done
}
