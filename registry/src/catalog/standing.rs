//! Whether what a caller's word rests on still holds, at the moment something is changed.

use std::time::SystemTime;

use sqlx::{PgConnection, SqliteConnection};

use super::seconds;
use crate::access::Standing;

/// The row stays locked until the end of the transaction: a token is revoked, or given another secret,
/// before what is done with it, or after.
const TOKEN: &str = "UPDATE tokens SET last_used_at = last_used_at WHERE token_id = $1
     AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
     AND (token_hash = $3 OR (old_hash = $3 AND old_until > $2))";

const USER: &str = "UPDATE users SET revision = revision WHERE user_name = $1 AND revision = $2";

const RULE: &str = "UPDATE oidc_rules SET revision = revision WHERE rule_id = $1 AND revision = $2";

/// Asked in the transaction that does what the caller wants.
pub(super) trait Holds {
    /// Whether a caller is still one, until the end of the transaction.
    async fn holds(&mut self, standing: &Standing, now: SystemTime) -> sqlx::Result<bool>;
}

/// Ends a transaction whose changer is no longer who may.
macro_rules! still {
    ($transaction:expr, $changer:expr, $now:expr) => {
        if let Some(standing) = &$changer.standing
            && !$crate::catalog::standing::Holds::holds(&mut *$transaction, standing, $now).await?
        {
            return Err($crate::catalog::CatalogError::CallerEnded);
        }
    };
}
pub(super) use still;

macro_rules! holds {
    ($connection:ty) => {
        impl Holds for $connection {
            async fn holds(&mut self, standing: &Standing, now: SystemTime) -> sqlx::Result<bool> {
                let query = match standing {
                    Standing::Nobody => return Ok(false),
                    Standing::Token { id, hash } => {
                        let query = sqlx::query(TOKEN).bind(id.as_str()).bind(seconds(now));
                        query.bind(hash.as_str())
                    }
                    Standing::User { name, revision } => {
                        sqlx::query(USER).bind(name.as_str()).bind(revision.0)
                    }
                    Standing::Job { until, .. } if *until <= now => return Ok(false),
                    Standing::Job { rules, .. } => {
                        for (id, revision) in rules {
                            let query = sqlx::query(RULE).bind(id.as_str()).bind(revision.0);
                            if query.execute(&mut *self).await?.rows_affected() == 0 {
                                return Ok(false);
                            }
                        }
                        return Ok(true);
                    }
                };
                Ok(query.execute(self).await?.rows_affected() == 1)
            }
        }
    };
}

holds!(SqliteConnection);
holds!(PgConnection);
