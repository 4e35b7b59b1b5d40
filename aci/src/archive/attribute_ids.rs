//! The users and groups inside the values of extended attributes: of file capabilities
//! (linux/capability.h, `vfs_ns_cap_data`) and of POSIX access lists (linux/posix_acl_xattr.h).

use std::borrow::Cow;

const CAPABILITY: &[u8] = b"security.capability";
/// Bytes of a capability of version 2, and where the number of its version stands.
const VERSION_2: usize = 20;
const VERSION: usize = 3;

/// An access list's header: the number of its version.
const LIST_VERSION_2: [u8; 4] = [2, 0, 0, 0];
/// Bytes of each of its entries: tag, permissions, id.
const LIST_ENTRY: usize = 8;
/// The tags of the entries that name a user, or a group.
const USER: u16 = 0x02;
const GROUP: u16 = 0x08;

/// The value of an extended attribute with the users and groups in it moved: those of an access
/// list, and the root user that a file capability counts for. An attribute that names nobody stays
/// as it is.
///
/// `None` where `uid` or `gid` has none for an id, or where the value has not the form that its
/// name wants.
pub fn move_attribute_ids<'v>(
    name: &[u8],
    value: &'v [u8],
    uid: impl Fn(u32) -> Option<u32>,
    gid: impl Fn(u32) -> Option<u32>,
) -> Option<Cow<'v, [u8]>> {
    match name {
        CAPABILITY => capability(value, uid).map(Cow::Owned),
        b"system.posix_acl_access" | b"system.posix_acl_default" => {
            list(value, uid, gid).map(Cow::Owned)
        }
        _ => Some(Cow::Borrowed(value)),
    }
}

/// A capability counts in the user namespace of a root, and below: version 2 means the host's.
fn capability(value: &[u8], uid: impl Fn(u32) -> Option<u32>) -> Option<Vec<u8>> {
    let root = match (value.len(), value.get(VERSION)) {
        (VERSION_2, Some(2)) => 0,
        (24, Some(3)) => u32::from_le_bytes(value[VERSION_2..].try_into().ok()?),
        _ => return None,
    };
    let mut moved = value[..VERSION_2].to_vec();
    match uid(root)? {
        0 => moved[VERSION] = 2,
        root => {
            moved[VERSION] = 3;
            moved.extend(root.to_le_bytes());
        }
    }
    Some(moved)
}

fn list(
    value: &[u8],
    uid: impl Fn(u32) -> Option<u32>,
    gid: impl Fn(u32) -> Option<u32>,
) -> Option<Vec<u8>> {
    let entries = value.strip_prefix(&LIST_VERSION_2)?;
    if entries.len() % LIST_ENTRY != 0 {
        return None;
    }
    let mut moved = LIST_VERSION_2.to_vec();
    for entry in entries.chunks_exact(LIST_ENTRY) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let id = u32::from_le_bytes(entry[4..].try_into().ok()?);
        let id = match tag {
            USER => uid(id)?,
            GROUP => gid(id)?,
            _ => id,
        };
        moved.extend_from_slice(&entry[..4]);
        moved.extend(id.to_le_bytes());
    }
    Some(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_inside_attributes_are_moved() {
        let range = "0:100000:65536".parse::<super::super::IdRange>().unwrap();
        let map = super::super::OwnerMap::new(vec![range.clone()], vec![range]).unwrap();
        let mapped = |name: &[u8], value: &[u8]| {
            let moved = move_attribute_ids(name, value, |id| map.uid(id), |id| map.gid(id));
            moved.map(Cow::into_owned)
        };
        let mut v2 = vec![1, 0, 0, 2];
        v2.resize(20, 7);
        let v3 = mapped(CAPABILITY, &v2).unwrap();
        assert_eq!((v3.len(), v3[3], &v3[4..20]), (24, 3, &v2[4..]));
        assert_eq!(v3[20..], 100_000_u32.to_le_bytes());
        assert!(mapped(CAPABILITY, &v3).is_none(), "its root is in no range");
        assert!(mapped(CAPABILITY, b"junk").is_none());

        let mut acl = vec![2, 0, 0, 0];
        for (tag, id) in [(1_u16, u32::MAX), (USER, 33), (GROUP, 5), (0x20, u32::MAX)] {
            acl.extend(tag.to_le_bytes());
            acl.extend([6, 0]);
            acl.extend(id.to_le_bytes());
        }
        let moved = mapped(b"system.posix_acl_access", &acl).unwrap();
        let id = |at: usize| u32::from_le_bytes(moved[at..at + 4].try_into().unwrap());
        assert_eq!([id(8), id(16), id(24), id(32)], [u32::MAX, 100_033, 100_005, u32::MAX]);
        assert!(mapped(b"system.posix_acl_default", &acl[..7]).is_none());
        acl[0] = 1;
        assert!(mapped(b"system.posix_acl_access", &acl).is_none(), "a version of another time");
        assert_eq!(mapped(b"user.x", b"33").unwrap(), b"33");
    }
}
