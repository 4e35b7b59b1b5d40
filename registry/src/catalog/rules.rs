//! Rules for jobs that an issuer vouches for.

use std::collections::BTreeMap;

use super::database::on;
use super::tokens::{grant, lists};
use super::{Catalog, CatalogError, parsed, seconds, time};
use crate::access::{ClaimPattern, Revision, Rule, RuleId, StoredRule};

#[derive(sqlx::FromRow)]
struct RuleRow {
    rule_id: String,
    issuer: String,
    audience: String,
    claims: String,
    prefixes: String,
    actions: String,
    revision: i64,
    created_at: i64,
}

impl TryFrom<RuleRow> for StoredRule {
    type Error = CatalogError;

    fn try_from(row: RuleRow) -> Result<Self, CatalogError> {
        let corrupt =
            || CatalogError::Corrupt { wanted: "rule's claims", value: row.claims.clone() };
        let claims: BTreeMap<String, String> =
            serde_json::from_str(&row.claims).map_err(|_| corrupt())?;
        let claims: Result<BTreeMap<String, ClaimPattern>, CatalogError> = claims
            .into_iter()
            .map(|(name, value)| Ok((name, parsed("claim's pattern", value)?)))
            .collect();
        let rule = Rule::new(
            parsed("rule's name", row.rule_id)?,
            parsed("issuer", row.issuer)?,
            row.audience,
            claims?,
            grant(&row.prefixes, &row.actions)?,
        );
        Ok(Self {
            rule: rule.map_err(|_| corrupt())?,
            revision: Revision(row.revision),
            created: time(row.created_at),
        })
    }
}

impl Catalog {
    /// Adds a rule; `false` where there is one of this name.
    pub(crate) async fn add_rule(&self, stored: &StoredRule) -> Result<bool, CatalogError> {
        let rule = &stored.rule;
        let (prefixes, actions) = lists(&rule.grant);
        let claims = serde_json::to_string(&rule.claims)
            .map_err(|error| CatalogError::Sql(sqlx::Error::Encode(error.into())))?;
        let added = on!(self, pool => sqlx::query(
            "INSERT INTO oidc_rules (rule_id, issuer, audience, claims, prefixes, actions, revision,
                 created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (rule_id) DO NOTHING",
        )
        .bind(rule.id.as_str())
        .bind(rule.issuer.as_str())
        .bind(&*rule.audience)
        .bind(&*claims)
        .bind(&*prefixes)
        .bind(&*actions)
        .bind(stored.revision.0)
        .bind(seconds(stored.created))
        .execute(pool).await?.rows_affected());
        Ok(added == 1)
    }

    /// The rules for jobs of an issuer, by name.
    pub(crate) async fn rules_of(&self, issuer: &str) -> Result<Vec<StoredRule>, CatalogError> {
        let rows: Vec<RuleRow> = on!(self, pool => sqlx::query_as(
            "SELECT rule_id, issuer, audience, claims, prefixes, actions, revision, created_at
             FROM oidc_rules WHERE issuer = $1 ORDER BY rule_id",
        )
        .bind(issuer)
        .fetch_all(pool).await)?;
        rows.into_iter().map(StoredRule::try_from).collect()
    }

    /// Every rule, by name.
    pub(crate) async fn rules(&self) -> Result<Vec<StoredRule>, CatalogError> {
        let rows: Vec<RuleRow> = on!(self, pool => sqlx::query_as(
            "SELECT rule_id, issuer, audience, claims, prefixes, actions, revision, created_at
             FROM oidc_rules ORDER BY rule_id",
        )
        .fetch_all(pool).await)?;
        rows.into_iter().map(StoredRule::try_from).collect()
    }

    /// Removes a rule; `false` where there is none of this name.
    pub(crate) async fn remove_rule(&self, id: &RuleId) -> Result<bool, CatalogError> {
        let removed = on!(self, pool => sqlx::query("DELETE FROM oidc_rules WHERE rule_id = $1")
            .bind(id.as_str())
            .execute(pool).await?.rows_affected());
        Ok(removed == 1)
    }
}
