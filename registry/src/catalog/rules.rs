//! Rules for jobs that an issuer vouches for.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::audit::change;
use super::database::on;
use super::tokens::{grant, lists};
use super::{Catalog, CatalogError, parsed, seconds, time};
use crate::access::{Changer, ClaimPattern, Revision, Rule, RuleId, StoredRule};
use crate::audit::{AuditAction, Event};

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
    pub(crate) async fn add_rule(
        &self,
        stored: &StoredRule,
        by: &Changer,
    ) -> Result<bool, CatalogError> {
        let rule = &stored.rule;
        let (prefixes, actions) = lists(&rule.grant);
        let claims = serde_json::to_string(&rule.claims)
            .map_err(|error| CatalogError::Sql(sqlx::Error::Encode(error.into())))?;
        let detail = format!("{}: {} of {}", rule.id, rule.grant, rule.issuer);
        let (top, now) = (rule.grant.top(), stored.created);
        let event = Event::new(&by.actor, AuditAction::OidcAdd, detail).below(top.as_ref());
        let statement =
            "INSERT INTO oidc_rules (rule_id, issuer, audience, claims, prefixes, actions,
                 revision, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (rule_id) DO NOTHING";
        Ok(change!(
            self,
            by,
            now,
            &event,
            sqlx::query(statement)
                .bind(rule.id.as_str())
                .bind(rule.issuer.as_str())
                .bind(&*rule.audience)
                .bind(&*claims)
                .bind(&*prefixes)
                .bind(&*actions)
                .bind(stored.revision.0)
                .bind(seconds(now))
        ))
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

    /// The rule of this name.
    pub(crate) async fn rule(&self, id: &RuleId) -> Result<Option<StoredRule>, CatalogError> {
        let row: Option<RuleRow> = on!(self, pool => sqlx::query_as(
            "SELECT rule_id, issuer, audience, claims, prefixes, actions, revision, created_at
             FROM oidc_rules WHERE rule_id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(pool).await)?;
        row.map(StoredRule::try_from).transpose()
    }

    /// Removes a rule, which is as it was looked at; `false` where it is not, or is no more.
    pub(crate) async fn remove_rule(
        &self,
        stored: &StoredRule,
        by: &Changer,
        now: SystemTime,
    ) -> Result<bool, CatalogError> {
        let id = &stored.rule.id;
        let (action, top) = (AuditAction::OidcRemove, stored.rule.grant.top());
        let event = Event::new(&by.actor, action, id.to_string()).below(top.as_ref());
        Ok(change!(
            self,
            by,
            now,
            &event,
            sqlx::query("DELETE FROM oidc_rules WHERE rule_id = $1 AND revision = $2")
                .bind(id.as_str())
                .bind(stored.revision.0)
        ))
    }
}
