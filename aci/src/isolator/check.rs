//! The isolators of a manifest, with a finding for everything wrong or odd about them.

use super::{IsolatorError, IsolatorValue, Scope, check_set, doubts, parse};
use crate::json::Spot;
use crate::manifest::Isolator;

const RULE: &str = "spec: types.md, Isolator Type";

/// A list of isolators that stands in `scope`.
pub(crate) fn read(spot: &Spot<'_, '_>, scope: Scope) -> Option<Vec<Isolator>> {
    let read: Vec<(Isolator, IsolatorValue)> = spot.list(one)?;
    let (isolators, values): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    for (index, fault) in check_set(&values) {
        spot.item(index, |item| match (&fault, scope) {
            // An executor may ignore what it does not understand, and has to say so. The
            // reference tools refuse it of an app, and of a pod do not.
            (IsolatorError::Unknown { .. }, Scope::App) => {
                item.warn(fault.code(), &fault, fault.section());
            }
            (IsolatorError::Unknown { .. }, Scope::Pod) => {
                item.warn("isolator-ignored", &fault, fault.section());
            }
            _ => {
                let _: Option<()> = item.error(fault.code(), &fault, fault.section());
            }
        });
    }
    for (index, doubt) in doubts(&values, scope) {
        spot.item(index, |item| item.warn(doubt.code(), &doubt, doubt.section()));
    }
    Some(isolators)
}

fn one(spot: &Spot<'_, '_>) -> Option<(Isolator, IsolatorValue)> {
    let fields = spot.fields(&["name", "value"])?;
    let name: Option<crate::Identifier> =
        fields.required("name", RULE, |name| name.parsed("identifier", RULE));
    let value = fields.required("value", RULE, |spot| {
        let value = spot.value()?;
        let known = name.as_ref().map_or("", |name| name.as_str());
        match parse(known, &value) {
            Ok(read) => Some((value, read)),
            Err(fault) => spot.error(fault.code(), &fault, fault.section()),
        }
    });
    let (name, (value, read)) = (name?, value?);
    Some((Isolator { name, value, extra: fields.extra() }, read))
}
