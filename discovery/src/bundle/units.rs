//! Limits as properties of systemd's units (systemd.resource-control(5)).

use aci::manifest::Isolator;

use super::config::{Cpu, Memory, Resources, Throttle};
use super::{BundleError, isolators};

/// The limits of a pod as a whole.
pub(crate) fn limits(pod: &[Isolator]) -> Result<Vec<(&'static str, String)>, BundleError> {
    let wishes = isolators::read(&[], pod, &mut Vec::new())?;
    let mut properties = Vec::new();
    memory(wishes.memory.as_ref(), &mut properties);
    cpu(wishes.cpu.as_ref(), &mut properties);
    Ok(properties)
}

/// The limits of an app.
pub(crate) fn properties(resources: &Resources) -> Vec<(&'static str, String)> {
    let mut properties = Vec::new();
    memory(resources.memory.as_ref(), &mut properties);
    cpu(resources.cpu.as_ref(), &mut properties);
    if let Some(block) = &resources.block_io {
        let lists = [
            ("IOReadBandwidthMax", &block.throttle_read_bps_device),
            ("IOWriteBandwidthMax", &block.throttle_write_bps_device),
            ("IOReadIOPSMax", &block.throttle_read_iops_device),
            ("IOWriteIOPSMax", &block.throttle_write_iops_device),
        ];
        for (name, throttles) in lists {
            for Throttle { major, minor, rate } in throttles {
                properties.push((name, format!("/dev/block/{major}:{minor} {rate}")));
            }
        }
    }
    properties
}

fn memory(memory: Option<&Memory>, properties: &mut Vec<(&'static str, String)>) {
    let Some(memory) = memory else { return };
    properties.extend(memory.limit.map(|limit| ("MemoryMax", limit.to_string())));
    properties.extend(memory.reservation.map(|bytes| ("MemoryLow", bytes.to_string())));
}

fn cpu(cpu: Option<&Cpu>, properties: &mut Vec<(&'static str, String)>) {
    let Some(cpu) = cpu else { return };
    if let (Some(quota), Some(period)) = (cpu.quota, cpu.period.and_then(|p| i64::try_from(p).ok()))
    {
        // Below one in a hundred there is none.
        properties.push(("CPUQuota", format!("{}%", (quota * 100 / period.max(1)).max(1))));
    }
    // From 2 to 262144 to 1 to 10000, as runtimes do it for control groups of version 2.
    properties.extend(cpu.shares.map(|shares| {
        let weight = 1 + shares.saturating_sub(2) * 9999 / 262_142;
        ("CPUWeight", weight.to_string())
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::tests::isolators;

    #[test]
    fn limits_become_properties() {
        let pod = isolators(
            r#"[{"name":"resource/memory","value":{"limit":"1Gi"}},
                {"name":"resource/cpu","value":{"limit":"1500m"}}]"#,
        );
        let found = limits(&pod).unwrap();
        assert_eq!(found, [("MemoryMax", "1073741824".into()), ("CPUQuota", "150%".into())]);
        let resources = Resources {
            devices: Vec::new(),
            memory: None,
            cpu: Some(Cpu { shares: Some(1024), quota: None, period: None }),
            block_io: None,
        };
        assert_eq!(properties(&resources), [("CPUWeight", "39".to_owned())]);
    }
}
