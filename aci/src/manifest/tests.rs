//! Every field of both manifests: what is accepted, what is refused, with which code and where.

use crate::finding::{Checked, Finding, Severity};
use crate::{Document, ImageManifest, PodManifest};

const ID: &str = "sha512-cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";

fn image(fields: &str) -> String {
    format!(r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a"{fields}}}"#)
}

fn app(fields: &str) -> String {
    image(&format!(r#","app":{{"user":"0","group":"0"{fields}}}"#))
}

fn pod(fields: &str) -> String {
    format!(r#"{{"acKind":"PodManifest","acVersion":"0.8.11","apps":[]{fields}}}"#)
}

fn pod_app(fields: &str) -> String {
    pod("").replace("[]", &format!(r#"[{{"name":"web","image":{{"id":"{ID}"}}{fields}}}]"#))
}

/// `severity code path` of each finding.
fn told(findings: &[Finding]) -> Vec<String> {
    let word = |finding: &Finding| match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    findings.iter().map(|f| format!("{} {} {}", word(f), f.code, f.path)).collect()
}

/// Checks a text whichever kind it says it is.
fn check(text: &str) -> (bool, Vec<Finding>) {
    fn parts<T>(checked: Checked<T>) -> (bool, Vec<Finding>) {
        (checked.value.is_some(), checked.findings)
    }
    if text.contains("PodManifest") {
        parts(PodManifest::check(text.as_bytes()))
    } else {
        parts(ImageManifest::check(text.as_bytes()))
    }
}

fn expect(cases: &[(String, &[&str])]) {
    for (text, wanted) in cases {
        let (accepted, findings) = check(text);
        assert_eq!(told(&findings), *wanted, "{text}");
        let errors = findings.iter().any(|f| f.severity == Severity::Error);
        assert_eq!(accepted, !errors, "{text}");
        assert!(findings.iter().all(|f| !f.message.is_empty() && !f.rule.is_empty()), "{text}");
    }
}

#[test]
fn image_manifest_needs_its_three_fields() {
    expect(&[
        (image(""), &[]),
        ("{}".into(), &["error required ", "error required ", "error required "]),
        ("null".into(), &["error type "]),
        ("[]".into(), &["error type "]),
        (image("").replace("ImageManifest", "AppManifest"), &["error kind acKind"]),
        (image("").replace("0.8.11", "0.8"), &["error version acVersion"]),
        (image("").replace("0.8.11", "0.0.0"), &["error version acVersion"]),
        (image("").replace("0.8.11", "0.9.0"), &["warning version-later acVersion"]),
        (image("").replace("\"0.8.11\"", "8"), &["error type acVersion"]),
        (image("").replace("example.com/a", ""), &["error identifier name"]),
        (image("").replace("example.com/a", "a//b"), &["error identifier name"]),
        (image("").replace("\"example.com/a\"", "null"), &["error required "]),
    ]);
}

#[test]
fn image_manifest_labels() {
    let labels = |list: &str| image(&format!(r#","labels":{list}"#));
    let label = |name: &str, value: &str| format!(r#"{{"name":"{name}","value":"{value}"}}"#);
    let two = |a: String, b: String| labels(&format!("[{a},{b}]"));
    expect(&[
        (labels("[]"), &[]),
        (labels("null"), &[]),
        (labels("{}"), &["error type labels"]),
        (labels("[{}]"), &["error required labels[0]", "warning absent labels[0]"]),
        (
            labels(r#"[{"name":"version"},{"name":"x","value":null}]"#),
            &["warning absent labels[0]", "warning absent labels[1]"],
        ),
        (labels(r#"[{"name":"x","value":1}]"#), &["error type labels[0].value"]),
        (labels(&format!("[{}]", label("name", "x"))), &["error label-name labels[0].name"]),
        (labels(&format!("[{}]", label("X", "x"))), &["error identifier labels[0].name"]),
        (two(label("a", "1"), label("a", "2")), &["error duplicate labels[1]"]),
        (two(label("os", "linux"), label("arch", "amd64")), &[]),
        (
            two(label("arch", "x86_64"), label("os", "linux")),
            &["error label-platform labels[0].value"],
        ),
        (two(label("os", "Linux"), label("arch", "?")), &["error label-platform labels[0].value"]),
        (
            labels(r#"[{"name":"os"}]"#),
            &["error label-platform labels", "warning absent labels[0]"],
        ),
        (labels(&format!("[{}]", label("arch", "whatever"))), &[]),
    ]);
}

#[test]
fn app_exec_user_and_group() {
    let bare = |fields: &str| image(&format!(r#","app":{{{fields}}}"#));
    expect(&[
        (bare(""), &["error required app", "error required app"]),
        (bare(r#""user":"","group":"0""#), &["error empty app.user"]),
        (bare(r#""user":0,"group":"0""#), &["error type app.user"]),
        (bare(r#""user":"/bin/ping","group":"staff""#), &[]),
        (bare(r#""user":"4294967294","group":"0""#), &[]),
        (
            bare(r#""user":"4294967295","group":"99999999999""#),
            &["warning range app.user", "warning range app.group"],
        ),
        (app(r#","exec":["/a","b c",""]"#), &[]),
        (app(r#","exec":null"#), &[]),
        (app(r#","exec":"/a""#), &["error type app.exec"]),
        (app(r#","exec":["a",1,null]"#), &["error type app.exec[1]", "error type app.exec[2]"]),
        (app(r#","exec":["a\u0000b"]"#), &["error nul app.exec[0]"]),
        (app(r#","workingDirectory":"/a/b""#), &[]),
        (app(r#","workingDirectory":"""#), &[]),
        (app(r#","workingDirectory":"a""#), &["error path-relative app.workingDirectory"]),
        (app(r#","workingDirectory":"/a/../b""#), &["warning path-climbs app.workingDirectory"]),
    ]);
}

#[test]
fn app_supplementary_gids_in_either_spelling() {
    for key in ["supplementaryGIDs", "supplementaryGids"] {
        let text = app(&format!(r#","{key}":[400,4294967294]"#));
        let manifest = ImageManifest::from_json(text.as_bytes()).unwrap();
        assert_eq!(manifest.app.unwrap().supplementary_gids, [400, 4_294_967_294]);
    }
    expect(&[
        (app(r#","supplementaryGIDs":[-1]"#), &["error range app.supplementaryGIDs[0]"]),
        (app(r#","supplementaryGIDs":[1.5]"#), &["error range app.supplementaryGIDs[0]"]),
        (app(r#","supplementaryGIDs":[4294967295]"#), &["error range app.supplementaryGIDs[0]"]),
        (app(r#","supplementaryGIDs":["1"]"#), &["error type app.supplementaryGIDs[0]"]),
        (
            app(r#","supplementaryGIDs":[1],"supplementaryGids":[2]"#),
            &["error duplicate app.supplementaryGids"],
        ),
        (
            app(r#","supplementaryGIDs":[1],"supplementaryGids":null"#),
            &["error duplicate app.supplementaryGids"],
        ),
        (app(r#","SupplementaryGIDs":[1]"#), &["error key-case app.SupplementaryGIDs"]),
    ]);
}

#[test]
fn app_event_handlers_and_environment() {
    let handlers = |list: &str| app(&format!(r#","eventHandlers":{list}"#));
    let environment = |list: &str| app(&format!(r#","environment":{list}"#));
    expect(&[
        (handlers(r#"[{"name":"pre-start","exec":["/a"]},{"name":"post-stop","exec":[]}]"#), &[]),
        (handlers(r#"[{"name":"post-stop"}]"#), &["warning absent app.eventHandlers[0]"]),
        (
            handlers(r#"[{"name":"Pre-Start","exec":[]}]"#),
            &["error event app.eventHandlers[0].name"],
        ),
        (handlers(r#"[{"exec":[]}]"#), &["error required app.eventHandlers[0]"]),
        (
            handlers(r#"[{"name":"pre-start","exec":[]},{"name":"pre-start","exec":[]}]"#),
            &["error duplicate app.eventHandlers[1]"],
        ),
        (
            environment(r#"[{"name":"_A.b-0","value":"x=y"},{"name":"B"}]"#),
            &["warning absent app.environment[1]"],
        ),
        (
            environment(r#"[{"name":"0A","value":""}]"#),
            &["error environment-name app.environment[0].name"],
        ),
        (
            environment(r#"[{"name":"A=B","value":""},{"name":"","value":""}]"#),
            &[
                "error environment-name app.environment[0].name",
                "error environment-name app.environment[1].name",
            ],
        ),
        (
            environment(r#"[{"name":"A","value":""},{"name":"A","value":""}]"#),
            &["error duplicate app.environment[1]"],
        ),
        (
            environment(r#"[{"name":"A","value":"\u0000"}]"#),
            &["error nul app.environment[0].value"],
        ),
        (environment(r#"{"A":"b"}"#), &["error type app.environment"]),
    ]);
}

#[test]
fn app_mount_points_and_ports() {
    let points = |list: &str| app(&format!(r#","mountPoints":{list}"#));
    let port =
        |fields: &str| app(&format!(r#","ports":[{{"name":"p","protocol":"tcp"{fields}}}]"#));
    expect(&[
        (points(r#"[{"name":"w","path":"/w","readOnly":true}]"#), &[]),
        (points(r#"[{"name":"W","path":"/w"}]"#), &["error name app.mountPoints[0].name"]),
        (points(r#"[{"name":"w","path":""}]"#), &["error empty app.mountPoints[0].path"]),
        (points(r#"[{"name":"w"}]"#), &["error required app.mountPoints[0]"]),
        (
            points(r#"[{"name":"w","path":"w/.."}]"#),
            &[
                "warning path-relative app.mountPoints[0].path",
                "warning path-climbs app.mountPoints[0].path",
            ],
        ),
        (
            points(r#"[{"name":"w","path":"/w"},{"name":"w","path":"/x"}]"#),
            &["warning duplicate app.mountPoints[1]"],
        ),
        (
            points(r#"[{"name":"w","path":"/w","readOnly":"yes"}]"#),
            &["error type app.mountPoints[0].readOnly"],
        ),
        (port(r#","port":1,"count":65535,"socketActivated":true"#), &[]),
        (port(r#","port":65535,"count":1"#), &[]),
        (port(r#","port":65535,"count":2"#), &["error range app.ports[0].count"]),
        (port(r#","port":0"#), &["error range app.ports[0].port"]),
        (port(r#","port":65536"#), &["error range app.ports[0].port"]),
        (port(r#","port":80,"count":0"#), &["error range app.ports[0].count"]),
        (port(r#","port":8e1"#), &["error range app.ports[0].port"]),
        (port(""), &["error required app.ports[0]"]),
        (
            app(r#","ports":[{"name":"p","port":1,"protocol":""}]"#),
            &["error empty app.ports[0].protocol"],
        ),
    ]);
}

#[test]
fn app_user_metadata_is_strings() {
    expect(&[
        (app(r#","userAnnotations":{"any thing":"x"},"userLabels":{"":""}"#), &[]),
        (
            app(r#","userAnnotations":{"any thing":1}"#),
            &[r#"error type app.userAnnotations["any thing"]"#],
        ),
        (app(r#","userLabels":[]"#), &["error type app.userLabels"]),
    ]);
}

#[test]
fn image_manifest_dependencies_and_whitelist() {
    let one = |fields: &str| image(&format!(r#","dependencies":[{{{fields}}}]"#));
    let white = |list: &str| image(&format!(r#","pathWhitelist":{list}"#));
    expect(&[
        (one(r#""imageName":"example.com/b","size":18446744073709551615"#), &[]),
        (one(&format!(r#""imageName":"b","imageID":"{ID}""#)), &[]),
        (one(r#""imageName":"b","imageID":null"#), &[]),
        (
            one(r#""imageName":"b","imageID":"sha512-ab""#),
            &["error image-id dependencies[0].imageID"],
        ),
        (one(r#""imageName":"b","size":-1"#), &["error range dependencies[0].size"]),
        (
            one(r#""imageName":"b","labels":[{"name":"name","value":""}]"#),
            &["error label-name dependencies[0].labels[0].name"],
        ),
        (one(""), &["error required dependencies[0]"]),
        (one(r#""imageName":"example.com/a""#), &["warning dependency-self dependencies[0]"]),
        (
            image(r#","dependencies":[{"imageName":"b"},{"imageName":"b"}]"#),
            &["warning duplicate dependencies[1]"],
        ),
        (white(r#"["/a","/b/"]"#), &[]),
        (
            white(r#"["a",""]"#),
            &["error path-relative pathWhitelist[0]", "error path-relative pathWhitelist[1]"],
        ),
        (white(r#"["/a/../b"]"#), &["warning path-climbs pathWhitelist[0]"]),
        (white("[1]"), &["error type pathWhitelist[0]"]),
    ]);
}

#[test]
fn image_manifest_annotations() {
    let one = |name: &str, value: &str| {
        image(&format!(r#","annotations":[{{"name":"{name}","value":"{value}"}}]"#))
    };
    expect(&[
        (one("created", "2014-10-27T19:32:27.67021798Z"), &[]),
        (one("created", "yesterday"), &["error date annotations[0].value"]),
        (one("homepage", "https://example.com"), &[]),
        (one("homepage", "http:"), &["warning url-host annotations[0].value"]),
        (one("documentation", "ftp://example.com"), &["error url annotations[0].value"]),
        (one("authors", ""), &[]),
        (
            one("appc.io/executor/supports-systemd-notify", "yes"),
            &["warning boolean annotations[0].value"],
        ),
        (one("Foo", "x"), &["error identifier annotations[0].name"]),
        (image(r#","annotations":[{"name":"created"}]"#), &["error required annotations[0]"]),
        (
            image(r#","annotations":[{"name":"a","value":""},{"name":"a","value":""}]"#),
            &["error duplicate annotations[1]"],
        ),
    ]);
}

#[test]
fn pod_manifest_apps_and_mounts() {
    expect(&[
        (pod(""), &[]),
        (r#"{"acKind":"PodManifest"}"#.into(), &["error required ", "error required "]),
        (pod("").replace("0.8.11", "1.30.0"), &["warning version-later acVersion"]),
        (pod("").replace("[]", r#"[{}]"#), &["error required apps[0]", "error required apps[0]"]),
        (pod("").replace("[]", r#"[{"name":"a","image":{}}]"#), &["error required apps[0].image"]),
        (pod_app(r#","readOnlyRootFS":true,"annotations":[{"name":"a","value":"b"}]"#), &[]),
        (
            pod_app(r#","app":{"exec":["/a"]}"#),
            &["error required apps[0].app", "error required apps[0].app"],
        ),
        (
            pod_app(r#","mounts":[{"volume":"w","path":"/w"}]"#),
            &["warning volume-unknown apps[0].mounts[0].volume"],
        ),
        (
            pod_app(r#","mounts":[{"volume":"w","path":"/w"}]"#)
                .replace("\"apps\"", r#""volumes":[{"name":"w","kind":"empty"}],"apps""#),
            &[],
        ),
        (
            pod_app(
                r#","mounts":[{"volume":"w","path":"/w","appVolume":{"name":"x","kind":"empty"}}]"#,
            ),
            &[],
        ),
        (
            pod_app(r#","mounts":[{"volume":"w","path":""}]"#),
            &[
                "warning volume-unknown apps[0].mounts[0].volume",
                "error empty apps[0].mounts[0].path",
            ],
        ),
    ]);
    let twice =
        pod_app("").replace("[{", &format!(r#"[{{"name":"web","image":{{"id":"{ID}"}}}},{{"#));
    assert_eq!(told(&check(&twice).1), ["error duplicate apps[1]"]);
    let served = |name: &str| {
        format!(
            r#"{{"name":"{name}","image":{{"id":"{ID}"}},"app":{{"user":"0","group":"0",
            "ports":[{{"name":"http","protocol":"tcp","port":80}}]}}}}"#
        )
    };
    let both = pod("").replace("[]", &format!("[{},{}]", served("one"), served("two")));
    assert_eq!(told(&check(&both).1), ["warning duplicate apps[1]"]);
}

#[test]
fn pod_manifest_volumes_and_ports() {
    let volume = |fields: &str| pod(&format!(r#","volumes":[{{"name":"v",{fields}}}]"#));
    let port = |fields: &str| pod(&format!(r#","ports":[{{"name":"p"{fields}}}]"#));
    expect(&[
        (volume(r#""kind":"empty","mode":"0700","uid":1,"gid":2"#), &[]),
        (volume(r#""kind":"host","source":"/a","recursive":false"#), &[]),
        (volume(r#""kind":"nfs""#), &["error volume-kind volumes[0].kind"]),
        (volume(r#""kind":"host""#), &["error required volumes[0]"]),
        (volume(r#""kind":"host","source":"a""#), &["error path-relative volumes[0].source"]),
        (volume(r#""kind":"empty","source":"/a""#), &["error volume-source volumes[0].source"]),
        (volume(r#""kind":"empty","source":"""#), &[]),
        (
            volume(r#""kind":"host","source":"/a","mode":"0755","uid":0"#),
            &["error volume-field volumes[0].mode", "error volume-field volumes[0].uid"],
        ),
        (volume(r#""kind":"empty","mode":"rwx""#), &["error mode volumes[0].mode"]),
        (volume(r#""kind":"empty","mode":"77777""#), &["error mode volumes[0].mode"]),
        (volume(r#""kind":"empty","mode":448"#), &["error type volumes[0].mode"]),
        (volume(r#""kind":"empty","uid":-1"#), &["error range volumes[0].uid"]),
        (
            pod(r#","volumes":[{"name":"v","kind":"empty"},{"name":"v","kind":"empty"}]"#),
            &["error duplicate volumes[1]"],
        ),
        (port(r#","hostPort":2121,"hostIP":"203.0.113.23""#), &[]),
        (port(r#","hostPort":99999"#), &["error range ports[0].hostPort"]),
        (port(r#","hostPort":1,"hostIP":"::1""#), &["error ip ports[0].hostIP"]),
        (port(r#","hostPort":1,"hostIP":"""#), &[]),
        (
            port(r#","hostPort":1,"podPort":{"name":"x","protocol":"tcp"}"#),
            &["error required ports[0].podPort"],
        ),
        (port(""), &["error required ports[0]"]),
    ]);
}

#[test]
fn manifest_refuses_what_reads_two_ways() {
    expect(&[
        (image(r#","name":"example.com/b""#), &["error key-duplicate "]),
        (image(r#","n\u0061me":"example.com/b""#), &["error key-duplicate "]),
        (image(r#","NAME":"example.com/b""#), &["error key-case NAME"]),
        (image(",\"label\u{17f}\":[]"), &["error key-case [\"label\u{17f}\"]"]),
        (app(r#","USER":"1""#), &["error key-case app.USER"]),
        (
            app(r#","ports":[{"Name":"p","port":1,"protocol":"x"}]"#),
            &["error key-case app.ports[0].Name"],
        ),
        (image(r#","later":{"a":1,"a":2}"#), &["error key-duplicate later"]),
        (image("") + "x", &["error json-syntax "]),
        (image("") + &image(""), &["error json-syntax "]),
        (format!("\u{feff}{}", image("")), &["error json-encoding "]),
        (image(&format!(",\"x\":{}", "[".repeat(100_000))), &["error json-depth "]),
        (image(r#","x":NaN"#), &["error json-syntax "]),
        (String::new(), &["error json-syntax "]),
    ]);
}

#[test]
fn manifest_tells_everything_at_once_with_its_place() {
    let text = "{\n  \"acKind\": \"ImageManifest\",\n  \"acVersion\": \"0.8\",\n  \"name\": \"A\",\n  \"app\": {\"user\": \"0\", \"group\": \"0\",\n    \"ports\": [{\"name\": \"p\", \"protocol\": \"tcp\", \"port\": 0}]}\n}";
    let findings = ImageManifest::check(text.as_bytes()).findings;
    let places: Vec<_> = findings.iter().map(|f| (f.line, f.column, f.code)).collect();
    assert_eq!(places, [(3, 16, "version"), (4, 11, "identifier"), (6, 56, "range")]);
    let error = ImageManifest::from_json(text.as_bytes()).unwrap_err();
    assert_eq!(error.findings(), findings);
    let text = error.to_string();
    assert!(
        text.starts_with("the image manifest is not acceptable: line 3, acVersion: "),
        "{text}"
    );
    assert!(text.contains("line 6, app.ports[0].port: "), "{text}");
}

#[test]
fn manifest_findings_end_somewhere() {
    let many = image(&format!(",\"pathWhitelist\":[{}1]", "1,".repeat(10_000)));
    let checked = ImageManifest::check(many.as_bytes());
    assert_eq!((checked.findings.len(), checked.left_out), (500, 9501));
}

#[test]
fn manifest_warnings_hide_no_error() {
    let mounts: Vec<String> =
        (0..600).map(|n| format!(r#"{{"name":"a{n}","path":"relative"}}"#)).collect();
    let mounts = format!(r#","mountPoints":[{}]"#, mounts.join(","));
    for (fault, code) in [
        (r#","dependencies":[{"imageName":"NOT VALID"}]"#, "identifier"),
        (r#","dependencies":[{"imageName":"a/b","IMAGENAME":"a/c"}]"#, "key-case"),
        (r#","annotations":[{"name":"a","value":""},{"name":"a","value":""}]"#, "duplicate"),
    ] {
        let mut text = app(&mounts);
        text.insert_str(text.len() - 1, fault);
        let checked = ImageManifest::check(text.as_bytes());
        assert!(checked.value.is_none(), "{fault}");
        assert_eq!(checked.left_out, 100);
        assert_eq!(checked.findings.last().unwrap().code, code);
    }
}

#[test]
fn manifest_fault_of_one_item_hides_no_other() {
    expect(&[
        (
            image(
                r#","labels":[{"name":"os","value":"linux"},{"name":"arch","value":"x86_64"},
                {"name":"os","value":"linux"},{"name":"NAME!","value":""}]"#,
            ),
            &[
                "error label-platform labels[1].value",
                "error duplicate labels[2]",
                "error identifier labels[3].name",
            ],
        ),
        (
            app(r#","supplementaryGIDs":[-1],"workingDirectory":"x","ports":[1]"#),
            &[
                "error range app.supplementaryGIDs[0]",
                "error path-relative app.workingDirectory",
                "error type app.ports[0]",
            ],
        ),
        (
            image(r#","x":1,"x":2,"y":1,"y":2,"labels":[{"name":"NAME","value":""}]"#),
            &["error key-duplicate ", "error key-duplicate ", "error identifier labels[0].name"],
        ),
        (
            app(r#","isolators":[{"name":"resource/memory","value":{"limit":"1\u0047"}},
            {"name":"resource/memory","value":{"limit":"1G\n"}}]"#),
            &[
                "error isolator-quantity app.isolators[0].value.limit",
                "error isolator-quantity app.isolators[1].value.limit",
            ],
        ),
    ]);
}

#[test]
fn manifest_of_many_labels_is_read_in_little_time() {
    let labels: Vec<String> =
        (0..30_000).map(|n| format!(r#"{{"name":"l{n}","value":""}}"#)).collect();
    let text = image(&format!(r#","labels":[{}]"#, labels.join(",")));
    let started = std::time::Instant::now();
    assert_eq!(ImageManifest::from_json(text.as_bytes()).unwrap().labels.iter().count(), 30_000);
    // Every label compared with every other takes minutes here.
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
fn manifest_keeps_what_it_does_not_know() {
    let unknown = r#""later":{"b":1.50,"a":[null,1e999]}"#;
    let text =
        app(&format!(r#",{unknown},"ports":[{{"name":"p","protocol":"tcp","port":1,{unknown}}}]"#))
            .replacen("\"name\"", &format!("{unknown},\"name\""), 1);
    let manifest = ImageManifest::from_json(text.as_bytes()).unwrap();
    let written = String::from_utf8(manifest.to_json().unwrap()).unwrap();
    assert_eq!(written.matches(unknown).count(), 3, "{written}");
    assert_eq!(ImageManifest::from_json(written.as_bytes()).unwrap(), manifest);
    let (key, value) = manifest.extra.iter().next().unwrap();
    assert_eq!(format!("{key:?}:{value}"), unknown);
    // An edit of the text leaves them in place.
    let mut document = Document::parse(text.as_bytes()).unwrap();
    document.set(&"app.user".parse().unwrap(), "\"1\"").unwrap();
    assert_eq!(document.text(), text.replace("\"user\":\"0\"", "\"user\":\"1\""));
}

#[test]
fn pod_manifest_is_written_as_it_was_read() {
    let text = pod_app(r#","readOnlyRootFS":true,"mounts":[{"volume":"v","path":"/v"}]"#).replace(
        "}]}",
        r#"}],"volumes":[{"name":"v","kind":"host","source":"/v","readOnly":false}],"isolators":[{"name":"resource/memory","value":{"limit":"4G"}}],"annotations":[{"name":"ip-address","value":"10.1.2.3"}],"ports":[{"name":"ftp","hostPort":2121,"hostIP":"10.1.2.3","podPort":{"name":"x","protocol":"tcp","port":80}}],"userLabels":{"k":"v"},"later":[1]}"#,
    );
    let manifest = PodManifest::from_json(text.as_bytes()).unwrap();
    let written = manifest.to_json().unwrap();
    assert_eq!(PodManifest::from_json(&written).unwrap(), manifest);
    let [read, written] = [text.as_bytes(), &written]
        .map(|bytes| serde_json::from_slice::<serde_json::Value>(bytes).unwrap());
    assert_eq!(read, written);
}

#[test]
fn command_line_forms_read_what_they_print() {
    use super::{MountPoint, Port, Volume};
    for text in ["w,path=/tmp", "w,path=/a b&c=d,readOnly=true"] {
        assert_eq!(text.parse::<MountPoint>().unwrap().to_string(), text);
    }
    for text in ["p,protocol=tcp,port=80", "p,protocol=udp,port=1,count=3,socketActivated=true"] {
        assert_eq!(text.parse::<Port>().unwrap().to_string(), text);
    }
    for text in ["v,kind=empty,mode=0700,uid=5,gid=6", "v,kind=host,source=/a,readOnly=false"] {
        assert_eq!(text.parse::<Volume>().unwrap().to_string(), text);
    }
    for (text, code) in [
        ("", "required"),
        (",path=/", "name"),
        ("W,path=/", "name"),
        ("w", "required"),
        ("w,path", "form"),
        ("w,path=", "empty"),
        ("w,path=/,path=/x", "duplicate"),
        ("w,path=/,name=x", "key-unknown"),
        ("w,path=/,readOnly=maybe", "type"),
    ] {
        assert_eq!(text.parse::<MountPoint>().unwrap_err().code(), code, "{text}");
    }
    assert_eq!("p,protocol=tcp,port=x".parse::<Port>().unwrap_err().code(), "type");
    let error = "v,kind=host,source=tmp".parse::<Volume>().unwrap_err().to_string();
    assert!(error.contains("source: \"tmp\" is no absolute path"), "{error}");
}
