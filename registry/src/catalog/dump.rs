//! The catalogue as lines of JSON, and back: the same lines for either database.
//!
//! ```text
//! #{"gantryCatalogue":1,"schema":7}
//! #{"table":"tokens","columns":["token_id",…]}
//! {"token_id":"3a91c07b",…}
//! …
//! #{"rows":1234}
//! ```
//!
//! Bytes are hex digits after `\x`. Tables stand in the order in which they refer to each other. What
//! is under way, as uploads are, is not in it: nobody would go on with it elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read as _, Write};

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

use super::database::{Database, Pool, on};
use super::{Catalog, CatalogError, count, parsed};
use crate::blobs::BlobKey;

/// What is under way, and what belongs to it, and what triggers make of the rest: no part of a dump.
const LEFT_OUT: [&str; 3] = ["leases", "names", "uploads"];
const FORMAT: u32 = 1;
/// Rows, and about so many bytes of them, that go in together.
pub(super) const BATCH_ROWS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;
/// Longest line that is read: a row holds a manifest, twice as long in hex digits.
const LINE_BYTES: u64 = 256 << 20;

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
    /// Written by a newer program.
    #[error(
        "the catalogue was written down by a newer version of this program: its tables are of version {0}"
    )]
    Newer(i64),
    /// There are tables already.
    #[error("the database is not empty")]
    NotEmpty,
}

impl From<sqlx::Error> for DumpError {
    fn from(error: sqlx::Error) -> Self {
        Self::Catalog(error.into())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Head {
    gantry_catalogue: u32,
    schema: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableHead {
    table: String,
    columns: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    rows: u64,
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

/// A line that is no row.
fn mark(sink: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    sink.write_all(b"#")?;
    serde_json::to_writer(&mut *sink, value)?;
    sink.write_all(b"\n")
}

/// The version of the newest tables that this program knows.
fn newest_schema() -> i64 {
    let migrations = sqlx::migrate!("src/catalog/migrations/sqlite");
    migrations.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// A line that was read.
enum Line {
    Table(TableHead),
    Row(String),
    End(End),
}

struct Lines<'a, R> {
    lines: &'a mut R,
    at: u64,
}

impl<R: BufRead> Lines<'_, R> {
    fn text(&mut self) -> Result<String, DumpError> {
        let mut text = String::new();
        self.at += 1;
        self.lines.by_ref().take(LINE_BYTES).read_line(&mut text)?;
        if text.ends_with('\n') { Ok(text) } else { Err(DumpError::CutOff) }
    }

    fn head(&mut self) -> Result<Head, DumpError> {
        let text = self.text()?;
        self.read(text.strip_prefix('#').unwrap_or_default())
    }

    fn next(&mut self) -> Result<Line, DumpError> {
        let text = self.text()?;
        match text.strip_prefix('#') {
            None => Ok(Line::Row(text)),
            Some(mark) if mark.starts_with("{\"rows\"") => Ok(Line::End(self.read(mark)?)),
            Some(mark) => Ok(Line::Table(self.read(mark)?)),
        }
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, text: &str) -> Result<T, DumpError> {
        serde_json::from_str(text).map_err(|error| self.malformed(error.to_string()))
    }

    fn malformed(&self, found: String) -> DumpError {
        DumpError::Malformed { line: self.at, found }
    }

    /// The table of the database that is meant, with the columns of which there are rows.
    fn fitting(&self, tables: &[Table], head: TableHead) -> Result<Table, DumpError> {
        let unknown = |what: &str| self.malformed(format!("nothing here is called {what:?}"));
        let table = tables.iter().find(|table| table.name == head.table);
        let table = table.ok_or_else(|| unknown(&head.table))?;
        let column = |name: &String| {
            let column = table.columns.iter().find(|(column, _)| column == name);
            column.cloned().ok_or_else(|| unknown(name))
        };
        let columns = head.columns.iter().map(column).collect::<Result<_, _>>()?;
        Ok(Table { name: head.table, columns })
    }
}

/// What a catalogue that was written down is known by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Glance {
    /// How many images it has.
    pub(crate) images: u64,
    /// The last record of its audit log: its number and its hash. None before the first.
    pub(crate) last: Option<AuditHead>,
}

/// The last record of an audit log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct AuditHead {
    pub(crate) sequence: i64,
    pub(crate) hash: String,
}

impl Glance {
    /// Looks through the lines.
    pub(crate) fn at(lines: &mut impl BufRead) -> Result<Self, DumpError> {
        let mut lines = Lines { lines, at: 0 };
        let (mut seen, mut table) = (Self::default(), String::new());
        lines.head()?;
        loop {
            match (lines.next()?, &*table) {
                (Line::Table(head), _) => table = head.table,
                (Line::Row(_), "images") => seen.images += 1,
                (Line::Row(row), "audit_head") => {
                    let head: AuditHead = lines.read(&row)?;
                    seen.last = Some(head).filter(|head| head.sequence > 0);
                }
                (Line::Row(_), _) => {}
                (Line::End(_), _) => return Ok(seen),
            }
        }
    }
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
    /// refer to, with their sizes.
    pub(crate) async fn dump(
        &self,
        sink: &mut impl Write,
    ) -> Result<Vec<(BlobKey, u64)>, DumpError> {
        mark(sink, &Head { gantry_catalogue: FORMAT, schema: newest_schema() })?;
        let mut written = 0;
        let blobs: Vec<(String, i64)> = on!(self, pool => {
            let mut snapshot = pool.begin_with(pool.snapshot()).await?;
            for table in tables!(pool, &mut *snapshot) {
                let columns = table.columns.iter().map(|(name, _)| name.clone()).collect();
                mark(sink, &TableHead { table: table.name.clone(), columns })?;
                let select = AssertSqlSafe(pool.select(&table) + only(&table.name));
                let mut rows = sqlx::query_scalar::<_, String>(select).fetch(&mut *snapshot);
                while let Some(row) = rows.try_next().await? {
                    sink.write_all(row.as_bytes())?;
                    sink.write_all(b"\n")?;
                    written += 1;
                }
            }
            let blobs = format!("SELECT blob_key, bytes FROM blobs{}", only("blobs"));
            sqlx::query_as(AssertSqlSafe(blobs)).fetch_all(&mut *snapshot).await?
        });
        mark(sink, &End { rows: written })?;
        let blob = |(key, bytes)| Ok((parsed("blob key", key)?, count(bytes)));
        blobs.into_iter().map(blob).collect()
    }

    /// Makes a catalogue in an empty database of what was written down: all of it or nothing.
    pub(crate) async fn load(
        database: &Database,
        lines: &mut impl BufRead,
    ) -> Result<Self, DumpError> {
        let mut lines = Lines { lines, at: 0 };
        let head = lines.head()?;
        if head.gantry_catalogue != FORMAT || head.schema > newest_schema() {
            return Err(DumpError::Newer(head.schema));
        }
        let catalog = Self { pool: database.connect().await? };
        catalog.must_be_empty().await?;
        // The tables as they were then; once the rows are in, they are brought up to date.
        catalog.migrate(Some(head.schema)).await?;
        on!(catalog, pool => {
            let mut transaction = pool.begin().await?;
            let tables = tables!(pool, &mut *transaction);
            let (mut insert, mut batch, mut loaded) = (String::new(), Batch::default(), 0);
            let end = loop {
                let line = lines.next()?;
                if (batch.is_full() || !matches!(line, Line::Row(_)))
                    && let Some(rows) = batch.take()
                {
                    let insert = sqlx::query(AssertSqlSafe(insert.clone())).bind(rows);
                    insert.execute(&mut *transaction).await?;
                }
                match line {
                    Line::Row(row) => {
                        batch.add(&row);
                        loaded += 1;
                    }
                    Line::Table(head) => {
                        let table = lines.fitting(&tables, head)?;
                        // Some tables have rows from the beginning.
                        let empty = format!("DELETE FROM \"{}\"", table.name);
                        sqlx::query(AssertSqlSafe(empty)).execute(&mut *transaction).await?;
                        insert = pool.insert(&table);
                    }
                    Line::End(end) => break end,
                }
            };
            if end.rows != loaded {
                return Err(DumpError::CutOff);
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
