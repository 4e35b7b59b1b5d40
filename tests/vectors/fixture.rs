//! The keys, images and files that scenarios name.

use std::collections::HashMap;
use std::io::Write;
use std::sync::OnceLock;
use std::time::SystemTime;

use keys::{Algorithm, GenerateOptions, Generated, Signer};
use serde_json::Value;
use sha2::{Digest, Sha512};

use super::site::Route;

/// The images of a scenario, as bytes and by what they are called.
pub(crate) struct Fixture {
    images: HashMap<String, Vec<u8>>,
}

impl Fixture {
    pub(crate) fn new(scenario: &Value) -> Self {
        let images = scenario["images"].as_object().into_iter().flatten();
        Self { images: images.map(|(label, image)| (label.clone(), tar(image))).collect() }
    }

    /// The image ID of an image.
    pub(crate) fn id(&self, label: &str) -> String {
        format!("sha512-{}", hex(&Sha512::digest(&self.images[label])))
    }

    /// The text with its placeholders filled in.
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for who in ["alice", "bob"] {
            text = text.replace(&format!("{{fp:{who}}}"), &key(who).fingerprint.to_string());
        }
        for label in self.images.keys() {
            let id = self.id(label);
            for (kind, digits) in [("id", 128), ("key", 64), ("short", 32), ("id12", 12)] {
                text = text.replace(&format!("{{{kind}:{label}}}"), &id[..7 + digits]);
            }
        }
        text
    }

    /// The bytes that a scenario describes.
    pub(crate) fn bytes(&self, body: &Value) -> Vec<u8> {
        let flag = |name: &str| body[name].as_bool() == Some(true);
        if let Some(label) = body["image"].as_str() {
            return self.images[label].clone();
        }
        if let Some(text) = body["text"].as_str() {
            return self.fill(text).into_bytes();
        }
        if let Some(who) = body["key"].as_str() {
            let armored = sign(who, &self.bytes(&body["signature_over"]));
            return if flag("armor") { armored } else { dearmor(&armored) };
        }
        if let Some(who) = body["pubkeys"].as_array() {
            let armored = |who: &Value| key(who.as_str().unwrap()).public.clone();
            let blocks: Vec<Vec<u8>> = who.iter().map(armored).collect();
            return match flag("armor") {
                true => blocks.concat(),
                false => blocks.iter().flat_map(|block| dearmor(block)).collect(),
            };
        }
        let of = if body["of"].is_null() { Vec::new() } else { self.bytes(&body["of"]) };
        match (body["first_bytes"].as_u64(), body["compress"].as_str()) {
            (Some(first), _) => of[..first as usize].to_vec(),
            (None, Some("gzip")) => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&of).unwrap();
                encoder.finish().unwrap()
            }
            _ => of,
        }
    }

    /// The routes of a step's site. Where rkt would not check signatures, each image gets one.
    pub(crate) fn routes(&self, site: &Value, signed: bool) -> Vec<Route> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let headers = |value: &Value| {
            let all = value.as_object().into_iter().flatten();
            all.map(|(name, value)| (name.clone(), text(value))).collect::<Vec<_>>()
        };
        let mut routes = Vec::new();
        for route in site.as_array().into_iter().flatten() {
            let body = self.bytes(&route["body"]);
            let path = text(&route["path"]);
            if signed && path.ends_with(".aci") {
                let asc = Route {
                    host: text(&route["host"]),
                    path: format!("{path}.asc"),
                    status: 200,
                    headers: Vec::new(),
                    head_headers: Vec::new(),
                    body: sign("alice", &body),
                    behaviour: String::new(),
                    value: String::new(),
                };
                routes.push(asc);
            }
            routes.push(Route {
                host: text(&route["host"]),
                path,
                status: route["status"].as_u64().unwrap_or(200) as u16,
                headers: headers(&route["headers"]),
                head_headers: headers(&route["head_headers"]),
                body,
                behaviour: text(&route["behaviour"]),
                value: text(&route["value"]),
            });
        }
        routes
    }
}

/// One of the keys that scenarios name.
pub(crate) struct Key {
    pub(crate) public: Vec<u8>,
    pub(crate) fingerprint: keys::Fingerprint,
    signer: Signer,
}

pub(crate) fn key(who: &str) -> &'static Key {
    static ALICE: OnceLock<Key> = OnceLock::new();
    static BOB: OnceLock<Key> = OnceLock::new();
    let cell = if who == "alice" { &ALICE } else { &BOB };
    cell.get_or_init(|| {
        let now = SystemTime::now();
        let Generated { secret, public, fingerprint, .. } = keys::generate(&GenerateOptions {
            user_id: format!("{who} signer <{who}@example.com>"),
            algorithm: Algorithm::Ed25519,
            expires: None,
            passphrase: None,
            now,
        })
        .unwrap();
        let signer = Signer::open(&secret, None, now).unwrap();
        Key { public, fingerprint, signer }
    })
}

pub(crate) fn sign(who: &str, bytes: &[u8]) -> Vec<u8> {
    key(who).signer.sign(bytes).unwrap()
}

/// What stands inside an armored block.
fn dearmor(armored: &[u8]) -> Vec<u8> {
    let mut gpg = std::process::Command::new("gpg")
        .args(["--batch", "--dearmor"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    gpg.stdin.take().unwrap().write_all(armored).unwrap();
    gpg.wait_with_output().unwrap().stdout
}

fn tar(image: &Value) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut entry = |path: &str, kind, mode, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content).unwrap();
    };
    entry("manifest", tar::EntryType::Regular, 0o644, image["manifest"].to_string().as_bytes());
    entry("rootfs", tar::EntryType::Directory, 0o755, b"");
    for folder in image["rootfs_dirs"].as_array().into_iter().flatten() {
        entry(
            &format!("rootfs/{}", folder.as_str().unwrap()),
            tar::EntryType::Directory,
            0o755,
            b"",
        );
    }
    for (path, content) in image["rootfs_files"].as_object().into_iter().flatten() {
        let content = match content["fill_sha512_counter"].as_u64() {
            Some(length) => fill_sha512_counter(length as usize),
            None => content["text"].as_str().unwrap_or_default().as_bytes().to_vec(),
        };
        entry(&format!("rootfs/{path}"), tar::EntryType::Regular, 0o644, &content);
    }
    builder.into_inner().unwrap()
}

/// The first bytes of SHA-512("0") ‖ SHA-512("1") ‖ …
fn fill_sha512_counter(length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..length.div_ceil(64)).flat_map(|n| Sha512::digest(n.to_string()).to_vec()).collect();
    bytes.truncate(length);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
