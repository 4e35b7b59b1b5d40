//! The people of the cases, their keys, and what they sign.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aci::archive::{self, Compression, Entry, EntryKind, WriteOptions};
use aci::{ImageManifest, Labels, Name};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keys::{Algorithm, Fingerprint, GenerateOptions, Generated, Signer};

const DAY: Duration = Duration::from_secs(86400);

/// The time that is now in the cases: 2026-02-01.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_904_000)
}

/// Somebody with a key.
pub(crate) struct Person {
    key: Generated,
    /// When the signature is made.
    at: SystemTime,
}

static PEOPLE: LazyLock<BTreeMap<&str, Person>> = LazyLock::new(|| {
    let names = ["A", "B", "C", "D", "E", "EXPIRED", "REVOKED", "UNKNOWN"];
    names.into_iter().map(|name| (name, Person::new(name))).collect()
});

impl Person {
    pub(crate) fn called(name: &str) -> &'static Self {
        PEOPLE.get(name).unwrap_or_else(|| panic!("nobody is called {name}"))
    }

    /// Those who are called so have a key that ended before they signed, or was revoked.
    fn new(name: &str) -> Self {
        let expired = name == "EXPIRED";
        let mut key = keys::generate(&GenerateOptions {
            user_id: format!("{name} <{}@example.com>", name.to_lowercase()),
            algorithm: Algorithm::Ed25519,
            expires: expired.then_some(DAY * 10),
            passphrase: None,
            now: now() - DAY * 30,
        })
        .unwrap();
        if name == "REVOKED" {
            key.public = revoked(&key);
        }
        Self { key, at: now() - DAY }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.key.fingerprint
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        self.key.public.clone()
    }

    /// An armored signature. Our own signer refuses an expired key, so that signature is made
    /// by the key while it lived, and the case would then be another one: see [`late`].
    pub(crate) fn sign(&self, image: &[u8]) -> Vec<u8> {
        match Signer::open(&self.key.secret, None, self.at) {
            Ok(signer) => signer.sign(image).unwrap(),
            Err(_) => late(&self.key, self.at, image),
        }
    }
}

/// The public key with its owner's word that it is compromised.
fn revoked(key: &Generated) -> Vec<u8> {
    use openpgp::parse::Parse as _;
    use openpgp::serialize::SerializeInto as _;
    use openpgp::types::ReasonForRevocation;
    use sequoia_openpgp as openpgp;
    let cert = openpgp::Cert::from_bytes(&key.secret).unwrap();
    let pair = cert.primary_key().key().clone().parts_into_secret().unwrap();
    let revocation = openpgp::cert::CertRevocationBuilder::new()
        .set_reason_for_revocation(ReasonForRevocation::KeyCompromised, b"lost")
        .unwrap()
        .set_signature_creation_time(now() - DAY * 2)
        .unwrap()
        .build(&mut pair.into_keypair().unwrap(), &cert, None)
        .unwrap();
    let (cert, _) = cert.insert_packets(revocation).unwrap();
    cert.strip_secret_key_material().armored().to_vec().unwrap()
}

/// What a signer that does not look makes: a signature dated after its key's end.
fn late(key: &Generated, at: SystemTime, image: &[u8]) -> Vec<u8> {
    use openpgp::parse::Parse as _;
    use openpgp::serialize::stream::{Armorer, Message, Signer};
    use sequoia_openpgp as openpgp;
    use std::io::Write as _;
    let cert = openpgp::Cert::from_bytes(&key.secret).unwrap();
    let pair = cert.primary_key().key().clone().parts_into_secret().unwrap();
    let mut out = Vec::new();
    let message = Armorer::new(Message::new(&mut out)).kind(openpgp::armor::Kind::Signature);
    let signer = Signer::new(message.build().unwrap(), pair.into_keypair().unwrap()).unwrap();
    let mut signer = signer.detached().creation_time(at).build().unwrap();
    signer.write_all(image).unwrap();
    signer.finalize().unwrap();
    out
}

/// An armored file's bytes.
pub(crate) fn binary(armored: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(armored).unwrap();
    let body = text.split_once("\n\n").unwrap().1;
    let lines = body.lines().take_while(|line| !line.starts_with(['=', '-']));
    STANDARD.decode(lines.collect::<String>()).unwrap()
}

fn armored(label: &str, bytes: &[u8]) -> Vec<u8> {
    let mut text = format!("-----BEGIN PGP {label}-----\n\n");
    for line in STANDARD.encode(bytes).as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).unwrap());
        text.push('\n');
    }
    text.push_str(&format!("-----END PGP {label}-----\n"));
    text.into_bytes()
}

/// Two signatures in one armored block.
pub(crate) fn twice(first: &[u8], second: &[u8]) -> Vec<u8> {
    armored("SIGNATURE", &[binary(first), binary(second)].concat())
}

/// Two keys in one armored block.
pub(crate) fn together(first: &Person, second: &Person) -> Vec<u8> {
    let bytes = [binary(&first.key.public), binary(&second.key.public)].concat();
    armored("PUBLIC KEY BLOCK", &bytes)
}

/// The smallest image of this name.
pub(crate) fn image(name: &Name) -> Vec<u8> {
    let manifest = ImageManifest::new(name.clone(), Labels::default()).to_json().unwrap();
    let rootfs = Entry {
        path: "rootfs".into(),
        kind: EntryKind::Directory,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: 0,
        xattrs: Vec::new(),
    };
    let options = WriteOptions { compression: Compression::None, threads: NonZeroUsize::MIN };
    let mut out = Vec::new();
    archive::write(&mut out, &options, |archive| {
        archive.manifest(&manifest, 0)?;
        archive.entry(&rootfs)
    })
    .map_err(|error: std::io::Error| error)
    .unwrap();
    out
}
