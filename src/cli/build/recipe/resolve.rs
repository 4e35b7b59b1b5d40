//! What a recipe's references and files are now, and whether they are what was locked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use aci::manifest::Dependency;
use aci::{ContentHash, FileDigest, ImageId, Reference};
use anyhow::{Context as _, anyhow};
use builder::context::content_id;
use builder::manifest::Edit;
use builder::recipe::{self, Digest, Lock, LockedImage, SourcePath};
use builder::{Ignore, Owner};

use super::super::Build;
use super::super::go::failed;
use super::Plan;
use crate::cli::fetching::{open_pinned, pinned};
use crate::cli::files::absent;
use crate::cli::{Failure, Kind};

/// What a recipe begins with.
pub(super) enum Base {
    /// Nothing.
    Empty,
    /// An image of the store.
    Image(ImageId),
    /// An image file, or a tar of a root file system, with the digest of the file.
    Archive(PathBuf, FileDigest),
    /// A folder, whose its files are, and the image ID that its content alone would have.
    Folder(PathBuf, Owner, ImageId),
}

/// All that a recipe takes from elsewhere.
pub(super) struct Resolved {
    pub(super) base: Base,
    /// The dependencies with ID and size.
    dependencies: BTreeMap<String, Dependency>,
    /// What was found.
    pub(super) lock: Lock,
    /// The time of what the recipe adds.
    pub(super) epoch: i64,
    /// The content of what each step copies: the image IDs it alone would have, by path. What a step
    /// leaves out, another one may copy from the same path.
    pub(super) sources: Vec<Vec<(String, ImageId)>>,
}

impl Resolved {
    /// The same edit, with a dependency's ID and size.
    pub(super) fn pinned(&self, edit: Edit) -> Edit {
        let Edit::AddDependency { dependency, another } = edit else { return edit };
        let reference = Reference::new(dependency.image_name.clone(), dependency.labels.clone());
        let found = self.dependencies.get(&reference.to_string()).cloned();
        Edit::AddDependency { dependency: found.map_or(dependency, Box::new), another }
    }
}

impl Plan<'_> {
    pub(super) fn resolve(&self, build: &Build<'_>) -> Result<Resolved, Failure> {
        let mut lock = Lock::default();
        let base = self.base(build, &mut lock)?;
        let mut dependencies = BTreeMap::new();
        for one in &self.recipe.dependencies {
            let found = self.image(build, &one.image, (one.id.as_ref(), one.size), &mut lock)?;
            dependencies.insert(one.image.to_string(), found);
        }
        let steps = self.recipe.steps.iter().map(|step| self.sources(step));
        let sources = steps.collect::<Result<_, _>>()?;
        let epoch = match (self.recipe.epoch, self.how.source_date_epoch) {
            (Some(epoch), _) => epoch.seconds(),
            (None, Some(epoch)) => epoch,
            (None, None) => 0,
        };
        Ok(Resolved { base, dependencies, lock, epoch, sources })
    }

    /// The content of what a step copies.
    fn sources(&self, step: &recipe::Step) -> Result<Vec<(String, ImageId)>, Failure> {
        let recipe::Step::Copy(copy) = step else { return Ok(Vec::new()) };
        let owner = Owner::from(copy.owner);
        let targets = copy.sources.targets(&copy.to);
        targets
            .map(|(source, _)| {
                let path = self.folder.join(source.as_path());
                let ignore = self.ignored(&path, copy.ignored());
                let id = content_id(&path, &owner, &ignore).map_err(failed)?;
                Ok((source.to_string(), id))
            })
            .collect()
    }

    /// What is left out of a folder: what `ignore` says, and the files that the recipe writes. With
    /// those of the last build in it, the image would be another one each time.
    pub(super) fn ignored(&self, folder: &Path, mut ignore: Ignore) -> Ignore {
        // That it is not there is told where it is read.
        let Ok(folder) = folder.canonicalize() else { return ignore };
        for file in &self.written {
            match file.strip_prefix(&folder) {
                Ok(below) if folder.is_dir() => ignore.add_path(below),
                _ => {}
            }
        }
        ignore
    }

    fn base(&self, build: &Build<'_>, lock: &mut Lock) -> Result<Base, Failure> {
        Ok(match &self.recipe.base {
            None => Base::Empty,
            Some(recipe::Base::Image { reference, id }) => {
                let found = self.image(build, reference, (id.as_ref(), None), lock)?;
                let id = found.image_id.ok_or_else(|| anyhow!("{reference} has no image ID"))?;
                Base::Image(id)
            }
            Some(recipe::Base::Aci { file, id }) => {
                let (path, digest) = self.file(build, file, lock)?;
                if let Some(wanted) = id {
                    let limits = aci::Limits { ratio: u64::MAX, ..aci::Limits::default() };
                    let image = aci::archive::inspect(File::open(&path)?, &limits)
                        .map_err(|error| Failure::refused(&error))?;
                    if image.image_id() != wanted {
                        let found = image.image_id().to_string();
                        return Err(unlike(file, &wanted.to_string(), &found));
                    }
                }
                Base::Archive(path, digest)
            }
            Some(recipe::Base::Tar { file, digest: wanted }) => {
                let (path, digest) = self.file(build, file, lock)?;
                if let Some(wanted) = wanted
                    && let Some(found) = unlike_digest(wanted, &path, &digest)?
                {
                    return Err(unlike(file, &wanted.to_string(), &found));
                }
                Base::Archive(path, digest)
            }
            Some(recipe::Base::Directory { path, owner }) => {
                let folder = self.folder.join(path.as_path());
                let cannot = || format!("cannot read {}", folder.display());
                // A link to a folder is as good as the folder.
                let folder = folder.canonicalize().with_context(cannot).map_err(absent)?;
                if !folder.is_dir() {
                    return Err(anyhow!("{path} is no folder to begin with").into());
                }
                let owner = Owner::from(*owner);
                let ignore = self.ignored(&folder, Ignore::default());
                let id = content_id(&folder, &owner, &ignore).map_err(failed)?;
                Base::Folder(folder, owner, id)
            }
        })
    }

    /// An image by its reference: what was locked, and nothing else, where something was.
    fn image(
        &self,
        build: &Build<'_>,
        reference: &Reference,
        (id, size): (Option<&ImageId>, Option<u64>),
        found: &mut Lock,
    ) -> Result<Dependency, Failure> {
        let locked = match &self.lock {
            None => None,
            Some(lock) => Some(lock.image(reference).ok_or_else(|| not_locked(reference))?),
        };
        // What the store has of exactly that ID needs no question to the network.
        let wanted = id.or(locked.map(|locked| &locked.id));
        let dependency = pinned(reference, &open_pinned(build.context, reference, wanted)?);
        let is = dependency.image_id.clone();
        let shown = is.as_ref().map(ToString::to_string).unwrap_or_default();
        if let Some(wanted) = wanted.filter(|wanted| is.as_ref() != Some(wanted)) {
            return Err(unlike(reference, &wanted.to_string(), &shown));
        }
        let sizes = [size, locked.map(|locked| locked.size)];
        if let Some(found) = dependency.size
            && let Some(wanted) = sizes.into_iter().flatten().find(|wanted| *wanted != found)
        {
            return Err(unlike(reference, &format!("{wanted} bytes"), &format!("{found} bytes")));
        }
        if let (Some(id), Some(size)) = (is, dependency.size) {
            found.set_image(reference.clone(), LockedImage { id, size });
        }
        Ok(dependency)
    }

    /// A base file, which has to be the locked one.
    fn file(
        &self,
        build: &Build<'_>,
        file: &SourcePath,
        found: &mut Lock,
    ) -> Result<(PathBuf, FileDigest), Failure> {
        let path = self.folder.join(file.as_path());
        let digest = if self.how.no_cache { digest(&path)? } else { build.digest(&path)? };
        if let Some(lock) = &self.lock {
            let locked = lock.file(file).ok_or_else(|| not_locked(file))?;
            if *locked != digest {
                return Err(unlike(file, &locked.to_string(), &digest.to_string()));
            }
        }
        found.set_file(file.clone(), digest.clone());
        Ok((path, digest))
    }
}

fn not_locked(what: &impl std::fmt::Display) -> Failure {
    Failure::new(Kind::Refused, anyhow!("{what} is not in the lock file: --lock writes it anew"))
}

fn unlike(what: &impl std::fmt::Display, wanted: &str, found: &str) -> Failure {
    let text =
        anyhow!("{what} is not what was locked or pinned: {wanted} was wanted, {found} was found");
    Failure::new(Kind::Refused, text)
}

/// What the digest of a file is where another one was wanted.
fn unlike_digest(
    wanted: &Digest,
    path: &Path,
    digest: &FileDigest,
) -> Result<Option<String>, Failure> {
    match wanted {
        Digest::Sha512(wanted) => Ok((wanted != digest).then(|| digest.to_string())),
        Digest::Sha256(wanted) => {
            let mut hash = ContentHash::default();
            let (mut file, mut buffer) = (File::open(path)?, vec![0; 256 << 10]);
            loop {
                match file.read(&mut buffer)? {
                    0 => break,
                    got => hash.update(&buffer[..got]),
                }
            }
            let found = hash.finish();
            Ok((found != *wanted).then(|| found.to_string()))
        }
    }
}

/// The digest of a file.
pub(super) fn digest(path: &Path) -> Result<FileDigest, Failure> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(cannot).map_err(absent)?;
    let digest = FileDigest::of_reader(&mut file).with_context(cannot)?;
    Ok(digest)
}
