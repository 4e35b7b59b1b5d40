//! Tokens: who may do what below which prefix.

use std::time::SystemTime;

use aci::Name;

use super::database::on;
use super::{Catalog, CatalogError, parsed, seconds, time};
use crate::token::{Action, TokenHash, TokenId};

/// A token as the catalogue knows it: all but the token itself.
#[derive(Debug, Clone)]
pub(crate) struct StoredToken {
    pub(crate) id: TokenId,
    pub(crate) prefix: Name,
    pub(crate) actions: Vec<Action>,
    pub(crate) created: SystemTime,
    pub(crate) expires: Option<SystemTime>,
    pub(crate) last_used: Option<SystemTime>,
    pub(crate) revoked: Option<SystemTime>,
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    token_id: String,
    prefix: String,
    actions: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl TryFrom<TokenRow> for StoredToken {
    type Error = CatalogError;

    fn try_from(row: TokenRow) -> Result<Self, CatalogError> {
        let words = row.actions.split(',').filter(|word| !word.is_empty());
        let actions: Result<Vec<Action>, _> =
            words.map(|word| parsed("list of actions", word.to_owned())).collect();
        Ok(Self {
            id: parsed("token ID", row.token_id)?,
            prefix: parsed("name prefix", row.prefix)?,
            actions: actions?,
            created: time(row.created_at),
            expires: row.expires_at.map(time),
            last_used: row.last_used_at.map(time),
            revoked: row.revoked_at.map(time),
        })
    }
}

impl Catalog {
    /// Adds a token.
    pub(crate) async fn add_token(
        &self,
        token: &StoredToken,
        hash: &TokenHash,
    ) -> Result<(), CatalogError> {
        let actions: Vec<&str> = token.actions.iter().map(|action| action.as_str()).collect();
        on!(self, pool => { sqlx::query(
            "INSERT INTO tokens (token_id, token_hash, prefix, actions, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(token.id.as_str())
        .bind(hash.as_str())
        .bind(token.prefix.as_str())
        .bind(actions.join(","))
        .bind(seconds(token.created))
        .bind(token.expires.map(seconds))
        .execute(pool).await?; });
        Ok(())
    }

    /// The token with this hash. The index compares hashes of 256 random bits, so
    /// the time it takes tells nothing about a token.
    pub(crate) async fn token(
        &self,
        hash: &TokenHash,
    ) -> Result<Option<StoredToken>, CatalogError> {
        let row: Option<TokenRow> = on!(self, pool => sqlx::query_as(
            "SELECT token_id, prefix, actions, created_at, expires_at, last_used_at, revoked_at
             FROM tokens WHERE token_hash = $1",
        )
        .bind(hash.as_str())
        .fetch_optional(pool).await)?;
        row.map(StoredToken::try_from).transpose()
    }

    /// Every token, oldest first.
    pub(crate) async fn tokens(&self) -> Result<Vec<StoredToken>, CatalogError> {
        let rows: Vec<TokenRow> = on!(self, pool => sqlx::query_as(
            "SELECT token_id, prefix, actions, created_at, expires_at, last_used_at, revoked_at
             FROM tokens ORDER BY created_at, token_id",
        )
        .fetch_all(pool).await)?;
        rows.into_iter().map(StoredToken::try_from).collect()
    }

    /// Notes that a token was used.
    pub(crate) async fn touch_token(
        &self,
        id: &TokenId,
        now: SystemTime,
    ) -> Result<(), CatalogError> {
        on!(self, pool => { sqlx::query("UPDATE tokens SET last_used_at = $1 WHERE token_id = $2")
            .bind(seconds(now))
            .bind(id.as_str())
            .execute(pool).await?; });
        Ok(())
    }

    /// Revokes a token; `false` where there is none of this ID that is not revoked.
    pub(crate) async fn revoke_token(
        &self,
        id: &TokenId,
        now: SystemTime,
    ) -> Result<bool, CatalogError> {
        let revoked = on!(self, pool => sqlx::query(
            "UPDATE tokens SET revoked_at = $1 WHERE token_id = $2 AND revoked_at IS NULL",
        )
        .bind(seconds(now))
        .bind(id.as_str())
        .execute(pool).await?.rows_affected());
        Ok(revoked == 1)
    }
}
