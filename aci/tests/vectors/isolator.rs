//! Runs the reference cases of isolators against [`aci::isolator`].

use aci::isolator::{self, IsolatorValue, Resource, SeccompSet, check_set};
use aci::manifest::Isolator;
use aci::Quantity;
use serde_json::{Value, json};

/// Where the specification is followed rather than the reference, by the case's id.
pub const DIFFERENCES: &[(&str, &str)] = &[
    ("isolator/app-set/6", "retain and remove exclude each other: ace.md, capabilities-retain-set"),
    ("isolator/probe-shape/0", "the name is required: types.md, Isolator Type"),
    ("isolator/probe-shape/2", "the value is required: types.md, Isolator Type"),
];

/// What the operation gives, or why it refuses its input.
pub fn isolator_case(op: &str, input: &Value) -> Result<Value, String> {
    let text = input.as_str().ok_or_else(|| format!("{input} is no text"))?;
    match op {
        "json" => {
            let isolator: Isolator = serde_json::from_str(text).map_err(told)?;
            Ok(shown(&isolator, &parse(&isolator)?))
        }
        "app_set" => {
            let isolators: Vec<Isolator> = serde_json::from_str(text).map_err(told)?;
            let values: Vec<_> = isolators.iter().map(parse).collect::<Result<_, _>>()?;
            match check_set(&values).first() {
                Some(fault) => Err(fault.to_string()),
                None => Ok(isolators.iter().zip(&values).map(|(i, v)| shown(i, v)).collect()),
            }
        }
        other => Err(format!("no operation {other:?}")),
    }
}

fn parse(isolator: &Isolator) -> Result<IsolatorValue, String> {
    isolator::parse(isolator.name.as_str(), &isolator.value).map_err(told)
}

fn shown(isolator: &Isolator, value: &IsolatorValue) -> Value {
    let mut shown = match value {
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

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
