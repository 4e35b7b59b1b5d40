//! The folder that is unpacked into: what lies in it, what it passes on, and who changes it
//! meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use aci::Limits;
use aci::archive::{ArchiveError, IdRange, OwnerMap, Ownership, UnpackOptions, Unpacked, unpack};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use crate::support::{MANIFEST, Place, Tar, changed, header, image, is_root, tool};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A file whose owner, mode and time stand in its header.
fn owned(name: &str, uid: u32, gid: u32) -> Tar {
    let block = header(name.as_bytes(), b'0', 0, b"");
    image().block(changed(block, 108, format!("{uid:07o}\0{gid:07o}\0").as_bytes()))
}

#[test]
fn set_group_id_of_the_target_is_not_passed_on() {
    let tar = owned("rootfs/d/f", 0, 0).directory("rootfs/e").file("rootfs/implied/f", b"").end();
    let ownerships = if is_root() {
        vec![Ownership::Caller, Ownership::Restore]
    } else {
        vec![Ownership::Caller]
    };
    for ownership in ownerships {
        let place = Place::new();
        if is_root() {
            chown(place.target(), None, Some(12345)).unwrap();
        }
        fs::set_permissions(place.target(), fs::Permissions::from_mode(0o2775)).unwrap();
        place.unpack(&tar, ownership.clone()).unwrap();
        for below in ["", "d", "e", "implied"] {
            assert_eq!(mode(&place.rootfs(below)), 0o755, "{below}, {ownership:?}");
        }
        if ownership == Ownership::Restore {
            assert_eq!(fs::metadata(place.rootfs("d/f")).unwrap().gid(), 0);
            assert_eq!(fs::metadata(place.rootfs("e")).unwrap().gid(), 0);
        }
    }
}

/// The target cannot be unpacked into, and all that was in it stays as it was.
#[track_caller]
fn kept(place: &Place) {
    let before = fs::read(place.target().join("rootfs/f")).unwrap();
    let error = place.unpack(&image().file("rootfs/f", b"new").end(), Ownership::Caller);
    assert!(matches!(error, Err(ArchiveError::Io(_))), "{error:?}");
    assert_eq!(fs::read(place.target().join("rootfs/f")).unwrap(), before);
    assert!(!place.target().join("manifest").exists());
}

#[test]
fn target_with_an_immutable_file_is_refused() {
    let place = Place::new();
    fs::create_dir(place.rootfs("")).unwrap();
    fs::write(place.rootfs("f"), b"old").unwrap();
    fs::set_permissions(place.rootfs("f"), fs::Permissions::from_mode(0o444)).unwrap();
    let chattr = |flag: &str| {
        let file = place.rootfs("f");
        let output = std::process::Command::new("chattr").arg(flag).arg(file).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !(is_root() && tool("chattr") && chattr("+i")) {
        println!("the file is only read-only: this file system, or user, has no immutable ones");
    }
    kept(&place);
    chattr("-i");
}

#[test]
fn target_that_is_not_empty_is_refused() {
    let place = Place::new();
    fs::create_dir(place.rootfs("")).unwrap();
    fs::write(place.rootfs("f"), b"old").unwrap();
    kept(&place);
}

#[test]
fn target_that_is_a_symlink_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("elsewhere")).unwrap();
    symlink("elsewhere", place.path("link")).unwrap();
    let options = UnpackOptions::new(Ownership::Caller);
    let tar = image().end();
    let error = unpack(&*tar, &place.path("link"), &options, &Limits::default());
    assert!(matches!(error, Err(ArchiveError::Io(_))), "{error:?}");
    assert_eq!(fs::read_dir(place.path("elsewhere")).unwrap().count(), 0);
}

/// Gives the first `at` bytes of an archive, and the rest after something was done to the
/// folder that the first ones went to.
struct Meddler<'a> {
    bytes: &'a [u8],
    at: usize,
    given: usize,
    meddle: &'a dyn Fn(),
}

impl Read for Meddler<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.at {
            (self.meddle)();
        }
        let end = if self.given < self.at { self.at } else { self.bytes.len() };
        let got = (&self.bytes[self.given..end]).read(buffer)?;
        self.given += got;
        Ok(got)
    }
}

/// Unpacks `before`, puts a link to `victim` in the place of the folder `replaced`, and
/// unpacks `after`.
fn meddled(before: Tar, replaced: &str, after: Tar) -> (Result<Unpacked, ArchiveError>, Place) {
    let place = Place::new();
    let victim = place.path("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("secret"), b"of the host").unwrap();
    let meddle = || {
        let folder = place.target().join(replaced);
        fs::rename(&folder, place.path("taken")).unwrap();
        symlink(&victim, &folder).unwrap();
    };
    let at = before.0.len();
    let bytes = Tar([before.0, after.0].concat()).end();
    let reader = Meddler { bytes: &bytes, at, given: 0, meddle: &meddle };
    let options = UnpackOptions::new(Ownership::Caller);
    let unpacked = unpack(reader, &place.target(), &options, &Limits::default());
    let names: Vec<_> =
        fs::read_dir(&victim).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"], "something was written through the link");
    assert_eq!(mode(&victim), 0o755 & !umask(), "something was changed through the link");
    (unpacked, place)
}

fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let field = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap();
    u32::from_str_radix(field.trim(), 8).unwrap()
}

fn attacks() {
    let folders = || image().directory("rootfs/d").directory("rootfs/e").file("rootfs/e/f", b"x");
    let shut = changed(header(b"rootfs/d", b'5', 0, b""), 100, b"0000700");
    for (before, replaced, after) in [
        (folders(), "rootfs/d", Tar::default().file("rootfs/d/f", b"x")),
        (folders(), "rootfs/d", Tar::default().symlink("rootfs/d/f", "x")),
        (folders(), "rootfs/d", Tar::default().file("rootfs/d/new/f", b"x")),
        (folders(), "rootfs/d", Tar::default().entry("rootfs/d/f", b'6', b"")),
        (folders(), "rootfs", Tar::default().directory("rootfs/d/new")),
        // The folder's own mode and time are set at the end.
        (image().block(shut), "rootfs/d", Tar::default().file("rootfs/f", b"x")),
    ] {
        let (unpacked, place) = meddled(before, replaced, after);
        assert!(matches!(unpacked, Err(ArchiveError::Io(_))), "{replaced}: {unpacked:?}");
        drop(place);
    }
    // A hard link to a file that is not the image's any more.
    let before = image().file("rootfs/d/secret", b"x").file("rootfs/e/f", b"x");
    let after = Tar::default().hard_link("rootfs/e/l", "rootfs/d/secret");
    let (unpacked, place) = meddled(before, "rootfs/d", after);
    assert!(matches!(unpacked, Err(ArchiveError::Io(_))), "{unpacked:?}");
    assert!(!place.rootfs("e/l").exists());
}

#[test]
fn target_changed_meanwhile_leads_nowhere_else() {
    attacks();
}

/// Whether this thread has the system call that resolves below a folder.
fn has_openat2() -> bool {
    let (flags, resolve) = (OFlags::DIRECTORY | OFlags::RDONLY, ResolveFlags::BENEATH);
    rustix::fs::openat2(CWD, ".", flags, Mode::empty(), resolve).is_ok()
}

#[test]
fn target_changed_meanwhile_leads_nowhere_else_on_an_old_kernel() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
    const OPENAT2: i64 = 437;
    for errno in [rustix::io::Errno::NOSYS, rustix::io::Errno::PERM] {
        // A filter is of one thread and those it starts: the other tests keep the call.
        let run = move || {
            let filter: BpfProgram = SeccompFilter::new(
                BTreeMap::from([(OPENAT2, Vec::new())]),
                SeccompAction::Allow,
                SeccompAction::Errno(errno.raw_os_error() as u32),
                std::env::consts::ARCH.try_into().unwrap(),
            )
            .and_then(TryInto::try_into)
            .unwrap();
            apply_filter(&filter).unwrap();
            assert!(!has_openat2());
            attacks();
            let place = Place::new();
            let tar = image().file("rootfs/a/b/c/f", b"x").hard_link("rootfs/l", "rootfs/a/b/c/f");
            place.unpack(&tar.end(), Ownership::Caller).unwrap();
            assert_eq!(fs::read(place.rootfs("l")).unwrap(), b"x");
        };
        std::thread::spawn(run).join().unwrap();
    }
}

#[test]
fn owners_are_restored_as_root_and_moved_by_a_map() {
    if !is_root() {
        println!("skipped: only root can give files to others");
        return;
    }
    let tar = owned("rootfs/f", 1000, 50).symlink("rootfs/l", "f").end();
    let owner = |place: &Place, below: &str| {
        let metadata = fs::symlink_metadata(place.rootfs(below)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    let place = Place::new();
    place.unpack(&tar, Ownership::Restore).unwrap();
    assert_eq!((owner(&place, "f"), owner(&place, "l")), ((1000, 50), (0, 0)));
    let range = |text: &str| text.parse::<IdRange>().unwrap();
    let all = range("0:100000:65536");
    let map = OwnerMap::new(vec![all.clone()], vec![all.clone()]).unwrap();
    let place = Place::new();
    place.unpack(&tar, Ownership::Mapped(map)).unwrap();
    assert_eq!((owner(&place, "f"), owner(&place, "l")), ((101_000, 100_050), (100_000, 100_000)));
    assert_eq!(owner(&place, ""), (100_000, 100_000));
    // Whom no range holds must not become somebody.
    let map = OwnerMap::new(vec![all], vec![range("0:0:50")]).unwrap();
    let error = Place::new().unpack(&tar, Ownership::Mapped(map)).unwrap_err();
    assert!(error.to_string().contains("no range of the owner map"), "{error}");
}

#[test]
fn what_is_left_out_is_recorded() {
    let set_id =
        changed(header(b"rootfs/su\\\n", b'0', 0, b""), 100, b"0004755\x000001750\x000000062\0");
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let own = format!("{uid:07o}\0{gid:07o}\0");
    let own = |name: &[u8], kind| changed(header(name, kind, 0, b""), 108, own.as_bytes());
    let tar = Tar::default()
        .file("manifest", MANIFEST)
        .block(own(b"rootfs", b'5'))
        .block(own(b"rootfs/plain", b'0'))
        .block(set_id)
        .device("rootfs/null", b'3', 1, 3)
        .records(&[("SCHILY.xattr.user.overlay.opaque", b"y")])
        .block(own(b"rootfs/marked", b'5'))
        .end();
    let place = Place::new();
    let unpacked = place.unpack(&tar, Ownership::Record).unwrap();
    assert_eq!((unpacked.left_out.set_id, unpacked.left_out.xattrs), (1, 1));
    let record = fs::read_to_string(place.target().join("left-out.jsonl")).unwrap();
    assert_eq!(
        record,
        r#"{"path":"rootfs/su\\\\\\n","type":"file","mode":"4755","uid":1000,"gid":50}
{"path":"rootfs/null","type":"character","mode":"0755","uid":0,"gid":0,"device":[1,3]}
{"path":"rootfs/marked","type":"directory","mode":"0755","uid":UID,"gid":GID,"xattrs":{"user.overlay.opaque":"79"}}
"#
        .replace("UID", &uid.to_string())
        .replace("GID", &gid.to_string())
    );
}

#[test]
fn excluded_entries_are_left_out_and_no_link_to_them_dangles() {
    let tar = image()
        .directory("rootfs/doc")
        .file("rootfs/doc/f", b"x")
        .file("rootfs/kept", b"x")
        .hard_link("rootfs/doc/l", "rootfs/kept");
    let exclude = |path: &[u8], _: bool| path == b"doc" || path.starts_with(b"doc/");
    let options = UnpackOptions { ownership: Ownership::Caller, exclude: Some(&exclude) };
    let place = Place::new();
    let all = tar.clone().end();
    let unpacked = unpack(&*all, &place.target(), &options, &Limits::default()).unwrap();
    assert_eq!(unpacked.left_out.excluded, 3);
    assert!(place.rootfs("kept").exists() && !place.rootfs("doc").exists());
    let place = Place::new();
    let linked = tar.hard_link("rootfs/l", "rootfs/doc/f").end();
    let error = unpack(&*linked, &place.target(), &options, &Limits::default()).unwrap_err();
    assert_eq!(aci::Refuse::refusal(&error).code, "excluded-link-target");
}

#[test]
fn attributes_are_restored_and_an_overlays_marks_are_not() {
    let tar = image()
        .records(&[
            ("SCHILY.xattr.user.kept", b"value"),
            ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ])
        .directory("rootfs/d")
        .end();
    let place = Place::new();
    let ownership = if is_root() { Ownership::Restore } else { Ownership::Caller };
    assert_eq!(place.unpack(&tar, ownership).unwrap().left_out.xattrs, 2);
    let mut value = [0; 16];
    let length = rustix::fs::getxattr(place.rootfs("d"), "user.kept", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"value");
}
