//! Wrong passwords, from an address or in a user's name.

use std::time::{Duration, SystemTime};

use super::database::{Write as _, on};
use super::{Catalog, CatalogError, seconds, time};

/// How many addresses and names are remembered.
const MOST: i64 = 10_000;
/// How many of the oldest go where there are more.
const AT_ONCE: i64 = 1_000;

impl Catalog {
    /// Notes another failure, forgets those from before then, and gives how many there were: each of
    /// several at once is told another number. None is noted where, of so many and the last at that
    /// time, one has to wait; then for how long is given.
    pub(crate) async fn note_failure(
        &self,
        subject: &str,
        since: SystemTime,
        now: SystemTime,
        wait: impl Fn(u32, SystemTime) -> Duration,
    ) -> Result<Result<u32, Duration>, CatalogError> {
        let count = on!(self, pool => {
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
            // Others of this subject wait here.
            let (count, last): (i64, i64) = sqlx::query_as(
                "INSERT INTO failures (subject, count, last_at) VALUES ($1, 0, $2)
                 ON CONFLICT (subject) DO UPDATE SET count = failures.count
                 RETURNING failures.count, failures.last_at",
            )
            .bind(subject)
            .bind(seconds(since))
            .fetch_one(&mut *transaction)
            .await?;
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let wait = wait(count, time(last));
            if !wait.is_zero() {
                return Ok(Err(wait));
            }
            sqlx::query("UPDATE failures SET count = count + 1, last_at = $2 WHERE subject = $1")
                .bind(subject)
                .bind(seconds(now))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            count
        });
        Ok(Ok(count))
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
        let noted = async |subject: &str, since, now| {
            catalog.note_failure(subject, since, now, |_, _| Duration::ZERO).await.unwrap().unwrap()
        };
        // How many there are, and when the last was.
        let found = async |subject: &str, since| {
            let found = std::cell::Cell::new((0, at(0)));
            let looked = |count, last| {
                found.set((count, last));
                Duration::from_secs(1)
            };
            let refused = catalog.note_failure(subject, since, at(0), looked).await.unwrap();
            assert_eq!(refused, Err(Duration::from_secs(1)));
            found.get()
        };
        for second in 0..3 {
            assert_eq!(noted("user:a", at(0), at(second)).await as i64, second);
        }
        assert_eq!(found("user:a", at(0)).await, (3, at(2)));
        catalog.take_failure_back("user:a").await.unwrap();
        assert_eq!(found("user:a", at(0)).await, (2, at(2)));
        assert_eq!(found("user:a", at(3)).await.0, 0);
        // One that comes later begins anew.
        assert_eq!(noted("user:a", at(10), at(12)).await, 0);
        assert_eq!(found("user:a", at(0)).await, (1, at(12)));
        catalog.forget_failures("user:a").await.unwrap();
        assert_eq!(found("user:a", at(0)).await.0, 0);
        let crate::catalog::database::Pool::Sqlite(pool) = &catalog.pool else { unreachable!() };
        sqlx::query(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
             INSERT INTO failures SELECT 'user:' || i, 1, 1000000 + i FROM n",
        )
        .bind(MOST)
        .execute(pool)
        .await
        .unwrap();
        noted("user:new", at(0), at(20_000)).await;
        let (rows,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM failures").fetch_one(pool).await.unwrap();
        assert_eq!(rows, MOST - AT_ONCE + 1);
        for (subject, counted) in
            [("user:1", (0, at(0))), ("user:new", (1, at(20_000))), ("user:9999", (1, at(9_999)))]
        {
            assert_eq!(found(subject, at(0)).await, counted, "{subject}");
        }
    }

    #[tokio::test]
    async fn failures_at_once_are_not_more_than_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let catalog =
            Catalog::open(&DatabaseUrl::file(&folder.path().join("db")).into()).await.unwrap();
        let now = time(1_000_000);
        let attempt = || async {
            let wait = |count, _| Duration::from_secs(u64::from(count >= 5));
            catalog.note_failure("address:a", now, now, wait).await.unwrap().is_ok()
        };
        let all = futures_util::future::join_all((0..50).map(|_| attempt())).await;
        assert_eq!(all.into_iter().filter(|may| *may).count(), 5);
    }
}
