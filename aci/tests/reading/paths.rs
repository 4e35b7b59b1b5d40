//! Forms of paths.

use crate::support::{accepted, image, refused};

#[test]
fn path_of_two_dots_is_refused() {
    refused(&image().file("..", b"x").end(), "image-path");
    refused(&image().directory("../").end(), "image-path");
    refused(&image().file("rootfs/..", b"x").end(), "image-path");
}

#[test]
fn path_that_climbs_out_is_refused() {
    refused(&image().file("a/../../b", b"x").end(), "image-path");
    refused(&image().file("rootfs/a/../../../b", b"x").end(), "image-path");
}

#[test]
fn path_absolute_is_refused() {
    refused(&image().file("/abs", b"x").end(), "image-path");
    refused(&image().file("/rootfs/abs", b"x").end(), "image-path");
    refused(&image().file(".//abs", b"x").end(), "image-path");
}

#[test]
fn path_of_two_slashes_is_refused() {
    refused(&image().file("//", b"x").end(), "image-path");
    refused(&image().directory("//").end(), "image-path");
    refused(&image().file("rootfs//a", b"x").end(), "image-path");
}

#[test]
fn path_of_dot_and_slash_is_the_folder_itself() {
    let (inspected, place) = accepted(&image().directory("./").file("./rootfs/a", b"x").end());
    assert_eq!(inspected.entries(), 3);
    assert_eq!(std::fs::read(place.rootfs("a")).unwrap(), b"x");
    refused(&image().file("./", b"x").end(), "image-path");
}

#[test]
fn path_empty_is_refused() {
    refused(&image().file("", b"x").end(), "image-path");
    refused(&image().directory("").end(), "image-path");
}

#[test]
fn path_of_one_dot_is_the_folder_itself() {
    accepted(&image().directory(".").end());
    refused(&image().file(".", b"x").end(), "image-path");
    refused(&image().directory("rootfs/.").end(), "image-path");
}

#[test]
fn path_with_nul_is_refused() {
    let nul = image().records(&[("path", b"rootfs/a\0b")]).file("rootfs/c", b"");
    refused(&nul.end(), "image-tar");
}

#[test]
fn path_of_a_file_with_a_slash_at_its_end_is_refused() {
    refused(&image().file("rootfs/a/", b"x").end(), "image-path");
}

#[test]
fn path_too_long_is_refused() {
    let long = |bytes: usize| {
        let mut path = "rootfs".to_owned();
        while path.len() + 201 <= bytes {
            path.push('/');
            path.push_str(&"n".repeat(200));
        }
        path.push('/');
        path.push_str(&"n".repeat(bytes - path.len()));
        image().records(&[("path", path.as_bytes())]).file("rootfs/short", b"x").end()
    };
    accepted(&long(4095));
    refused(&long(4096), "image-path-too-long");
    refused(&long(100_000), "image-path-too-long");
    let name = ["rootfs/", &"n".repeat(256)].concat();
    let name = image().records(&[("path", name.as_bytes())]).file("rootfs/short", b"");
    refused(&name.end(), "image-name-too-long");
}
