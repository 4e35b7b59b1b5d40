//! Databases of rpm, good and hostile, made in code.

use proptest::prelude::*;

use super::header::Header;
use super::*;

const PAGE: usize = 512;

/// Data of an entry of a header: type, count and bytes.
type Data = (u32, u32, Vec<u8>);

fn text(value: &str) -> Data {
    (6, 1, [value.as_bytes(), b"\0"].concat())
}

fn texts(values: &[&str]) -> Data {
    let all = values.iter().flat_map(|value| [value.as_bytes(), b"\0"].concat()).collect();
    (8, values.len() as u32, all)
}

fn numbers(values: &[u32]) -> Data {
    (4, values.len() as u32, values.iter().flat_map(|value| value.to_be_bytes()).collect())
}

fn header(entries: &[(u32, Data)]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, (kind, count, bytes)) in entries {
        for word in [*tag, *kind, data.len() as u32, *count] {
            index.extend_from_slice(&word.to_be_bytes());
        }
        data.extend_from_slice(bytes);
    }
    let sizes = [entries.len() as u32, data.len() as u32].map(u32::to_be_bytes).concat();
    [sizes, index, data].concat()
}

fn basic(name: &str) -> Vec<(u32, Data)> {
    vec![(tag::NAME, text(name)), (tag::VERSION, text("1.0")), (tag::RELEASE, text("2"))]
}

fn varint(value: usize) -> Vec<u8> {
    assert!(value < 1 << 14);
    if value < 128 {
        vec![value as u8]
    } else {
        vec![(value >> 7) as u8 | 0x80, value as u8 & 0x7f]
    }
}

/// A page of a tree, the cells filled in from its end.
fn page(first: bool, kind: u8, last_child: u32, cells: &[Vec<u8>]) -> Vec<u8> {
    let mut page = vec![0; if first { 100 } else { 0 }];
    page.extend_from_slice(&[kind, 0, 0, 0, cells.len() as u8, 0, 0, 0]);
    if kind == 5 {
        page.extend_from_slice(&last_child.to_be_bytes());
    }
    let mut end = PAGE;
    for cell in cells {
        end -= cell.len();
        page.extend_from_slice(&(end as u16).to_be_bytes());
    }
    assert!(page.len() <= end, "the cells do not fit");
    page.resize(end, 0);
    cells.iter().rev().for_each(|cell| page.extend_from_slice(cell));
    page
}

/// A row of the schema.
fn schema(kind: &str, name: &str, root: u8) -> Vec<u8> {
    let kinds = [kind, name, name].map(|text| varint(text.len() * 2 + 13)).concat();
    let header = [vec![kinds.len() as u8 + 3], kinds, vec![1, 13]].concat();
    let row = [header, [kind, name, name].concat().into_bytes(), vec![root]].concat();
    [varint(row.len()), vec![1], row].concat()
}

fn start(tables: &[Vec<u8>]) -> Vec<u8> {
    let mut start = page(true, 13, 0, tables);
    start[..16].copy_from_slice(b"SQLite format 3\0");
    start[16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
    (start[18], start[19], start[59]) = (2, 2, 1);
    start
}

/// A row with a blob, and the overflow pages it needs, the first of which is page `next`.
fn blob_row(number: u8, blob: &[u8], next: u32) -> (Vec<u8>, Vec<Vec<u8>>) {
    let kind = varint(blob.len() * 2 + 12);
    let row = [vec![kind.len() as u8 + 2, 0], kind, blob.to_vec()].concat();
    let start = [varint(row.len()), vec![number]].concat();
    if row.len() <= PAGE - 35 {
        return ([start, row].concat(), Vec::new());
    }
    let least = (PAGE - 12) * 32 / 255 - 23;
    let fitting = least + (row.len() - least) % (PAGE - 4);
    let (local, rest) = row.split_at(if fitting <= PAGE - 35 { fitting } else { least });
    let parts: Vec<&[u8]> = rest.chunks(PAGE - 4).collect();
    let chain = parts.iter().zip(1..).map(|(part, at)| {
        let following = if at == parts.len() { 0 } else { next + at as u32 };
        let mut page = [&following.to_be_bytes()[..], part].concat();
        page.resize(PAGE, 0);
        page
    });
    ([start, local.to_vec(), next.to_be_bytes().to_vec()].concat(), chain.collect())
}

/// A database: an inner page over one leaf for each blob.
fn database(blobs: &[Vec<u8>]) -> Vec<u8> {
    let mut pages = Vec::new();
    let mut leaves = Vec::new();
    for (blob, number) in blobs.iter().zip(1..) {
        let at = pages.len() as u32 + 3;
        let (cell, chain) = blob_row(number, blob, at + 1);
        pages.push(page(false, 13, 0, &[cell]));
        pages.extend(chain);
        leaves.push(at);
    }
    let last = leaves.pop().expect("there is a blob");
    let cells: Vec<_> =
        leaves.iter().zip(1..).map(|(at, key)| [&at.to_be_bytes()[..], &[key]].concat()).collect();
    let tables = [schema("index", "Packages", 9), schema("table", "Packages", 2)];
    [vec![start(&tables), page(false, 5, last, &cells)], pages].concat().concat()
}

fn read(file: &[u8]) -> Result<Vec<Package>, DatabaseFault> {
    packages(file, &mut Claims::new(None, 0), &SbomLimits::default())
}

/// What is wrong with a header that is the only one.
fn header_fault(blob: Vec<u8>) -> &'static str {
    match read(&database(&[blob])) {
        Err(DatabaseFault::Header { package: 1, fault }) => fault,
        other => panic!("{other:?}"),
    }
}

fn page_fault(file: &[u8]) -> (u32, &'static str) {
    match read(file) {
        Err(DatabaseFault::Page { page, fault }) => (page, fault),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rpm_packages_have_their_fields() {
    let mut one = basic("bash");
    one.extend([
        (tag::EPOCH, numbers(&[3])),
        (tag::LICENSE, text("GPLv3+")),
        (tag::ARCHITECTURE, text("x86_64")),
        (tag::SOURCE, text("bash-1.0-2.src.rpm")),
        (tag::VENDOR, text("Example")),
        (tag::PACKAGER, text("P <p@example.com>")),
        // Larger than a page, so that the row goes on in others.
        (tag::FOLDERS, texts(&[&"/usr/share/long".repeat(100), "/"])),
        (tag::FOLDER_INDEXES, numbers(&[0, 1])),
        (tag::FILE_NAMES, texts(&["a", "b"])),
    ]);
    let blobs = [header(&one), header(&basic("gpg-pubkey")), header(&basic("b"))];
    let packages = read(&database(&blobs)).unwrap();
    let [bash, b] = packages.as_slice() else { panic!("{packages:?}") };
    assert_eq!((bash.name.as_str(), bash.full_version().as_str()), ("bash", "3:1.0-2"));
    assert_eq!(bash.license.as_deref(), Some("GPLv3+"));
    assert_eq!(bash.supplier, Some(Supplier::Vendor("Example".into())));
    assert_eq!(bash.source.as_deref(), Some("bash-1.0-2.src.rpm"));
    assert_eq!((b.name.as_str(), b.epoch), ("b", None));
    let limits = SbomLimits { packages: 1, ..SbomLimits::default() };
    let two = super::packages(&database(&blobs), &mut Claims::new(None, 0), &limits);
    assert_eq!(two, Err(DatabaseFault::Packages { allowed: 1 }));
}

#[test]
fn rpm_header_with_wrong_lengths_is_refused() {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect();
    let with = |tag, data| {
        let mut entries = basic("a");
        entries.push((tag, data));
        header(&entries)
    };
    assert_eq!(header_fault(vec![0; 7]), "it is cut off");
    assert_eq!(header_fault(words(&[u32::MAX, 0])), "it has fewer entries than it says");
    assert_eq!(header_fault(words(&[0x1000_0001, 0])), "it has fewer entries than it says");
    assert_eq!(header_fault(words(&[0, u32::MAX])), "it has less data than it says");
    assert_eq!(header_fault(words(&[0, 0])), "it has no name");
    let outside = words(&[1, 0, tag::NAME, 6, u32::MAX, 1]);
    assert_eq!(header_fault(outside), "an entry lies outside its data");
    let endless = header(&[(tag::NAME, (6, 1, b"name".to_vec()))]);
    assert_eq!(header_fault(endless), "a text has no end");
    assert_eq!(header_fault(with(tag::NAME, text("b"))), "it has an entry twice");
    assert_eq!(header_fault(with(tag::VENDOR, numbers(&[1]))), "a text is of another type");
    let many = (4, u32::MAX, vec![0; 4]);
    assert_eq!(header_fault(with(tag::EPOCH, many)), "a list of numbers is cut off");
    let many = (8, u32::MAX, vec![0; 4]);
    assert_eq!(header_fault(with(tag::FOLDERS, many)), "a list of texts is cut off");
}

#[test]
fn rpm_header_with_files_in_no_folder_is_refused() {
    let with = |indexes: &[u32]| {
        let mut entries = basic("a");
        entries.push((tag::FOLDERS, texts(&["/"])));
        entries.push((tag::FOLDER_INDEXES, numbers(indexes)));
        entries.push((tag::FILE_NAMES, texts(&["a", "b"])));
        header(&entries)
    };
    assert_eq!(header_fault(with(&[0])), "it has more files than folders for them");
    assert_eq!(header_fault(with(&[0, 1])), "a file lies in a folder that it has not");
    assert_eq!(header_fault(with(&[0, u32::MAX])), "a file lies in a folder that it has not");
    assert_eq!(read(&database(&[with(&[0, 0])])).unwrap().len(), 1);
}

#[test]
fn rpm_header_with_a_million_folders_is_refused() {
    let mut entries = basic("a");
    let folders = vec![0; MOST_FOLDERS + 1];
    entries.push((tag::FOLDERS, (8, folders.len() as u32, folders)));
    let (blob, mut claims) = (header(&entries), Claims::new(None, 0));
    let claimed = claim_files(&Header::parse(&blob).unwrap(), 0, &mut claims);
    assert_eq!(claimed, Err("it has too many folders"));
}

#[test]
fn sqlite_that_is_none_is_refused() {
    let good = database(&[header(&basic("a"))]);
    let fault = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = good.clone();
        change(&mut file);
        match read(&file) {
            Err(DatabaseFault::Sqlite(fault)) => fault,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read(&[]), Err(DatabaseFault::Sqlite("it does not begin as one")));
    assert_eq!(fault(&|file| file[0] = b's'), "it does not begin as one");
    assert_eq!(fault(&|file| file.truncate(99)), "it does not begin as one");
    assert_eq!(fault(&|file| file[17] = 3), "it has pages of an impossible size");
    assert_eq!(fault(&|file| file[16] = 0), "it has pages of an impossible size");
    assert_eq!(fault(&|file| file[20] = 255), "its pages are not whole");
    assert_eq!(fault(&|file| file.truncate(700)), "its pages are not whole");
    assert_eq!(fault(&|file| file[59] = 2), "it is of a later version, or not in UTF-8");
    assert_eq!(fault(&|file| file[19] = 3), "it is of a later version, or not in UTF-8");
    let none = start(&[schema("table", "packages", 2)]);
    let nameless = Err(DatabaseFault::Sqlite("it has not one table of that name"));
    assert_eq!(read(&none), nameless);
    let twice = start(&[schema("table", "Packages", 2), schema("table", "Packages", 3)]);
    assert_eq!(read(&twice), nameless);
}

#[test]
fn sqlite_that_goes_round_in_a_circle_is_refused() {
    let tables = [schema("table", "Packages", 2)];
    let of = |pages: Vec<Vec<u8>>| [vec![start(&tables)], pages].concat().concat();
    let itself = of(vec![page(false, 5, 2, &[])]);
    assert_eq!(page_fault(&itself), (2, "it is in two places"));
    let above = of(vec![page(false, 5, 3, &[]), page(false, 5, 1, &[])]);
    assert_eq!(page_fault(&above), (1, "it is in two places"));
    let absent = of(vec![page(false, 5, 0, &[])]);
    assert_eq!(page_fault(&absent), (0, "there is no such page"));
    let beyond = of(vec![page(false, 5, u32::MAX, &[])]);
    assert_eq!(page_fault(&beyond), (u32::MAX, "there is no such page"));
    let deep = of((3..60).map(|next| page(false, 5, next, &[])).collect());
    assert_eq!(page_fault(&deep), (34, "it lies too deep"));
    let children = vec![[0, 0, 0, 3, 1].to_vec(); 9];
    let wide = of(vec![page(false, 5, 3, &children), page(false, 13, 0, &[])]);
    assert_eq!(page_fault(&wide), (2, "it has more pages below it than there are"));
}

#[test]
fn sqlite_rows_that_overflow_wrongly_are_refused() {
    let good = database(&[vec![7; 2000]]);
    // Pages 4 to 7 are the chain; each begins with the number of the next one.
    let chained = |page: usize, next: u32| {
        let mut file = good.clone();
        file[(page - 1) * PAGE..][..4].copy_from_slice(&next.to_be_bytes());
        page_fault(&file)
    };
    assert_eq!(chained(4, 4), (4, "it is in two places"));
    assert_eq!(chained(4, 2), (2, "it is in two places"));
    assert_eq!(chained(4, 0), (0, "there is no such page"));
    assert_eq!(chained(4, 99), (99, "there is no such page"));
    let tables = [schema("table", "Packages", 2)];
    let of = |cells: &[Vec<u8>]| [start(&tables), page(false, 13, 0, cells)].concat();
    // Nine bytes of 0xff: a length below zero.
    assert_eq!(page_fault(&of(&[vec![0xff; 20]])), (2, "a row is cut off"));
    let huge = [vec![0xbf; 8], vec![0xff, 1], vec![0; 470]].concat();
    assert_eq!(page_fault(&of(&[huge])), (0, "a row is longer than the file"));
    let kinds = |kinds: &[u8]| {
        let row = [&[kinds.len() as u8 + 1], kinds, &[0; 9]].concat();
        page_fault(&of(&[[varint(row.len()), vec![1], row].concat()]))
    };
    let columns = (2, "a row has not the columns it should");
    assert_eq!(kinds(&[0]), columns);
    assert_eq!(kinds(&[0, 10]), columns);
    assert_eq!(kinds(&[0, 13]), columns);
    assert_eq!(kinds(&[0, 0x81]), columns);
    assert_eq!(kinds(&[0, 100]), columns);
}

#[test]
fn sqlite_rows_that_lie_over_each_other_are_refused() {
    let mut file = database(&[vec![0; 400]]);
    let leaf = 2 * PAGE;
    // Three times the same row; its pointer is repeated.
    file[leaf + 4] = 3;
    let pointer = [file[leaf + 8], file[leaf + 9]];
    file[leaf + 10..leaf + 14].copy_from_slice(&pointer.repeat(2));
    // The blob is no header, and the first row would say so.
    let mut rows = 0;
    let read = sqlite::blobs(&file, |_, _| {
        rows += 1;
        Ok(())
    });
    let fault = "rows lie over each other";
    assert_eq!((read, rows), (Err(DatabaseFault::Page { page: 3, fault }), 1));
    file[leaf + 4] = 255;
    assert_eq!(page_fault(&file).0, 3);
}

proptest! {
    #[test]
    fn rpm_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        long in any::<bool>(),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut one = basic("a");
        let folder = "x".repeat(if long { 1500 } else { 1 });
        one.push((tag::FOLDERS, texts(&[&folder])));
        one.push((tag::FOLDER_INDEXES, numbers(&[0])));
        one.push((tag::FILE_NAMES, texts(&["b"])));
        let mut file = database(&[header(&one), header(&basic("c"))]);
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len() / PAGE + 1) * PAGE);
        }
        let _ = read(&file);
    }

    #[test]
    fn rpm_header_never_panics(blob in prop::collection::vec(0_u8..20, 0..80)) {
        if let Ok(header) = Header::parse(&blob) {
            let _ = package(&header);
        }
    }
}
