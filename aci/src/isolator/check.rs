//! The isolators of a manifest, with a finding for everything wrong or odd about them.

use super::{IsolatorError, IsolatorValue, Scope, check_set, doubts, parse};
use crate::json::{JsonPath, Spot};
use crate::manifest::Isolator;

const RULE: &str = "spec: types.md, Isolator Type";

/// A list of isolators that stands in `scope`.
pub(crate) fn read(spot: &Spot<'_, '_>, scope: Scope) -> Option<Vec<Isolator>> {
    let read = spot.items_of(one)?;
    let values: Vec<IsolatorValue> = read.read.iter().map(|(_, value)| value.clone()).collect();
    for (index, fault) in check_set(&values) {
        spot.item(read.places[index], |item| match (&fault, scope) {
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
        spot.item(read.places[index], |item| item.warn(doubt.code(), &doubt, doubt.section()));
    }
    Some(read.all()?.into_iter().map(|(isolator, _)| isolator).collect())
}

fn one(spot: &Spot<'_, '_>) -> Option<(Isolator, IsolatorValue)> {
    let fields = spot.fields(&["name", "value"])?;
    let name: Option<crate::Identifier> =
        fields.required("name", RULE, |name| name.parsed("identifier", RULE));
    let value = fields.required("value", RULE, |spot| {
        let value = spot.value()?;
        let known = name.as_ref().map_or("", |name| name.as_str());
        match parse(known, &value) {
            Ok(read) => check_plain(spot, known).map(|()| (value, read)),
            Err(fault) => {
                let tell =
                    |at: &Spot<'_, '_>| at.error::<()>(fault.code(), &fault, fault.section());
                let place = fault.place().and_then(|place| spot.below(&place, tell));
                if place.is_none() {
                    tell(spot);
                }
                None
            }
        }
    });
    let (name, (value, read)) = (name?, value?);
    Some((Isolator { name, value, extra: fields.extra() }, read))
}

/// Other tools read a quantity from the text as it is written, with its escapes.
fn check_plain(spot: &Spot<'_, '_>, name: &str) -> Option<()> {
    if !name.starts_with("resource/") {
        return Some(());
    }
    let escaped = |field| {
        let path = JsonPath::default().key(field);
        let is_escaped = |at: &Spot<'_, '_>| {
            let message = "a quantity is written without a backslash";
            at.node
                .raw
                .contains('\\')
                .then(|| at.error::<()>("isolator-quantity", message, super::error::section(name)))
        };
        spot.below(&path, is_escaped).flatten().is_some()
    };
    let found = ["request", "limit"].map(escaped);
    (found == [false, false]).then_some(())
}
