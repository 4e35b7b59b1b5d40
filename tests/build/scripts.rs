//! Scripts: read whole, paths, variables, and nothing left where one fails.

use super::{Fails as _, busybox, run, sandbox};

#[test]
fn script_runs_and_leaves_the_image_alone() {
    let sandbox = sandbox();
    sandbox.write("ci/file", "x");
    let script = "#!/usr/bin/env acbuild-script\nbegin # nothing\nset-name example.com/s\n\
        label add version ${V}\ncopy file /file\nset-exec /bin/a --flag \"two words\" ''\nwrite out.aci\nend\n";
    sandbox.write("ci/s.acb", script);
    run(&sandbox, "\"$GANTRY\" build script ci/s.acb --set V=1.0").ok();
    let manifest = run(&sandbox, "\"$GANTRY\" inspect --json ci/out.aci").ok();
    assert!(manifest.contains("1.0") && !sandbox.path(".acbuild").exists(), "{manifest}");
    // As acbuild, paths are those of the current folder.
    run(
        &sandbox,
        "cd ci && chmod +x s.acb && PATH=\"$OLDPWD/bin:$PATH\" acbuild script s.acb --set V=1.1",
    )
    .fails(1);
    run(
        &sandbox,
        "cd ci && rm out.aci && PATH=\"$OLDPWD/bin:$PATH\" acbuild script s.acb --set V=1.1",
    )
    .ok();
    run(&sandbox, "cp ci/file . && acbuild script ci/s.acb --set V=1.2 && test -f out.aci").ok();
    run(&sandbox, "\"$GANTRY\" build script ci/s.acb --set V=1.2 --work-dir .").fails(1);
}

#[test]
fn script_tells_every_fault_with_its_place_and_does_nothing() {
    let sandbox = sandbox();
    sandbox.write("s.acb", "begin\nlabl add\n  label add x\nwrite ${X}.aci\n");
    let ended = run(&sandbox, "acbuild script s.acb");
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains("s.acb:4:7: ${X} is not set"), "{ended:?}");
    sandbox.write("s.acb", "begin\nlabl add\n  label add x\n");
    let ended = run(&sandbox, "acbuild script s.acb");
    assert_eq!(ended.code, 3, "{ended:?}");
    for place in ["s.acb:2:1:", "s.acb:3:3:"] {
        assert!(ended.stderr.contains(place), "{place} {ended:?}");
    }
    assert!(!sandbox.path(".acbuild").exists());
}

#[test]
fn script_that_fails_leaves_nothing_and_passes_its_code_on() {
    let sandbox = sandbox();
    sandbox.write("out.aci", "the old one");
    sandbox.write("s.acb", "begin\nset-name example.com/s\nwrite out.aci --overwrite\nwrite new.aci\nlabel rm absent\n");
    run(&sandbox, "acbuild script s.acb").fails(2);
    assert_eq!(std::fs::read(sandbox.path("out.aci")).unwrap(), b"the old one");
    assert!(!sandbox.path("new.aci").exists());
    if busybox(&sandbox.path("bb")) {
        sandbox.write("s.acb", "begin ./bb\nrun /bin/sh -c \"exit 9\"\n");
        run(&sandbox, "acbuild script s.acb").fails(9);
    }
    let left: Vec<_> =
        std::fs::read_dir(sandbox.path(".")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".gantry")), "{left:?}");
}
