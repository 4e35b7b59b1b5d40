//! Copying an image with another compression or another manifest, and all the rest as it is.
//!
//! The bytes of the uncompressed archive pass through untouched, headers, padding and all, so
//! that an image that is only compressed anew keeps its image ID. Where the manifest changes,
//! its own entry alone is written anew, wherever in the archive it stands.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::rc::Rc;

use super::decompress::{Hashing, from_io, through_io};
use super::entry::{Entry, EntryKind};
use super::header::BLOCK;
use super::inspect::{Archive, Sums, close, manifest_bytes, open};
use super::layout::{Layout, Place};
use super::read::{TarReader, number};
use super::write::write_stream;
use super::{ArchiveError, ArchiveWriter, Compression, Limited, WriteOptions, Written};
use crate::digest::{FileDigest, ImageId};
use crate::limits::Limits;

/// How an image is rewritten.
#[derive(Debug, Clone)]
pub struct RewriteOptions {
    /// The compression; that of the image where absent.
    pub compression: Option<Compression>,
    /// How hard to compress, one of [`Compression::levels`]; as profile v1 where absent.
    pub level: Option<u8>,
    /// Compressing threads; the bytes do not depend on it.
    pub threads: NonZeroUsize,
}

/// What was read, and what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The image ID of what was read.
    pub image_id: ImageId,
    /// The SHA-512 of the file that was read.
    pub file_digest: FileDigest,
    /// How that was compressed.
    pub was: Compression,
    /// How it is now.
    pub compression: Compression,
    /// What was written.
    pub written: Written,
}

/// Copies an image file to `out`. `edit` sees the manifest's bytes, and gives those that take
/// their place, or `None` where they stay.
///
/// The layout of the image is checked on the way; manifests are not, neither the old one nor
/// the new one, so that a faulty one can be mended: [`inspect`](super::inspect()) what was
/// written before it is of use to anybody. On an error nothing that reached `out` is.
pub fn rewrite<W, E>(
    file: impl Read,
    out: &mut W,
    options: &RewriteOptions,
    limits: &Limits,
    edit: impl FnOnce(&[u8]) -> Result<Option<Vec<u8>>, E>,
) -> Result<Rewritten, E>
where
    W: Write + Send,
    E: From<ArchiveError> + From<io::Error>,
{
    let (archive, was) = open(file, Hashing::Wanted, limits)?;
    let compression = options.compression.unwrap_or(was);
    let write_options = WriteOptions { compression, threads: options.threads };
    let mut sums = None;
    let written = write_stream(out, &write_options, options.level, |out| {
        let copy = Rc::new(RefCell::new(Copy { out, held: Some(Vec::new()), stale: 0 }));
        let archive = Passing { archive, copy: copy.clone() };
        let mut pass = Pass {
            tar: TarReader::new(archive, limits),
            copy,
            layout: Layout::new(limits),
            was,
            max_manifest: limits.manifest_bytes,
        };
        pass.entries(edit)?;
        sums = Some(pass.finish()?);
        Ok::<(), E>(())
    })?;
    // Without sums there was an error.
    let Sums { image_id, file_digest, .. } =
        sums.ok_or_else(|| io::Error::other("nothing was read"))?;
    Ok(Rewritten { image_id, file_digest, was, compression, written })
}

/// Headers that are held back while it is not known whether they are the manifest's.
const MAX_HELD: usize = 16 << 20;

/// What is read goes to the new archive, at once or a little later.
struct Copy<'o> {
    out: &'o mut ArchiveWriter,
    /// What waits; absent where everything is passed on at once.
    held: Option<Vec<u8>>,
    /// Bytes still to come that are not passed on.
    stale: usize,
}

impl Copy<'_> {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (stale, bytes) = bytes.split_at(self.stale.min(bytes.len()));
        self.stale -= stale.len();
        let Some(held) = &mut self.held else { return self.out.raw(bytes) };
        held.extend_from_slice(bytes);
        // Headers that never come to an entry would fill the memory.
        if held.len() > MAX_HELD {
            let allowed = MAX_HELD as u64;
            let what = Limited::HeaderBytes;
            return Err(through_io(ArchiveError::Limit { what, allowed }));
        }
        Ok(())
    }

    /// Passes on what waits, and from now on everything.
    fn release(&mut self) -> io::Result<()> {
        self.held.take().map_or(Ok(()), |held| self.out.raw(&held))
    }
}

/// Lets the reader read, and the copy have it.
struct Passing<'o, R: Read> {
    archive: Archive<R>,
    copy: Rc<RefCell<Copy<'o>>>,
}

impl<R: Read> Read for Passing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.archive.read(buffer)?;
        self.copy.borrow_mut().take(&buffer[..got])?;
        Ok(got)
    }
}

/// One way through an archive.
struct Pass<'o, R: Read> {
    tar: TarReader<Passing<'o, R>>,
    copy: Rc<RefCell<Copy<'o>>>,
    layout: Layout,
    was: Compression,
    max_manifest: u64,
}

impl<R: Read> Pass<'_, R> {
    fn entries<E>(
        &mut self,
        edit: impl FnOnce(&[u8]) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<(), E>
    where
        E: From<ArchiveError> + From<io::Error>,
    {
        let mut edit = Some(edit);
        let mut buffer = vec![0; 64 << 10];
        // Padding is read together with the headers that follow it.
        let mut before = 0;
        while let Some(mut entry) = self.tar.next().map_err(|error| self.cause(error))? {
            let place = self.layout.admit(&mut entry)?;
            let after = padding(&entry);
            // The layout lets a path come once, so there is one manifest.
            match (place, edit.take()) {
                (Place::Manifest, Some(edit)) => self.manifest(entry, before, edit)?,
                (_, later) => edit = later,
            }
            self.copy.borrow_mut().release()?;
            while self.content(&mut buffer)? > 0 {}
            before = after;
            if edit.is_some() {
                self.copy.borrow_mut().held = Some(Vec::new());
            }
        }
        if edit.is_some() {
            return Err(ArchiveError::Absent("manifest").into());
        }
        Ok(())
    }

    /// The manifest's entry: as it was, or with other content and a header that fits it.
    fn manifest<E>(
        &mut self,
        mut entry: Entry,
        padding_before: usize,
        edit: impl FnOnce(&[u8]) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<(), E>
    where
        E: From<ArchiveError> + From<io::Error>,
    {
        let headers = self.copy.borrow().held.as_ref().map_or(0, Vec::len);
        let bytes = manifest_bytes(&mut self.tar, &entry, self.max_manifest)
            .map_err(|error| self.cause(error))?;
        let Some(edited) = edit(&bytes)? else { return Ok(()) };
        debug_assert!(padding_before < headers);
        let mut copy = self.copy.borrow_mut();
        let held = copy.held.get_or_insert_default();
        // Headers and content are dropped, and the padding, which is still to come.
        held.truncate(end_of_global(held, padding_before));
        copy.stale = padding(&entry);
        copy.release()?;
        entry.kind = EntryKind::File { size: edited.len() as u64 };
        Ok(copy.out.file(&entry, &mut edited.as_slice())?)
    }

    fn content(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        self.tar.read_content(buffer).map_err(|error| self.cause(error))
    }

    /// After the last entry: what only the end can tell.
    fn finish(self) -> Result<Sums, ArchiveError> {
        self.layout.finish()?;
        close(self.tar.into_inner().archive, None)
    }

    /// What an error from below really is.
    fn cause(&self, error: ArchiveError) -> ArchiveError {
        match error {
            ArchiveError::Io(error) => from_io(error, self.was),
            other => other,
        }
    }
}

/// The end of the global headers that begin at `start`: they are not the manifest's own.
fn end_of_global(headers: &[u8], start: usize) -> usize {
    let mut end = start;
    while let Some(header) = headers.get(end..end + BLOCK)
        && header[156] == b'g'
        && let Some(size) = number(&header[124..136])
    {
        end += BLOCK + size.next_multiple_of(BLOCK as u64) as usize;
    }
    end
}

/// Bytes between the end of an entry's content and the next header.
fn padding(entry: &Entry) -> usize {
    let EntryKind::File { size } = entry.kind else { return 0 };
    (size.next_multiple_of(BLOCK as u64) - size) as usize
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MANIFEST, Tar, gzip, read};
    use super::*;

    fn options(compression: Option<Compression>) -> RewriteOptions {
        RewriteOptions { compression, level: None, threads: NonZeroUsize::MIN }
    }

    fn rewritten(
        image: &[u8],
        compression: Option<Compression>,
        manifest: Option<&[u8]>,
    ) -> Result<(Vec<u8>, Rewritten), ArchiveError> {
        let mut out = Vec::new();
        let edit = |old: &[u8]| {
            assert_eq!(old, MANIFEST);
            Ok::<_, ArchiveError>(manifest.map(<[u8]>::to_vec))
        };
        let limits = Limits::default();
        let done = rewrite(image, &mut out, &options(compression), &limits, edit)?;
        Ok((out, done))
    }

    /// Archives of every form that is read: the manifest first, last, padded to the byte or
    /// with an extended header, and more zeros at the end than need be.
    fn archives() -> Vec<Vec<u8>> {
        let body = Tar::default().directory("rootfs").file("rootfs/a", &[7; 700]);
        let path = Tar::default().extended(b"17 path=manifest\n").file("x", MANIFEST);
        vec![
            Tar::image().file("rootfs/a", b"a").end(),
            body.clone().file("./manifest", MANIFEST).end(),
            body.clone().extended(b"18 comment=a note\n").file("manifest", MANIFEST).end(),
            path.directory("rootfs").file("rootfs/b", &[1; 100_000]).end(),
            [body.file("manifest", MANIFEST).end(), vec![0; 9 * BLOCK]].concat(),
        ]
    }

    #[test]
    fn rewrite_to_any_compression_keeps_every_byte_of_the_archive() {
        use Compression as C;
        for archive in archives() {
            for compression in [C::None, C::Gzip, C::Bzip2, C::Xz, C::Zstd] {
                let (out, done) = rewritten(&gzip(&archive), Some(compression), None).unwrap();
                assert_eq!((done.was, done.compression), (C::Gzip, compression));
                assert_eq!(done.image_id, done.written.image_id);
                let (plain, done) = rewritten(&out, Some(C::None), None).unwrap();
                assert_eq!(done.was, compression);
                assert_eq!(plain, archive);
                assert_eq!(done.written.tar_bytes, archive.len() as u64);
            }
        }
    }

    #[test]
    fn rewrite_replaces_the_manifest_wherever_it_stands() {
        for archive in archives() {
            for pad in [0, 1, 430, 512, 5000] {
                let mut manifest = MANIFEST.to_vec();
                manifest.resize(manifest.len() + pad, b' ');
                let (out, done) = rewritten(&archive, None, Some(&manifest)).unwrap();
                let image = read(&out).unwrap();
                assert_eq!(image.manifest_bytes(), manifest);
                assert_eq!(image.image_id(), &done.written.image_id);
                assert_eq!(read(&archive).unwrap().image_id(), &done.image_id);
                assert!(pad == 0 || done.image_id != done.written.image_id);
                // With the old manifest back in its place, nothing else has changed: a second
                // edit undoes the first but for the header, which is of our own making.
                let (again, _) = rewritten_back(&out, MANIFEST);
                let (ours, _) = rewritten(&archive, None, Some(MANIFEST)).unwrap();
                assert_eq!(again, ours);
                assert_eq!(ours.len() + changed_blocks(&archive), archive.len());
            }
        }
    }

    #[test]
    fn rewrite_keeps_a_global_header_before_the_manifest() {
        let body = b"18 comment=a note\n";
        let archive = Tar::default().global(body).file("manifest", MANIFEST).directory("rootfs");
        let (ours, _) = rewritten(&archive.end(), None, Some(MANIFEST)).unwrap();
        assert_eq!(ours[156], b'g');
        assert_eq!(&ours[BLOCK..BLOCK + body.len()], body);
        assert_eq!(read(&ours).unwrap().manifest_bytes(), MANIFEST);
    }

    /// Bytes of extended headers before the manifest that need not be there.
    fn changed_blocks(archive: &[u8]) -> usize {
        if archive.windows(8).any(|w| w == b"path=man" || w == b"comment=") { 2 * BLOCK } else { 0 }
    }

    fn rewritten_back(image: &[u8], manifest: &[u8]) -> (Vec<u8>, Rewritten) {
        let mut out = Vec::new();
        let edit = |_: &[u8]| Ok::<_, ArchiveError>(Some(manifest.to_vec()));
        let done = rewrite(image, &mut out, &options(None), &Limits::default(), edit).unwrap();
        (out, done)
    }

    #[test]
    fn rewrite_refuses_what_no_image_may_be() {
        let sound = Tar::image();
        let code = |image: &[u8]| {
            let error = rewritten(image, None, None).map(|_| ()).unwrap_err();
            crate::Refuse::refusal(&error).code
        };
        assert_eq!(code(&sound.clone().file("extra", b"").end()), "image-layout");
        assert_eq!(code(&Tar::default().directory("rootfs").end()), "image-layout");
        assert_eq!(code(&Tar::default().file("manifest", MANIFEST).end()), "image-layout");
        let mut cut = sound.clone().file("rootfs/a", &[1; 5000]).end();
        cut.truncate(4000);
        assert_eq!(code(&cut), "image-truncated");
        assert_eq!(code(&gzip(&cut)), "image-truncated");
        let mut rest = gzip(&sound.end());
        rest.push(b'x');
        assert_eq!(code(&rest), "image-truncated");
    }

    #[test]
    fn rewrite_holds_no_endless_headers() {
        let mut headers = Tar::default();
        let body = [b"1000010 comment=".as_slice(), &vec![b'c'; 999_993], b"\n"].concat();
        for _ in 0..20 {
            headers = headers.global(&body);
        }
        let error = rewritten(&headers.end(), None, None).map(|_| ()).unwrap_err();
        assert_eq!(crate::Refuse::refusal(&error).code, "image-header-too-large");
    }
}
