//! Reading images that are encrypted with a passphrase.
//!
//! What comes out of [`decrypt`] counts only when it returns: OpenPGP protects the
//! whole message with one check at its end, and bytes that were changed on the way
//! decrypt to something before that is found out.

use std::fmt::Display;
use std::io::{self, Cursor, Read, Seek, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use aci::archive::{ArchiveError, InspectedImage, inspect};
use aci::{Limits, Refusal, Refuse};
use openpgp::crypto::{Password, S2K, SessionKey};
use openpgp::packet::{PKESK, SKESK, Tag};
use openpgp::parse::stream::{
    DecryptionHelper, DecryptorBuilder, MessageLayer, MessageStructure, VerificationHelper,
};
use openpgp::parse::{PacketParser, PacketParserResult, Parse};
use openpgp::policy::StandardPolicy;
use openpgp::types::SymmetricAlgorithm;
use openpgp::{Cert, KeyHandle};
use sequoia_openpgp as openpgp;

use crate::error::VerifyError;
use crate::keyring::Keyring;
use crate::passphrase::Passphrase;
use crate::policy::Policy;
use crate::receive::ReceiveError;
use crate::verify::{GoodSignature, Verification};

/// Passphrases that a message may have been locked with, of which each is tried. Trying
/// one hashes up to 65 MB, and a message can name thousands.
const MOST_LOCKS: usize = 16;
/// The power of two of kibibytes that Argon2 may use to derive a key: 1 GiB.
const ARGON2_MEMORY: u8 = 20;
/// Kibibytes times passes that the keys of one message may take to derive: a few seconds.
const ARGON2_WORK: u64 = 2 << ARGON2_MEMORY;
/// Bytes within which the encrypted data has to begin: the locks before it are small.
const START: u64 = 16 << 10;
/// The least data that can be decrypted: a block, two bytes of it again, and the code.
const LEAST: usize = 16 + 2 + 22;
/// Bytes that the OpenPGP library holds back; the check of a message that is no longer
/// comes before its first byte.
const HELD_BACK: usize = 256 << 10;

/// Why an encrypted image could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DecryptError {
    /// Reading the file failed.
    #[error("cannot read the encrypted image: {0}")]
    Read(#[source] io::Error),
    /// Writing what was in it failed.
    #[error("cannot write the decrypted image: {0}")]
    Write(#[source] io::Error),
    /// The passphrase opens none of the message's locks.
    #[error("the passphrase does not open the encrypted image")]
    WrongPassphrase,
    /// Only holders of certain keys can read it.
    #[error("the image is encrypted for the holders of keys, not with a passphrase")]
    ForKeys,
    /// A form of encryption without a check that nothing was changed.
    #[error("the image is encrypted in a way that does not show whether it was changed")]
    Unauthenticated,
    /// A cipher, a lock or a packet that no image may have, or that is not understood.
    #[error("the image is encrypted in a way that is not supported: {0}")]
    Unsupported(String),
    /// It was changed or cut off after it was encrypted, or is no encrypted message at all.
    #[error("the encrypted image is damaged: {0}")]
    Damaged(String),
    /// More comes out than an image may have.
    #[error("the encrypted image holds more than {0} bytes")]
    Large(u64),
    /// Reading took longer than was allowed.
    #[error("decrypting the image takes longer than {0:?}")]
    Slow(Duration),
    /// So few bytes give so many that it can only be a bomb.
    #[error("{packed} bytes of the encrypted image give more than {unpacked}: a compression bomb")]
    Bomb {
        /// Bytes of the file read so far.
        packed: u64,
        /// Bytes they gave.
        unpacked: u64,
    },
}

impl Refuse for DecryptError {
    fn refusal(&self) -> Refusal {
        const WHOLE: &str =
            "what is encrypted is taken when its integrity was checked to the end (RFC 9580, 5.13)";
        const FORM: &str = "images may be encrypted with PGP symmetric encryption and the AES cipher (aci.md, \"Image Archives\")";
        const AGAIN: &str = "get the image again, from its author";
        const MAKE: &str = "have it encrypted with gantry pack --encrypt or gpg --symmetric";
        let (code, wanted, rule, next) = match self {
            Self::Read(_) => ("read-failed", "the whole file", WHOLE, "try again"),
            Self::Write(_) => {
                ("write-failed", "room for the image", WHOLE, "check the disk, then try again")
            }
            Self::WrongPassphrase => (
                "passphrase-wrong",
                "the passphrase the image was encrypted with",
                FORM,
                "check the passphrase file: only one line end at its end is left out",
            ),
            Self::ForKeys => ("encryption-unsupported", "encryption with a passphrase", FORM, MAKE),
            Self::Unauthenticated => {
                ("encryption-unauthenticated", "a modification detection code", WHOLE, MAKE)
            }
            Self::Unsupported(_) => ("encryption-unsupported", "AES and a passphrase", FORM, MAKE),
            Self::Damaged(_) => {
                ("encryption-damaged", "the file as it was encrypted", WHOLE, AGAIN)
            }
            Self::Large(_) => ("limit", "an image within the limits", FORM, AGAIN),
            Self::Slow(_) => (
                "image-time",
                "an image that can be read in the time given",
                FORM,
                "allow more time where the line or the disk is slow",
            ),
            Self::Bomb { .. } => ("bomb", "an image that is no compression bomb", FORM, AGAIN),
        };
        Refusal {
            code: code.into(),
            message: self.to_string(),
            wanted: wanted.into(),
            found: self.to_string(),
            rule: rule.into(),
            next: next.into(),
        }
    }
}

/// Decrypts a file into `plain`, in bounded memory, and gives the bytes that came out.
///
/// On an error, what reached `plain` is a stranger's bytes: throw them away.
pub fn decrypt(
    file: &mut (impl Read + Send + Sync),
    passphrase: &Passphrase,
    plain: &mut impl Write,
    limits: &Limits,
) -> Result<u64, DecryptError> {
    let mut start = Vec::new();
    (&mut *file).take(START).read_to_end(&mut start).map_err(DecryptError::Read)?;
    check_start(&start)?;
    let flow = Arc::new(Flow::default());
    let armor = (start.first() == Some(&b'-')).then(Armor::default);
    let mut source = Source { start: Cursor::new(start), file, flow: flow.clone(), armor };
    let total = run(&mut source, passphrase, plain, limits);
    // A file that could not be read looks damaged to the library.
    match (flow.failed.get(), total) {
        (Some(error), Err(_)) => {
            Err(DecryptError::Read(io::Error::new(error.kind(), error.to_string())))
        }
        (_, Err(error)) => Err(error),
        (_, Ok(total)) if source.armor.is_some() => {
            // The library has read on past the end of the armor.
            source.drain().map_err(DecryptError::Read)?;
            match source.armor {
                Some(Armor { ended: false, .. }) => {
                    Err(DecryptError::Damaged("its last line is not whole".into()))
                }
                Some(Armor { follows: true, .. }) => {
                    Err(DecryptError::Damaged("something follows the message".into()))
                }
                _ => Ok(total),
            }
        }
        (_, Ok(total)) => {
            let rest = io::copy(&mut source.take(1), &mut io::sink());
            match rest.map_err(DecryptError::Read)? {
                0 => Ok(total),
                _ => Err(DecryptError::Damaged("something follows the message".into())),
            }
        }
    }
}

/// A message is locks, then encrypted data. The library takes it for granted that there is
/// some, and panics over a file that was cut off right before.
fn check_start(start: &[u8]) -> Result<(), DecryptError> {
    let mut next = PacketParser::from_bytes(start).map_err(damaged)?;
    while let PacketParserResult::Some(mut packet) = next {
        match packet.packet.tag() {
            Tag::SKESK | Tag::PKESK | Tag::Marker | Tag::Padding => {}
            Tag::SEIP => {
                let mut data = Vec::new();
                let read = (&mut packet).take(LEAST as u64).read_to_end(&mut data);
                return match read {
                    Ok(LEAST) => Ok(()),
                    _ => Err(DecryptError::Damaged("it ends before its data".into())),
                };
            }
            other => return refuse_tag(other),
        }
        next = packet.next().map_err(damaged)?.1;
    }
    Err(DecryptError::Damaged("it holds no encrypted data".into()))
}

fn refuse_tag(tag: Tag) -> Result<(), DecryptError> {
    Err(match tag {
        // Without a code at its end, changed bytes decrypt to changed bytes.
        Tag::SED => DecryptError::Unauthenticated,
        Tag::AED => DecryptError::Unsupported("data of the draft packet type 20".into()),
        other => DecryptError::Damaged(format!("it holds a packet of type {other}")),
    })
}

fn run(
    source: &mut Source<'_, impl Read + Send + Sync>,
    passphrase: &Passphrase,
    plain: &mut impl Write,
    limits: &Limits,
) -> Result<u64, DecryptError> {
    let flow = source.flow.clone();
    let rules = StandardPolicy::new();
    let deadline = Deadline { allowed: limits.time, started: Instant::now() };
    let opener =
        Opener { password: passphrase.password(), encrypted: false, fault: None, deadline };
    let mut decryptor = DecryptorBuilder::from_reader(source)
        .map_err(damaged)?
        .buffer_size(HELD_BACK)
        .with_policy(&rules, None, opener)
        .map_err(|error| error.downcast::<DecryptError>().unwrap_or_else(damaged))?;
    let mut buffer = vec![0; 64 << 10];
    let mut unpacked = 0;
    loop {
        let got = match decryptor.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(error)),
        };
        deadline.check()?;
        unpacked += got as u64;
        if unpacked > limits.file_bytes {
            return Err(DecryptError::Large(limits.file_bytes));
        }
        // OpenPGP messages can be compressed inside: a bomb would fill the disk.
        let packed = flow.bytes.load(Ordering::SeqCst);
        if unpacked > limits.ratio_floor && unpacked / limits.ratio > packed {
            return Err(DecryptError::Bomb { packed, unpacked });
        }
        plain.write_all(&buffer[..got]).map_err(DecryptError::Write)?;
    }
    plain.flush().map_err(DecryptError::Write)?;
    let opener = decryptor.into_helper();
    match opener.fault {
        Some(fault) => Err(fault),
        // A message that is only compressed would pass as one that was opened.
        None if !opener.encrypted => Err(DecryptError::Damaged("it is not encrypted".into())),
        None => Ok(unpacked),
    }
}

fn damaged(error: impl Display) -> DecryptError {
    DecryptError::Damaged(format!("{error:#}"))
}

/// Verifies and reads an encrypted image, as [`receive`](crate::receive()) does a plain one:
/// the signature is over the file, the name it must speak for is in what was encrypted.
/// The image is left in `plain`, from its beginning, and counts only when this returns.
pub fn receive_encrypted(
    file: impl Read + Send + Sync,
    passphrase: &Passphrase,
    plain: &mut (impl Read + Write + Seek),
    signature: &[u8],
    keyring: &Keyring,
    policy: &Policy,
    limits: &Limits,
) -> Result<(InspectedImage, GoodSignature), ReceiveEncryptedError> {
    let verification = Verification::begin(signature, None, keyring, policy, limits)?;
    let mut signed = Signed { file, verification };
    match decrypt(&mut signed, passphrase, plain, limits) {
        Err(fault @ DecryptError::Damaged(_)) => {
            // Damage on the way is likelier than an author who signs a broken file.
            if io::copy(&mut signed, &mut io::sink()).is_ok() {
                signed.verification.finish()?;
            }
            return Err(fault.into());
        }
        decrypted => decrypted?,
    };
    let good = signed.verification.finish()?;
    plain.rewind().map_err(ReceiveError::Read)?;
    let inspected = inspect(&mut *plain, limits)?;
    plain.rewind().map_err(ReceiveError::Read)?;
    let (good, _) = good.speaking_for(&inspected.manifest().name, keyring)?;
    Ok((inspected, good))
}

/// Why an encrypted image was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveEncryptedError {
    /// It could not be decrypted.
    #[error(transparent)]
    Decrypt(#[from] DecryptError),
    /// What was in it, or its signature, is not acceptable.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
}

/// The file as it is read: every byte is shown to the verification.
struct Signed<R> {
    file: R,
    verification: Verification,
}

impl<R: Read> Read for Signed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buffer)?;
        self.verification.update(&buffer[..got]);
        Ok(got)
    }
}

/// What the reading side of a decryption has seen.
#[derive(Default)]
struct Flow {
    bytes: AtomicU64,
    failed: OnceLock<io::Error>,
}

struct Source<'a, R> {
    start: Cursor<Vec<u8>>,
    file: &'a mut R,
    flow: Arc<Flow>,
    armor: Option<Armor>,
}

impl<R: Read> Source<'_, R> {
    /// Reads to the end, or to something that follows an armored message.
    fn drain(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        while !self.armor.as_ref().is_some_and(|armor| armor.follows) {
            if self.read(&mut buffer)? == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// What of an armored message has gone by.
#[derive(Default)]
struct Armor {
    /// The end of what came before, where the last line may have begun.
    before: Vec<u8>,
    ended: bool,
    /// Something else than white space came after the end.
    follows: bool,
}

impl Armor {
    const END: &[u8] = b"-----END PGP MESSAGE-----";

    fn pass(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if !self.ended {
            self.before.extend_from_slice(bytes);
            let end = self.before.windows(Self::END.len()).position(|part| part == Self::END);
            let kept = self.before.len().saturating_sub(Self::END.len() - 1);
            let Some(end) = end else {
                self.before.drain(..kept);
                return;
            };
            self.ended = true;
            let after = self.before.len() - (end + Self::END.len());
            rest = &bytes[bytes.len() - after..];
            self.before.clear();
        }
        self.follows |= rest.iter().any(|byte| !byte.is_ascii_whitespace());
    }
}

/// How long it may take.
#[derive(Clone, Copy)]
struct Deadline {
    allowed: Option<Duration>,
    started: Instant,
}

impl Deadline {
    fn check(&self) -> Result<(), DecryptError> {
        match self.allowed {
            Some(allowed) if self.started.elapsed() > allowed => Err(DecryptError::Slow(allowed)),
            _ => Ok(()),
        }
    }
}

impl<R: Read> Read for Source<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self.start.read(buffer)? {
                0 => self.file.read(buffer),
                got => Ok(got),
            };
            match read {
                Ok(got) => {
                    if let Some(armor) = &mut self.armor {
                        armor.pass(&buffer[..got]);
                    }
                    self.flow.bytes.fetch_add(got as u64, Ordering::SeqCst);
                    return Ok(got);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let told = io::Error::new(error.kind(), error.to_string());
                    let _ = self.flow.failed.set(error);
                    return Err(told);
                }
            }
        }
    }
}

/// Opens the locks of a message, and decides what it may be made of.
struct Opener<'a> {
    password: &'a Password,
    encrypted: bool,
    fault: Option<DecryptError>,
    deadline: Deadline,
}

impl DecryptionHelper for Opener<'_> {
    fn decrypt(
        &mut self,
        _: &[PKESK],
        locks: &[SKESK],
        _: Option<SymmetricAlgorithm>,
        decrypt: &mut dyn FnMut(Option<SymmetricAlgorithm>, &SessionKey) -> bool,
    ) -> openpgp::Result<Option<Cert>> {
        if locks.is_empty() {
            return Err(DecryptError::ForKeys.into());
        }
        let mut fault = DecryptError::WrongPassphrase;
        let mut work = 0;
        for lock in locks.iter().take(MOST_LOCKS) {
            self.deadline.check()?;
            work += argon2_work(lock);
            let too_much = work > ARGON2_WORK;
            let slow = || too_much.then(|| "its key takes too long to derive".to_owned());
            if let Some(what) = unacceptable(lock).or_else(slow) {
                fault = DecryptError::Unsupported(what);
                continue;
            }
            let Ok((cipher, key)) = lock.decrypt(self.password) else { continue };
            if decrypt(cipher, &key) {
                return Ok(None);
            }
        }
        Err(fault.into())
    }
}

/// Kibibytes times passes to derive the key of a lock.
fn argon2_work(lock: &SKESK) -> u64 {
    let s2k = match lock {
        SKESK::V4(lock) => lock.s2k(),
        SKESK::V6(lock) => lock.s2k(),
        _ => return 0,
    };
    match s2k {
        S2K::Argon2 { t, m, .. } => u64::from(*t) << (*m).min(40),
        _ => 0,
    }
}

/// What is wrong with a lock before it was tried: a cipher that images do not have, or a
/// key that takes more memory to derive than a stranger may ask for.
fn unacceptable(lock: &SKESK) -> Option<String> {
    let (s2k, cipher) = match lock {
        SKESK::V4(lock) => (lock.s2k(), lock.symmetric_algo()),
        SKESK::V6(lock) => (lock.s2k(), lock.symmetric_algo()),
        other => return Some(format!("a lock of version {}", other.version())),
    };
    match s2k {
        S2K::Argon2 { m, .. } if *m > ARGON2_MEMORY => {
            Some(format!("its key takes 2^{m} KiB of memory to derive"))
        }
        _ if !is_aes(cipher) => Some(format!("with the cipher {cipher}")),
        _ => None,
    }
}

fn is_aes(cipher: SymmetricAlgorithm) -> bool {
    use SymmetricAlgorithm::{AES128, AES192, AES256};
    matches!(cipher, AES128 | AES192 | AES256)
}

impl VerificationHelper for Opener<'_> {
    fn inspect(&mut self, packet: &PacketParser<'_>) -> openpgp::Result<()> {
        // What `check_start` looked at is the outermost one.
        if packet.recursion_depth() > 0 && packet.packet.tag() == Tag::SEIP {
            return Err(DecryptError::Unsupported("encrypted twice".into()).into());
        }
        Ok(())
    }

    fn get_certs(&mut self, _: &[KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        Ok(Vec::new())
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        for (depth, layer) in structure.into_iter().enumerate() {
            match layer {
                MessageLayer::Encryption { sym_algo, .. } if depth == 0 => {
                    self.encrypted = true;
                    if !is_aes(sym_algo) {
                        let what = format!("with the cipher {sym_algo}");
                        self.fault = Some(DecryptError::Unsupported(what));
                    }
                }
                MessageLayer::Compression { .. } => {}
                MessageLayer::Encryption { .. } => {
                    self.fault = Some(DecryptError::Unsupported("encrypted twice".into()));
                }
                // An image's signature is a file of its own, over the encrypted file.
                MessageLayer::SignatureGroup { .. } => {
                    let what = "signed inside, where nobody verifies it".into();
                    self.fault = Some(DecryptError::Unsupported(what));
                }
            }
        }
        Ok(())
    }
}

impl From<ArchiveError> for ReceiveEncryptedError {
    fn from(error: ArchiveError) -> Self {
        Self::Receive(error.into())
    }
}

impl From<VerifyError> for ReceiveEncryptedError {
    fn from(error: VerifyError) -> Self {
        Self::Receive(error.into())
    }
}
