//! Images carried in one file to a machine that has no network: `gantry bundle export` and
//! `import`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::io::Read;

use support::world::World;
use support::{Ended, GANTRY};

/// A world with an image that needs another one, both fetched.
fn world() -> World {
    let world = World::new(&["example.com"]);
    world.image("base", "example.com/base", "1.0.0", "");
    world.sandbox.write(
        "top/manifest",
        r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/team/top",
            "labels":[{"name":"version","value":"2.0.0"}],
            "dependencies":[{"imageName":"example.com/base"}]}"#,
    );
    world.sandbox.write("top/rootfs/etc/top", "top\n");
    world.gantry("pack top -o top.aci").ok();
    world.gantry("sign top.aci --key author.key").ok();
    for file in ["base", "top"] {
        world.gantry(&format!("fetch --pull new {file}.aci")).ok();
    }
    world
}

/// Runs `gantry` as another machine would: with a store and trusted keys of its own.
fn elsewhere(world: &World, line: &str) -> Ended {
    let mut command = world.sandbox.command(GANTRY);
    command
        .env("GANTRY_STORE", world.sandbox.path("other-store"))
        .env("GANTRY_TRUST_DIR", world.sandbox.path("other-trust"))
        .args(line.split_whitespace());
    Ended::of(command.output().unwrap())
}

fn fingerprint(world: &World) -> String {
    let keys = world.json("key show author.pub");
    keys["keys"][0]["fingerprint"].as_str().unwrap().to_owned()
}

#[test]
fn bundle_carries_an_image_with_all_it_needs() {
    let world = world();
    let index = world.json("bundle export example.com/team/top -o x.gantry");
    let names: Vec<_> = index["index"]["images"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 2);
    assert!(names[0]["reference"].as_str().unwrap().starts_with("example.com/base:1.0.0"));
    // The signer is not known there: nothing is taken, and the refusal says whom to ask for.
    let refused = elsewhere(&world, "bundle import x.gantry").refused(5);
    assert!(refused.stderr.contains(&fingerprint(&world)), "{refused:?}");
    assert_eq!(elsewhere(&world, "image list").ok(), "");
    // The fingerprint opens it, with no server running.
    let line = format!("bundle import x.gantry --fingerprint {}", fingerprint(&world));
    let ids = elsewhere(&world, &line).ok();
    assert_eq!(ids.lines().count(), 2);
    elsewhere(&world, "image verify example.com/team/top").ok();
    elsewhere(&world, "image export example.com/team/top back.aci").ok();
    for (a, b) in [("top.aci", "back.aci"), ("top.aci.asc", "back.aci.asc")] {
        assert_eq!(
            fs::read(world.sandbox.path(a)).unwrap(),
            fs::read(world.sandbox.path(b)).unwrap()
        );
    }
    // Once more: the same, and nothing new.
    let again = elsewhere(&world, "--json bundle import x.gantry").ok();
    assert!(!again.contains("\"new\":true"), "{again}");
}

#[test]
fn bundle_is_a_tar_anybody_can_read_and_the_same_bytes_each_time() {
    let world = world();
    for file in ["x.gantry", "y.gantry"] {
        world.gantry(&format!("bundle export example.com/team/top -o {file}")).ok();
    }
    let bytes = fs::read(world.sandbox.path("x.gantry")).unwrap();
    assert_eq!(bytes, fs::read(world.sandbox.path("y.gantry")).unwrap());
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if name.ends_with(".aci") && names.len() == 3 {
            assert_eq!(content, fs::read(world.sandbox.path("base.aci")).unwrap());
        }
        names.push(name);
    }
    let key = format!("keys/{}.asc", fingerprint(&world));
    assert_eq!(names[..2], ["index.json".to_owned(), key]);
    assert_eq!(names.len(), 6);
    // What is there is not overwritten unless asked.
    assert_eq!(world.gantry("bundle export example.com/base -o x.gantry").code, 1);
    world.gantry("bundle export example.com/base -o x.gantry --overwrite").ok();
    assert_ne!(bytes, fs::read(world.sandbox.path("x.gantry")).unwrap());
}

#[test]
fn bundle_without_a_dependency_is_not_made() {
    let world = world();
    world.gantry("image rm example.com/base").ok();
    let refused = world.gantry("bundle export example.com/team/top -o x.gantry").refused(4);
    assert!(refused.stderr.contains("gantry fetch example.com/base"), "{refused:?}");
    assert!(!world.sandbox.path("x.gantry").exists());
}

#[test]
fn bundle_that_was_tampered_with_is_refused_and_leaves_nothing_half() {
    let world = world();
    world.gantry("bundle export example.com/team/top -o x.gantry").ok();
    let bytes = fs::read(world.sandbox.path("x.gantry")).unwrap();
    let at = |name: &str| bytes.windows(name.len()).position(|w| w == name.as_bytes()).unwrap();
    elsewhere(&world, "trust add --prefix example.com author.pub").ok();
    let refuse = |bytes: &[u8], why: &str| {
        world.sandbox.write("bad.gantry", bytes);
        let ended = elsewhere(&world, "bundle import bad.gantry");
        assert!([1, 5].contains(&ended.code), "{why}: {ended:?}");
        assert!(!elsewhere(&world, "image list").ok().contains("example.com/team/top"), "{why}");
        let staging = support::files(&world.sandbox.path("other-store/staging"));
        assert_eq!(staging, Vec::<std::path::PathBuf>::new(), "{why}");
    };
    // The last image is example.com/team/top: its content is before the end of the container.
    let mut changed = bytes.clone();
    let last = bytes.len() - 1024 - 600;
    changed[last] ^= 1;
    refuse(&changed, "a byte of the image");
    refuse(&bytes[..bytes.len() - 2000], "cut off");
    let mut changed = bytes.clone();
    changed[at("\"format\": 1") + 10] = b'2';
    refuse(&changed, "another format");
    refuse(b"no tar", "no container");
    // The images change places, and with them the names of the files: what they are tells.
    let index = world.json("bundle export example.com/team/top -o x.gantry --overwrite");
    let ids: Vec<String> = index["index"]["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["imageId"].as_str().unwrap().to_owned())
        .collect();
    let text = String::from_utf8_lossy(&bytes[..at("keys/")]).into_owned();
    let swapped =
        text.replacen(&ids[0], "@", 2).replacen(&ids[1], &ids[0], 2).replace('@', &ids[1]);
    assert_ne!(text, swapped);
    let mut changed = swapped.into_bytes();
    changed.extend_from_slice(&bytes[at("keys/")..]);
    refuse(&changed, "another order in the index");
}
