//! Every command of acbuild with its options and exit codes, as a table.

use std::collections::BTreeSet;
use std::fs;

use super::{manifest, run, sandbox};
use crate::support::{Sandbox, tool};

/// A line, its exit code, and what is true afterwards.
struct Row {
    /// What follows `acbuild`.
    line: &'static str,
    code: i32,
    /// A JSON pointer into the manifest and what is there, as JSON; nothing is asked where empty.
    there: (&'static str, &'static str),
}

const fn row(line: &'static str, code: i32) -> Row {
    Row { line, code, there: ("", "") }
}

const fn sets(line: &'static str, at: &'static str, json: &'static str) -> Row {
    Row { line, code: 0, there: (at, json) }
}

/// Run one after the other on one build.
const TABLE: &[Row] = &[
    // Before a build.
    row("", 1),
    row("cat-manifest", 1),
    row("end", 1),
    row("label add a b", 1),
    row("write x.aci", 1),
    row("labl", 3),
    row("set-", 3),
    row("--nonsense begin", 3),
    row("version", 0),
    row("begin --build-mode oci", 1),
    row("begin --build-mode other", 1),
    row("begin docker://example.com/x", 1),
    row("begin ./absent", 1),
    row("begin a b", 1),
    row("begin --build-mode appc", 0),
    row("begin", 1),
    sets("cat-manifest", "/name", "\"acbuild-unnamed\""),
    row("write x.aci", 1),
    // Names.
    sets("set-name example.com/a", "/name", "\"example.com/a\""),
    row("set-name example.com/a:1.0", 1),
    row("set-name", 1),
    row("set-name a b", 1),
    sets("set-tag 2.0", "/labels/2/value", "\"2.0\""),
    // Annotations, labels, environment.
    sets(
        "--no-history annotation add homepage https://example.com",
        "/annotations/2/value",
        "\"https://example.com\"",
    ),
    sets(
        "--no-history anno add homepage https://example.org",
        "/annotations/2/value",
        "\"https://example.org\"",
    ),
    row("annotation add created yesterday", 1),
    row("annotation add UPPER x", 1),
    row("annotation add x", 1),
    row("annotation remove absent", 2),
    row("annotation rm homepage", 0),
    sets("label add channel stable", "/labels/3/value", "\"stable\""),
    sets("label add channel beta", "/labels/3/value", "\"beta\""),
    sets("label add empty ''", "/labels/4/value", "\"\""),
    row("label add name x", 1),
    row("label add arch amd65", 1),
    row("label rm channel", 0),
    row("label remove channel", 2),
    row("label", 1),
    row("label nothing", 3),
    row("label add --nothing a b", 3),
    sets("environment add A 1,2", "/app/environment/0/value", "\"1,2\""),
    sets("env add A b=c", "/app/environment/0/value", "\"b=c\""),
    row("environment add 9BAD x", 1),
    row("env rm A", 0),
    row("env rm A", 2),
    // Mounts and ports.
    sets("mount add data /data", "/app/mountPoints/0/path", "\"/data\""),
    sets("mount add data /srv --read-only", "/app/mountPoints/0/readOnly", "true"),
    sets(
        "volume add other /srv --read-only=false",
        "/app/mountPoints",
        "[{\"name\":\"other\",\"path\":\"/srv\"}]",
    ),
    row("mount add rel relative", 1),
    row("mount add empty ''", 1),
    row("mount add UPPER /x", 1),
    row("mount remove /srv", 0),
    row("mount remove other", 2),
    sets("port add http tcp 80", "/app/ports/0/port", "80"),
    sets(
        "port add peers udp 7000 --count 3 --socket-activated",
        "/app/ports/1",
        "{\"name\":\"peers\",\"protocol\":\"udp\",\"port\":7000,\"count\":3,\"socketActivated\":true}",
    ),
    row("port add bad tcp 0", 1),
    row("port add bad tcp 65536", 1),
    row("port add bad tcp http", 1),
    row("port add bad tcp 80 --count 0", 3),
    row("port add bad tcp 80 --count x", 3),
    row("port remove 80", 0),
    row("port remove 7000/tcp", 2),
    row("port remove 7000/udp", 0),
    row("port remove peers", 2),
    // Isolators and dependencies.
    sets("isolator add resource/memory limit.json", "/app/isolators/0/value/limit", "\"512M\""),
    sets("isolator add resource/memory - < other.json", "/app/isolators/0/value/limit", "\"1G\""),
    sets("isolator add os/unix/sysctl sysctl.json", "/app/isolators/1/name", "\"os/unix/sysctl\""),
    row("isolator add resource/memory absent.json", 1),
    row("isolator add resource/memory broken.json", 1),
    row("isolator remove resource/memory", 0),
    row("isolator remove resource/memory", 2),
    sets(
        "dependency add example.com/base:1.0,os=linux",
        "/dependencies/0/imageName",
        "\"example.com/base\"",
    ),
    sets(
        "dependency add example.com/base:2.0 --size 12",
        "/dependencies",
        "[{\"imageName\":\"example.com/base\",\"labels\":[{\"name\":\"version\",\"value\":\"2.0\"}],\"size\":12}]",
    ),
    sets(
        "dep add example.com/more --label version=1 --label os=linux",
        "/dependencies/1/labels/1/value",
        "\"linux\"",
    ),
    row("dependency add example.com/base --label a=1 --label a=2", 1),
    row("dependency add example.com/base --image-id sha256-00", 1),
    row("dependency add example.com/base --size x", 3),
    row("dependency remove example.com/absent", 2),
    row("dependency remove example.com/base", 0),
    row("dep rm example.com/more", 0),
    // The app.
    sets(
        "set-exec -- /bin/a --flag 'two words'",
        "/app/exec",
        "[\"/bin/a\",\"--flag\",\"two words\"]",
    ),
    row("set-exec /bin/a --flag", 3),
    row("set-exec", 1),
    sets("set-user 1000", "/app/user", "\"1000\""),
    sets("set-group www", "/app/group", "\"www\""),
    row("set-user ''", 1),
    sets("set-supp-groups 1 2", "/app/supplementaryGIDs", "[1,2]"),
    row("set-supp-groups -1", 3),
    row("set-supp-groups x", 1),
    sets("set-working-directory /srv", "/app/workingDirectory", "\"/srv\""),
    row("set-wd relative", 1),
    sets(
        "set-event-handler pre-start /bin/prepare",
        "/app/eventHandlers/0/exec/0",
        "\"/bin/prepare\"",
    ),
    sets("set-eh post-stop -- /bin/clean -a", "/app/eventHandlers/1/exec/1", "\"-a\""),
    row("set-event-handler never /bin/x", 1),
    row("set-event-handler --remove pre-start", 0),
    row("set-event-handler --remove pre-start", 2),
    // Files.
    row("copy file /bin/a", 0),
    row("copy file /bin", 1),
    row("copy file /bin/a/b", 1),
    row("copy file /to/", 1),
    row("copy absent /x", 1),
    row("copy file ../../x", 1),
    row("copy folder /folder", 0),
    row("copy folder /folder", 1),
    row("copy folder /folder --merge", 0),
    row("copy-to-dir file folder/ /new/place", 0),
    row("copy-to-dir file", 1),
    row("copy-to-dir file /bin/a", 1),
    row("chown 33:33 /folder -R", 0),
    row("chown nobody-here /folder", 1),
    row("chmod 0640 /bin/a", 0),
    row("chmod 9 /bin/a", 1),
    row("setcap cap_net_raw+ep /bin/a", 0),
    row("setcap cap_fly+ep /bin/a", 1),
    row("setcap --remove /bin/a", 0),
    row("xattr /bin/a user.note=x", 0),
    row("remove /folder", 0),
    row("remove /folder", 2),
    row("rm /", 1),
    // The manifest as a whole.
    row("layer", 1),
    row("cat-manifest --pretty-print", 0),
    row("cat-manifest --file config", 3),
    row("replace-manifest absent.json", 1),
    row("replace-manifest broken.json", 1),
    sets(
        "--no-history replace-manifest manifest.json",
        "",
        "{\"acKind\":\"ImageManifest\",\"acVersion\":\"0.8.11\",\"name\":\"example.com/new\",\"later\":1.50}",
    ),
    // Writing.
    row("write out.aci", 0),
    row("write out.aci", 1),
    row("write out.aci --overwrite", 0),
    row("write out.aci --overwrite=false", 1),
    row("write signed.aci --sign absent.key", 4),
    row("write absent/out.aci", 1),
    row("w other.aci", 0),
    row("--work-path elsewhere cat-manifest", 1),
    row("--work-path elsewhere begin", 0),
    row("--work-path elsewhere end", 0),
    row("--debug cat-manifest", 0),
    row("end extra", 1),
    row("end", 0),
    row("end", 1),
    // Images that are edited in one go.
    row("--modify out.aci label add version 3", 0),
    row("--modify-appc out.aci label add version 4", 0),
    row("--modify out.aci label rm absent", 2),
    row("--modify out.aci begin", 1),
    row("--modify out.aci write x.aci", 1),
    row("--modify out.aci version", 1),
    row("--modify absent.aci cat-manifest", 1),
    row("--modify file cat-manifest", 1),
    row("--modify-oci out.aci cat-manifest", 1),
    // Beginnings.
    row("begin ./out.aci", 0),
    row("end", 0),
    row("begin ./folder", 0),
    row("end", 0),
    row("begin ./tree.tar", 0),
    row("end", 0),
    row("begin ./tree.tar.gz --insecure", 0),
    row("end", 0),
    row("begin ./tree.tar.bz2", 0),
    row("end", 0),
    row("begin ./tree.tar.xz", 0),
    row("end", 0),
    row("begin ./oci.tar", 1),
    row("begin example.com/nowhere --pull never", 4),
    row("script absent.acb", 1),
    row("script", 1),
];

fn prepare(sandbox: &Sandbox) {
    sandbox.write("file", "#!/bin/a\n");
    sandbox.write("folder/in", "x");
    sandbox.write("limit.json", "{\"limit\": \"512M\"}");
    sandbox.write("other.json", "{\"limit\": \"1G\"}");
    sandbox.write("sysctl.json", "{\"net.core.somaxconn\": \"1024\"}");
    sandbox.write("broken.json", "{");
    sandbox.write(
        "manifest.json",
        "{\"acKind\":\"ImageManifest\",\"acVersion\":\"0.8.11\",\"name\":\"example.com/new\",\"later\":1.50}",
    );
    fs::create_dir(sandbox.path("elsewhere")).unwrap();
    let line = "tar -cf tree.tar -C folder . && gzip -k tree.tar && bzip2 -k tree.tar && xz -k tree.tar \
        && mkdir oci && echo '{}' > oci/oci-layout && tar -cf oci.tar -C oci .";
    sandbox.shell(line).ok();
}

fn go(name: &str) {
    let sandbox = sandbox();
    prepare(&sandbox);
    let (mut commands, mut flags, mut codes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for Row { line, code, there: (at, json) } in TABLE {
        let ended = run(&sandbox, &format!("{name} {line}"));
        assert_eq!(ended.code, *code, "{name} {line}: {ended:?}");
        if !json.is_empty() {
            let manifest = manifest(&sandbox);
            let wanted: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(manifest.pointer(at), Some(&wanted), "{line}: {manifest:#}");
        }
        let mut words = line.split_whitespace();
        flags.extend(words.clone().filter(|word| word.starts_with("--") && word.len() > 2));
        commands.extend(words.find(|word| !word.starts_with('-')));
        codes.insert(*code);
    }
    super::tell(format_args!(
        "{name}: {} lines, {} commands and prefixes, {} options, exit codes {codes:?}",
        TABLE.len(),
        commands.len(),
        flags.len()
    ));
    if tool("actool") {
        for image in ["out.aci", "other.aci"] {
            sandbox.shell(&format!("actool validate {image}")).ok();
        }
    }
}

#[test]
fn reference_holds_for_acbuild() {
    go("acbuild");
}

#[test]
fn reference_holds_for_gantry_build() {
    go("\"$GANTRY\" build");
}
