//! One table of an SQLite file, read without SQLite (SQLite's "Database File Format").
//!
//! A file is a row of pages of one size. A table is a tree of pages: inner ones name others,
//! leaves have rows. A row that does not fit goes on in a chain of overflow pages. Every page is
//! read once at most, and no byte of a page is in two rows: so neither circles nor shared pages
//! make the work larger than the file.

use std::borrow::Cow;

use super::super::fault::DatabaseFault;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER_BYTES: usize = 100;
const INNER: u8 = 0x05;
const LEAF: u8 = 0x0d;

/// Every tree that SQLite makes is flatter: a page has two children at least.
const DEEPEST: usize = 32;

/// Shows the rows of the table `Packages`: the number and the blob.
pub(super) fn blobs(
    file: &[u8],
    mut visit: impl FnMut(i64, &[u8]) -> Result<(), DatabaseFault>,
) -> Result<(), DatabaseFault> {
    let mut tables = Vec::new();
    let mut pages = Pages::open(file)?;
    pages.rows(1, &mut |_, row| {
        // type, name, table, root page, SQL
        let columns = columns::<4>(row)?;
        if columns[0].text() == Some(b"table") && columns[1].text() == Some(b"Packages") {
            tables.push(columns[3].integer().and_then(|root| u32::try_from(root).ok()));
        }
        Some(Ok(()))
    })?;
    let &[Some(root)] = tables.as_slice() else {
        return Err(DatabaseFault::Sqlite("it has not one table of that name"));
    };
    pages.rows(root, &mut |number, row| {
        let [_, blob] = columns::<2>(row)?;
        Some(visit(number, blob.blob()?))
    })
}

/// The pages of a file, each of which can be taken once.
struct Pages<'a> {
    file: &'a [u8],
    size: usize,
    /// Bytes of a page that count.
    usable: usize,
    taken: Vec<bool>,
}

/// A row: its number and its bytes. `None` where they are no row.
type Visit<'v> = dyn FnMut(i64, &[u8]) -> Option<Result<(), DatabaseFault>> + 'v;

impl<'a> Pages<'a> {
    fn open(file: &'a [u8]) -> Result<Self, DatabaseFault> {
        let wrong = DatabaseFault::Sqlite;
        if file.len() < HEADER_BYTES || !file.starts_with(MAGIC) {
            return Err(wrong("it does not begin as one"));
        }
        let size = match u16::from_be_bytes([file[16], file[17]]) {
            1 => 65536,
            size if size >= 512 && size.is_power_of_two() => usize::from(size),
            _ => return Err(wrong("it has pages of an impossible size")),
        };
        let usable = size - usize::from(file[20]);
        if usable < 480 || !file.len().is_multiple_of(size) {
            return Err(wrong("its pages are not whole"));
        }
        if file[19] > 2 || u32::from_be_bytes([file[56], file[57], file[58], file[59]]) != 1 {
            return Err(wrong("it is of a later version, or not in UTF-8"));
        }
        Ok(Self { file, size, usable, taken: vec![false; file.len() / size] })
    }

    fn take(&mut self, page: u32) -> Result<&'a [u8], DatabaseFault> {
        let damaged = |fault| DatabaseFault::Page { page, fault };
        let at = usize::try_from(page).ok().and_then(|page| page.checked_sub(1));
        let at = at.filter(|at| *at < self.taken.len()).ok_or(damaged("there is no such page"))?;
        // A page below itself is an endless tree.
        if std::mem::replace(&mut self.taken[at], true) {
            return Err(damaged("it is in two places"));
        }
        Ok(&self.file[at * self.size..][..self.usable])
    }

    /// Shows the rows of the table whose tree begins at this page, in their order.
    fn rows(&mut self, root: u32, visit: &mut Visit<'_>) -> Result<(), DatabaseFault> {
        let mut waiting = vec![(root, 0)];
        while let Some((number, depth)) = waiting.pop() {
            let damaged = |fault| DatabaseFault::Page { page: number, fault };
            let node = Node::parse(self.take(number)?, number == 1).map_err(damaged)?;
            if node.leaf {
                self.leaf(&node, number, visit)?;
            } else if depth < DEEPEST {
                let children = node.children().map_err(damaged)?;
                // Two bytes of a page name a child: a tree of more children than pages.
                if waiting.len() + children.len() > self.taken.len() {
                    return Err(damaged("it has more pages below it than there are"));
                }
                waiting.extend(children.into_iter().rev().map(|child| (child, depth + 1)));
            } else {
                return Err(damaged("it lies too deep"));
            }
        }
        Ok(())
    }

    fn leaf(
        &mut self,
        node: &Node<'a>,
        number: u32,
        visit: &mut Visit<'_>,
    ) -> Result<(), DatabaseFault> {
        let damaged = |fault| DatabaseFault::Page { page: number, fault };
        let mut left = self.usable;
        for cell in node.cells() {
            let cell = cell.ok_or(damaged("a row lies outside of it"))?;
            let row = Row::parse(cell, self.usable).ok_or(damaged("a row is cut off"))?;
            // 30,000 rows that are all the same bytes of one page.
            left = left.checked_sub(row.cell_bytes).ok_or(damaged("rows lie over each other"))?;
            let bytes = match row.overflow {
                None => Cow::Borrowed(row.local),
                Some(first) => Cow::Owned(self.overflow(row.local, first, row.bytes)?),
            };
            visit(row.number, &bytes).ok_or(damaged("a row has not the columns it should"))??;
        }
        Ok(())
    }

    /// A row's bytes from a page and its chain of overflow pages.
    fn overflow(
        &mut self,
        local: &[u8],
        first: u32,
        bytes: usize,
    ) -> Result<Vec<u8>, DatabaseFault> {
        let damaged = |fault| DatabaseFault::Page { page: first, fault };
        // What a row says of its length must not become an allocation.
        if bytes > self.file.len() {
            return Err(damaged("a row is longer than the file"));
        }
        let mut row = Vec::with_capacity(bytes);
        row.extend_from_slice(local);
        let mut next = first;
        while row.len() < bytes {
            let page = self.take(next)?;
            let (following, content) =
                page.split_first_chunk().ok_or(damaged("it is too short"))?;
            next = u32::from_be_bytes(*following);
            row.extend_from_slice(&content[..content.len().min(bytes - row.len())]);
        }
        Ok(row)
    }
}

/// A page of a table's tree.
struct Node<'a> {
    page: &'a [u8],
    leaf: bool,
    /// Where the cells lie, two bytes each.
    pointers: &'a [u8],
    last_child: u32,
}

impl<'a> Node<'a> {
    fn parse(page: &'a [u8], first: bool) -> Result<Self, &'static str> {
        // The file's own header stands in the first page.
        let header = page.get(if first { HEADER_BYTES } else { 0 }..).unwrap_or_default();
        let &[kind, _, _, cells_high, cells_low, _, _, _, ref rest @ ..] = header else {
            return Err("it is too short");
        };
        let (leaf, last_child, rest) = match (kind, rest) {
            (LEAF, rest) => (true, 0, rest),
            (INNER, &[a, b, c, d, ref rest @ ..]) => {
                (false, u32::from_be_bytes([a, b, c, d]), rest)
            }
            _ => return Err("it is no page of a table"),
        };
        let cells = usize::from(u16::from_be_bytes([cells_high, cells_low]));
        let pointers = rest.get(..cells * 2).ok_or("it has more rows than fit into it")?;
        Ok(Self { page, leaf, pointers, last_child })
    }

    /// What is at each pointer, up to the page's end.
    fn cells(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let page = self.page;
        let pointers = self.pointers.as_chunks().0.iter();
        pointers.map(move |at| page.get(usize::from(u16::from_be_bytes(*at))..))
    }

    /// The pages below an inner one, in order.
    fn children(&self) -> Result<Vec<u32>, &'static str> {
        let child = |cell: Option<&[u8]>| Some(u32::from_be_bytes(*cell?.first_chunk()?));
        let last = std::iter::once(Some(self.last_child));
        let children: Option<_> = self.cells().map(child).chain(last).collect();
        children.ok_or("a child lies outside of it")
    }
}

/// A cell of a leaf.
struct Row<'a> {
    number: i64,
    /// All its bytes.
    bytes: usize,
    /// Those that stand in the leaf.
    local: &'a [u8],
    overflow: Option<u32>,
    cell_bytes: usize,
}

impl<'a> Row<'a> {
    fn parse(cell: &'a [u8], usable: usize) -> Option<Self> {
        let (bytes, rest) = varint(cell)?;
        let (number, rest) = varint(rest)?;
        let bytes = usize::try_from(bytes).ok()?;
        // "Determination of payload overflow" in the format's description; the least page has
        // 480 bytes that count, so nothing here can be negative.
        let largest = usable - 35;
        let in_leaf = if bytes <= largest {
            bytes
        } else {
            let least = (usable - 12) * 32 / 255 - 23;
            let fitting = least + (bytes - least) % (usable - 4);
            if fitting <= largest { fitting } else { least }
        };
        let (local, after) = rest.split_at_checked(in_leaf)?;
        let (overflow, after) = if in_leaf == bytes {
            (None, after)
        } else {
            let (page, after) = after.split_first_chunk()?;
            (Some(u32::from_be_bytes(*page)), after)
        };
        Some(Self { number, bytes, local, overflow, cell_bytes: cell.len() - after.len() })
    }
}

/// A value of a row.
#[derive(Clone, Copy)]
enum Value<'a> {
    Integer(i64),
    Blob(&'a [u8]),
    Text(&'a [u8]),
    Other,
}

impl<'a> Value<'a> {
    fn integer(self) -> Option<i64> {
        if let Self::Integer(value) = self { Some(value) } else { None }
    }

    fn blob(self) -> Option<&'a [u8]> {
        if let Self::Blob(value) = self { Some(value) } else { None }
    }

    fn text(self) -> Option<&'a [u8]> {
        if let Self::Text(value) = self { Some(value) } else { None }
    }
}

/// The first columns of a row ("Record Format").
fn columns<const COUNT: usize>(row: &[u8]) -> Option<[Value<'_>; COUNT]> {
    let (header_bytes, _) = varint(row)?;
    let (header, mut body) = row.split_at_checked(usize::try_from(header_bytes).ok()?)?;
    let (_, mut kinds) = varint(header)?;
    let mut values = [Value::Other; COUNT];
    for value in &mut values {
        let (kind, rest) = varint(kinds)?;
        kinds = rest;
        let bytes = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            12.. => (kind - 12) / 2,
            _ => return None,
        };
        let (content, rest) = body.split_at_checked(usize::try_from(bytes).ok()?)?;
        body = rest;
        *value = match kind {
            1..=6 => Value::Integer(integer(content)),
            8 | 9 => Value::Integer(kind - 8),
            12.. if kind % 2 == 0 => Value::Blob(content),
            12.. => Value::Text(content),
            _ => Value::Other,
        };
    }
    Some(values)
}

/// A big-endian integer of at most eight bytes with its sign.
fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    bytes.iter().fold(start, |value, byte| value << 8 | i64::from(*byte))
}

/// One to nine bytes, seven bits in each but the ninth, which has eight.
fn varint(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut value: i64 = 0;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        if at == 8 {
            return Some((value << 8 | i64::from(*byte), &bytes[9..]));
        }
        value = value << 7 | i64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}
