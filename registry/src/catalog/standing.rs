//! Whether what a caller's word rests on still holds, at the moment something is changed.

use std::time::SystemTime;

use sqlx::{PgConnection, SqliteConnection};

use super::seconds;
use crate::access::Standing;

/// The row stays locked until the end of the transaction: a token is revoked before what is done
/// with it, or after.
const TOKEN: &str = "UPDATE tokens SET last_used_at = last_used_at WHERE token_id = $1
     AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)";

/// Asked in the transaction that does what the caller wants.
pub(super) trait Holds {
    /// Whether a caller is still one, until the end of the transaction.
    async fn holds(&mut self, standing: &Standing, now: SystemTime) -> sqlx::Result<bool>;
}

macro_rules! holds {
    ($connection:ty) => {
        impl Holds for $connection {
            async fn holds(&mut self, standing: &Standing, now: SystemTime) -> sqlx::Result<bool> {
                let query = match standing {
                    Standing::Nobody => return Ok(false),
                    Standing::Token { id, .. } => {
                        sqlx::query(TOKEN).bind(id.as_str()).bind(seconds(now))
                    }
                };
                Ok(query.execute(self).await?.rows_affected() == 1)
            }
        }
    };
}

holds!(SqliteConnection);
holds!(PgConnection);
