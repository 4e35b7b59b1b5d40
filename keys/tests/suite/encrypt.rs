//! Encryption with a passphrase, against real gpg in both directions.

use std::io::{self, Cursor, Read, Write};

use aci::archive::Compression;
use aci::{Limits, Refuse};
use keys::{DecryptError, Passphrase, ReceiveEncryptedError, decrypt, encrypt, receive_encrypted};

use crate::receive::{image, noise};
use crate::support::{DATA, ED25519, Gpg, OTHER, code, day, january, limits, sign, trusting};

const PASSPHRASE: &str = "correct horse";

fn passphrase() -> Passphrase {
    Passphrase::from_line(PASSPHRASE.into()).unwrap()
}

fn encrypted(data: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let write = |out: &mut keys::Encrypting<'_>| out.write_all(data);
    let ((), written) = encrypt::<_, io::Error>(&mut file, &passphrase(), write).unwrap();
    assert_eq!(written.bytes, file.len() as u64);
    file
}

fn opened(mut file: &[u8]) -> Result<Vec<u8>, DecryptError> {
    let mut plain = Vec::new();
    let bytes = decrypt(&mut file, &passphrase(), &mut plain, &limits())?;
    assert_eq!(bytes, plain.len() as u64);
    Ok(plain)
}

/// What gpg makes of `data` with these options.
fn by_gpg(gpg: &Gpg, data: &[u8], options: &[&str]) -> Vec<u8> {
    gpg.file("data", data);
    gpg.file("pass", PASSPHRASE.as_bytes());
    let mut all = vec!["--passphrase-file", "pass", "--output", "-"];
    all.extend(options);
    all.push("data");
    gpg.run(&all)
}

#[test]
fn encrypted_file_is_opened_by_gpg_and_here() {
    let gpg = Gpg::new();
    gpg.file("pass", PASSPHRASE.as_bytes());
    for data in [&b""[..], DATA, &noise(1 << 20)] {
        let file = encrypted(data);
        assert!(aci::archive::is_encrypted(&file));
        gpg.file("file", &file);
        let arguments = ["--passphrase-file", "pass", "--decrypt", "file"];
        assert_eq!(gpg.run(&arguments), data);
        assert_eq!(opened(&file).unwrap(), data);
    }
    let (one, other) = (encrypted(DATA), encrypted(DATA));
    assert_ne!(one, other, "salt and session key are drawn anew");
}

#[test]
fn encrypted_file_has_aes_256_and_a_salted_iterated_hash() {
    let gpg = Gpg::new();
    gpg.file("pass", PASSPHRASE.as_bytes());
    gpg.file("file", &encrypted(DATA));
    let listing = gpg.run(&["--passphrase-file", "pass", "--list-packets", "file"]);
    let listing = String::from_utf8(listing).unwrap();
    // Cipher 9, hash SHA-256 (8), mode 3 (salted and iterated), the greatest count.
    assert!(listing.contains("version 4, cipher 9"), "{listing}");
    assert!(listing.contains("s2k 3, hash 8"), "{listing}");
    assert!(listing.contains("count 65011712"), "{listing}");
    assert!(listing.contains("mdc_method: 2"), "{listing}");
}

#[test]
fn file_of_gpg_is_opened_however_it_was_made() {
    let gpg = Gpg::new();
    let data = [noise(300_000), vec![0; 300_000]].concat();
    for options in [
        &["--symmetric"][..],
        &["--symmetric", "--compress-algo", "none"],
        &["--symmetric", "--compress-algo", "bzip2"],
        &["--symmetric", "--armor"],
        &["--symmetric", "--cipher-algo", "AES128"],
        &["--symmetric", "--cipher-algo", "AES192", "--s2k-mode", "1"],
        &["--symmetric", "--s2k-digest-algo", "SHA512", "--s2k-count", "65536"],
    ] {
        let file = by_gpg(&gpg, &data, options);
        assert!(aci::archive::is_encrypted(&file), "{options:?}");
        assert!(opened(&file).unwrap() == data, "{options:?}");
    }
}

#[test]
fn armored_message_ends_where_its_armor_does() {
    let gpg = Gpg::new();
    for data in [DATA.to_vec(), noise(400_000)] {
        let file = by_gpg(&gpg, &data, &["--symmetric", "--armor"]);
        assert!(opened(&[&file, &b" \n\r\n"[..]].concat()).unwrap() == data);
        for more in [&b"x"[..], &file, &noise(3_000_000)] {
            assert_eq!(code(opened(&[&file, more].concat())), "encryption-damaged");
        }
        for cut in 2..30 {
            assert_eq!(code(opened(&file[..file.len() - cut])), "encryption-damaged", "{cut}");
        }
    }
}

#[test]
fn lock_that_takes_too_long_to_open_is_refused() {
    let lock = |passes: u8, memory: u8| {
        [&[0xc3, 22, 4, 9, 4][..], &noise(16), &[passes, 1, memory]].concat()
    };
    let data = [&[0xd2, 101, 1][..], &noise(100)].concat();
    for locks in [vec![lock(255, 20); 16], vec![lock(1, 10), lock(2, 20)], vec![lock(1, 255)]] {
        let started = std::time::Instant::now();
        let file = [locks.concat(), data.clone()].concat();
        assert_eq!(code(opened(&file)), "encryption-unsupported");
        assert!(started.elapsed().as_secs() < 20);
    }
    let mut plain = Vec::new();
    let limits = Limits { time: Some(std::time::Duration::ZERO), ..limits() };
    let passphrase = Passphrase::from_line("x".into()).unwrap();
    let found = decrypt(&mut &encrypted(DATA)[..], &passphrase, &mut plain, &limits);
    assert_eq!(code(found), "image-time");
}

#[test]
fn passphrase_that_is_wrong_is_told_as_such() {
    let other = Passphrase::from_line("wrong".into()).unwrap();
    let gpg = Gpg::new();
    for file in [encrypted(DATA), by_gpg(&gpg, DATA, &["--symmetric"])] {
        let mut plain = Vec::new();
        let found = decrypt(&mut &file[..], &other, &mut plain, &limits());
        // gpg's form has two bytes to tell by: one wrong passphrase in 65,536 gets further.
        assert!(matches!(found, Err(DecryptError::WrongPassphrase)), "{found:?}");
        assert_eq!(code(found), "passphrase-wrong");
        assert_eq!(plain, b"");
    }
}

#[test]
fn message_without_a_passphrase_cipher_or_code_is_refused() {
    let gpg = Gpg::new();
    gpg.file("pass", b"");
    let key =
        ["--passphrase", "", "--quick-generate-key", "a@example.com", "rsa2048", "encr", "1y"];
    gpg.run(&key);
    let for_keys =
        by_gpg(&gpg, DATA, &["--trust-model", "always", "-r", "a@example.com", "--encrypt"]);
    assert_eq!(code(opened(&for_keys)), "encryption-unsupported");
    let stored = by_gpg(&gpg, DATA, &["--store"]);
    assert_eq!(code(opened(&stored)), "encryption-damaged");
    for cipher in ["CAST5", "TWOFISH", "CAMELLIA256", "3DES"] {
        let file = by_gpg(&gpg, DATA, &["--symmetric", "--cipher-algo", cipher]);
        assert_eq!(code(opened(&file)), "encryption-unsupported", "{cipher}");
    }
    // The lock of a sound message, then data of the kind that has no code (packet type 9).
    let sound = encrypted(DATA);
    let lock = usize::from(sound[1]) + 2;
    let old = [&sound[..lock], &[0xc9, 40], &noise(40)[..]].concat();
    assert!(aci::archive::is_encrypted(&old[lock..]));
    assert_eq!(code(opened(&old)), "encryption-unauthenticated");
    let draft = [&sound[..lock], &[0xd4, 40], &[1, 9, 2, 10], &noise(36)[..]].concat();
    assert_eq!(code(opened(&draft)), "encryption-unsupported");
    let begun = [&sound[..lock], &[0xd2, 30, 1], &noise(29)[..]].concat();
    for junk in [&b""[..], b"junk", &sound[..lock], &begun, &noise(200)] {
        assert_eq!(code(opened(junk)), "encryption-damaged");
    }
}

#[test]
fn change_of_any_byte_is_found_out() {
    let gpg = Gpg::new();
    // A cheap hash, since it is made for every attempt.
    let options = ["--symmetric", "--s2k-count", "65536", "--compress-algo", "none"];
    let sound = by_gpg(&gpg, DATA, &options);
    assert_eq!(opened(&sound).unwrap(), DATA);
    for at in 0..sound.len() {
        for bit in [0x01, 0x10, 0x80] {
            let mut changed = sound.clone();
            changed[at] ^= bit;
            let found = opened(&changed);
            assert!(found.is_err(), "byte {at}, bit {bit:#x}: {found:?}");
        }
        assert!(opened(&sound[..at]).is_err(), "cut off at {at}");
    }
    for more in [&b"\0"[..], b"x", DATA, &sound] {
        let found = opened(&[&sound[..], more].concat());
        assert!(found.is_err(), "followed by {more:?}: {found:?}");
    }
}

#[test]
fn change_in_a_long_message_is_found_out_at_its_end() {
    let mut file = encrypted(&noise(2 << 20));
    let middle = file.len() / 2;
    file[middle] ^= 1;
    assert_eq!(code(opened(&file)), "encryption-damaged");
    file[middle] ^= 1;
    assert!(opened(&file).is_ok());
    file.truncate(file.len() - 1);
    assert_eq!(code(opened(&file)), "encryption-damaged");
}

#[test]
fn bomb_inside_a_message_is_refused_before_it_fills_the_disk() {
    let gpg = Gpg::new();
    let file = by_gpg(&gpg, &vec![0; 8 << 20], &["--symmetric", "-z", "9"]);
    let mut plain = Vec::new();
    let tight = Limits { ratio: 100, ratio_floor: 1 << 20, ..limits() };
    let found = decrypt(&mut &file[..], &passphrase(), &mut plain, &tight);
    assert_eq!(code(found), "bomb");
    assert!(plain.len() < 2 << 20, "{}", plain.len());
    let small = Limits { file_bytes: 1 << 20, ..limits() };
    plain.clear();
    assert_eq!(code(decrypt(&mut &file[..], &passphrase(), &mut plain, &small)), "limit");
    assert!(plain.len() <= 1 << 20);
}

#[test]
fn failure_of_the_disk_is_no_damage() {
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let file = encrypted(DATA);
            let rest = file[..100].len() - self.0.min(100);
            if rest == 0 {
                return Err(io::Error::other("it burns"));
            }
            let length = buffer.len().min(rest);
            buffer[..length].copy_from_slice(&file[self.0..self.0 + length]);
            self.0 += length;
            Ok(length)
        }
    }
    let found = decrypt(&mut Broken(0), &passphrase(), &mut Vec::new(), &limits());
    assert!(
        matches!(&found, Err(DecryptError::Read(e)) if e.to_string() == "it burns"),
        "{found:?}"
    );
    let full: &mut [u8] = &mut [0; 5];
    let found =
        decrypt(&mut &encrypted(DATA)[..], &passphrase(), &mut Cursor::new(full), &limits());
    assert!(matches!(found, Err(DecryptError::Write(_))), "{found:?}");
}

/// The most memory this process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn large_file_is_encrypted_and_decrypted_in_bounded_memory() {
    const MIB: usize = 1 << 20;
    let mut file = tempfile::tempfile().unwrap();
    let chunk = noise(MIB);
    let before = peak();
    let write = |out: &mut keys::Encrypting<'_>| (0..160).try_for_each(|_| out.write_all(&chunk));
    encrypt::<_, io::Error>(&mut file, &passphrase(), write).unwrap();
    io::Seek::rewind(&mut file).unwrap();
    let mut plain = io::sink();
    let bytes = decrypt(&mut file, &passphrase(), &mut plain, &limits()).unwrap();
    assert_eq!(bytes, 160 << 20);
    let grown = peak() - before;
    assert!(grown < 64 << 10, "{grown} KiB more for 160 MiB");
}

#[test]
fn signature_of_an_encrypted_image_is_over_the_encrypted_file() {
    let (image, _) = image("example.com/a", b"content", Compression::Gzip);
    let file = encrypted(&image);
    let keyring = trusting(&ED25519.public);
    let policy = keys::Policy::new(day(1), keys::Liveness::AtSigning);
    let receive = |file: &[u8], signature: &[u8]| {
        let mut plain = Cursor::new(Vec::new());
        receive_encrypted(file, &passphrase(), &mut plain, signature, &keyring, &policy, &limits())
            .map(|(inspected, good)| (inspected, good, plain.into_inner()))
    };
    let refused = |result: Result<_, ReceiveEncryptedError>| match result {
        Ok((_, _, _)) => panic!("it was accepted"),
        Err(ReceiveEncryptedError::Decrypt(error)) => error.refusal().code,
        Err(ReceiveEncryptedError::Receive(error)) => error.refusal().code,
    };
    let signature = sign(&ED25519, &file, january());
    let (inspected, good, plain) = receive(&file, &signature).unwrap();
    assert_eq!(inspected.manifest().name.as_str(), "example.com/a");
    assert!(good.speaks_for(&inspected.manifest().name));
    assert_eq!(plain, image);
    assert_eq!(refused(receive(&file, &sign(&ED25519, &image, january()))), "signature-invalid");
    assert_eq!(refused(receive(&file, &sign(&OTHER, &file, january()))), "signer-not-trusted");
    // The same image, encrypted by somebody else who has the passphrase.
    assert_eq!(refused(receive(&encrypted(&image), &signature)), "signature-invalid");
    let mut changed = file.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(refused(receive(&changed, &signature)), "signature-invalid");
    assert_eq!(
        refused(receive(&changed, &sign(&ED25519, &changed, january()))),
        "encryption-damaged"
    );
    let junk = encrypted(DATA);
    assert_eq!(refused(receive(&junk, &sign(&ED25519, &junk, january()))), "image-format");
}
