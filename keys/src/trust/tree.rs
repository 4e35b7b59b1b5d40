//! Reading one tree of trusted keys.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aci::stage::is_fault;
use aci::{Limits, Name};

use super::error::at;
use super::{PREFIX, ROOT, TrustEntry, TrustError, Warning};
use crate::certificate::Certificate;
use crate::fingerprint::Fingerprint;
use crate::keyring::Scope;

/// What a tree holds.
pub(super) struct Found {
    pub(super) entries: Vec<TrustEntry>,
    /// Every file named by a fingerprint below a scope, what it holds or not.
    pub(super) files: Vec<(Scope, Fingerprint, PathBuf)>,
    pub(super) warnings: Vec<Warning>,
}

/// What a file named by a fingerprint holds.
pub(super) enum KeyFile {
    /// There is none.
    Absent,
    /// Nothing.
    Empty,
    /// The key it is named by, and what is odd about it.
    Key(Box<Certificate>, Option<String>),
    /// Something else.
    Bad(String),
    /// Nobody knows: it could not be read.
    Unread(io::Error),
}

impl KeyFile {
    pub(super) fn key(self) -> Option<Certificate> {
        match self {
            Self::Key(certificate, _) => Some(*certificate),
            _ => None,
        }
    }

    pub(super) fn is_key(&self) -> bool {
        matches!(self, Self::Key(..))
    }
}

/// Reads all of a tree, which need not exist.
pub(super) fn read(tree: &Path, limits: &Limits) -> Result<Found, TrustError> {
    let found = Found { entries: Vec::new(), files: Vec::new(), warnings: Vec::new() };
    let mut walk = Walk { tree, limits, found };
    let root = tree.join(ROOT);
    walk.folder(&root, &|folder| (folder == root).then_some(Scope::Root)).map_err(at(&root))?;
    let prefixes = tree.join(PREFIX);
    walk.folder(&prefixes, &|folder| {
        let below = folder.strip_prefix(&prefixes).ok()?.to_str()?;
        below.parse::<Name>().ok().map(Scope::Prefix)
    })
    .map_err(at(&prefixes))?;
    Ok(walk.found)
}

/// Opens a file, never a pipe, which would wait for a writer.
fn regular(path: &Path) -> io::Result<fs::File> {
    if fs::metadata(path)?.is_file() {
        fs::File::open(path)
    } else {
        Err(io::Error::other("it is no regular file"))
    }
}

/// Reads a regular file of at most `limit` bytes; a larger one is cut off after one more.
pub(super) fn read_small(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    regular(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file named by a key's fingerprint.
pub(super) fn read_key(path: &Path, fingerprint: &Fingerprint, limits: &Limits) -> KeyFile {
    let bytes = match read_small(path, limits.key_bytes) {
        // A link that leads nowhere is there, and says nothing.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() =>
        {
            return KeyFile::Absent;
        }
        // Who is not trusted, and who is trusted no more, cannot be told then.
        Err(error) if is_fault(&error) => return KeyFile::Unread(error),
        Err(error) => return KeyFile::Bad(error.to_string()),
        Ok(bytes) => bytes,
    };
    if bytes.is_empty() {
        return KeyFile::Empty;
    }
    let all = match Certificate::read_all(&bytes, limits) {
        Err(error) => return KeyFile::Bad(error.to_string()),
        Ok(all) => all,
    };
    let more = all.len() > 1;
    match all.into_iter().find(|certificate| certificate.fingerprint() == fingerprint) {
        None => KeyFile::Bad("it holds another key than its name says".into()),
        // rkt reads the first key of a file alone, so more than one means no more trust.
        Some(certificate) => {
            let odd = "it holds further keys; only the one it is named by counts";
            KeyFile::Key(certificate.into(), more.then(|| odd.into()))
        }
    }
}

struct Walk<'a> {
    tree: &'a Path,
    limits: &'a Limits,
    found: Found,
}

impl Walk<'_> {
    fn folder(
        &mut self,
        folder: &Path,
        scope_of: &dyn Fn(&Path) -> Option<Scope>,
    ) -> io::Result<()> {
        let listing = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            listing => listing?,
        };
        let mut paths = listing
            .map(|entry| entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))))
            .collect::<io::Result<Vec<_>>>()?;
        paths.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (path, kind) in paths {
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
            match (hidden, kind.is_dir()) {
                (true, _) => {}
                (false, true) => match self.folder(&path, scope_of) {
                    Err(error) if is_fault(&error) => return Err(error),
                    Err(error) => self.warn(&path, error.to_string()),
                    Ok(()) => {}
                },
                (false, false) => self.file(path, scope_of(folder))?,
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf, scope: Option<Scope>) -> io::Result<()> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // Other spellings of a fingerprint would be files rkt does not see.
        let parsed = name.parse::<Fingerprint>().ok().filter(|f| f.to_string() == name);
        let Some(fingerprint) = parsed else {
            let problem = "its name is not 40 lower-case hex digits, a key's fingerprint";
            self.warn(&path, problem.into());
            return Ok(());
        };
        let Some(scope) = scope else {
            self.warn(&path, "its folder is not named by a prefix of image names".into());
            return Ok(());
        };
        let certificate = match read_key(&path, &fingerprint, self.limits) {
            // Removed since the folder was listed.
            KeyFile::Absent => return Ok(()),
            KeyFile::Unread(error) => return Err(error),
            KeyFile::Empty => Some(None),
            KeyFile::Key(certificate, odd) => {
                odd.into_iter().for_each(|odd| self.warn(&path, odd));
                Some(Some(*certificate))
            }
            KeyFile::Bad(problem) => {
                self.warn(&path, problem);
                None
            }
        };
        self.found.files.push((scope.clone(), fingerprint, path.clone()));
        if let Some(certificate) = certificate {
            let tree = self.tree.to_owned();
            let entry =
                TrustEntry { scope, fingerprint, certificate, path, tree, overridden_by: None };
            self.found.entries.push(entry);
        }
        Ok(())
    }

    fn warn(&mut self, path: &Path, problem: String) {
        self.found.warnings.push(Warning { path: path.to_owned(), problem });
    }
}
