//! The options of `gantry pack` that say what of the tree goes into the image, and how.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use builder::{Ignore, Overrides, Owner, Rule};

use super::super::files::{absent, read_small};
use super::{Failure, Kind};

/// What goes into the image that is not on disk like that, and what does not go in.
#[derive(clap::Args)]
pub(in crate::cli) struct TreeArgs {
    /// Whose the files are in the image: UID:GID, or `keep` for the owners on disk [default: 0:0]
    #[arg(long, value_name = "OWNER")]
    owner: Option<Owner>,
    /// Translate owners by this file: lines of FROM TO COUNT (`uid` or `gid` before it for one of
    /// them), and of `path PATTERN UID:GID`
    #[arg(long, value_name = "FILE")]
    owner_map: Option<PathBuf>,
    /// Give files another mode: PATTERN=MODE, as '/usr/bin/su=4755'
    #[arg(long = "mode", value_name = "PATTERN=MODE", value_parser = Rule::mode)]
    modes: Vec<Rule>,
    /// Give files an extended attribute: PATTERN:NAME=VALUE, the value as text, 0x… or 0s…
    #[arg(long = "xattr", value_name = "PATTERN:NAME=VALUE", value_parser = Rule::attribute)]
    attributes: Vec<Rule>,
    /// Give files capabilities: PATTERN=CAPABILITIES, as '/bin/web=cap_net_bind_service+ep'
    #[arg(long = "cap", value_name = "PATTERN=CAPS", value_parser = Rule::capability)]
    capabilities: Vec<Rule>,
    /// Leave files out, by a pattern as in .gitignore; the tree's own `.aciignore` is read first
    #[arg(long = "ignore", value_name = "PATTERN")]
    ignored: Vec<String>,
    /// Leave out what the patterns of this file name
    #[arg(long = "ignore-file", value_name = "FILE")]
    ignore_files: Vec<PathBuf>,
    /// Leave sockets out instead of refusing them
    #[arg(long)]
    pub(in crate::cli) skip_sockets: bool,
    /// Pack mount points empty instead of what is mounted there
    #[arg(long)]
    pub(in crate::cli) one_file_system: bool,
}

/// Bytes of an ownership map: a million lines are nobody's.
const MAX_OWNER_MAP: u64 = 16 << 20;

impl TreeArgs {
    /// Whose the files are, and what else is different from what is on disk.
    pub(in crate::cli) fn changes(&mut self) -> Result<(Owner, Overrides), Failure> {
        self.changes_or(Owner::Fixed { uid: 0, gid: 0 })
    }

    /// The same with another answer where the options say nothing of owners.
    pub(in crate::cli) fn changes_or(
        &mut self,
        default: Owner,
    ) -> Result<(Owner, Overrides), Failure> {
        let (map, mut rules) = match &self.owner_map {
            None => (None, Vec::new()),
            Some(file) => {
                let shown = file.display();
                let bytes = read_small(file, MAX_OWNER_MAP)?;
                let wrong = |error: String| {
                    let text = anyhow!("{shown} is no ownership map: {error}");
                    Failure::new(Kind::Usage, text)
                };
                let text = std::str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
                builder::read_owner_map(text).map_err(|error| wrong(error.to_string()))?
            }
        };
        let owner = match (map, self.owner.take()) {
            (Some(_), Some(_)) => {
                return Err(Failure::new(
                    Kind::Usage,
                    anyhow!(
                        "--owner-map has ranges of IDs and --owner says another owner for all: \
                         give one of them, or a map with path lines alone"
                    ),
                ));
            }
            (Some(map), None) => Owner::Map(map),
            (None, Some(owner)) => owner,
            (None, None) => default,
        };
        for more in [&mut self.modes, &mut self.attributes, &mut self.capabilities] {
            rules.append(more);
        }
        Ok((owner, Overrides(rules)))
    }

    /// The options as they were given, for a note of the command.
    pub(in crate::cli) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        match &self.owner {
            Some(Owner::Fixed { uid, gid }) => words.push(format!("--owner={uid}:{gid}")),
            Some(Owner::Keep) => words.push("--owner=keep".to_owned()),
            _ => {}
        }
        words.extend(self.owner_map.iter().map(|_| "--owner-map=***".to_owned()));
        let rules = self.modes.iter().chain(&self.attributes).chain(&self.capabilities);
        words.extend(rules.map(ToString::to_string));
        words.extend(self.ignored.iter().map(|pattern| format!("--ignore={pattern}")));
        words.extend(self.ignore_files.iter().map(|_| "--ignore-file=***".to_owned()));
        words.extend(self.skip_sockets.then(|| "--skip-sockets".to_owned()));
        words.extend(self.one_file_system.then(|| "--one-file-system".to_owned()));
        words
    }

    /// What is left out.
    pub(in crate::cli) fn ignore(&self) -> Result<Ignore, Failure> {
        let mut ignore = Ignore::default();
        for file in &self.ignore_files {
            ignore
                .add_file(file)
                .with_context(|| format!("cannot read {}", file.display()))
                .map_err(absent)?;
        }
        for pattern in &self.ignored {
            ignore.add(pattern).map_err(|error| Failure::new(Kind::Usage, error))?;
        }
        Ok(ignore)
    }
}
