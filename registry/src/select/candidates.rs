//! The images that are looked at for a reference, of however many its name has.

use aci::Reference;

use super::{Selection, asks_for_newest, newest};
use crate::catalog::{Catalog, CatalogError, StoredImage};

/// The newest images of a name, among which most references find what they mean.
const FIRST: u32 = 32;
/// How often what goes or is withdrawn in between is looked for again.
const ROUNDS: u32 = 8;

/// Images of the reference's name, of which it means what it means of all. These are those of the
/// version that is asked for or, where it is the newest, of the newest that any serves in.
pub(crate) async fn candidates(
    catalog: &Catalog,
    reference: &Reference,
) -> Result<Vec<StoredImage>, CatalogError> {
    let (name, wanted) = (reference.name(), reference.labels());
    if !asks_for_newest(wanted) {
        return catalog.images_of_version(name, wanted.value("version")).await;
    }
    let mut of_version = Vec::new();
    for _ in 0..ROUNDS {
        let mut some = catalog.newest(name, FIRST).await?;
        if some.len() < FIRST as usize {
            return Ok(some);
        }
        some.extend(catalog.images_of_version(name, Some("latest")).await?);
        if !matches!(newest(&some, wanted), Selection::Found(_)) {
            // What serves depends on the labels beyond the version alone.
            some = catalog.newest_of_each_variant(name).await?;
        }
        let Selection::Found(image) = newest(&some, wanted) else { return Ok(some) };
        let version = image.labels.value("version");
        of_version = catalog.images_of_version(name, version).await?;
        if matches!(newest(&of_version, wanted), Selection::Found(_)) {
            break;
        }
    }
    Ok(of_version)
}
