//! Hostile archives, by each of the ways in which an image is pushed. Nothing of any is ever to be seen.

use aci::ImageId;
use reqwest::StatusCode;

use crate::acpush::Acpush;
use crate::archives::{Tar, manifest};
use crate::fixture::*;
use crate::ranges::{Sending, no_parts};

const NAME: &str = "example.com/team/hello";

/// Archives, and the code of their refusal.
fn hostile() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let sound = manifest(NAME, "1.0.0");
    let image = || Tar::image(NAME, "1.0.0");
    let with_manifest = || Tar::default().file("manifest", &sound);
    let with_rootfs = || Tar::default().directory("rootfs").file("rootfs/m", &sound);
    let directory = || image().directory("rootfs/d");
    let tars = [
        ("no manifest", Tar::default().directory("rootfs"), "image-layout"),
        ("no rootfs", with_manifest(), "image-layout"),
        ("rootfs is a file", with_manifest().file("rootfs", b""), "image-layout"),
        ("rootfs leads out", with_manifest().symlink("rootfs", "/tmp"), "image-layout"),
        ("rootfs leads on", with_manifest().symlink("rootfs", "elsewhere"), "image-layout"),
        ("manifest leads out", with_rootfs().symlink("manifest", "/etc/passwd"), "image-layout"),
        ("manifest leads in", with_rootfs().symlink("manifest", "rootfs/m"), "image-layout"),
        ("manifest is a link", with_rootfs().hard_link("manifest", "rootfs/m"), "image-layout"),
        ("beside the rootfs", image().file("rootfsevil", b"x"), "image-layout"),
        ("up", image().file("../outside", b"x"), "image-path"),
        ("up from within", image().file("rootfs/../../outside", b"x"), "image-path"),
        ("absolute", image().file("/rootfs/outside", b"x"), "image-path"),
        (
            "through a link up",
            image().symlink("rootfs/l", "..").file("rootfs/l/x", b"x"),
            "image-path",
        ),
        (
            "through a link out",
            image().symlink("rootfs/l", "/tmp").file("rootfs/l/x", b"x"),
            "image-path",
        ),
        (
            "through a link in",
            directory().symlink("rootfs/l", "d").file("rootfs/l/x", b"x"),
            "image-path",
        ),
        ("folder becomes a link", directory().symlink("rootfs/d", "/tmp"), "image-duplicate"),
        ("hard link up", image().hard_link("rootfs/l", "../outside"), "image-path"),
        ("hard link out", image().hard_link("rootfs/l", "/etc/passwd"), "image-path"),
        (
            "hard link through a link",
            image().symlink("rootfs/s", "/etc").hard_link("rootfs/l", "rootfs/s/passwd"),
            "image-hard-link",
        ),
    ];
    let mut all: Vec<_> =
        tars.into_iter().map(|(what, tar, code)| (what, tar.gzip(), code)).collect();
    all.push(("a bomb", image().gzip_with_zeros(4 << 20), "image-bomb"));
    all
}

/// A registry that is told of no archive but the one that is pushed.
async fn registry() -> (Registry, String) {
    let registry = Registry::start_with(|config| config.limits.ratio_floor = 1 << 20).await;
    registry.add_key("example.com/team", team_key()).await;
    let token = registry.token("example.com").await;
    (registry, token)
}

#[tokio::test]
async fn hostile_archives_are_refused_by_every_way_of_pushing() {
    let (registry, token) = registry().await;
    for (what, bytes, code) in hostile() {
        let (id, reference) = (ImageId::of([7; 64]), format!("{NAME}:1.0.0"));
        let image = Image { bytes, id, reference };
        let signature = sign(team_key(), &image.bytes);
        let stream = registry.push(&token, &image, &signature).await;
        assert_eq!(refused(stream).await, (422, code.to_owned()), "{what}");
        registry.assert_absent(&image).await;

        let sending = Sending::open(&registry, &token, &image).await;
        sending.send_range(0, image.bytes.len()).await;
        assert_eq!(refused(sending.commit().await).await, (422, code.to_owned()), "{what}");
        assert_eq!(sending.abort().await.status(), StatusCode::NO_CONTENT);
        no_parts(&registry).await;
        registry.assert_absent(&image).await;

        let mut client = Acpush::bearer(&registry, &token).await;
        let ended = client.push(NAME, &signature, &image.bytes).await;
        assert!(!ended.server_reason().is_empty(), "{what}");
        assert_eq!(client.statuses, [200, 200, 200, 422, 200], "{what}");
        registry.assert_absent(&image).await;
    }
}
