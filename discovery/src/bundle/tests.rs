use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

/// An app that runs this, and is otherwise plain.
pub(crate) fn app(exec: &[&str]) -> App {
    App { exec: exec.iter().map(|&word| word.to_owned()).collect(), ..changes::root_app() }
}

/// The reference vectors of one suite, where they are on this machine.
pub(crate) fn vectors(suite: &str) -> Option<Vec<Value>> {
    let folder = std::env::var_os("GANTRY_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors")),
        PathBuf::from,
    );
    let path = folder.join(format!("{suite}.json"));
    let Ok(bytes) = fs::read(&path) else {
        eprintln!("skipped: there are no reference vectors at {}", path.display());
        return None;
    };
    let mut suite: Value = serde_json::from_slice(&bytes).unwrap();
    Some(serde_json::from_value(suite["vectors"].take()).unwrap())
}

fn image_id() -> ImageId {
    ImageId::of([7; 64])
}

fn manifest(app: Value) -> ImageManifest {
    let mut value = json!({"acKind": "ImageManifest", "acVersion": "0.8.11",
        "name": "example.com/team/hello", "labels": [{"name": "version", "value": "1.0.0"}]});
    if !app.is_null() {
        value["app"] = app;
    }
    ImageManifest::from_json(&serde_json::to_vec(&value).unwrap()).unwrap()
}

/// A list of isolators as it stands in a manifest, acceptable or not.
pub(crate) fn isolators(text: &str) -> Vec<aci::manifest::Isolator> {
    let list: Vec<Value> = serde_json::from_str(text).unwrap();
    let isolator = |item: Value| aci::manifest::Isolator {
        name: item["name"].as_str().unwrap().parse().unwrap(),
        value: item["value"].clone(),
        extra: Default::default(),
    };
    list.into_iter().map(isolator).collect()
}

/// A folder with a rootfs that has one program.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("rootfs/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("hello"), "").unwrap();
    fs::set_permissions(bin.join("hello"), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn bundle(
    app: Value,
    options: &BundleOptions,
    host: &Host,
) -> Result<(Value, Vec<Note>), BundleError> {
    let folder = folder();
    let bundle = write(folder.path(), &manifest(app), &image_id(), options, host)?;
    let config = fs::read(folder.path().join("config.json")).unwrap();
    Ok((serde_json::from_slice(&config).unwrap(), bundle.notes().to_vec()))
}

fn plain() -> Value {
    json!({"exec": ["hello", "a b", "c,d", "\"e\""], "user": "0", "group": "0"})
}

#[test]
fn config_of_a_plain_image_says_what_the_image_says() {
    let (config, notes) = bundle(plain(), &BundleOptions::default(), &Host::root()).unwrap();
    assert_eq!(config["ociVersion"], "1.0.0");
    assert_eq!(config["process"]["args"], json!(["hello", "a b", "c,d", "\"e\""]));
    assert_eq!(config["process"]["cwd"], "/");
    assert_eq!(config["process"]["user"], json!({"uid": 0, "gid": 0}));
    assert_eq!(
        config["process"]["capabilities"]["bounding"],
        json!(aci::isolator::DEFAULT_CAPABILITIES)
    );
    assert_eq!(config["process"]["noNewPrivileges"], false);
    assert_eq!(config["root"], json!({"path": "rootfs", "readonly": false}));
    assert_eq!(config["hostname"], "hello");
    assert_eq!(config["annotations"]["appc.io/image/name"], "example.com/team/hello");
    assert_eq!(config["annotations"]["appc.io/image/label/version"], "1.0.0");
    assert_eq!(config["annotations"]["appc.io/image/id"], image_id().as_str());
    let kinds: Vec<&str> = config["linux"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|namespace| namespace["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["pid", "ipc", "uts", "mount", "cgroup", "network"]);
    let places: Vec<&str> = config["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["destination"].as_str().unwrap())
        .collect();
    let spec = ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/dev/console"];
    assert_eq!(places, spec);
    assert_eq!(notes, []);
}

#[test]
fn options_replace_the_program_and_append_arguments() {
    let options = BundleOptions {
        network: Network::Host,
        terminal: Some("vt100".into()),
        changes: AppChanges {
            exec: Some("/bin/hello".into()),
            arguments: vec!["--flag".into(), String::new()],
            ..AppChanges::default()
        },
        ..BundleOptions::default()
    };
    let (config, _) = bundle(plain(), &options, &Host::root()).unwrap();
    assert_eq!(config["process"]["args"], json!(["/bin/hello", "--flag", ""]));
    assert_eq!(config["process"]["terminal"], true);
    assert!(config["process"]["env"].as_array().unwrap().contains(&json!("TERM=vt100")));
    let text = config["linux"]["namespaces"].to_string();
    assert!(!text.contains("network"), "{text}");

    let (config, _) = bundle(Value::Null, &options, &Host::root()).unwrap();
    assert_eq!(config["process"]["user"]["uid"], 0);
    let error = bundle(Value::Null, &BundleOptions::default(), &Host::root()).unwrap_err();
    assert!(matches!(error, BundleError::NoApp));
}

#[test]
fn annotations_of_the_image_never_stand_under_their_own_names() {
    let app = json!({"exec": ["hello"], "user": "0", "group": "0",
        "userAnnotations": {"run.oci.hooks.stderr": "/etc/passwd"},
        "userLabels": {"run.oci.handler": "krun"}});
    let mut manifest = manifest(app);
    let name = "org.systemd.property.delegate".parse().unwrap();
    manifest.annotations.push(aci::manifest::Annotation {
        name,
        value: "true".into(),
        extra: Default::default(),
    });
    let folder = folder();
    let options = BundleOptions::default();
    let bundle = write(folder.path(), &manifest, &image_id(), &options, &Host::root()).unwrap();
    let annotations = &bundle.config().annotations;
    assert!(annotations.keys().all(|key| key.starts_with("appc.io/")), "{annotations:?}");
    assert_eq!(annotations["appc.io/app/user-label/run.oci.handler"], "krun");
}

#[test]
fn image_for_another_system_is_refused_and_another_machine_is_told() {
    let folder = folder();
    let mut other = manifest(plain());
    let labels = |os: &str, arch: &str| {
        serde_json::from_value(
            json!([{"name": "os", "value": os}, {"name": "arch", "value": arch}]),
        )
        .unwrap()
    };
    other.labels = labels("freebsd", "amd64");
    let run = |manifest: &ImageManifest| {
        write(folder.path(), manifest, &image_id(), &BundleOptions::default(), &Host::root())
    };
    assert!(matches!(run(&other), Err(BundleError::OperatingSystem(os)) if os == "freebsd"));
    other.labels = labels("linux", "ppc64le");
    assert_eq!(run(&other).unwrap().notes()[0].subject, "label arch");
}

#[test]
fn user_without_root_gets_a_user_namespace_and_is_told_what_is_left_out() {
    let app = json!({"exec": ["hello"], "user": "0", "group": "0", "supplementaryGIDs": [7],
        "isolators": [{"name": "resource/memory", "value": {"limit": "64Mi"}}]});
    let (config, notes) = bundle(app, &BundleOptions::default(), &Host::user(1234, 567)).unwrap();
    let uids = json!([{"containerID": 0, "hostID": 1234, "size": 1}]);
    assert_eq!(config["linux"]["uidMappings"], uids);
    assert_eq!(config["linux"]["gidMappings"][0]["hostID"], 567);
    assert!(config["linux"]["resources"].is_null());
    assert!(config["process"]["user"]["additionalGids"].is_null());
    assert!(config["linux"]["namespaces"].to_string().contains("user"));
    let told: Vec<&str> = notes.iter().map(|note| note.subject.as_str()).collect();
    assert_eq!(told, ["resource/memory", "app.supplementaryGIDs"]);
    assert_eq!(notes[0].outcome, Outcome::Ignored);
    let folder = folder();
    let app = json!({"exec": ["hello"], "user": "0", "group": "0",
        "isolators": [{"name": "resource/memory", "value": {"limit": "64Mi"}}]});
    let options = BundleOptions { holds_memory: true, ..BundleOptions::default() };
    let written =
        write(folder.path(), &manifest(app), &image_id(), &options, &Host::user(1, 1)).unwrap();
    assert_eq!(written.data_limit(), Some(64 << 20));
    assert_eq!(written.notes()[0].outcome, Outcome::Modified);
}

#[test]
fn parts_no_runtime_acts_on_are_told() {
    let app = json!({"exec": ["hello"], "user": "0", "group": "0",
        "eventHandlers": [{"name": "pre-start", "exec": ["/bin/hello"]}],
        "ports": [{"name": "http", "protocol": "tcp", "port": 80, "socketActivated": true},
                  {"name": "plain", "protocol": "tcp", "port": 81}],
        "isolators": [{"name": "os/linux/apparmor-profile", "value": {"profile": "p"}}]});
    let (config, notes) = bundle(app.clone(), &BundleOptions::default(), &Host::root()).unwrap();
    let told: Vec<&str> = notes.iter().map(|note| note.subject.as_str()).collect();
    assert_eq!(told, ["port http", "os/linux/apparmor-profile", "eventHandler pre-start"]);
    assert!(notes.iter().all(Note::is_warning));
    assert!(config["process"]["apparmorProfile"].is_null());
    let mut host = Host::root();
    host.apparmor = true;
    let (config, notes) = bundle(app, &BundleOptions::default(), &host).unwrap();
    assert_eq!(config["process"]["apparmorProfile"], "p");
    assert_eq!(notes.len(), 2);
}

#[test]
fn refusal_of_a_bundle_says_all_four_things() {
    use aci::Refuse;
    for app in [
        json!({"exec": ["none"], "user": "0", "group": "0"}),
        json!({"exec": ["hello"], "user": "nobody", "group": "0"}),
        json!({"exec": ["hello"], "user": "4294967296", "group": "0"}),
        json!({"exec": ["hello"], "user": "0", "group": "0", "workingDirectory": "/none"}),
        json!({"exec": [], "user": "0", "group": "0"}),
        json!({"exec": ["hello"], "user": "0", "group": "0",
            "mountPoints": [{"name": "a", "path": "/proc/x"}]}),
    ] {
        let error = bundle(app.clone(), &BundleOptions::default(), &Host::root()).unwrap_err();
        let refusal = error.refusal();
        for text in [
            refusal.code,
            refusal.message,
            refusal.wanted,
            refusal.found,
            refusal.rule,
            refusal.next,
        ] {
            assert!(!text.is_empty(), "{app}: {error:?}");
        }
    }
}

#[test]
fn event_handlers_are_bundles_beside_the_apps_own() {
    let app = json!({"exec": ["hello"], "user": "7", "group": "8",
        "eventHandlers": [{"name": "post-stop", "exec": ["hello", "bye"]}],
        "mountPoints": [{"name": "data", "path": "/data"}]});
    let folder = folder();
    let run = |options: &BundleOptions| {
        write(folder.path(), &manifest(app.clone()), &image_id(), options, &Host::root()).unwrap()
    };
    let bundle = run(&BundleOptions::default());
    assert_eq!(bundle.handlers().collect::<Vec<_>>(), [Event::PostStop]);
    assert!(bundle.notes().iter().any(|note| note.is_warning()));
    let config = fs::read(folder.path().join("post-stop/config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["process"]["args"], json!(["hello", "bye"]));
    assert_eq!(config["process"]["user"], json!({"uid": 7, "gid": 8}));
    assert_eq!(config["root"]["path"], "../rootfs");
    let sources: Vec<&str> = config["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|mount| mount["destination"] == "/data")
        .map(|mount| mount["source"].as_str().unwrap())
        .collect();
    assert_eq!(sources, ["../volumes/data"]);
    let shared = Shared { namespaces: Vec::new(), inside_user: false, supervised: true };
    let bundle = run(&BundleOptions { shared: Some(shared), ..BundleOptions::default() });
    assert!(!bundle.notes().iter().any(|note| note.is_warning()));
    let missing = json!({"exec": ["hello"], "user": "0", "group": "0",
        "eventHandlers": [{"name": "pre-start", "exec": ["none"]}]});
    let error = self::bundle(missing, &BundleOptions::default(), &Host::root()).unwrap_err();
    assert!(matches!(error, BundleError::ProgramMissing { .. }));
}

#[test]
fn shared_namespaces_and_sockets_stand_in_the_config() {
    let app = json!({"exec": ["hello"], "user": "0", "group": "0",
        "ports": [{"name": "http", "protocol": "tcp", "port": 80, "socketActivated": true}]});
    let shared = Shared {
        namespaces: vec![("network", "/proc/7/ns/net".into()), ("pid", "/proc/8/ns/pid".into())],
        inside_user: true,
        supervised: true,
    };
    let mut options = BundleOptions {
        network: Network::Private,
        shared: Some(shared),
        read_only: true,
        hostname: Some("pod".into()),
        ..BundleOptions::default()
    };
    let (config, _) = bundle(app.clone(), &options, &Host::user(7, 7)).unwrap();
    let paths = |config: &Value| -> Vec<String> {
        let all = config["linux"]["namespaces"].as_array().unwrap().clone();
        all.iter().filter_map(|one| one["path"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(paths(&config), ["/proc/8/ns/pid", "/proc/7/ns/net"]);
    assert!(!config["linux"]["namespaces"].to_string().contains("user"));
    assert!(config["linux"]["uidMappings"].is_null());
    assert_eq!((&config["root"]["readonly"], &config["hostname"]), (&true.into(), &"pod".into()));
    options.sockets = vec!["http".parse().unwrap()];
    let (config, notes) = bundle(app, &options, &Host::user(7, 7)).unwrap();
    assert_eq!(paths(&config), ["/proc/7/ns/net"]);
    let env = config["process"]["env"].to_string();
    assert!(env.contains(r#""LISTEN_PID=1","LISTEN_FDS=1","LISTEN_FDNAMES=http""#), "{env}");
    assert_eq!(notes, []);
}
