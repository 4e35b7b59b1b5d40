//! The names that images make up. Triggers count the images of each.

use std::collections::BTreeSet;
use std::time::SystemTime;

use aci::{Identifier, Name};

use super::database::on;
use super::{Catalog, CatalogError, count, parsed, time};

/// One name and how much there is of it.
#[derive(Debug, Clone)]
pub(crate) struct NameSummary {
    pub(crate) name: Name,
    pub(crate) images: u64,
    pub(crate) pushed: SystemTime,
}

/// How much there is in a catalogue.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub(crate) struct Totals {
    pub(crate) images: i64,
    pub(crate) names: i64,
    /// Of images and signatures.
    pub(crate) bytes: i64,
}

#[derive(sqlx::FromRow)]
struct NameRow {
    name: String,
    images: i64,
    pushed_at: i64,
}

impl TryFrom<NameRow> for NameSummary {
    type Error = CatalogError;

    fn try_from(row: NameRow) -> Result<Self, CatalogError> {
        Ok(Self {
            name: parsed("image name", row.name)?,
            images: count(row.images),
            pushed: time(row.pushed_at),
        })
    }
}

impl Catalog {
    /// The names at and below `top` that have images, in alphabetical order, those
    /// after `after`.
    pub(crate) async fn names(
        &self,
        top: &Name,
        after: &str,
        limit: u32,
    ) -> Result<Vec<NameSummary>, CatalogError> {
        // What follows "/" in ASCII is "0": between the two lies all that is below. "!" comes before
        // all that a name is made of. What is below has its order and its beginning from the index.
        let from = format!("{top}/").max(format!("{after}!"));
        let rows: Vec<NameRow> = on!(self, pool => sqlx::query_as(NAMES)
            .bind(top.as_str())
            .bind(after)
            .bind(from)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        rows.into_iter().map(NameSummary::try_from).collect()
    }

    /// The sets of labels beyond version, os and arch that images of a name carry.
    pub(crate) async fn label_sets(
        &self,
        name: &Name,
        limit: u32,
    ) -> Result<Vec<BTreeSet<Identifier>>, CatalogError> {
        let rows: Vec<(String,)> = on!(self, pool => sqlx::query_as(LABEL_SETS)
            .bind(name.as_str())
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await)?;
        let set = |(text,): (String,)| {
            text.split(',').map(|word| parsed("label name", word.to_owned())).collect()
        };
        rows.into_iter().map(set).collect()
    }

    /// How much there is.
    pub(crate) async fn totals(&self) -> Result<Totals, CatalogError> {
        Ok(on!(self, pool => {
            sqlx::query_as(
                "SELECT CAST(COALESCE(SUM(images), 0) AS BIGINT) AS images, COUNT(*) AS names,
                     CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes
                 FROM names",
            )
            .fetch_one(pool)
            .await?
        }))
    }
}

/// Of the name itself, and of those below: the name, after which, from which on, how many.
const NAMES: &str = "SELECT name, images, pushed_at FROM names WHERE name = $1 AND name > $2
     UNION ALL
     SELECT name, images, pushed_at FROM (
         SELECT name, images, pushed_at FROM names WHERE name >= $3 AND name < $1 || '0'
         ORDER BY name LIMIT $4
     ) AS below
     ORDER BY name LIMIT $4";

/// From one to the next, however many images have it: of which name, how many.
const LABEL_SETS: &str = "WITH RECURSIVE sets (extra_labels, place) AS (
         SELECT MIN(extra_labels), 1 FROM images WHERE name = $1 AND extra_labels <> ''
         UNION ALL
         SELECT (SELECT MIN(images.extra_labels) FROM images WHERE images.name = $1
                     AND images.extra_labels <> '' AND images.extra_labels > sets.extra_labels),
             place + 1
         FROM sets WHERE sets.extra_labels IS NOT NULL AND place < $2
     )
     SELECT extra_labels FROM sets WHERE extra_labels IS NOT NULL";
