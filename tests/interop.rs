//! Both ways with the tools people have: actool, GNU tar and gpg read what gantry writes, and
//! gantry takes what they write, from the file to the fetch by name.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "what cannot be tried here is told")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, FileTimes, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use serde_json::Value;
use sha2::{Digest, Sha512};
use support::gpg::Gpg;
use support::world::World;
use support::{Sandbox, tool};

const DOMAIN: &str = "example.com";

/// Each compression of the specification, and who undoes it.
const COMPRESSIONS: [(&str, &str); 4] =
    [("gzip", "gzip -dc"), ("none", "cat"), ("bzip2", "bzip2 -dc"), ("xz", "xz -dc")];

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn tools(names: &[&str]) -> bool {
    names.iter().all(|name| tool(name))
}

/// A tree with every kind of thing a root file system can hold and this caller can make.
fn every_kind(sandbox: &Sandbox) {
    let file = |path: &[u8], mode: u32, content: &[u8]| {
        let path = sandbox.path("tree").join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let tool = file(b"bin/tool", 0o755, b"#!/bin/sh\n");
    let set_id = file(b"bin/su", 0o755, &[7; 70_000]);
    file(b"etc/empty", 0o600, b"");
    file(b"etc/read-only", 0o444, &[0; 512]);
    for name in [
        "naïve-日本".as_bytes(),
        b"caf\xe9",
        b"with blank",
        b"new\nline",
        b"back\\slash",
        b"-dash",
        b".hidden",
        b"\"quoted\"",
    ] {
        file(&[b"names/", name].concat(), 0o644, name);
    }
    // Paths as long as the fields of a header, and longer: 100, 155 and both together.
    let (long, deep) = ("n".repeat(255), format!("{}/", "d".repeat(60)));
    file(format!("long/{long}").as_bytes(), 0o644, b"name");
    for depth in [1, 2, 3, 6] {
        let path = format!("{}{}", deep.repeat(depth), "f".repeat(90));
        file(path.as_bytes(), 0o644, path.as_bytes());
    }
    let tree = sandbox.path("tree");
    for path in ["empty", "spool", "group"] {
        fs::create_dir(tree.join(path)).unwrap();
    }
    for link in ["links/again", "a-link", "names/third"] {
        fs::create_dir_all(tree.join(link).parent().unwrap()).unwrap();
        fs::hard_link(&tool, tree.join(link)).unwrap();
    }
    let far = format!("{}target", "../".repeat(60));
    for (target, link) in [
        ("bin/tool", "relative"),
        ("/no/such", "dangling"),
        (far.as_str(), "links/far"),
        ("..", "links/up"),
        ("naïve", "links/ä"),
    ] {
        symlink(target, tree.join(link)).unwrap();
    }
    rustix::fs::mknodat(CWD, tree.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o620), 0)
        .unwrap();
    if is_root() {
        for (name, kind, device) in
            [("null", FileType::CharacterDevice, (1, 3)), ("loop", FileType::BlockDevice, (7, 300))]
        {
            let device = rustix::fs::makedev(device.0, device.1);
            let made = rustix::fs::mknodat(CWD, tree.join(name), kind, Mode::RUSR, device);
            if made.is_err() {
                println!("left out: no device files can be made here: {made:?}");
            }
        }
        // An unprivileged unpacking drops these bits, so they are compared as root.
        fs::set_permissions(&set_id, fs::Permissions::from_mode(0o6755)).unwrap();
        fs::set_permissions(tree.join("group"), fs::Permissions::from_mode(0o2775)).unwrap();
        if support::tool("setcap") {
            let line = "PATH=$PATH:/usr/sbin:/sbin setcap cap_net_bind_service+ep tree/bin/tool";
            sandbox.shell(line).ok();
        }
    }
    fs::set_permissions(tree.join("spool"), fs::Permissions::from_mode(0o1777)).unwrap();
    for (path, name, value) in [
        ("etc/empty", "user.comment", &b"plain"[..]),
        ("etc/empty", "user.binary", b"=\0\xff\n="),
        ("etc/empty", "user.nothing", b""),
        ("empty", "user.of.a.folder", &[b'x'; 300]),
    ] {
        if let Err(error) = rustix::fs::lsetxattr(tree.join(path), name, value, XattrFlags::empty())
        {
            println!("left out: no extended attributes on this file system: {error}");
        }
    }
    // Times last, and a folder's after what is in it.
    for (path, seconds) in [
        ("etc/empty", 0),
        ("bin/tool", 981_173_106),
        ("etc", 1_234_567_890),
        ("bin/su", 5_000_000_000),
    ] {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let file = OpenOptions::new().read(true).open(tree.join(path)).unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
    }
}

/// What a path is: the same for two trees that are the same.
#[derive(Debug, PartialEq, Eq)]
struct Fact {
    kind_and_mode: u32,
    owner: Option<(u32, u32)>,
    modified: i64,
    device: u64,
    /// A symlink's target, or the digest of a file's content.
    content: Vec<u8>,
    /// The first name of the same file.
    first_name: Vec<u8>,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// The facts of a tree by path. Owners are compared by root, and are `owner` where it is given.
fn facts(root: &Path, owner: Option<(u32, u32)>) -> BTreeMap<Vec<u8>, Fact> {
    let mut paths = vec![root.to_owned()];
    let mut at = 0;
    while let Some(folder) = paths.get(at).cloned() {
        if folder.symlink_metadata().unwrap().is_dir() {
            paths.extend(fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()));
        }
        at += 1;
    }
    paths.sort();
    let mut inodes = HashMap::new();
    let mut all = BTreeMap::new();
    for path in paths {
        let metadata = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        let first_name = inodes.entry(metadata.ino()).or_insert_with(|| name.clone()).clone();
        let content = if metadata.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else if metadata.is_file() {
            Sha512::digest(fs::read(&path).unwrap()).to_vec()
        } else {
            Vec::new()
        };
        let fact = Fact {
            kind_and_mode: metadata.mode(),
            owner: is_root().then_some(owner.unwrap_or((metadata.uid(), metadata.gid()))),
            modified: metadata.mtime(),
            device: metadata.rdev(),
            content,
            first_name,
            attributes: attributes(&path),
        };
        all.insert(name, fact);
    }
    all
}

fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 4096];
    let got = rustix::fs::llistxattr(path, &mut names).unwrap_or(0);
    let names = names[..got].split(|&byte| byte == 0);
    let ours = names.filter(|name| name.starts_with(b"user.") || *name == b"security.capability");
    let values = ours.map(|name| {
        let mut value = vec![0; 4096];
        let got = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
        value.truncate(got);
        (name.to_vec(), value)
    });
    values.collect()
}

#[track_caller]
fn same(one: &BTreeMap<Vec<u8>, Fact>, other: &BTreeMap<Vec<u8>, Fact>) {
    let names = |facts: &BTreeMap<Vec<u8>, Fact>| {
        facts.keys().map(|name| name.escape_ascii().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(one), names(other));
    for (name, fact) in one {
        assert_eq!(Some(fact), other.get(name), "{}", name.escape_ascii());
    }
}

fn sha512(sandbox: &Sandbox, undo: &str, file: &str) -> String {
    let line = format!("{undo} {file} | sha512sum");
    sandbox.shell(&line).ok().split_whitespace().next().unwrap().to_owned()
}

#[test]
fn packed_image_is_what_actool_tar_and_sha512sum_say() {
    if !tools(&["actool", "bzip2", "xz"]) {
        return;
    }
    let sandbox = Sandbox::new();
    every_kind(&sandbox);
    // As large as the field of a header can say, and larger.
    for (at, owner) in [(0, 0), (2_097_151, 2_097_152), (3_000_000_000, 100_000)].iter().enumerate()
    {
        let wanted = facts(&sandbox.path("tree"), Some(*owner));
        for (compression, undo) in COMPRESSIONS {
            let file = format!("{compression}-{at}.aci");
            let pack = format!(
                "pack tree -o {file} --name example.com/every/kind --version 1.0.0 \
                 --label channel=beta --compression {compression} --owner {}:{} \
                 --annotation homepage=https://example.com -- /bin/tool -x",
                owner.0, owner.1
            );
            let id = sandbox.gantry(pack.split_whitespace()).ok();
            assert_eq!(id, format!("sha512-{}", sha512(&sandbox, undo, &file)), "{file}");

            let valid = sandbox.shell(&format!("actool --debug validate {file}"));
            assert!(valid.stderr.contains("valid app container image"), "{valid:?}");
            valid.ok();
            let manifest = sandbox.shell(&format!("actool cat-manifest {file}")).ok();
            let ours = sandbox.gantry(["inspect", "--manifest", &file]).ok();
            let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(json(&manifest), json(&ours));
            assert_eq!(json(&ours)["app"]["exec"], serde_json::json!(["/bin/tool", "-x"]));

            let out = format!("out-{compression}-{at}");
            sandbox
                .shell(&format!(
                    "mkdir {out}; tar --xattrs --xattrs-include='*' -C {out} -xpf {file}"
                ))
                .ok();
            same(&wanted, &facts(&sandbox.path(&out).join("rootfs"), None));
            let listed = sandbox.shell(&format!("tar -tf {file}")).ok().lines().count();
            let inspected = json(&sandbox.gantry(["--json", "inspect", &file]).ok());
            // tar counts the manifest too.
            assert_eq!(inspected["entries"], listed - 1);
            fs::remove_dir_all(sandbox.path(&out)).unwrap();
        }
    }
}

#[test]
fn extracted_image_is_the_tree_that_was_packed() {
    let world = World::new(&[DOMAIN]);
    let sandbox = &world.sandbox;
    every_kind(sandbox);
    let owner = (70_000, 3_000_000);
    let id = world
        .gantry("pack tree -o every.aci --name example.com/every --version 1 --owner 70000:3000000")
        .ok();
    world.gantry("sign every.aci --key author.key").ok();
    world.push("every").ok();
    assert_eq!(world.gantry("fetch example.com/every").ok(), id);
    let wanted = facts(&sandbox.path("tree"), Some(owner));
    for verb in ["extract", "render"] {
        world.gantry(&format!("image {verb} example.com/every {verb}")).ok();
        same(&wanted, &facts(&sandbox.path(verb).join("rootfs"), None));
        let read = |file: &str| fs::read(sandbox.path(file)).unwrap();
        let manifest = world.sandbox.gantry(["image", "manifest", "example.com/every"]).stdout;
        assert_eq!(read(&format!("{verb}/manifest")), manifest.as_bytes());
    }
    // And packed once more it is the same image: nothing was lost on the way.
    fs::copy(sandbox.path("extract/manifest"), sandbox.path("manifest")).unwrap();
    let owner = if is_root() { "keep" } else { "70000:3000000" };
    let again = format!("pack extract/rootfs -o again.aci --manifest manifest --owner {owner}");
    assert_eq!(world.gantry(&again).ok(), id);
    let read = |file: &str| fs::read(sandbox.path(file)).unwrap();
    assert!(read("again.aci") == read("every.aci"));
}

#[test]
fn gpg_accepts_signatures_of_both_kinds_of_key() {
    if !tool("gpg") {
        return;
    }
    let sandbox = Sandbox::new();
    let gpg = Gpg::new(&sandbox, "gpg");
    sandbox.write("tree/greeting", "hello\n");
    sandbox.gantry("pack tree -o app.aci --name example.com/app".split(' ')).ok();
    sandbox.write("passphrase", "a long one\n");
    sandbox.write("wrong", "another\n");
    for (algorithm, passphrase) in [
        ("ed25519", ""),
        ("ed25519", "--passphrase-file passphrase"),
        ("rsa4096", ""),
        ("rsa4096", "--passphrase-file passphrase"),
    ] {
        let who = format!("{algorithm}-{}", passphrase.len());
        let run = |line: String| sandbox.gantry(line.split_whitespace());
        let made = run(format!(
            "--json key generate --user-id {who}@example.com --algorithm {algorithm} \
             --secret {who}.key --public {who}.pub {passphrase}"
        ));
        let made: Value = serde_json::from_str(&made.ok()).unwrap();
        let fingerprint = made["fingerprint"].as_str().unwrap().to_uppercase();
        assert_eq!(made["locked"], !passphrase.is_empty());
        let sign = format!("sign app.aci --key {who}.key --overwrite");
        if !passphrase.is_empty() {
            for without in ["", " --passphrase-file wrong"] {
                let ended = run(format!("{sign}{without}"));
                assert_eq!(ended.code, 1, "{ended:?}");
                assert!(ended.stderr.contains("passphrase"), "{ended:?}");
            }
        }
        run(format!("{sign} {passphrase}")).ok();
        run(format!("verify app.aci --public {who}.pub")).ok();

        gpg.run(&["--import", &format!("{who}.pub")]);
        let status = gpg.verify("app.aci.asc", "app.aci");
        assert!(status.contains("[GNUPG:] GOODSIG "), "{status}");
        assert!(status.contains(&format!("[GNUPG:] VALIDSIG {fingerprint} ")), "{status}");
        sandbox.shell("cp app.aci other.aci; echo >> other.aci").ok();
        let status = gpg.verify("app.aci.asc", "other.aci");
        assert!(status.contains("[GNUPG:] BADSIG "), "{status}");
    }
}

/// A user of gpg, and the key that signs: the primary, or a subkey.
struct Signer {
    user: &'static str,
    kind: &'static str,
    subkey: bool,
}

const SIGNERS: [Signer; 4] = [
    Signer { user: "rsa-primary", kind: "rsa3072", subkey: false },
    Signer { user: "rsa-subkey", kind: "rsa2048", subkey: true },
    Signer { user: "ed-primary", kind: "ed25519", subkey: false },
    Signer { user: "ed-subkey", kind: "ed25519", subkey: true },
];

impl Signer {
    /// Makes the keys, and exports the public one: `USER.pub`. Gives the primary's fingerprint
    /// and that of the key that signs, as gantry writes them.
    fn make(&self, gpg: &Gpg<'_>) -> (String, String) {
        let Self { user, kind, subkey } = self;
        gpg.key(user, kind, if *subkey { "cert" } else { "cert,sign" });
        if *subkey {
            gpg.signing_subkey(user, kind);
        }
        gpg.export(user, &format!("{user}.pub"));
        let fingerprints = gpg.fingerprints(user);
        assert_eq!(fingerprints.len(), 1 + usize::from(*subkey));
        (fingerprints[0].to_lowercase(), fingerprints.last().unwrap().to_lowercase())
    }
}

/// Publishes an image that others have built and signed, and gets it by its name: `verify`,
/// push, trust, fetch.
fn goes_all_the_way(world: &World, file: &str, name: &str, user: &str, primary: &str, key: &str) {
    let said = world.json(&format!("verify {file}.aci --public {user}.pub"));
    assert_eq!((&said["signer"], &said["signingKey"]), (&primary.into(), &key.into()), "{said}");
    assert_eq!(said["warnings"], serde_json::json!([]), "{said}");
    let id = format!("sha512-{}", sha512(&world.sandbox, "gzip -dc", &format!("{file}.aci")));
    assert_eq!(said["imageId"], id.as_str());
    // Nobody knows this key yet, here or there.
    world.push(file).refused(6);
    world.server.add_key(&world.sandbox, name, &format!("{user}.pub"));
    let pushed = world.push(file).ok();
    assert_eq!(pushed.lines().next(), Some(id.as_str()));
    world.gantry(&format!("fetch {name}")).refused(5);
    world.gantry(&format!("trust add --prefix {name} --fingerprint {primary}")).ok();
    let fetched = world.json(&format!("fetch {name}"));
    assert_eq!(fetched["imageId"], id.as_str());
    assert_eq!(fetched["record"]["signer"], primary);
    world.gantry(&format!("image export {name} out.aci --overwrite")).ok();
    for end in ["aci", "aci.asc"] {
        let read = |file: &str| fs::read(world.sandbox.path(format!("{file}.{end}"))).unwrap();
        assert!(read("out") == read(file), "{file}.{end}");
    }
}

/// An image as a folder, for other tools to pack.
fn layout(sandbox: &Sandbox, folder: &str, name: &str) {
    let manifest = format!(
        "{{\"acKind\":\"ImageManifest\",\"acVersion\":\"0.8.11\",\"name\":\"{name}\",\
         \"labels\":[{{\"name\":\"version\",\"value\":\"1.0.0\"}}]}}"
    );
    sandbox.write(&format!("{folder}/manifest"), manifest);
    sandbox.write(&format!("{folder}/rootfs/etc/greeting"), name);
    // Long enough for the headers in which the formats differ.
    let deep = format!("{folder}/rootfs/{}", "deep/".repeat(40));
    sandbox.write(&format!("{deep}file"), "deep\n");
    fs::hard_link(
        sandbox.path(format!("{deep}file")),
        sandbox.path(format!("{folder}/rootfs/etc/same")),
    )
    .unwrap();
    symlink("deep/".repeat(40) + "file", sandbox.path(format!("{folder}/rootfs/link"))).unwrap();
}

#[test]
fn images_of_actool_signed_by_gpg_go_all_the_way() {
    if !tools(&["actool", "gpg"]) {
        return;
    }
    let world = World::new(&[DOMAIN]);
    let gpg = Gpg::new(&world.sandbox, "gpg");
    for signer in SIGNERS {
        let (primary, key) = signer.make(&gpg);
        let name = format!("example.com/actool/{}", signer.user);
        layout(&world.sandbox, signer.user, &name);
        let file = format!("built-{}", signer.user);
        world.sandbox.shell(&format!("actool build {} {file}.aci", signer.user)).ok();
        gpg.sign(signer.user, &format!("{file}.aci"));
        goes_all_the_way(&world, &file, &name, signer.user, &primary, &key);
    }
}

#[test]
fn images_of_tar_signed_by_gpg_go_all_the_way() {
    if !tool("gpg") {
        return;
    }
    let world = World::new(&[DOMAIN]);
    let gpg = Gpg::new(&world.sandbox, "gpg");
    let signer = &SIGNERS[3];
    let (primary, key) = signer.make(&gpg);
    for (at, (format, what)) in [
        ("gnu", "manifest rootfs"),
        ("posix", "manifest rootfs"),
        ("gnu", "."),
        ("posix", "rootfs manifest"),
    ]
    .iter()
    .enumerate()
    {
        let (name, file) = (format!("example.com/tar/{at}"), format!("tar-{at}"));
        layout(&world.sandbox, &file, &name);
        let line = format!("tar -C {file} --format={format} -cf - {what} | gzip > {file}.aci");
        world.sandbox.shell(&line).ok();
        let bytes = world.sandbox.shell(&format!("gzip -dc {file}.aci | wc -c")).ok();
        // Padded to a whole record, as tar does.
        assert_eq!(bytes.parse::<u64>().unwrap() % 10_240, 0);
        gpg.sign(signer.user, &format!("{file}.aci"));
        goes_all_the_way(&world, &file, &name, signer.user, &primary, &key);
        world.gantry(&format!("image extract {name} unpacked-{at}")).ok();
        let below = |folder: &str| facts(&world.sandbox.path(folder).join("rootfs"), None);
        same(&below(&file), &below(&format!("unpacked-{at}")));
    }
}
