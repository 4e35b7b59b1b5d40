//! Whose the files are in the image.

use std::fs;
use std::str::FromStr;

use aci::archive::move_attribute_ids;

use crate::capability::{NAME as CAPABILITY, VERSION_2_BYTES};
use crate::overrides::{Rule, RuleError, ids, somebody};

/// Whose the files are in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// All belong to this user and group.
    Fixed {
        /// User ID.
        uid: u32,
        /// Group ID.
        gid: u32,
    },
    /// As they are on disk.
    Keep,
    /// As they are on disk, translated.
    Map(OwnerMap),
}

impl Owner {
    /// As on disk, but that this user and group are root in the image.
    pub(crate) fn caller_as_root(uid: u32, gid: u32) -> Self {
        let others = |id: u32| {
            let before = (id > 0).then_some(Range { disk: 0, image: 0, count: id });
            let itself = Range { disk: id, image: 0, count: 1 };
            let count = u32::MAX - 1 - id;
            let after = (count > 0).then_some(Range { disk: id + 1, image: id + 1, count });
            before.into_iter().chain([itself]).chain(after).collect()
        };
        Self::Map(OwnerMap { users: others(uid), groups: others(gid) })
    }

    /// User and group in the image for those on disk; `None` where a map has no line for them.
    pub(crate) fn of(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        match self {
            Self::Fixed { uid, gid } => Some((*uid, *gid)),
            Self::Keep => Some((uid, gid)),
            Self::Map(map) => Some((translate(&map.users, uid)?, translate(&map.groups, gid)?)),
        }
    }

    /// The value in the image of an attribute on disk; `None` where it names a user or group that
    /// a map has no line for, or that this user namespace has no ID for.
    pub(crate) fn attribute(&self, name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let moved = match self {
            // A capability of version 2 counts for the root of wherever its file is.
            Self::Map(_) if name == CAPABILITY && value.len() == VERSION_2_BYTES => value.into(),
            Self::Map(map) => {
                let uid = |id| translate(&map.users, id);
                move_attribute_ids(name, value, uid, |id| translate(&map.groups, id))?
            }
            Self::Fixed { .. } | Self::Keep => move_attribute_ids(name, value, somebody, somebody)?,
        };
        Some(moved.into_owned())
    }
}

impl FromStr for Owner {
    type Err = RuleError;

    /// `UID:GID`, or `keep`.
    fn from_str(text: &str) -> Result<Self, RuleError> {
        if text == "keep" {
            return Ok(Self::Keep);
        }
        let (uid, gid) = ids(text).ok_or_else(|| RuleError::Owner(text.to_owned()))?;
        Ok(Self::Fixed { uid, gid })
    }
}

/// Which user and group IDs on disk are which in the image, as in the maps of user namespaces.
///
/// - no ID on disk is in two ranges
/// - no range ends above the largest ID, 4294967294
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerMap {
    users: Vec<Range>,
    groups: Vec<Range>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    disk: u32,
    image: u32,
    count: u32,
}

fn translate(ranges: &[Range], id: u32) -> Option<u32> {
    ranges.iter().find_map(|range| {
        let offset = id.checked_sub(range.disk).filter(|&offset| offset < range.count)?;
        Some(range.image + offset)
    })
}

/// Why a file is no ownership map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {text:?}: {fault}")]
pub struct OwnerMapError {
    /// The line, counted from 1.
    pub line: usize,
    /// What it says.
    pub text: String,
    /// What is wrong with it.
    pub fault: OwnerMapFault,
}

/// What is wrong with a line of an ownership map.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnerMapFault {
    /// It has none of the forms.
    #[error(
        "write FROM TO COUNT for users and groups alike, `uid` or `gid` before it for one of them, \
         or `path PATTERN UID:GID`"
    )]
    Form,
    /// A count of zero, or a range beyond the largest ID.
    #[error("a range has at least one ID, and none above 4294967294")]
    Bounds,
    /// It names IDs that an earlier line names.
    #[error("an earlier line has some of these IDs")]
    Overlap,
    /// A pattern or an owner that is none.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

/// Reads an ownership map: the ranges of IDs, where it has any, and the owners it gives to paths.
///
/// ```text
/// # FROM TO COUNT     users and groups alike
/// 100000 0 65536
/// uid 1000 0 1
/// gid 1000 0 1
/// path /srv/www/** 33:33
/// ```
pub fn read_owner_map(text: &str) -> Result<(Option<OwnerMap>, Vec<Rule>), OwnerMapError> {
    let mut map = OwnerMap::default();
    let mut rules = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words = line.trim();
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        let path = words.strip_prefix("path").filter(|rest| rest.starts_with(char::is_whitespace));
        let read = match path {
            Some(rest) => path_rule(rest).map(|rule| rules.push(rule)),
            None => map.read_line(words),
        };
        read.map_err(|fault| OwnerMapError { line: at + 1, text: line.to_owned(), fault })?;
    }
    let has_ranges = !(map.users.is_empty() && map.groups.is_empty());
    Ok((has_ranges.then_some(map), rules))
}

fn path_rule(text: &str) -> Result<Rule, OwnerMapFault> {
    let (pattern, owner) =
        text.trim().rsplit_once(char::is_whitespace).ok_or(OwnerMapFault::Form)?;
    Ok(Rule::owner(pattern.trim_end(), owner)?)
}

impl OwnerMap {
    fn read_line(&mut self, line: &str) -> Result<(), OwnerMapFault> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (users, groups, numbers) = match words.as_slice() {
            ["uid", numbers @ ..] => (true, false, numbers),
            ["gid", numbers @ ..] => (false, true, numbers),
            numbers => (true, true, numbers),
        };
        let number = |word: &&str| word.parse().map_err(|_| OwnerMapFault::Form);
        let &[disk, image, count] =
            numbers.iter().map(number).collect::<Result<Vec<u32>, _>>()?.as_slice()
        else {
            return Err(OwnerMapFault::Form);
        };
        // The last of all numbers means "no change" to the kernel, and is nobody's.
        let fits = |first: u32| first.checked_add(count - 1).is_some_and(|last| last < u32::MAX);
        if count == 0 || !fits(disk) || !fits(image) {
            return Err(OwnerMapFault::Bounds);
        }
        let range = Range { disk, image, count };
        for (wanted, ranges) in [(users, &mut self.users), (groups, &mut self.groups)] {
            if !wanted {
                continue;
            }
            let overlaps = |other: &Range| {
                disk <= other.disk + (other.count - 1) && other.disk <= disk + (count - 1)
            };
            if ranges.iter().any(overlaps) {
                return Err(OwnerMapFault::Overlap);
            }
            ranges.push(range);
        }
        Ok(())
    }
}

/// The IDs that the kernel shows in the place of those that this user namespace has no name for
/// (user_namespaces(7), "Unmapped user and group IDs").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Overflow {
    uid: Option<Stand>,
    gid: Option<Stand>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stand {
    id: u32,
    /// Whether the ID has an owner of its own besides.
    also_real: bool,
}

/// How sure it is that an owner is not the real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unknown {
    No,
    Perhaps,
    Yes,
}

impl Overflow {
    /// Those of this process.
    pub(crate) fn here() -> Self {
        let read = |map: &str, overflow: &str| {
            let map = fs::read_to_string(map).ok()?;
            let overflow = fs::read_to_string(overflow).ok()?;
            Self::stand(&map, overflow.trim().parse().ok()?)
        };
        Self {
            uid: read("/proc/self/uid_map", "/proc/sys/kernel/overflowuid"),
            gid: read("/proc/self/gid_map", "/proc/sys/kernel/overflowgid"),
        }
    }

    /// Lines of first ID inside, first ID outside, count. All IDs are there outside of any
    /// namespace, and then none stands for another.
    fn stand(map: &str, id: u32) -> Option<Stand> {
        let mut total = 0;
        let mut also_real = false;
        for line in map.lines() {
            let numbers: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
            let &[inside, _, count] = numbers.as_slice() else { return None };
            total += count;
            also_real |= (inside..inside + count).contains(&u64::from(id));
        }
        (total < u64::from(u32::MAX)).then_some(Stand { id, also_real })
    }

    pub(crate) fn unknown(&self, uid: u32, gid: u32) -> Unknown {
        let look = |stand: Option<Stand>, id| match stand {
            Some(stand) if stand.id == id && stand.also_real => Unknown::Perhaps,
            Some(stand) if stand.id == id => Unknown::Yes,
            _ => Unknown::No,
        };
        look(self.uid, uid).max(look(self.gid, gid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_map_translates_ranges_and_knows_no_others() {
        let text = "# a comment\n\n100000 0 1000\nuid 1000 5 1\n gid 1000 6 2 \n";
        let (map, rules) = read_owner_map(text).unwrap();
        let owner = Owner::Map(map.unwrap());
        assert_eq!(rules, []);
        assert_eq!(owner.of(100_000, 100_999), Some((0, 999)));
        assert_eq!(owner.of(1000, 1001), Some((5, 7)));
        assert_eq!(owner.of(1001, 1001), None);
        assert_eq!(owner.of(101_000, 1000), None);
    }

    #[test]
    fn owner_map_translates_the_ids_inside_attributes() {
        let map = Owner::Map(read_owner_map("100000 0 1000\n").unwrap().0.unwrap());
        let list = |user: u32| {
            let user = user.to_le_bytes();
            [&[2, 0, 0, 0, 2, 0, 6, 0], user.as_slice()].concat()
        };
        let access = b"system.posix_acl_access";
        assert_eq!(map.attribute(access, &list(100_033)), Some(list(33)));
        assert_eq!(map.attribute(access, &list(33)), None);
        assert_eq!(Owner::Keep.attribute(access, &list(33)), Some(list(33)));
        assert_eq!(Owner::Keep.attribute(access, &list(u32::MAX)), None, "no ID here");

        let v2 = [&[1, 0, 0, 2], [7; 16].as_slice()].concat();
        let v3 = |root: u32| [&[1, 0, 0, 3], [7; 16].as_slice(), &root.to_le_bytes()].concat();
        assert_eq!(map.attribute(CAPABILITY, &v3(100_000)), Some(v2.clone()));
        assert_eq!(map.attribute(CAPABILITY, &v3(100_001)), Some(v3(1)));
        assert_eq!(map.attribute(CAPABILITY, &v3(5)), None);
        assert_eq!(map.attribute(CAPABILITY, &v2), Some(v2.clone()));
        assert_eq!(map.attribute(b"user.x", b"33"), Some(b"33".to_vec()));
    }

    #[test]
    fn owner_map_gives_paths_an_owner() {
        let (map, rules) =
            read_owner_map("path /srv/with blank/** 33:34\npath /a 4294967294:0\n").unwrap();
        assert_eq!(map, None);
        assert_eq!(
            rules,
            [
                Rule::owner("/srv/with blank/**", "33:34").unwrap(),
                Rule::owner("/a", "4294967294:0").unwrap()
            ]
        );
    }

    #[test]
    fn owner_map_line_that_is_none_is_refused_by_its_number() {
        for (line, fault) in [
            ("1 2", OwnerMapFault::Form),
            ("1 2 3 4", OwnerMapFault::Form),
            ("user 1 2 3", OwnerMapFault::Form),
            ("1 -2 3", OwnerMapFault::Form),
            ("1 2 0", OwnerMapFault::Bounds),
            ("4294967295 0 1", OwnerMapFault::Bounds),
            ("0 4294967290 6", OwnerMapFault::Bounds),
            ("uid 15 0 1", OwnerMapFault::Overlap),
            ("gid 0 7 11", OwnerMapFault::Overlap),
        ] {
            let error = read_owner_map(&format!("10 0 10\n{line}\n")).unwrap_err();
            assert_eq!((error.line, error.fault), (2, fault), "{line}");
        }
        let error = read_owner_map("path /a root:root\n").unwrap_err();
        assert!(matches!(error.fault, OwnerMapFault::Rule(_)), "{error}");
        read_owner_map("10 0 10\n20 0 1\n9 0 1\n0 4294967289 6").unwrap();
    }

    #[test]
    fn overflow_id_is_told_from_a_real_one() {
        let whole = "         0          0 4294967295\n";
        assert_eq!(Overflow::stand(whole, 65534), None);
        let one = Overflow { uid: Overflow::stand("0 1000 1\n", 65534), gid: None };
        assert_eq!(one.unknown(65534, 0), Unknown::Yes);
        assert_eq!(one.unknown(0, 65534), Unknown::No);
        let many = Overflow::stand("0 1000 1\n1 100000 65536\n", 65534);
        assert_eq!(Overflow { uid: None, gid: many }.unknown(1, 65534), Unknown::Perhaps);
    }
}
