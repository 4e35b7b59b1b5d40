//! What is looked up costs as much among many images as among few. What is counted are the steps of
//! SQLite's virtual machine, which are the same on every machine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aci::{Label, Labels, Name};
use proptest::prelude::*;
use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;

use super::newest::variant;
use super::order::version_order;
use super::publish::{extra_labels, labels_json};
use super::*;
use crate::select::{Selection, candidates, select};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A catalogue with one connection, and its steps so far.
async fn counted(folder: &Path) -> (Catalog, Arc<AtomicU64>) {
    let path = folder.join("db");
    Catalog::open(&DatabaseUrl::file(&path).into()).await.unwrap().close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let steps = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&steps);
    let mut connection = pool.acquire().await.unwrap();
    connection.lock_handle().await.unwrap().set_progress_handler(1, move || {
        count.fetch_add(1, Ordering::Relaxed);
        true
    });
    drop(connection);
    (Catalog { pool: Pool::Sqlite(pool) }, steps)
}

fn pool(catalog: &Catalog) -> &SqlitePool {
    let Pool::Sqlite(pool) = &catalog.pool else { unreachable!() };
    pool
}

fn labels(text: &str) -> Labels {
    let texts = text.split(',').filter(|text| !text.is_empty());
    let labels: Vec<Label> = texts.map(|text| text.parse().unwrap()).collect();
    labels.try_into().unwrap()
}

/// Adds images: name, labels, and whether it was withdrawn.
async fn add(catalog: &Catalog, images: impl IntoIterator<Item = (Name, Labels, bool)>) {
    let (digest, signer) = (format!("sha512-{}", "b".repeat(128)), "D".repeat(40));
    let mut transaction = pool(catalog).write().await.unwrap();
    sqlx::query(
        "INSERT INTO blobs (blob_key, bytes, leased_until, leased_by) VALUES ('x', 1, 0, '')
         ON CONFLICT (blob_key) DO NOTHING",
    )
    .execute(&mut *transaction)
    .await
    .unwrap();
    for (name, labels, yanked) in images {
        sqlx::query(
            "INSERT INTO images (image_id, name, version, labels, labels_canonical, extra_labels,
                 manifest, compression, file_digest, file_bytes, tar_bytes, signature_digest,
                 signature_bytes, image_blob, signature_blob, signer, signing_key, signed_at,
                 pushed_at, pushed_by, yanked, version_order, variant)
             VALUES ('sha512-' || lower(hex(randomblob(64))), $1, $2, $3, $4, $5, x'7b7d', 'gzip',
                 $6, 10, 20, $6, 5, 'x', 'x', $7, $7, 1, 2, 'token:00000001', $8, $9, $10)",
        )
        .bind(name.as_str())
        .bind(labels.value("version"))
        .bind(labels_json(&labels).unwrap())
        .bind(labels.canonical())
        .bind(extra_labels(&labels))
        .bind(&digest)
        .bind(&signer)
        .bind(i64::from(yanked))
        .bind(version_order(labels.value("version")))
        .bind(variant(&labels))
        .execute(&mut *transaction)
        .await
        .unwrap();
    }
    transaction.commit().await.unwrap();
}

/// The steps of everything that is asked where so many names, and so many versions of one name, are.
/// Statistics of the tables let SQLite choose otherwise.
async fn steps_among(many: usize, statistics: bool) -> Vec<(String, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, steps) = counted(folder.path()).await;
    let names = (0..many).map(|at| {
        let of = ["example.com/team/a", "example.com/team-x/a", "example.com/w/a"][at % 3];
        (name(&format!("{of}{at:06}")), labels("version=1.0.0"), false)
    });
    // Beside those for one platform, one for another, one with a label more, one withdrawn.
    let versions = (0..many).map(|at| {
        let one = format!("version={}.0.0,os=linux,arch=amd64", at + 10);
        (name("example.com/many"), labels(&one), at % 2 == 1 && at < 64)
    });
    let others = [
        ("version=1.0.0,os=linux,arch=aarch64", false),
        ("version=1.0.0,os=linux,arch=amd64,channel=beta", false),
        ("version=1.0.0,os=freebsd,arch=amd64", true),
        ("version=2.0.0,os=linux,arch=aarch64,debug=yes", false),
    ];
    let others =
        others.map(|(text, withdrawn)| (name("example.com/many"), labels(text), withdrawn));
    add(&catalog, names.chain(others).chain(versions)).await;
    // As old as any.
    let dates = (0..many).map(|at| {
        (name("example.com/dates"), labels(&format!("version=day-{at},os=linux")), false)
    });
    add(&catalog, dates).await;
    if statistics {
        sqlx::query("ANALYZE").execute(pool(&catalog)).await.unwrap();
    }

    let mut all = Vec::new();
    let mut note = |what: &str| all.push((what.to_owned(), steps.swap(0, Ordering::Relaxed)));
    note("made");
    let one = name("example.com/many");
    for (top, after, wanted) in [
        ("example.com", "", 20),
        ("example.com", "example.com/team/a000100", 20),
        ("example.com/team", "", 20),
        ("example.com/many", "", 1),
        ("example.com/none", "", 0),
    ] {
        let found = catalog.names(&name(top), after, 20).await.unwrap();
        assert_eq!(found.len(), wanted, "{top} {after}");
        note(&format!("names of {top} after {after:?}"));
    }
    assert_eq!(catalog.newest(&one, 20).await.unwrap().len(), 20);
    note("the newest");
    assert_eq!(catalog.yank_reasons(&one, 20).await.unwrap().len(), 0);
    note("why they were withdrawn");
    assert_eq!(catalog.label_sets(&one, 64).await.unwrap().len(), 2);
    note("sets of labels");
    assert_eq!(catalog.label_sets(&one, 1).await.unwrap().len(), 1);
    note("one set of labels");
    let newest = many + 9;
    for (reference, wanted) in [
        ("many,os=linux,arch=amd64".to_owned(), format!("{newest}.0.0")),
        ("many".to_owned(), format!("{newest}.0.0")),
        ("many,os=linux,arch=aarch64".to_owned(), "2.0.0".to_owned()),
        ("many,os=linux,arch=amd64,channel=beta".to_owned(), "1.0.0".to_owned()),
        ("many,os=linux,arch=i386".to_owned(), "Absent".to_owned()),
        ("many,color=red".to_owned(), "Absent".to_owned()),
        ("many,os=freebsd,arch=amd64".to_owned(), "Withdrawn".to_owned()),
        ("many:15.0.0,os=linux,arch=amd64".to_owned(), "15.0.0".to_owned()),
        ("many:9.0.0,os=linux,arch=amd64".to_owned(), "Absent".to_owned()),
        ("dates,os=linux,arch=amd64".to_owned(), format!("day-{}", many - 1)),
    ] {
        let parsed = format!("example.com/{reference}").parse().unwrap();
        let images = candidates(&catalog, &parsed).await.unwrap();
        let found = match select(&images, &parsed) {
            Selection::Found(image) => image.labels.value("version").unwrap().to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(found, wanted, "{reference}");
        note(&reference);
    }
    let totals = catalog.totals().await.unwrap();
    assert_eq!(totals.images as usize, many * 3 + 4);
    let used = catalog.used(&one).await.unwrap();
    assert_eq!((used.images as usize, used.bytes as usize), (many + 4, (many + 4) * 15));
    note("counted");
    catalog.close().await;
    all
}

#[tokio::test]
async fn what_is_looked_up_costs_no_more_among_many() {
    for statistics in [false, true] {
        let few = steps_among(400, statistics).await;
        let many = steps_among(5_000, statistics).await;
        for ((what, few), (same, many)) in few.into_iter().zip(many) {
            assert_eq!(what, same);
            // These alone are of all names, or of all images.
            if what != "made" && what != "counted" {
                assert!(many <= few + few / 10, "{what}: {few} steps, among many {many}");
            }
        }
    }
}

/// What a reference comes to, in words.
fn outcome(images: &[StoredImage], reference: &aci::Reference) -> String {
    match select(images, reference) {
        Selection::Found(image) => format!("{} {}", image.sequence, image.labels),
        Selection::Ambiguous(several) => {
            several.iter().map(|image| format!("{}?", image.sequence)).collect()
        }
        other => format!("{other:?}"),
    }
}

/// Labels of images: a version, a platform, perhaps more; and whether it was withdrawn.
fn image() -> impl Strategy<Value = (String, bool)> {
    let version = prop_oneof![
        6 => "[0-3]\\.[0-2]\\.0(-rc\\.[0-9])?(\\+[ab])?".prop_map(|version| format!("version={version}")),
        1 => Just("version=latest".to_owned()),
        1 => "version=(a|b|c|day-[0-9])",
        1 => Just(String::new()),
    ];
    let platform = "(,os=(linux|freebsd))?(,arch=(amd64|i386))?(,channel=(a|b))?";
    (version, platform, prop::bool::weighted(0.4)).prop_map(|(version, platform, withdrawn)| {
        (format!("{version}{platform}").trim_start_matches(',').to_owned(), withdrawn)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Names of few images, and of more than are looked at first.
    #[test]
    fn candidates_mean_what_all_images_mean(
        images in prop_oneof![
            prop::collection::vec(image(), 0..8),
            prop::collection::vec(image(), 20..150),
        ],
        mostly_withdrawn in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let catalog =
                Catalog::open(&DatabaseUrl::file(&folder.path().join("db")).into()).await.unwrap();
            let one = name("example.com/a");
            // No two of a name have the same labels.
            let unique: std::collections::BTreeMap<String, (Labels, bool)> = images
                .iter()
                .map(|(text, withdrawn)| (labels(text), *withdrawn))
                .map(|(labels, withdrawn)| (labels.canonical(), (labels, withdrawn)))
                .collect();
            let newest_withdrawn = |labels: &Labels, withdrawn: bool| {
                withdrawn || (mostly_withdrawn && labels.value("version").is_some_and(|v| v >= "1"))
            };
            add(&catalog, unique.into_values().map(|(labels, withdrawn)| {
                let withdrawn = newest_withdrawn(&labels, withdrawn);
                (one.clone(), labels, withdrawn)
            })).await;
            let all = catalog.images(&one).await.unwrap();
            let mut ordered = all.clone();
            ordered.sort_by_cached_key(|image| std::cmp::Reverse(crate::select::rank(image)));
            let newest = catalog.newest(&one, 50).await.unwrap();
            let sequences = |images: &[StoredImage]| -> Vec<i64> {
                images.iter().take(50).map(|image| image.sequence).collect()
            };
            assert_eq!(sequences(&newest), sequences(&ordered));
            for version in ["", ":latest", ":1.0.0", ":a", ":3.2.0-rc.1"] {
                for rest in [
                    "", ",os=linux", ",os=linux,arch=amd64", ",os=freebsd,arch=i386", ",arch=arm",
                    ",channel=a", ",os=linux,arch=amd64,channel=b", ",channel=c",
                ] {
                    let reference = format!("example.com/a{version}{rest}").parse().unwrap();
                    let some = candidates(&catalog, &reference).await.unwrap();
                    assert_eq!(outcome(&some, &reference), outcome(&all, &reference), "{reference}");
                }
            }
            catalog.close().await;
        });
    }
}

/// The names as they are counted, and as their images say.
async fn counts(catalog: &Catalog) -> [Vec<(String, i64, i64, i64)>; 2] {
    let counted = "SELECT name, images, bytes, pushed_at FROM names ORDER BY name";
    let there = "SELECT name, COUNT(*), SUM(file_bytes + signature_bytes), MAX(pushed_at)
                 FROM images GROUP BY name ORDER BY name";
    let mut both = [Vec::new(), Vec::new()];
    for (all, sql) in both.iter_mut().zip([counted, there]) {
        *all = sqlx::query_as(sql).fetch_all(pool(catalog)).await.unwrap();
    }
    both
}

#[tokio::test]
async fn names_are_counted_as_images_come_change_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let catalog =
        Catalog::open(&DatabaseUrl::file(&folder.path().join("db")).into()).await.unwrap();
    let images = ["a", "a", "a", "a/b", "c"].iter().enumerate().map(|(at, of)| {
        (name(&format!("example.com/{of}")), labels(&format!("version={at}")), false)
    });
    add(&catalog, images).await;
    let mut left = Vec::new();
    for sql in [
        "UPDATE images SET pushed_at = pushed_at",
        "UPDATE images SET file_bytes = 100, signature_bytes = 7 WHERE version = '1'",
        "DELETE FROM images WHERE version = '2'",
        "DELETE FROM images WHERE version IN ('0', '4')",
        "DELETE FROM images",
    ] {
        sqlx::query(sql).execute(pool(&catalog)).await.unwrap();
        let [counted, there] = counts(&catalog).await;
        assert_eq!(counted, there, "{sql}");
        left.push(counted.len());
    }
    assert_eq!(left, [3, 3, 3, 2, 0]);
    // The last push is that of an image that is there.
    let two = ["1.0.0", "2.0.0"]
        .map(|version| (name("example.com/a"), labels(&format!("version={version}")), false));
    add(&catalog, two.clone()).await;
    sqlx::query("DELETE FROM images WHERE version = '2.0.0'")
        .execute(pool(&catalog))
        .await
        .unwrap();
    let later = "INSERT INTO images (image_id, name, version, labels, labels_canonical,
             extra_labels, manifest, compression, file_digest, file_bytes, tar_bytes,
             signature_digest, signature_bytes, image_blob, signature_blob, signer, signing_key,
             signed_at, pushed_at, pushed_by)
         SELECT image_id || 'x', name, '3', labels, 'x', '', manifest, compression, file_digest,
             1, 1, signature_digest, 1, 'x', 'x', signer, signing_key, 1, 99, 'x' FROM images";
    sqlx::query(later).execute(pool(&catalog)).await.unwrap();
    let names = catalog.names(&name("example.com"), "", 9).await.unwrap();
    assert_eq!((names[0].images, names[0].pushed), (2, time(99)));
    sqlx::query("DELETE FROM images WHERE version = '3'").execute(pool(&catalog)).await.unwrap();
    let names = catalog.names(&name("example.com"), "", 9).await.unwrap();
    assert_eq!((names[0].images, names[0].pushed), (1, time(2)));
    catalog.close().await;
}

#[tokio::test]
async fn images_of_older_tables_get_their_place_in_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let url = Database::from(DatabaseUrl::file(&folder.path().join("db")));
    let catalog = Catalog::open(&url).await.unwrap();
    let all = ["version=1.9.0", "version=1.10.0,os=linux", "version=x", "os=linux"];
    add(&catalog, all.map(|text| (name("example.com/a"), labels(text), false))).await;
    let read = "SELECT version_order, variant FROM images ORDER BY sequence";
    let before: Vec<(String, String)> =
        sqlx::query_as(read).fetch_all(pool(&catalog)).await.unwrap();
    let forget = "UPDATE images SET version_order = '', variant = '' WHERE version IS NOT '1.9.0'";
    sqlx::query(forget).execute(pool(&catalog)).await.unwrap();
    catalog.close().await;
    let catalog = Catalog::open(&url).await.unwrap();
    let after: Vec<(String, String)> =
        sqlx::query_as(read).fetch_all(pool(&catalog)).await.unwrap();
    assert_eq!(before, after);
    let newest = catalog.newest(&name("example.com/a"), 1).await.unwrap();
    assert_eq!(newest[0].labels.value("version"), Some("1.10.0"));
    catalog.close().await;
}
