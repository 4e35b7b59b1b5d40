//! What is kept, and what is found again.

use std::collections::HashMap;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use aci::archive::{Compression, Entry, EntryKind, WriteOptions};
use aci::{ImageId, Label, Labels, Limits, Reference, Refuse};
use discovery::Store;
use discovery::render::{Files, Shape, render};
use discovery::store::{Origin, Wanted};
use keys::{Algorithm, GenerateOptions, Keyring, Liveness, Policy, Scope, Signer};
use serde_json::{Map, Value, json};

use super::harness::Refused;
use super::{Case, Outcome};

pub(super) fn run(suite: &str, case: &Case) -> Option<Outcome> {
    match (suite, case.op.as_str()) {
        ("rkt_store", "key_of") => Some(key_of(&case.input)),
        ("rkt_store", "resolve") => Some(resolve(&case.input)),
        ("rkt_store", "lookup") => Some(lookup(&case.input)),
        ("rkt_tar_extract", "extract") => Some(extract(&case.input, case.wanted.as_ref())),
        _ => None,
    }
}

fn refused(error: &impl Refuse) -> Refused {
    let refusal = error.refusal();
    Refused::new(&refusal.code, format!("{}: {}", refusal.message, refusal.found))
}

/// A store, and somebody whose signature counts for every name.
struct Scene {
    folder: tempfile::TempDir,
    store: Store,
    signer: Signer,
    keyring: Keyring,
    policy: Policy,
}

impl Scene {
    fn new() -> Self {
        let now = SystemTime::now();
        let options = GenerateOptions {
            user_id: "author <author@example.com>".into(),
            algorithm: Algorithm::Ed25519,
            expires: None,
            passphrase: None,
            now: now - Duration::from_secs(3600),
        };
        let key = keys::generate(&options).unwrap();
        let signer = Signer::open(&key.secret, None, now).unwrap();
        let mut keyring = Keyring::default();
        keyring.push(key.certificate, Scope::Root);
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        Self { folder, store, signer, keyring, policy: Policy::new(now, Liveness::AtSigning) }
    }

    /// Fetches a file into the store, at this second.
    fn import(&self, image: &[u8], at: u64) -> Result<ImageId, Refused> {
        let signature = self.signer.sign(image).unwrap();
        let mut incoming = self.store.stage().unwrap();
        let verified = incoming
            .receive(image, &signature, &self.keyring, &self.policy, &Limits::default())
            .map_err(|error| refused(&error))?;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + at);
        let origin = Origin::File { path: "/image.aci".into() };
        let imported = incoming.commit(&verified, &signature, origin, now).unwrap();
        Ok(imported.record.image_id)
    }

    fn find(&self, wanted: &str) -> Result<ImageId, Refused> {
        let wanted: Wanted = wanted.parse().map_err(|error| Refused::new("usage", error))?;
        self.store.find(&wanted).map_err(|error| refused(&error))
    }
}

/// The key of an image, from its file.
fn key_of(input: &Value) -> Outcome {
    let (_, digits) = input.as_object().unwrap().iter().next().unwrap();
    let bytes = unhex(digits.as_str().unwrap());
    let id = Scene::new().import(&bytes, 0)?;
    Ok(json!({ "image_id": id, "store_key": &id.as_str()[..71] }))
}

/// Which of some images an image ID, or the beginning of one, means. The reference keeps half of
/// each; the other half is that of what is asked for where it goes on so far, else zeros.
fn resolve(input: &Value) -> Outcome {
    let scene = Scene::new();
    let wanted = input["id"].as_str().unwrap();
    for key in input["keys"].as_array().unwrap() {
        let key = key.as_str().unwrap();
        let whole = wanted.len() == 135 && wanted.starts_with(key);
        let id = if whole { wanted.to_owned() } else { format!("{key}{}", "0".repeat(64)) };
        let digits = &id[7..];
        fs::create_dir_all(scene.store.root().join("images").join(&digits[..2]).join(digits))
            .unwrap();
    }
    let id = scene.find(wanted)?;
    Ok(json!(&id.as_str()[..71]))
}

/// Which of some images a name and labels mean.
fn lookup(input: &Value) -> Outcome {
    let scene = Scene::new();
    let mut numbers = HashMap::new();
    for (number, image) in input["images"].as_array().unwrap().iter().enumerate() {
        let content = number.to_string();
        let files = [file("rootfs", EntryKind::Directory, 0o755, b""), text_file(&content)];
        let image = archive(&image["manifest"], &files);
        numbers.insert(scene.import(&image, number as u64)?, number);
    }
    let name = input["name"].as_str().unwrap().parse().unwrap();
    let words: Vec<&str> = input["labels"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|word| word.as_str().unwrap())
        .collect();
    let label = |pair: &[&str]| Label { name: pair[0].parse().unwrap(), value: pair[1].into() };
    let labels = Labels::try_from(words.chunks(2).map(label).collect::<Vec<_>>()).unwrap();
    let wanted = Wanted::Reference(Reference::new(name, labels));
    let found = scene.store.find(&wanted).map_err(|error| refused(&error))?;
    Ok(json!(numbers[&found]))
}

fn text_file(content: &str) -> (Entry, Vec<u8>) {
    let kind = EntryKind::File { size: content.len() as u64 };
    file("rootfs/file", kind, 0o644, content.as_bytes())
}

fn file(path: &str, kind: EntryKind, mode: u32, content: &[u8]) -> (Entry, Vec<u8>) {
    let entry =
        Entry { path: path.into(), kind, mode, uid: 0, gid: 0, mtime: 0, xattrs: Vec::new() };
    (entry, content.to_vec())
}

fn archive(manifest: &Value, entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let options = WriteOptions { compression: Compression::None, threads: NonZeroUsize::MIN };
    let mut out = Vec::new();
    aci::archive::write(&mut out, &options, |archive| {
        archive.manifest(&serde_json::to_vec(manifest).unwrap(), 0)?;
        entries.iter().try_for_each(|(entry, content)| archive.file(entry, &mut &content[..]))
    })
    .map_err(|error: std::io::Error| error)
    .unwrap();
    out
}

/// What several archives make, one over the other. Each is the rootfs of an image that depends
/// on the one before; the filter is the last one's path whitelist.
fn extract(input: &Value, wanted: Option<&Value>) -> Outcome {
    let scene = Scene::new();
    let archives = input["archives"].as_array().unwrap();
    let mut timed = Vec::new();
    let mut last = None;
    for (number, entries) in archives.iter().enumerate() {
        let mut manifest = json!({
            "acKind": "ImageManifest", "acVersion": "0.8.11", "name": format!("example.com/a{number}"),
        });
        if number > 0 {
            manifest["dependencies"] =
                json!([{"imageName": format!("example.com/a{}", number - 1)}]);
        }
        if number + 1 == archives.len() && !input["only"].is_null() {
            let only = input["only"].as_array().unwrap().iter();
            let only = only.map(|path| format!("/{}", path.as_str().unwrap()));
            manifest["pathWhitelist"] = only.collect();
        }
        let mut all = vec![file("rootfs", EntryKind::Directory, 0o755, b"")];
        for entry in entries.as_array().unwrap() {
            all.push(tar_entry(entry));
            if !entry["mtime"].is_null() {
                timed.push(entry["name"].as_str().unwrap().trim_end_matches('/').to_owned());
            }
        }
        last = Some(scene.import(&archive(&manifest, &all), number as u64)?);
    }
    let image = scene.store.open_image(&last.unwrap()).unwrap().unwrap();
    let target = scene.folder.path().join("out");
    render(&image, &target, Files::Rendered, Shape::Rootfs, &Limits::default())
        .map_err(|error| refused(&error))?;
    if wanted.is_some_and(|wanted| wanted.is_object()) {
        return Ok(Value::Null);
    }
    let mut found = Vec::new();
    list(&target, &target, &timed, &mut found);
    found.sort_by_key(|entry| entry["path"].as_str().unwrap().to_owned());
    name_links(&mut found, &target);
    Ok(Value::Array(found))
}

fn tar_entry(entry: &Value) -> (Entry, Vec<u8>) {
    let text = |key: &str| entry[key].as_str().unwrap_or_default();
    let content = text("data").as_bytes();
    let inside = |path: &str| format!("rootfs/{}", path.trim_end_matches('/'));
    let (kind, usual) = match text("type") {
        "dir" => (EntryKind::Directory, 0o755),
        "symlink" => (EntryKind::Symlink { target: text("link").into() }, 0o777),
        "hardlink" => {
            let target = inside(text("link").trim_start_matches('/'));
            (EntryKind::HardLink { target: target.as_str().into() }, 0o644)
        }
        _ => (EntryKind::File { size: content.len() as u64 }, 0o644),
    };
    let mode = u32::from_str_radix(text("mode"), 8).unwrap_or(usual);
    let (mut made, content) = file(&inside(text("name")), kind, mode, content);
    made.mtime = entry["mtime"].as_i64().unwrap_or_default();
    let xattrs = entry["xattrs"].as_object().into_iter().flatten();
    made.xattrs = xattrs
        .map(|(name, value)| (name.clone().into_bytes(), value.as_str().unwrap().into()))
        .collect();
    (made, content)
}

/// Everything below a folder, as the suite writes it.
fn list(top: &Path, folder: &Path, timed: &[String], found: &mut Vec<Value>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
        let mode = format!("{:04o}", metadata.permissions().mode() & 0o7777);
        let mut said = Map::new();
        if timed.contains(&name) {
            said.insert("mtime".into(), metadata.mtime().into());
        }
        said.insert("path".into(), name.into());
        let kind = if metadata.is_dir() {
            said.insert("mode".into(), mode.into());
            list(top, &path, timed, found);
            "dir"
        } else if metadata.is_symlink() {
            let link = fs::read_link(&path).unwrap();
            said.insert("link".into(), link.to_str().unwrap().into());
            "symlink"
        } else {
            said.insert("mode".into(), mode.into());
            said.insert("data".into(), fs::read_to_string(&path).unwrap().into());
            "file"
        };
        said.insert("type".into(), kind.into());
        found.push(said.into());
    }
}

/// Says of each further name of a file which one is its first.
fn name_links(found: &mut [Value], top: &Path) {
    let mut first: HashMap<u64, String> = HashMap::new();
    for entry in found {
        let path = entry["path"].as_str().unwrap().to_owned();
        let inode = top.join(&path).symlink_metadata().unwrap().ino();
        if entry["type"] == "file" {
            let known = first.entry(inode).or_insert_with(|| path.clone());
            if *known != path {
                entry["hardlink_of"] = json!(known);
            }
        }
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
    (0..digits.len() / 2).map(pair).collect()
}
