use serde_json::{Value, json};

use super::*;

fn read(name: &str, value: Value) -> IsolatorValue {
    parse(name, &value).unwrap_or_else(|e| panic!("{name} {value}: {e}"))
}

fn code(name: &str, value: &Value) -> &'static str {
    match parse(name, value) {
        Ok(read) => panic!("{name} {value} was read as {read:?}"),
        Err(error) => {
            assert_eq!(error.name(), name);
            assert!(error.to_string().starts_with(name), "{error}");
            assert!(error.section().starts_with("spec: ace.md, "), "{error}");
            error.code()
        }
    }
}

#[test]
fn isolator_of_each_name_is_read_and_keeps_its_name() {
    let selinux = json!({"user": "system_u", "role": "system_r", "type": "dhcpc_t", "level": "s0"});
    let all = json!({"default": true, "limit": "2M"});
    for (name, value) in [
        (name::BLOCK_BANDWIDTH, all.clone()),
        (name::BLOCK_IOPS, all.clone()),
        (name::CPU, json!({"request": "250m", "limit": "500m"})),
        (name::MEMORY, json!({"request": "1G", "limit": 2_000_000_000})),
        (name::NETWORK_BANDWIDTH, all),
        (name::CAPABILITIES_RETAIN, json!({"set": ["CAP_NET_ADMIN"]})),
        (name::CAPABILITIES_REMOVE, json!({"set": ["CAP_SYS_CHROOT", "CAP_MKNOD"]})),
        (name::SECCOMP_RETAIN, json!({"errno": "", "set": ["accept", "bind"]})),
        (name::SECCOMP_REMOVE, json!({"errno": "ENOTSUP", "set": ["reboot"]})),
        (name::SELINUX_CONTEXT, selinux),
        (name::APPARMOR_PROFILE, json!({"profile": "web"})),
        (name::OOM_SCORE_ADJ, json!(-250)),
        (name::CPU_SHARES, json!(2048)),
        (name::SYSCTL, json!({"net.ipv4.tcp_mtu_probing": "1"})),
        (name::NO_NEW_PRIVILEGES, json!(true)),
    ] {
        let isolator = read(name, value);
        assert_eq!(isolator.name(), name);
        assert!(isolator.is_known());
        assert_eq!(check_set(std::slice::from_ref(&isolator)), []);
        assert_eq!(code(name, &Value::Null), "isolator-type");
        assert_eq!(code(name, &json!([[1]])), "isolator-type");
    }
}

#[test]
fn resource_for_all_devices_is_the_default_and_has_no_request() {
    for name in [name::BLOCK_BANDWIDTH, name::BLOCK_IOPS, name::NETWORK_BANDWIDTH] {
        assert_eq!(code(name, &json!({"limit": "1G"})), "isolator-default");
        assert_eq!(code(name, &json!({"default": false, "limit": "1G"})), "isolator-default");
        assert_eq!(code(name, &json!({"default": null})), "isolator-default");
        assert_eq!(code(name, &json!({"default": "true"})), "isolator-type");
        assert_eq!(code(name, &json!({"default": true, "request": "1"})), "isolator-request");
        assert_eq!(code(name, &json!({"default": true, "limit": "fast"})), "isolator-quantity");
        read(name, json!({"default": true}));
    }
}

#[test]
fn resource_of_an_app_is_no_default_and_has_quantities() {
    for name in [name::CPU, name::MEMORY] {
        assert_eq!(code(name, &json!({"default": true, "limit": "1"})), "isolator-default");
        for bad in [json!(""), json!("such garbage"), json!(true), json!(["1"]), json!("1K")] {
            assert_eq!(code(name, &json!({"limit": bad})), "isolator-quantity");
            assert_eq!(code(name, &json!({"request": bad, "limit": "1"})), "isolator-quantity");
        }
        assert_eq!(code(name, &json!({"limit": "1", "Limit": "8"})), "isolator-key-case");
        assert_eq!(
            code(name, &json!({"re\u{17f}ource": 1, "reque\u{17f}t": "1"})),
            "isolator-key-case"
        );
        read(name, json!({"limit": "1", "swap": "2"}));
    }
    let IsolatorValue::Cpu(cpu) = read(name::CPU, json!({"limit": 0.5, "request": null})) else {
        panic!()
    };
    assert_eq!(cpu.limit().and_then(crate::Quantity::thousandths), Some(500));
    assert_eq!((cpu.request(), cpu.is_default()), (None, false));
}

#[test]
fn set_has_members_that_are_texts() {
    for name in [
        name::CAPABILITIES_RETAIN,
        name::CAPABILITIES_REMOVE,
        name::SECCOMP_RETAIN,
        name::SECCOMP_REMOVE,
    ] {
        for empty in [json!({}), json!({"set": []}), json!({"set": null})] {
            assert_eq!(code(name, &empty), "isolator-set-empty");
        }
        for bad in [json!({"set": "CAP_KILL"}), json!({"set": [1]}), json!({"set": ["a", null]})] {
            assert_eq!(code(name, &bad), "isolator-type");
        }
        assert_eq!(code(name, &json!({"Set": ["a"]})), "isolator-key-case");
        // A list is not read as the object's fields in order.
        assert_eq!(code(name, &json!([["CAP_KILL"]])), "isolator-type");
    }
    let retain = read(name::CAPABILITIES_RETAIN, json!({"set": ["CAP_FUTURE", "cap_kill"]}));
    let IsolatorValue::CapabilitiesRetain(set) = retain else { panic!() };
    assert_eq!(set.names(), ["CAP_FUTURE", "cap_kill"]);
}

#[test]
fn seccomp_errno_is_an_upper_case_name_or_absent() {
    for (text, errno) in [("", None), ("E2BIG", Some("E2BIG")), ("E", Some("E"))] {
        let set = read(name::SECCOMP_RETAIN, json!({"set": ["open"], "errno": text}));
        let IsolatorValue::SeccompRetain(set) = set else { panic!() };
        assert_eq!(set.errno(), errno);
    }
    for bad in ["-EPERM", "eperm", "EPerm", "PERM", "E_PERM", "E PERM", "EÄ", "1"] {
        let value = json!({"set": ["open"], "errno": bad});
        assert_eq!(code(name::SECCOMP_REMOVE, &value), "isolator-errno", "{bad}");
    }
    assert_eq!(code(name::SECCOMP_REMOVE, &json!({"set": ["a"], "errno": 1})), "isolator-type");
}

#[test]
fn selinux_context_has_four_parts_without_separators() {
    let good = json!({"user": "u", "role": "r", "type": "t", "level": "s0-s0:c0"});
    let IsolatorValue::SelinuxContext(context) = read(name::SELINUX_CONTEXT, good.clone()) else {
        panic!()
    };
    assert_eq!(context.to_string(), "u:r:t:s0-s0:c0");
    for part in ["user", "role", "type", "level"] {
        let mut bad = good.clone();
        for value in [json!(""), json!(null)] {
            bad[part] = value;
            assert_eq!(code(name::SELINUX_CONTEXT, &bad), "isolator-context", "{part}");
        }
        if part != "level" {
            bad[part] = json!("a:b");
            assert_eq!(code(name::SELINUX_CONTEXT, &bad), "isolator-context", "{part}");
        }
        bad[part] = json!(1);
        assert_eq!(code(name::SELINUX_CONTEXT, &bad), "isolator-type", "{part}");
    }
    assert_eq!(code(name::APPARMOR_PROFILE, &json!({})), "isolator-context");
    assert_eq!(code(name::APPARMOR_PROFILE, &json!("web")), "isolator-type");
}

#[test]
fn numbers_are_whole_and_in_range() {
    for (name, least, most) in [(name::OOM_SCORE_ADJ, -1000, 1000), (name::CPU_SHARES, 2, 262_144)]
    {
        for good in [least, most] {
            read(name, json!(good));
        }
        for bad in [least - 1, most + 1, i64::MIN, i64::MAX] {
            assert_eq!(code(name, &json!(bad)), "isolator-range");
        }
        for bad in [json!("2"), json!(2.5), json!(2.0), json!(u64::MAX), json!(true)] {
            assert_eq!(code(name, &bad), "isolator-type");
        }
    }
    for bad in [json!("true"), json!(1), json!({})] {
        assert_eq!(code(name::NO_NEW_PRIVILEGES, &bad), "isolator-type");
    }
}

#[test]
fn sysctl_has_texts_only() {
    for bad in [json!({"a": 1}), json!({"a": null}), json!(["a"]), json!("a=1")] {
        assert_eq!(code(name::SYSCTL, &bad), "isolator-type");
    }
    let IsolatorValue::Sysctl(sysctl) = read(name::SYSCTL, json!({"b": "2", "a": ""})) else {
        panic!()
    };
    assert_eq!(sysctl.parameters().keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn isolator_nobody_knows_is_read_and_told_by_the_list() {
    let odd = read("os/linux/ponies", json!(null));
    assert!(!odd.is_known());
    let faults = check_set(&[odd.clone(), odd]);
    let codes: Vec<_> = faults.iter().map(|(index, fault)| (*index, fault.code())).collect();
    assert_eq!(codes, [(0, "isolator-unknown"), (1, "isolator-unknown")]);
    assert_eq!(faults[0].1.section(), "spec: ace.md, Isolators");
    // The spec's name is remove; the word of its reference implementation's types is no name.
    assert!(!read("os/linux/capabilities-revoke-set", json!({"set": ["a"]})).is_known());
}

#[test]
fn list_tells_all_that_cannot_stand_twice_or_together() {
    let set = json!({"set": ["a"]});
    let retain = read(name::SECCOMP_RETAIN, set.clone());
    let remove = read(name::SECCOMP_REMOVE, set.clone());
    let keep = read(name::CAPABILITIES_RETAIN, set.clone());
    let take = read(name::CAPABILITIES_REMOVE, set);
    let codes = |isolators: &[&IsolatorValue]| -> Vec<&'static str> {
        let isolators: Vec<_> = isolators.iter().copied().cloned().collect();
        check_set(&isolators).iter().map(|(_, fault)| fault.code()).collect()
    };
    assert_eq!(codes(&[&retain, &remove]), ["isolator-conflict"]);
    assert_eq!(codes(&[&remove, &retain]), ["isolator-conflict"]);
    assert_eq!(codes(&[&keep, &take]), ["isolator-conflict"]);
    assert_eq!(codes(&[&take, &keep]), ["isolator-conflict"]);
    assert_eq!(codes(&[&retain, &retain, &keep, &keep]), ["isolator-repeated"]);
    let memory = read(name::MEMORY, json!({"limit": "1G"}));
    let privileges = read(name::NO_NEW_PRIVILEGES, json!(true));
    assert_eq!(codes(&[&memory, &memory, &privileges, &privileges, &retain]), [""; 0]);
    for alone in [
        read(name::OOM_SCORE_ADJ, json!(1)),
        read(name::CPU_SHARES, json!(2)),
        read(name::APPARMOR_PROFILE, json!({"profile": "p"})),
        read(name::SYSCTL, json!({})),
    ] {
        assert_eq!(codes(&[&alone, &alone]), ["isolator-repeated"]);
    }
}

#[test]
fn doubts_are_told_about_what_no_rule_forbids() {
    let list = [
        read(name::CPU, json!({"request": "30m", "limit": "1m"})),
        read(name::CPU, json!({"request": "-1"})),
        read(name::CAPABILITIES_REMOVE, json!({"set": ["CAP_ODD", "CAP_SYS_ADMIN", "CAP_KILL"]})),
        read(
            name::SECCOMP_REMOVE,
            json!({"set": ["@appc.io/all", "", "@appc.io/empty", "@rkt/x"], "errno": "EACCESS"}),
        ),
        read(name::SYSCTL, json!({})),
        read(name::MEMORY, json!({"request": "1G", "limit": "1G"})),
    ];
    let codes = |scope| doubts(&list, scope).iter().map(|(_, d)| d.code()).collect::<Vec<_>>();
    let both = [
        "isolator-request-above-limit",
        "isolator-overridden",
        "isolator-negative",
        "isolator-no-limit",
        "isolator-capability-unknown",
        "isolator-no-effect",
        "isolator-wildcard-unknown",
        "isolator-call-empty",
        "isolator-errno-unknown",
    ];
    let told = codes(Scope::App);
    assert_eq!(told, [&both[..], &["isolator-scope"]].concat());
    let told = codes(Scope::Pod);
    assert_eq!(told.iter().filter(|code| **code == "isolator-scope").count(), 2);
    for (index, doubt) in doubts(&list, Scope::App) {
        assert_eq!(doubt.name(), list[index].name());
        assert!(doubt.to_string().contains('/'), "{doubt}");
    }
}

#[test]
fn error_repeats_only_a_piece_of_what_it_found() {
    let value = json!({"set": "ä".repeat(100_000)});
    let error = parse(name::CAPABILITIES_RETAIN, &value).unwrap_err();
    assert!(error.to_string().len() < 300, "{error}");
    let error = parse(name::MEMORY, &json!({"limit": "9".repeat(100_000)})).unwrap_err();
    assert!(error.to_string().len() < 300, "{error}");
}

#[test]
fn manifest_tells_everything_about_its_isolators_with_the_place() {
    let text = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a",
"app":{"user":"0","group":"0","isolators":[
{"name":"resource/memory","value":{"limit":"1K"}},
{"name":"os/linux/cpu-shares","value":4},
{"name":"os/linux/cpu-shares","value":4},
{"name":"example.com/odd","value":[]},
{"name":"os/unix/sysctl","value":{}}]}}"#;
    let checked = crate::ImageManifest::check(text.as_bytes());
    let told: Vec<_> = checked.findings.iter().map(|f| (f.line, f.code, f.path.as_str())).collect();
    let wanted = [
        (3, "isolator-quantity", "app.isolators[0].value.limit"),
        (5, "isolator-repeated", "app.isolators[2]"),
        (6, "isolator-unknown", "app.isolators[3]"),
        (7, "isolator-scope", "app.isolators[4]"),
    ];
    assert_eq!(told, wanted);
    assert_eq!(checked.findings[0].rule, "spec: ace.md, Resource Isolators");

    let checked = crate::ImageManifest::check(text.replace("1K", "1k").as_bytes());
    assert!(checked.value.is_none());
    let told: Vec<_> = checked.findings.iter().map(|f| (f.line, f.code, f.path.as_str())).collect();
    assert_eq!(told, wanted[1..]);

    let sound =
        text.replace("1K", "1k").replacen("{\"name\":\"os/linux/cpu-shares\",\"value\":4},", "", 1);
    let checked = crate::ImageManifest::check(sound.as_bytes());
    let app = checked.value.unwrap().app.unwrap();
    assert_eq!((app.isolators.len(), checked.findings.len()), (4, 2));
}
