//! Reading the isolators of an app and its pod (spec: ace.md, "Isolators").

use std::collections::BTreeMap;

use aci::Quantity;
use aci::isolator::{
    self, CapabilitySet, DEFAULT_CAPABILITIES, IsolatorError, IsolatorValue, Resource, capability,
    name,
};
use aci::manifest::Isolator;

use super::BundleError;
use super::config::{BlockIo, Cpu, Memory, Throttle};
use super::host::Host;
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
    /// Bytes a second of each block device.
    pub(super) block_bandwidth: Option<u64>,
    /// Operations a second of each block device.
    pub(super) block_iops: Option<u64>,
    /// Kernel parameters, of a pod only.
    pub(super) sysctl: BTreeMap<String, String>,
    pub(super) oom_score_adj: Option<i32>,
    pub(super) apparmor_profile: Option<String>,
    /// `user:role:type:level`.
    pub(super) selinux_label: Option<String>,
}

/// Reads an app's isolators, within the bounds of the pod's. What no OCI runtime has a place
/// for is noted.
pub(super) fn read(
    app: &[Isolator],
    pod: &[Isolator],
    notes: &mut Vec<Note>,
) -> Result<Wishes, BundleError> {
    let mut wishes = wishes(app, Scope::App, notes)?;
    let bounds = self::wishes(pod, Scope::Pod, &mut Vec::new())?;
    for isolator in pod {
        // What a pod cannot have, or nobody knows, is told once, with the first app.
        let name = isolator.name.as_str();
        if !BOUNDS.contains(&name) {
            notes.push(Note::ignored(name, "the pod's: it is none that a pod can have here"));
        }
    }
    wishes.bound(bounds);
    Ok(wishes)
}

/// Isolators that a pod as a whole can have.
const BOUNDS: [&str; 6] = [
    name::MEMORY,
    name::CPU,
    name::BLOCK_BANDWIDTH,
    name::BLOCK_IOPS,
    name::SYSCTL,
    name::SELINUX_CONTEXT,
];

impl Wishes {
    /// "Any isolators applied to the pod will bound any individual isolators applied to
    /// applications within the pod" (ace.md, "Isolators").
    fn bound(&mut self, pod: Self) {
        if let Some(bound) = pod.memory {
            let memory = self.memory.get_or_insert_default();
            memory.limit = least(memory.limit, bound.limit);
        }
        if let Some(bound) = pod.cpu {
            let cpu = self.cpu.get_or_insert_default();
            cpu.quota = least(cpu.quota, bound.quota);
            cpu.period = cpu.period.or(bound.period);
        }
        self.block_bandwidth = least(self.block_bandwidth, pod.block_bandwidth);
        self.block_iops = least(self.block_iops, pod.block_iops);
        self.sysctl = pod.sysctl;
        // The app's own goes before the pod's.
        self.selinux_label = self.selinux_label.take().or(pod.selinux_label);
    }

    /// The throttles of every block device of this machine.
    pub(super) fn block_io(&self, host: &Host) -> Option<BlockIo> {
        let each = |rate: Option<u64>| -> Vec<Throttle> {
            let devices = host.block_devices.iter();
            let throttle =
                |rate| devices.map(move |&(major, minor)| Throttle { major, minor, rate });
            rate.map(throttle).into_iter().flatten().collect()
        };
        let (bytes, operations) = (each(self.block_bandwidth), each(self.block_iops));
        (!bytes.is_empty() || !operations.is_empty()).then(|| BlockIo {
            throttle_read_bps_device: bytes.clone(),
            throttle_write_bps_device: bytes,
            throttle_read_iops_device: operations.clone(),
            throttle_write_iops_device: operations,
        })
    }
}

/// The lesser of two limits, where there are any.
fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Scope {
    App,
    Pod,
}

fn wishes(
    isolators: &[Isolator],
    scope: Scope,
    notes: &mut Vec<Note>,
) -> Result<Wishes, BundleError> {
    let isolators = parse(isolators)?;
    let mut wishes = Wishes {
        capabilities: capability_set(&isolators, notes),
        no_new_privileges: false,
        seccomp: seccomp::Wish::Nothing,
        memory: None,
        cpu: None,
        block_bandwidth: None,
        block_iops: None,
        sysctl: BTreeMap::new(),
        oom_score_adj: None,
        apparmor_profile: None,
        selinux_label: None,
    };
    for isolator in isolators {
        take(isolator, scope, &mut wishes, notes)?;
    }
    Ok(wishes)
}

/// The isolators, each well by itself and with the others. The spec lets
/// an executor run an app without those that it does not know.
pub(super) fn parse(isolators: &[Isolator]) -> Result<Vec<IsolatorValue>, BundleError> {
    let isolators: Vec<_> = isolators
        .iter()
        .map(|isolator| isolator::parse(isolator.name.as_str(), &isolator.value))
        .collect::<Result<_, _>>()?;
    let known = |fault: &IsolatorError| !matches!(fault, IsolatorError::Unknown { .. });
    let mut faults = isolator::check_set(&isolators).into_iter().map(|(_, fault)| fault);
    match faults.find(known) {
        Some(fault) => Err(fault.into()),
        None => Ok(isolators),
    }
}

fn take(
    isolator: IsolatorValue,
    scope: Scope,
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
        IsolatorValue::Sysctl(sysctl) if scope == Scope::Pod => {
            wishes.sysctl = namespaced(sysctl.parameters())?;
        }
        IsolatorValue::Sysctl(_) => {
            let told = "it is for pods; an image's own is not applied";
            notes.push(Note::ignored(name::SYSCTL, told));
        }
        IsolatorValue::BlockBandwidth(resource) => {
            wishes.block_bandwidth = rate(name::BLOCK_BANDWIDTH, &resource)?;
        }
        IsolatorValue::BlockIops(resource) => {
            wishes.block_iops = rate(name::BLOCK_IOPS, &resource)?;
        }
        IsolatorValue::NetworkBandwidth(_) => {
            let told = "OCI runtimes have no limit of the network";
            notes.push(Note::ignored(name::NETWORK_BANDWIDTH, told));
        }
        IsolatorValue::Unknown(name) => {
            notes.push(Note::ignored(&name, "it is not one of the spec's"));
        }
    }
    Ok(())
}

/// Kernel parameters of namespaces that are the pod's own. Others are the whole machine's, and
/// "implementations MUST either ignore forbidden parameters or refuse to run the pod".
fn namespaced(
    parameters: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, BundleError> {
    const OWN: [&str; 7] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
    ];
    for key in parameters.keys() {
        let path = key.replace('.', "/");
        let own = OWN.contains(&key.as_str())
            || key.starts_with("fs.mqueue.")
            || key.starts_with("net.") && !path.split('/').any(|part| part.is_empty());
        if !own {
            return Err(BundleError::Unenforceable {
                name: name::SYSCTL.to_owned(),
                fault: format!("{key:?} is no parameter of a pod's own namespaces"),
            });
        }
    }
    Ok(parameters.clone())
}

/// What the default limit of all devices is.
fn rate(name: &str, resource: &Resource) -> Result<Option<u64>, BundleError> {
    let limit = positive(name, resource.limit())?;
    Ok(limit
        .map(|quantity| quantity.whole().and_then(|n| u64::try_from(n).ok()).unwrap_or(u64::MAX)))
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
    use crate::bundle::tests::{isolators as with, vectors};

    fn read(app: &[Isolator], notes: &mut Vec<Note>) -> Result<Wishes, BundleError> {
        super::read(app, &[], notes)
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
    fn pod_bounds_its_apps_and_sets_what_is_its_own() {
        let pod = with(
            r#"[{"name":"resource/memory","value":{"limit":"1Gi"}},
                {"name":"resource/block-iops","value":{"default":true,"limit":"100"}},
                {"name":"os/linux/no-new-privileges","value":true},
                {"name":"os/unix/sysctl","value":{"net.core.somaxconn":"7"}}]"#,
        );
        let app = with(
            r#"[{"name":"resource/memory","value":{"limit":"2Gi"}},
                {"name":"resource/block-bandwidth","value":{"default":true,"limit":"2M"}}]"#,
        );
        let mut notes = Vec::new();
        let wishes = super::read(&app, &pod, &mut notes).unwrap();
        assert_eq!(wishes.memory.as_ref().unwrap().limit, Some(1 << 30));
        assert_eq!(wishes.sysctl["net.core.somaxconn"], "7");
        let told: Vec<&str> = notes.iter().map(|note| note.subject.as_str()).collect();
        assert_eq!(told, ["os/linux/no-new-privileges"]);
        let mut host = Host::root();
        assert_eq!(wishes.block_io(&host), None);
        host.block_devices = vec![(8, 0), (254, 16)];
        let throttles = wishes.block_io(&host).unwrap();
        let rate = |major, minor, rate| Throttle { major, minor, rate };
        let bytes = [rate(8, 0, 2_000_000), rate(254, 16, 2_000_000)];
        assert_eq!(throttles.throttle_read_bps_device, bytes);
        assert_eq!(throttles.throttle_write_iops_device[0], rate(8, 0, 100));
        for forbidden in ["kernel.hostname", "vm.swappiness", "net..x", "fs.file-max"] {
            let text = format!(r#"[{{"name":"os/unix/sysctl","value":{{"{forbidden}":"1"}}}}]"#);
            let found = super::read(&[], &with(&text), &mut Vec::new());
            assert!(matches!(found, Err(BundleError::Unenforceable { .. })), "{forbidden}");
        }
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
