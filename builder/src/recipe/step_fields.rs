//! The keys of a step, and which of them go together.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::{SeqAccessDeserializer, StrDeserializer};
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::command::{Command, Exec, Run, Secret, network};
use super::fault::RecipeFault;
use super::metadata::{Attributes, Capabilities, Ids, Mode, SourceOwner};
use super::step::{Change, Copy, Directory, File, Link, Remove, Sources, Step};
use super::text::{Argument, IgnorePattern, ImagePath, PathPattern, TextFault, VariableName};

/// The keys that say what a step does, each with those that may stand beside it.
const ACTIONS: [(&str, &[&str]); 8] = [
    ("copy", &["to", "owner", "mode", "directory-mode", "capabilities", "xattrs", "ignore"]),
    ("run", &["environment", "working-directory", "network", "cache", "secret"]),
    ("shell", &["environment", "working-directory", "network", "cache", "secret"]),
    ("remove", &[]),
    ("change", &["owner", "mode", "capabilities", "xattrs"]),
    ("directory", &["owner", "mode", "xattrs"]),
    ("file", &["content", "owner", "mode", "capabilities", "xattrs"]),
    ("link", &["target", "owner"]),
];

/// Modes of what a recipe makes itself, where it does not say.
const DIRECTORY_MODE: &str = "0755";
const FILE_MODE: &str = "0644";

/// The keys of a step as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct StepFields {
    copy: Option<Sources>,
    to: Option<ImagePath>,
    directory_mode: Option<Mode>,
    ignore: Option<Vec<IgnorePattern>>,
    run: Option<Exec>,
    shell: Option<Argument>,
    environment: Option<BTreeMap<VariableName, Argument>>,
    working_directory: Option<ImagePath>,
    network: Option<bool>,
    cache: Option<Vec<ImagePath>>,
    secret: Option<Vec<Secret>>,
    remove: Option<Patterns>,
    change: Option<Patterns>,
    directory: Option<ImagePath>,
    file: Option<ImagePath>,
    content: Option<String>,
    link: Option<ImagePath>,
    target: Option<Argument>,
    owner: Option<SourceOwner>,
    mode: Option<Mode>,
    capabilities: Option<Capabilities>,
    xattrs: Option<Attributes>,
}

impl StepFields {
    /// The keys that are given.
    fn given(&self) -> Vec<&'static str> {
        let all = [
            ("copy", self.copy.is_some()),
            ("to", self.to.is_some()),
            ("directory-mode", self.directory_mode.is_some()),
            ("ignore", self.ignore.is_some()),
            ("run", self.run.is_some()),
            ("shell", self.shell.is_some()),
            ("environment", self.environment.is_some()),
            ("working-directory", self.working_directory.is_some()),
            ("network", self.network.is_some()),
            ("cache", self.cache.is_some()),
            ("secret", self.secret.is_some()),
            ("remove", self.remove.is_some()),
            ("change", self.change.is_some()),
            ("directory", self.directory.is_some()),
            ("file", self.file.is_some()),
            ("content", self.content.is_some()),
            ("link", self.link.is_some()),
            ("target", self.target.is_some()),
            ("owner", self.owner.is_some()),
            ("mode", self.mode.is_some()),
            ("capabilities", self.capabilities.is_some()),
            ("xattrs", self.xattrs.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect()
    }

    /// The one key that says what the step does, where all others may stand beside it.
    fn action(&self) -> Result<&'static str, RecipeFault> {
        let given = self.given();
        let mut actions = ACTIONS.iter().filter(|(action, _)| given.contains(action));
        let Some((action, beside)) = actions.next() else {
            return Err(RecipeFault::OneOf(ACTIONS.iter().map(|(action, _)| *action).collect()));
        };
        if let Some((other, _)) = actions.next() {
            return Err(RecipeFault::Both(action, other));
        }
        match given.iter().find(|key| *key != action && !beside.contains(key)) {
            Some(key) => Err(RecipeFault::Beside { key, beside: action }),
            None => Ok(action),
        }
    }

    fn run(self) -> Result<Step, RecipeFault> {
        let run = Run {
            command: Command::of(self.run, self.shell)?,
            environment: self.environment.unwrap_or_default(),
            working_directory: self.working_directory.unwrap_or_else(ImagePath::root),
            network: network(self.network),
            cache: self.cache.unwrap_or_default(),
            secret: self.secret.unwrap_or_default(),
        };
        run.check()?;
        Ok(Step::Run(run))
    }

    fn change(self) -> Result<Step, RecipeFault> {
        let change = Change {
            patterns: self.change.map(|Patterns(all)| all).unwrap_or_default(),
            owner: ids(self.owner, "change")?,
            mode: self.mode,
            capabilities: self.capabilities,
            xattrs: self.xattrs.unwrap_or_default(),
        };
        let Change { owner, mode, capabilities, xattrs, .. } = &change;
        if owner.is_none() && mode.is_none() && capabilities.is_none() && xattrs.is_empty() {
            return Err(RecipeFault::ChangesNothing);
        }
        Ok(Step::Change(change))
    }
}

/// The owner of what does not come from disk.
fn ids(owner: Option<SourceOwner>, beside: &'static str) -> Result<Option<Ids>, RecipeFault> {
    match owner {
        Some(SourceOwner::Keep) => Err(RecipeFault::Beside { key: "owner = \"keep\"", beside }),
        Some(SourceOwner::Ids(ids)) => Ok(Some(ids)),
        None => Ok(None),
    }
}

fn missing(key: &'static str, beside: &'static str) -> RecipeFault {
    RecipeFault::Missing { key, beside }
}

/// A path at which there can be something else than the root.
fn below_root(path: ImagePath) -> Result<ImagePath, RecipeFault> {
    if path.is_root() { Err(RecipeFault::Root) } else { Ok(path) }
}

impl TryFrom<StepFields> for Step {
    type Error = StepFault;

    fn try_from(fields: StepFields) -> Result<Self, StepFault> {
        let action = fields.action()?;
        let step = match fields {
            StepFields { change: Some(_), .. } => fields.change()?,
            StepFields { copy: Some(sources), .. } => {
                sources.check()?;
                Self::Copy(Copy {
                    sources,
                    to: fields.to.ok_or_else(|| missing("to", action))?,
                    owner: fields.owner.unwrap_or_default(),
                    mode: fields.mode,
                    directory_mode: fields.directory_mode,
                    capabilities: fields.capabilities,
                    xattrs: fields.xattrs.unwrap_or_default(),
                    ignore: fields.ignore.unwrap_or_default(),
                })
            }
            StepFields { remove: Some(Patterns(patterns)), .. } => {
                if patterns.iter().any(|pattern| pattern.as_str() == "/") {
                    return Err(RecipeFault::Root.into());
                }
                Self::Remove(Remove { patterns })
            }
            StepFields { directory: Some(path), .. } => Self::Directory(Directory {
                path,
                owner: ids(fields.owner, action)?.unwrap_or_default(),
                mode: fields.mode.map_or_else(|| DIRECTORY_MODE.parse(), Ok)?,
                xattrs: fields.xattrs.unwrap_or_default(),
            }),
            StepFields { file: Some(path), .. } => Self::File(File {
                path: below_root(path)?,
                content: fields.content.ok_or_else(|| missing("content", action))?,
                owner: ids(fields.owner, action)?.unwrap_or_default(),
                mode: fields.mode.map_or_else(|| FILE_MODE.parse(), Ok)?,
                capabilities: fields.capabilities,
                xattrs: fields.xattrs.unwrap_or_default(),
            }),
            StepFields { link: Some(path), .. } => {
                let target = fields.target.filter(|target| !target.as_str().is_empty());
                Self::Link(Link {
                    path: below_root(path)?,
                    target: target.ok_or_else(|| missing("target", action))?,
                    owner: ids(fields.owner, action)?.unwrap_or_default(),
                })
            }
            runs => runs.run()?,
        };
        Ok(step)
    }
}

/// Why the keys of a step make none.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepFault {
    #[error(transparent)]
    Keys(#[from] RecipeFault),
    #[error(transparent)]
    Text(#[from] TextFault),
}

/// One pattern or a list of at least one.
pub(super) struct Patterns(Vec<PathPattern>);

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let patterns = match OneOrList::deserialize(deserializer)? {
            OneOrList::One(pattern) => vec![pattern],
            OneOrList::List(patterns) => patterns,
        };
        if patterns.is_empty() {
            return Err(serde::de::Error::custom("a list of at least one pattern was wanted"));
        }
        Ok(Self(patterns))
    }
}

impl<'de> Deserialize<'de> for Sources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match OneOrList::deserialize(deserializer)? {
            OneOrList::One(source) => Self::One(source),
            OneOrList::List(sources) => Self::Into(sources),
        })
    }
}

/// A text, or a list of them. Read by hand: serde's own way loses the place of a fault.
enum OneOrList<T> {
    One(T),
    List(Vec<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrList<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(StrDeserializer::new(text)).map(OneOrList::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrList::List)
            }
        }

        deserializer.deserialize_any(Either(std::marker::PhantomData))
    }
}
