//! Kinds of entries, duplicates, and every type flag.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use aci::archive::Ownership;

use crate::support::{
    MANIFEST, Place, Tar, accepted, changed, header, image, is_root, record, refused,
};

#[test]
fn device_nodes_are_restored_as_root_and_left_out_otherwise() {
    let tar = image()
        .device("rootfs/null", b'3', 1, 3)
        .device("rootfs/disk", b'4', 7, 200)
        .hard_link("rootfs/nothing", "rootfs/null")
        .end();
    let place = Place::new();
    let unpacked = place.unpack(&tar, Ownership::Caller).unwrap();
    assert_eq!(unpacked.left_out.devices, 3);
    assert_eq!(fs::read_dir(place.rootfs("")).unwrap().count(), 0);
    if is_root() {
        let place = Place::new();
        let unpacked = place.unpack(&tar, Ownership::Restore).unwrap();
        assert_eq!(unpacked.left_out.devices, 0);
        let null = fs::metadata(place.rootfs("null")).unwrap();
        assert!(null.file_type().is_char_device());
        assert_eq!(null.rdev(), rustix::fs::makedev(1, 3));
        assert_eq!(null.ino(), fs::metadata(place.rootfs("nothing")).unwrap().ino());
        assert_eq!(null.permissions().mode() & 0o777, 0o755);
        let disk = fs::metadata(place.rootfs("disk")).unwrap();
        assert!(disk.file_type().is_block_device());
    }
}

#[test]
fn set_user_id_is_dropped_with_the_owner() {
    let set_id = changed(header(b"rootfs/su", b'0', 0, b""), 100, b"0006755");
    let tar = image().block(set_id).end();
    let mode = |place: &Place| fs::metadata(place.rootfs("su")).unwrap().permissions().mode();
    let place = Place::new();
    assert_eq!(place.unpack(&tar, Ownership::Caller).unwrap().left_out.set_id, 1);
    assert_eq!(mode(&place) & 0o7777, 0o755);
    if is_root() {
        let place = Place::new();
        assert_eq!(place.unpack(&tar, Ownership::Restore).unwrap().left_out.set_id, 0);
        assert_eq!(mode(&place) & 0o7777, 0o6755);
    }
}

/// One of version 2, effective, without a root user of its own.
const CAPABILITY: [u8; 20] = {
    let mut value = [0; 20];
    (value[0], value[3], value[4]) = (1, 2, 0x80);
    value
};

#[test]
fn caller_who_is_root_gives_no_rights_away() {
    if !is_root() {
        return;
    }
    let records: [(&str, &[u8]); 3] = [
        ("SCHILY.xattr.security.capability", &CAPABILITY),
        ("SCHILY.xattr.trusted.x", b"1"),
        ("SCHILY.xattr.user.x", b"1"),
    ];
    let tar = image().records(&records).file("rootfs/su", b"").end();
    let has = |place: &Place, name: &str| {
        rustix::fs::getxattr(place.rootfs("su"), name, &mut [0_u8; 64][..]).is_ok()
    };
    for (ownership, privileged) in
        [(Ownership::Caller, false), (Ownership::Record, false), (Ownership::Restore, true)]
    {
        let place = Place::new();
        let unpacked = place.unpack(&tar, ownership.clone()).unwrap();
        if !has(&place, "user.x") {
            return; // The file system has no attributes of the user.
        }
        for name in ["security.capability", "trusted.x"] {
            assert_eq!(has(&place, name), privileged, "{name}, {ownership:?}");
        }
        assert_eq!(unpacked.left_out.xattrs, if privileged { 0 } else { 2 });
    }
}

#[test]
fn owner_map_moves_all_ids_there_are() {
    if !is_root() {
        return;
    }
    let tar = image()
        .records(&[("SCHILY.xattr.security.capability", &CAPABILITY)])
        .file("rootfs/implied/su", b"")
        .end();
    let place = Place::new();
    let range: aci::archive::IdRange = "0:100000:65536".parse().unwrap();
    let map = aci::archive::OwnerMap::new(vec![range.clone()], vec![range]).unwrap();
    place.unpack(&tar, Ownership::Mapped(map)).unwrap();
    for below in ["implied", "implied/su"] {
        let metadata = fs::metadata(place.rootfs(below)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (100_000, 100_000), "{below}");
    }
    // Where 0 is in no range, no folder can be made that belongs to it; others need it not.
    let range: aci::archive::IdRange = "1000:100000:1".parse().unwrap();
    let map = aci::archive::OwnerMap::new(vec![range.clone()], vec![range]).unwrap();
    let theirs = |block| changed(block, 108, b"0001750\x000001750\0");
    let folder = theirs(changed(header(b"rootfs/", b'5', 0, b""), 100, b"0000755"));
    let file = theirs(header(b"rootfs/f", b'0', 0, b""));
    let tar = Tar::default().file("manifest", MANIFEST).block(folder).block(file);
    Place::new().unpack(&tar.clone().end(), Ownership::Mapped(map.clone())).unwrap();
    let tar = tar.block(theirs(header(b"rootfs/implied/f", b'0', 0, b"")));
    assert!(Place::new().unpack(&tar.end(), Ownership::Mapped(map)).is_err());
    // A capability that counts below the namespace's root, and not on the host.
    let mut value = [0_u8; 64];
    let path = place.rootfs("implied/su");
    let length = rustix::fs::getxattr(path, "security.capability", &mut value[..]).unwrap();
    assert_eq!((length, value[3]), (24, 3));
    assert_eq!(value[20..24], 100_000_u32.to_le_bytes());
}

#[test]
fn modes_of_pipes_are_restored_whole() {
    let pipe = changed(header(b"rootfs/pipe", b'6', 0, b""), 100, b"0001666");
    let tar = image().block(pipe).end();
    let place = Place::new();
    place.unpack(&tar, Ownership::Caller).unwrap();
    let mode = fs::metadata(place.rootfs("pipe")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o1666);
}

#[test]
fn named_pipes_are_made_and_not_opened() {
    let (_, place) = accepted(&image().entry("rootfs/pipe", b'6', b"").end());
    assert!(fs::metadata(place.rootfs("pipe")).unwrap().file_type().is_fifo());
}

#[test]
fn overlay_whiteout_is_refused() {
    refused(&image().device("rootfs/gone", b'3', 0, 0).end(), "image-entry-type");
    // A block device of that number is no whiteout, only of no use.
    accepted(&image().device("rootfs/zero", b'4', 0, 0).end());
}

#[test]
fn names_that_layers_take_for_removed_are_names() {
    let (_, place) =
        accepted(&image().file("rootfs/.wh.a", b"x").file("rootfs/.wh..wh..opq", b"").end());
    assert_eq!(fs::read(place.rootfs(".wh.a")).unwrap(), b"x");
}

#[test]
fn duplicate_of_the_same_type_is_refused() {
    refused(&image().file("rootfs/a", b"1").file("rootfs/a", b"2").end(), "image-duplicate");
    refused(&image().directory("rootfs/a").directory("rootfs/a/").end(), "image-duplicate");
    refused(&image().file("rootfs/a", b"1").file("./rootfs/a", b"2").end(), "image-duplicate");
}

#[test]
fn duplicate_of_another_type_is_refused() {
    refused(&image().file("rootfs/a", b"1").directory("rootfs/a").end(), "image-duplicate");
    refused(&image().directory("rootfs/a").file("rootfs/a", b"1").end(), "image-duplicate");
}

#[test]
fn names_that_differ_in_case_are_two() {
    let (inspected, place) = accepted(&image().file("rootfs/a", b"1").file("rootfs/A", b"2").end());
    assert_eq!(inspected.entries(), 3);
    assert_eq!(fs::read(place.rootfs("A")).unwrap(), b"2");
    assert_eq!(fs::read(place.rootfs("a")).unwrap(), b"1");
}

#[test]
fn type_0_is_a_file() {
    let (_, place) = accepted(&image().entry("rootfs/a", b'0', b"x").end());
    assert_eq!(fs::read(place.rootfs("a")).unwrap(), b"x");
}

#[test]
fn type_nul_is_a_file() {
    let (_, place) = accepted(&image().entry("rootfs/a", 0, b"x").end());
    assert_eq!(fs::read(place.rootfs("a")).unwrap(), b"x");
}

#[test]
fn type_7_is_refused() {
    refused(&image().entry("rootfs/a", b'7', b"x").end(), "image-entry-type");
}

#[test]
fn types_of_vendors_are_refused() {
    for kind in b'A'..=b'Z' {
        // These two are GNU's long names, and cases of their own.
        if !b"KL".contains(&kind) {
            refused(&image().entry("rootfs/a", kind, b"x").end(), "image-entry-type");
        }
    }
    refused(&image().entry("rootfs/a", b'9', b"").end(), "image-entry-type");
    refused(
        &image().entry("rootfs/a", b'X', &record("path", b"rootfs/b")).end(),
        "image-entry-type",
    );
    refused(&image().entry("rootfs/a", 0xff, b"").end(), "image-entry-type");
}

#[test]
fn type_of_old_sparse_files_is_refused() {
    refused(&image().entry("rootfs/a", b'S', b"").end(), "image-entry-type");
}

/// GNU's long name, of a file or of a link's target.
fn long(kind: u8, name: &[u8]) -> Tar {
    image().entry("././@LongLink", kind, name)
}

#[test]
fn type_of_gnu_long_names_is_a_name() {
    let name = format!("rootfs/{}/{}", "d".repeat(150), "f".repeat(150));
    let tar = long(b'L', &[name.as_bytes(), b"\0"].concat()).file("rootfs/short", b"x");
    let (_, place) = accepted(&tar.end());
    assert_eq!(fs::read(place.target().join(&name)).unwrap(), b"x");
    let escape = long(b'L', b"../../etc/passwd\0").file("rootfs/short", b"x");
    refused(&escape.end(), "image-path");
    refused(
        &long(b'L', b"rootfs/a\0").entry("l", b'L', b"rootfs/b\0").file("x", b"").end(),
        "image-tar",
    );
    refused(&long(b'L', b"rootfs/a\0").end(), "image-tar");
}

#[test]
fn type_of_gnu_long_links_is_a_target() {
    let target = "t".repeat(300);
    let tar = long(b'K', &[target.as_bytes(), b"\0"].concat()).symlink("rootfs/l", "short");
    let (_, place) = accepted(&tar.end());
    assert_eq!(fs::read_link(place.rootfs("l")).unwrap().as_os_str().len(), 300);
    refused(
        &long(b'K', b"../../etc/passwd\0").hard_link("rootfs/l", "rootfs/f").end(),
        "image-path",
    );
}

#[test]
fn type_x_extends_one_entry() {
    let tar = image()
        .records(&[("path", b"rootfs/\xff"), ("hdrcharset", b"BINARY"), ("uname", b"nobody")])
        .file("rootfs/short", b"x")
        .file("rootfs/other", b"y")
        .end();
    let (inspected, place) = accepted(&tar);
    assert_eq!(inspected.entries(), 3);
    assert_eq!(fs::read(place.rootfs("other")).unwrap(), b"y");
    refused(&image().records(&[("path", b"rootfs/a")]).end(), "image-tar");
    let twice = image().records(&[("uid", b"1")]).records(&[("gid", b"1")]).file("rootfs/a", b"");
    refused(&twice.end(), "image-tar");
}

#[test]
fn type_g_may_hold_a_comment() {
    let git = Tar::default().entry("pax_global_header", b'g', &record("comment", b"abc"));
    accepted(&git.file("manifest", crate::support::MANIFEST).directory("rootfs").end());
}

#[test]
fn type_of_volume_names_is_refused() {
    refused(&image().entry("volume", b'V', b"").end(), "image-entry-type");
    refused(&Tar(Vec::new()).entry("manifest", b'V', b"").end(), "image-entry-type");
}

#[test]
fn type_of_continued_volumes_is_refused() {
    refused(&image().entry("rootfs/a", b'M', b"x").end(), "image-entry-type");
}
