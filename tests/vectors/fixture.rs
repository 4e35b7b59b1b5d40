//! The keys, images and files that scenarios name.

use std::collections::HashMap;
use std::io::Write;
use std::sync::OnceLock;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use keys::{Algorithm, GenerateOptions, Generated, Signer};
use serde_json::Value;
use sha2::{Digest, Sha512};

use super::site::Route;

/// The images of a scenario, as bytes and by what they are called.
pub(crate) struct Fixture {
    images: HashMap<String, Vec<u8>>,
}

impl Fixture {
    /// Makes the images, which are those of rkt byte for byte.
    pub(crate) fn new(scenario: &Value) -> Self {
        let images = scenario["images"].as_object().into_iter().flatten();
        let fixture = Self {
            images: images.clone().map(|(name, image)| (name.clone(), tar(image))).collect(),
        };
        for (name, image) in images {
            assert_eq!(image["id_of_reference_tar"], *fixture.id(name));
        }
        fixture
    }

    /// The image itself.
    pub(crate) fn image(&self, name: &str) -> &[u8] {
        &self.images[name]
    }

    fn id(&self, name: &str) -> String {
        let digest = Sha512::digest(self.image(name));
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha512-{digits}")
    }

    /// The text with its placeholders filled in.
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for who in ["alice", "bob"] {
            text = text.replace(&format!("{{fp:{who}}}"), &key(who).fingerprint.to_string());
        }
        for name in self.images.keys() {
            let id = self.id(name);
            for (kind, digits) in [("id", 128), ("key", 64), ("short", 32), ("id12", 12)] {
                text = text.replace(&format!("{{{kind}:{name}}}"), &id[..7 + digits]);
            }
        }
        text
    }

    /// The text with the fingerprints of the keys as scenarios write them.
    pub(crate) fn unfill(&self, text: &str) -> String {
        ["alice", "bob"].iter().fold(text.to_owned(), |text, who| {
            text.replace(&key(who).fingerprint.to_string(), &format!("{{fp:{who}}}"))
        })
    }

    /// The bytes that a scenario describes.
    pub(crate) fn bytes(&self, body: &Value) -> Vec<u8> {
        let armor = |armored: Vec<u8>| match body["armor"] {
            Value::Bool(true) => armored,
            _ => dearmor(&armored),
        };
        if let Some(name) = body["image"].as_str() {
            return self.images[name].clone();
        }
        if let Some(text) = body["text"].as_str() {
            return self.fill(text).into_bytes();
        }
        if let Some(who) = body["key"].as_str() {
            return armor(sign(who, &self.bytes(&body["signature_over"])));
        }
        if let Some(who) = body["pubkeys"].as_array() {
            let keys = who.iter().map(|who| key(who.as_str().unwrap()).public.as_slice());
            return armor(keys.collect::<Vec<_>>().concat());
        }
        if body["of"].is_null() {
            return Vec::new();
        }
        let mut of = self.bytes(&body["of"]);
        if let Some(first) = body["first_bytes"].as_u64() {
            of.truncate(first as usize);
        }
        if body["compress"] != "gzip" {
            return of;
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&of).unwrap();
        gzip.finish().unwrap()
    }

    /// The routes of a step's site; with signatures of our own where rkt would not check any.
    pub(crate) fn routes(&self, site: &Value, signed: bool) -> Vec<Route> {
        let all = site.as_array().unwrap();
        let routes = all.iter().map(|route| self.route(route));
        if !signed {
            return routes.collect();
        }
        let images = all.iter().filter(|route| route["path"].as_str().unwrap().ends_with(".aci"));
        let signatures = images.map(|route| {
            let image = self.bytes(&target(all, route)["body"]);
            Route {
                host: text(&route["host"]),
                path: format!("{}.asc", text(&route["path"])),
                status: 200,
                body: sign("alice", &image),
                ..Route::default()
            }
        });
        routes.chain(signatures).collect()
    }

    fn route(&self, route: &Value) -> Route {
        let headers = |value: &Value| {
            let all = value.as_object().into_iter().flatten();
            all.map(|(name, value)| (name.clone(), text(value))).collect::<Vec<_>>()
        };
        Route {
            host: text(&route["host"]),
            path: text(&route["path"]),
            status: route["status"].as_u64().unwrap_or(200) as u16,
            // What HEAD says of a file, GET says too (RFC 9110, 9.3.2).
            headers: [headers(&route["headers"]), headers(&route["head_headers"])].concat(),
            body: self.bytes(&route["body"]),
            behaviour: text(&route["behaviour"]),
            value: text(&route["value"]),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Where a route leads in the end.
fn target<'a>(all: &'a [Value], route: &'a Value) -> &'a Value {
    let Some(location) = route["headers"]["Location"].as_str() else { return route };
    let leads_there = |other: &&Value| {
        let (host, path) = (text(&other["host"]), text(&other["path"]));
        location == path || location == format!("https://{host}{path}")
    };
    let next = all.iter().find(leads_there).unwrap();
    if next == route { route } else { target(all, next) }
}

/// One of the keys that scenarios name.
struct Key {
    public: Vec<u8>,
    fingerprint: keys::Fingerprint,
    signer: Signer,
}

fn key(who: &str) -> &'static Key {
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

/// What stands inside an armored block: base64 after the first empty line, up to the checksum.
fn dearmor(armored: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(armored).unwrap();
    let (_, body) = text.split_once("\n\n").unwrap();
    let lines = body.lines().take_while(|line| !line.starts_with(['=', '-']));
    BASE64.decode(lines.collect::<String>()).unwrap()
}

/// An image as Python's tarfile writes it, with which rkt's were made.
fn tar(image: &Value) -> Vec<u8> {
    let mut tar = Vec::new();
    entry(&mut tar, "manifest", b'0', spaced(&image["manifest"]).as_bytes());
    entry(&mut tar, "rootfs/", b'5', b"");
    for folder in image["rootfs_dirs"].as_array().into_iter().flatten() {
        entry(&mut tar, &format!("rootfs/{}/", folder.as_str().unwrap()), b'5', b"");
    }
    for (path, content) in image["rootfs_files"].as_object().into_iter().flatten() {
        let content = match content["fill_sha512_counter"].as_u64() {
            Some(length) => fill_sha512_counter(length as usize),
            None => text(&content["text"]).into_bytes(),
        };
        entry(&mut tar, &format!("rootfs/{path}"), b'0', &content);
    }
    tar.extend([0; 1024]);
    tar.resize(tar.len().next_multiple_of(10240), 0);
    tar
}

fn entry(tar: &mut Vec<u8>, path: &str, kind: u8, content: &[u8]) {
    let mut header = [0; 512];
    let mut put = |at: usize, field: &[u8]| header[at..at + field.len()].copy_from_slice(field);
    put(0, path.as_bytes());
    put(100, if kind == b'5' { b"0000755" } else { b"0000644" });
    put(108, b"0000000\x000000000");
    put(124, format!("{:011o}\0{:011o}", content.len(), 1_000_000_000).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar.extend(header);
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// JSON with a space after each comma and colon.
fn spaced(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Array(items) => format!("[{}]", list(items.iter().map(spaced).collect())),
        Value::Object(members) => {
            let member = |(name, value)| format!("{}: {}", Value::from(name), spaced(value));
            format!(
                "{{{}}}",
                list(members.iter().map(|(n, v)| (n.as_str(), v)).map(member).collect())
            )
        }
        other => other.to_string(),
    }
}

/// The first bytes of SHA-512("0") ‖ SHA-512("1") ‖ …
fn fill_sha512_counter(length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..length.div_ceil(64)).flat_map(|n| Sha512::digest(n.to_string())).collect();
    bytes.truncate(length);
    bytes
}
