//! Every row of what must be refused: by `verify`, by `fetch` from a site that lies, and by the
//! registry when it is pushed. Each time the refusal says why, and nothing changes anywhere.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::hostile::Tar;
use support::registry::Registry;
use support::site::Site;
use support::{Sandbox, listing, tool};

const NAME: &str = "example.com/team/hello";
const TEMPLATE: &str = "/images/{name}-{version}.{ext}";

/// An author, her site, and a stranger who trusts her key for `example.com/team`.
struct World {
    sandbox: Sandbox,
    site: Site,
    registry: Registry,
}

impl World {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let site = Site::start("example.com", &sandbox.path(""));
        let config =
            format!("[[override]]\nprefix = \"example.com\"\nconnect = \"{}\"\n", site.address());
        sandbox.write("config.toml", config);
        let page = format!(
            "<html><head><meta name=\"ac-discovery\" content=\"example.com https://example.com{TEMPLATE}\">"
        );
        site.set("/", page);
        let registry = Registry::start(&sandbox, "example.com");
        let world = Self { sandbox, site, registry };
        world.key("author");
        world.trust("author", "example.com/team");
        // The store is not empty, so that "unchanged" says something.
        let kept = world.signed("kept", &Tar::image("example.com/team/kept", "1").gzip(), "author");
        world.publish("example.com/team/kept", "1", &kept);
        world.fetch("example.com/team/kept:1").ok();
        world
    }

    fn gantry(&self, line: &str) -> support::Ended {
        self.sandbox.gantry(line.split_whitespace())
    }

    fn key(&self, who: &str) {
        self.gantry(&format!(
            "key generate --user-id {who}@example.com --secret {who}.key --public {who}.pub"
        ))
        .ok();
    }

    fn trust(&self, who: &str, prefix: &str) {
        self.gantry(&format!("trust add --prefix {prefix} {who}.pub")).ok();
        self.gantry(&format!("registry keys add --data data --prefix {prefix} {who}.pub")).ok();
    }

    /// Writes an image and signs it: `FILE.aci` and `FILE.aci.asc`.
    fn signed(&self, file: &str, image: &[u8], who: &str) -> PathBuf {
        let path = self.sandbox.write(&format!("{file}.aci"), image);
        let _ = fs::remove_file(asc(&path));
        self.gantry(&format!("sign {file}.aci --key {who}.key")).ok();
        path
    }

    /// Puts an image and its signature where the site's template points for this name.
    fn publish(&self, name: &str, version: &str, image: &Path) {
        self.site.set(&format!("/images/{name}-{version}.aci"), fs::read(image).unwrap());
        self.site.set(&format!("/images/{name}-{version}.aci.asc"), fs::read(asc(image)).unwrap());
    }

    fn fetch(&self, reference: &str) -> support::Ended {
        let ca = self.site.ca_file().display();
        self.gantry(&format!("--config config.toml --ca-file {ca} fetch {reference}"))
    }

    /// A good image of [`NAME`], version 1.
    fn good(&self) -> PathBuf {
        let image = Tar::image(NAME, "1").file("rootfs/greeting", b"hello\n").gzip();
        self.signed("good", &image, "author")
    }

    /// Every file of the author, the stranger and the registry, but for the registry's
    /// catalogue, which writes down its own collections whenever they are due.
    fn files(&self) -> Vec<String> {
        let mut files = listing(&self.sandbox.path(""));
        files.retain(|file| !file.starts_with("data/gantry.db"));
        files
    }

    /// Publishes this image as [`NAME`], version 1, and sees `verify`, `fetch` and the
    /// registry refuse it with this code, and nothing change.
    #[track_caller]
    fn refused(&self, image: &Path, code: &str) {
        self.publish(NAME, "1", image);
        self.fetch_refused(code);
        let file = image.file_name().unwrap().to_str().unwrap();
        let before = self.files();
        let ended = self.gantry(&format!("--json verify {file}"));
        assert_eq!(ended.code, 5, "{ended:#?}");
        assert!(ended.stderr.contains(&format!("\"code\":\"{code}\"")), "{code}: {ended:#?}");
        assert_eq!(self.files(), before);
        self.push_refused(file, code);
    }

    /// Pushes this file past all checks of our own client, and sees the registry refuse it
    /// with a 4xx that says why, and show nothing of it.
    #[track_caller]
    fn push_refused(&self, file: &str, code: &str) {
        let blobs = listing(&self.registry.data().join("blobs"));
        let reply = self.registry.push(&self.sandbox, "example.com", file);
        assert!((400..500).contains(&reply.status), "{reply:?}");
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        for word in ["message", "wanted", "found", "rule", "next"] {
            assert!(body["error"][word].as_str().is_some_and(|s| !s.is_empty()), "{word}: {body}");
        }
        assert_eq!(body["error"]["code"], code, "{body}");
        assert_eq!(listing(&self.registry.data().join("blobs")), blobs);
        assert!(listing(&self.registry.data().join("spool")).is_empty());
        self.invisible();
    }

    /// Nothing of [`NAME`] is to be seen at the registry.
    #[track_caller]
    fn invisible(&self) {
        for path in [
            format!("/{NAME}").replace("/example.com", ""),
            format!("/-/images/{NAME}:1.aci"),
            format!("/-/images/{NAME}:1.aci.asc"),
            format!("/-/images/{NAME}.aci"),
        ] {
            let reply = self.registry.curl(&self.sandbox, "example.com", &path, &[]);
            assert_eq!(reply.status, 404, "{path}: {reply:?}");
        }
        let home = self.registry.curl(&self.sandbox, "example.com", "/", &[]);
        assert_eq!(home.status, 200);
        assert!(!home.body.contains(NAME), "{}", home.body);
    }

    #[track_caller]
    fn fetch_refused(&self, code: &str) {
        let reference = format!("{NAME}:1");
        let before = self.files();
        self.fetch(&reference).refused(5);
        let ended = self.fetch(&format!("--json {reference}"));
        assert!(ended.stderr.contains(&format!("\"code\":\"{code}\"")), "{code}: {ended:#?}");
        assert_eq!(ended.stdout, "");
        assert_eq!(self.files(), before, "something was left behind");
    }
}

fn asc(image: &Path) -> PathBuf {
    PathBuf::from(format!("{}.asc", image.display()))
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

#[test]
fn good_image_is_accepted() {
    let world = World::new();
    let image = world.good();
    world.publish(NAME, "1", &image);
    world.gantry("verify good.aci").ok();
    world.invisible();
    let reply = world.registry.push(&world.sandbox, "example.com", "good.aci");
    assert_eq!(reply.status, 201, "{reply:?}");
    let named = format!("/-/images/{NAME}:1.aci");
    assert_eq!(world.registry.curl(&world.sandbox, "example.com", &named, &[]).status, 200);
    let id = world.fetch(&format!("{NAME}:1")).ok();
    assert!(id.starts_with("sha512-") && id.len() == 135, "{id}");
}

#[test]
fn flipped_bit_in_the_image_is_refused() {
    let world = World::new();
    let image = world.good();
    let bytes = fs::read(&image).unwrap();
    for step in 0..24 {
        let bit = bytes.len() * 8 * step / 24 + step % 8;
        fs::write(&image, flipped(&bytes, bit)).unwrap();
        world.refused(&image, "signature-invalid");
    }
}

#[test]
fn flipped_bit_in_the_signature_is_refused() {
    let world = World::new();
    let image = world.good();
    let bytes = fs::read(asc(&image)).unwrap();
    for step in 0..24 {
        let bit = bytes.len() * 8 * step / 24 + step % 7;
        let bad = flipped(&bytes, bit);
        fs::write(asc(&image), &bad).unwrap();
        world.publish(NAME, "1", &image);
        let before = listing(&world.sandbox.path("store"));
        world.gantry("verify good.aci").refused(5);
        world.fetch(&format!("{NAME}:1")).refused(5);
        assert_eq!(listing(&world.sandbox.path("store")), before, "bit {bit}");
        let reply = world.registry.push(&world.sandbox, "example.com", "good.aci");
        assert!((400..500).contains(&reply.status), "bit {bit}: {reply:?}");
        world.invisible();
    }
}

#[test]
fn signature_of_another_image_is_refused() {
    let world = World::new();
    let image = world.good();
    let other = world.signed("other", &Tar::image(NAME, "2").gzip(), "author");
    fs::copy(asc(&other), asc(&image)).unwrap();
    world.refused(&image, "signature-invalid");
}

#[test]
fn untrusted_signer_is_refused_before_the_image_is_asked_for() {
    let world = World::new();
    world.key("mallory");
    let image = fs::read(world.good()).unwrap();
    let image = world.signed("good", &image, "mallory");
    world.refused(&image, "signer-not-trusted");
    world.site.asked();
    world.fetch(&format!("{NAME}:1"));
    let asked = world.site.asked();
    assert!(asked.contains(&format!("/images/{NAME}-1.aci.asc")), "{asked:?}");
    assert!(!asked.contains(&format!("/images/{NAME}-1.aci")), "{asked:?}");
}

#[test]
fn signer_trusted_for_another_prefix_is_refused() {
    let world = World::new();
    world.key("neighbour");
    // Neither a sibling whose text begins alike, nor something below, speaks for the name.
    world.trust("neighbour", "example.com/tea");
    world.trust("neighbour", "example.com/team/hello/inner");
    let image = fs::read(world.good()).unwrap();
    let image = world.signed("good", &image, "neighbour");
    world.refused(&image, "signer-wrong-prefix");
}

#[test]
fn expired_key_is_refused() {
    if !tool("gpg") {
        return;
    }
    let world = World::new();
    let image = world.good();
    // The key's last word about itself is that it ended before this signature was made.
    let script = "export GNUPGHOME=$PWD/gpg; mkdir -m 700 gpg
        g() { gpg --batch --quiet --pinentry-mode loopback --passphrase '' \"$@\"; }
        g --faked-system-time 20200101T000000 --quick-generate-key old@example.com ed25519 sign never
        rm -f good.aci.asc; g --armor --detach-sign --output good.aci.asc good.aci
        f=$(gpg --list-keys --with-colons | awk -F: '/^fpr/{print $10; exit}')
        g --faked-system-time 20200601T000000 --quick-set-expire $f 20210101T000000
        g --armor --export $f > old.pub; gpgconf --kill all";
    world.sandbox.shell(script).ok();
    world.trust("old", "example.com/team");
    world.refused(&image, "key-expired");
}

#[test]
fn revoked_key_is_refused() {
    if !tool("gpg") {
        return;
    }
    let world = World::new();
    let image = world.good();
    let script = "export GNUPGHOME=$PWD/gpg; mkdir -m 700 gpg
        g() { gpg --batch --quiet --pinentry-mode loopback --passphrase '' \"$@\"; }
        g --quick-generate-key gone@example.com ed25519 sign never
        rm -f good.aci.asc; g --armor --detach-sign --output good.aci.asc good.aci
        f=$(gpg --list-keys --with-colons | awk -F: '/^fpr/{print $10; exit}')
        g --armor --export $f > gone.pub
        sed 's/^:-----BEGIN/-----BEGIN/' gpg/openpgp-revocs.d/$f.rev | gpg --batch --quiet --import
        g --armor --export $f > revoked.pub; gpgconf --kill all";
    world.sandbox.shell(script).ok();
    // Before its owner said so, the key was as good as any.
    world.trust("gone", "example.com/team");
    world.gantry("verify good.aci").ok();
    world.trust("revoked", "example.com/team");
    world.refused(&image, "key-revoked");
}

#[test]
fn other_name_than_asked_is_refused() {
    let world = World::new();
    let image = Tar::image("example.com/team/other", "1").gzip();
    let image = world.signed("good", &image, "author");
    world.publish(NAME, "1", &image);
    world.fetch_refused("name-mismatch");
    // A push has no name but the one inside the image: that one is asked for, and it alone.
    let elsewhere = Tar::image("example.org/team/hello", "1").gzip();
    world.trust("author", "example.org");
    world.signed("elsewhere", &elsewhere, "author");
    world.push_refused("elsewhere.aci", "domain-not-served");
}

#[test]
fn other_label_than_asked_is_refused() {
    let world = World::new();
    let image = world.signed("good", &Tar::image(NAME, "2").gzip(), "author");
    world.publish(NAME, "1", &image);
    world.fetch_refused("label-mismatch");
    // A label that is absent is another one too.
    let bare = Tar::default()
        .file(
            "manifest",
            format!(r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"{NAME}"}}"#)
                .as_bytes(),
        )
        .directory("rootfs");
    let image = world.signed("good", &bare.gzip(), "author");
    world.publish(NAME, "1", &image);
    world.fetch_refused("label-mismatch");
}

#[test]
fn truncated_download_is_refused() {
    let world = World::new();
    let image = world.good();
    let bytes = fs::read(&image).unwrap();
    world.publish(NAME, "1", &image);
    let path = format!("/images/{NAME}-1.aci");
    let reference = format!("{NAME}:1");
    for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let before = world.files();
        // The connection ends before the length that was promised …
        world.site.set_cut(&path, &bytes[..cut], bytes.len() as u64);
        world.fetch_refused("download-truncated");
        // … or the site says that this is all there is.
        world.site.set(&path, &bytes[..cut]);
        world.fetch(&reference).refused(5);
        assert_eq!(world.files(), before);
    }
}

#[test]
fn links_in_the_place_of_manifest_and_rootfs_are_refused() {
    let world = World::new();
    let manifest = support::hostile::manifest(NAME, "1");
    let with_manifest = || Tar::default().file("manifest", &manifest);
    let with_rootfs = || Tar::default().directory("rootfs").file("rootfs/m", &manifest);
    for (tar, found) in [
        (with_manifest().symlink("rootfs", "/tmp"), "rootfs is a symlink"),
        (with_manifest().symlink("rootfs", "elsewhere"), "rootfs is a symlink"),
        (with_rootfs().symlink("manifest", "/etc/passwd"), "manifest is a symlink"),
        (with_rootfs().symlink("manifest", "rootfs/m"), "manifest is a symlink"),
        (with_rootfs().hard_link("manifest", "rootfs/m"), "manifest is a hard link"),
    ] {
        let image = world.signed("good", &tar.gzip(), "author");
        world.refused(&image, "image-layout");
        let ended = world.gantry("verify good.aci");
        assert!(ended.stderr.contains(found), "{found}: {ended:#?}");
    }
}

#[test]
fn paths_that_leave_the_image_are_refused() {
    let world = World::new();
    let outside = world.sandbox.path("outside");
    let outside = outside.to_str().unwrap();
    let image = || Tar::image(NAME, "1");
    for (tar, code) in [
        (image().file("../outside", b"x"), "image-path"),
        (image().file("rootfs/../../outside", b"x"), "image-path"),
        (image().file("rootfs/a/../../../outside", b"x"), "image-path"),
        (image().file(outside, b"x"), "image-path"),
        (image().file("/rootfs/outside", b"x"), "image-path"),
        (image().symlink("rootfs/l", "..").file("rootfs/l/outside", b"x"), "image-path"),
        (image().symlink("rootfs/l", outside).file("rootfs/l/x", b"x"), "image-path"),
        (
            image().symlink("rootfs/l", "d").directory("rootfs/d").file("rootfs/l/x", b"x"),
            "image-path",
        ),
        (
            image().directory("rootfs/d").symlink("rootfs/d", "/tmp").file("rootfs/d/x", b"x"),
            "image-duplicate",
        ),
        (image().hard_link("rootfs/l", "../outside"), "image-path"),
        (image().hard_link("rootfs/l", "/etc/passwd"), "image-path"),
        (
            image().symlink("rootfs/s", "/etc").hard_link("rootfs/l", "rootfs/s/passwd"),
            "image-hard-link",
        ),
        (image().file("rootfsevil", b"x"), "image-layout"),
    ] {
        let image = world.signed("good", &tar.gzip(), "author");
        world.refused(&image, code);
        assert!(!Path::new(outside).exists());
    }
    world.signed("good", &image().file("/rootfs/outside", b"x").gzip(), "author");
    let ended = world.gantry("verify good.aci");
    assert!(ended.stderr.contains("is absolute"), "{ended:#?}");
}

#[test]
fn compression_bomb_is_refused() {
    let world = World::new();
    let bomb = Tar::image(NAME, "1").gzip_with_zeros(400 << 20);
    assert!(bomb.len() < 1 << 20);
    let image = world.signed("good", &bomb, "author");
    world.refused(&image, "image-bomb");
}
