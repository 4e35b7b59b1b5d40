//! Wrong passwords, from an address or in a user's name.

use std::time::SystemTime;

use super::database::{Write as _, on};
use super::{Catalog, CatalogError, seconds, time};

/// How many addresses and names are remembered.
const MOST: i64 = 10_000;
/// How many of the oldest go where there are more.
const AT_ONCE: i64 = 1_000;

impl Catalog {
    /// How many failures there were since then, and when the last was.
    pub(crate) async fn failures(
        &self,
        subject: &str,
        since: SystemTime,
    ) -> Result<(u32, SystemTime), CatalogError> {
        let row: Option<(i64, i64)> = on!(self, pool => sqlx::query_as(
            "SELECT count, last_at FROM failures WHERE subject = $1 AND last_at >= $2",
        )
        .bind(subject)
        .bind(seconds(since))
        .fetch_optional(pool).await)?;
        let (count, last) = row.unwrap_or_default();
        Ok((u32::try_from(count).unwrap_or(u32::MAX), time(last)))
    }

    /// Notes another one, forgets those from before then, and gives how many there were: each of
    /// several at once is told another number.
    pub(crate) async fn note_failure(
        &self,
        subject: &str,
        since: SystemTime,
        now: SystemTime,
    ) -> Result<u32, CatalogError> {
        let (count,): (i64,) = on!(self, pool => {
            let mut transaction = pool.write().await?;
            sqlx::query("DELETE FROM failures WHERE last_at < $1")
                .bind(seconds(since))
                .execute(&mut *transaction)
                .await?;
            let (rows,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM failures")
                .fetch_one(&mut *transaction)
                .await?;
            if rows >= MOST {
                sqlx::query(
                    "DELETE FROM failures WHERE subject IN (
                         SELECT subject FROM failures ORDER BY last_at LIMIT $1)",
                )
                .bind(AT_ONCE)
                .execute(&mut *transaction)
                .await?;
            }
            let count = sqlx::query_as(
                "INSERT INTO failures (subject, count, last_at) VALUES ($1, 1, $2)
                 ON CONFLICT (subject) DO UPDATE SET count = failures.count + 1,
                     last_at = excluded.last_at
                 RETURNING failures.count",
            )
            .bind(subject)
            .bind(seconds(now))
            .fetch_one(&mut *transaction)
            .await?;
            transaction.commit().await?;
            count
        });
        Ok(u32::try_from(count - 1).unwrap_or(u32::MAX))
    }

    /// One of them was none.
    pub(crate) async fn take_failure_back(&self, subject: &str) -> Result<(), CatalogError> {
        on!(self, pool => {
            sqlx::query("UPDATE failures SET count = count - 1 WHERE subject = $1 AND count > 0")
                .bind(subject)
                .execute(pool)
                .await?;
        });
        Ok(())
    }

    /// Forgets those of a subject.
    pub(crate) async fn forget_failures(&self, subject: &str) -> Result<(), CatalogError> {
        on!(self, pool => {
            sqlx::query("DELETE FROM failures WHERE subject = $1")
                .bind(subject)
                .execute(pool)
                .await?;
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::DatabaseUrl;

    #[tokio::test]
    async fn failures_are_counted_for_a_time_and_up_to_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Catalog::open(&DatabaseUrl::file(&folder.path().join("db")).into()).await.unwrap();
        let at = |seconds: i64| time(1_000_000 + seconds);
        for second in 0..3 {
            catalog.note_failure("user:a", at(0), at(second)).await.unwrap();
        }
        assert_eq!(catalog.failures("user:a", at(0)).await.unwrap(), (3, at(2)));
        catalog.take_failure_back("user:a").await.unwrap();
        assert_eq!(catalog.failures("user:a", at(0)).await.unwrap(), (2, at(2)));
        assert_eq!(catalog.failures("user:a", at(3)).await.unwrap().0, 0);
        // One that comes later begins anew.
        catalog.note_failure("user:a", at(10), at(12)).await.unwrap();
        assert_eq!(catalog.failures("user:a", at(0)).await.unwrap(), (1, at(12)));
        catalog.forget_failures("user:a").await.unwrap();
        assert_eq!(catalog.failures("user:a", at(0)).await.unwrap().0, 0);
        let crate::catalog::database::Pool::Sqlite(pool) = &catalog.pool else { unreachable!() };
        sqlx::query(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
             INSERT INTO failures SELECT 'user:' || i, 1, 1000000 + i FROM n",
        )
        .bind(MOST)
        .execute(pool)
        .await
        .unwrap();
        catalog.note_failure("user:new", at(0), at(20_000)).await.unwrap();
        let (rows,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM failures").fetch_one(pool).await.unwrap();
        assert_eq!(rows, MOST - AT_ONCE + 1);
        assert_eq!(catalog.failures("user:1", at(0)).await.unwrap().0, 0);
        assert_eq!(catalog.failures("user:new", at(0)).await.unwrap().0, 1);
        assert_eq!(catalog.failures("user:9999", at(0)).await.unwrap(), (1, at(9_999)));
    }
}
