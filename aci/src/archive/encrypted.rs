//! Telling an encrypted image by its first bytes. What it takes to read one is in `keys`.

use super::Compression;

/// Whether a file that begins so is an encrypted OpenPGP message, binary or armored
/// (RFC 9580, sections 4.2 and 5; spec: aci.md, "Image Archives").
pub fn is_encrypted(start: &[u8]) -> bool {
    const ARMOR: &[u8] = b"-----BEGIN PGP MESSAGE-----";
    let Some(&first) = start.first() else { return false };
    // The first path of a tar may begin with any byte.
    if Compression::detect(start).is_some() {
        return false;
    }
    if first == b'-' {
        let known = start.len().min(ARMOR.len());
        return known > 5 && start[..known] == ARMOR[..known];
    }
    let kind = match first & 0xc0 {
        0x80 => (first & 0x3c) >> 2,
        0xc0 => first & 0x3f,
        _ => return false,
    };
    // A locked session key, or encrypted data: without a code, with one, and of draft form.
    matches!(kind, 1 | 3 | 9 | 18 | 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encrypted_message_is_told_by_its_first_bytes() {
        for start in [
            &b"\x8c\x0d\x04\x09\x03\x08"[..],
            b"\xc3\x2e\x04\x09\x03\x08",
            b"\x85\x01\x0c\x03",
            b"\xd2\xc0\x4f\x01",
            b"\xa4\x01",
            b"-----BEGIN PGP MESSAGE-----\n",
            b"-----B",
        ] {
            assert!(is_encrypted(start), "{start:?}");
        }
        for start in [
            &b""[..],
            b"\x1f\x8b\x08\0\0\0",
            b"\xfd7zXZ\0",
            b"\x28\xb5\x2f\xfd",
            b"BZh91A",
            b"manifest",
            b"\x89\x01\xb3\x04",
            b"-----BEGIN PGP SIGNATURE-----",
            b"---",
        ] {
            assert!(!is_encrypted(start), "{start:?}");
        }
    }
    #[test]
    fn tar_is_not_encrypted_whatever_its_first_path_is() {
        let mut header = tar::Header::new_ustar();
        header.set_path("\u{e9}").unwrap();
        header.set_cksum();
        assert_eq!(header.as_bytes()[0], 0xc3);
        assert!(!is_encrypted(header.as_bytes()));
        assert!(is_encrypted(&header.as_bytes()[..6]));
    }
}
