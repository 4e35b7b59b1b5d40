//! The steps of a recipe, each of which changes the root file system.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::command::Run;
use super::fault::RecipeFault;
use super::metadata::{Attributes, Capabilities, Ids, Mode, SourceOwner};
use super::step_fields::StepFields;
use super::text::{Argument, IgnorePattern, ImagePath, PathPattern, SourcePath};
use crate::ignore::Ignore;
use crate::overrides::{Rule, RuleError};

/// One step. It is written out in the form of [`Step::key_material`], not in that of recipes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StepFields", rename_all = "kebab-case")]
pub enum Step {
    /// Files and folders of the disk are put into the image.
    Copy(Copy),
    /// A command runs in the image.
    Run(Run),
    /// Files are removed.
    Remove(Remove),
    /// Files are given another owner, mode or other attributes.
    Change(Change),
    /// A folder is made, or given owner and mode where it is there.
    Directory(Directory),
    /// A file is written.
    File(File),
    /// A symlink is made.
    Link(Link),
}

/// Which form the description of a step has in the keys of caches. It changes where the meaning
/// of a key changes, so that nothing made under the old meaning is found.
const KEY_FORM: u32 = 1;

impl Step {
    /// What the step says, in one form whatever way it was written: for the keys of caches. It is
    /// compact JSON with all keys in a fixed order, those of tables sorted, and nothing left out
    /// because it is what it would be unsaid. What sources and secrets contain is not in it.
    pub fn key_material(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Keyed<'a> {
            form: u32,
            step: &'a Step,
        }
        // Only a map with keys that are no texts could fail, and there is none.
        serde_json::to_vec(&Keyed { form: KEY_FORM, step: self }).unwrap_or_default()
    }
}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sources {
    /// One file or folder, which becomes the target itself.
    One(SourcePath),
    /// Files and folders that are put into the target, each under its own name.
    Into(Vec<SourcePath>),
}

impl Sources {
    /// All of them, each with the path it gets in the image.
    pub fn targets<'a>(
        &'a self,
        to: &'a ImagePath,
    ) -> impl Iterator<Item = (&'a SourcePath, ImagePath)> {
        let (one, several) = match self {
            Self::One(source) => (Some((source, to.clone())), &[][..]),
            Self::Into(sources) => (None, sources.as_slice()),
        };
        one.into_iter().chain(several.iter().map(move |source| (source, to.join(source))))
    }

    pub(super) fn check(&self) -> Result<(), RecipeFault> {
        let Self::Into(sources) = self else { return Ok(()) };
        if sources.is_empty() {
            return Err(RecipeFault::EmptyList("copy"));
        }
        let mut seen = HashSet::new();
        for source in sources {
            let name = source
                .file_name()
                .ok_or_else(|| RecipeFault::NoFileName(source.as_str().to_owned()))?;
            if !seen.insert(name) {
                return Err(RecipeFault::SameFileName(name.to_owned()));
            }
        }
        Ok(())
    }
}

/// Files and folders of the disk are put into the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Copy {
    /// What is copied.
    pub sources: Sources,
    /// The path of the one source, or the folder for several.
    pub to: ImagePath,
    /// Whose the copies are.
    pub owner: SourceOwner,
    /// The mode of all files; unsaid, that on disk.
    pub mode: Option<Mode>,
    /// The mode of all folders; unsaid, that on disk.
    pub directory_mode: Option<Mode>,
    /// The capabilities of all files; unsaid, those on disk.
    pub capabilities: Option<Capabilities>,
    /// Attributes of all files and folders, besides those on disk or in their place.
    pub xattrs: Attributes,
    /// What is left out of a folder.
    pub ignore: Vec<IgnorePattern>,
}

impl Copy {
    /// What is different in the image from what is on disk, but for owners and modes.
    pub fn rules(&self) -> Result<Vec<Rule>, RuleError> {
        rules("*", None, None, self.capabilities.as_ref(), &self.xattrs)
    }

    /// The patterns of what is left out.
    pub fn ignored(&self) -> Ignore {
        let mut all = Ignore::default();
        self.ignore.iter().for_each(|line| all.add_lines(line.as_str().as_bytes()));
        all
    }
}

/// Files are removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Remove {
    /// Which; a folder is removed with all that is in it. At least one.
    pub patterns: Vec<PathPattern>,
}

/// Files are given another owner, mode or other attributes: at least one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// Which; what is in a folder is not meant with it. At least one.
    pub patterns: Vec<PathPattern>,
    /// Whose they are.
    pub owner: Option<Ids>,
    /// Their mode. Symlinks have none.
    pub mode: Option<Mode>,
    /// Their capabilities. Only regular files have them.
    pub capabilities: Option<Capabilities>,
    /// Attributes, besides those they have or in their place. Symlinks have none.
    pub xattrs: Attributes,
}

impl Change {
    /// The same as the rules that are laid over a tree.
    pub fn rules(&self) -> Result<Vec<Rule>, RuleError> {
        let mut all = Vec::new();
        for pattern in self.patterns.iter().map(PathPattern::as_str) {
            let capabilities = self.capabilities.as_ref();
            all.extend(rules(pattern, self.owner, self.mode, capabilities, &self.xattrs)?);
        }
        Ok(all)
    }
}

/// The rules that give what a pattern means these properties.
fn rules(
    pattern: &str,
    owner: Option<Ids>,
    mode: Option<Mode>,
    capabilities: Option<&Capabilities>,
    xattrs: &Attributes,
) -> Result<Vec<Rule>, RuleError> {
    let mut rules = Vec::new();
    if let Some(owner) = owner {
        rules.push(Rule::owner(pattern, &owner.to_string())?);
    }
    if let Some(mode) = mode {
        rules.push(Rule::with_mode(pattern, &mode.to_string())?);
    }
    if let Some(capabilities) = capabilities {
        rules.push(Rule::with_capability(pattern, capabilities.as_str())?);
    }
    for (name, value) in xattrs.iter() {
        rules.push(Rule::with_attribute(pattern, name, value)?);
    }
    Ok(rules)
}

/// A folder is made, or given owner and mode where it is there. Folders above it that are not
/// there are made with mode 0755, and belong to 0:0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Directory {
    /// Its path.
    pub path: ImagePath,
    /// Whose it is.
    pub owner: Ids,
    /// Its mode.
    pub mode: Mode,
    /// Its attributes.
    pub xattrs: Attributes,
}

impl Directory {
    /// What it is, as rules that are laid over it. `*` means all but the root, and `/` that.
    pub fn rules(&self) -> Result<Vec<Rule>, RuleError> {
        let rules = |pattern| rules(pattern, Some(self.owner), Some(self.mode), None, &self.xattrs);
        Ok([rules("*")?, rules("/")?].concat())
    }
}

/// A file is written, in the place of what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct File {
    /// Its path.
    pub path: ImagePath,
    /// What is in it.
    pub content: String,
    /// Whose it is.
    pub owner: Ids,
    /// Its mode.
    pub mode: Mode,
    /// Its capabilities.
    pub capabilities: Option<Capabilities>,
    /// Its attributes.
    pub xattrs: Attributes,
}

impl File {
    /// What it is, as rules that are laid over it.
    pub fn rules(&self) -> Result<Vec<Rule>, RuleError> {
        rules("*", Some(self.owner), Some(self.mode), self.capabilities.as_ref(), &self.xattrs)
    }
}

/// A symlink is made, in the place of what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Link {
    /// Its path.
    pub path: ImagePath,
    /// Where it points to; not empty, and not followed.
    pub target: Argument,
    /// Whose it is.
    pub owner: Ids,
}

impl Link {
    /// What it is, as rules that are laid over it.
    pub fn rules(&self) -> Result<Vec<Rule>, RuleError> {
        Ok(vec![Rule::owner("*", &self.owner.to_string())?])
    }
}
