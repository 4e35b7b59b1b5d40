//! `gantry convert`: another compression, the same image.

use std::fs;

use crate::support::hostile::Tar;
use crate::support::{Sandbox, listing, tool};

/// A packed image `a.aci` of a tree with a link, a long name and a few hundred kilobytes.
fn packed() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let text: String = (0..40_000).map(|n| format!("{n} bottles\n")).collect();
    sandbox.write("tree/srv/text", text);
    sandbox.write(&format!("tree/{}", "n".repeat(200)), "long");
    std::os::unix::fs::symlink("srv/text", sandbox.path("tree/link")).unwrap();
    let id = sandbox.gantry(["pack", "tree", "-o", "a.aci", "--name", "example.com/a"]).ok();
    (sandbox, id)
}

/// The SHA-512 of what a shell command prints, as an image ID.
fn image_id(sandbox: &Sandbox, command: &str) -> String {
    let sum = sandbox.shell(&format!("{command} | sha512sum")).ok();
    format!("sha512-{}", sum.split(' ').next().unwrap())
}

#[test]
fn convert_keeps_the_image_id_as_other_tools_see_it() {
    let (sandbox, id) = packed();
    for (compression, program) in
        [("none", "cat"), ("gzip", "gzip"), ("bzip2", "bzip2"), ("xz", "xz"), ("zstd", "zstd")]
    {
        let file = format!("{compression}.aci");
        let ended = sandbox.gantry(["convert", "a.aci", &file, "--compression", compression]);
        assert_eq!(ended.stderr.contains("outside"), compression == "zstd", "{ended:?}");
        assert_eq!(ended.ok(), id);
        let unpack = if program == "cat" { "cat" } else { &format!("{program} -dc") };
        assert_eq!(image_id(&sandbox, &format!("{unpack} {file}")), id);
        if compression != "zstd" && tool("actool") {
            sandbox.shell(&format!("actool validate {file}")).ok();
        }
        // And back: the very file that was packed.
        sandbox.gantry(["convert", &file, "back.aci", "--overwrite"]).ok();
        assert_eq!(
            fs::read(sandbox.path("back.aci")).unwrap(),
            fs::read(sandbox.path("a.aci")).unwrap()
        );
    }
}

#[test]
fn convert_takes_images_of_other_tools_as_they_are() {
    if !tool("actool") {
        return;
    }
    let (sandbox, _) = packed();
    sandbox.shell("mkdir layout && cp -r tree layout/rootfs").ok();
    sandbox.write(
        "layout/manifest",
        r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/b"}"#,
    );
    sandbox.shell("actool build layout b.aci").ok();
    let id = image_id(&sandbox, "gzip -dc b.aci");
    assert_eq!(sandbox.gantry(["convert", "b.aci", "c.aci", "--compression", "xz"]).ok(), id);
    assert_eq!(image_id(&sandbox, "xz -dc c.aci"), id);
}

#[test]
fn convert_level_changes_the_size_alone() {
    let (sandbox, id) = packed();
    for (compression, fast, small) in
        [("gzip", "1", "12"), ("bzip2", "1", "9"), ("xz", "0", "9"), ("zstd", "1", "19")]
    {
        let bytes = |level: &str| {
            let args = ["convert", "a.aci", "b.aci", "--overwrite", "--compression", compression];
            let ended = sandbox.gantry(args.into_iter().chain(["--level", level]));
            assert_eq!(ended.ok(), id, "{compression} {level}");
            fs::metadata(sandbox.path("b.aci")).unwrap().len()
        };
        assert_ne!(bytes(fast), bytes(small), "{compression}");
    }
    for (compression, level) in [("gzip", "0"), ("gzip", "13"), ("bzip2", "10"), ("none", "1")] {
        let args = ["convert", "a.aci", "c.aci", "--compression", compression, "--level", level];
        assert_eq!(sandbox.gantry(args).code, 3, "{compression} {level}");
    }
    assert!(!sandbox.path("c.aci").exists());
}

#[test]
fn convert_says_that_the_signature_does_not_fit() {
    let (sandbox, _) = packed();
    let key = "key generate --user-id a@example.com --secret a.key --public a.pub";
    sandbox.gantry(key.split(' ')).ok();
    sandbox.gantry(["sign", "a.aci", "--key", "a.key"]).ok();
    let ended = sandbox.gantry(["convert", "a.aci", "b.aci", "--compression", "xz"]);
    assert!(ended.stderr.contains("signature of a.aci does not fit b.aci"), "{ended:?}");
    assert!(!sandbox.path("b.aci.asc").exists());
    fs::copy(sandbox.path("a.aci.asc"), sandbox.path("b.aci.asc")).unwrap();
    let verify = ["verify", "b.aci", "--public", "a.pub"];
    assert_eq!(sandbox.gantry(verify).code, 5);
    // The very same file needs no new one.
    let ended = sandbox.gantry(["convert", "b.aci", "b.aci", "--overwrite"]);
    assert!(ended.stderr.contains("b.aci.asc was made for another file"), "{ended:?}");
    let ended = sandbox.gantry(["convert", "a.aci", "a.aci", "--overwrite"]);
    assert_eq!(ended.stderr, "", "{ended:?}");
    sandbox.gantry(["verify", "a.aci", "--public", "a.pub"]).ok();
}

#[test]
fn convert_that_fails_leaves_nothing_behind() {
    let (sandbox, _) = packed();
    let whole = fs::read(sandbox.path("a.aci")).unwrap();
    sandbox.write("cut.aci", &whole[..whole.len() - 9]);
    sandbox.write("flipped.aci", {
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 0x40;
        bytes
    });
    sandbox.write("extra.aci", Tar::image("example.com/a", "1").file("etc/passwd", b"x").gzip());
    sandbox.write("faulty.aci", {
        let manifest = br#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"NO"}"#;
        Tar::default().file("manifest", manifest).directory("rootfs").gzip()
    });
    sandbox.write("text.aci", "no image at all");
    fs::create_dir(sandbox.path("folder")).unwrap();
    let before = listing(&sandbox.path(""));
    for name in ["cut", "flipped", "extra", "faulty", "text"] {
        sandbox.gantry(["convert", &format!("{name}.aci"), "out.aci"]).refused(5);
        sandbox.gantry(["convert", &format!("{name}.aci"), "a.aci", "--overwrite"]).refused(5);
    }
    assert_eq!(sandbox.gantry(["convert", "absent.aci", "out.aci"]).code, 4);
    assert_eq!(sandbox.gantry(["convert", "a.aci", "cut.aci"]).code, 1);
    assert_eq!(sandbox.gantry(["convert", "a.aci", "folder", "--overwrite"]).code, 1);
    assert_eq!(sandbox.gantry(["convert", "a.aci", "absent/out.aci"]).code, 1);
    assert_eq!(sandbox.gantry(["convert", "a.aci"]).code, 3);
    assert_eq!(listing(&sandbox.path("")), before);
}

#[test]
fn convert_tells_scripts_what_it_wrote() {
    let (sandbox, id) = packed();
    let said =
        sandbox.gantry(["--json", "convert", "a.aci", "b.aci", "--compression", "none"]).ok();
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["imageId"], id);
    assert_eq!(said["was"], id);
    assert_eq!(said["compression"], "none");
    assert_eq!(said["fileDigest"], id);
    assert_eq!(said["fileBytes"], fs::metadata(sandbox.path("b.aci")).unwrap().len());
}
