//! What becomes of an image that is run.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use aci::manifest::{Mount, MountPoint, Volume, VolumeKind};
use aci::{ImageId, ImageManifest};
use discovery::bundle::volumes::{merge, place};
use discovery::bundle::{self, Bundle, BundleError, BundleOptions, Host};
use serde_json::{Value, json};

use super::harness::Refused;
use super::{Case, Outcome};

pub(super) fn run(suite: &str, case: &Case) -> Option<Outcome> {
    Some(match (suite, case.op.as_str()) {
        ("rkt_app_name", _) => app_name(&case.input),
        ("rkt_app_environment", _) => environment(&case.input),
        ("rkt_mounts", "generate") => generate(&case.input),
        ("rkt_mounts", "merge") => merged(&case.input),
        ("rkt_runtime", "capabilities") => {
            bundle(case.input.as_str()?, "0", "0", false).map(|mut config| {
                let mut set = config["process"]["capabilities"]["bounding"].take();
                sort(&mut set);
                set
            })
        }
        ("rkt_runtime", "no_new_privileges") => bundle(case.input.as_str()?, "0", "0", false)
            .map(|config| config["process"]["noNewPrivileges"].clone()),
        ("rkt_runtime", "user_group") => user_group(&case.input),
        ("rkt_runtime", "seccomp") => seccomp(&case.input),
        _ => return None,
    })
}

/// Whether two answers are one: sets have no order.
pub(super) fn same(wanted: &Value, got: &Value) -> bool {
    let mut wanted = wanted.clone();
    sort(&mut wanted);
    super::plain(&wanted) == super::plain(got)
}

fn sort(value: &mut Value) {
    if let Some(items) = value.as_array_mut()
        && items.iter().all(Value::is_string)
    {
        items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
}

fn app_name(input: &Value) -> Outcome {
    match bundle::app_name(input.as_str().unwrap()) {
        name if name.is_empty() => Err(Refused::new("app-name", "no name is left")),
        name => Ok(json!(name)),
    }
}

/// The config of an image whose app is this, over the rootfs that the cases describe.
fn config(app: &Value, annotations: &Value) -> Result<Value, BundleError> {
    let folder = tempfile::tempdir().unwrap();
    fixture(&folder.path().join("rootfs"));
    let manifest = json!({"acKind": "ImageManifest", "acVersion": "0.8.11",
        "name": "example.com/app", "app": app, "annotations": annotations});
    let manifest = ImageManifest::from_json(manifest.to_string().as_bytes());
    let manifest = manifest.map_err(|error| BundleError::Unenforceable {
        name: "manifest".into(),
        fault: error.to_string(),
    })?;
    let (id, options) = (ImageId::of([1; 64]), BundleOptions::default());
    let written: Bundle = bundle::write(folder.path(), &manifest, &id, &options, &Host::root())?;
    Ok(serde_json::to_value(written.config()).unwrap())
}

/// As the notes of the suite describe it.
fn fixture(rootfs: &Path) {
    fs::create_dir_all(rootfs.join("etc")).unwrap();
    fs::create_dir_all(rootfs.join("bin")).unwrap();
    let passwd = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1001:Alice:/home/alice:/bin/sh\n\n\
        bob:x:2000:2000::/:/bin/false\nbob:x:2001:2001::/:/bin/false\n";
    fs::write(rootfs.join("etc/passwd"), passwd).unwrap();
    fs::write(rootfs.join("etc/group"), "root:x:0:\nstaff:x:50:alice\nalice:x:1001:\n").unwrap();
    let app = rootfs.join("bin/app");
    fs::write(&app, "").unwrap();
    fs::set_permissions(&app, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("app", rootfs.join("bin/link")).unwrap();
    // Without root they stay the caller's, and the cases that need it show.
    let _ = chown(&app, Some(33), Some(34));
    let _ = lchown(rootfs.join("bin/link"), Some(77), Some(78));
}

fn bundle(isolators: &str, user: &str, group: &str, converted: bool) -> Outcome {
    let isolators: Value =
        serde_json::from_str(isolators).map_err(|error| Refused::new("isolators", error))?;
    let app = json!({"exec": ["/bin/app"], "user": user, "group": group, "isolators": isolators});
    let annotations = if converted {
        json!([{"name": "appc.io/docker/repository", "value": "library/x"}])
    } else {
        json!([])
    };
    config(&app, &annotations).map_err(|error| Refused::new("bundle", error))
}

fn environment(input: &Value) -> Outcome {
    let pairs: Vec<Value> = input
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| json!({"name": pair[0], "value": pair[1]}))
        .collect();
    let app = json!({"exec": ["/bin/app"], "user": "0", "group": "0", "environment": pairs});
    let config = config(&app, &json!([])).map_err(|error| Refused::new("bundle", error))?;
    let own = |variable: &&Value| {
        let text = variable.as_str().unwrap();
        !text.starts_with("AC_APP_NAME=") && !text.starts_with("container=")
    };
    let mut list: Value =
        config["process"]["env"].as_array().unwrap().iter().filter(own).cloned().collect();
    sort(&mut list);
    Ok(list)
}

fn user_group(input: &Value) -> Outcome {
    let text = |key: &str| input[key].as_str().unwrap();
    let converted = input["converted_from_docker"] == true;
    let config = bundle("[]", text("user"), text("group"), converted)?;
    let user = &config["process"]["user"];
    Ok(json!({"uid": user["uid"], "gid": user["gid"]}))
}

fn generate(input: &Value) -> Outcome {
    let refused = |error: String| Refused::new("pod-manifest", error);
    let list = |key: &str| input[key].as_array().cloned().unwrap_or_default();
    // Through the manifest, which knows what a volume and a mount are.
    let pod = json!({"acKind": "PodManifest", "acVersion": "0.8.11", "volumes": list("volumes"),
        "apps": [{"name": input["app_name"], "image": {"id": ImageId::of([1; 64])},
            "app": {"exec": ["/x"], "user": "0", "group": "0", "mountPoints": list("mount_points")},
            "mounts": list("mounts")}]});
    let pod = aci::PodManifest::from_json(pod.to_string().as_bytes())
        .map_err(|error| refused(error.to_string()))?;
    let one = &pod.apps[0];
    let points: &[MountPoint] = &one.app.as_ref().unwrap().mount_points;
    let volumes: &[Volume] = &pod.volumes;
    let placed = place(points, &one.mounts, volumes).map_err(|error| refused(error.to_string()))?;
    let converted = input["converted_from_docker"] == true;
    let shown = placed.iter().map(|it| {
        let name = if it.implicit {
            format!("{}-{}", one.name, it.volume.name)
        } else {
            it.volume.name.to_string()
        };
        let mut value = json!({"path": it.path, "volume": name, "read_only": it.read_only,
            "docker_implicit": it.implicit && converted});
        match it.volume.kind {
            VolumeKind::Host => {
                value["kind"] = json!("host");
                value["source"] = json!(it.volume.source);
            }
            VolumeKind::Empty => {
                value["kind"] = json!("empty");
                value["mode"] = json!(it.volume.mode.as_deref().unwrap_or("0755"));
                value["uid"] = json!(it.volume.uid.unwrap_or(0));
                value["gid"] = json!(it.volume.gid.unwrap_or(0));
            }
        }
        value
    });
    Ok(shown.collect())
}

fn merged(input: &Value) -> Outcome {
    let mounts = |key: &str| -> Vec<Mount> {
        let pairs = input[key].as_array().cloned().unwrap_or_default();
        pairs
            .iter()
            .map(|pair| Mount {
                volume: pair[0].as_str().unwrap().parse().unwrap(),
                path: pair[1].as_str().unwrap().to_owned(),
                app_volume: None,
                extra: Default::default(),
            })
            .collect()
    };
    let all = merge(&mounts("app"), &mounts("global"));
    Ok(all.iter().map(|mount| json!([mount.volume, mount.path])).collect())
}

/// The filter in the words of the cases. What every app may call to start at all, and what no app
/// may call without the capability for it, is no part of what the cases ask for.
fn seccomp(input: &Value) -> Outcome {
    let uid = input["uid"].to_string();
    let text = input["isolators"].as_str().unwrap();
    let config = bundle(text, &uid, "0", false)?;
    let plain = bundle("[]", &uid, "0", false)?;
    let Some(filter) = config["linux"].get("seccomp") else { return Ok(json!({"filter": null})) };
    let isolators: Value = serde_json::from_str(text).unwrap();
    let names = |value: &Value| -> Vec<String> {
        let rules = value["syscalls"].as_array().unwrap().iter();
        rules
            .flat_map(|rule| rule["names"].as_array().unwrap().clone())
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    let own = names(&plain["linux"]["seccomp"]);
    let found = names(filter);
    let allows = filter["defaultAction"] != "SCMP_ACT_ALLOW";
    let wildcard = |word: &str| text.contains(word);
    let default_allow = ["@rkt/default-whitelist", "@docker/default-whitelist", "@appc.io/empty"];
    let asked = isolators[0]["value"]["set"].as_array().cloned().unwrap_or_default();
    let asked: Vec<&str> = asked.iter().filter_map(Value::as_str).collect();
    let errno = isolators[0]["value"]["errno"].as_str().unwrap_or_default();
    let force = config["process"]["noNewPrivileges"] == true && uid != "0";
    // Without a list of its own, or with the default one, the image has ours, which blocks.
    if !allows && (isolators == json!([]) || default_allow.iter().any(|word| wildcard(word))) {
        assert!(found.iter().all(|call| own.contains(call) && !asked.contains(&call.as_str())));
        return Ok(json!({"mode": "deny", "errno": errno, "syscalls": "default-blacklist",
            "force_no_new_privileges": force}));
    }
    let mode = if allows { "allow" } else { "deny" };
    let named: Vec<&String> = found.iter().filter(|call| asked.contains(&call.as_str())).collect();
    let listed =
        if ["@rkt/default-blacklist", "@docker/default-blacklist"].iter().any(|w| wildcard(w))
            && named.is_empty()
        {
            json!("default-blacklist")
        } else {
            json!(named)
        };
    Ok(json!({"mode": mode, "errno": errno, "syscalls": listed, "force_no_new_privileges": force}))
}
