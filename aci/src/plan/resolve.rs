//! Going through an image and its dependencies, the strongest first.

use std::collections::HashMap;

use super::links::Links;
use super::tree::{Origin, Place, Tree, Walk};
use super::whitelist::Whitelist;
use super::{PlanError, PlanImage, canonical, inside};
use crate::archive::EntryKind;
use crate::limits::Limits;
use crate::manifest::Dependency;

/// An image's number, and those of the images above it that have whitelists.
pub(super) type Visited = (usize, Vec<usize>);

/// Goes through `images[0]` and what it depends on. Gives the decided paths, the visits in the
/// order they were made, and the hard links on the way.
pub(super) fn go_through<'a>(
    images: &[PlanImage<'a>],
    limits: &Limits,
) -> Result<(Tree<'a>, Vec<Visited>, Links), PlanError> {
    let mut names: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, image) in images.iter().enumerate() {
        names.entry(image.manifest.name.as_str()).or_default().push(number);
    }
    let mut resolver = Resolver {
        images,
        limits,
        names,
        images_met: HashMap::new(),
        path: Vec::new(),
        limiting: Vec::new(),
        visits: Vec::new(),
        edges: 0,
        entries: 0,
        tree: Tree::new(),
        links: Links::default(),
    };
    resolver.visit(0)?;
    Ok((resolver.tree, resolver.visits, resolver.links))
}

struct Resolver<'a, 'i> {
    images: &'i [PlanImage<'a>],
    limits: &'i Limits,
    names: HashMap<&'a str, Vec<usize>>,
    images_met: HashMap<usize, Met>,
    /// The images from the rendered one down to the one that is visited.
    path: Vec<Level>,
    /// Those of them that have whitelists.
    limiting: Vec<usize>,
    visits: Vec<Visited>,
    edges: u64,
    entries: u64,
    tree: Tree<'a>,
    links: Links,
}

/// An image that is visited, while its dependencies are.
struct Level {
    image: usize,
    /// Its folders that wait for something in them.
    waiting: Vec<u32>,
    /// How many edges had been followed when they began to wait.
    since: u64,
}

/// What is kept of an image from its first visit on.
struct Met {
    whitelist: Option<Whitelist>,
    /// Its dependencies, the first first.
    dependencies: Vec<usize>,
    /// The whitelists it was under at each visit, and how many edges had been followed by then.
    under: Vec<(Vec<usize>, u64)>,
}

impl<'a> Resolver<'a, '_> {
    fn visit(&mut self, image: usize) -> Result<(), PlanError> {
        self.check_path(image)?;
        if !self.images_met.contains_key(&image) {
            let met = self.meet(image)?;
            self.images_met.insert(image, met);
        }
        let Some(met) = self.images_met.get_mut(&image) else { return Ok(()) };
        // Where it was already, under no more than these whitelists, it has no paths to add. This
        // is also what keeps 30 images that depend twice on the next from being 2^30 visits.
        let limiting = &self.limiting;
        let no_more = |under: &[usize]| under.iter().all(|other| limiting.contains(other));
        let last = met.under.iter().filter(|(under, _)| no_more(under)).map(|&(_, at)| at).max();
        // But a folder that has begun to wait since then may stay for what is in it here.
        let awaited = |last| {
            let mut later = self.path.iter().filter(|level| level.since > last);
            later.any(|level| self.tree.any_waits(&level.waiting))
        };
        if last.is_some_and(|last| !awaited(last)) {
            return Ok(());
        }
        met.under.push((self.limiting.clone(), self.edges));
        let dependencies = met.dependencies.clone();
        let limits_others = met.whitelist.is_some();

        if last.is_none() {
            self.visits.push((image, self.limiting.clone()));
        }
        let waiting = self.offer_entries(image)?;
        self.path.push(Level { image, waiting, since: self.edges + 1 });
        if limits_others {
            self.limiting.push(image);
        }
        for dependency in dependencies.into_iter().rev() {
            self.visit(dependency)?;
        }
        if limits_others {
            self.limiting.pop();
        }
        if let Some(level) = self.path.pop() {
            self.tree.give_up(&level.waiting);
        }
        Ok(())
    }

    fn check_path(&mut self, image: usize) -> Result<(), PlanError> {
        // rkt follows a circle for ever.
        if let Some(at) = self.path.iter().position(|above| above.image == image) {
            let circle = self.path[at..].iter().map(|level| level.image).chain([image]);
            return Err(PlanError::Cycle(circle.map(|image| self.name(image)).collect()));
        }
        if self.path.len() >= self.limits.dependency_depth {
            let allowed = self.limits.dependency_depth as u64;
            return Err(self.limit("images that depend on each other in one line", allowed));
        }
        self.edges += u64::from(!self.path.is_empty());
        if self.edges > self.limits.dependencies {
            return Err(self.limit("dependencies", self.limits.dependencies));
        }
        Ok(())
    }

    fn meet(&mut self, image: usize) -> Result<Met, PlanError> {
        let manifest = self.images[image].manifest;
        let found = manifest.dependencies.iter().map(|dependency| self.find(image, dependency));
        let dependencies = found.collect::<Result<_, _>>()?;
        self.links.add(image, &self.images[image])?;
        let whitelist = Whitelist::new(&manifest.path_whitelist);
        Ok(Met { whitelist, dependencies, under: Vec::new() })
    }

    /// The image that a dependency means.
    fn find(&self, by: usize, dependency: &Dependency) -> Result<usize, PlanError> {
        let named = self.names.get(dependency.image_name.as_str()).map_or(&[][..], Vec::as_slice);
        let fits = |&&number: &&usize| {
            let labels = &self.images[number].manifest.labels;
            dependency.labels.first_mismatch(labels).is_none()
        };
        let wanted = || describe(dependency.image_name.as_str(), &dependency.labels.to_string());
        let Some(&preferred) = named.iter().find(fits) else {
            let labels = |&number: &usize| self.images[number].manifest.labels.to_string();
            let found = named
                .iter()
                .map(|number| describe(dependency.image_name.as_str(), &labels(number)))
                .collect();
            return Err(PlanError::Missing { by: self.name(by), wanted: wanted(), found });
        };
        // The image ID chooses among images that name and labels have found, and never another:
        // what an author says of an image's name is part of what its signature is checked for.
        let found = match &dependency.image_id {
            None => preferred,
            Some(pinned) => {
                let is_pinned = |&&number: &&usize| self.images[number].image_id == pinned;
                *named.iter().filter(fits).find(is_pinned).ok_or_else(|| PlanError::ImageId {
                    by: self.name(by),
                    wanted: wanted(),
                    pinned: pinned.clone(),
                    found: self.images[preferred].image_id.clone(),
                })?
            }
        };
        // Go leaves out a size of 0, so 0 says nothing.
        let size = dependency.size.filter(|&size| size > 0);
        if let (Some(size), Some(file_bytes)) = (size, self.images[found].file_bytes)
            && size != file_bytes
        {
            let by = self.name(by);
            return Err(PlanError::Size { by, wanted: wanted(), size, found: file_bytes });
        }
        Ok(found)
    }

    /// Offers the tree all that an image may give at this place. Gives the folders that were
    /// only taken for the case that something in them is.
    fn offer_entries(&mut self, image: usize) -> Result<Vec<u32>, PlanError> {
        let PlanImage { entries, .. } = self.images[image];
        self.entries += entries.len() as u64;
        if self.entries > self.allowed() {
            return Err(self.limit("entries", self.allowed()));
        }
        let mut inside: Vec<(&'a [u8], usize)> = entries
            .iter()
            .enumerate()
            .filter_map(|(number, entry)| Some((inside(&entry.path)?, number)))
            .collect();
        let longest = inside.iter().map(|(path, _)| path.len()).max();
        if longest > Some(self.limits.path_bytes) {
            return Err(self.limit("bytes in one path", self.limits.path_bytes as u64));
        }
        // Folders before what is in them, whatever the archive's order.
        inside.sort_unstable_by(|(one, _), (other, _)| canonical(one, other));
        if let Some(twice) = inside.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let path = entries[twice[0].1].path.clone();
            return Err(PlanError::Duplicate { image: self.name(image), path });
        }
        let mut walk = Walk::default();
        let mut waiting = Vec::new();
        for (path, number) in inside {
            let directory = entries[number].kind == EntryKind::Directory;
            if path.is_empty() && !directory {
                return Err(PlanError::Rootfs { image: self.name(image) });
            }
            let Some(place) = self.place(image, path, directory) else { continue };
            let origin = Origin::new(image, number);
            waiting.extend(self.tree.offer(&mut walk, path, origin, place));
            // Two thousand folders are above a path of as many letters.
            if self.tree.len() > self.allowed() {
                return Err(self.limit("paths and folders above them", self.allowed()));
            }
        }
        Ok(waiting)
    }

    /// What the whitelists make of a path; `None` where it is left out.
    ///
    /// Those of the images above choose what is taken from this one. Its own removes from what
    /// it has, and a folder cannot be removed while something in it remains.
    fn place(&self, image: usize, path: &[u8], directory: bool) -> Option<Place> {
        let names = |image: &usize| {
            let whitelist = self.images_met.get(image).and_then(|met| met.whitelist.as_ref());
            whitelist.is_none_or(|whitelist| whitelist.names(path))
        };
        // The nearest first: what is on one list after another is soon little.
        if !self.limiting.iter().rev().all(names) {
            return None;
        }
        match (directory, names(&image)) {
            (true, true) => Some(Place::Directory),
            (true, false) => Some(Place::DirectoryIfNeeded),
            (false, true) => Some(Place::Other),
            (false, false) => None,
        }
    }

    /// Numbers of entries and paths are short, whatever the limit is.
    fn allowed(&self) -> u64 {
        self.limits.plan_entries.min(u64::from(u32::MAX / 2))
    }

    fn name(&self, image: usize) -> String {
        let manifest = self.images[image].manifest;
        describe(manifest.name.as_str(), &manifest.labels.to_string())
    }

    fn limit(&self, what: &'static str, allowed: u64) -> PlanError {
        PlanError::Limit { top: self.name(0), what, allowed }
    }
}

/// An image as a user writes it, `example.com/app,version=1`.
fn describe(name: &str, labels: &str) -> String {
    if labels.is_empty() { name.to_owned() } else { format!("{name},{labels}") }
}
