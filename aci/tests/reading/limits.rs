//! Bombs, and the limit that each of them meets.

use std::io::{self, Read, Write};
use std::time::Duration;

use aci::archive::{DECODER_HEAD_BYTES, Ownership, decoder_bytes, inspect};
use aci::{Limits, Refuse};

use crate::support::{Place, Tar, accepted, gzip, header, image, refused, refused_within};

/// A gzip that unpacks to a thousand times its size.
fn bomb(zeros: u64) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&image().0).unwrap();
    encoder.write_all(&header(b"rootfs/zeros", b'0', zeros, b"")).unwrap();
    io::copy(&mut io::repeat(0).take(zeros + 1024), &mut encoder).unwrap();
    let bytes = encoder.finish().unwrap();
    assert!(zeros / bytes.len() as u64 > 900);
    bytes
}

#[test]
fn bomb_of_ratio_is_refused() {
    refused(&bomb(128 << 20), "image-bomb");
}

#[test]
fn bomb_of_total_bytes_is_refused() {
    let limits = Limits { tar_bytes: 8 << 20, ..Limits::default() };
    refused_within(&bomb(16 << 20), &limits, "image-unpacked-too-large");
    let limits = Limits { file_bytes: 8 << 10, ..Limits::default() };
    refused_within(&bomb(16 << 20), &limits, "image-too-large");
    // Where somebody allows it, it is read like any other image.
    let limits = Limits { ratio: 2000, ..Limits::default() };
    assert_eq!(inspect(&*bomb(128 << 20), &limits).unwrap().entries(), 2);
}

/// The same archive, by compressors that ask of who reads it to keep so much.
fn asking(log: u32) -> [Vec<u8>; 2] {
    let tar = image().file("rootfs/f", &[7; 5000]).end();
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    zstd.window_log(log).unwrap();
    zstd.write_all(&tar).unwrap();
    let mut options = liblzma::stream::LzmaOptions::new_preset(0).unwrap();
    let mut filters = liblzma::stream::Filters::new();
    filters.lzma2(options.dict_size(1 << log));
    let check = liblzma::stream::Check::Crc64;
    let stream = liblzma::stream::Stream::new_stream_encoder(&filters, check).unwrap();
    let mut xz = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    xz.write_all(&tar).unwrap();
    [zstd.finish().unwrap(), xz.finish().unwrap()]
}

#[test]
fn bomb_of_memory_is_refused() {
    for log in [20, 24, 26] {
        for file in asking(log) {
            let decoder_bytes = decoder_bytes(&file[..file.len().min(DECODER_HEAD_BYTES)]);
            assert!((1 << log..=(1 << log) + (1 << 20)).contains(&decoder_bytes));
            // What the first bytes tell is enough, and less is not.
            let limits = Limits { decoder_bytes, ..Limits::default() };
            inspect(&*file, &limits).unwrap();
            let less = Limits { decoder_bytes: (1 << log) - 1, ..limits };
            refused_within(&file, &less, "image-truncated");
        }
    }
}

#[test]
fn bomb_of_entries_is_refused() {
    let limits = Limits { entries: 1000, ..Limits::default() };
    let many = (0..1000).fold(image(), |tar, n| tar.file(&format!("rootfs/{n}"), b""));
    refused_within(&gzip(&many.end()), &limits, "image-too-many-entries");
    // One path of four thousand bytes names two thousand folders.
    let path = ["rootfs", &"/a".repeat(1500)].concat();
    let deep = image().records(&[("path", path.as_bytes())]).file("rootfs/f", b"");
    refused_within(&deep.end(), &limits, "image-too-many-entries");
}

#[test]
fn bomb_of_path_depth_is_refused() {
    let deep = |depth: usize| {
        let path = ["rootfs", &"/a".repeat(depth - 1)].concat();
        image().records(&[("path", path.as_bytes())]).file("rootfs/f", b"x").end()
    };
    let limits = Limits { path_depth: 100, ..Limits::default() };
    refused_within(&deep(101), &limits, "image-path-too-deep");
    assert!(inspect(&*deep(100), &limits).is_ok());
    // The deepest path a system call can name is made, and taken away again.
    let (_, place) = accepted(&deep(2045));
    aci::stage::remove_folder(&place.target()).unwrap();
    assert!(!place.target().exists());
}

/// Gives its bytes a hundred at a time, and waits before each.
struct Slow<'a>(&'a [u8]);

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        std::thread::sleep(Duration::from_millis(5));
        let few = buffer.len().min(100);
        self.0.read(&mut buffer[..few])
    }
}

#[test]
fn bomb_of_time_is_refused() {
    let tar = Tar(image().0).file("rootfs/a", &[1; 20_000]).end();
    let limits = Limits { time: Some(Duration::from_millis(100)), ..Limits::default() };
    let start = std::time::Instant::now();
    let refusal = inspect(Slow(&tar), &limits).unwrap_err().refusal();
    assert_eq!(refusal.code, "image-time");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let place = Place::new();
    let options = aci::archive::UnpackOptions::new(Ownership::Caller);
    let unpacked = aci::archive::unpack(Slow(&tar), &place.target(), &options, &limits);
    assert_eq!(unpacked.unwrap_err().refusal().code, "image-time");
    assert!(inspect(Slow(&image().end()), &Limits { time: Some(Duration::MAX), ..limits }).is_ok());
}
