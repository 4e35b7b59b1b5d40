//! `gantry validate` beside `actool validate`: whatever that refuses is refused here, and what it
//! is known to miss besides.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::hostile::Tar;
use crate::support::{Ended, Sandbox, tool};

const MANIFEST: &str = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a"}"#;

/// What the other tool is known to say of a case.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Actool {
    Accepts,
    Refuses,
    /// Accepts it, though it should not: here it is refused.
    Misses,
}
use Actool::{Accepts, Misses, Refuses};

fn actool(sandbox: &Sandbox, path: &Path) -> bool {
    let ended = sandbox.command("actool").args(["--debug", "validate"]).arg(path).output().unwrap();
    ended.status.success()
}

fn validate(sandbox: &Sandbox, args: &[&str]) -> Ended {
    sandbox.gantry(["validate"].iter().chain(args))
}

/// Writes each case to a file of its own, asks both tools, and tells every surprise.
fn compare(cases: &[(&str, Vec<u8>, Actool)]) {
    if !tool("actool") {
        return;
    }
    let sandbox = Sandbox::new();
    let mut wrong = Vec::new();
    for (at, (name, bytes, expected)) in cases.iter().enumerate() {
        let file = format!("case-{at}");
        let path = sandbox.write(&file, bytes);
        let theirs = actool(&sandbox, &path);
        let ended = validate(&sandbox, &[&file]);
        let ours = ended.code == 0;
        if theirs == (*expected == Refuses) || ours != (*expected == Accepts) {
            wrong.push(format!("{name}: {expected:?}, actool {theirs}, gantry {ours}: {ended:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn image(manifest: &str) -> Tar {
    Tar::default().file("manifest", manifest.as_bytes()).directory("rootfs")
}

/// A manifest with one more field.
fn with(field: &str) -> Vec<u8> {
    MANIFEST.replace('}', &format!(",{field}}}")).into_bytes()
}

/// A pod with an app that has this isolator.
fn pod_app(isolator: &str) -> Vec<u8> {
    let id = format!("sha512-{}", "ab".repeat(64));
    format!(
        r#"{{"acKind":"PodManifest","acVersion":"0.8.11","apps":[{{"name":"a","image":{{"id":"{id}"}},
        "app":{{"user":"0","group":"0","exec":["/a"],"isolators":[{isolator}]}}}}]}}"#
    )
    .into_bytes()
}

/// A manifest whose app has these fields besides user and group.
fn app(fields: &str) -> Vec<u8> {
    with(&format!(r#""app":{{"user":"0","group":"0",{fields}}}"#))
}

#[test]
fn validate_refuses_every_archive_that_actool_refuses() {
    let base = || image(MANIFEST);
    let cut = |keep: usize| base().file("rootfs/a", &[7; 3000]).plain()[..keep].to_vec();
    let unmarked = {
        let mut bytes = base().plain();
        bytes[257..265].fill(0);
        let sum: u32 = (0..512)
            .map(|at| if (148..156).contains(&at) { 32 } else { u32::from(bytes[at]) })
            .sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes
    };
    let without_end = base().gzip_without_end();
    let rootfs_late = Tar::default().file("rootfs/a", b"").file("manifest", MANIFEST.as_bytes());
    compare(&[
        ("plain", base().plain(), Accepts),
        ("gzip", base().gzip(), Accepts),
        ("rootfs after what is in it", rootfs_late.directory("rootfs").gzip(), Accepts),
        (
            "entries with ./",
            Tar::default()
                .directory("./")
                .file("./manifest", MANIFEST.as_bytes())
                .directory("./rootfs/")
                .gzip(),
            Accepts,
        ),
        ("symlink that leads out", base().symlink("rootfs/l", "../../etc/passwd").gzip(), Accepts),
        ("no manifest", Tar::default().directory("rootfs").gzip(), Refuses),
        ("no rootfs", Tar::default().file("manifest", MANIFEST.as_bytes()).gzip(), Refuses),
        (
            "rootfs a file",
            Tar::default().file("manifest", MANIFEST.as_bytes()).file("rootfs", b"").gzip(),
            Refuses,
        ),
        (
            "rootfs a symlink",
            Tar::default().file("manifest", MANIFEST.as_bytes()).symlink("rootfs", "/").gzip(),
            Refuses,
        ),
        (
            "manifest a symlink",
            Tar::default().symlink("manifest", "rootfs/m").directory("rootfs").gzip(),
            Refuses,
        ),
        (
            "manifest a folder",
            Tar::default().directory("manifest").directory("rootfs").gzip(),
            Refuses,
        ),
        ("manifest twice", base().file("manifest", MANIFEST.as_bytes()).gzip(), Refuses),
        ("manifest empty", image("").gzip(), Refuses),
        ("another file at the top", base().file("extra", b"").gzip(), Refuses),
        ("a path twice", base().file("rootfs/a", b"1").file("rootfs/a", b"2").gzip(), Refuses),
        (
            "a path twice, as folder and file",
            base().directory("rootfs/a/").file("rootfs/a", b"").gzip(),
            Refuses,
        ),
        (
            "a path twice, once with a dot",
            base().file("rootfs/a", b"").file("rootfs/./a", b"").gzip(),
            Refuses,
        ),
        ("a path out of the rootfs", base().file("rootfs/../etc/passwd", b"").gzip(), Refuses),
        ("an absolute path", base().file("/rootfs/a", b"").gzip(), Refuses),
        ("a global header", base().entry("g", b'g', "", b"18 comment=a note\n").gzip(), Refuses),
        ("cut in a header", cut(1200), Refuses),
        ("cut in a file", cut(3000), Refuses),
        ("a tar without its mark", unmarked, Refuses),
        ("nothing", Vec::new(), Refuses),
        ("text", b"hello".to_vec(), Refuses),
        ("html", b"<html></html>".to_vec(), Refuses),
        ("zip", b"PK\x03\x04\0\0\0\0\0\0".to_vec(), Refuses),
        ("zeros", vec![0; 2048], Refuses),
        // What it is known to miss.
        ("a top-level name that begins with rootfs", base().file("rootfsevil", b"").gzip(), Misses),
        ("rootfs twice", base().directory("rootfs").gzip(), Misses),
        (
            "a hard link out of the image",
            base().hard_link("rootfs/l", "../../etc/passwd").gzip(),
            Misses,
        ),
        (
            "a file below a symlink",
            base().symlink("rootfs/s", "/etc").file("rootfs/s/x", b"").gzip(),
            Misses,
        ),
        ("a tar type nobody knows", base().entry("rootfs/z", b'Z', "", b"").gzip(), Misses),
        ("no end", without_end, Misses),
        ("garbage after the end", [base().plain(), b"garbage".repeat(100)].concat(), Misses),
        (
            "a key twice",
            image(&MANIFEST.replace('}', r#","name":"example.com/b"}"#)).gzip(),
            Misses,
        ),
        ("a key in another case", image(&MANIFEST.replace("name", "NAME")).gzip(), Misses),
        ("a version nobody knows", image(&MANIFEST.replace("0.8.11", "9.9.9")).gzip(), Misses),
        ("an overlay whiteout", base().entry("rootfs/w", b'3', "", b"").gzip(), Misses),
    ]);
}

#[test]
fn validate_refuses_every_manifest_that_actool_refuses() {
    let pod = r#"{"acKind":"PodManifest","acVersion":"0.8.11","apps":[]}"#;
    let replaced = |from: &str, to: &str| MANIFEST.replace(from, to).into_bytes();
    compare(&[
        ("image", MANIFEST.as_bytes().to_vec(), Accepts),
        ("pod", pod.as_bytes().to_vec(), Accepts),
        ("white space around it", format!("\n {MANIFEST}\n").into_bytes(), Accepts),
        ("a field nobody knows", with(r#""later":{"a":[1.5e3]}"#), Accepts),
        ("no name", replaced(r#","name":"example.com/a""#, ""), Refuses),
        ("a name in upper case", replaced("example", "Example"), Refuses),
        ("no kind", replaced(r#""acKind":"ImageManifest","#, ""), Refuses),
        ("another kind", replaced("ImageManifest", "Manifest"), Refuses),
        ("no version", replaced(r#","acVersion":"0.8.11""#, ""), Refuses),
        ("a version of two numbers", replaced("0.8.11", "0.8"), Refuses),
        ("a name that is a number", replaced(r#""example.com/a""#, "1"), Refuses),
        ("cut", MANIFEST.as_bytes()[..40].to_vec(), Refuses),
        ("more after it", format!("{MANIFEST}{{}}").into_bytes(), Refuses),
        ("NaN", with(r#""x":NaN"#), Refuses),
        ("a byte order mark", [b"\xef\xbb\xbf", MANIFEST.as_bytes()].concat(), Refuses),
        ("UTF-16", MANIFEST.encode_utf16().flat_map(u16::to_le_bytes).collect(), Refuses),
        ("a list", b"[]".to_vec(), Refuses),
        (
            "a label twice",
            with(r#""labels":[{"name":"a","value":"1"},{"name":"a","value":"2"}]"#),
            Refuses,
        ),
        ("a label called name", with(r#""labels":[{"name":"name","value":"1"}]"#), Refuses),
        (
            "an arch of no os",
            with(r#""labels":[{"name":"os","value":"linux"},{"name":"arch","value":"arm64"}]"#),
            Refuses,
        ),
        (
            "an annotation in upper case",
            with(r#""annotations":[{"name":"A","value":"1"}]"#),
            Refuses,
        ),
        (
            "created at no time",
            with(r#""annotations":[{"name":"created","value":"today"}]"#),
            Refuses,
        ),
        (
            "a homepage that is none",
            with(r#""annotations":[{"name":"homepage","value":"ftp://x"}]"#),
            Refuses,
        ),
        ("an app without user", with(r#""app":{"group":"0"}"#), Refuses),
        ("an app without group", with(r#""app":{"user":"0"}"#), Refuses),
        ("a relative working directory", app(r#""workingDirectory":"srv""#), Refuses),
        (
            "an event nobody knows",
            app(r#""eventHandlers":[{"name":"stop","exec":["/x"]}]"#),
            Refuses,
        ),
        (
            "an event twice",
            app(
                r#""eventHandlers":[{"name":"pre-start","exec":["/x"]},{"name":"pre-start","exec":["/y"]}]"#,
            ),
            Refuses,
        ),
        ("a variable with a space", app(r#""environment":[{"name":"A B","value":"1"}]"#), Refuses),
        ("a port 0", app(r#""ports":[{"name":"a","protocol":"tcp","port":0}]"#), Refuses),
        ("a port 65536", app(r#""ports":[{"name":"a","protocol":"tcp","port":65536}]"#), Refuses),
        (
            "a port without protocol",
            app(r#""ports":[{"name":"a","protocol":"","port":1}]"#),
            Misses,
        ),
        (
            "a mount point in upper case",
            app(r#""mountPoints":[{"name":"A","path":"/a"}]"#),
            Refuses,
        ),
        ("a mount point without path", app(r#""mountPoints":[{"name":"a","path":""}]"#), Misses),
        (
            "an isolator nobody knows",
            app(r#""isolators":[{"name":"example.com/x","value":{}}]"#),
            Refuses,
        ),
        ("an isolator without value", app(r#""isolators":[{"name":"resource/cpu"}]"#), Refuses),
        (
            "an isolator without a set",
            app(r#""isolators":[{"name":"os/linux/capabilities-retain-set","value":{"set":[]}}]"#),
            Refuses,
        ),
        (
            "a quantity that is none",
            app(r#""isolators":[{"name":"resource/cpu","value":{"limit":"much"}}]"#),
            Refuses,
        ),
        (
            "a quantity with an escape",
            app(r#""isolators":[{"name":"resource/cpu","value":{"limit":"1\u0047"}}]"#),
            Refuses,
        ),
        (
            "an isolator of no release",
            app(r#""isolators":[{"name":"os/linux/apparmor-profile","value":{"profile":"x"}}]"#),
            Refuses,
        ),
        (
            "a bracket in an address",
            with(r#""annotations":[{"name":"homepage","value":"http://a[b@c/"}]"#),
            Refuses,
        ),
        (
            "an escape in a host",
            with(r#""annotations":[{"name":"homepage","value":"http://ex%41mple.com/"}]"#),
            Refuses,
        ),
        (
            "a fault behind many warnings",
            app(&format!(
                r#""mountPoints":[{}]}},"dependencies":[{{"imageName":"NO"}}],"x":{{"y":1"#,
                (0..600)
                    .map(|n| format!(r#"{{"name":"a{n}","path":"relative"}}"#))
                    .collect::<Vec<_>>()
                    .join(",")
            )),
            Refuses,
        ),
        (
            "a pod's kind with an escape",
            pod.replace("PodManifest", r"\u0050odManifest").into_bytes(),
            Accepts,
        ),
        (
            "an isolator nobody knows in a pod's app",
            pod_app(r#"{"name":"os/linux/foo","value":1}"#),
            Refuses,
        ),
        ("a dependency without name", with(r#""dependencies":[{"labels":[]}]"#), Refuses),
        (
            "a dependency of a bad ID",
            with(r#""dependencies":[{"imageName":"a","imageID":"sha1-aa"}]"#),
            Refuses,
        ),
        ("a pod without version", pod.replace(r#""acVersion":"0.8.11","#, "").into_bytes(), Misses),
        (
            "a volume of no kind",
            pod.replace("[]", r#"[],"volumes":[{"name":"v","kind":"x"}]"#).into_bytes(),
            Refuses,
        ),
        ("a pod's key twice", pod.replace("[]", r#"[],"apps":[]"#).into_bytes(), Misses),
    ]);
}

#[test]
fn validate_refuses_every_mutation_that_actool_refuses() {
    if !tool("actool") {
        return;
    }
    let sandbox = Sandbox::new();
    let fields = r#""labels":[{"name":"version","value":"1.0.0"},{"name":"os","value":"linux"},{"name":"arch","value":"amd64"}],"annotations":[{"name":"created","value":"2026-11-23T21:07:03Z"}],"dependencies":[{"imageName":"example.com/b","size":5}]"#;
    let manifest = String::from_utf8(with(fields)).unwrap();
    let long = format!("rootfs/{}", "n".repeat(150));
    let records = format!(
        "{} path={long}\n13 atime=1.5\n11 ctime=2\n8 uid=5\n17 mtime=1000.25\n",
        6 + 4 + long.len()
    );
    let base = image(&manifest)
        .entry("PaxHeaders.0/1", b'x', "", records.as_bytes())
        .file("rootfs/n", b"content")
        .symlink("rootfs/l", "n")
        .entry("././@LongLink", b'L', "", format!("{long}2\0").as_bytes())
        .file("rootfs/n2", b"")
        .entry("rootfs/fifo", b'6', "", b"");
    let base = base.plain();
    let mut random = Random(20_261_123);
    let files: Vec<String> = (0..200).map(|round| format!("mutant-{round}")).collect();
    for file in &files {
        let mut bytes = base.clone();
        for _ in 0..=random.below(2) {
            mutate(&mut bytes, &mut random);
        }
        sandbox.write(file, &bytes);
    }
    let args: Vec<&str> = ["--json"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let said: Value = serde_json::from_str(&validate(&sandbox, &args).stdout).unwrap();
    let (mut refused, mut accepted) = (0, 0);
    let mut wrong = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let theirs = actool(&sandbox, &sandbox.path(file));
        if said["files"][at]["valid"].as_bool().unwrap() && !theirs {
            wrong.push(format!("{file} is accepted, and refused by actool"));
        }
        if theirs {
            accepted += 1;
        } else {
            refused += 1;
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(refused > 30 && accepted > 50, "{refused} refused, {accepted} accepted");
}

/// Changes a byte, and where it is in a header, makes its checksum right again.
fn mutate(bytes: &mut [u8], random: &mut Random) {
    let blocks = (bytes.len() - 1024) / 512;
    let block = random.below(blocks) * 512;
    let tempting = [0, b' ', b'0', b'7', b'8', b'-', b'.', b'=', b'"', b'\n', 0x80, 0xff];
    let byte = match random.below(tempting.len() + 1) {
        at if at < tempting.len() => tempting[at],
        _ => random.below(256) as u8,
    };
    let header = bytes[block + 257..].starts_with(b"ustar");
    let used = bytes[block..block + 512].iter().rposition(|&b| b != 0).unwrap_or(0);
    let at = if header { 100 + random.below(400) } else { random.below(used + 1) };
    bytes[block + at] = byte;
    if header {
        let sum =
            |at: usize| if (148..156).contains(&at) { 32 } else { u32::from(bytes[block + at]) };
        let sum = format!("{:06o}\0 ", (0..512).map(sum).sum::<u32>());
        bytes[block + 148..block + 156].copy_from_slice(sum.as_bytes());
    }
}

/// The same numbers every time: a finding can be found again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

#[test]
fn validate_tells_everything_at_once_with_its_place() {
    let sandbox = Sandbox::new();
    let manifest =
        "{\n \"acKind\": \"ImageManifest\",\n \"acVersion\": \"0.8\",\n \"name\": \"NO\"\n}";
    let bad = image(manifest).file("extra", b"").hard_link("rootfs/l", "/etc/passwd").gzip();
    sandbox.write("bad.aci", bad);
    sandbox.write("good.aci", image(MANIFEST).gzip());
    let ended = validate(&sandbox, &["bad.aci", "good.aci"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (1, ""), "{ended:?}");
    for line in [
        "bad.aci: error: extra is neither",
        "bad.aci: error: the path /etc/passwd is absolute",
        "bad.aci: error: manifest:3:15: acVersion:",
        "bad.aci: error: manifest:4:10: name:",
        "bad.aci: image, not valid",
        "good.aci: image, valid",
    ] {
        assert!(ended.stdout.lines().any(|one| one.starts_with(line)), "{line}: {ended:#?}");
    }
    let ended = validate(&sandbox, &["--json", "bad.aci", "good.aci"]);
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.code, &said["valid"]), (1, &Value::Bool(false)));
    let findings = said["files"][0]["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 4, "{findings:#?}");
    assert_eq!(findings[3]["place"], serde_json::json!({"path":"name","line":4,"column":10}));
    assert_eq!(findings[3]["severity"], "error");
    let id = sandbox.gantry(["--json", "inspect", "good.aci"]).ok();
    let id: Value = serde_json::from_str(&id).unwrap();
    assert_eq!(said["files"][1]["imageId"], id["imageId"]);
}

#[test]
fn validate_strict_refuses_what_is_only_odd() {
    let sandbox = Sandbox::new();
    let run = |exec: &str| String::from_utf8(app(&format!(r#""exec":["{exec}"]"#))).unwrap();
    sandbox.write("absent.aci", image(&run("/bin/absent")).gzip());
    sandbox.write("there.aci", image(&run("/bin/there")).file("rootfs/bin/there", b"").gzip());
    let collide = image(MANIFEST).file("rootfs/README", b"").file("rootfs/readme", b"").gzip();
    sandbox.write("collide.aci", collide);
    for (file, code) in [("absent.aci", "exec-absent"), ("collide.aci", "name-collision")] {
        let ended = validate(&sandbox, &[file]);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stdout.contains(&format!("[{code}]")), "{ended:?}");
        assert_eq!(validate(&sandbox, &["--strict", file]).code, 1, "{file}");
    }
    assert_eq!(validate(&sandbox, &["--strict", "there.aci"]).code, 0);
    assert_eq!(validate(&sandbox, &["--quiet", "there.aci"]).stdout, "");
}

#[test]
fn validate_takes_layouts_and_types() {
    if !tool("actool") {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.write("sound/manifest", MANIFEST);
    fs::create_dir(sandbox.path("sound/rootfs")).unwrap();
    sandbox.write("extra/manifest", MANIFEST);
    sandbox.write("extra/rootfs/x", "");
    sandbox.write("extra/more", "");
    sandbox.write("none/manifest", MANIFEST);
    sandbox.write("bad/manifest", "{}");
    fs::create_dir(sandbox.path("bad/rootfs")).unwrap();
    sandbox.write("linked/manifest", MANIFEST);
    std::os::unix::fs::symlink("/", sandbox.path("linked/rootfs")).unwrap();
    fs::create_dir(sandbox.path("empty")).unwrap();
    for (folder, sound) in [
        ("sound", true),
        ("extra", false),
        ("none", false),
        ("bad", false),
        ("linked", false),
        ("empty", false),
    ] {
        assert_eq!(actool(&sandbox, &sandbox.path(folder)), sound, "{folder}");
        let ended = validate(&sandbox, &[folder]);
        assert_eq!(ended.code, i32::from(!sound), "{ended:?}");
    }
    // The other tool follows it.
    fs::create_dir_all(sandbox.path("manifest-link/rootfs")).unwrap();
    std::os::unix::fs::symlink("../sound/manifest", sandbox.path("manifest-link/manifest"))
        .unwrap();
    assert_eq!(validate(&sandbox, &["manifest-link"]).code, 1);
    let runs = String::from_utf8(app(r#""exec":["/bin/x"]"#)).unwrap();
    sandbox.write("runs/manifest", runs);
    std::os::unix::fs::symlink("usr/bin", {
        fs::create_dir_all(sandbox.path("runs/rootfs/usr/bin")).unwrap();
        sandbox.path("runs/rootfs/bin")
    })
    .unwrap();
    assert_eq!(validate(&sandbox, &["--strict", "runs"]).code, 1);
    sandbox.write("runs/rootfs/usr/bin/x", "");
    assert_eq!(validate(&sandbox, &["--strict", "runs"]).code, 0);

    sandbox.write("image.aci", image(MANIFEST).gzip());
    for (what, file, code) in [
        ("appimage", "image.aci", 0),
        ("appimage", "sound/manifest", 1),
        ("manifest", "image.aci", 1),
        ("manifest", "sound/manifest", 0),
        ("layout", "sound", 0),
        ("layout", "image.aci", 4),
        ("appimage", "sound", 4),
        ("other", "image.aci", 3),
    ] {
        let ended = validate(&sandbox, &["--type", what, file]);
        assert_eq!(ended.code, code, "{what} {file}: {ended:?}");
        let theirs = sandbox.shell(&format!("actool --debug validate --type={what} {file}"));
        assert!(theirs.code == 0 || code != 0, "{what} {file}: {theirs:?}");
    }
}

#[test]
fn validate_goes_on_after_a_file_that_cannot_be_read() {
    let sandbox = Sandbox::new();
    sandbox.write("good.aci", image(MANIFEST).gzip());
    sandbox.write("bad.json", "{}");
    let ended = validate(&sandbox, &["absent.aci", "good.aci"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stdout.contains("good.aci: image, valid"), "{ended:?}");
    assert!(ended.stderr.contains("cannot read absent.aci"), "{ended:?}");
    assert_eq!(validate(&sandbox, &["absent.aci", "bad.json"]).code, 1);
    assert_eq!(validate(&sandbox, &[]).code, 3);
    let ended = validate(&sandbox, &["--json", "absent.aci", "good.aci"]);
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&said["valid"], &said["files"][0]["valid"]), (&Value::Bool(false), &Value::Null));
}

#[test]
fn validate_tells_a_wrong_passphrase_and_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.write("good.aci", image(MANIFEST).gzip());
    sandbox.write("tree/a", "a");
    sandbox.write("right", "right");
    sandbox.write("wrong", "wrong");
    let line = "pack tree -o e.aci --name example.com/a --encrypt --passphrase-file right";
    sandbox.gantry(line.split(' ')).ok();
    let ended = validate(&sandbox, &["--json", "good.aci", "e.aci", "--passphrase-file", "wrong"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(said["files"][0]["valid"], true);
    assert_eq!(said["files"][1]["findings"][0]["code"], "passphrase-wrong");
}
