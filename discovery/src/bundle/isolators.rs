//! Reading an app's isolators (spec: ace.md, "Isolators").

use aci::manifest::{App, Isolator};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::BundleError;
use super::capabilities;
use super::config::{Cpu, Memory};
use super::note::Note;
use super::quantity::Quantity;
use super::seccomp;

const CAPABILITIES_RETAIN: &str = "os/linux/capabilities-retain-set";
const CAPABILITIES_REMOVE: &str = "os/linux/capabilities-remove-set";
/// Microseconds of a period of the scheduler, the kernel's default.
const PERIOD: u64 = 100_000;

/// What the isolators ask for.
#[derive(Debug)]
pub(super) struct Wishes {
    pub(super) capabilities: Vec<&'static str>,
    pub(super) no_new_privileges: bool,
    pub(super) seccomp: seccomp::Wish,
    pub(super) memory: Option<Memory>,
    pub(super) cpu: Option<Cpu>,
    pub(super) oom_score_adj: Option<i32>,
    pub(super) apparmor_profile: Option<String>,
    /// `user:role:type:level`.
    pub(super) selinux_label: Option<String>,
}

#[derive(Deserialize)]
struct Set {
    set: Vec<String>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    request: Option<Value>,
    #[serde(default)]
    limit: Option<Value>,
    #[serde(default)]
    default: bool,
}

#[derive(Deserialize)]
struct AppArmor {
    profile: String,
}

#[derive(Deserialize)]
struct SeLinux {
    user: String,
    role: String,
    #[serde(rename = "type")]
    kind: String,
    level: String,
}

/// Reads the app's isolators. What no OCI runtime has a place for is noted.
pub(super) fn read(app: &App, notes: &mut Vec<Note>) -> Result<Wishes, BundleError> {
    check_repeats(app)?;
    let mut wishes = Wishes {
        capabilities: capability_set(app, notes)?,
        no_new_privileges: false,
        seccomp: seccomp::Wish::Nothing,
        memory: None,
        cpu: None,
        oom_score_adj: None,
        apparmor_profile: None,
        selinux_label: None,
    };
    for isolator in &app.isolators {
        read_one(isolator, &mut wishes, notes)?;
    }
    Ok(wishes)
}

fn read_one(
    isolator: &Isolator,
    wishes: &mut Wishes,
    notes: &mut Vec<Note>,
) -> Result<(), BundleError> {
    let name = isolator.name.as_str();
    match name {
        // Read together: see `capability_set`.
        CAPABILITIES_RETAIN | CAPABILITIES_REMOVE => {}
        "os/linux/no-new-privileges" => wishes.no_new_privileges |= value::<bool>(isolator)?,
        seccomp::RETAIN => {
            wishes.seccomp = seccomp::Wish::Retain(full(isolator, value(isolator)?)?)
        }
        seccomp::REMOVE => {
            wishes.seccomp = seccomp::Wish::Remove(full(isolator, value(isolator)?)?)
        }
        "resource/memory" => wishes.memory = Some(memory(isolator)?),
        "resource/cpu" => {
            let wanted = cpu(isolator)?;
            let cpu = wishes.cpu.get_or_insert_default();
            // Shares that were given as such count for more than a request.
            *cpu = Cpu { shares: cpu.shares.or(wanted.shares), ..wanted };
        }
        "os/linux/cpu-shares" => {
            let shares = ranged(isolator, 2, 262_144)?;
            wishes.cpu.get_or_insert_default().shares = u64::try_from(shares).ok();
        }
        "os/linux/oom-score-adj" => {
            wishes.oom_score_adj = i32::try_from(ranged(isolator, -1000, 1000)?).ok();
        }
        "os/linux/apparmor-profile" => {
            wishes.apparmor_profile = Some(value::<AppArmor>(isolator)?.profile);
        }
        "os/linux/selinux-context" => {
            let SeLinux { user, role, kind, level } = value(isolator)?;
            wishes.selinux_label = Some(format!("{user}:{role}:{kind}:{level}"));
        }
        "os/unix/sysctl" => {
            notes.push(Note::ignored(name, "it is for pods; an image's own is not applied"));
        }
        "resource/block-bandwidth" | "resource/block-iops" | "resource/network-bandwidth" => {
            notes.push(Note::ignored(name, "OCI runtimes have no limit for all devices at once"));
        }
        _ => notes.push(Note::ignored(name, "it is not one of the spec's")),
    }
    Ok(())
}

/// The default set, the union of the retain sets, or the default set less the remove sets.
pub(super) fn capability_set(
    app: &App,
    notes: &mut Vec<Note>,
) -> Result<Vec<&'static str>, BundleError> {
    let union = |wanted: &str| -> Result<Option<Vec<String>>, BundleError> {
        let mut names = None::<Vec<String>>;
        for isolator in app.isolators.iter().filter(|i| i.name.as_str() == wanted) {
            let Set { set } = value(isolator)?;
            if set.is_empty() {
                return Err(fault(isolator, "its set is empty".to_owned()));
            }
            names.get_or_insert_default().extend(set);
        }
        Ok(names)
    };
    match (union(CAPABILITIES_RETAIN)?, union(CAPABILITIES_REMOVE)?) {
        (None, None) => Ok(capabilities::DEFAULT.to_vec()),
        (None, Some(removed)) => {
            let kept = |name: &&str| !removed.iter().any(|removed| removed == name);
            Ok(capabilities::DEFAULT.into_iter().filter(kept).collect())
        }
        (Some(retained), None) => {
            let mut set = Vec::new();
            for name in retained {
                match capabilities::known(&name) {
                    Some(known) if set.contains(&known) => {}
                    Some(known) => {
                        if !capabilities::DEFAULT.contains(&known) {
                            let told =
                                format!("{known} is granted, which images do not have by default");
                            notes.push(Note::enforced(CAPABILITIES_RETAIN, told));
                        }
                        set.push(known);
                    }
                    None => {
                        let told = format!("{name:?} is no capability that Linux has");
                        notes.push(Note::ignored(CAPABILITIES_RETAIN, told));
                    }
                }
            }
            Ok(set)
        }
        (Some(_), Some(_)) => {
            Err(BundleError::Conflict { first: CAPABILITIES_RETAIN, second: CAPABILITIES_REMOVE })
        }
    }
}

/// Isolators of which the spec allows one for each app.
const ALONE: [&str; 6] = [
    seccomp::RETAIN,
    seccomp::REMOVE,
    "os/linux/selinux-context",
    "os/linux/apparmor-profile",
    "os/linux/cpu-shares",
    "os/linux/oom-score-adj",
];

fn check_repeats(app: &App) -> Result<(), BundleError> {
    let count = |name: &str| app.isolators.iter().filter(|i| i.name.as_str() == name).count();
    for name in ALONE {
        if count(name) > 1 {
            return Err(BundleError::Conflict { first: name, second: name });
        }
    }
    if count(seccomp::RETAIN) + count(seccomp::REMOVE) > 1 {
        return Err(BundleError::Conflict { first: seccomp::RETAIN, second: seccomp::REMOVE });
    }
    Ok(())
}

fn memory(isolator: &Isolator) -> Result<Memory, BundleError> {
    let (request, limit) = resource(isolator)?;
    let reservation = request.map(Quantity::whole);
    Ok(Memory { limit: limit.map(Quantity::whole), reservation })
}

fn cpu(isolator: &Isolator) -> Result<Cpu, BundleError> {
    let (request, limit) = resource(isolator)?;
    let millis = |quantity: Quantity| quantity.thousandths().min(1 << 40);
    Ok(Cpu {
        // The kernel knows no less than 2 shares, and no quota below a millisecond.
        shares: request
            .and_then(|q| u64::try_from(millis(q) * 1024 / 1000).ok())
            .map(|s| s.clamp(2, 262_144)),
        quota: limit.map(|q| (millis(q) * i64::try_from(PERIOD / 1000).unwrap_or(100)).max(1000)),
        period: limit.map(|_| PERIOD),
    })
}

/// Request and limit. The spec lets a missing request be the limit, which says
/// nothing more than the limit does.
fn resource(isolator: &Isolator) -> Result<(Option<Quantity>, Option<Quantity>), BundleError> {
    let resource: Resource = value(isolator)?;
    if resource.default {
        return Err(fault(isolator, "default must be false".to_owned()));
    }
    let quantity = |value: Option<Value>| match value {
        None => Ok(None),
        Some(Value::String(text)) => Quantity::parse(text.trim()).map(Some),
        Some(Value::Number(number)) => Quantity::parse(&number.to_string()).map(Some),
        Some(other) => Err(format!("{other} is no quantity")),
    };
    let read = |value| quantity(value).map_err(|what| fault(isolator, what));
    Ok((read(resource.request)?, read(resource.limit)?))
}

fn ranged(isolator: &Isolator, least: i64, most: i64) -> Result<i64, BundleError> {
    let found: i64 = value(isolator)?;
    if (least..=most).contains(&found) {
        return Ok(found);
    }
    Err(fault(isolator, format!("it must be between {least} and {most}, not {found}")))
}

fn full(isolator: &Isolator, set: seccomp::Set) -> Result<seccomp::Set, BundleError> {
    if set.is_empty() { Err(fault(isolator, "its set is empty".to_owned())) } else { Ok(set) }
}

fn value<T: DeserializeOwned>(isolator: &Isolator) -> Result<T, BundleError> {
    serde_json::from_value(isolator.value.clone())
        .map_err(|error| fault(isolator, error.to_string()))
}

fn fault(isolator: &Isolator, fault: String) -> BundleError {
    BundleError::Isolator { name: isolator.name.to_string(), fault }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::note::Outcome;
    use crate::bundle::tests::{app, vectors};

    fn with(isolators: &str) -> App {
        let mut app = app(&["/x"]);
        app.isolators = crate::bundle::tests::isolators(isolators);
        app
    }

    #[test]
    fn capabilities_agree_with_the_reference_vectors() {
        let Some(all) = vectors("rkt_runtime") else { return };
        let mut seen = 0;
        for vector in all.iter().filter(|v| v["op"] == "capabilities") {
            let found = capability_set(&with(vector["input"].as_str().unwrap()), &mut Vec::new());
            if vector["expect"] == "ok" {
                let mut found: Vec<&str> = found.unwrap();
                let mut expected: Vec<&str> = vector["expected"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|c| c.as_str().unwrap())
                    .collect();
                found.sort_unstable();
                expected.sort_unstable();
                assert_eq!(found, expected, "{vector}");
            } else {
                assert!(found.is_err(), "{vector}");
            }
            seen += 1;
        }
        assert!(seen > 8);
        assert_eq!(capability_set(&with("[]"), &mut Vec::new()).unwrap(), capabilities::DEFAULT);
    }

    #[test]
    fn capability_beyond_the_default_is_told() {
        let mut notes = Vec::new();
        let isolators = r#"[{"name":"os/linux/capabilities-retain-set",
            "value":{"set":["CAP_SYS_ADMIN","CAP_KILL","CAP_ODD"]}}]"#;
        let set = capability_set(&with(isolators), &mut notes).unwrap();
        assert_eq!(set, ["CAP_SYS_ADMIN", "CAP_KILL"]);
        assert!(notes[0].to_string().contains("CAP_SYS_ADMIN is granted"));
        assert_eq!(notes[1].outcome, Outcome::Ignored);
    }

    #[test]
    fn resources_become_limits_shares_and_quotas() {
        let isolators = r#"[
            {"name":"resource/memory","value":{"request":"1Gi","limit":"2Gi"}},
            {"name":"resource/cpu","value":{"request":"250m","limit":"500m"}},
            {"name":"os/linux/oom-score-adj","value":-250},
            {"name":"os/linux/no-new-privileges","value":true},
            {"name":"os/linux/no-new-privileges","value":false}]"#;
        let wishes = read(&with(isolators), &mut Vec::new()).unwrap();
        let memory = Memory { limit: Some(2 << 30), reservation: Some(1 << 30) };
        assert_eq!(wishes.memory, Some(memory));
        let cpu = Cpu { shares: Some(256), quota: Some(50_000), period: Some(100_000) };
        assert_eq!(wishes.cpu, Some(cpu));
        assert_eq!(wishes.oom_score_adj, Some(-250));
        assert!(wishes.no_new_privileges);
        let isolators = r#"[{"name":"os/linux/cpu-shares","value":2048},
            {"name":"resource/cpu","value":{"request":"250m"}}]"#;
        let wishes = read(&with(isolators), &mut Vec::new()).unwrap();
        assert_eq!(wishes.cpu, Some(Cpu { shares: Some(2048), quota: None, period: None }));
    }

    #[test]
    fn isolator_that_has_no_place_is_told() {
        let mut notes = Vec::new();
        let isolators = r#"[{"name":"resource/network-bandwidth","value":{"default":true,"limit":"1G"}},
            {"name":"os/unix/sysctl","value":{"net.core.somaxconn":"1"}},
            {"name":"example.com/odd","value":1}]"#;
        read(&with(isolators), &mut notes).unwrap();
        let subjects: Vec<&str> = notes.iter().map(|n| n.subject.as_str()).collect();
        assert_eq!(subjects, ["resource/network-bandwidth", "os/unix/sysctl", "example.com/odd"]);
        assert!(notes.iter().all(Note::is_warning));
    }

    #[test]
    fn isolator_with_a_wrong_value_is_refused() {
        for bad in [
            r#"{"name":"os/linux/cpu-shares","value":1}"#,
            r#"{"name":"os/linux/cpu-shares","value":"2048"}"#,
            r#"{"name":"os/linux/oom-score-adj","value":1001}"#,
            r#"{"name":"os/linux/no-new-privileges","value":"true"}"#,
            r#"{"name":"resource/memory","value":{"default":true,"limit":"1"}}"#,
            r#"{"name":"resource/memory","value":{"limit":"-1"}}"#,
            r#"{"name":"resource/memory","value":null}"#,
            r#"{"name":"os/linux/seccomp-remove-set","value":{"set":[]}}"#,
            r#"{"name":"os/linux/apparmor-profile","value":"x"}"#,
        ] {
            let found = read(&with(&format!("[{bad}]")), &mut Vec::new());
            assert!(matches!(found, Err(BundleError::Isolator { .. })), "{bad}");
        }
        let twice = r#"[{"name":"os/linux/oom-score-adj","value":1},{"name":"os/linux/oom-score-adj","value":1}]"#;
        assert!(matches!(read(&with(twice), &mut Vec::new()), Err(BundleError::Conflict { .. })));
    }
}
