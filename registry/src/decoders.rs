//! Memory for undoing the compression of images, over all that are taken in at once.
//!
//! ```text
//! need of the image's first bytes    memory
//! up to 16 MiB                       comes with the place of the push
//! more                               of what all of these share: waited for
//! more than the limit of an image    none: it is refused
//! ```
//!
//! A stream says how much of what went before has to be kept, and zstd and xz let it say a lot. It is kept for as
//! long as the client takes to send the rest, and whether the client may publish it shows at the end.

use std::io::{self, Cursor, Read};

use aci::Limits;
use aci::archive::{DECODER_HEAD_BYTES, decoder_bytes};
use tokio::runtime::Handle;

use crate::access::CallerId;
use crate::connection::{ConnectionLimits, Place, Places};
use crate::error::ApiError;

/// What every push may use: enough for zstd to its level 19 and for xz to its level 6, so that what is usual
/// waits for nothing.
const WITH_PLACE: u64 = 16 << 20;
const UNIT: u64 = 1 << 20;

/// The memory that images share which need much.
pub(crate) struct Decoders(Places);

/// An image whose first bytes were read, to be read from its beginning.
pub(crate) struct Begun<R> {
    head: Cursor<Vec<u8>>,
    /// What came instead of the bytes after them.
    fault: Option<io::Error>,
    rest: R,
}

impl Decoders {
    pub(crate) fn new(limits: &ConnectionLimits) -> Self {
        Self(Places::of_each(limits.decoder_mib, limits.decoder_mib_per_caller))
    }

    /// How many pushes wait for memory.
    pub(crate) fn waiting(&self) -> usize {
        self.0.waiting()
    }

    /// Waits for the memory that an image needs, on a thread that may block: it, where there is any to be
    /// had for it, and the limits under which the image takes no more.
    pub(crate) fn room<R>(
        &self,
        caller: &CallerId,
        image: &Begun<R>,
        limits: &Limits,
    ) -> Result<(Option<Place>, Limits), ApiError> {
        let usual = WITH_PLACE.min(limits.decoder_bytes);
        let wanted = decoder_bytes(image.head.get_ref());
        // What is refused anyway need not wait.
        if wanted <= usual || wanted > limits.decoder_bytes {
            return Ok((None, Limits { decoder_bytes: usual, ..limits.clone() }));
        }
        let units = u32::try_from(wanted.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let room = Handle::current().block_on(self.0.take_several(caller, units))?;
        Ok((Some(room), Limits { decoder_bytes: wanted, ..limits.clone() }))
    }
}

impl<R: Read> Begun<R> {
    /// Reads the first bytes.
    pub(crate) fn read(mut rest: R) -> Self {
        let mut head = Vec::with_capacity(DECODER_HEAD_BYTES);
        let fault = rest.by_ref().take(DECODER_HEAD_BYTES as u64).read_to_end(&mut head).err();
        Self { head: Cursor::new(head), fault, rest }
    }
}

impl<R: Read> Read for Begun<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.head.read(buffer)? {
            0 => match self.fault.take() {
                Some(fault) => Err(fault),
                None => self.rest.read(buffer),
            },
            length => Ok(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives these bytes, then fails once, then ends.
    struct Broken(&'static [u8], bool);

    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 if !std::mem::replace(&mut self.1, true) => Err(io::Error::other("it broke off")),
                length => Ok(length),
            }
        }
    }

    #[test]
    fn image_that_breaks_off_early_is_not_one_that_ends() {
        for bytes in [&[7; 10][..], &[7; DECODER_HEAD_BYTES], &[7; 5000]] {
            let mut found = Vec::new();
            let error = Begun::read(Broken(bytes, false)).read_to_end(&mut found).unwrap_err();
            assert_eq!((&*found, &*error.to_string()), (bytes, "it broke off"));
            found.clear();
            Begun::read(bytes).read_to_end(&mut found).unwrap();
            assert_eq!(found, bytes);
        }
    }

    #[tokio::test]
    async fn memory_is_waited_for_by_who_needs_much_alone() {
        const MIB: u64 = 1 << 20;
        let limits = ConnectionLimits {
            decoder_mib: 100,
            decoder_mib_per_caller: 64,
            ..ConnectionLimits::default()
        };
        let decoders = std::sync::Arc::new(Decoders::new(&limits));
        let (one, two) = ("00000001".parse().unwrap(), "00000002".parse().unwrap());
        let (one, two) = (CallerId::of_token(&one), CallerId::of_token(&two));
        // By the byte of zstd's window.
        let room = async |caller: &CallerId, log: u8| {
            let (decoders, caller) = (std::sync::Arc::clone(&decoders), caller.clone());
            let taken = tokio::task::spawn_blocking(move || {
                let head = [0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
                let image = Begun::read(&head[..]);
                let (room, limits) = decoders.room(&caller, &image, &Limits::default()).unwrap();
                (room, limits.decoder_bytes)
            });
            let taken = tokio::time::timeout(std::time::Duration::from_millis(100), taken).await;
            taken.ok().map(Result::unwrap)
        };
        let (first, bytes) = room(&one, 26).await.unwrap();
        assert_eq!((first.is_some(), bytes), (true, 64 * MIB));
        for usual in [10, 21, 24] {
            let (none, bytes) = room(&one, usual).await.unwrap();
            assert_eq!((none.is_some(), bytes), (false, 16 * MIB));
        }
        let (none, bytes) = room(&one, 28).await.unwrap();
        assert_eq!((none.is_some(), bytes), (false, 16 * MIB), "it will be refused");
        let other = room(&two, 25).await.unwrap();
        assert_eq!((other.0.is_some(), other.1), (true, 32 * MIB), "one caller leaves some");
        drop(other);
        assert!(room(&two, 26).await.is_none(), "all of it is not enough for both");
        drop(first);
    }
}
