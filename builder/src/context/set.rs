//! Files of the image get another owner, mode or attribute, or are removed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Gid, Stat, Uid, XattrFlags};

use super::change::Change;
use super::error::ContextError;
use super::journal::Set;
use super::lower::Lower;
use super::paths::{Descend, Place, path_of, walk};
use super::properties::{Property, capability_name};
use crate::step::Bytes;

/// Whose a file is to be: numbers, or names that the image knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whose {
    /// The user; who it was where absent.
    pub user: Option<String>,
    /// The group, likewise.
    pub group: Option<String>,
    /// The group is the user's own, as the image's `/etc/passwd` has it.
    pub login_group: bool,
}

impl std::str::FromStr for Whose {
    type Err = String;

    /// `USER`, `USER:GROUP`, `:GROUP`, or `USER:` for the user's own group (chown(1)).
    fn from_str(text: &str) -> Result<Self, String> {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let login_group = !user.is_empty() && text.ends_with(':');
        let whose = Self { user: some(user), group: some(group), login_group };
        match whose == Self::default() {
            true => Err(format!("{text:?} is not USER, USER:GROUP, USER: or :GROUP")),
            false => Ok(whose),
        }
    }
}

/// An extended attribute: its name, and its value or nothing to remove it.
pub type Attribute = (Vec<u8>, Option<Vec<u8>>);

/// Which files are changed: this one, or all below it as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    One,
    All,
}

/// The field of passwd and group that holds the number, and that of a user's group (passwd(5)).
const ID: usize = 2;
const LOGIN_GROUP: usize = 3;

/// The largest passwd or group file that is read.
const ACCOUNTS: u64 = 4 << 20;

impl Change<'_> {
    /// Removes what is at a path of the image, with all that is in it; also what the images it
    /// depends on have there, of which these are the rendered root file systems.
    pub fn remove(&mut self, path: &Path, dependencies: &[PathBuf]) -> Result<(), ContextError> {
        let place = Place::of(&self.root, path)?;
        if place.is_root() {
            let why = "the root itself cannot be removed";
            return Err(ContextError::Path { path: place.shown(), why });
        }
        let mut lower: Vec<Vec<u8>> = Vec::new();
        for below in Lower::open(dependencies)?.places(path)?.into_iter().map(|place| place.below) {
            if !self.properties.is_hidden(&below) && !lower.contains(&below) {
                lower.push(below);
            }
        }
        if place.kind.is_none() && lower.is_empty() {
            return Err(ContextError::Absent(place.shown()));
        }
        if place.kind.is_some() {
            self.discard(&place.below);
        }
        for below in lower {
            // A link of a dependency may lead to where this image has files of its own.
            if below != place.below && self.lstat(&below)?.is_some() {
                self.discard(&below);
            }
            self.properties.hide(&below);
        }
        Ok(())
    }

    /// Gives a file another owner; with `recursive` all below a folder.
    pub fn chown(
        &mut self,
        path: &Path,
        whose: &Whose,
        recursive: bool,
    ) -> Result<(), ContextError> {
        let number = |file, name: &Option<String>, field| {
            name.as_deref().map(|name| self.account(file, name, field)).transpose()
        };
        let user = number("/etc/passwd", &whose.user, ID)?;
        let group = match whose.login_group {
            true => number("/etc/passwd", &whose.user, LOGIN_GROUP)?,
            false => number("/etc/group", &whose.group, ID)?,
        };
        self.each(path, reach(recursive), |_, property| {
            property.uid = user.unwrap_or(property.uid);
            property.gid = group.unwrap_or(property.gid);
        })
    }

    /// Gives a file another mode, of which there are twelve bits; with `recursive` all below a
    /// folder but links, which have none.
    pub fn chmod(&mut self, path: &Path, mode: u32, recursive: bool) -> Result<(), ContextError> {
        let place = self.something(path)?;
        if place.kind == Some(FileType::Symlink) {
            let what = "is a link, and has no mode: name what it leads to";
            return Err(ContextError::Occupied { path: place.shown(), what });
        }
        self.each(path, reach(recursive), |kind, property| {
            if kind != FileType::Symlink {
                property.mode = Some(mode & 0o7777);
            }
        })
    }

    /// Sets or removes extended attributes of a file.
    pub fn attributes(&mut self, path: &Path, all: &[Attribute]) -> Result<(), ContextError> {
        let only_removes = all.iter().all(|(_, value)| value.is_none());
        let place = match self.something(path) {
            Err(ContextError::Missing(path)) if only_removes => {
                return Err(ContextError::Absent(path));
            }
            other => other?,
        };
        if place.kind == Some(FileType::Symlink) {
            let what = "is a link, and has no attributes: name what it leads to";
            return Err(ContextError::Occupied { path: place.shown(), what });
        }
        for name in all.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name) {
            let is_set = all.iter().any(|(other, value)| other == name && value.is_some());
            if !is_set && !self.has_attribute(&place, name)? {
                let name = name.escape_ascii();
                let path = place.shown();
                return Err(ContextError::Absent(format!("attribute {name} of {path}")));
            }
        }
        self.each(path, Reach::One, |_, property| {
            for (name, value) in all {
                let name = Bytes::from(name.clone());
                match value {
                    Some(value) => property.attributes.insert(name, value.clone().into()),
                    None => property.attributes.remove(&name),
                };
            }
        })
    }

    fn has_attribute(&self, place: &Place, name: &[u8]) -> Result<bool, ContextError> {
        let listed = self.properties.of(&place.below);
        if listed.is_some_and(|listed| listed.attributes.contains_key(&name.to_vec().into())) {
            return Ok(true);
        }
        let path = self.rootfs().join(path_of(&place.below));
        let on_disk = crate::attributes::read(&crate::attributes::From::Path(&path));
        let on_disk = on_disk.map_err(ContextError::io("read", &path))?;
        Ok(on_disk.iter().any(|(other, _)| other == name))
    }

    /// Gives a program capabilities, or takes them away.
    pub fn capabilities(&mut self, path: &Path, value: Option<&[u8]>) -> Result<(), ContextError> {
        let place = Place::of(&self.root, path)?;
        if !matches!(place.kind, None | Some(FileType::RegularFile)) {
            let what = "is no regular file, and nothing else has capabilities";
            return Err(ContextError::Occupied { path: place.shown(), what });
        }
        let name = capability_name().as_slice().to_vec();
        self.attributes(path, &[(name, value.map(<[u8]>::to_vec))])
    }

    /// What there is at a path; an error where there is nothing.
    pub(super) fn something(&self, path: &Path) -> Result<Place, ContextError> {
        let place = Place::of(&self.root, path)?;
        if place.kind.is_none() { Err(ContextError::Missing(place.shown())) } else { Ok(place) }
    }

    /// Changes what one file is, or all of a tree.
    fn each(
        &mut self,
        path: &Path,
        reach: Reach,
        change: impl Fn(FileType, &mut Property),
    ) -> Result<(), ContextError> {
        let place = self.something(path)?;
        let mut all = vec![place.below.clone()];
        if reach == Reach::All && place.kind == Some(FileType::Directory) {
            walk(&self.rootfs(), &place.below, |below, _| {
                all.push(below.to_vec());
                Ok(Descend::Into)
            })?;
        }
        self.all(&all, |_, kind, property| change(kind, property))
    }

    /// Changes what these files are.
    pub(super) fn all(
        &mut self,
        all: &[Vec<u8>],
        change: impl Fn(&[u8], FileType, &mut Property),
    ) -> Result<(), ContextError> {
        for below in all {
            let Some(stat) = self.lstat(below)? else { continue };
            let kind = FileType::from_raw_mode(stat.st_mode);
            self.one(below, &stat, &|property| change(below, kind, property))?;
        }
        Ok(())
    }

    fn one(
        &mut self,
        below: &[u8],
        stat: &Stat,
        change: &dyn Fn(&mut Property),
    ) -> Result<(), ContextError> {
        if rustix::process::geteuid().is_root() {
            let set = self.on_disk(below, stat, change)?;
            self.try_out(&set)?;
            if self.is_linked() && FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                for name in self.detach(below, stat)? {
                    self.set(&name, set.clone());
                }
                return Ok(());
            }
            self.set(below, set);
            return Ok(());
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        let names = match kind != FileType::Directory && stat.st_nlink > 1 {
            true => self.names_of(stat)?,
            false => vec![below.to_vec()],
        };
        let path = self.rootfs().join(path_of(below));
        let on_disk = crate::attributes::read(&crate::attributes::From::Path(&path));
        let on_disk = on_disk.map_err(ContextError::io("read", &path))?;
        let mut property = self.properties.of(below).cloned().unwrap_or_default();
        let mode = property.mode.unwrap_or(stat.st_mode & 0o7777);
        for (name, value) in &on_disk {
            property.attributes.entry(name.clone().into()).or_insert(value.clone().into());
        }
        change(&mut property);
        // An attribute that is on disk and is to be gone goes there.
        let gone = |name: &Vec<u8>| !property.attributes.contains_key(&name.clone().into());
        let gone: Vec<_> = on_disk.iter().map(|(name, _)| name).filter(|name| gone(name)).collect();
        if !gone.is_empty() {
            let attributes = gone.into_iter().map(|name| (name.clone().into(), None)).collect();
            self.set(below, Set { attributes, ..Set::default() });
        }
        let wanted = property.mode.unwrap_or(mode);
        property.mode = (wanted != stat.st_mode & 0o7777).then_some(wanted);
        if kind == FileType::Symlink {
            property.mode = None;
        }
        for name in names {
            self.properties.set(&name, property.clone());
        }
        Ok(())
    }

    /// Gives a file of no use the same properties: what cannot be done must be known before the
    /// change counts.
    fn try_out(&mut self, set: &Set) -> Result<(), ContextError> {
        let added: Vec<_> = set.attributes.iter().filter(|(_, value)| value.is_some()).collect();
        let is_new = self.tried.insert(format!("{:?} {added:?}", set.owner));
        if (set.owner.is_none() && added.is_empty()) || !is_new {
            return Ok(());
        }
        let (slot, _) = self.slot()?;
        let io = |error: rustix::io::Errno| {
            ContextError::io("give owner or attributes to a file in", &slot)(error.into())
        };
        if let Some((uid, gid)) = set.owner {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            rustix::fs::chown(&slot, Some(uid), Some(gid)).map_err(io)?;
        }
        // A folder takes all that a file takes, but capabilities.
        for (name, value) in added.iter().filter(|(name, _)| *name != capability_name()) {
            let value = value.as_ref().map(Bytes::as_slice).unwrap_or_default();
            rustix::fs::setxattr(&slot, name.as_slice(), value, XattrFlags::empty()).map_err(io)?;
        }
        Ok(())
    }

    /// Puts a file of its own in the place of one that has names outside of this context; gives
    /// all its names here.
    fn detach(&mut self, below: &[u8], stat: &Stat) -> Result<Vec<Vec<u8>>, ContextError> {
        let names = match stat.st_nlink > 1 {
            true => self.names_of(stat)?,
            false => vec![below.to_vec()],
        };
        self.copy_of_own(below, &names)?;
        Ok(names)
    }

    /// What root changes on disk.
    fn on_disk(
        &self,
        below: &[u8],
        stat: &Stat,
        change: &dyn Fn(&mut Property),
    ) -> Result<Set, ContextError> {
        let path = self.rootfs().join(path_of(below));
        let read = crate::attributes::read(&crate::attributes::From::Path(&path));
        let before: Vec<(Bytes, Bytes)> = read
            .map_err(ContextError::io("read", &path))?
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let mut property = Property {
            uid: stat.st_uid,
            gid: stat.st_gid,
            attributes: before.iter().cloned().collect(),
            ..Property::default()
        };
        change(&mut property);
        let owner = (property.uid, property.gid);
        let changed = owner != (stat.st_uid, stat.st_gid);
        let mut attributes: Vec<_> = before
            .iter()
            .filter(|(name, _)| !property.attributes.contains_key(name))
            .map(|(name, _)| (name.clone(), None))
            .collect();
        // A change of owner takes the capabilities away.
        let old = |pair: &(Bytes, Bytes)| !changed && before.contains(pair);
        let new = property.attributes.into_iter().filter(|pair| !old(pair));
        attributes.extend(new.map(|(name, value)| (name, Some(value))));
        Ok(Set { owner: changed.then_some(owner), mode: property.mode, mtime: None, attributes })
    }

    /// All names of a file: they have their properties in common.
    fn names_of(&self, stat: &Stat) -> Result<Vec<Vec<u8>>, ContextError> {
        let mut names = Vec::new();
        walk(&self.rootfs(), b"", |below, metadata| {
            let same = (metadata.dev(), metadata.ino()) == (stat.st_dev, stat.st_ino);
            if same && !metadata.is_dir() {
                names.push(below.to_vec());
            }
            Ok(Descend::Into)
        })?;
        Ok(names)
    }

    /// The number of a user or group, or a user's group; a name is looked for in the image.
    fn account(&self, file: &str, name: &str, field: usize) -> Result<u32, ContextError> {
        if let Ok(number) = name.parse()
            && number != u32::MAX
            && field == ID
        {
            return Ok(number);
        }
        let read = self.root.read(Path::new(file), ACCOUNTS);
        let text = read.map_err(ContextError::io("read", file))?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let is_meant = |fields: &Vec<&str>| match name.parse::<u32>() {
            // Only a user's group is looked for by number.
            Ok(_) => fields.get(ID) == Some(&name),
            Err(_) => fields.first() == Some(&name),
        };
        let mut found = fields.filter(is_meant);
        let number = found.next().and_then(|fields| fields.get(field)?.parse().ok());
        number.ok_or_else(|| ContextError::Owner(name.to_owned()))
    }
}

fn reach(recursive: bool) -> Reach {
    if recursive { Reach::All } else { Reach::One }
}
