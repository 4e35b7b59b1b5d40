//! Images encrypted with a passphrase (spec: aci.md, "Image Archives": PGP symmetric
//! encryption with the AES cipher, after compression).
//!
//! What is written is what gpg 2.2 can read: a session key for AES-256, locked with the
//! passphrase by a salted hash that is iterated as often as OpenPGP can say, and data
//! with a modification detection code (RFC 9580, version 1 of "Symmetrically Encrypted
//! and Integrity Protected Data").
//!
//! A signature of an encrypted image is over the encrypted file.

use std::fmt::Display;
use std::io::{self, Write};

use aci::FileDigest;
use openpgp::crypto::hash;
use openpgp::serialize::stream::{Encryptor, LiteralWriter, Message};
use openpgp::types::{HashAlgorithm, SymmetricAlgorithm};
use sequoia_openpgp as openpgp;

use crate::passphrase::Passphrase;

/// A file that was written encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptedFile {
    /// SHA-512 of the file.
    pub digest: FileDigest,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Where the bytes go that are to be encrypted.
pub struct Encrypting<'a>(Message<'a>);

impl Write for Encrypting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes a file whose content `write` gives, encrypted with `passphrase`, in bounded memory.
///
/// Salt and session key are drawn anew each time: the same content gives other bytes.
/// On an error nothing that reached `out` is of any use.
pub fn encrypt<T, E: From<io::Error>>(
    out: &mut (impl Write + Send + Sync),
    passphrase: &Passphrase,
    write: impl FnOnce(&mut Encrypting<'_>) -> Result<T, E>,
) -> Result<(T, EncryptedFile), E> {
    let digest = HashAlgorithm::SHA512.context().map_err(library)?.for_digest();
    let mut sink = Sink { out, digest, bytes: 0 };
    let value = {
        let password = passphrase.password().clone();
        let message = Encryptor::with_passwords(Message::new(&mut sink), [password])
            .symmetric_algo(SymmetricAlgorithm::AES256)
            .build()
            .and_then(|message| LiteralWriter::new(message).build())
            .map_err(library)?;
        let mut encrypting = Encrypting(message);
        let value = write(&mut encrypting)?;
        encrypting.0.finalize().map_err(library)?;
        value
    };
    Ok((value, sink.finish()?))
}

fn library(error: impl Display) -> io::Error {
    io::Error::other(format!("cannot encrypt: {error:#}"))
}

/// The file as it is written: counted and hashed.
struct Sink<'a, W> {
    out: &'a mut W,
    digest: hash::Context,
    bytes: u64,
}

impl<W: Write> Write for Sink<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.out.write(bytes)?;
        self.digest.update(&bytes[..length]);
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Sink<'_, W> {
    fn finish(self) -> io::Result<EncryptedFile> {
        self.out.flush()?;
        let digest = self.digest.into_digest().map_err(library)?;
        let digest: [u8; 64] =
            digest.try_into().map_err(|_| library("a digest of another size"))?;
        Ok(EncryptedFile { digest: FileDigest::of(digest), bytes: self.bytes })
    }
}
