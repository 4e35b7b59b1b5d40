//! Taking an image in: written, inspected and verified as its bytes flow by.
//!
//! ```text
//!   file ──read──▶ chunk ──▶ signature digest ──▶ sink
//!                    └─▶ bounded channel ──▶ aci::archive::inspect   (second thread)
//! ```

use std::io::{self, Read, Write};
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use aci::archive::{
    ArchiveError, ContentSink, IndexSeal, InspectedImage, inspect_hashed, inspect_hashed_indexed,
};
use aci::{FileDigest, Limits, Refusal, Refuse};

use crate::error::VerifyError;
use crate::keyring::Keyring;
use crate::policy::Policy;
use crate::verify::{GoodSignature, Verification};

/// An image that was read to its end, keeps to the format, and is signed by a key
/// trusted for the name inside it, or by as many as are demanded of that name. Only [`receive()`] builds it.
#[derive(Debug, Clone)]
pub struct VerifiedImage {
    inspected: InspectedImage,
    signature: GoodSignature,
    further: Vec<GoodSignature>,
    index: Option<IndexSeal>,
}

impl VerifiedImage {
    /// What is in the image.
    pub fn inspected(&self) -> &InspectedImage {
        &self.inspected
    }

    /// Size and digest of the index that was written on the way, where one was wanted.
    pub fn index(&self) -> Option<&IndexSeal> {
        self.index.as_ref()
    }

    /// Who signed it, and when: the first of the good signatures.
    pub fn signature(&self) -> &GoodSignature {
        &self.signature
    }

    /// All good signatures by keys trusted for the image's name, in the file's order. One key
    /// may have made several.
    pub fn signatures(&self) -> impl Iterator<Item = &GoodSignature> {
        std::iter::once(&self.signature).chain(&self.further)
    }

    /// What the user should know though the signatures are good, each thing once.
    pub fn warnings(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for warning in self.signatures().flat_map(GoodSignature::warnings) {
            if !all.contains(warning) {
                all.push(warning.clone());
            }
        }
        all
    }
}

/// Why an image was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The archive or its manifest is not acceptable.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The signature is not acceptable.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Reading the image failed.
    #[error("cannot read the image: {0}")]
    Read(#[source] io::Error),
    /// Writing the image failed.
    #[error("cannot write the image: {0}")]
    Write(#[source] io::Error),
}

impl Refuse for ReceiveError {
    fn refusal(&self) -> Refusal {
        let failed = |code: &str, wanted: &str, next: &str| Refusal {
            code: code.into(),
            message: self.to_string(),
            wanted: wanted.into(),
            found: self.to_string(),
            rule: "an image is taken in whole or not at all".into(),
            next: next.into(),
        };
        match self {
            Self::Archive(error) => error.refusal(),
            Self::Verify(error) => error.refusal(),
            Self::Read(_) => failed("read-failed", "the whole image", "try again"),
            Self::Write(_) => {
                failed("write-failed", "room for the image", "check the disk, then try again")
            }
        }
    }
}

/// Bytes that flow on at a time.
const CHUNK: usize = 256 << 10;

/// Chunks that may wait for the inspection.
const WAITING: usize = 8;

/// How far a file is still read after the inspection has given up on it, counted from the
/// last byte the inspection saw: enough to tell of any file that is not large whether its
/// signature matches, too little to download a bomb. More than may be in flight between
/// the two threads, so that the outcome does not depend on their race.
const AFTER_FAULT: u64 = 4 << 20;

/// Reads an image to its end, writes it to `sink`, inspects it, and checks that
/// `signature` is over these bytes by a key trusted for the name in its manifest, and by as
/// many as the policy of the trusted keys demands of that name.
///
/// One pass: no more than a few chunks are in memory, nothing is read twice. What was
/// written to `sink` counts only when this returns an image; before that it is a
/// stranger's bytes, possibly not all of them.
///
/// Where both archive and signature are at fault and the file could be read to its end,
/// the signature is named: damage on the way is likelier than an author who signs
/// a broken archive.
pub fn receive(
    file: impl Read,
    sink: impl Write,
    signature: &[u8],
    keyring: &Keyring,
    policy: &Policy,
    limits: &Limits,
) -> Result<VerifiedImage, ReceiveError> {
    let inspection = |chunks: Chunks<'_>, file_digest: &OnceLock<FileDigest>| {
        Ok((inspect_hashed(chunks, file_digest, limits)?, None))
    };
    flow(file, sink, inspection, signature, keyring, policy, limits)
}

/// The same, and writes the archive's [index](aci::archive::inspect_indexed) on the way, while
/// `contents` sees what is in its files: both count under the same condition as what is written
/// to `sink`.
#[expect(clippy::too_many_arguments, reason = "one pass that has three things come of it")]
pub fn receive_indexed(
    file: impl Read,
    sink: impl Write,
    index: impl Write + Send,
    contents: &mut (impl ContentSink + Send),
    signature: &[u8],
    keyring: &Keyring,
    policy: &Policy,
    limits: &Limits,
) -> Result<VerifiedImage, ReceiveError> {
    let inspection = |chunks: Chunks<'_>, file_digest: &OnceLock<FileDigest>| {
        let (inspected, seal) =
            inspect_hashed_indexed(chunks, file_digest, limits, index, contents)?;
        Ok((inspected, Some(seal)))
    };
    flow(file, sink, inspection, signature, keyring, policy, limits)
}

type Inspection = Result<(InspectedImage, Option<IndexSeal>), ArchiveError>;

fn flow(
    file: impl Read,
    sink: impl Write,
    inspection: impl FnOnce(Chunks<'_>, &OnceLock<FileDigest>) -> Inspection + Send,
    signature: &[u8],
    keyring: &Keyring,
    policy: &Policy,
    limits: &Limits,
) -> Result<VerifiedImage, ReceiveError> {
    let verification = Verification::begin(signature, None, keyring, policy, limits)?;
    let verification = verification.hash_file().map_err(ReceiveError::Read)?;
    let (full, waiting) = mpsc::sync_channel(WAITING);
    let (emptied, spare) = mpsc::channel();
    let (seen, file_digest) = (AtomicU64::new(0), OnceLock::new());
    let (pumped, inspected) = thread::scope(|scope| {
        let chunks = Chunks { waiting, emptied, seen: &seen, chunk: Vec::new(), at: 0 };
        let inspection = thread::Builder::new()
            .name("inspect".into())
            .spawn_scoped(scope, || inspection(chunks, &file_digest))
            .map_err(ReceiveError::Read)?;
        let (seen, file_digest) = (&seen, &file_digest);
        let pump = Pump { verification, full: Some(full), spare, seen, file_digest, total: 0 };
        let pumped = pump.run(file, sink);
        let inspected = inspection.join().unwrap_or_else(|panic| resume_unwind(panic));
        Ok::<_, ReceiveError>((pumped, inspected))
    })?;
    conclude(pumped, inspected, keyring)
}

fn conclude(
    pumped: Result<Pumped, ReceiveError>,
    inspected: Inspection,
    keyring: &Keyring,
) -> Result<VerifiedImage, ReceiveError> {
    // A file that could not be read looks cut off to the inspection, so this comes first.
    let Pumped { verification, total, to_the_end } = pumped?;
    let (inspected, index) = match inspected {
        Ok(inspected) => inspected,
        Err(fault) => {
            if to_the_end {
                verification.finish()?;
            }
            return Err(fault.into());
        }
    };
    let good = verification.finish()?;
    // What was signed must be what was inspected, to the last byte.
    if inspected.file_bytes() != total {
        let fault = io::Error::other("the inspection did not read the image to its end");
        return Err(ReceiveError::Read(fault));
    }
    let (signature, further) = good.speaking_for(&inspected.manifest().name, keyring)?;
    Ok(VerifiedImage { inspected, signature, further, index })
}

/// The reading side: file, digest, sink, channel.
struct Pump<'a> {
    verification: Verification,
    /// `None` after the inspection has given up.
    full: Option<SyncSender<Vec<u8>>>,
    spare: Receiver<Vec<u8>>,
    seen: &'a AtomicU64,
    file_digest: &'a OnceLock<FileDigest>,
    total: u64,
}

struct Pumped {
    verification: Verification,
    total: u64,
    to_the_end: bool,
}

impl Pump<'_> {
    fn run(mut self, mut file: impl Read, mut sink: impl Write) -> Result<Pumped, ReceiveError> {
        loop {
            let mut chunk = self.spare.try_recv().unwrap_or_default();
            match fill(&mut file, &mut chunk) {
                Ok(()) => {}
                // Nothing is lost: the image is refused already.
                Err(_) if self.full.is_none() => return Ok(self.end(false)),
                Err(error) => {
                    // What came is of use to whoever goes on later.
                    sink.write_all(&chunk).map_err(ReceiveError::Write)?;
                    return Err(ReceiveError::Read(error));
                }
            }
            if chunk.is_empty() {
                sink.flush().map_err(ReceiveError::Write)?;
                if let Some(digest) = self.verification.file_digest() {
                    // It is the first: the file ends once.
                    let _ = self.file_digest.set(digest);
                }
                return Ok(self.end(true));
            }
            self.total += chunk.len() as u64;
            self.verification.update(&chunk);
            if let Some(full) = &self.full {
                sink.write_all(&chunk).map_err(ReceiveError::Write)?;
                if full.send(chunk).is_err() {
                    self.full = None;
                }
            }
            if self.full.is_none() && self.total > self.seen.load(Ordering::SeqCst) + AFTER_FAULT {
                return Ok(self.end(false));
            }
        }
    }

    /// Drops the channel: the inspection sees the end of the file.
    fn end(self, to_the_end: bool) -> Pumped {
        Pumped { verification: self.verification, total: self.total, to_the_end }
    }
}

/// Reads a whole chunk, or what is left.
fn fill(file: &mut impl Read, chunk: &mut Vec<u8>) -> io::Result<()> {
    chunk.resize(CHUNK, 0);
    let mut length = 0;
    let filled = loop {
        match file.read(&mut chunk[length..]) {
            Ok(0) => break Ok(()),
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    chunk.truncate(length);
    filled
}

/// The inspecting side: the chunks as one stream.
struct Chunks<'a> {
    waiting: Receiver<Vec<u8>>,
    emptied: Sender<Vec<u8>>,
    seen: &'a AtomicU64,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            let Ok(next) = self.waiting.recv() else { return Ok(0) };
            // Nobody minds when the other side has no more use for it.
            let _ = self.emptied.send(std::mem::replace(&mut self.chunk, next));
            self.at = 0;
        }
        let length = buffer.len().min(self.chunk.len() - self.at);
        buffer[..length].copy_from_slice(&self.chunk[self.at..self.at + length]);
        self.at += length;
        self.seen.fetch_add(length as u64, Ordering::SeqCst);
        Ok(length)
    }
}
