//! Detached signature files, armored or binary, read to the letter.
//!
//! OpenPGP leaves room in a signature for bytes nobody signed, and readers skip what
//! they do not know. Here a file is taken only where every bit of it counts, so that one
//! flipped bit is always refused: exact armor, exact framing, and in the part the
//! signature does not protect nothing but the issuer's name, which must be right.

use aci::Limits;
use openpgp::packet::signature::subpacket::SubpacketValue;
use openpgp::packet::{Packet, Signature};
use openpgp::parse::Parse;
use openpgp::serialize::MarshalInto;
use openpgp::types::SignatureType;
use sequoia_openpgp as openpgp;

use crate::armor::{self, ArmorError};

/// More signatures than anybody puts on one image; each costs a verification.
pub(crate) const MAX_SIGNATURES: usize = 16;

/// Why bytes are no detached signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFormatError {
    /// The file is empty.
    #[error("the signature file is empty")]
    Empty,
    /// More bytes than a signature file may have.
    #[error("the signature file has {found} bytes, at most {limit} are read")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The limit.
        limit: u64,
    },
    /// Neither armor nor OpenPGP packets: a web page, say.
    #[error("the signature file is neither an armored nor a binary OpenPGP signature")]
    NotOpenPgp,
    /// Armor with something else in it.
    #[error("the signature file holds a PGP {0}, not a detached signature")]
    OtherBlock(String),
    /// Packets that carry their own data, or are no signatures.
    #[error("the signature file holds a packet that is no signature ({0})")]
    OtherPacket(String),
    /// The armor is damaged.
    #[error("the armor of the signature is damaged: {0}")]
    Armor(String),
    /// The packets are damaged, cut off, or written in a way no tool writes them.
    #[error("the signature packet is damaged: {0}")]
    Packet(String),
    /// A signature of another version.
    #[error("the signature is of OpenPGP version {0}, image signatures are of version 4")]
    Version(u8),
    /// Not a signature of a binary file.
    #[error("the signature is of type {0}, an image's is of type binary")]
    Type(String),
    /// Something unsigned beside the signature.
    #[error("the signature carries unsigned data ({0})")]
    Unsigned(String),
    /// No time in the signature.
    #[error("the signature does not say when it was made")]
    NoTime,
    /// No issuer in the signature.
    #[error("the signature does not say who made it")]
    NoIssuer,
    /// Too many signatures.
    #[error("the file holds more than {MAX_SIGNATURES} signatures")]
    TooMany,
}

/// Reads the signatures of a file: at least one, of version 4, over a binary file.
pub(crate) fn read(file: &[u8], limits: &Limits) -> Result<Vec<Signature>, SignatureFormatError> {
    Ok(packets(file, limits)?.into_iter().map(|(_, signature)| signature).collect())
}

/// Reads the signatures of a file, each with the packet it stands in.
pub(crate) fn packets(
    file: &[u8],
    limits: &Limits,
) -> Result<Vec<(Vec<u8>, Signature)>, SignatureFormatError> {
    if file.is_empty() {
        return Err(SignatureFormatError::Empty);
    }
    // Read whole into memory, so bounded.
    if file.len() as u64 > limits.signature_bytes {
        let limit = limits.signature_bytes;
        return Err(SignatureFormatError::TooLarge { found: file.len(), limit });
    }
    let bytes = match file[0] {
        byte if byte & 0x80 != 0 => file.to_vec(),
        _ => unarmor(file)?,
    };
    let mut rest = &bytes[..];
    let mut all = Vec::new();
    while !rest.is_empty() {
        if all.len() == MAX_SIGNATURES {
            return Err(SignatureFormatError::TooMany);
        }
        let frame = frame(rest)?;
        let (packet, after) = rest.split_at(frame.end);
        all.push((packet.to_vec(), signature(packet, &packet[frame.header..])?));
        rest = after;
    }
    if all.is_empty() { Err(SignatureFormatError::Empty) } else { Ok(all) }
}

fn unarmor(file: &[u8]) -> Result<Vec<u8>, SignatureFormatError> {
    let blocks = armor::blocks(file);
    match blocks.first() {
        None => Err(SignatureFormatError::NotOpenPgp),
        Some(block) if block.label != "SIGNATURE" && known_block(&block.label) => {
            Err(SignatureFormatError::OtherBlock(block.label.to_lowercase()))
        }
        Some(_) => armor::decode(file, "SIGNATURE")
            .map_err(|error: ArmorError| SignatureFormatError::Armor(error.to_string())),
    }
}

fn known_block(label: &str) -> bool {
    ["SIGNED MESSAGE", "MESSAGE", "PUBLIC KEY BLOCK", "PRIVATE KEY BLOCK"].contains(&label)
}

/// Where the first packet's header ends, and where the packet does.
struct Frame {
    header: usize,
    end: usize,
}

/// Reads a packet's header (RFC 9580, 4.2): a signature, all of which is there.
fn frame(bytes: &[u8]) -> Result<Frame, SignatureFormatError> {
    let fault = |text: &str| SignatureFormatError::Packet(text.to_owned());
    let cut = || fault("it is cut off");
    let byte = |at: usize| bytes.get(at).copied().map(usize::from).ok_or_else(cut);
    let tag = byte(0)?;
    let kind = match tag {
        0xc0.. => tag & 0x3f,
        0x80.. => (tag >> 2) & 0xf,
        _ => return Err(fault("there are other bytes where a packet begins")),
    };
    if kind != 2 {
        let name = openpgp::packet::Tag::from(kind as u8).to_string();
        return Err(SignatureFormatError::OtherPacket(name));
    }
    let (header, length) = match tag {
        0xc0.. => match byte(1)? {
            first @ 0..=191 => (2, first),
            first @ 192..=223 => (3, ((first - 192) << 8) + byte(2)? + 192),
            255 => (6, big_endian(bytes.get(2..6).ok_or_else(cut)?)),
            _ => return Err(fault("its length is not told")),
        },
        _ => match tag & 3 {
            0 => (2, byte(1)?),
            1 => (3, big_endian(bytes.get(1..3).ok_or_else(cut)?)),
            2 => (5, big_endian(bytes.get(1..5).ok_or_else(cut)?)),
            _ => return Err(fault("its length is not told")),
        },
    };
    let end = header + length;
    if end > bytes.len() {
        return Err(cut());
    }
    Ok(Frame { header, end })
}

fn big_endian(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
}

fn signature(packet: &[u8], body: &[u8]) -> Result<Signature, SignatureFormatError> {
    let fault = |text: String| SignatureFormatError::Packet(text);
    match body.first() {
        Some(4) => {}
        Some(version) => return Err(SignatureFormatError::Version(*version)),
        None => return Err(fault("it is empty".into())),
    }
    let signature = match Packet::from_bytes(packet).map_err(|e| fault(format!("{e:#}")))? {
        Packet::Signature(signature) => signature,
        Packet::Unknown(unknown) => return Err(fault(format!("{:#}", unknown.error()))),
        other => return Err(SignatureFormatError::OtherPacket(other.tag().to_string())),
    };
    // Numbers with leading zeros and the like: the same signature, written otherwise. The
    // library refuses what is known of these; this holds whatever it comes to accept.
    if signature.to_vec().map_err(|e| fault(format!("{e:#}")))? != body {
        return Err(fault("it is not written as OpenPGP writes it".into()));
    }
    // A text signature holds for other line ends as well.
    if signature.typ() != SignatureType::Binary {
        return Err(SignatureFormatError::Type(signature.typ().to_string()));
    }
    for subpacket in signature.unhashed_area().iter() {
        match subpacket.value() {
            SubpacketValue::Issuer(_) | SubpacketValue::IssuerFingerprint(_)
                if !subpacket.critical() => {}
            _ => return Err(SignatureFormatError::Unsigned(subpacket.tag().to_string())),
        }
    }
    if signature.get_issuers().is_empty() {
        return Err(SignatureFormatError::NoIssuer);
    }
    Ok(signature)
}
