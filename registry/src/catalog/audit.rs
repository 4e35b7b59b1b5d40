//! The records of the audit log.

use std::time::SystemTime;

use aci::Name;

use super::database::{Write as _, on};
use super::standing::still;
use super::{Catalog, CatalogError, parsed, time};
use crate::access::Changer;
use crate::audit::{Actor, AuditFault, AuditRecord, AuditVerdict, Event, Hashed};

/// Records that are read at a time.
const PAGE: i64 = 1000;

#[derive(sqlx::FromRow)]
struct AuditRow {
    sequence: i64,
    at: i64,
    actor: String,
    address: Option<String>,
    action: String,
    name: Option<String>,
    image_id: Option<String>,
    detail: Option<String>,
    previous: String,
    hash: String,
}

impl AuditRow {
    fn hashed(&self) -> Result<String, CatalogError> {
        Hashed {
            sequence: self.sequence,
            at: self.at,
            actor: &self.actor,
            address: self.address.as_deref(),
            action: &self.action,
            name: self.name.as_deref(),
            image_id: self.image_id.as_deref(),
            detail: self.detail.as_deref(),
            previous: &self.previous,
        }
        .hash()
        .map_err(|error| CatalogError::Sql(sqlx::Error::Encode(error.into())))
    }
}

impl TryFrom<AuditRow> for AuditRecord {
    type Error = CatalogError;

    fn try_from(row: AuditRow) -> Result<Self, CatalogError> {
        let address = row.address.map(|text| parsed("address", text)).transpose()?;
        Ok(Self {
            sequence: row.sequence,
            at: time(row.at),
            actor: Actor { who: row.actor, address },
            action: parsed("audited action", row.action)?,
            name: row.name.map(|text| parsed("image name", text)).transpose()?,
            image_id: row.image_id.map(|text| parsed("image ID", text)).transpose()?,
            detail: row.detail,
            previous: row.previous,
            hash: row.hash,
        })
    }
}

/// Appends an event to the log, in the transaction of what it tells.
macro_rules! append {
    ($transaction:expr, $event:expr, $now:expr) => {{
        let event: &$crate::audit::Event<'_> = $event;
        let at = $crate::catalog::seconds($now);
        // The row stays locked until the end: the next record waits for this one.
        let (sequence, previous): (i64, String) = sqlx::query_as(
            "UPDATE audit_head SET sequence = sequence + 1 WHERE id = 1 RETURNING sequence, hash",
        )
        .fetch_one(&mut *$transaction)
        .await?;
        let address = event.actor.address.map(|address| address.to_string());
        let record = $crate::audit::Hashed {
            sequence,
            at,
            actor: &event.actor.who,
            address: address.as_deref(),
            action: event.action.as_str(),
            name: event.name.map(|name| name.as_str()),
            image_id: event.image.map(|id| id.as_str()),
            detail: event.detail.as_deref(),
            previous: &previous,
        };
        let hash = record.hash().map_err(|error| {
            $crate::catalog::CatalogError::Sql(sqlx::Error::Encode(error.into()))
        })?;
        sqlx::query(
            "INSERT INTO audit (sequence, at, actor, address, action, name, image_id, detail,
                 previous, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(sequence)
        .bind(at)
        .bind(record.actor)
        .bind(record.address)
        .bind(record.action)
        .bind(record.name)
        .bind(record.image_id)
        .bind(record.detail)
        .bind(record.previous)
        .bind(&*hash)
        .execute(&mut *$transaction)
        .await?;
        sqlx::query("UPDATE audit_head SET hash = $1 WHERE id = 1")
            .bind(&*hash)
            .execute(&mut *$transaction)
            .await?;
    }};
}
pub(super) use append;

/// Changes rows by one statement, where who changes them still may, and tells it where there were any:
/// whether there were.
macro_rules! change {
    ($catalog:expr, $by:expr, $now:expr, $event:expr, $statement:expr) => {
        $crate::catalog::database::on!($catalog, pool => {
            let mut transaction = $crate::catalog::database::Write::write(pool).await?;
            $crate::catalog::standing::still!(transaction, $by, $now);
            let changed = $statement.execute(&mut *transaction).await?.rows_affected() > 0;
            if changed {
                $crate::catalog::audit::append!(transaction, $event, $now);
                transaction.commit().await?;
            }
            changed
        })
    };
}
pub(super) use change;

impl Catalog {
    /// When something was last done under a name.
    pub(crate) async fn last_change(
        &self,
        name: &Name,
    ) -> Result<Option<SystemTime>, CatalogError> {
        let (at,): (Option<i64>,) = on!(self, pool => {
            sqlx::query_as("SELECT MAX(at) FROM audit WHERE name = $1")
                .bind(name.as_str())
                .fetch_one(pool)
                .await?
        });
        Ok(at.map(time))
    }

    /// Does something that the catalogue knows nothing of, and tells it, if there is anything to tell: where the one fails, the
    /// other is not. A crash between the two leaves what was done without its record.
    pub(crate) async fn told<T, E: From<CatalogError>>(
        &self,
        by: &Changer,
        now: SystemTime,
        work: impl Future<Output = Result<(T, Option<Event<'_>>), E>>,
    ) -> Result<T, E> {
        let sql = |error: sqlx::Error| E::from(error.into());
        on!(self, pool => {
            let mut transaction = pool.write().await.map_err(sql)?;
            let still = async {
                still!(transaction, by, now);
                Ok::<_, CatalogError>(())
            };
            still.await?;
            let (done, event) = work.await?;
            let append = async {
                if let Some(event) = &event {
                    append!(transaction, event, now);
                }
                transaction.commit().await?;
                Ok::<_, CatalogError>(())
            };
            append.await?;
            Ok(done)
        })
    }

    /// So many records before this one, or the last, in their order.
    pub(crate) async fn audit_records_before(
        &self,
        before: Option<i64>,
        most: u32,
    ) -> Result<Vec<AuditRecord>, CatalogError> {
        let mut rows: Vec<AuditRow> = on!(self, pool => {
            sqlx::query_as(
                "SELECT sequence, at, actor, address, action, name, image_id, detail, previous, hash
                 FROM audit WHERE sequence < $1 ORDER BY sequence DESC LIMIT $2",
            )
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(most))
            .fetch_all(pool)
            .await?
        });
        rows.reverse();
        rows.into_iter().map(AuditRecord::try_from).collect()
    }

    async fn audit_rows(&self, after: i64, most: i64) -> Result<Vec<AuditRow>, CatalogError> {
        Ok(on!(self, pool => {
            sqlx::query_as(
                "SELECT sequence, at, actor, address, action, name, image_id, detail, previous, hash
                 FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2",
            )
            .bind(after)
            .bind(most)
            .fetch_all(pool)
            .await?
        }))
    }

    /// Checks the log from its first record to its last, and that it holds the record with the hash
    /// that somebody has noted.
    pub(crate) async fn verify_audit(
        &self,
        noted: Option<&str>,
    ) -> Result<AuditVerdict, CatalogError> {
        let end: Option<(i64, String)> = on!(self, pool => {
            sqlx::query_as("SELECT sequence, hash FROM audit_head WHERE id = 1").fetch_optional(pool).await?
        });
        // Whoever has removed it has removed the end.
        let (last, head) = end.unwrap_or((i64::MAX, String::new()));
        let broken = |sequence, fault| Ok(AuditVerdict::Broken { sequence, fault });
        let (mut sequence, mut previous) = (0, String::new());
        let mut found = noted.is_none();
        loop {
            let rows = self.audit_rows(sequence, PAGE).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                sequence += 1;
                if row.sequence != sequence {
                    return broken(sequence, AuditFault::Missing);
                }
                if row.hashed()? != row.hash {
                    return broken(sequence, AuditFault::Changed);
                }
                if row.previous != previous {
                    return broken(sequence, AuditFault::Unchained);
                }
                found = found || noted == Some(&*row.hash);
                previous = row.hash;
            }
        }
        // Records that came while this was reading are no fault.
        if sequence < last || (sequence == last && previous != head) {
            return broken(sequence + 1, AuditFault::CutOff);
        }
        if !found {
            return broken(sequence, AuditFault::OtherLog);
        }
        Ok(AuditVerdict::Whole { records: sequence, head: previous })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::audit::AuditAction;
    use crate::catalog::DatabaseUrl;
    use crate::catalog::database::Pool;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    async fn log(records: u64) -> (tempfile::TempDir, Catalog) {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Catalog::open(&DatabaseUrl::file(&folder.path().join("db")).into()).await.unwrap();
        for at in 0..records {
            let actor = Actor { who: format!("token:{at}"), address: "127.0.0.1".parse().ok() };
            let name = "example.com/a".parse().unwrap();
            let detail = Some("\n\"".to_owned());
            let (action, name, image) = (AuditAction::Publish, Some(&name), None);
            let event = Event { actor, action, name, image, detail };
            append_one(&catalog, &event, NOW + Duration::from_secs(at)).await.unwrap();
        }
        (folder, catalog)
    }

    async fn append_one(
        catalog: &Catalog,
        event: &Event<'_>,
        now: SystemTime,
    ) -> Result<(), CatalogError> {
        on!(catalog, pool => {
            let mut transaction = pool.write().await?;
            append!(transaction, event, now);
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Does to the tables what somebody with the file can do.
    async fn tamper(catalog: &Catalog, sql: &'static [&'static str]) -> AuditVerdict {
        let Pool::Sqlite(pool) = &catalog.pool else { unreachable!() };
        let open = ["DROP TRIGGER audit_is_not_changed", "DROP TRIGGER audit_is_not_removed"];
        for sql in open.iter().chain(sql) {
            sqlx::query(*sql).execute(pool).await.unwrap();
        }
        catalog.verify_audit(None).await.unwrap()
    }

    #[tokio::test]
    async fn audit_log_is_whole_and_tells_what_was_done() {
        let (_folder, catalog) = log(0).await;
        let empty = AuditVerdict::Whole { records: 0, head: String::new() };
        assert_eq!(catalog.verify_audit(None).await.unwrap(), empty);
        let (_folder, catalog) = log(5).await;
        let records = catalog.audit_records_before(None, 9).await.unwrap();
        assert_eq!(records.len(), 5);
        assert_eq!(records[3].actor.who, "token:3");
        assert_eq!(records[3].at, NOW + Duration::from_secs(3));
        assert_eq!(records[3].detail.as_deref(), Some("\n\""));
        assert_eq!(catalog.audit_records_before(None, 2).await.unwrap(), records[3..]);
        assert_eq!(catalog.audit_records_before(Some(3), 9).await.unwrap(), records[..2]);
        assert_eq!(catalog.audit_records_before(Some(1), 9).await.unwrap(), []);
        let head = records[4].hash.clone();
        let whole = AuditVerdict::Whole { records: 5, head: head.clone() };
        for noted in [&records[2].hash, &head] {
            assert_eq!(catalog.verify_audit(Some(noted)).await.unwrap(), whole);
        }
        let other = AuditVerdict::Broken { sequence: 5, fault: AuditFault::OtherLog };
        assert_eq!(catalog.verify_audit(Some("00")).await.unwrap(), other);
    }

    #[tokio::test]
    async fn audit_log_is_not_changed_by_accident() {
        let (_folder, catalog) = log(2).await;
        let Pool::Sqlite(pool) = &catalog.pool else { unreachable!() };
        for sql in ["UPDATE audit SET actor = 'x'", "DELETE FROM audit WHERE sequence = 2"] {
            sqlx::query(sql).execute(pool).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn audit_log_tells_the_first_record_that_somebody_changed() {
        let cases: [(&'static [&'static str], i64, AuditFault); 9] = [
            (&["UPDATE audit SET actor = 'x' WHERE sequence = 3"], 3, AuditFault::Changed),
            (&["UPDATE audit SET address = NULL WHERE sequence = 1"], 1, AuditFault::Changed),
            (&["UPDATE audit SET at = at + 1 WHERE sequence = 5"], 5, AuditFault::Changed),
            (&["DELETE FROM audit WHERE sequence = 2"], 2, AuditFault::Missing),
            (&["DELETE FROM audit WHERE sequence = 5"], 5, AuditFault::CutOff),
            (&["DELETE FROM audit"], 1, AuditFault::CutOff),
            (&["DELETE FROM audit_head"], 6, AuditFault::CutOff),
            (&["DELETE FROM audit_head", "DELETE FROM audit"], 1, AuditFault::CutOff),
            (
                &[
                    "UPDATE audit SET sequence = 9 WHERE sequence = 2",
                    "UPDATE audit SET sequence = 2 WHERE sequence = 3",
                    "UPDATE audit SET sequence = 3 WHERE sequence = 9",
                ],
                2,
                AuditFault::Changed,
            ),
        ];
        for (sql, sequence, fault) in cases {
            let (_folder, catalog) = log(5).await;
            assert_eq!(
                tamper(&catalog, sql).await,
                AuditVerdict::Broken { sequence, fault },
                "{sql:?}"
            );
        }
    }
}
