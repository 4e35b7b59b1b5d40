//! The suite of isolators (ace.md, Isolators), each put into an app.

use aci::isolator::{self, IsolatorValue, Resource, SeccompSet};
use aci::manifest::Isolator;
use aci::{ImageManifest, Quantity, Severity};
use serde_json::{Value, json};

use super::quantity::or_overflow;
use super::{Outcome, Refused};

pub(super) fn run(suite: &str, op: &str, input: &Value) -> Option<Outcome> {
    let text = input.as_str().unwrap_or_default();
    Some(match (suite, op) {
        ("isolator", "json") => {
            read(&format!("[{text}]"), |_| false).map(|isolators| shown(&isolators[0]))
        }
        // As for actool, which is not to be sent an image it refuses.
        ("isolator", "app_set") => read(text, |code| code == "isolator-unknown")
            .map(|isolators| isolators.iter().map(shown).collect()),
        _ => return None,
    })
}

/// The isolators of an app, unless there is an error among the findings, or another one
/// that counts as such.
fn read(text: &str, counts: impl Fn(&str) -> bool) -> Result<Vec<Isolator>, Refused> {
    let manifest = format!(
        r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a",
            "app":{{"user":"0","group":"0","isolators":{text}}}}}"#
    );
    let checked = ImageManifest::check(manifest.as_bytes());
    let fault = checked.findings.iter().find(|f| f.severity == Severity::Error || counts(f.code));
    match fault {
        Some(fault) => Err(Refused::new(fault.code, fault)),
        None => Ok(checked.value.unwrap().app.unwrap().isolators),
    }
}

fn shown(isolator: &Isolator) -> Value {
    let value = isolator::parse(isolator.name.as_str(), &isolator.value).unwrap();
    let mut shown = match &value {
        IsolatorValue::BlockBandwidth(r)
        | IsolatorValue::BlockIops(r)
        | IsolatorValue::Cpu(r)
        | IsolatorValue::Memory(r)
        | IsolatorValue::NetworkBandwidth(r) => resource(r),
        IsolatorValue::CapabilitiesRetain(set) | IsolatorValue::CapabilitiesRemove(set) => {
            json!({"set": set.names()})
        }
        IsolatorValue::SeccompRetain(set) | IsolatorValue::SeccompRemove(set) => seccomp(set),
        IsolatorValue::SelinuxContext(c) => json!({"value": {
            "user": c.user(), "role": c.role(), "type": c.kind(), "level": c.level(),
        }}),
        IsolatorValue::ApparmorProfile(p) => json!({"value": {"profile": p.as_str()}}),
        IsolatorValue::OomScoreAdj(adjustment) => json!({"value": adjustment.as_i64()}),
        IsolatorValue::CpuShares(shares) => json!({"value": shares.as_u64()}),
        IsolatorValue::Sysctl(sysctl) => json!({"value": sysctl.parameters()}),
        IsolatorValue::NoNewPrivileges(wanted) => json!({"value": wanted}),
        IsolatorValue::Unknown(_) => json!({"value": isolator.value}),
    };
    shown["name"] = json!(value.name());
    shown["recognized"] = json!(value.is_known());
    shown
}

fn resource(resource: &Resource) -> Value {
    json!({
        "default": resource.is_default(),
        "request": resource.request().map(quantity),
        "limit": resource.limit().map(quantity),
    })
}

fn quantity(quantity: &Quantity) -> Value {
    json!({
        "canonical": quantity.to_string(),
        "ceil_value": or_overflow(quantity.whole()),
        "ceil_milli": or_overflow(quantity.thousandths()),
    })
}

fn seccomp(set: &SeccompSet) -> Value {
    json!({"set": set.names(), "errno": set.errno().unwrap_or_default()})
}
