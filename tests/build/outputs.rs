//! What commands write: all of it or nothing, each path once, and files that are replaced keep
//! whose they are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::{Fails as _, run, sandbox};
use crate::support::Sandbox;

/// All files of the sandbox but the program's, with what is in them.
fn files(sandbox: &Sandbox) -> BTreeMap<String, Vec<u8>> {
    let line = "find . -type f -not -path './bin/*' -not -path './.acbuild/*' -not -path './d/*'";
    let names = sandbox.shell(line).ok();
    let read = |name: &str| (name.to_owned(), fs::read(sandbox.path(name)).unwrap());
    names.lines().map(read).collect()
}

/// A build in this folder, and files that are there already.
fn begin(sandbox: &Sandbox) {
    run(sandbox, "acbuild begin && acbuild set-name example.com/a && mkdir folder d").ok();
    sandbox.write("old.aci", "the old image");
    sandbox.write("old.aci.spdx.json", "the old list");
    sandbox.write("old.txt", "the old ID");
}

#[test]
fn write_that_fails_leaves_what_was_there() {
    let sandbox = sandbox();
    begin(&sandbox);
    run(&sandbox, "mkdir new.aci.intoto.json").ok();
    let before = files(&sandbox);
    for (line, code) in [
        ("write x.aci --sbom --provenance --digest-file absent/f", 1),
        ("write x.aci --sbom --digest-file folder", 1),
        ("write x.aci --sbom --metadata-file old.txt/f", 1),
        ("write new.aci --sbom --provenance", 1),
        ("write old.aci --overwrite --sbom --digest-file old.txt --metadata-file folder", 1),
        ("write x.aci --digest-file x.aci", 3),
        ("write x.aci --digest-file folder/../x.aci", 3),
        ("write old.aci --overwrite --digest-file ./old.aci", 3),
        ("write x.aci --digest-file d.txt --metadata-file d.txt", 3),
        ("write x.aci --sbom --metadata-file x.aci.spdx.json", 3),
    ] {
        let ended = run(&sandbox, &format!("acbuild {line}")).fails(code);
        assert_eq!(ended.stdout, "", "{line}");
        assert!(files(&sandbox) == before, "{line}: {ended:?}");
    }
    let line = "acbuild write old.aci --overwrite --sbom --digest-file old.txt";
    let id = run(&sandbox, line).ok();
    assert_eq!(files(&sandbox)["./old.txt"], format!("{id}\n").into_bytes());
}

#[test]
fn script_that_cannot_write_all_writes_nothing() {
    let sandbox = sandbox();
    begin(&sandbox);
    let before = files(&sandbox);
    for (lines, at) in [
        ("write one.aci\nwrite two.aci --digest-file absent/x\n", "s.acb:4"),
        ("write old.aci --overwrite\nwrite two.aci --digest-file absent/x\n", "s.acb:4"),
        ("write t.aci\nwrite t.aci\n", "s.acb:4"),
        ("write t.aci\nwrite folder/../t.aci\n", "s.acb:4"),
        ("write t.aci --digest-file u.aci\nwrite u.aci\n", "s.acb:4"),
    ] {
        sandbox.write("s.acb", format!("begin\nset-name example.com/s\n{lines}"));
        let ended = run(&sandbox, "acbuild script s.acb").fails(1);
        assert!(ended.stderr.contains(at), "{ended:?}");
        fs::remove_file(sandbox.path("s.acb")).unwrap();
        assert!(files(&sandbox) == before, "{lines}: {ended:?}");
    }
    // What is written again gives way where it may.
    let script = "begin\nset-name example.com/s\nwrite t.aci --digest-file id\nlabel add a b\n\
        write t.aci --overwrite --digest-file id\n";
    sandbox.write("s.acb", script);
    let told = run(&sandbox, "acbuild script s.acb").ok();
    let id = fs::read_to_string(sandbox.path("id")).unwrap();
    assert_eq!(told.lines().last(), Some(id.trim()));
    let text = run(&sandbox, "acbuild --modify t.aci cat-manifest").ok();
    assert!(text.contains("\"a\""), "{text}");
}

#[test]
fn script_takes_back_images_of_a_recipe() {
    let sandbox = sandbox();
    sandbox.write("r.toml", "name = \"example.com/r\"\n[[output]]\nfile = \"r.aci\"\n");
    let recipe = "begin\nset-name example.com/s\nrecipe r.toml --lock --digest-file id\n";
    sandbox.write("s.acb", format!("{recipe}copy absent /x\n"));
    run(&sandbox, "acbuild script s.acb").fails(1);
    for name in ["r.aci", "r.lock", "id"] {
        assert!(!sandbox.path(name).exists(), "{name}");
    }
    sandbox.write("s.acb", recipe);
    let id = run(&sandbox, "acbuild script s.acb").ok();
    assert!(sandbox.path("r.aci").exists() && sandbox.path("r.lock").exists());
    assert_eq!(fs::read_to_string(sandbox.path("id")).unwrap().trim(), id.trim());
}

#[test]
fn script_in_a_script_writes_in_its_own_folder() {
    let sandbox = sandbox();
    sandbox.write("out/out.acb", "begin\nset-name example.com/s\nscript sub/in.acb\n");
    sandbox.write("out/sub/in.acb", "write rel.aci --digest-file rel.txt --sbom\n");
    run(&sandbox, "\"$GANTRY\" build script out/out.acb").ok();
    for name in ["rel.aci", "rel.txt", "rel.aci.spdx.json"] {
        assert!(sandbox.path("out/sub").join(name).exists(), "{name}");
        assert!(!sandbox.path("out").join(name).exists(), "{name}");
    }
}

#[test]
fn script_that_calls_itself_ends() {
    let sandbox = sandbox();
    sandbox.write("a.acb", "begin\nset-name example.com/a\nscript b.acb\n");
    sandbox.write("b.acb", "script b.acb\n");
    let ended = run(&sandbox, "acbuild script a.acb").fails(1);
    assert!(ended.stderr.contains("scripts in scripts"), "{ended:?}");
    // Many calls that are not deep are no such thing.
    sandbox.write("b.acb", "");
    let calls = "script b.acb\n".repeat(20);
    sandbox.write("a.acb", format!("begin\nset-name example.com/a\n{calls}write a.aci\n"));
    run(&sandbox, "acbuild script a.acb").ok();
    assert_eq!(sandbox.shell("find . -name '.gantry*'").ok(), "");
}

#[test]
fn recipe_that_cannot_write_all_writes_nothing() {
    let sandbox = sandbox();
    let output = |file: &str| format!("[[output]]\nfile = \"{file}\"\n");
    let recipe = |files: &[&str]| {
        let outputs: String = files.iter().map(|file| output(file)).collect();
        format!("name = \"example.com/r\"\n{outputs}")
    };
    let mut three = recipe(&["one.aci", "two.aci"]);
    three.push_str("[[output]]\n");
    run(&sandbox, "mkdir out out/three.aci.spdx.json out/folder out/locked").ok();
    run(&sandbox, "mkdir out/locked/r.lock").ok();
    sandbox.write("out/one.aci", "the old image");
    for (text, options, code) in [
        (recipe(&["one.aci", "two.aci", "three.aci"]), "--sbom", 1),
        (three.clone(), "--digest-file absent/x", 1),
        (three.clone(), "--metadata-file out/folder", 1),
        (three.clone(), "--metadata-file out/one.aci", 3),
        (three.clone(), "--metadata-file x --digest-file ./x", 3),
        (three.clone(), "--lock --digest-file out/r.lock", 3),
        (three.clone(), "--digest-file out/r.toml", 3),
        (three.clone(), "--output-dir absent", 1),
        (recipe(&["r.toml"]), "", 3),
        (recipe(&["one.aci", "folder/../one.aci"]), "", 3),
        (recipe(&["a", "./a"]), "", 3),
        (recipe(&["a", "../out/a"]), "", 3),
        (recipe(&["x.aci", "x.aci.spdx.json"]), "--sbom", 3),
        (format!("{}[[output]]\nplatform = \"none\"\n", recipe(&["r.aci"])), "", 3),
    ] {
        sandbox.write("out/r.toml", text);
        let before = files(&sandbox);
        let line = format!("\"$GANTRY\" build recipe out/r.toml --no-cache {options}");
        let ended = run(&sandbox, &line).fails(code);
        assert!(files(&sandbox) == before, "{options}: {ended:?}");
    }
    sandbox.write("out/locked/r.toml", three);
    let line = "\"$GANTRY\" build recipe out/locked/r.toml --no-cache --lock";
    run(&sandbox, line).fails(1);
    assert_eq!(run(&sandbox, "ls out/locked").ok(), "r.lock\nr.toml");
}

#[test]
fn replaced_image_keeps_its_mode_and_owner() {
    let sandbox = sandbox();
    begin(&sandbox);
    run(&sandbox, "(umask 077; acbuild write s.aci --digest-file id)").ok();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        run(&sandbox, "chown 1234:1235 s.aci").ok();
    }
    for line in [
        "acbuild --modify s.aci label add a b",
        "acbuild write s.aci --overwrite --digest-file id",
        "\"$GANTRY\" pack d -o s.aci --overwrite --name example.com/d --digest-file id2",
    ] {
        run(&sandbox, line).ok();
        let metadata = fs::metadata(sandbox.path("s.aci")).unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o600, "{line}");
        if is_root {
            assert_eq!((metadata.uid(), metadata.gid()), (1234, 1235), "{line}");
        }
        assert_eq!(fs::metadata(sandbox.path("id")).unwrap().mode() & 0o7777, 0o600, "{line}");
    }
    // What was open to all stays so.
    fs::set_permissions(sandbox.path("s.aci"), fs::Permissions::from_mode(0o664)).unwrap();
    run(&sandbox, "umask 077; acbuild --modify s.aci label add a c").ok();
    assert_eq!(fs::metadata(sandbox.path("s.aci")).unwrap().mode() & 0o7777, 0o664);
}

#[test]
fn link_to_an_image_is_edited_through_and_not_written_over() {
    let sandbox = sandbox();
    begin(&sandbox);
    run(&sandbox, "acbuild write folder/a-1.aci").ok();
    symlink("folder/a-1.aci", sandbox.path("cur.aci")).unwrap();
    run(&sandbox, "acbuild --modify cur.aci label add x y").ok();
    assert!(sandbox.path("cur.aci").is_symlink());
    let text = run(&sandbox, "acbuild --modify folder/a-1.aci cat-manifest").ok();
    assert!(text.contains("{\"name\":\"x\",\"value\":\"y\"}"), "{text}");
    let before = files(&sandbox);
    run(&sandbox, "acbuild write cur.aci --overwrite").fails(1);
    symlink("nowhere", sandbox.path("dead.aci")).unwrap();
    run(&sandbox, "acbuild --modify dead.aci label add x y").fails(1);
    // A pipe is not waited for.
    run(&sandbox, "mkfifo p && acbuild --modify p label add x y").fails(1);
    assert!(files(&sandbox) == before);
}

#[test]
fn edits_of_one_image_take_turns() {
    let sandbox = sandbox();
    begin(&sandbox);
    let line = "acbuild write m.aci >/dev/null; for i in 1 2 3 4 5 6 7 8; do \
        acbuild --modify m.aci label add l$i x 2>>told || echo $i >>failed & done; wait; \
        test ! -e failed && ls -A";
    let left = run(&sandbox, line).ok();
    assert!(!left.contains("lock") && !left.contains(".gantry"), "{left}");
    let text = run(&sandbox, "acbuild --modify m.aci cat-manifest").ok();
    for at in 1..=8 {
        assert!(text.contains(&format!("\"l{at}\"")), "l{at}: {text}");
    }
    let line = "exec 9<m.aci; flock 9; acbuild --modify m.aci label add a b 9<&- 2>said & \
        for i in $(seq 100); do grep -q waiting said && break; sleep 0.1; done; \
        acbuild --modify m.aci cat-manifest 9<&- >/dev/null || exit 9; \
        flock -u 9; wait $!; cat said >&2";
    let ended = run(&sandbox, line);
    assert!(ended.stderr.contains("waiting for another command that edits m.aci"), "{ended:?}");
    ended.ok();
}

/// Of commands that write the same files at once, one has written all of them.
#[test]
fn files_of_one_command_are_not_mixed_with_those_of_another() {
    let sandbox = sandbox();
    for at in [1, 2] {
        let line = format!(
            "acbuild --work-path w{at} begin; acbuild --work-path w{at} set-name \
            example.com/n{at}; acbuild --work-path w{at} write n{at}.aci > id{at}"
        );
        run(&sandbox, &format!("mkdir w{at}; {line}")).ok();
    }
    for at in 0..20 {
        // The files are there already, or not; the image is, or is not, replaced.
        let (old, how) = (at % 2 == 0, if at % 4 < 2 { "" } else { "--overwrite" });
        let line = format!(
            "rm -rf r; mkdir r; {} for k in 1 2; do acbuild --work-path w$k write r/i.aci {how} \
             --digest-file r/dig --metadata-file r/meta >/dev/null 2>&1 && echo $k >>r/won & done; \
             wait; for k in 1 2; do cmp -s n$k.aci r/i.aci && cmp r/dig id$k && \
             grep -q $(cat id$k) r/meta && echo $k; done; ls -A r",
            if old { "echo old | tee r/dig >r/meta;" } else { "" }
        );
        let told = run(&sandbox, &line).ok();
        let expected = "dig\ni.aci\nmeta\nwon";
        assert!(
            told == format!("1\n{expected}") || told == format!("2\n{expected}"),
            "{at}: {told}"
        );
    }
}

/// What became of an image while somebody waited for it is looked at again.
#[test]
fn image_that_becomes_something_else_is_not_waited_for() {
    let sandbox = sandbox();
    begin(&sandbox);
    for change in ["ln -sf n.aci m.aci", "rm m.aci && mkfifo m.aci", "rm m.aci && mkdir m.aci"] {
        let line = format!(
            "rm -rf m.aci said; acbuild write m.aci >/dev/null; exec 9<m.aci; flock 9; \
             (timeout 30 acbuild --modify m.aci label add a b 9<&- 2>said || echo $? >code) & \
             for i in $(seq 100); do grep -q waiting said && break; sleep 0.1; done; \
             {change}; flock -u 9; wait $!; cat code"
        );
        assert_eq!(run(&sandbox, &line).ok(), "1", "{change}");
    }
}

#[test]
fn private_image_stays_private_whatever_happens_while_it_is_made() {
    let sandbox = sandbox();
    begin(&sandbox);
    // Long enough to change the mode meanwhile.
    run(&sandbox, "head -c 3000000 /dev/urandom | od -v >big; acbuild copy big /big").ok();
    let line = "acbuild write i.aci --compression none >/dev/null; chmod 644 i.aci; \
        acbuild write i.aci --overwrite --compression xz >/dev/null & sleep 0.3; chmod 600 i.aci; \
        wait; stat -c %a i.aci";
    assert_eq!(run(&sandbox, line).ok(), "600");
}

#[test]
fn script_tells_of_a_signature_of_an_earlier_line() {
    let sandbox = sandbox();
    let key = "\"$GANTRY\" -q key generate --user-id ci --secret k.sec --public k.pub";
    run(&sandbox, key).ok();
    for (last, told) in [
        ("label add x y\nwrite a.aci --overwrite", true),
        ("write a.aci --overwrite", false),
        ("label add x y\nwrite a.aci --overwrite --sign k.sec", false),
    ] {
        let script = format!("begin\nset-name example.com/s\nwrite a.aci --sign k.sec\n{last}\n");
        sandbox.write("s.acb", script);
        let ended = run(&sandbox, "rm -f a.aci*; acbuild --no-history script s.acb").fails(0);
        assert_eq!(ended.stderr.contains("was made for another file"), told, "{last}: {ended:?}");
    }
}

#[test]
fn signature_that_is_left_beside_another_image_is_told() {
    let sandbox = sandbox();
    begin(&sandbox);
    let asc = |name: &str| sandbox.write(&format!("{name}.asc"), "a signature");
    sandbox.write("r.toml", "name = \"example.com/r\"\n[[output]]\nfile = \"r.aci\"\n");
    let recipe = "\"$GANTRY\" build recipe r.toml --no-cache --no-sign";
    let edit = "acbuild --no-history --modify a.aci label add x";
    let pack = "\"$GANTRY\" pack d -o p.aci --overwrite --name example.com/d --label x";
    for (first, same, other, name) in [
        (
            "acbuild write a.aci",
            "acbuild write a.aci --overwrite".to_owned(),
            "acbuild label add x y && acbuild write a.aci --overwrite".to_owned(),
            "a.aci",
        ),
        (&format!("{edit} 1"), format!("{edit} 1"), format!("{edit} 2"), "a.aci"),
        (recipe, recipe.to_owned(), format!("sed -i s:com/r:com/q: r.toml; {recipe}"), "r.aci"),
        (&format!("{pack}=1"), format!("{pack}=1"), format!("{pack}=2"), "p.aci"),
    ] {
        let tells = |line: &str| told(&sandbox, line).contains("was made for another file");
        run(&sandbox, &format!("{first}; rm -f {name}.asc")).ok();
        asc(name);
        assert!(!tells(&same), "{same}");
        assert!(tells(&other), "{other}");
        assert!(sandbox.path(format!("{name}.asc")).exists());
    }
}

/// What a line that succeeds says.
fn told(sandbox: &Sandbox, line: &str) -> String {
    run(sandbox, line).fails(0).stderr
}
