//! Tokens: who may do what below which prefixes.

use std::time::SystemTime;

use aci::Name;

use super::audit::append;
use super::database::{Write as _, on};
use super::standing::still;
use super::{Catalog, CatalogError, parsed, seconds, time};
use crate::access::{Changer, Grant};
use crate::audit::{AuditAction, Event};
use crate::token::{TokenHash, TokenId};

/// A token as the catalogue knows it: all but the token itself.
#[derive(Debug, Clone)]
pub(crate) struct StoredToken {
    pub(crate) id: TokenId,
    pub(crate) name: String,
    pub(crate) grant: Grant,
    pub(crate) created: SystemTime,
    pub(crate) expires: Option<SystemTime>,
    pub(crate) last_used: Option<SystemTime>,
    pub(crate) revoked: Option<SystemTime>,
}

/// Reads rows of tokens: what follows the columns.
macro_rules! select {
    ($from:literal) => {
        concat!(
            "SELECT token_id, token_name, prefixes, actions, created_at, expires_at, last_used_at,
                 revoked_at ",
            $from
        )
    };
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    token_id: String,
    token_name: String,
    prefixes: String,
    actions: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl TryFrom<TokenRow> for StoredToken {
    type Error = CatalogError;

    fn try_from(row: TokenRow) -> Result<Self, CatalogError> {
        Ok(Self {
            id: parsed("token ID", row.token_id)?,
            name: row.token_name,
            grant: grant(&row.prefixes, &row.actions)?,
            created: time(row.created_at),
            expires: row.expires_at.map(time),
            last_used: row.last_used_at.map(time),
            revoked: row.revoked_at.map(time),
        })
    }
}

/// Two lists between commas.
pub(super) fn grant(prefixes: &str, actions: &str) -> Result<Grant, CatalogError> {
    fn all<T: std::str::FromStr>(wanted: &'static str, text: &str) -> Result<Vec<T>, CatalogError> {
        let words = text.split(',').filter(|word| !word.is_empty());
        words.map(|word| parsed(wanted, word.to_owned())).collect()
    }
    Ok(Grant::new(all("name prefix", prefixes)?, all("action", actions)?))
}

/// The two lists of a grant.
pub(super) fn lists(grant: &Grant) -> (String, String) {
    let prefixes: Vec<&str> = grant.prefixes().iter().map(Name::as_str).collect();
    let actions: Vec<&str> = grant.actions().iter().map(|action| action.as_str()).collect();
    (prefixes.join(","), actions.join(","))
}

impl Catalog {
    /// Adds a token.
    pub(crate) async fn add_token(
        &self,
        token: &StoredToken,
        hash: &TokenHash,
        by: &Changer,
    ) -> Result<(), CatalogError> {
        let (prefixes, actions) = lists(&token.grant);
        let detail = format!("{}: {}", token.id, token.grant);
        let event = Event::new(&by.actor, AuditAction::TokenCreate, detail);
        let top = token.grant.top();
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            still!(transaction, by, token.created);
            sqlx::query(
            "INSERT INTO tokens (token_id, token_hash, token_name, prefixes, actions, created_at,
                 expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(token.id.as_str())
        .bind(hash.as_str())
        .bind(&*token.name)
        .bind(&*prefixes)
        .bind(&*actions)
        .bind(seconds(token.created))
        .bind(token.expires.map(seconds))
        .execute(&mut *transaction).await?;
            append!(transaction, &event.below(top.as_ref()), token.created);
            transaction.commit().await?;
        });
        Ok(())
    }

    /// The token with this hash, or with this one before its secret was changed. The index compares
    /// hashes of 256 random bits, so the time it takes tells nothing about a token.
    pub(crate) async fn token(
        &self,
        hash: &TokenHash,
        now: SystemTime,
    ) -> Result<Option<StoredToken>, CatalogError> {
        let row: Option<TokenRow> = on!(self, pool => sqlx::query_as(
            select!("FROM tokens WHERE token_hash = $1 OR (old_hash = $1 AND old_until > $2)"),
        )
        .bind(hash.as_str())
        .bind(seconds(now))
        .fetch_optional(pool).await)?;
        row.map(StoredToken::try_from).transpose()
    }

    /// The token of this ID.
    pub(crate) async fn token_of(&self, id: &TokenId) -> Result<Option<StoredToken>, CatalogError> {
        let row: Option<TokenRow> = on!(self, pool => sqlx::query_as(
            select!("FROM tokens WHERE token_id = $1"),
        )
        .bind(id.as_str())
        .fetch_optional(pool).await)?;
        row.map(StoredToken::try_from).transpose()
    }

    /// Every token, oldest first.
    pub(crate) async fn tokens(&self) -> Result<Vec<StoredToken>, CatalogError> {
        let rows: Vec<TokenRow> = on!(self, pool => sqlx::query_as(
            select!("FROM tokens ORDER BY created_at, token_id"),
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

    /// Gives a token another secret; the one it had is good until then, or until it would have
    /// expired. `None` where there is no token of this ID that is good then.
    pub(crate) async fn rotate_token(
        &self,
        id: &TokenId,
        hash: &TokenHash,
        old_until: SystemTime,
        expires: Option<Option<SystemTime>>,
        by: &Changer,
        now: SystemTime,
    ) -> Result<Option<StoredToken>, CatalogError> {
        let token: Option<StoredToken> = on!(self, pool => {
            let mut transaction = pool.write().await?;
            still!(transaction, by, now);
            // The right sides speak of the row as it was.
            sqlx::query(
                "UPDATE tokens SET token_hash = $1, old_hash = token_hash,
                     old_until = CASE WHEN expires_at < $2 THEN expires_at ELSE $2 END
                 WHERE token_id = $3 AND revoked_at IS NULL",
            )
            .bind(hash.as_str())
            .bind(seconds(old_until))
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
            if let Some(expires) = expires {
                sqlx::query(
                    "UPDATE tokens SET expires_at = $1 WHERE token_id = $2 AND revoked_at IS NULL",
                )
                .bind(expires.map(seconds))
                .bind(id.as_str())
                .execute(&mut *transaction)
                .await?;
            }
            let row: Option<TokenRow> = sqlx::query_as(select!(
                "FROM tokens WHERE token_id = $1 AND revoked_at IS NULL
                 AND (expires_at IS NULL OR expires_at > $2)"
            ))
            .bind(id.as_str())
            .bind(seconds(now))
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(token) = row.map(StoredToken::try_from).transpose()? else { return Ok(None) };
            let event = Event::new(&by.actor, AuditAction::TokenRotate, id.to_string());
            let top = token.grant.top();
            append!(transaction, &event.below(top.as_ref()), now);
            transaction.commit().await?;
            Some(token)
        });
        Ok(token)
    }

    /// Revokes a token; `false` where there is none of this ID that is not revoked.
    pub(crate) async fn revoke_token(
        &self,
        id: &TokenId,
        by: &Changer,
        now: SystemTime,
    ) -> Result<bool, CatalogError> {
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            still!(transaction, by, now);
            let revoked: Option<(String,)> = sqlx::query_as(
                "UPDATE tokens SET revoked_at = $1 WHERE token_id = $2 AND revoked_at IS NULL
                 RETURNING prefixes",
            )
            .bind(seconds(now))
            .bind(id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
            let Some((prefixes,)) = revoked else { return Ok(false) };
            let event = Event::new(&by.actor, AuditAction::TokenRevoke, id.to_string());
            let top = grant(&prefixes, "")?.top();
            append!(transaction, &event.below(top.as_ref()), now);
            transaction.commit().await?;
        });
        Ok(true)
    }
}
