//! Images as plain files of a web server: `gantry mirror`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::path::PathBuf;

use support::site::Site;
use support::world::World;
use support::{Ended, GANTRY, listing};

const TOP: &str = "example.com/team/top";
const BASE: &str = "example.com/base";

/// A registry with an image in two versions that needs another one. Gives the ID of the newest.
fn world() -> (World, String) {
    let world = World::new(&["example.com"]);
    world.image("base", BASE, "1.0.0", "");
    let mut newest = String::new();
    for version in ["1.0.0", "2.0.0"] {
        let manifest = format!(
            r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"{TOP}",
                "labels":[{{"name":"version","value":"{version}"}}],
                "dependencies":[{{"imageName":"{BASE}"}}]}}"#
        );
        let folder = format!("top-{version}");
        world.sandbox.write(&format!("{folder}/manifest"), manifest);
        world.sandbox.write(&format!("{folder}/rootfs/etc/top"), version);
        newest = world.gantry(&format!("pack {folder} -o {folder}.aci")).ok();
        world.gantry(&format!("sign {folder}.aci --key author.key")).ok();
    }
    for file in ["base", "top-1.0.0", "top-2.0.0"] {
        world.push(file).ok();
    }
    (world, newest)
}

/// A web server with the mirror, and machines that ask it in the place of `example.com`.
struct Mirror<'a> {
    world: &'a World,
    site: Site,
}

impl<'a> Mirror<'a> {
    fn serve(world: &'a World) -> Self {
        let site = Site::start("localhost", &world.sandbox.path(""));
        site.serve(&world.sandbox.path("mirror"));
        let text = format!(
            "ca-file = {:?}\n[[override]]\nprefix = \"example.com\"\nurl = \"https://localhost:{}/example.com\"\n",
            site.ca_file(),
            site.address().port()
        );
        world.sandbox.write("mirror.toml", text);
        Self { world, site }
    }

    /// Runs `gantry` on a machine of this name, which has a store and trusted keys of its own.
    fn on(&self, machine: &str, line: &str) -> Ended {
        let mut command = self.world.sandbox.command(GANTRY);
        command
            .env("GANTRY_CONFIG", self.world.sandbox.path("mirror.toml"))
            .env("GANTRY_STORE", self.world.sandbox.path(format!("{machine}/store")))
            .env("GANTRY_TRUST_DIR", self.world.sandbox.path(format!("{machine}/trust")));
        Ended::of(command.args(line.split_whitespace()).output().unwrap())
    }
}

/// The file of an image in the mirror.
fn file(world: &World, path: &str) -> PathBuf {
    world.sandbox.path("mirror/example.com/-/images").join(path).join("image.aci")
}

#[test]
fn mirror_stands_in_for_an_author_who_is_gone() {
    let (mut world, newest) = world();
    let made = world.json(&format!("mirror {TOP}:2.0.0 --to mirror"));
    let images = made["images"].as_array().unwrap();
    assert_eq!(images.len(), 2, "{made}");
    assert!(images.iter().all(|image| image["new"] == true), "{made}");
    world.gantry(&format!("mirror {TOP}:1.0.0 --to mirror")).ok();
    let keys = world.json("key show author.pub");
    let fingerprint = keys["keys"][0]["fingerprint"].as_str().unwrap().to_owned();
    world.server.kill();

    let mirror = Mirror::serve(&world);
    mirror.on("near", &format!("fetch {TOP}")).refused(5);
    // The keys are where the author's were, and the fingerprint comes from elsewhere.
    let add = format!("trust add --prefix example.com --fingerprint {fingerprint}");
    mirror.on("near", &add).ok();
    assert_eq!(mirror.on("near", &format!("fetch {TOP}")).ok(), newest);
    mirror.on("near", &format!("fetch {TOP}:1.0.0")).ok();
    mirror.on("near", &format!("image verify {BASE}")).ok();
    mirror.on("near", &format!("image render {TOP} near/top")).ok();
    let top = fs::read_to_string(world.sandbox.path("near/top/rootfs/etc/top")).unwrap();
    assert_eq!(top, "2.0.0");
    mirror.on("near", &format!("fetch {TOP}:3.0.0")).refused(4);
    assert!(mirror.site.asked().iter().all(|path| path.starts_with("/example.com")));
    // What the author signed stands there byte for byte.
    for image in images {
        let own = if image["name"] == BASE { "base.aci" } else { "top-2.0.0.aci" };
        let there = format!("mirror/example.com/{}/image.aci", image["path"].as_str().unwrap());
        for end in ["", ".asc"] {
            let bytes = |path: &str| fs::read(world.sandbox.path(format!("{path}{end}"))).unwrap();
            assert!(bytes(&there) == bytes(own), "{own}{end}");
        }
    }
}

#[test]
fn mirror_writes_nothing_that_is_there_already() {
    let (world, _) = world();
    let line = format!("mirror {TOP} {BASE} --to mirror");
    let first = world.gantry(&line);
    assert_eq!(first.stderr.matches("written: ").count(), 2, "{first:?}");
    let before = listing(&world.sandbox.path("mirror"));
    let again = world.gantry(&line);
    assert_eq!(again.stderr.matches("there already: ").count(), 2, "{again:?}");
    assert_eq!(listing(&world.sandbox.path("mirror")), before);
    // An older version comes beside it, and the newest stays the latest.
    world.gantry(&format!("mirror {TOP}:1.0.0 --to mirror")).ok();
    let latest = fs::read(file(&world, "example.com/team/top/latest-any")).unwrap();
    assert!(latest == fs::read(world.sandbox.path("top-2.0.0.aci")).unwrap());
}

#[test]
fn mirror_that_was_tampered_with_is_refused_and_can_be_mended() {
    let (world, newest) = world();
    world.gantry(&format!("mirror {TOP} --to mirror")).ok();
    let path = file(&world, "example.com/team/top/latest-any");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mirror = Mirror::serve(&world);
    mirror.on("far", "trust add --prefix example.com author.pub").ok();
    let refused = mirror.on("far", &format!("fetch {TOP}")).refused(5);
    assert!(refused.stderr.contains(&format!("no   {TOP} would not be trusted")), "{refused:?}");
    let stored = mirror.on("far", "image list").ok();
    assert!(!stored.contains(TOP), "{stored}");

    let mended = world.json(&format!("mirror --pull never {TOP} --to mirror"));
    let new: Vec<_> = mended["images"].as_array().unwrap().iter().map(|i| &i["new"]).collect();
    assert_eq!(new, [false, true], "{mended}");
    mirror.site.serve(&world.sandbox.path("mirror"));
    assert_eq!(mirror.on("far", &format!("fetch {TOP}")).ok(), newest);
}

#[test]
fn mirror_refuses_what_it_cannot_keep() {
    let (world, _) = world();
    let refused =
        world.gantry(&format!("mirror {TOP} --to https://mirror.example.net/")).refused(3);
    assert!(refused.stderr.contains("folder"), "{refused:?}");
    // Another image of the same name and version.
    world.gantry(&format!("mirror {BASE} --to mirror")).ok();
    let before = listing(&world.sandbox.path("mirror"));
    world.sandbox.write("other/etc/other", "other");
    world.gantry(&format!("pack other -o other.aci --name {BASE} --version 1.0.0")).ok();
    world.gantry("sign other.aci --key author.key").ok();
    world.gantry("mirror ./other.aci --to mirror").refused(5);
    // A label that would lead out of the folder.
    world.gantry(&format!("pack other -o up.aci --name {BASE} --version ../../up")).ok();
    world.gantry("sign up.aci --key author.key").ok();
    world.gantry("mirror ./up.aci --to mirror").refused(5);
    assert_eq!(listing(&world.sandbox.path("mirror")), before);
    // Nobody trusted has signed it any more.
    let keys = world.json("key show author.pub");
    let fingerprint = keys["keys"][0]["fingerprint"].as_str().unwrap();
    world.gantry(&format!("trust remove {fingerprint}")).ok();
    world.gantry(&format!("mirror --pull never {BASE} --to elsewhere")).refused(5);
    assert!(!world.sandbox.path("elsewhere").exists());
}
