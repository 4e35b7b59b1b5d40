//! `script`: many commands in one file, on a build of their own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use builder::script::{Line, Script, with_dashes};

use super::go::Workspace;
use super::image::plain;
use super::{Build, Command, expand, parse, usage_code};
use crate::cli::files::{pair, read_small};
use crate::cli::{Failure, Kind};

/// The largest script.
const MAX_BYTES: u64 = 1 << 20;
/// Scripts may call scripts, but not themselves for ever.
const MAX_DEPTH: u32 = 16;

/// Run the commands of a file on a build of their own
///
/// Each line is a command as it would follow `gantry build`. All of the file is read and checked
/// before anything is done. Where a command fails, its exit code is passed on and nothing is
/// left: neither the build nor an image that an earlier line has written. So images get their names
/// at the end, and no line can read what an earlier one has written.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry build script hello.acb
  gantry build script hello.acb --set VERSION=1.0.0        # ${VERSION} in the script
  gantry build script ci/hello.acb --work-dir .            # paths from here, not from ci/

A file that begins with #!/usr/bin/env acbuild-script can be run where a link of that name leads
to gantry. In quotes of either kind a backslash escapes; # begins a comment; a backslash at the end
joins two lines. Called as acbuild, paths are those of the current folder, as they always were.")]
pub(crate) struct Args {
    /// The script
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The value of ${NAME} in the script, which knows no other variables
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = pair::<String>)]
    variables: Vec<(String, String)>,
    /// Paths in the script begin in this folder [default: the script's own]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
}

/// A line that was read: where it stands, and what it says.
struct Step {
    line: usize,
    /// Whether it is noted in the image.
    noted: bool,
    command: Command,
}

impl Args {
    pub(super) fn run(self, build: &Build<'_>) -> Result<(), Failure> {
        if build.depth.get() >= MAX_DEPTH {
            return Err(
                anyhow!("{}: scripts in scripts, {MAX_DEPTH} deep", self.file.display()).into()
            );
        }
        let steps = self.read()?;
        let folder = self.folder(build)?;
        // Where this script is a line of another one, it goes on with that one's build.
        if build.in_script() {
            let _stay = Stay::change_to(folder.as_deref())?;
            return build.deeper(|| self.each(build, steps));
        }
        let work = Workspace::new(&build.work)?;
        let script = build.of_script(&absolute(work.path())?);
        {
            let _stay = Stay::change_to(folder.as_deref())?;
            self.each(&script, steps)?;
        }
        script.into_outputs().commit(build.context)
    }

    /// Reads all of the script; every fault in it is told.
    fn read(&self) -> Result<Vec<Step>, Failure> {
        let file = self.file.display();
        let text =
            read_small(&self.file, MAX_BYTES).map_err(|failure| plain(failure, &self.file))?;
        let variables: BTreeMap<String, String> = self.variables.iter().cloned().collect();
        let script = Script::parse(&text, &variables).map_err(|faults| {
            let faults: Vec<String> =
                faults.iter().map(|fault| format!("{file}:{fault}")).collect();
            anyhow!("{}", faults.join("\n"))
        })?;
        let (mut steps, mut faults, mut code) = (Vec::new(), Vec::new(), 1);
        for line in script.lines() {
            match step(line) {
                Ok(step) => steps.push(step),
                Err((fault, is)) => {
                    code = code.max(is);
                    faults.push(format!("{file}:{}:{}: {fault}", line.line, line.column()));
                }
            }
        }
        match faults.is_empty() {
            true => Ok(steps),
            false => {
                let kind = if code == 3 { Kind::Usage } else { Kind::Failed };
                Err(Failure::new(kind, anyhow!("{}", faults.join("\n"))))
            }
        }
    }

    /// Where its paths begin; `None` where they begin where we are.
    fn folder(&self, build: &Build<'_>) -> Result<Option<PathBuf>, Failure> {
        let folder = match &self.work_dir {
            Some(folder) => folder.clone(),
            None if build.context.is_acbuild() => return Ok(None),
            None => aci::stage::folder_of(&self.file).to_owned(),
        };
        absolute(&folder).map(Some)
    }

    fn each(&self, build: &Build<'_>, steps: Vec<Step>) -> Result<(), Failure> {
        for Step { line, noted, command } in steps {
            let at = format!("{}:{line}", self.file.display());
            build.noted(noted, || build.run_here(command)).map_err(|failure| failure.of(&at))?;
        }
        Ok(())
    }
}

/// Reads one line; a fault comes with its exit code.
fn step(line: &Line) -> Result<Step, (String, u8)> {
    let mut words: Vec<OsString> = line.words.iter().map(|word| word.text.clone().into()).collect();
    expand(&mut words).map_err(|fault| (fault, 3))?;
    let words = with_dashes(
        words,
        &["--engine", "--working-dir", "--cache", "--secret", "--mount", "--env"],
    );
    let (options, command) = parse(words).map_err(|error| {
        let text = error.to_string();
        let what = text.trim_start_matches("error: ").split("\n\n").next().unwrap_or_default();
        let words: Vec<&str> = what.split_whitespace().collect();
        (words.join(" "), usage_code(&error))
    })?;
    let alone = [
        (options.work_path.is_some(), "--work-path: all of a script works on one build"),
        (options.modify.is_some(), "--modify is for a command alone"),
        (options.modify_oci.is_some(), "--modify-oci is for a command alone"),
    ];
    if let Some((_, fault)) = alone.into_iter().find(|(given, _)| *given) {
        return Err((fault.to_owned(), 1));
    }
    Ok(Step { line: line.line, noted: !options.no_history, command })
}

/// While it lives, this process is in another folder.
struct Stay(Option<PathBuf>);

impl Stay {
    #[expect(
        clippy::disallowed_methods,
        reason = "a script's paths begin in a folder of its own, and no other thread has begun"
    )]
    fn change_to(folder: Option<&Path>) -> Result<Self, Failure> {
        let Some(folder) = folder else { return Ok(Self(None)) };
        let here = std::env::current_dir().context("there is no current folder")?;
        std::env::set_current_dir(folder)
            .with_context(|| format!("cannot go to {}", folder.display()))?;
        Ok(Self(Some(here)))
    }
}

impl Drop for Stay {
    #[expect(clippy::disallowed_methods, reason = "back to where it was")]
    fn drop(&mut self) {
        if let Some(here) = &self.0 {
            let _ = std::env::set_current_dir(here);
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let real = path.canonicalize().with_context(|| format!("cannot go to {}", path.display()))?;
    Ok(real)
}
