//! What runs in a root file system: a program, or a line for the shell.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize, Serializer};

use super::fault::RecipeFault;
use super::text::{Argument, ImagePath, SecretName, VariableName};
use crate::step::Network;

/// A program and its arguments: at least the program, which is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Argument>")]
pub struct Exec(Vec<Argument>);

impl Exec {
    /// The program, then its arguments.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Argument::as_str)
    }

    /// The same as texts of one's own.
    pub(crate) fn to_strings(&self) -> Vec<String> {
        self.arguments().map(str::to_owned).collect()
    }
}

impl TryFrom<Vec<Argument>> for Exec {
    type Error = RecipeFault;

    fn try_from(words: Vec<Argument>) -> Result<Self, RecipeFault> {
        match words.first() {
            Some(program) if !program.as_str().is_empty() => Ok(Self(words)),
            _ => Err(RecipeFault::NoProgram),
        }
    }
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// This program with exactly these arguments.
    Run(Exec),
    /// A text for `/bin/sh -e -c`: it ends at the first command that fails.
    Shell(Argument),
}

impl Command {
    /// The program and its arguments.
    pub fn arguments(&self) -> Vec<&str> {
        match self {
            Self::Run(exec) => exec.arguments().collect(),
            Self::Shell(text) => vec!["/bin/sh", "-e", "-c", text.as_str()],
        }
    }

    /// From the keys `run` and `shell`, of which one is given.
    pub(super) fn of(run: Option<Exec>, shell: Option<Argument>) -> Result<Self, RecipeFault> {
        match (run, shell) {
            (Some(exec), None) => Ok(Self::Run(exec)),
            (None, Some(text)) if text.as_str().trim().is_empty() => Err(RecipeFault::NoProgram),
            (None, Some(text)) => Ok(Self::Shell(text)),
            (Some(_), Some(_)) => Err(RecipeFault::Both("run", "shell")),
            (None, None) => Err(RecipeFault::OneOf(vec!["run", "shell"])),
        }
    }
}

/// A secret file that is there while a command runs, and never in the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SecretFields")]
pub struct Secret {
    /// What it is called; whoever builds says where it is.
    pub id: SecretName,
    /// Where it is mounted; unsaid, `/run/secrets/ID`.
    pub target: ImagePath,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SecretFields {
    id: SecretName,
    target: Option<ImagePath>,
}

impl From<SecretFields> for Secret {
    fn from(fields: SecretFields) -> Self {
        let target = fields.target.unwrap_or_else(|| ImagePath::of_secret(&fields.id));
        Self { id: fields.id, target }
    }
}

/// A command that runs in the image while it is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Run {
    /// What is run.
    pub command: Command,
    /// Variables besides those of the app, or in their place.
    pub environment: BTreeMap<VariableName, Argument>,
    /// Where it starts; unsaid, the root.
    pub working_directory: ImagePath,
    /// Which network it has; unsaid, none.
    #[serde(serialize_with = "as_bool")]
    pub network: Network,
    /// Folders that are kept from one build to the next, and never in the image.
    pub cache: Vec<ImagePath>,
    /// Secrets that are there while it runs.
    pub secret: Vec<Secret>,
}

fn as_bool<S: Serializer>(network: &Network, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(*network == Network::Host)
}

pub(super) fn network(wanted: Option<bool>) -> Network {
    if wanted.unwrap_or_default() { Network::Host } else { Network::None }
}

impl Run {
    /// Checks that nothing is mounted at one path twice, or over the root.
    pub(super) fn check(&self) -> Result<(), RecipeFault> {
        let mut seen = HashSet::new();
        for path in self.cache.iter().chain(self.secret.iter().map(|secret| &secret.target)) {
            if path.is_root() {
                return Err(RecipeFault::Root);
            }
            if !seen.insert(path) {
                return Err(RecipeFault::MountedTwice(path.clone()));
            }
        }
        Ok(())
    }
}

/// A command that has to succeed in the finished image, and changes nothing there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TestFields")]
pub struct Test {
    /// What is run.
    pub command: Command,
    /// Variables besides those of the app, or in their place.
    pub environment: BTreeMap<VariableName, Argument>,
    /// Where it starts; unsaid, the app's working directory, or the root.
    pub working_directory: Option<ImagePath>,
    /// Which network it has; unsaid, none.
    pub network: Network,
    /// The exit code that is wanted; unsaid, 0.
    pub exit: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TestFields {
    run: Option<Exec>,
    shell: Option<Argument>,
    #[serde(default)]
    environment: BTreeMap<VariableName, Argument>,
    working_directory: Option<ImagePath>,
    network: Option<bool>,
    #[serde(default)]
    exit: u8,
}

impl TryFrom<TestFields> for Test {
    type Error = RecipeFault;

    fn try_from(fields: TestFields) -> Result<Self, RecipeFault> {
        Ok(Self {
            command: Command::of(fields.run, fields.shell)?,
            environment: fields.environment,
            working_directory: fields.working_directory,
            network: network(fields.network),
            exit: fields.exit,
        })
    }
}
