//! Reading an app's isolators (spec: ace.md, "Isolators").

use aci::Quantity;
use aci::isolator::{
    self, CapabilitySet, DEFAULT_CAPABILITIES, IsolatorError, IsolatorValue, Resource, capability,
    name,
};
use aci::manifest::App;

use super::BundleError;
use super::config::{Cpu, Memory};
use super::note::Note;
use super::seccomp;

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

/// Reads the app's isolators. What no OCI runtime has a place for is noted.
pub(super) fn read(app: &App, notes: &mut Vec<Note>) -> Result<Wishes, BundleError> {
    let isolators = parse(app)?;
    let mut wishes = Wishes {
        capabilities: capability_set(&isolators, notes),
        no_new_privileges: false,
        seccomp: seccomp::Wish::Nothing,
        memory: None,
        cpu: None,
        oom_score_adj: None,
        apparmor_profile: None,
        selinux_label: None,
    };
    for isolator in isolators {
        take(isolator, &mut wishes, notes)?;
    }
    Ok(wishes)
}

/// The app's isolators, each well by itself and with the others. The spec lets
/// an executor run an app without those that it does not know.
pub(super) fn parse(app: &App) -> Result<Vec<IsolatorValue>, BundleError> {
    let isolators: Vec<_> = app
        .isolators
        .iter()
        .map(|isolator| isolator::parse(isolator.name.as_str(), &isolator.value))
        .collect::<Result<_, _>>()?;
    let known =
        |(_, fault): &(usize, IsolatorError)| !matches!(fault, IsolatorError::Unknown { .. });
    match isolator::check_set(&isolators).into_iter().find(known) {
        Some((_, fault)) => Err(fault.into()),
        None => Ok(isolators),
    }
}

fn take(
    isolator: IsolatorValue,
    wishes: &mut Wishes,
    notes: &mut Vec<Note>,
) -> Result<(), BundleError> {
    match isolator {
        // Read together: see `capability_set`.
        IsolatorValue::CapabilitiesRetain(_) | IsolatorValue::CapabilitiesRemove(_) => {}
        IsolatorValue::NoNewPrivileges(wanted) => wishes.no_new_privileges |= wanted,
        IsolatorValue::SeccompRetain(set) => wishes.seccomp = seccomp::Wish::Retain(set),
        IsolatorValue::SeccompRemove(set) => wishes.seccomp = seccomp::Wish::Remove(set),
        IsolatorValue::Memory(resource) => wishes.memory = Some(memory(&resource)?),
        IsolatorValue::Cpu(resource) => {
            let wanted = cpu(&resource)?;
            let cpu = wishes.cpu.get_or_insert_default();
            // Shares that were given as such count for more than a request.
            *cpu = Cpu { shares: cpu.shares.or(wanted.shares), ..wanted };
        }
        IsolatorValue::CpuShares(shares) => {
            wishes.cpu.get_or_insert_default().shares = Some(shares.as_u64());
        }
        IsolatorValue::OomScoreAdj(adjustment) => {
            wishes.oom_score_adj = i32::try_from(adjustment.as_i64()).ok();
        }
        IsolatorValue::ApparmorProfile(profile) => {
            wishes.apparmor_profile = Some(profile.as_str().to_owned());
        }
        IsolatorValue::SelinuxContext(context) => wishes.selinux_label = Some(context.to_string()),
        IsolatorValue::Sysctl(_) => {
            let told = "it is for pods; an image's own is not applied";
            notes.push(Note::ignored(name::SYSCTL, told));
        }
        IsolatorValue::BlockBandwidth(_)
        | IsolatorValue::BlockIops(_)
        | IsolatorValue::NetworkBandwidth(_) => {
            let told = "OCI runtimes have no limit for all devices at once";
            notes.push(Note::ignored(isolator.name(), told));
        }
        IsolatorValue::Unknown(name) => {
            notes.push(Note::ignored(&name, "it is not one of the spec's"));
        }
    }
    Ok(())
}

/// The default set, the union of the retain sets, or the default set less the remove sets.
pub(super) fn capability_set(
    isolators: &[IsolatorValue],
    notes: &mut Vec<Note>,
) -> Vec<&'static str> {
    let retained: Vec<&CapabilitySet> = isolators
        .iter()
        .filter_map(|isolator| match isolator {
            IsolatorValue::CapabilitiesRetain(set) => Some(set),
            _ => None,
        })
        .collect();
    if retained.is_empty() {
        let removed = |name: &str| {
            isolators.iter().any(|isolator| match isolator {
                IsolatorValue::CapabilitiesRemove(set) => set.names().iter().any(|n| n == name),
                _ => false,
            })
        };
        return DEFAULT_CAPABILITIES.into_iter().filter(|name| !removed(name)).collect();
    }
    let mut set = Vec::new();
    for found in retained.into_iter().flat_map(CapabilitySet::names) {
        match capability(found) {
            Some(known) if set.contains(&known) => {}
            Some(known) => {
                if !DEFAULT_CAPABILITIES.contains(&known) {
                    let told = format!("{known} is granted, which images do not have by default");
                    notes.push(Note::enforced(name::CAPABILITIES_RETAIN, told));
                }
                set.push(known);
            }
            None => {
                let told = format!("{found:?} is no capability that Linux has");
                notes.push(Note::ignored(name::CAPABILITIES_RETAIN, told));
            }
        }
    }
    set
}

fn memory(resource: &Resource) -> Result<Memory, BundleError> {
    let bytes = |quantity: &Quantity| quantity.whole().unwrap_or(i64::MAX);
    let reservation = positive(name::MEMORY, resource.request())?.map(bytes);
    Ok(Memory { limit: positive(name::MEMORY, resource.limit())?.map(bytes), reservation })
}

fn cpu(resource: &Resource) -> Result<Cpu, BundleError> {
    // The spec lets a missing request be the limit, which says nothing more than the limit does.
    let request = positive(name::CPU, resource.request())?;
    let limit = positive(name::CPU, resource.limit())?;
    let millis = |quantity: &Quantity| quantity.thousandths().unwrap_or(i64::MAX).min(1 << 40);
    Ok(Cpu {
        // The kernel knows no less than 2 shares, and no quota below a millisecond.
        shares: request
            .and_then(|q| u64::try_from(millis(q) * 1024 / 1000).ok())
            .map(|s| s.clamp(2, 262_144)),
        quota: limit.map(|q| (millis(q) * i64::try_from(PERIOD / 1000).unwrap_or(100)).max(1000)),
        period: limit.map(|_| PERIOD),
    })
}

/// A runtime takes a negative limit for none at all.
fn positive<'a>(
    name: &str,
    quantity: Option<&'a Quantity>,
) -> Result<Option<&'a Quantity>, BundleError> {
    match quantity.filter(|quantity| quantity.is_negative()) {
        None => Ok(quantity),
        Some(found) => {
            let (name, fault) = (name.to_owned(), format!("{found} is below zero"));
            Err(BundleError::Unenforceable { name, fault })
        }
    }
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
            let found = parse(&with(vector["input"].as_str().unwrap()))
                .map(|isolators| capability_set(&isolators, &mut Vec::new()));
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
        assert_eq!(capability_set(&[], &mut Vec::new()), DEFAULT_CAPABILITIES);
    }

    #[test]
    fn capability_beyond_the_default_is_told() {
        let mut notes = Vec::new();
        let isolators = r#"[{"name":"os/linux/capabilities-retain-set",
            "value":{"set":["CAP_SYS_ADMIN","CAP_KILL","CAP_ODD"]}}]"#;
        let set = capability_set(&parse(&with(isolators)).unwrap(), &mut notes);
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
            r#"{"name":"resource/memory","value":null}"#,
            r#"{"name":"os/linux/seccomp-remove-set","value":{"set":[]}}"#,
            r#"{"name":"os/linux/apparmor-profile","value":"x"}"#,
        ] {
            let found = read(&with(&format!("[{bad}]")), &mut Vec::new());
            assert!(matches!(found, Err(BundleError::Isolator { .. })), "{bad}");
        }
        let negative = with(r#"[{"name":"resource/memory","value":{"limit":"-1"}}]"#);
        let found = read(&negative, &mut Vec::new());
        assert!(matches!(found, Err(BundleError::Unenforceable { .. })));
        let twice = r#"[{"name":"os/linux/oom-score-adj","value":1},{"name":"os/linux/oom-score-adj","value":1}]"#;
        let found = read(&with(twice), &mut Vec::new());
        assert!(matches!(found, Err(BundleError::Isolator(IsolatorError::Repeated { .. }))));
    }
}
