//! Whose the unpacked files are.

use std::str::FromStr;

/// Whose the unpacked files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// Owners, device files and privileged attributes as the image says. Needs root.
    Restore,
    /// As [`Ownership::Restore`], with other owners and groups: an image's ids moved into
    /// the range that a user namespace has on the host. An id in no range is an error.
    Mapped(OwnerMap),
    /// All belongs to the caller. Owners, devices, set-user-ID bits and privileged
    /// attributes are left out, and counted.
    Caller,
    /// As [`Ownership::Caller`], and what was left out is written down in the target
    /// folder, as `left-out.jsonl`: a JSON object on a line for each entry that is not on
    /// disk as the image has it.
    ///
    /// ```json
    /// {"path":"rootfs/bin/ping","type":"file","mode":"0755","uid":0,"gid":0,"xattrs":{"security.capability":"0100…"}}
    /// {"path":"rootfs/dev/null","type":"character","mode":"0666","uid":0,"gid":0,"device":[1,3]}
    /// ```
    ///
    /// Bytes of a path that are not printable stand as `\xNN`, a backslash as `\\`;
    /// attributes are in hexadecimal digits.
    Record,
}

/// Ids of an image and what they become: `IMAGE:HOST:COUNT`, as in `/proc/PID/uid_map`.
///
/// ```
/// let range: aci::archive::IdRange = "0:100000:65536".parse()?;
/// let map = aci::archive::OwnerMap::new(vec![range.clone()], vec![range])?;
/// assert_eq!((map.uid(0), map.gid(1000), map.uid(70_000)), (Some(100_000), Some(101_000), None));
/// # Ok::<(), aci::archive::OwnerMapError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdRange {
    image: u32,
    host: u32,
    count: u32,
}

/// Why an ownership map makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OwnerMapError {
    /// The text is no range.
    #[error("{0:?} is not IMAGE:HOST:COUNT, three numbers, as 0:100000:65536")]
    Form(String),
    /// A range of nothing, or one that goes past the last id there is.
    #[error("{0:?} holds no ids, or some beyond 4294967294")]
    Count(String),
    /// Two ranges name one id of the image.
    #[error("id {0} is in two ranges of the map")]
    Overlap(u32),
}

impl FromStr for IdRange {
    type Err = OwnerMapError;

    fn from_str(text: &str) -> Result<Self, OwnerMapError> {
        let form = || OwnerMapError::Form(text.to_owned());
        let numbers: Vec<u32> = text
            .split(':')
            .map(|part| part.parse().map_err(|_| form()))
            .collect::<Result<_, _>>()?;
        let [image, host, count] = numbers[..] else { return Err(form()) };
        // The last number of all means "leave it as it is" to chown(2).
        let fits = |start: u32| start.checked_add(count).is_some();
        if count == 0 || !fits(image) || !fits(host) {
            return Err(OwnerMapError::Count(text.to_owned()));
        }
        Ok(Self { image, host, count })
    }
}

impl IdRange {
    fn map(&self, id: u32) -> Option<u32> {
        let offset = id.checked_sub(self.image)?;
        (offset < self.count).then(|| self.host + offset)
    }
}

/// What the owners and groups of an image become.
///
/// - No id of the image is in two ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerMap {
    uids: Vec<IdRange>,
    gids: Vec<IdRange>,
}

impl OwnerMap {
    /// A map of these ranges.
    pub fn new(uids: Vec<IdRange>, gids: Vec<IdRange>) -> Result<Self, OwnerMapError> {
        for ranges in [&uids, &gids] {
            for (index, range) in ranges.iter().enumerate() {
                let clash = ranges[..index].iter().find_map(|other| {
                    let start = range.image.max(other.image);
                    (range.map(start).is_some() && other.map(start).is_some()).then_some(start)
                });
                if let Some(id) = clash {
                    return Err(OwnerMapError::Overlap(id));
                }
            }
        }
        Ok(Self { uids, gids })
    }

    /// What an owner becomes.
    pub fn uid(&self, id: u32) -> Option<u32> {
        self.uids.iter().find_map(|range| range.map(id))
    }

    /// What a group becomes.
    pub fn gid(&self, id: u32) -> Option<u32> {
        self.gids.iter().find_map(|range| range.map(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_refuses_what_holds_no_ids() {
        for bad in ["", "0", "0:1", "0:1:2:3", "a:0:1", "-1:0:1", " 0:1:2"] {
            assert!(matches!(bad.parse::<IdRange>(), Err(OwnerMapError::Form(_))), "{bad:?}");
        }
        for bad in ["0:0:0", "4294967295:0:1", "0:4294967295:1", "1:1:4294967295"] {
            assert!(matches!(bad.parse::<IdRange>(), Err(OwnerMapError::Count(_))), "{bad:?}");
        }
        assert!("0:0:4294967295".parse::<IdRange>().is_ok());
    }

    #[test]
    fn map_refuses_an_id_in_two_ranges() {
        let ranges = |all: &[&str]| all.iter().map(|range| range.parse().unwrap()).collect();
        let map = OwnerMap::new(ranges(&["0:100:10", "10:500:1"]), Vec::new()).unwrap();
        assert_eq!((map.uid(9), map.uid(10), map.uid(11)), (Some(109), Some(500), None));
        assert_eq!(map.gid(0), None);
        let error = OwnerMap::new(Vec::new(), ranges(&["5:0:10", "0:900:6"])).unwrap_err();
        assert_eq!(error, OwnerMapError::Overlap(5));
    }
}
