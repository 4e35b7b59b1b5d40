//! What image and pod manifests have in common.

use crate::json::Spot;
use crate::labels::{Label, LabelError, Labels};
use crate::types::{AcKind, AcVersion, check_platform};

const LABELS: &str = "spec: aci.md, labels";
pub(super) const TYPES: &str = "spec: types.md";

/// `acKind`, which has to be `wanted`.
pub(super) fn kind(spot: &Spot<'_, '_>, wanted: AcKind) -> Option<AcKind> {
    let found: AcKind = spot.parsed("kind", TYPES)?;
    if found == wanted {
        return Some(found);
    }
    spot.error("kind", format!("{wanted} was wanted, not {found}"), TYPES)
}

/// `acVersion`. One that nobody can know yet is told, and left: rkt writes its own version there.
pub(super) fn version(spot: &Spot<'_, '_>) -> Option<AcVersion> {
    let version: AcVersion = spot.parsed("version", TYPES)?;
    if version.is_later() {
        let message =
            format!("{version} is later than {}, the last release of the spec", AcVersion::CURRENT);
        spot.warn("version-later", message, TYPES);
    }
    Some(version)
}

/// A list of labels.
pub(super) fn labels(spot: &Spot<'_, '_>) -> Option<Labels> {
    let labels = spot.items_of(label)?;
    spot.unique(&labels, "label", |label| label.name.as_str(), LABELS);
    let value = |name: &str| {
        let label = labels.read.iter().find(|label| label.name.as_str() == name);
        label.map(|label| label.value.as_str())
    };
    if let Err(error) = check_platform(value("os"), value("arch")) {
        platform(spot, &error);
    }
    // Whatever else is wrong with them was told.
    Labels::try_from(labels.all()?).ok()
}

fn label(spot: &Spot<'_, '_>) -> Option<Label> {
    let fields = spot.fields(&["name", "value"])?;
    let name = fields.required("name", LABELS, |name| name.parsed("identifier", LABELS));
    let value = fields.optional("value", |value| value.text().map(str::to_owned));
    fields.warn_absent("value", LABELS);
    let label = Label { name: name?, value: value?.unwrap_or_default() };
    if label.name.as_str() == "name" {
        return fields.at("name", |name| name.error("label-name", LabelError::Name, LABELS))?;
    }
    Some(label)
}

/// Reports what is wrong with the platform, at the label's value where there is one.
fn platform(spot: &Spot<'_, '_>, error: &LabelError) {
    let name = match error {
        LabelError::Os { .. } => "os",
        LabelError::Arch { .. } => "arch",
        _ => return,
    };
    let told = spot.items().find_map(|item| {
        let fields = item.fields(&["name", "value"])?;
        let found = fields.at("name", |spot| spot.text() == Some(name))?;
        let tell = |value: &Spot<'_, '_>| value.error::<()>("label-platform", error, LABELS);
        // An absent value is told at the label.
        found.then(|| fields.at("value", tell).is_some()).filter(|told| *told)
    });
    if told.is_none() {
        spot.error::<()>("label-platform", error, LABELS);
    }
}

/// A path inside the rootfs that has to be absolute.
pub(super) fn absolute(spot: &Spot<'_, '_>, rule: &'static str) -> Option<String> {
    let path = spot.argument()?;
    if !path.starts_with('/') {
        let message =
            format!("{path:?} is no absolute path; did you mean {:?}?", format!("/{path}"));
        return spot.error("path-relative", message, rule);
    }
    unclean(spot, &path, rule);
    Some(path)
}

/// Tells of a path that climbs: tools differ in what becomes of it.
pub(super) fn unclean(spot: &Spot<'_, '_>, path: &str, rule: &'static str) {
    if path.split('/').any(|segment| segment == "..") {
        spot.warn("path-climbs", format!("{path:?} has a segment \"..\""), rule);
    }
}
