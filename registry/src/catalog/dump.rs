//! The catalogue as lines of JSON, and back: the same lines for either database.
//!
//! ```text
//! #{"gantryCatalogue":2,"schema":7}
//! #{"table":"tokens","columns":["token_id",…]}
//! {"token_id":"3a91c07b",…}
//! …
//! #{"key":"prefix.d/example.com/5f0c…","bytes":"\\x9833…"}
//! #{"rows":1234,"digest":"sha512-77ab…"}
//! ```
//!
//! Bytes are hex digits after `\x`. Tables stand in the order in which they refer to each other. What
//! is under way, as uploads are, is not in it: nobody would go on with it elsewhere. In a backup the
//! files of the trusted keys follow, by their paths. The last line has the SHA-512 of all lines before
//! it, with their ends. Of format 1, which is read as well, there are neither keys nor a digest.

mod lines;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Write};

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

use super::database::{Database, Pool, on};
use super::{Catalog, CatalogError, count, parsed};
use crate::blobs::BlobKey;

pub(crate) use lines::{AuditHead, Dump, Glance, KeyFile, is_dump};
use lines::{FORMAT, Line, Lines};

/// What is under way, and what belongs to it, and what triggers make of the rest: no part of a dump.
const LEFT_OUT: [&str; 3] = ["leases", "names", "uploads"];
/// Rows, and about so many bytes of them, that go in together.
pub(super) const BATCH_ROWS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

/// Why a catalogue was not written down, or not made from what was.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The catalogue's own fault.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The file's.
    #[error("the lines of the catalogue cannot be written or read")]
    Io(#[from] io::Error),
    /// Not what a dump looks like.
    #[error("line {line} is not of a catalogue that was written down: {found}")]
    Malformed {
        /// From 1.
        line: u64,
        /// What is wrong with it.
        found: String,
    },
    /// The end is missing.
    #[error("the catalogue that was written down is cut off")]
    CutOff,
    /// Not the lines that were written.
    #[error(
        "the lines of the catalogue are not those that were written down: their digest is another"
    )]
    Altered,
    /// Written by a newer program.
    #[error(
        "the catalogue was written down by a newer version of this program: its tables are of version {0}"
    )]
    Newer(i64),
    /// Written by a newer program, in another form.
    #[error(
        "the catalogue was written down by a newer version of this program: its format is {0}, and \
         this program reads {FORMAT} at most"
    )]
    NewerFormat(u32),
    /// There are tables already.
    #[error("the database is not empty")]
    NotEmpty,
}

impl DumpError {
    /// Whether the file is at fault.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Malformed { .. } | Self::CutOff | Self::Altered)
    }
}

impl From<sqlx::Error> for DumpError {
    fn from(error: sqlx::Error) -> Self {
        Self::Catalog(error.into())
    }
}

/// A table: its name, and its columns, each with whether it holds bytes.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) name: String,
    columns: Vec<(String, bool)>,
}

/// What one database says differently from the other. Names come from the database itself.
pub(super) trait Dialect {
    /// Begins to read what is there now, and nothing that comes later.
    fn snapshot(&self) -> &'static str;
    /// Tables, their columns, and whether these hold bytes, in order.
    fn tables(&self) -> &'static str;
    /// Which table refers to which.
    fn references(&self) -> &'static str;

    /// Gives each row as a JSON object.
    fn select(&self, table: &Table) -> String;
    /// Takes rows as a JSON array.
    fn insert(&self, table: &Table) -> String;
}

impl Dialect for SqlitePool {
    fn snapshot(&self) -> &'static str {
        "BEGIN"
    }

    fn tables(&self) -> &'static str {
        "SELECT m.name, c.name, c.type = 'BLOB' FROM sqlite_master AS m, \
        pragma_table_info(m.name) AS c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' \
        AND m.name <> '_sqlx_migrations' ORDER BY m.name, c.cid"
    }

    fn references(&self) -> &'static str {
        "SELECT m.name, f.\"table\" FROM sqlite_master AS m, \
        pragma_foreign_key_list(m.name) AS f WHERE m.type = 'table'"
    }

    fn select(&self, table: &Table) -> String {
        let column = |(name, bytes): &(String, bool)| {
            let bytes = if *bytes {
                format!("'\\x' || lower(hex(\"{name}\"))")
            } else {
                format!("\"{name}\"")
            };
            format!("'{name}', CASE WHEN \"{name}\" IS NULL THEN NULL ELSE {bytes} END")
        };
        let columns: Vec<String> = table.columns.iter().map(column).collect();
        format!("SELECT json_object({}) FROM \"{}\"", columns.join(", "), table.name)
    }

    fn insert(&self, table: &Table) -> String {
        let value = |(name, bytes): &(String, bool)| {
            let value = format!("json_extract(value, '$.{name}')");
            if *bytes { format!("unhex(substr({value}, 3))") } else { value }
        };
        let values: Vec<String> = table.columns.iter().map(value).collect();
        let (name, columns) = (&table.name, names(table));
        format!(
            "INSERT INTO \"{name}\" ({columns}) SELECT {} FROM json_each($1)",
            values.join(", ")
        )
    }
}

impl Dialect for PgPool {
    fn snapshot(&self) -> &'static str {
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    }

    fn tables(&self) -> &'static str {
        "SELECT c.table_name::text, c.column_name::text, c.data_type = 'bytea' \
        FROM information_schema.columns AS c JOIN information_schema.tables AS t \
            ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
        WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' \
        AND c.table_name <> '_sqlx_migrations' ORDER BY c.table_name, c.ordinal_position"
    }

    fn references(&self) -> &'static str {
        "SELECT a.relname::text, b.relname::text FROM pg_constraint AS f \
        JOIN pg_class AS a ON a.oid = f.conrelid JOIN pg_class AS b ON b.oid = f.confrelid \
        WHERE f.contype = 'f' AND f.connamespace = current_schema()::regnamespace"
    }

    fn select(&self, table: &Table) -> String {
        format!("SELECT row_to_json(\"{0}\")::text FROM \"{0}\"", table.name)
    }

    fn insert(&self, table: &Table) -> String {
        let (name, columns) = (&table.name, names(table));
        format!(
            "INSERT INTO \"{name}\" ({columns}) OVERRIDING SYSTEM VALUE \
             SELECT {columns} FROM json_populate_recordset(NULL::\"{name}\", $1::json)"
        )
    }
}

fn names(table: &Table) -> String {
    let names: Vec<String> = table.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    names.join(", ")
}

/// Of `blobs`, those that images refer to.
fn only(table: &str) -> &'static str {
    match table {
        "blobs" => {
            " WHERE blob_key IN (SELECT image_blob FROM images)
                OR blob_key IN (SELECT signature_blob FROM images)"
        }
        _ => "",
    }
}

/// The tables with what they refer to before them, and without what is left out.
pub(super) fn in_order(
    rows: Vec<(String, String, bool)>,
    references: &[(String, String)],
) -> Vec<Table> {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for (table, column, bytes) in rows {
        let name = table.clone();
        let table = tables.entry(table).or_insert_with(|| Table { name, columns: Vec::new() });
        table.columns.push((column, bytes));
    }
    let mut left_out: BTreeSet<&str> = LEFT_OUT.into();
    while let Some((from, _)) =
        references.iter().find(|(from, to)| left_out.contains(&**to) && !left_out.contains(&**from))
    {
        left_out.insert(from);
    }
    tables.retain(|name, _| !left_out.contains(&**name));
    let mut ordered: Vec<Table> = Vec::new();
    while !tables.is_empty() {
        let waits = |name: &String| {
            references
                .iter()
                .any(|(from, to)| from == name && to != name && tables.contains_key(to))
        };
        // There is no circle; where there were, the first would be as good as any.
        let next = tables.keys().find(|name| !waits(name)).or_else(|| tables.keys().next());
        let Some(table) = next.cloned().and_then(|name| tables.remove(&name)) else { break };
        ordered.push(table);
    }
    ordered
}

/// The tables of a database.
macro_rules! tables {
    ($pool:expr, $connection:expr) => {{
        let columns = sqlx::query_as($pool.tables()).fetch_all($connection).await?;
        let references = sqlx::query_as($pool.references()).fetch_all($connection).await?;
        in_order(columns, &references)
    }};
}

pub(super) use tables;

/// The version of the newest tables that this program knows.
fn newest_schema() -> i64 {
    let migrations = sqlx::migrate!("src/catalog/migrations/sqlite");
    migrations.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Rows that go in together.
#[derive(Default)]
pub(super) struct Batch {
    json: String,
    rows: usize,
}

impl Batch {
    pub(super) fn add(&mut self, row: &str) {
        self.json.push(if self.rows == 0 { '[' } else { ',' });
        self.json.push_str(row);
        self.rows += 1;
    }

    fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.json.len() >= BATCH_BYTES
    }

    /// What is in it, where that is something. It is empty then.
    pub(super) fn take(&mut self) -> Option<String> {
        let Self { json, rows } = std::mem::take(self);
        (rows > 0).then(|| json + "]")
    }
}

impl Catalog {
    /// Writes down what the catalogue holds at this moment, and gives the blobs that its images
    /// refer to, with their sizes. Keys may follow, and an end has to.
    pub(crate) async fn dump(
        &self,
        dump: &mut Dump<impl Write>,
    ) -> Result<Vec<(BlobKey, u64)>, DumpError> {
        dump.head(newest_schema())?;
        let blobs: Vec<(String, i64)> = on!(self, pool => {
            let mut snapshot = pool.begin_with(pool.snapshot()).await?;
            for table in tables!(pool, &mut *snapshot) {
                dump.table(&table)?;
                let select = AssertSqlSafe(pool.select(&table) + only(&table.name));
                let mut rows = sqlx::query_scalar::<_, String>(select).fetch(&mut *snapshot);
                while let Some(row) = rows.try_next().await? {
                    dump.row(&row)?;
                }
            }
            let blobs = format!("SELECT blob_key, bytes FROM blobs{}", only("blobs"));
            sqlx::query_as(AssertSqlSafe(blobs)).fetch_all(&mut *snapshot).await?
        });
        let blob = |(key, bytes)| Ok((parsed("blob key", key)?, count(bytes)));
        blobs.into_iter().map(blob).collect()
    }

    /// Makes a catalogue in an empty database of what was written down: all of it or nothing.
    pub(crate) async fn load(
        database: &Database,
        lines: &mut impl BufRead,
    ) -> Result<Self, DumpError> {
        let mut lines = Lines::new(lines);
        let schema = lines.head()?;
        if schema > newest_schema() {
            return Err(DumpError::Newer(schema));
        }
        let catalog = Self { pool: database.connect().await? };
        catalog.must_be_empty().await?;
        // The tables as they were then; once the rows are in, they are brought up to date.
        catalog.migrate(Some(schema)).await?;
        on!(catalog, pool => {
            let mut transaction = pool.begin().await?;
            let tables = tables!(pool, &mut *transaction);
            let (mut insert, mut batch) = (String::new(), Batch::default());
            loop {
                let line = lines.next()?;
                if (batch.is_full() || !matches!(line, Line::Row(_)))
                    && let Some(rows) = batch.take()
                {
                    let insert = sqlx::query(AssertSqlSafe(insert.clone())).bind(rows);
                    insert.execute(&mut *transaction).await?;
                }
                match line {
                    Line::Row(row) => batch.add(&row),
                    Line::Table(head) => {
                        let table = lines.fitting(&tables, head)?;
                        // Some tables have rows from the beginning.
                        let empty = format!("DELETE FROM \"{}\"", table.name);
                        sqlx::query(AssertSqlSafe(empty)).execute(&mut *transaction).await?;
                        insert = pool.insert(&table);
                    }
                    Line::Key(_) => {}
                    Line::End => break,
                }
            }
            transaction.commit().await?;
        });
        catalog.loaded().await?;
        Ok(catalog)
    }

    /// Does what is left to do when all rows are in; once more does no harm.
    async fn loaded(&self) -> Result<(), DumpError> {
        self.count_on().await?;
        Ok(self.bring_up_to_date().await?)
    }

    /// Looks whether a database is empty, and could be loaded into.
    pub(crate) async fn check_empty(database: &Database) -> Result<(), DumpError> {
        let catalog = Self { pool: database.connect().await? };
        let empty = catalog.must_be_empty().await;
        catalog.close().await;
        empty
    }

    async fn must_be_empty(&self) -> Result<(), DumpError> {
        on!(self, pool => {
            for table in tables!(pool, pool) {
                let any = format!("SELECT 1 FROM \"{}\" LIMIT 1", table.name);
                let any = sqlx::query(AssertSqlSafe(any)).fetch_optional(pool).await?;
                // This one has a row from the beginning.
                if any.is_some() && table.name != "audit_head" {
                    return Err(DumpError::NotEmpty);
                }
            }
        });
        Ok(())
    }

    /// Whether a database is the one that was loaded from lines with this last record, and then cut
    /// off; it can be used then.
    pub(crate) async fn is_loaded(
        database: &Database,
        last: &AuditHead,
    ) -> Result<bool, DumpError> {
        let catalog = Self { pool: database.connect().await? };
        let ours = async {
            catalog.loaded().await?;
            let head: (i64, String) = on!(catalog, pool => {
                sqlx::query_as("SELECT sequence, hash FROM audit_head").fetch_one(pool).await?
            });
            Ok((head.0, &*head.1) == (last.sequence, &*last.hash))
        };
        let ours = ours.await;
        catalog.close().await;
        ours
    }

    /// Whether the audit log has this record.
    pub(crate) async fn has_record(&self, record: &AuditHead) -> Result<bool, CatalogError> {
        let found: Option<(String,)> = on!(self, pool => {
            sqlx::query_as("SELECT hash FROM audit WHERE sequence = $1")
                .bind(record.sequence)
                .fetch_optional(pool)
                .await?
        });
        Ok(found.is_some_and(|(hash,)| hash == record.hash))
    }

    /// Lets PostgreSQL count on from the rows there are. SQLite does so by itself.
    async fn count_on(&self) -> Result<(), CatalogError> {
        let Pool::Postgres(pool) = &self.pool else { return Ok(()) };
        let counted: Vec<(String, String)> = sqlx::query_as(
            "SELECT table_name::text, column_name::text FROM information_schema.columns
             WHERE table_schema = current_schema() AND is_identity = 'YES'",
        )
        .fetch_all(pool)
        .await?;
        for (table, column) in counted {
            // Of no rows there is no maximum, and then nothing is set.
            let set = format!(
                "SELECT setval(pg_get_serial_sequence('\"{table}\"', '{column}'),
                     MAX(\"{column}\")) FROM \"{table}\""
            );
            sqlx::query(AssertSqlSafe(set)).execute(pool).await?;
        }
        Ok(())
    }
}
