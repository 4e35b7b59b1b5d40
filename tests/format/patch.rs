//! `gantry patch`: every field of the manifest, and nothing else of the image.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::{Value, json};

use crate::support::hostile::Tar;
use crate::support::{Ended, Sandbox, listing, tool};

/// A manifest with odd white space, an odd number, and fields nobody knows.
const MANIFEST: &str = r#"{
  "acKind": "ImageManifest",
  "acVersion":"0.8.11",
  "later": { "b":1.50, "a" : [1e3] },
  "name": "example.com/a",
  "labels": [{"name":"version", "value":"1.0.0", "why":"x"}, {"name":"os","value":"linux"}]
}
"#;

fn image(manifest: &str) -> Vec<u8> {
    Tar::default()
        .directory("rootfs")
        .file("rootfs/bin/a", &[7; 700])
        .file("manifest", manifest.as_bytes())
        .symlink("rootfs/b", "bin/a")
        .gzip()
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("a.aci", image(MANIFEST));
    sandbox
}

fn patch<'a>(sandbox: &Sandbox, args: impl AsRef<[&'a str]>) -> Ended {
    sandbox.gantry(["patch"].iter().chain(args.as_ref()))
}

fn manifest(sandbox: &Sandbox, file: &str) -> String {
    sandbox.gantry(["inspect", "--manifest", file]).stdout
}

fn json_of(sandbox: &Sandbox, file: &str) -> Value {
    serde_json::from_str(&manifest(sandbox, file)).unwrap()
}

#[test]
fn patch_changes_what_it_is_told_to_and_not_a_byte_more() {
    let sandbox = sandbox();
    let args = ["a.aci", "b.aci", "--name", "example.com/b", "--label", "version=1.1.0"];
    let id = patch(&sandbox, args).ok();
    let wanted = MANIFEST.replace("example.com/a", "example.com/b").replace("1.0.0", "1.1.0");
    assert_eq!(manifest(&sandbox, "b.aci"), wanted);
    // The tree is what it was, header by header, and in its order.
    for file in ["a", "b"] {
        sandbox.shell(&format!("gzip -dc {file}.aci | tar -tvf - > {file}.list")).ok();
    }
    assert_eq!(sandbox.shell("diff a.list b.list | grep -c '^[<>].*rootfs' || true").ok(), "0");
    let sum = sandbox.shell("gzip -dc b.aci | sha512sum").ok();
    assert_eq!(format!("sha512-{}", sum.split(' ').next().unwrap()), id);
    let ended = sandbox.gantry(["diff", "a.aci", "b.aci"]);
    assert_eq!(ended.stdout.lines().count(), 2, "{ended:?}");
}

#[test]
fn patch_sets_every_field() {
    let sandbox = sandbox();
    let id = format!("sha512-{}", "ab".repeat(64));
    let dependency = format!("example.com/base:2.0.0,os=linux,imageID={id}");
    patch(
        &sandbox,
        [
            "a.aci",
            "b.aci",
            "--ac-version",
            "0.8.10",
            "--version",
            "2.0.0",
            "--label",
            "channel=beta",
            "--annotation",
            "authors=Example Author",
            "--dependency",
            &dependency,
            "--dependency",
            r#"{"imageName":"example.com/other","size":5}"#,
            "--path-whitelist",
            "/bin/a",
            "--path-whitelist",
            "/b",
            "--user",
            "1000",
            "--group",
            "daemon",
            "--supplementary-gids",
            "4,5",
            "--working-dir",
            "/srv",
            "--env",
            "LANG=C",
            "--env",
            "EMPTY=",
            "--event-handler",
            "pre-start=/bin/prepare",
            "--event-handler",
            r#"post-stop=["/bin/clean","-x"]"#,
            "--mount",
            "data,path=/srv/data,readOnly=true",
            "--port",
            "http,protocol=tcp,port=80,count=2,socketActivated=true",
            "--user-annotation",
            "team=a b",
            "--user-label",
            "tier a=front",
            "--capability",
            "CAP_KILL,CAP_CHOWN",
            "--memory",
            "512M",
            "--cpu",
            "500m",
            "--seccomp-mode",
            "remove,errno=EPERM",
            "--seccomp-set",
            "reboot,kexec_load",
            "--isolator",
            r#"resource/block-bandwidth={"default":true,"limit":"2M"}"#,
            "--set",
            r#"app.extra={"n":1.50}"#,
            "--",
            "/bin/a",
            "--verbose",
            "two words",
        ],
    )
    .ok();
    let wanted = json!({
        "acKind": "ImageManifest", "acVersion": "0.8.10", "later": {"b": 1.5, "a": [1000.0]},
        "name": "example.com/a",
        "labels": [{"name":"version","value":"2.0.0","why":"x"}, {"name":"os","value":"linux"},
            {"name":"channel","value":"beta"}],
        "annotations": [{"name":"authors","value":"Example Author"}],
        "dependencies": [
            {"imageName":"example.com/base","imageID":id,
             "labels":[{"name":"version","value":"2.0.0"},{"name":"os","value":"linux"}]},
            {"imageName":"example.com/other","size":5}],
        "pathWhitelist": ["/bin/a", "/b"],
        "app": {
            "exec": ["/bin/a", "--verbose", "two words"], "user": "1000", "group": "daemon",
            "supplementaryGIDs": [4, 5], "workingDirectory": "/srv",
            "environment": [{"name":"LANG","value":"C"},{"name":"EMPTY","value":""}],
            "eventHandlers": [{"name":"pre-start","exec":["/bin/prepare"]},
                {"name":"post-stop","exec":["/bin/clean","-x"]}],
            "mountPoints": [{"name":"data","path":"/srv/data","readOnly":true}],
            "ports": [{"name":"http","protocol":"tcp","port":80,"count":2,"socketActivated":true}],
            "userAnnotations": {"team":"a b"}, "userLabels": {"tier a":"front"},
            "isolators": [
                {"name":"resource/memory","value":{"limit":"512M"}},
                {"name":"resource/cpu","value":{"limit":"500m"}},
                {"name":"os/linux/capabilities-retain-set","value":{"set":["CAP_KILL","CAP_CHOWN"]}},
                {"name":"os/linux/seccomp-remove-set",
                 "value":{"set":["reboot","kexec_load"],"errno":"EPERM"}},
                {"name":"resource/block-bandwidth","value":{"default":true,"limit":"2M"}}],
            "extra": {"n": 1.5},
        },
    });
    assert_eq!(json_of(&sandbox, "b.aci"), wanted);
    if tool("actool") {
        sandbox.shell("actool validate b.aci").ok();
    }
}

#[test]
fn patch_removes_every_item_it_can_add() {
    let sandbox = sandbox();
    let args = [
        "-i",
        "a.aci",
        "--label",
        "channel=beta",
        "--annotation",
        "authors=x",
        "--dependency",
        "example.com/base:2.0.0",
        "--dependency",
        "example.com/base:3.0.0",
        "--path-whitelist",
        "/x",
        "--env",
        "A=1",
        "--event-handler",
        "pre-start=/x",
        "--mount",
        "data,path=/d",
        "--port",
        "http,protocol=tcp,port=80",
        "--user-annotation",
        "a=1",
        "--user-label",
        "b.c=1",
        "--memory",
        "5M",
        "--exec",
        "/x",
        "--working-dir",
        "/",
    ];
    patch(&sandbox, args).ok();
    let args = [
        "-i",
        "a.aci",
        "--remove-label",
        "channel",
        "--remove-annotation",
        "authors",
        "--remove-dependency",
        "example.com/base:2.0.0",
        "--remove-path-whitelist",
        "/x",
        "--remove-env",
        "A",
        "--remove-event-handler",
        "pre-start",
        "--remove-mount",
        "data",
        "--remove-port",
        "http",
        "--remove-user-annotation",
        "a",
        "--remove-user-label",
        "b.c",
        "--remove-isolator",
        "resource/memory",
        "--unset",
        "app.exec",
        "--unset",
        "app.workingDirectory",
    ];
    patch(&sandbox, args).ok();
    let left = json_of(&sandbox, "a.aci");
    assert_eq!(
        left["app"],
        json!({"user":"0","group":"0","environment":[],"eventHandlers":[],"mountPoints":[],
            "ports":[],"userAnnotations":{},"userLabels":{},"isolators":[]})
    );
    assert_eq!(left["dependencies"].as_array().unwrap().len(), 1);
    assert_eq!(left["dependencies"][0]["labels"][0]["value"], "3.0.0");
    assert_eq!((&left["annotations"], &left["pathWhitelist"]), (&json!([]), &json!([])));
    assert!(manifest(&sandbox, "a.aci").contains(r#""later": { "b":1.50, "a" : [1e3] }"#));
}

#[test]
fn patch_replaces_what_has_the_same_name() {
    let sandbox = sandbox();
    let add = |more: &[&str]| patch(&sandbox, [&["-i", "a.aci"], more].concat()).ok();
    add(&[
        "--port",
        "http,protocol=tcp,port=80",
        "--mount",
        "d,path=/d",
        "--env",
        "A=1",
        "--env",
        "B=2",
    ]);
    add(&["--port", "http,protocol=udp,port=81", "--mount", "d,path=/e", "--env", "A=3"]);
    add(&["--revoke-capability", "CAP_KILL"]);
    add(&["--capability", "CAP_CHOWN", "--dependency", "example.com/b:1"]);
    add(&["--dependency", &format!("example.com/b:1,imageID=sha512-{}", "cd".repeat(64))]);
    // As actool takes them: several in one text.
    add(&[
        "--mounts",
        "x,path=/x:y,path=/y,readOnly=true",
        "--isolators",
        "resource/cpu,limit=1:resource/memory,limit=1M",
    ]);
    let said = json_of(&sandbox, "a.aci");
    assert_eq!(said["app"]["ports"], json!([{"name":"http","protocol":"udp","port":81}]));
    assert_eq!(said["app"]["mountPoints"].as_array().unwrap().len(), 3);
    assert_eq!(
        said["app"]["environment"],
        json!([{"name":"A","value":"3"},{"name":"B","value":"2"}])
    );
    let isolators: Vec<&Value> =
        said["app"]["isolators"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(isolators, ["os/linux/capabilities-retain-set", "resource/cpu", "resource/memory"]);
    assert_eq!(said["dependencies"].as_array().unwrap().len(), 1);
    assert!(said["dependencies"][0]["imageID"].is_string());
}

#[test]
fn patch_keeps_the_fields_of_what_it_replaces() {
    let sandbox = Sandbox::new();
    let id = format!("sha512-{}", "cd".repeat(64));
    sandbox.write(
        "a.aci",
        image(&format!(
            r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a",
"app":{{"user":"0","group":"0",
"isolators":[{{"name":"resource/memory","value":{{"request":"256M","limit":"1G","x-note":1.50}}}}],
"mountPoints":[{{"name":"data","path":"/old","readOnly":true,"o":1.50}}],
"eventHandlers":[{{"name":"pre-start","exec":["/a"],"e":2}}],
"ports":[{{"name":"http","protocol":"tcp","port":80,"count":2,"p":3}}]}},
"dependencies":[{{"imageName":"a/b","imageID":"{id}","size":7,"d":4}}]}}"#
        )),
    );
    let args = ["-i", "a.aci", "--memory", "512M", "--mount", "data,path=/new"];
    patch(&sandbox, args).ok();
    let args = ["-i", "a.aci", "--port", "http,protocol=udp,port=81", "--dependency", "a/b"];
    patch(&sandbox, args).ok();
    patch(&sandbox, ["-i", "a.aci", "--event-handler", "pre-start=/b"]).ok();
    let text = manifest(&sandbox, "a.aci");
    assert!(text.contains(r#"{"request":"256M","limit":"512M","x-note":1.50}"#), "{text}");
    assert!(text.contains(r#"{"name":"data","path":"/new","o":1.50}"#), "{text}");
    let said = json_of(&sandbox, "a.aci");
    let ports = json!([{"name":"http","protocol":"udp","port":81,"p":3}]);
    assert_eq!(said["app"]["ports"], ports);
    let handlers = json!([{"name":"pre-start","exec":["/b"],"e":2}]);
    assert_eq!(said["app"]["eventHandlers"], handlers);
    let dependencies = json!([{"imageName":"a/b","imageID":id,"size":7,"d":4}]);
    assert_eq!(said["dependencies"], dependencies);
}

#[test]
fn patch_writes_nothing_that_validate_refuses() {
    let sandbox = sandbox();
    for args in [
        ["--isolator", "os/linux/foo=1"],
        ["--ac-version", "1.2.3"],
        ["--isolator", "os/linux/apparmor-profile,profile=x"],
    ] {
        let ended = patch(&sandbox, [&["a.aci", "b.aci"], &args[..]].concat());
        assert_eq!(ended.code, 5, "{ended:?}");
        assert!(!sandbox.path("b.aci").exists());
    }
    for args in [
        ["--isolator", r#"resource/memory={"limit":"1G","limit":"2G"}"#],
        ["--dependency", r#"{"imageName":"a/b","imageName":"c/d"}"#],
        ["--level", "99"],
    ] {
        let ended = patch(&sandbox, [&["a.aci", "b.aci", "--version", "2"], &args[..]].concat());
        assert_eq!(ended.code, 3, "{ended:?}");
    }
    // What was wrong before, and can be read, does not stand in the way.
    let odd = MANIFEST.replace("0.8.11", "1.2.3");
    sandbox.write("odd.aci", image(&odd));
    patch(&sandbox, ["odd.aci", "c.aci", "--version", "2"]).ok();
}

#[test]
fn patch_of_a_long_list_takes_little_time() {
    let sandbox = Sandbox::new();
    let all: Vec<String> =
        (0..20_000).map(|n| format!(r#"{{"name":"a{n}","value":""}}"#)).collect();
    let manifest =
        MANIFEST.replace("\"later\"", &format!("\"annotations\": [{}],\n\"later\"", all.join(",")));
    sandbox.write("a.aci", image(&manifest));
    let started = std::time::Instant::now();
    patch(&sandbox, ["-i", "a.aci", "--annotation", "a19999=x"]).ok();
    // To read the text again for each item takes minutes.
    assert!(started.elapsed().as_secs() < 30);
}

#[test]
fn patch_takes_a_whole_manifest_byte_for_byte() {
    let sandbox = sandbox();
    let whole =
        "{ \"acVersion\":\"0.8.11\",\n\"acKind\":\"ImageManifest\",\"name\":\"example.com/c\" }\n";
    sandbox.write("m.json", whole);
    patch(&sandbox, ["a.aci", "b.aci", "--manifest", "m.json"]).ok();
    assert_eq!(manifest(&sandbox, "b.aci"), whole);
    patch(&sandbox, ["a.aci", "c.aci", "--replace", "m.json", "--name", "example.com/d"]).ok();
    assert_eq!(manifest(&sandbox, "c.aci"), whole.replace("com/c", "com/d"));
    // So a faulty one can be mended.
    sandbox.write("faulty.aci", image("{\"acKind\":"));
    let ended = patch(&sandbox, ["faulty.aci", "d.aci", "--name", "example.com/d"]);
    assert_eq!(ended.code, 5, "{ended:?}");
    patch(&sandbox, ["faulty.aci", "d.aci", "--manifest", "m.json"]).ok();
    sandbox.write("wrong.aci", image(&MANIFEST.replace("example.com/a", "NO")));
    patch(&sandbox, ["wrong.aci", "e.aci", "--name", "example.com/e"]).ok();
}

#[test]
fn patch_in_place_is_one_step_and_keeps_the_mode() {
    let sandbox = sandbox();
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(sandbox.path("a.aci"), Some(65534), Some(65533)).unwrap();
    }
    fs::set_permissions(sandbox.path("a.aci"), fs::Permissions::from_mode(0o640)).unwrap();
    sandbox.write("a.aci.asc", "a signature");
    let ended = patch(&sandbox, ["--in-place", "a.aci", "--name", "example.com/z"]);
    assert!(ended.stderr.contains("a.aci.asc was made for another file"), "{ended:?}");
    ended.ok();
    let metadata = fs::metadata(sandbox.path("a.aci")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    assert!(!root || (metadata.uid(), metadata.gid()) == (65534, 65533));
    assert_eq!(json_of(&sandbox, "a.aci")["name"], "example.com/z");
    // The same again changes nothing, and says so.
    let before = fs::read(sandbox.path("a.aci")).unwrap();
    let ended = patch(&sandbox, ["-i", "a.aci", "--name", "example.com/z"]);
    assert!(ended.stderr.contains("what it was"), "{ended:?}");
    assert_eq!(fs::read(sandbox.path("a.aci")).unwrap(), before);
    assert_eq!(patch(&sandbox, ["-i", "a.aci", "b.aci", "--name", "example.com/z"]).code, 3);
}

#[test]
fn patch_that_fails_leaves_nothing_behind() {
    let sandbox = sandbox();
    let whole = fs::read(sandbox.path("a.aci")).unwrap();
    sandbox.write("cut.aci", &whole[..whole.len() - 9]);
    sandbox.write("b.aci", "kept");
    sandbox.write("none.aci", Tar::default().directory("rootfs").gzip());
    let before = listing(&sandbox.path(""));
    // What the manifest would become is no manifest: everything wrong is told at once.
    let ended =
        patch(&sandbox, ["a.aci", "c.aci", "--set", "name=\"X\"", "--set", "labels[0].name=\"Y\""]);
    let ended = ended.refused(5);
    assert!(
        ended.stderr.contains("labels[0].name") && ended.stderr.contains("line 5, name"),
        "{ended:?}"
    );
    patch(&sandbox, ["a.aci", "c.aci", "--set", "app={}"]).refused(5);
    patch(&sandbox, ["a.aci", "c.aci", "--unset", "acKind"]).refused(5);
    patch(&sandbox, ["-i", "a.aci", "--set", "acKind=\"PodManifest\""]).refused(5);
    patch(&sandbox, ["cut.aci", "c.aci", "--name", "a"]).refused(5);
    patch(&sandbox, ["-i", "cut.aci", "--name", "a"]).refused(5);
    patch(&sandbox, ["none.aci", "c.aci", "--name", "a"]).refused(5);
    for (code, args) in [
        (1, &["a.aci", "b.aci", "--name", "example.com/b"][..]),
        (2, &["a.aci", "c.aci", "--remove-env", "A"]),
        (2, &["a.aci", "c.aci", "--remove-label", "channel"]),
        (2, &["a.aci", "c.aci", "--remove-user-label", "x"]),
        (2, &["a.aci", "c.aci", "--unset", "app.user"]),
        (2, &["-i", "a.aci", "--remove-dependency", "example.com/b"]),
        (3, &["a.aci", "c.aci"]),
        (3, &["a.aci", "--name", "example.com/b"]),
        (3, &["a.aci", "c.aci", "--name", "NO"]),
        (3, &["a.aci", "c.aci", "--set", "name=x"]),
        (3, &["a.aci", "c.aci", "--set", "name.x=1"]),
        (3, &["a.aci", "c.aci", "--set", "labels[9]={}"]),
        (3, &["a.aci", "c.aci", "--port", "http,port=80"]),
        (3, &["a.aci", "c.aci", "--mount", "d"]),
        (3, &["a.aci", "c.aci", "--capability", "A", "--revoke-capability", "B"]),
        (3, &["a.aci", "c.aci", "--seccomp-mode", "retain"]),
        (3, &["a.aci", "c.aci", "--seccomp-set", "reboot"]),
        (3, &["a.aci", "c.aci", "--name", "a", "--compression", "gzip", "--level", "0"]),
        (4, &["absent.aci", "c.aci", "--name", "a"]),
        (4, &["a.aci", "c.aci", "--manifest", "absent.json"]),
    ] {
        let ended = patch(&sandbox, args);
        assert_eq!(ended.code, code, "{args:?}: {ended:?}");
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{ended:?}");
    }
    assert_eq!(listing(&sandbox.path("")), before);
}

#[test]
fn patch_does_with_actools_images_what_actool_does() {
    if !tool("actool") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("layout/manifest", MANIFEST);
    sandbox.write("layout/rootfs/bin/a", "a");
    sandbox.shell("actool build layout a.aci").ok();
    let edits = "--exec=/bin/a --user=7 --group=8";
    // Without a count it writes one of 0, which is none.
    let more = "--name=example.com/z --mounts=work,path=/opt,readOnly=true:work2,path=/x \
                --ports=query,protocol=tcp,port=8080,count=1,socketActivated=true";
    sandbox.shell(&format!("actool patch-manifest {edits} {more} a.aci theirs.aci")).ok();
    let args = edits.split(' ').chain(more.split_whitespace()).chain(["a.aci", "ours.aci"]);
    patch(&sandbox, args.collect::<Vec<_>>()).ok();
    let (ours, theirs) = (json_of(&sandbox, "ours.aci"), json_of(&sandbox, "theirs.aci"));
    for field in ["name", "app"] {
        assert_eq!(ours[field], theirs[field], "{field}");
    }
    let ended = sandbox.gantry(["diff", "ours.aci", "theirs.aci"]);
    assert!(ended.stdout.lines().all(|line| line.starts_with("m ")), "{ended:?}");
    sandbox.shell("actool validate ours.aci").ok();
}

#[test]
fn patch_tells_scripts_what_it_wrote() {
    let sandbox = sandbox();
    let args = ["--json", "a.aci", "b.aci", "--name", "example.com/b", "--compression", "xz"];
    let said: Value = serde_json::from_str(&patch(&sandbox, args).ok()).unwrap();
    let id = |file: &str| -> Value {
        serde_json::from_str(&sandbox.gantry(["--json", "inspect", file]).ok()).unwrap()
    };
    assert_eq!(said["imageId"], id("b.aci")["imageId"]);
    assert_eq!(said["was"], id("a.aci")["imageId"]);
    assert_eq!((&said["name"], &said["compression"]), (&json!("example.com/b"), &json!("xz")));
}
