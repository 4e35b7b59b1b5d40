//! The command line, the lock, the history, and images that are edited in one go.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::{Fails, begin, both, both_with_shell, manifest, run, trust};

#[test]
fn fault_lost_updates() {
    both(|sandbox| {
        begin(sandbox);
        let line =
            "for i in $(seq 200); do acbuild label add l$i v || echo $i >> failed & done; wait";
        run(sandbox, line).ok();
        assert!(!sandbox.path("failed").exists());
        let labels = manifest(sandbox)["labels"].as_array().unwrap().len();
        assert_eq!(labels, 202, "those of 200 commands, os and arch");
        let notes = manifest(sandbox)["annotations"].as_array().unwrap().len();
        assert_eq!(notes, 201, "each has its number");
    });
}

#[test]
fn fault_lock_file_removed_by_whoever_leaves() {
    both(|sandbox| {
        begin(sandbox);
        let inode = || fs::metadata(sandbox.path(".acbuild/lock")).unwrap().ino();
        let before = inode();
        run(sandbox, "acbuild label add a b && acbuild label rm a && acbuild cat-manifest").ok();
        assert_eq!(inode(), before);
    });
}

#[test]
fn fault_lock_held_is_an_error() {
    both(|sandbox| {
        begin(sandbox);
        let line = "exec 9<.acbuild/lock; flock 9; acbuild label add a b 9<&- 2>told & \
            for i in $(seq 100); do grep -q waiting told && break; sleep 0.1; done; \
            flock -u 9; wait $!; cat told >&2";
        let ended = run(sandbox, line);
        assert!(ended.stderr.contains("waiting"), "{ended:?}");
        ended.ok();
        assert_eq!(manifest(sandbox)["labels"][2]["name"], "a");
    });
}

#[test]
fn fault_manifest_written_in_place() {
    both(|sandbox| {
        begin(sandbox);
        let manifest = sandbox.path(".acbuild/currentaci/manifest");
        fs::hard_link(&manifest, sandbox.path("old")).unwrap();
        let before = fs::read(&manifest).unwrap();
        run(sandbox, "acbuild label add a b").ok();
        assert_eq!(fs::read(sandbox.path("old")).unwrap(), before);
        assert_ne!(fs::read(&manifest).unwrap(), before);
    });
}

#[test]
fn fault_secrets_in_history() {
    both_with_shell(|sandbox| {
        run(sandbox, "acbuild begin ./bb && acbuild set-name example.com/a").ok();
        sandbox.write("s", "hunter2");
        let line = "acbuild env add SECRET hunter2 && acbuild env rm SECRET \
            && acbuild run --env T=hunter2 --secret t=s -- echo 1";
        run(sandbox, line).ok();
        let text = manifest(sandbox).to_string();
        assert!(!text.contains("hunter2") && text.contains("acbuild env"), "{text}");
    });
}

#[test]
fn fault_options_missing_from_history() {
    both(|sandbox| {
        begin(sandbox);
        sandbox.write("f", "x");
        let line = "acbuild port add p tcp 80 --count 3 && acbuild mount add m /m --read-only \
            && acbuild copy f /f --owner 3:4 && acbuild dep add example.com/b --size 7";
        run(sandbox, line).ok();
        let text = manifest(sandbox).to_string();
        for noted in ["port add p tcp 80 --count 3", "--read-only", "--owner=3:4", "--size 7"] {
            assert!(text.contains(noted), "{noted}: {text}");
        }
        run(sandbox, "acbuild --no-history label add quiet yes").ok();
        assert!(!manifest(sandbox).to_string().contains("quiet yes"));
    });
}

#[test]
fn fault_two_names_of_notes() {
    both(|sandbox| {
        begin(sandbox);
        let line = "acbuild annotation add coreos.com/acbuild/command-7 'acbuild x' --no-history \
            && acbuild label add a b";
        run(sandbox, line).ok();
        let text = manifest(sandbox).to_string();
        assert!(text.contains("appc.io/acbuild/command-8"), "{text}");
    });
}

#[test]
fn fault_what_changes_nothing_is_noted() {
    both(|sandbox| {
        begin(sandbox);
        let before = manifest(sandbox);
        let line = "acbuild cat-manifest >/dev/null && acbuild write a.aci >/dev/null \
            && acbuild version >/dev/null";
        run(sandbox, line).ok();
        run(sandbox, "acbuild label rm absent").fails(2);
        assert_eq!(manifest(sandbox), before);
    });
}

#[test]
fn fault_file_rewritten_after_a_failed_command() {
    both(|sandbox| {
        begin(sandbox);
        run(sandbox, "acbuild write a.aci").ok();
        let now = || {
            let file = sandbox.path("a.aci");
            (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().ino())
        };
        let before = now();
        run(sandbox, "acbuild --modify a.aci label rm absent").fails(2);
        run(sandbox, "acbuild --modify a.aci set-name UPPER").fails(1);
        run(sandbox, "acbuild --modify a.aci cat-manifest").ok();
        run(sandbox, "acbuild --modify a.aci cat-manifest --pretty-print").ok();
        assert_eq!(now(), before);
    });
}

#[test]
fn fault_edit_of_an_image_uses_the_build_in_this_folder() {
    both(|sandbox| {
        begin(sandbox);
        run(sandbox, "acbuild write a.aci").ok();
        let before = manifest(sandbox);
        run(sandbox, "acbuild --modify a.aci --no-history label add x y").ok();
        assert_eq!(manifest(sandbox), before);
        let edited = run(sandbox, "acbuild --modify a.aci cat-manifest").ok();
        assert!(edited.contains("{\"name\":\"x\",\"value\":\"y\"}"), "{edited}");
    });
}

#[test]
fn fault_edits_of_two_images_share_a_folder() {
    both(|sandbox| {
        begin(sandbox);
        let line = "for i in 1 2 3 4 5 6 7 8; do acbuild write $i.aci >/dev/null; done \
            ; acbuild end; \
            for i in 1 2 3 4 5 6 7 8; do acbuild --modify $i.aci label add n v$i & done; wait";
        run(sandbox, line).ok();
        for i in 1..=8 {
            let text = run(sandbox, &format!("acbuild --modify {i}.aci cat-manifest")).ok();
            assert!(text.contains(&format!("\"v{i}\"")), "{text}");
        }
        assert!(!sandbox.path(".acbuild").exists());
    });
}

#[test]
fn fault_edit_of_an_oci_image_works_on_an_empty_path() {
    both(|sandbox| {
        run(sandbox, "acbuild --modify-oci absent.tar cat-manifest").fails(1);
        run(sandbox, "acbuild --modify-oci absent.tar label add a b").fails(1);
        assert!(!sandbox.path(".acbuild").exists());
    });
}

#[test]
fn fault_output_of_a_command_in_an_image_mixed_with_the_image_id() {
    both_with_shell(|sandbox| {
        let line = "acbuild begin ./bb && acbuild set-name example.com/a && acbuild write a.aci";
        run(sandbox, line).ok();
        let ended =
            run(sandbox, "acbuild --modify a.aci run -- /bin/sh -c 'echo told; echo x > /m'");
        assert_eq!(ended.stdout, "told\n");
        assert_eq!(ended.code, 0);
    });
}

#[test]
fn fault_build_in_no_folder_is_a_raw_error() {
    both(|sandbox| {
        for line in ["end", "cat-manifest", "label add a b", "write a.aci", "copy bin /bin"] {
            let ended = run(sandbox, &format!("acbuild {line}")).fails(1);
            assert!(ended.stderr.contains("no build in progress"), "{ended:?}");
            assert!(ended.stderr.contains("begin"), "{ended:?}");
        }
    });
}

#[test]
fn fault_prefix_that_means_a_command_and_its_other_name() {
    both(|sandbox| {
        begin(sandbox);
        run(sandbox, "acbuild set-w /w && acbuild set-wo /v && acbuild set-ev pre-start /a").ok();
        assert_eq!(manifest(sandbox)["app"]["workingDirectory"], "/v");
        // set-e is set-exec, too.
        run(sandbox, "acbuild set-e /a").fails(3);
    });
}

#[test]
fn fault_argument_that_is_no_text_ends_in_a_panic() {
    both(|sandbox| {
        begin(sandbox);
        sandbox.write("f", "x");
        for line in [
            "label add a \"$BAD\"",
            "env add A \"$BAD\"",
            "set-exec /a \"$BAD\"",
            "set-name \"$BAD\"",
            "annotation rm \"$BAD\"",
            "begin --build-mode \"$BAD\"",
            "copy \"$BAD\" /f",
            "--work-path \"$BAD\" cat-manifest",
            "script \"$BAD\"",
        ] {
            let ended = run(sandbox, &format!("BAD=$(printf 'a\\377'); acbuild {line}")).fails(1);
            assert!(!ended.stderr.contains("panicked"), "{line}: {ended:?}");
        }
        // A path of the image may hold any byte.
        run(sandbox, "acbuild copy f \"/$(printf 'a\\377')\"").ok();
    });
}

#[test]
fn fault_missing_files_end_in_other_codes() {
    both(|sandbox| {
        begin(sandbox);
        sandbox.write("f", "x");
        for line in [
            "write a.aci --sign absent.key",
            "copy f /f --owner-map absent",
            "copy f /f --ignore-file absent",
            "copy-to-dir f /d --ignore-file absent",
            "copy absent /f",
            "isolator add resource/memory absent",
            "replace-manifest absent",
            "dependency add --local absent",
            "script absent",
        ] {
            run(sandbox, &format!("acbuild {line}")).fails(1);
        }
        trust(sandbox);
        run(sandbox, "acbuild write a.aci --sign key.asc --passphrase-file absent").fails(1);
        assert!(!sandbox.path("a.aci").exists());
    });
}

#[test]
fn fault_absent_things_end_in_different_codes() {
    both(|sandbox| {
        begin(sandbox);
        for line in [
            "annotation rm a",
            "label rm a",
            "env rm a",
            "mount rm a",
            "mount rm /a",
            "port rm a",
            "port rm 80",
            "isolator rm resource/memory",
            "dependency rm example.com/b",
            "set-eh --remove pre-start",
            "remove /a",
        ] {
            run(sandbox, &format!("acbuild {line}")).fails(2);
        }
    });
}
