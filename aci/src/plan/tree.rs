//! Who has a path: decided once for each, by the strongest image that offers something there.

use std::collections::HashMap;

use super::{PlanImage, canonical, whole};

/// An entry of an image, both by number. There are millions of them, so the numbers are short;
/// [`Limits::plan_entries`](crate::Limits::plan_entries) and the checks on it keep them so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Origin {
    image: u32,
    entry: u32,
}

impl Origin {
    pub(super) fn new(image: usize, entry: usize) -> Self {
        Self { image: image as u32, entry: entry as u32 }
    }

    pub(super) fn image(self) -> usize {
        self.image as usize
    }

    pub(super) fn entry(self) -> usize {
        self.entry as usize
    }
}

/// A path and the entry that has it; none for a directory that is there because something is
/// in it.
pub(super) type Taken<'a> = (&'a [u8], Option<Origin>);

/// What is offered for a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Directory,
    /// A directory that is left out unless something in it is offered before it is given up.
    DirectoryIfNeeded,
    /// Anything that nothing can be in.
    Other,
}

/// All paths so far. Images must be offered the strongest first.
pub(super) struct Tree<'a> {
    nodes: Vec<Node>,
    /// Keyed by a number that nobody outside knows: names in an image cannot be made to collide.
    children: HashMap<(u32, &'a [u8]), u32>,
}

struct Node {
    claim: Claim,
    /// A directory that becomes the claim when something in it is offered.
    waiting: Option<Origin>,
    /// Something else than a directory was here, below what has the path now. It has overwritten
    /// all that still weaker images have here and further down.
    closed: bool,
}

#[derive(Clone, Copy)]
enum Claim {
    None,
    /// A directory, because something is in it. Its path is the beginning of that entry's.
    Implied {
        below: Origin,
        length: u32,
    },
    Directory(Origin),
    Other(Origin),
}

const ROOT: u32 = 0;

/// Where in the tree an image's last path was. Its paths come sorted, so most share their folder
/// with their neighbour.
#[derive(Default)]
pub(super) struct Walk<'a> {
    path: &'a [u8],
    /// The folders above `path` that lead on: where their own path ends in it, and their node.
    folders: Vec<(usize, u32)>,
    /// How many of them are known to be needed.
    settled: usize,
}

impl<'a> Tree<'a> {
    pub(super) fn new() -> Self {
        let root = Node { claim: Claim::None, waiting: None, closed: false };
        Self { nodes: vec![root], children: HashMap::new() }
    }

    /// Paths, and folders above them.
    pub(super) fn len(&self) -> u64 {
        self.nodes.len() as u64
    }

    /// Offers an entry for a path below the rootfs. Gives its node where it was taken as
    /// [`Place::DirectoryIfNeeded`]; give it to [`give_up`](Self::give_up) in the end.
    pub(super) fn offer(
        &mut self,
        walk: &mut Walk<'a>,
        path: &'a [u8],
        origin: Origin,
        place: Place,
    ) -> Option<u32> {
        let reached = self.descend(walk, path);
        if place != Place::DirectoryIfNeeded {
            self.settle(walk, origin);
        }
        let node = &mut self.nodes[reached? as usize];
        if node.closed {
            return None;
        }
        match (node.claim, place) {
            (Claim::None, Place::Other) => node.claim = Claim::Other(origin),
            (Claim::None | Claim::Implied { .. }, Place::Directory) => {
                node.claim = Claim::Directory(origin);
                node.waiting = None;
            }
            (Claim::None | Claim::Implied { .. }, Place::DirectoryIfNeeded) => {
                if node.waiting.is_none() {
                    node.waiting = Some(origin);
                    return reached;
                }
            }
            (Claim::Implied { .. } | Claim::Directory(_), Place::Other) => node.closed = true,
            (Claim::Directory(_), Place::Directory | Place::DirectoryIfNeeded)
            | (Claim::Other(_), _) => {}
        }
        None
    }

    /// Whether one of these directories is not known to be needed yet.
    pub(super) fn any_waits(&self, waiting: &[u32]) -> bool {
        waiting.iter().any(|&node| self.nodes[node as usize].waiting.is_some())
    }

    /// Leaves out the directories that were not needed.
    pub(super) fn give_up(&mut self, waiting: &[u32]) {
        for &node in waiting {
            self.nodes[node as usize].waiting = None;
        }
    }

    /// The node of a path; `None` where something above it is no directory.
    fn descend(&mut self, walk: &mut Walk<'a>, path: &'a [u8]) -> Option<u32> {
        let above = |end: usize, last: &[u8]| {
            path.len() > end && path[end] == b'/' && path[..end] == last[..end]
        };
        while let Some(&(end, node)) = walk.folders.last() {
            if node == ROOT || above(end, walk.path) {
                break;
            }
            walk.folders.pop();
        }
        walk.settled = walk.settled.min(walk.folders.len());
        walk.path = path;
        if path.is_empty() {
            return Some(ROOT);
        }
        if walk.folders.is_empty() {
            walk.folders.push((0, ROOT));
        }
        while let Some(&(end, node)) = walk.folders.last() {
            let from = if node == ROOT { 0 } else { end + 1 };
            let slash = path[from..].iter().position(|&byte| byte == b'/');
            let end = slash.map_or(path.len(), |at| from + at);
            let child = self.child(node, &path[from..end]);
            if slash.is_none() {
                return Some(child);
            }
            // `rootfs/link/passwd` below a symlink `rootfs/link → /etc` is not written to /etc.
            let Node { claim, closed, .. } = &self.nodes[child as usize];
            if *closed || matches!(claim, Claim::Other(_)) {
                return None;
            }
            walk.folders.push((end, child));
        }
        None
    }

    fn child(&mut self, node: u32, segment: &'a [u8]) -> u32 {
        let nodes = &mut self.nodes;
        *self.children.entry((node, segment)).or_insert_with(|| {
            nodes.push(Node { claim: Claim::None, waiting: None, closed: false });
            (nodes.len() - 1) as u32
        })
    }

    /// Something is in these folders, so they are there.
    fn settle(&mut self, walk: &mut Walk<'a>, origin: Origin) {
        for &(end, node) in &walk.folders[walk.settled..] {
            let node = &mut self.nodes[node as usize];
            if let Some(directory) = node.waiting.take() {
                node.claim = Claim::Directory(directory);
            } else if matches!(node.claim, Claim::None) {
                node.claim = Claim::Implied { below: origin, length: end as u32 };
            }
        }
        walk.settled = walk.folders.len();
    }

    /// Every path that is taken, in canonical order.
    pub(super) fn taken(self, images: &[PlanImage<'a>]) -> Vec<Taken<'a>> {
        drop(self.children);
        let path = |origin: Origin| whole(&images[origin.image()].entries[origin.entry()].path);
        let taken = self.nodes.iter().filter_map(|node| match node.claim {
            Claim::None => None,
            Claim::Implied { length: 0, .. } => Some((ROOTFS, None)),
            Claim::Implied { below, length } => {
                Some((&path(below)[..=ROOTFS.len() + length as usize], None))
            }
            Claim::Directory(origin) | Claim::Other(origin) => Some((path(origin), Some(origin))),
        });
        let mut taken: Vec<Taken<'a>> = taken.collect();
        taken.sort_unstable_by(|(one, _), (other, _)| canonical(one, other));
        // What is rendered has a root, whatever the images say.
        if taken.first().is_none_or(|&(path, _)| path != ROOTFS) {
            taken.insert(0, (ROOTFS, None));
        }
        taken
    }
}

const ROOTFS: &[u8] = b"rootfs";
