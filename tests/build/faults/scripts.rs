//! Scripts.

use super::{Fails, both, both_with_shell, busybox, run};
use crate::support::Sandbox;
use crate::users::User;

fn inspect(sandbox: &Sandbox, file: &str) -> serde_json::Value {
    let text = run(sandbox, &format!("\"$GANTRY\" inspect --json {file}")).ok();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    if all["manifest"].is_null() { all } else { all["manifest"].clone() }
}

#[test]
fn fault_scripts_never_work() {
    both(|sandbox| {
        sandbox.write("s.acb", "begin\nset-name example.com/s\nwrite s.aci\n");
        run(sandbox, "acbuild script s.acb && acbuild-script s.acb || test $? = 1").ok();
        assert_eq!(inspect(sandbox, "s.aci")["name"], "example.com/s");
        assert!(!sandbox.path(".acbuild").exists());
    });
}

#[test]
fn fault_end_in_a_script_is_an_error() {
    both(|sandbox| {
        sandbox.write("s.acb", "begin\nset-name example.com/s\nwrite s.aci\nend\n");
        run(sandbox, "acbuild script s.acb").ok();
        assert!(sandbox.path("s.aci").exists() && !sandbox.path(".acbuild").exists());
    });
}

#[test]
fn fault_script_works_on_the_build_in_this_folder() {
    both(|sandbox| {
        run(sandbox, "acbuild begin && acbuild set-name example.com/here").ok();
        sandbox.write("s.acb", "begin\nset-name example.com/s\nwrite s.aci\n");
        run(sandbox, "acbuild script s.acb").ok();
        assert!(run(sandbox, "acbuild cat-manifest").ok().contains("example.com/here"));
    });
}

#[test]
fn fault_comments_in_words_and_empty_words_dropped() {
    both(|sandbox| {
        let script = "begin\nset-name example.com/s # a comment\n# another\n\
            set-exec /bin/a#b \"\" 'x y' \"say \\\"hi\\\"\" \\\n  last\nwrite s.aci\n";
        sandbox.write("s.acb", script);
        run(sandbox, "acbuild script s.acb").ok();
        let exec = inspect(sandbox, "s.aci")["app"]["exec"].clone();
        assert_eq!(exec, serde_json::json!(["/bin/a#b", "", "x y", "say \"hi\"", "last"]));
    });
}

#[test]
fn fault_errors_without_a_line() {
    both(|sandbox| {
        sandbox.write("s.acb", "begin\n\n# no\nset-name UPPER\n");
        let ended = run(sandbox, "acbuild script s.acb").fails(1);
        assert!(ended.stderr.contains("s.acb:4"), "{ended:?}");
        sandbox.write("s.acb", "begin\nset-name example.com/s\nlabel ad a b\n  nothing\n");
        let ended = run(sandbox, "acbuild script s.acb");
        assert!(ended.stderr.contains("s.acb:4:3"), "{ended:?}");
    });
}

#[test]
fn fault_images_of_a_script_that_fails_are_there() {
    both(|sandbox| {
        sandbox.write("old.aci", "the old one");
        let script = "begin\nset-name example.com/s\nwrite old.aci --overwrite\nwrite new.aci\n\
            label rm absent\n";
        sandbox.write("s.acb", script);
        run(sandbox, "acbuild script s.acb").fails(2);
        assert_eq!(std::fs::read(sandbox.path("old.aci")).unwrap(), b"the old one");
        assert!(!sandbox.path("new.aci").exists() && !sandbox.path(".acbuild").exists());
    });
}

#[test]
fn fault_code_of_a_command_in_a_script_lost() {
    both_with_shell(|sandbox| {
        sandbox.write("s.acb", "begin ./bb\nrun --engine systemd-nspawn /bin/sh -c 'exit 9'\n");
        run(sandbox, "acbuild script s.acb --work-dir .").fails(9);
    });
}

#[test]
fn fault_options_of_a_line_not_heeded() {
    both(|sandbox| {
        let script = "begin\nset-name example.com/s\n--no-history label add quiet yes\n\
            label add --no-history hush yes\nlabel add loud yes\nwrite s.aci\n";
        sandbox.write("s.acb", script);
        run(sandbox, "acbuild script s.acb").ok();
        let notes = inspect(sandbox, "s.aci")["annotations"].to_string();
        assert!(notes.contains("loud") && !notes.contains("quiet"), "{notes}");
        assert!(!notes.contains("hush"), "{notes}");
        for line in [
            "--work-path . label add a b",
            "label add a b --work-path=.",
            "--modify x label add a b",
        ] {
            sandbox.write("t.acb", format!("begin\nset-name example.com/t\nwrite t.aci\n{line}\n"));
            let ended = run(sandbox, "acbuild script t.acb").fails(1);
            assert!(ended.stderr.contains("t.acb:4:1"), "{ended:?}");
            assert!(!sandbox.path("t.aci").exists() && !sandbox.path(".acbuild").exists());
        }
    });
}

#[test]
fn fault_script_that_runs_commands_takes_root() {
    for user in [User::Alone, User::Ranges] {
        let sandbox = Sandbox::new();
        if !user.is_here() || !busybox(&sandbox.path("bb")) {
            continue;
        }
        let script = "#!/usr/bin/env acbuild-script\nbegin ./bb\nset-name example.com/s\n\
            run /bin/sh -c \"echo x > /made\"\nwrite s.aci\n";
        sandbox.write("s.acb", script);
        user.own(&sandbox);
        let line = "chmod +x s.acb && ./s.acb >/dev/null && \"$GANTRY\" inspect --entries s.aci";
        let told = user.run(&sandbox, ".", line).ok();
        assert!(told.contains("rootfs/made"), "{told}");
    }
}
