//! What the blob store holds, who leases it, and what may go.
//!
//! A blob's row is written before the blob, and removed after it: so what the store holds is known
//! here, whatever dies when. A push leases its blobs until it has recorded its image, which refers to
//! them. A collector removes what is neither leased nor referred to while it
//! holds the row's lock; who wants the same blob meanwhile waits until that is done.

use std::time::SystemTime;

use super::database::{Write as _, on};
use super::duties::Duty;
use super::{Catalog, CatalogError, count, parsed, seconds, stored};
use crate::blobs::BlobKey;
use crate::token::UploadId;

/// Until when blobs stay though nothing refers to them, and for whom.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    until: SystemTime,
    /// The node, a dot, and the beginning of the upload's ID.
    by: String,
}

impl Lease {
    pub(crate) fn new(node: &str, upload: &UploadId, until: SystemTime) -> Self {
        Self { until, by: format!("{node}.{}", &upload.as_str()[..16]) }
    }

    /// The lease of an upload's parts: no node's, since it outlives them.
    pub(crate) fn of_upload(upload: &UploadId, until: SystemTime) -> Self {
        Self::new("upload", upload, until)
    }

    pub(super) fn by(&self) -> &str {
        &self.by
    }

    pub(super) fn until(&self) -> SystemTime {
        self.until
    }
}

/// Who removes a blob.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Remover<'a> {
    /// The push that leased it, and of which nothing came.
    Push(&'a Lease),
    /// The collector of this name, while it has that duty: of blobs that nobody leases.
    Collector(&'a str),
}

impl Catalog {
    /// Leases blobs, all or none. One that is being removed is waited for.
    pub(crate) async fn lease(
        &self,
        blobs: &[(BlobKey, u64)],
        lease: &Lease,
    ) -> Result<(), CatalogError> {
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            for (key, bytes) in blobs {
                sqlx::query(
                    "INSERT INTO blobs (blob_key, bytes, leased_until, leased_by)
                     VALUES ($1, $2, $3, $4)
                     ON CONFLICT (blob_key) DO UPDATE SET leased_until = excluded.leased_until,
                         leased_by = excluded.leased_by",
                )
                .bind(key.as_str())
                .bind(stored(*bytes))
                .bind(seconds(lease.until))
                .bind(&*lease.by)
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Ends a lease. When this is done, it is settled what became of a commit before it that failed.
    pub(crate) async fn end_lease(
        &self,
        blobs: &[(BlobKey, u64)],
        lease: &Lease,
    ) -> Result<(), CatalogError> {
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            for (key, _) in blobs {
                sqlx::query(
                    "UPDATE blobs SET leased_until = 0 WHERE blob_key = $1 AND leased_by = $2",
                )
                .bind(key.as_str())
                .bind(&*lease.by)
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Blobs after this one that nothing leases or refers to, in their order, with their sizes.
    pub(crate) async fn free_blobs(
        &self,
        after: Option<&BlobKey>,
        most: u32,
        now: SystemTime,
    ) -> Result<Vec<(BlobKey, u64)>, CatalogError> {
        let rows: Vec<(String, i64)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT blob_key, bytes FROM blobs
                 WHERE leased_until <= $1 AND blob_key > $2
                 AND NOT EXISTS (SELECT 1 FROM images WHERE image_blob = blob_key)
                 AND NOT EXISTS (SELECT 1 FROM images WHERE signature_blob = blob_key)
                 ORDER BY blob_key LIMIT $3",
            )
            .bind(seconds(now))
            .bind(after.map_or("", BlobKey::as_str))
            .bind(i64::from(most))
            .fetch_all(pool)
            .await?
        });
        rows.into_iter().map(|(key, bytes)| Ok((parsed("blob key", key)?, count(bytes)))).collect()
    }

    /// Removes those of these blobs that may go, and then their rows; tells which went. Their rows are
    /// locked meanwhile, so who wants one waits. A row that another has already is left alone: it is
    /// wanted, and waiting for it here could have two wait for each other.
    ///
    /// `removal` tells which blobs it did remove. Where it or the process dies, the rows are as they
    /// were. On a full disk the blobs go before the database has to write anything.
    pub(crate) async fn remove_blobs<Removal: Future<Output = Vec<BlobKey>>>(
        &self,
        keys: &[BlobKey],
        by: Remover<'_>,
        now: SystemTime,
        removal: impl FnOnce(Vec<BlobKey>) -> Removal,
    ) -> Result<Vec<BlobKey>, CatalogError> {
        let (upload, holder) = match by {
            Remover::Push(lease) => (Some(&*lease.by), None),
            Remover::Collector(holder) => (None, Some(holder)),
        };
        on!(self, pool => {
            let mut transaction = pool.write().await?;
            let mut free = Vec::new();
            for key in keys {
                let locked = sqlx::query(pool.lock_blob())
                    .bind(key.as_str())
                    .fetch_optional(&mut *transaction)
                    .await?;
                if locked.is_none() {
                    continue;
                }
                // A statement of its own: it sees what was published before the row was locked.
                let may_go = sqlx::query(MAY_GO)
                    .bind(seconds(now))
                    .bind(key.as_str())
                    .bind(upload)
                    .bind(holder)
                    .bind(Duty::Collect.as_str())
                    .fetch_optional(&mut *transaction)
                    .await?;
                if may_go.is_some() {
                    free.push(key.clone());
                }
            }
            if free.is_empty() {
                return Ok(free);
            }
            let gone = removal(free).await;
            for key in &gone {
                sqlx::query("DELETE FROM blobs WHERE blob_key = $1")
                    .bind(key.as_str())
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok(gone)
        })
    }

    /// Ends all leases of a node: it has just started, so none of its pushes is under way.
    pub(crate) async fn release_all(&self, node: &str) -> Result<(), CatalogError> {
        // What follows the dot in ASCII is the slash.
        on!(self, pool => {
            sqlx::query(
                "UPDATE blobs SET leased_until = 0, leased_by = ''
                 WHERE leased_by > $1 || '.' AND leased_by < $1 || '/'",
            )
            .bind(node)
            .execute(pool)
            .await?;
        });
        Ok(())
    }
}

/// Whether a blob may go. What follows the dot in ASCII is the slash.
const MAY_GO: &str = "SELECT 1 FROM blobs WHERE blob_key = $2
     AND (($3 IS NOT NULL AND leased_by = $3) OR ($4 IS NOT NULL AND leased_until <= $1))
     AND ($4 IS NULL OR EXISTS (
         SELECT 1 FROM leases WHERE name = $5 AND holder = $4 AND held_until > $1))
     AND NOT EXISTS (SELECT 1 FROM images WHERE image_blob = $2)
     AND NOT EXISTS (SELECT 1 FROM images WHERE signature_blob = $2)
     AND NOT EXISTS (
         SELECT 1 FROM leases WHERE name > 'backup.' AND name < 'backup/' AND held_until > $1)";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aci::FileDigest;

    use super::*;
    use crate::catalog::DatabaseUrl;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + seconds)
    }

    fn key(at: u8) -> BlobKey {
        BlobKey::image(&FileDigest::of([at; 64]))
    }

    struct Scene {
        catalog: Catalog,
        upload: UploadId,
        _folder: tempfile::TempDir,
    }

    impl Scene {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let url = DatabaseUrl::file(&folder.path().join("db"));
            let catalog = Catalog::open(&url.into()).await.unwrap();
            Self { catalog, upload: UploadId::generate().unwrap(), _folder: folder }
        }

        fn lease(&self, until: u64) -> Lease {
            Lease::new("node", &self.upload, at(until))
        }

        async fn free(&self, now: u64) -> usize {
            self.catalog.free_blobs(None, 9, at(now)).await.unwrap().len()
        }

        async fn remove(&self, at_key: u8, by: Remover<'_>, now: u64) -> bool {
            let keys = [key(at_key)];
            let gone = self.catalog.remove_blobs(&keys, by, at(now), std::future::ready).await;
            gone.unwrap() == keys
        }
    }

    #[tokio::test]
    async fn blob_goes_when_its_lease_is_over_and_by_who_has_the_duty() {
        let scene = Scene::new().await;
        let blobs = [(key(1), 10), (key(2), 20)];
        scene.catalog.lease(&blobs, &scene.lease(100)).await.unwrap();
        assert_eq!(scene.free(99).await, 0);
        assert_eq!(scene.free(100).await, 2);
        let first = Remover::Collector("first");
        assert!(!scene.remove(1, first, 100).await, "without the duty");
        assert!(scene.catalog.take_duty(Duty::Collect, "first", at(70)).await.unwrap());
        assert!(!scene.remove(1, first, 99).await, "leased");
        assert!(!scene.catalog.take_duty(Duty::Collect, "second", at(100)).await.unwrap());
        assert!(scene.catalog.take_duty(Duty::Scrub, "second", at(100)).await.unwrap());
        assert!(scene.remove(1, first, 100).await);
        assert!(!scene.remove(1, first, 100).await, "once");
        // It was slow, and another took over.
        assert!(!scene.remove(2, first, 130).await);
        assert!(scene.catalog.take_duty(Duty::Collect, "second", at(130)).await.unwrap());
        assert!(!scene.catalog.take_duty(Duty::Collect, "first", at(131)).await.unwrap());
        assert!(!scene.remove(2, first, 131).await);
        scene.catalog.leave_duty(Duty::Collect, "first").await.unwrap();
        assert!(scene.remove(2, Remover::Collector("second"), 131).await);
        assert_eq!(scene.free(1000).await, 0);
    }

    #[tokio::test]
    async fn blob_stays_while_a_backup_holds_all() {
        let scene = Scene::new().await;
        let lease = scene.lease(100);
        scene.catalog.lease(&[(key(1), 10)], &lease).await.unwrap();
        assert!(scene.catalog.take_duty(Duty::Collect, "first", at(100)).await.unwrap());
        for holder in ["a", "b"] {
            scene.catalog.hold_blobs(holder, at(100)).await.unwrap();
        }
        scene.catalog.let_blobs_go("b").await.unwrap();
        for by in [Remover::Collector("first"), Remover::Push(&lease)] {
            assert!(!scene.remove(1, by, 101).await, "{by:?}");
        }
        scene.catalog.let_blobs_go("a").await.unwrap();
        assert!(scene.remove(1, Remover::Collector("first"), 101).await);
    }

    #[tokio::test]
    async fn blob_of_a_failed_push_goes_unless_another_leased_it() {
        let scene = Scene::new().await;
        let lease = scene.lease(100);
        scene.catalog.lease(&[(key(1), 10), (key(2), 9)], &lease).await.unwrap();
        let other = Lease::new("node", &UploadId::generate().unwrap(), at(100));
        scene.catalog.lease(&[(key(2), 9)], &other).await.unwrap();
        assert!(scene.remove(1, Remover::Push(&lease), 1).await);
        assert!(!scene.remove(2, Remover::Push(&lease), 1).await);
    }

    #[tokio::test]
    async fn blob_that_cannot_be_removed_keeps_its_row() {
        let scene = Scene::new().await;
        let lease = scene.lease(100);
        scene.catalog.lease(&[(key(1), 10), (key(2), 20)], &lease).await.unwrap();
        let (keys, by) = ([key(1), key(2), key(3)], Remover::Push(&lease));
        let but_the_first = |free: Vec<BlobKey>| {
            assert_eq!(free, keys[..2], "there is no row of the third");
            std::future::ready(free[1..].to_vec())
        };
        let gone = scene.catalog.remove_blobs(&keys, by, at(1), but_the_first).await.unwrap();
        assert_eq!(gone, keys[1..2]);
        assert_eq!(scene.catalog.free_blobs(None, 9, at(100)).await.unwrap(), [(key(1), 10)]);
        assert!(scene.remove(1, Remover::Push(&lease), 1).await);
    }
}
