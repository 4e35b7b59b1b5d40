//! One bit flipped anywhere in a signature file, or in the image: never accepted.

use keys::{Keyring, Liveness, Policy};

use crate::support::*;

fn accepted(data: &[u8], signature: &[u8], keyring: &Keyring) -> bool {
    let policy = Policy::new(day(2), Liveness::AtSigning);
    keys::verify(data, signature, keyring, &policy, &limits()).is_ok()
}

/// Flips every bit of `signature`; gives the places where it was still accepted.
fn survivors(signature: &[u8], keyring: &Keyring) -> Vec<(usize, u8)> {
    assert!(accepted(DATA, signature, keyring));
    let mut survivors = Vec::new();
    let mut flipped = signature.to_vec();
    for at in 0..signature.len() {
        for bit in 0..8 {
            flipped[at] ^= 1 << bit;
            if accepted(DATA, &flipped, keyring) {
                survivors.push((at, bit));
            }
            flipped[at] ^= 1 << bit;
        }
    }
    survivors
}

/// The same, for the file as it is, with CRLF line ends, and without armor.
fn no_flip_survives(signature: &[u8], public: &[u8]) {
    let keyring = trusting(public);
    assert_eq!(survivors(signature, &keyring), []);
    let crlf = String::from_utf8(signature.to_vec()).unwrap().replace('\n', "\r\n");
    assert_eq!(survivors(crlf.as_bytes(), &keyring), []);
    let gpg = Gpg::new();
    gpg.file("signature", signature);
    assert_eq!(survivors(&gpg.run(&["--output", "-", "--dearmor", "signature"]), &keyring), []);
}

#[test]
fn flips_in_our_signatures_are_refused_ed25519() {
    no_flip_survives(&sign(&ED25519, DATA, day(1)), &ED25519.public);
}

#[test]
fn flips_in_our_signatures_are_refused_rsa() {
    no_flip_survives(&sign(&RSA, DATA, day(1)), &RSA.public);
}

#[test]
fn flips_in_signatures_of_gpg_are_refused() {
    let gpg = Gpg::new();
    for kind in ["ed25519", "rsa2048"] {
        gpg.key(kind, kind, "sign", january(), "1y");
        no_flip_survives(&gpg.sign(kind, day(1), &[]), &gpg.public(kind));
    }
}

/// The one exception: what stands behind the colon of a header means nothing, is no part
/// of the signature, and was written by every gpg before 2.1.
#[test]
fn flips_in_a_header_are_refused_but_for_its_free_text() {
    let text = String::from_utf8(sign(&ED25519, DATA, day(1))).unwrap();
    let header = "Version: GnuPG v1";
    let with = text.replacen("-----\n\n", &format!("-----\n{header}\n\n"), 1);
    let value = with.find("GnuPG").unwrap()..with.find("\n\n").unwrap();
    for (at, bit) in survivors(with.as_bytes(), &trusting(&ED25519.public)) {
        assert!(value.contains(&at), "byte {at} bit {bit}");
    }
}

#[test]
fn flips_in_the_data_are_refused() {
    let signature = sign(&ED25519, DATA, day(1));
    let keyring = trusting(&ED25519.public);
    let mut data = DATA.to_vec();
    for at in 0..data.len() {
        for bit in 0..8 {
            data[at] ^= 1 << bit;
            assert!(!accepted(&data, &signature, &keyring));
            data[at] ^= 1 << bit;
        }
    }
    assert!(!accepted(&DATA[..DATA.len() - 1], &signature, &keyring));
    assert!(!accepted(&[DATA, b"\n"].concat(), &signature, &keyring));
}

#[test]
fn signature_cut_off_anywhere_is_refused() {
    let signature = sign(&ED25519, DATA, day(1));
    let keyring = trusting(&ED25519.public);
    // The last line end is no part of the armor.
    assert!(accepted(DATA, &signature[..signature.len() - 1], &keyring));
    for length in 0..signature.len() - 1 {
        assert!(!accepted(DATA, &signature[..length], &keyring), "{length}");
    }
}
