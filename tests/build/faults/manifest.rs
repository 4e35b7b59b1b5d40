//! Edits of the manifest.

use serde_json::json;

use super::{Fails, begin, both, manifest, run};

#[test]
fn fault_replaced_manifest_merged_and_unknown_fields_dropped() {
    both(|sandbox| {
        begin(sandbox);
        let text = "{\"acKind\":\"ImageManifest\",\"acVersion\":\"0.8.11\",\
            \"name\":\"example.com/n\",\"later\":{\"x\":1.50}}";
        sandbox.write("m.json", text);
        let line = "acbuild label add a b && acbuild set-exec /a && acbuild annotation add c d \
            && acbuild --no-history replace-manifest m.json";
        run(sandbox, line).ok();
        assert_eq!(run(sandbox, "acbuild cat-manifest").ok(), text);
        run(sandbox, "acbuild --no-history label add a b").ok();
        assert!(run(sandbox, "acbuild cat-manifest").ok().contains("\"later\":{\"x\":1.50}"));
    });
}

#[test]
fn fault_label_that_is_given_again_moves_to_the_end() {
    both(|sandbox| {
        begin(sandbox);
        run(sandbox, "acbuild label add a 1 && acbuild label add b 1 && acbuild label add a 2")
            .ok();
        let labels = manifest(sandbox)["labels"].clone();
        assert_eq!(labels[2], json!({"name": "a", "value": "2"}));
        assert_eq!(labels[3], json!({"name": "b", "value": "1"}));
    });
}

#[test]
fn fault_architectures_that_are_missing() {
    both(|sandbox| {
        begin(sandbox);
        for arch in ["amd64", "i386", "aarch64", "armv7l", "ppc64", "ppc64le", "s390x"] {
            run(sandbox, &format!("acbuild label add arch {arch}")).ok();
        }
        let ended = run(sandbox, "acbuild label add arch 386").fails(1);
        assert!(ended.stderr.contains("i386"), "{ended:?}");
    });
}

#[test]
fn fault_errors_of_the_json_reader() {
    both(|sandbox| {
        begin(sandbox);
        sandbox.write("m.json", "{\n  \"acKind\": \"ImageManifest\",\n  \"acVersion\": 8\n}\n");
        let ended = run(sandbox, "acbuild replace-manifest m.json").fails(1);
        assert!(ended.stderr.contains("line 3"), "{ended:?}");
        assert!(ended.stderr.contains("acVersion"), "{ended:?}");
        let ended = run(sandbox, "acbuild label add UPPER x").fails(1);
        assert!(ended.stderr.contains("labels[2].name"), "{ended:?}");
    });
}

#[test]
fn fault_paths_of_mounts_unchecked() {
    both(|sandbox| {
        begin(sandbox);
        for path in ["relative", "''", "./a", "../a"] {
            run(sandbox, &format!("acbuild mount add m {path}")).fails(1);
        }
        assert_eq!(manifest(sandbox)["app"], json!(null));
    });
}

#[test]
fn fault_no_ports_at_all() {
    both(|sandbox| {
        begin(sandbox);
        assert_ne!(run(sandbox, "acbuild port add p tcp 80 --count 0").code, 0);
        run(sandbox, "acbuild port add p tcp 65535 --count 2").fails(1);
        run(sandbox, "acbuild port add p tcp 0").fails(1);
    });
}

#[test]
fn fault_port_with_its_protocol_not_removed() {
    both(|sandbox| {
        begin(sandbox);
        run(sandbox, "acbuild port add a sctp 80 && acbuild port add b udp 80").ok();
        let ended = run(sandbox, "acbuild port rm 80/sctp");
        assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:?}");
        assert_eq!(manifest(sandbox)["app"]["ports"][0]["name"], "b");
        // By the number alone, and nothing on standard output.
        let ended = run(sandbox, "acbuild port rm 80");
        assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:?}");
    });
}

#[test]
fn fault_isolator_for_pods_refused() {
    both(|sandbox| {
        begin(sandbox);
        sandbox.write("s.json", "{\"net.core.somaxconn\": \"1024\"}");
        let ended = run(sandbox, "acbuild isolator add os/unix/sysctl s.json");
        assert!(ended.code == 0 && ended.stderr.contains("warning"), "{ended:?}");
    });
}

#[test]
fn fault_capabilities_that_there_are_not_taken_in_silence() {
    both(|sandbox| {
        begin(sandbox);
        sandbox.write("c.json", "{\"set\": [\"CAP_FOO\"]}");
        let ended = run(sandbox, "acbuild isolator add os/linux/capabilities-retain-set c.json");
        assert!(ended.stderr.contains("CAP_FOO"), "{ended:?}");
    });
}

#[test]
fn fault_two_versions_of_a_dependency_are_impossible() {
    both(|sandbox| {
        begin(sandbox);
        let line = "acbuild dep add example.com/b:1 && acbuild dep add example.com/b:2 --another \
            && acbuild dep add example.com/c";
        run(sandbox, line).ok();
        let names: Vec<_> = manifest(sandbox)["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (one["imageName"].clone(), one["labels"][0]["value"].clone()))
            .collect();
        let base = |version: &str| (json!("example.com/b"), json!(version));
        assert_eq!(names, [base("1"), base("2"), (json!("example.com/c"), json!(null))]);
        run(sandbox, "acbuild dep rm example.com/b:1").ok();
        assert_eq!(manifest(sandbox)["dependencies"][0]["labels"][0]["value"], "2");
    });
}

#[test]
fn fault_event_handler_cannot_be_removed() {
    both(|sandbox| {
        begin(sandbox);
        run(sandbox, "acbuild set-eh pre-start /a && acbuild set-eh --remove pre-start").ok();
        assert_eq!(manifest(sandbox)["app"]["eventHandlers"][0], json!(null));
    });
}
