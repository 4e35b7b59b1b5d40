//! The header of an rpm package, as the database keeps it.
//!
//! ```text
//! entries     u32, big-endian as everything
//! bytes       u32, of the data
//! entry       tag, type, offset into the data, count: u32 each; so many as there are entries
//! data
//! ```

/// The tags that count (rpm's tag table).
pub(super) mod tag {
    pub(in super::super) const NAME: u32 = 1000;
    pub(in super::super) const VERSION: u32 = 1001;
    pub(in super::super) const RELEASE: u32 = 1002;
    pub(in super::super) const EPOCH: u32 = 1003;
    pub(in super::super) const VENDOR: u32 = 1011;
    pub(in super::super) const LICENSE: u32 = 1014;
    pub(in super::super) const PACKAGER: u32 = 1015;
    pub(in super::super) const ARCHITECTURE: u32 = 1022;
    pub(in super::super) const FILE_STATES: u32 = 1029;
    pub(in super::super) const FILE_FLAGS: u32 = 1037;
    pub(in super::super) const SOURCE: u32 = 1044;
    pub(in super::super) const FOLDER_INDEXES: u32 = 1116;
    pub(in super::super) const FILE_NAMES: u32 = 1117;
    pub(in super::super) const FOLDERS: u32 = 1118;
}

const CHARS: u32 = 1;
const BYTES: u32 = 2;
const NUMBERS: u32 = 4;
const TEXT: u32 = 6;
const TEXTS: u32 = 8;

/// A header that was measured: its entries and its data lie inside of it.
pub(super) struct Header<'a> {
    index: &'a [[u8; 16]],
    data: &'a [u8],
}

struct Entry<'a> {
    kind: u32,
    count: usize,
    /// From its offset to the end of all data.
    data: &'a [u8],
}

impl<'a> Header<'a> {
    pub(super) fn parse(blob: &'a [u8]) -> Result<Self, &'static str> {
        let (entries, rest) = number(blob).ok_or("it is cut off")?;
        let (bytes, rest) = number(rest).ok_or("it is cut off")?;
        // A count of four billion entries must not become an allocation, nor an overflow.
        let index_bytes = usize::try_from(entries).ok().and_then(|entries| entries.checked_mul(16));
        let index_bytes = index_bytes.filter(|bytes| *bytes <= rest.len());
        let (index, data) = rest.split_at(index_bytes.ok_or("it has fewer entries than it says")?);
        let data = usize::try_from(bytes).ok().and_then(|bytes| data.get(..bytes));
        Ok(Self { index: index.as_chunks().0, data: data.ok_or("it has less data than it says")? })
    }

    /// A text; `None` where there is none.
    pub(super) fn text(&self, tag: u32) -> Result<Option<&'a [u8]>, &'static str> {
        let Some(entry) = self.entry(tag)? else { return Ok(None) };
        if entry.kind != TEXT {
            return Err("a text is of another type");
        }
        Ok(Some(terminated(entry.data)?.0))
    }

    /// Numbers; none where there is no such entry.
    pub(super) fn numbers(
        &self,
        tag: u32,
    ) -> Result<impl Iterator<Item = u32> + use<'a>, &'static str> {
        let data = self.measured(tag, &[NUMBERS], 4)?;
        Ok(data.as_chunks().0.iter().map(|bytes| u32::from_be_bytes(*bytes)))
    }

    /// Bytes; none where there is no such entry.
    pub(super) fn bytes(&self, tag: u32) -> Result<&'a [u8], &'static str> {
        self.measured(tag, &[CHARS, BYTES], 1)
    }

    /// Texts; none where there is no such entry.
    pub(super) fn texts(
        &self,
        tag: u32,
    ) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, &'static str> {
        let (mut count, mut rest) = match self.entry(tag)? {
            Some(entry) if entry.kind != TEXTS => return Err("a list of texts is of another type"),
            Some(entry) => (entry.count, entry.data),
            None => (0, &[][..]),
        };
        // Looked at now, so that the iterator cannot fail: as many ends as there are texts.
        let ends = memchr_count(rest);
        if ends < count {
            return Err("a list of texts is cut off");
        }
        Ok(std::iter::from_fn(move || {
            count = count.checked_sub(1)?;
            let (text, after) = terminated(rest).ok()?;
            rest = after;
            Some(text)
        }))
    }

    fn measured(&self, tag: u32, kinds: &[u32], width: usize) -> Result<&'a [u8], &'static str> {
        let Some(entry) = self.entry(tag)? else { return Ok(&[]) };
        if !kinds.contains(&entry.kind) {
            return Err("a list of numbers is of another type");
        }
        let bytes = entry.count.checked_mul(width).and_then(|bytes| entry.data.get(..bytes));
        bytes.ok_or("a list of numbers is cut off")
    }

    fn entry(&self, wanted: u32) -> Result<Option<Entry<'a>>, &'static str> {
        let mut found = None;
        for entry in self.index {
            let [tag, kind, offset, count] = words(entry);
            if tag != wanted {
                continue;
            }
            // Which of two names is the package's?
            if found.is_some() {
                return Err("it has an entry twice");
            }
            let data = usize::try_from(offset).ok().and_then(|offset| self.data.get(offset..));
            let data = data.ok_or("an entry lies outside its data")?;
            let count = usize::try_from(count).map_err(|_| "an entry is too long")?;
            found = Some(Entry { kind, count, data });
        }
        Ok(found)
    }
}

fn memchr_count(data: &[u8]) -> usize {
    data.iter().filter(|byte| **byte == 0).count()
}

/// A text up to its NUL, and what follows.
fn terminated(data: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let end = data.iter().position(|&byte| byte == 0).ok_or("a text has no end")?;
    Ok((&data[..end], &data[end + 1..]))
}

fn number(data: &[u8]) -> Option<(u32, &[u8])> {
    let (bytes, rest) = data.split_first_chunk()?;
    Some((u32::from_be_bytes(*bytes), rest))
}

fn words(entry: &[u8; 16]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(entry.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}
