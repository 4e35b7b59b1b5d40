//! Each of acbuild's faults is a test here, or one that [`ELSEWHERE`] names.
//!
//! Each is tried twice: where the program is called acbuild, and where acbuild is
//! `gantry build`.

mod commands;
mod dependencies;
mod files;
mod manifest;
mod running;
mod scripts;
mod writing;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use super::{Fails, busybox, manifest, rootfs, run, sandbox};
use crate::support::{Sandbox, tool};

/// Faults that other tests are of: what, the file, the test.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("386 is no arch of an image", "aci/src/types/platform.rs", "platform_aliases_are_suggested"),
    ("an update is lost, in one process", "builder/src/context/tests.rs", "fault_lost_updates"),
    (
        "files are written outside of the image, at each entry of a path",
        "builder/src/context/tests.rs",
        "fault_escape_through_symlinks_and_dots",
    ),
    (
        "hard links are broken, sockets end a copy half way",
        "builder/src/context/tests.rs",
        "fault_hard_links_broken_and_sockets",
    ),
    ("a crash loses the manifest", "tests/build/kill.rs", "kill_of_an_edit"),
    (
        "lower file systems hide one another in the wrong order",
        "builder/tests/step/changes.rs",
        "lower_file_systems_hide_those_below",
    ),
    (
        "whiteouts and opaque folders are lost or leak",
        "builder/tests/step/changes.rs",
        "removed_and_replaced_things_are_told",
    ),
    ("arguments are joined", "builder/tests/step/command.rs", "command_has_its_arguments_exactly"),
    (
        "the environment is joined, or the host's",
        "builder/tests/step/command.rs",
        "command_has_its_environment_and_no_other",
    ),
    (
        "a command is looked for in another PATH than its own",
        "builder/tests/step/command.rs",
        "command_is_found_by_the_path_of_its_environment",
    ),
    (
        "the host's resolv.conf is left in the image, or the image's is overwritten",
        "builder/tests/step/found.rs",
        "network_of_the_host_has_its_names_and_leaves_nothing",
    ),
    (
        "files of one number on two file systems are taken for hard links",
        "builder/tests/corpus/links.rs",
        "inode_number_on_two_file_systems_is_two_files",
    ),
];

/// Runs a test where acbuild is a link, and where it is `gantry build`.
fn both(test: impl Fn(&Sandbox)) {
    for by_link in [true, false] {
        let sandbox = sandbox();
        if !by_link {
            let program = sandbox.path("bin/acbuild");
            fs::remove_file(&program).unwrap();
            fs::write(&program, "#!/bin/sh\nexec \"$GANTRY\" build \"$@\"\n").unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        test(&sandbox);
    }
}

/// The same with a root file system in which a shell runs, in the folder `bb`.
fn both_with_shell(test: impl Fn(&Sandbox)) {
    both(|sandbox| {
        if busybox(&sandbox.path("bb")) {
            test(sandbox);
        }
    });
}

fn begin(sandbox: &Sandbox) {
    run(sandbox, "acbuild begin && acbuild set-name example.com/a").ok();
}

/// Makes a key that is trusted for example.com: `key.asc`.
pub(crate) fn trust(sandbox: &Sandbox) {
    let line = "\"$GANTRY\" -q key generate --user-id ci --secret key.asc --public key.pub.asc \
        && \"$GANTRY\" -q trust add --prefix example.com key.pub.asc";
    run(sandbox, line).ok();
}

/// Packs NAME/rootfs as the image example.com/NAME, signs it, and puts it into the store.
pub(crate) fn store(sandbox: &Sandbox, name: &str) {
    let manifest = json!({"acKind": "ImageManifest", "acVersion": "0.8.11",
        "name": format!("example.com/{name}"), "labels": [{"name": "version", "value": "1"}]});
    sandbox.write(&format!("{name}/manifest"), manifest.to_string());
    let line = format!(
        "\"$GANTRY\" -q pack {name} -o {name}.aci --compression none --overwrite \
         && \"$GANTRY\" -q sign {name}.aci --key key.asc && \"$GANTRY\" -q fetch ./{name}.aci"
    );
    run(sandbox, &line).ok();
}

/// Writes the build as an image, and renders it with all it depends on, in `NAME/rootfs`.
fn render(sandbox: &Sandbox, name: &str) -> std::path::PathBuf {
    let line = format!(
        "acbuild write {name}.aci && \"$GANTRY\" -q sign {name}.aci --key key.asc \
         && \"$GANTRY\" -q fetch ./{name}.aci >id && \"$GANTRY\" image render $(cat id) ./{name}"
    );
    run(sandbox, &line).ok();
    sandbox.path(name).join("rootfs")
}

/// The entries of the image that would be written.
fn entries(sandbox: &Sandbox) -> String {
    let line = "acbuild write entries.aci --overwrite --compression none >/dev/null \
        && \"$GANTRY\" inspect --entries entries.aci";
    run(sandbox, line).ok()
}

#[test]
fn faults_have_tests() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut here = Vec::new();
    for file in crate::support::files(&top.join("tests/build/faults")) {
        let text = fs::read_to_string(&file).unwrap();
        let names =
            text.lines().filter_map(|line| line.strip_prefix("fn fault_")?.split('(').next());
        here.extend(names.map(|name| format!("fault_{name}")));
    }
    for (what, file, test) in ELSEWHERE {
        let text = fs::read_to_string(top.join(file)).unwrap();
        assert!(
            text.contains(&format!("\nfn {test}(")) || text.contains(&format!(" fn {test}(")),
            "{what}: {file} {test}"
        );
        super::tell(format_args!("{what}: {test} in {file}"));
    }
    super::tell(format_args!("{} tests of faults here, {} elsewhere", here.len(), ELSEWHERE.len()));
    assert!(here.len() >= 50, "{here:#?}");
}
