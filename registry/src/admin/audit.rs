//! The audit log: read, and checked.

use aci::Name;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AdminError, RecordHash, within};
use crate::audit::{AuditRecord, AuditVerdict};
use crate::catalog::{Catalog, CatalogError};
use crate::data::Place;

/// Records of all that are read at a time, and how often for one page.
const STEP: u32 = 1000;
const STEPS: u32 = 20;
/// Records of one page.
const MOST: u32 = 1000;

/// Some records of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// The records, in their order.
    pub records: Vec<AuditRecord>,
    /// The number before which there may be more. A page may have fewer records than were asked for,
    /// or none, where there are.
    pub before: Option<i64>,
}

/// The last records of the audit log, in their order.
pub async fn audit_records(place: &Place, most: u32) -> Result<Vec<AuditRecord>, AdminError> {
    within(place, async |catalog| catalog.audit_records_before(None, most).await).await
}

/// At most so many records before a number, or the last: those of names at and below prefixes, or
/// all where none are given.
pub(crate) async fn page(
    catalog: &Catalog,
    prefixes: Option<&[Name]>,
    mut before: Option<i64>,
    most: u32,
) -> Result<AuditPage, CatalogError> {
    let most = most.min(MOST) as usize;
    let shows = |record: &AuditRecord| match (prefixes, &record.name) {
        (None, _) => true,
        (Some(prefixes), Some(name)) => prefixes.iter().any(|prefix| name.is_under(prefix)),
        (Some(_), None) => false,
    };
    // From the last to the first.
    let mut records = Vec::new();
    for _ in 0..STEPS {
        let step = if prefixes.is_none() { (most - records.len()) as u32 } else { STEP };
        let found = catalog.audit_records_before(before, step).await?;
        let Some(first) = found.first() else { break };
        before = Some(first.sequence);
        for record in found.into_iter().rev().filter(shows) {
            if records.len() == most {
                break;
            }
            records.push(record);
        }
        if records.len() == most {
            before = records.last().map(|last: &AuditRecord| last.sequence).or(before);
            break;
        }
    }
    records.reverse();
    Ok(AuditPage { records, before: before.filter(|before| *before > 1) })
}

/// Checks the audit log, and that it holds the record with the hash that somebody has noted.
pub async fn verify_audit(
    place: &Place,
    noted: Option<&RecordHash>,
) -> Result<AuditVerdict, AdminError> {
    within(place, async |catalog| catalog.verify_audit(noted.map(RecordHash::as_str)).await).await
}
