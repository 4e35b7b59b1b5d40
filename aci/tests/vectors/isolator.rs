//! The suite of isolators: [`aci::isolator`], read as a manifest is.

use aci::isolator::{self, IsolatorValue, Resource, SeccompSet};
use aci::manifest::Isolator;
use aci::{Finding, ImageManifest, PodManifest, Quantity, Severity};
use serde_json::{Value, json};

use super::{Outcome, Refused};

pub(super) fn run(suite: &str, op: &str, input: &Value) -> Option<Outcome> {
    let text = input.as_str().unwrap_or_default();
    Some(match (suite, op) {
        ("isolator", "json") => of_pod(text).map(|isolator| shown(&isolator)),
        ("isolator", "app_set") => of_app(text).map(|list| list.iter().map(shown).collect()),
        _ => return None,
    })
}

/// One isolator of a pod, where names that nobody knows are accepted.
fn of_pod(text: &str) -> Result<Isolator, Refused> {
    let pod = format!(
        r#"{{"acKind":"PodManifest","acVersion":"0.8.11","apps":[],"isolators":[{text}]}}"#
    );
    let checked = PodManifest::check(pod.as_bytes());
    let isolators = checked.value.ok_or_else(|| refused(&checked.findings))?.isolators;
    isolators.into_iter().next().ok_or_else(|| Refused::new("absent", "there is none"))
}

/// The isolators of an app, as a validation judges them: those that nobody knows are refused.
fn of_app(text: &str) -> Result<Vec<Isolator>, Refused> {
    let image = format!(
        r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"a","app":{{"user":"0","group":"0","isolators":{text}}}}}"#
    );
    let checked = ImageManifest::check(image.as_bytes());
    if checked.findings.iter().any(|finding| finding.code == "isolator-unknown") {
        return Err(refused(&checked.findings));
    }
    let app = checked.value.and_then(|manifest| manifest.app);
    Ok(app.ok_or_else(|| refused(&checked.findings))?.isolators)
}

fn refused(findings: &[Finding]) -> Refused {
    let error = findings.iter().find(|f| f.severity == Severity::Error).or(findings.first());
    Refused::new(error.unwrap().code, error.unwrap())
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
    let number = |n: Option<i64>| n.map_or_else(|| json!("overflow"), |n| json!(n));
    json!({
        "canonical": quantity.to_string(),
        "ceil_value": number(quantity.whole()),
        "ceil_milli": number(quantity.thousandths()),
    })
}

fn seccomp(set: &SeccompSet) -> Value {
    json!({"set": set.names(), "errno": set.errno().unwrap_or_default()})
}
