//! Small files given on the command line.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use aci::FileDigest;
use anyhow::{Context as _, anyhow};

use super::{Failure, Kind};

/// Reads a file of at most `limit` bytes.
pub(super) fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let bytes = read_some(path, limit.saturating_add(1))?;
    if bytes.len() as u64 > limit {
        return Err(anyhow!("{} has more than {limit} bytes", path.display()).into());
    }
    Ok(bytes)
}

/// Reads a file up to `limit` bytes; what follows is left out.
pub(super) fn read_some(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(absent)?;
    Ok(bytes)
}

/// An error about a file, told as absence where it is that.
pub(super) fn absent(error: anyhow::Error) -> Failure {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let absent = kind == Some(io::ErrorKind::NotFound);
    Failure::new(if absent { Kind::NotFound } else { Kind::Failed }, error)
}

/// Why a file was not written; one that is there already is replaced by `--overwrite` alone.
pub(super) fn cannot_write(path: &Path, error: io::Error) -> Failure {
    let path = path.display();
    Failure::from(match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow!("{path} exists: --overwrite replaces it"),
        _ => anyhow::Error::new(error).context(format!("cannot write {path}")),
    })
}

/// A path for `--json`, whose texts are Unicode: bytes that are not are shown as `\u{fffd}`.
pub(super) fn in_json(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}

/// `NAME=VALUE`, for clap.
pub(super) fn pair<T: for<'t> From<&'t str>>(text: &str) -> Result<(String, T), String> {
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (name.to_owned(), value.into()))
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))
}

/// The seconds of `SOURCE_DATE_EPOCH`, for clap.
pub(super) fn seconds(text: &str) -> Result<i64, String> {
    let seconds: i64 = text.parse().map_err(|_| format!("{text:?} is no whole number"))?;
    builder::UtcTime::try_from(seconds).map_err(|error| error.to_string())?;
    Ok(seconds)
}

/// A file from its beginning, whatever its position is.
pub(super) struct Whole<'f> {
    file: &'f File,
    at: u64,
}

impl<'f> Whole<'f> {
    pub(super) fn of(file: &'f File) -> Self {
        Self { file, at: 0 }
    }
}

impl Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buffer, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}

/// Whether a signature lies where that of `path` would, and was made for other bytes than those
/// that `path` is about to have.
pub(super) fn is_signed_otherwise(path: &Path, new: &File) -> bool {
    signature_beside(path).exists() && !File::open(path).is_ok_and(|old| is_same(&old, new))
}

/// Whether two files have the same bytes.
pub(super) fn is_same(old: &File, new: &File) -> bool {
    let same = || -> io::Result<bool> {
        let digest = |file| FileDigest::of_reader(&mut Whole::of(file));
        Ok(old.metadata()?.len() == new.metadata()?.len() && digest(old)? == digest(new)?)
    };
    same().unwrap_or(false)
}

/// What is said of such a file.
pub(super) fn signed_otherwise(path: &Path) -> String {
    let signature = signature_beside(path);
    format!("{} was made for another file: sign {} anew", signature.display(), path.display())
}

/// `app.aci.spdx.json` for `app.aci`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// `app.aci.asc` for `app.aci`.
pub(super) fn signature_beside(path: &Path) -> PathBuf {
    beside(path, ".asc")
}
