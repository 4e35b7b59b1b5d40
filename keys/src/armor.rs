//! ASCII armor (RFC 9580, 6.2), read to the letter.
//!
//! ```text
//! -----BEGIN PGP SIGNATURE-----
//! Version: GnuPG v1               (headers, none in what is written today)
//!                                 (an empty line)
//! iHUEABYKAB0WIQT…                (base64)
//! =njUN                           (CRC-24 of the bytes, optional)
//! -----END PGP SIGNATURE-----
//! ```
//!
//! Readers of armor are lenient by custom, so a damaged signature file often still
//! verifies. Here every byte has one meaning, and anything else is refused: a
//! signature file that was touched is not the author's any more. The one place where a
//! change goes unseen is the text behind a header's colon, which means nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A block of armor found in a file, from its first line to its last.
pub(crate) struct Block<'a> {
    /// What the first line calls it: `PUBLIC KEY BLOCK`.
    pub(crate) label: String,
    /// The whole block.
    pub(crate) bytes: &'a [u8],
}

const BEGIN: &str = "-----BEGIN PGP ";
const END: &str = "-----END PGP ";
const DASHES: &str = "-----";

/// Headers that were ever written by OpenPGP tools (RFC 4880, 6.2). None means anything.
const HEADERS: [&str; 5] = ["Version", "Comment", "MessageID", "Hash", "Charset"];

/// Why bytes are no armor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArmorError {
    #[error("line {0} is none of armor")]
    Line(usize),
    #[error("line {0} is no header of armor")]
    Header(usize),
    #[error("there is no {END}{0}{DASHES} line")]
    NoEnd(String),
    #[error("the base64 text is damaged")]
    Base64,
    #[error("the checksum does not match")]
    Checksum,
}

/// Finds the blocks of a file that may hold text between them.
pub(crate) fn blocks(bytes: &[u8]) -> Vec<Block<'_>> {
    let starts: Vec<usize> = bytes
        .windows(BEGIN.len())
        .enumerate()
        .filter(|(at, window)| *window == BEGIN.as_bytes() && (*at == 0 || bytes[at - 1] == b'\n'))
        .map(|(at, _)| at)
        .collect();
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| {
            let bytes = &bytes[*start..end];
            let line = bytes[BEGIN.len()..].split(|b| *b == b'\n').next().unwrap_or_default();
            let label = String::from_utf8_lossy(line).trim_end().to_owned();
            Block { label: label.strip_suffix(DASHES).unwrap_or(&label).to_owned(), bytes }
        })
        .collect()
}

/// Reads a file that holds blocks of armor called `label`, and nothing else.
pub(crate) fn decode(text: &[u8], label: &str) -> Result<Vec<u8>, ArmorError> {
    let mut lines = Lines { rest: text, number: 0 };
    let (begin, end) = (format!("{BEGIN}{label}{DASHES}"), format!("{END}{label}{DASHES}"));
    let mut bytes = Vec::new();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        if line != begin.as_bytes() {
            return Err(ArmorError::Line(lines.number));
        }
        bytes.extend(decode_block(&mut lines, label, end.as_bytes())?);
    }
    Ok(bytes)
}

fn decode_block(lines: &mut Lines<'_>, label: &str, end: &[u8]) -> Result<Vec<u8>, ArmorError> {
    let no_end = || ArmorError::NoEnd(label.to_owned());
    loop {
        let line = lines.next().ok_or_else(no_end)?;
        if line.is_empty() {
            break;
        }
        if !is_header(line) {
            return Err(ArmorError::Header(lines.number));
        }
    }
    let mut base64 = Vec::new();
    let mut checksum = None;
    loop {
        let line = lines.next().ok_or_else(no_end)?;
        if line == end {
            break;
        }
        // Nothing but the last line follows the checksum.
        if line.is_empty() || checksum.is_some() {
            return Err(ArmorError::Line(lines.number));
        }
        match line.strip_prefix(b"=") {
            Some(sum) if sum.len() == 4 => {
                checksum = Some(STANDARD.decode(sum).map_err(|_| ArmorError::Checksum)?);
            }
            _ => base64.extend_from_slice(line),
        }
    }
    let bytes = STANDARD.decode(&base64).map_err(|_| ArmorError::Base64)?;
    if checksum.is_some_and(|sum| sum != crc24(&bytes)) {
        return Err(ArmorError::Checksum);
    }
    Ok(bytes)
}

fn is_header(line: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(line) else { return false };
    let known = text.split_once(": ").is_some_and(|(key, _)| HEADERS.contains(&key));
    known && !text.chars().any(char::is_control)
}

/// Writes a block of armor with its checksum, which RFC 9580 calls optional and the
/// OpenPGP library of rkt and acpush asks for.
pub(crate) fn encode(label: &str, bytes: &[u8]) -> Vec<u8> {
    let mut text = format!("{BEGIN}{label}{DASHES}\n\n").into_bytes();
    for line in STANDARD.encode(bytes).as_bytes().chunks(64) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    let checksum = STANDARD.encode(crc24(bytes));
    text.extend_from_slice(format!("={checksum}\n{END}{label}{DASHES}\n").as_bytes());
    text
}

/// RFC 9580, 6.1.1.
fn crc24(bytes: &[u8]) -> [u8; 3] {
    let mut crc: u32 = 0x00b7_04ce;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    let [_, high, middle, low] = crc.to_be_bytes();
    [high, middle, low]
}

/// Lines that end in LF or CRLF; the last one may lack its end.
struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') else {
            return Some(std::mem::take(&mut self.rest));
        };
        let line = &self.rest[..at];
        self.rest = &self.rest[at + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armor_reads_what_it_wrote() {
        for length in [0, 1, 2, 3, 47, 48, 49, 500] {
            let bytes: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let text = encode("SIGNATURE", &bytes);
            assert_eq!(decode(&text, "SIGNATURE").unwrap(), bytes);
            let crlf = String::from_utf8(text).unwrap().replace('\n', "\r\n");
            assert_eq!(decode(crlf.as_bytes(), "SIGNATURE").unwrap(), bytes);
        }
    }

    #[test]
    fn armor_takes_known_headers_and_a_missing_checksum() {
        let text = "-----BEGIN PGP SIGNATURE-----\nVersion: GnuPG v1\nComment: https://example.com\n\nAAAA\n-----END PGP SIGNATURE-----";
        assert_eq!(decode(text.as_bytes(), "SIGNATURE").unwrap(), [0, 0, 0]);
        for (was, is) in [
            ("Version", "Versio"),
            ("Version: ", "Version:"),
            ("\n\n", "\n \n"),
            ("\n\n", "\n"),
            ("-----BEGIN", "x\n-----BEGIN"),
            ("AAAA", "AAAB="),
            ("AAAA", "AA\n\nAA"),
            ("AAAA", "AAAA\n=AAA"),
            ("AAAA", "AAAA\n=AAAA"),
            ("AAAA", "AAAA "),
            ("AAAA", "AB=="),
            ("END PGP", "END  PGP"),
            ("SIGNATURE-----", "SIGNATURE----- "),
        ] {
            assert!(decode(text.replace(was, is).as_bytes(), "SIGNATURE").is_err(), "{is:?}");
        }
    }
}
