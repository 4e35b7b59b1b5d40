//! `gantry patch`: an image gets another manifest, and keeps all the rest.

mod app;
mod isolation;
mod names;

use std::path::{Path, PathBuf};

use aci::archive::{Compression, ImageFinding};
use aci::{JsonPath, Limits, Refusal};
use anyhow::anyhow;

use super::files::read_small;
use super::rewrite::{Output, Rewrite};
use super::{Context, Failure, Kind};
use builder::manifest::{self, Editor, Unacceptable};

/// Edit the manifest of an image, and print the new image ID.
///
/// The manifest is edited in its own text: unknown fields, the order of fields, numbers and
/// white space stay as they are. Everything else of the archive passes through untouched. The
/// new image is read back and checked before it gets its name; where anything is wrong,
/// nothing is written. It needs a signature of its own.
///
/// First --manifest counts, then what is removed, then what is added or replaced, then --unset,
/// then --set. To remove what is not there is an error with exit code 2.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gantry patch hello.aci new.aci --name example.com/hello --label version=1.1.0
  gantry patch -i hello.aci --user 1000 --group 1000 --working-dir /srv
  gantry patch hello.aci new.aci --env LANG=C.UTF-8 --remove-env DEBUG -- /bin/hello --verbose
  gantry patch hello.aci new.aci --port http,protocol=tcp,port=80 --mount data,path=/srv/data
  gantry patch hello.aci new.aci --capability CAP_NET_BIND_SERVICE --memory 512M
  gantry patch hello.aci new.aci --seccomp-mode remove,errno=EPERM --seccomp-set reboot,kexec_load
  gantry patch hello.aci new.aci --dependency example.com/base:2.0.0,os=linux
  gantry patch hello.aci new.aci --set 'app.userLabels[\"team a\"]=\"yes\"' --unset app.eventHandlers
  gantry patch hello.aci new.aci --manifest manifest.json")]
pub(crate) struct Args {
    /// The image file to read
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The image file to write
    #[arg(value_name = "OUT", required_unless_present = "in_place", conflicts_with = "in_place")]
    output: Option<PathBuf>,
    /// Put the new image in the place of the old one, in one step
    #[arg(long, short, conflicts_with = "overwrite")]
    in_place: bool,
    /// Compress the new image so: gzip, none, bzip2, xz, zstd; as the old one if not given
    #[arg(long)]
    compression: Option<Compression>,
    #[command(flatten)]
    how: Output,
    #[command(flatten)]
    names: names::NameEdits,
    #[command(flatten)]
    app: app::AppEdits,
    #[command(flatten)]
    isolation: isolation::IsolationEdits,
    #[command(flatten)]
    any: AnyEdits,
}

/// Edits of anything.
#[derive(clap::Args)]
#[command(next_help_heading = "Anything")]
struct AnyEdits {
    /// Use this file as the manifest, byte for byte but for the other edits
    #[arg(long, value_name = "FILE", visible_alias = "replace")]
    manifest: Option<PathBuf>,
    /// Put this value at this path of the manifest, whatever is there: app.exec[0]='"/bin/sh"'
    #[arg(long, value_name = "PATH=JSON", value_parser = assignment)]
    set: Vec<(JsonPath, String)>,
    /// Remove what is at this path of the manifest
    #[arg(long, value_name = "PATH")]
    unset: Vec<JsonPath>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        if self.changes_nothing() {
            return Err(Failure::new(
                Kind::Usage,
                anyhow!("nothing is to be changed: gantry patch --help says what can be"),
            ));
        }
        let rewrite = Rewrite {
            verb: "patching",
            input: &self.input,
            output: self.output.as_deref().unwrap_or(&self.input),
            overwrite: self.how.overwrite || self.in_place,
            compression: self.compression,
            how: &self.how,
        };
        let done = rewrite.run(context, |old| {
            let new = self.edited(old)?;
            check(context, old, &new)?;
            Ok(Some(new))
        })?;
        if done.was == done.written.image_id {
            context.note("note: the manifest is what it was, and so is the image ID");
        }
        Ok(context.print(&done.json(), &done.written.image_id)?)
    }

    fn changes_nothing(&self) -> bool {
        let any = &self.any;
        any.manifest.is_none()
            && any.set.is_empty()
            && any.unset.is_empty()
            && self.names.is_empty()
            && self.app.is_empty()
            && self.isolation.is_empty()
    }

    /// The manifest after all edits.
    fn edited(&self, old: &[u8]) -> Result<Vec<u8>, Failure> {
        let replacement = |path: &Path| read_small(path, Limits::default().manifest_bytes);
        let replaced = self.any.manifest.as_deref().map(replacement).transpose()?;
        let mut editor = Editor::new(replaced.as_deref().unwrap_or(old))?;
        self.names.remove(&mut editor)?;
        self.app.remove(&mut editor)?;
        self.isolation.remove(&mut editor)?;
        self.names.put(&mut editor)?;
        self.app.put(&mut editor)?;
        self.isolation.put(&mut editor)?;
        self.any.unset.iter().try_for_each(|path| editor.unset(path))?;
        self.any.set.iter().try_for_each(|(path, json)| editor.set_text(path, json))?;
        Ok(editor.finish())
    }
}

/// Refuses a manifest with errors, all of them told, and warns of what is new in it.
fn check(context: &Context, old: &[u8], new: &[u8]) -> Result<(), Failure> {
    let line = |one: &ImageFinding| discovery::printable_line(&one.to_string());
    let (_, warnings) = manifest::check(old, new).map_err(|Unacceptable(errors)| {
        let errors: Vec<String> = errors.iter().map(line).collect();
        Failure::refusal(
            Kind::Refused,
            Refusal {
                code: "manifest-invalid".to_owned(),
                message: "the edited manifest is not acceptable, and nothing was written"
                    .to_owned(),
                wanted: "a manifest that every tool reads the same way".to_owned(),
                found: errors.join("\n          "),
                rule: "the manifest is checked before anything in it is believed (spec: aci.md)"
                    .to_owned(),
                next: "correct the edits; --set PATH=JSON and --unset PATH reach every field"
                    .to_owned(),
            },
        )
    })?;
    warnings.iter().for_each(|one| context.warn(line(one)));
    Ok(())
}

/// `PATH=JSON`. A key in brackets may hold a `=`, so the first one that leaves a path counts.
fn assignment(text: &str) -> Result<(JsonPath, String), String> {
    let mut fault = format!("{text:?} is not PATH=JSON");
    for (at, _) in text.match_indices('=') {
        match text[..at].parse::<JsonPath>() {
            Err(error) => fault = error.to_string(),
            Ok(path) => {
                let json = &text[at + 1..];
                return match serde_json::from_str::<&serde_json::value::RawValue>(json) {
                    Ok(_) => Ok((path, json.to_owned())),
                    Err(error) => Err(format!(
                        "{json:?} is no JSON value ({error}); a text needs its quotes: '{path}={}'",
                        serde_json::Value::from(json)
                    )),
                };
            }
        }
    }
    Err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignment_takes_the_first_equals_sign_that_leaves_a_path() {
        for (text, path, json) in [
            ("name=\"a=b\"", "name", "\"a=b\""),
            ("app.userLabels[\"a=b\"]=\"c\"", "app.userLabels[\"a=b\"]", "\"c\""),
            ("labels[0].value=1", "labels[0].value", "1"),
            ("={}", "", "{}"),
        ] {
            assert_eq!(assignment(text), Ok((path.parse().unwrap(), json.to_owned())), "{text}");
        }
        for bad in ["name", "name=a", "name=", "a..b=1", "name={\"a\":}"] {
            assert!(assignment(bad).is_err(), "{bad}");
        }
        assert!(assignment("name=a").unwrap_err().contains("'name=\"a\"'"));
    }
}
