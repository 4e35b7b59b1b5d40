//! rkt's `auth.d` files: kinds `auth` and `dockerAuth`, version v1.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Authority, Credentials, CredentialsError, Secret};
use crate::fetch::read_small;

/// Largest such file read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

impl Credentials {
    /// Reads the `auth.d` folders of these configuration folders, the weakest first. Folders
    /// that are absent hold nothing. Also says what the user should know.
    pub fn of_folders(folders: &[PathBuf]) -> Result<(Self, Vec<String>), CredentialsError> {
        let (mut all, mut warnings) = (Self::default(), Vec::new());
        for folder in folders {
            let mut own = Self::default();
            let mut seen = BTreeSet::new();
            for path in files(&folder.join("auth.d"))? {
                own.read(&path, &mut seen)?;
                warnings.extend(exposed(&path));
            }
            all.extend(own);
        }
        Ok((all, warnings))
    }

    /// Reads one such file.
    pub fn of_file(path: &Path) -> Result<(Self, Vec<String>), CredentialsError> {
        let mut own = Self::default();
        own.read(path, &mut BTreeSet::new())?;
        Ok((own, exposed(path).into_iter().collect()))
    }

    fn read(&mut self, path: &Path, seen: &mut BTreeSet<String>) -> Result<(), CredentialsError> {
        let bytes = read_small(path, MAX_BYTES)
            .map_err(|source| CredentialsError::Read { path: path.to_owned(), source })?;
        let fault = |what: String| CredentialsError::Content { path: path.to_owned(), what };
        // The parser's own words would show a part of the file.
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| {
            fault(format!("no JSON at line {} column {}", error.line(), error.column()))
        })?;
        let Value::Object(file) = value else { return Err(fault("no JSON object".to_owned())) };
        let file = Fields(&file);
        let kind = file.text("rktKind").map_err(fault)?;
        let version = file.text("rktVersion").map_err(fault)?;
        match (kind, version) {
            ("auth", "v1") => self.auth(&file, path, seen),
            ("dockerAuth", "v1") => self.docker_auth(&file, path, seen),
            ("auth" | "dockerAuth", _) => {
                Err(fault(format!("rktVersion {version:?} of kind {kind} is not known")))
            }
            _ => Err(fault(format!("rktKind {kind:?} does not belong into auth.d"))),
        }
    }

    fn auth(
        &mut self,
        file: &Fields<'_>,
        path: &Path,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), CredentialsError> {
        let fault = |what: String| CredentialsError::Content { path: path.to_owned(), what };
        let domains = file.texts("domains").map_err(fault)?;
        let kind = file.text("type").map_err(fault)?;
        if kind == "aws" {
            return Err(fault(
                "type aws is not supported: requests are not signed in the manner of S3; use a \
                 server that takes basic or oauth"
                    .to_owned(),
            ));
        }
        let credentials = file.object("credentials");
        for domain in domains {
            let host: Authority = domain.parse().map_err(fault)?;
            once(seen, host.to_string(), path)?;
            let credentials = credentials.as_ref().map_err(|what| fault(what.clone()))?;
            match kind {
                "basic" => {
                    let user = credentials.text("user").map_err(fault)?;
                    let password = credentials.text("password").map_err(fault)?;
                    self.basic(host, user, &Secret(password.to_owned()))?;
                }
                "oauth" => {
                    let token = credentials.text("token").map_err(fault)?;
                    self.bearer(host, &Secret(token.to_owned()))?;
                }
                _ => return Err(fault(format!("type {kind:?} is not known: basic or oauth"))),
            }
        }
        Ok(())
    }

    fn docker_auth(
        &mut self,
        file: &Fields<'_>,
        path: &Path,
        seen: &mut BTreeSet<String>,
    ) -> Result<(), CredentialsError> {
        let fault = |what: String| CredentialsError::Content { path: path.to_owned(), what };
        let registries = file.texts("registries").map_err(fault)?;
        let credentials = file.object("credentials").map_err(fault)?;
        let user = credentials.text("user").map_err(fault)?;
        let password = credentials.text("password").map_err(fault)?;
        for registry in registries {
            once(seen, format!("the registry {registry}"), path)?;
            let secret = Secret(password.to_owned());
            self.docker.insert(registry.to_owned(), (user.to_owned(), secret));
        }
        Ok(())
    }
}

fn once(seen: &mut BTreeSet<String>, host: String, path: &Path) -> Result<(), CredentialsError> {
    if seen.insert(host.clone()) {
        Ok(())
    } else {
        Err(CredentialsError::Twice { path: path.to_owned(), host })
    }
}

/// The members of an object. rkt takes their names in any case, and so files have them.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn find(&self, name: &str) -> Option<&'a Value> {
        let any_case = || self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        self.0.get(name).or_else(|| any_case().map(|(_, value)| value))
    }

    fn text(&self, name: &str) -> Result<&'a str, String> {
        let text = self.find(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.ok_or_else(|| format!("{name} is missing, empty or no text"))
    }

    fn texts(&self, name: &str) -> Result<Vec<&'a str>, String> {
        let items = self.find(name).and_then(Value::as_array);
        let texts = items.map(|items| items.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        match texts.flatten() {
            Some(texts) if !texts.is_empty() => Ok(texts),
            _ => Err(format!("{name} is missing, empty or no list of texts")),
        }
    }

    fn object(&self, name: &str) -> Result<Fields<'a>, String> {
        let object = self.find(name).and_then(Value::as_object).map(Fields);
        object.ok_or_else(|| format!("{name} is missing or no object"))
    }
}

/// The regular files directly in a folder whose names end in `.json`, in order. Links are
/// passed over, as in rkt.
fn files(folder: &Path) -> Result<Vec<PathBuf>, CredentialsError> {
    let fail = |source| CredentialsError::Read { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(fail)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(fail)?;
        let path = entry.path();
        let regular = entry.file_type().map_err(fail)?.is_file();
        if regular && path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Says so where everybody of this machine can read a secret.
pub(super) fn exposed(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        format!("{} holds a secret and can be read by everybody: chmod 600 it", path.display())
    })
}
