//! `[[credentials]]` of the configuration.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::rkt::exposed;
use super::{Authority, Credentials, CredentialsError, Secret};
use crate::fetch::read_small;

/// Largest file with a secret, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// One `[[credentials]]` of the configuration: for whom, and where the secret is.
///
/// ```toml
/// [[credentials]]
/// host = "registry.example.com"
/// token-file = "/etc/gantry/registry.token"
///
/// [[credentials]]
/// host = "files.example.com:8443"
/// user = "ci"
/// password-env = "FILES_PASSWORD"
/// ```
///
/// `token` and `password` may hold the secret itself, in a file that nobody else can read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawEntry")]
pub struct CredentialEntry {
    host: Authority,
    /// For basic authentication; a bearer token has none.
    user: Option<String>,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Variable(String),
    Here(Secret),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawEntry {
    host: Authority,
    user: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<String>,
    token: Option<Secret>,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    password: Option<Secret>,
}

impl TryFrom<RawEntry> for CredentialEntry {
    type Error = String;

    fn try_from(raw: RawEntry) -> Result<Self, String> {
        let RawEntry { host, user, .. } = raw;
        let token = [
            raw.token_file.map(Place::File),
            raw.token_env.map(Place::Variable),
            raw.token.map(Place::Here),
        ];
        let password = [
            raw.password_file.map(Place::File),
            raw.password_env.map(Place::Variable),
            raw.password.map(Place::Here),
        ];
        let of = if user.is_some() { &password } else { &token };
        let given = token.iter().chain(&password).flatten().count();
        let place = of.iter().flatten().next().cloned();
        match place {
            Some(Place::File(path)) if !path.is_absolute() => {
                Err(format!("{path:?} must be an absolute path"))
            }
            Some(place) if given == 1 => Ok(Self { host, user, place }),
            _ => Err(format!(
                "the credentials for {host} need exactly one of token-file, token-env and token, \
                 or a user and exactly one of password-file, password-env and password"
            )),
        }
    }
}

impl CredentialEntry {
    /// For whom.
    pub fn host(&self) -> &Authority {
        &self.host
    }

    /// Whether the secret itself stands in the configuration.
    pub fn holds_secret(&self) -> bool {
        matches!(self.place, Place::Here(_))
    }

    fn secret(
        &self,
        variable: &dyn Fn(&str) -> Option<OsString>,
        warnings: &mut Vec<String>,
    ) -> Result<Secret, CredentialsError> {
        match &self.place {
            Place::Here(secret) => Ok(secret.clone()),
            Place::File(path) => {
                warnings.extend(exposed(path));
                read_secret(path)
            }
            Place::Variable(name) => {
                let value = variable(name).and_then(|value| value.into_string().ok());
                let unset = || CredentialsError::Unset {
                    host: self.host.to_string(),
                    variable: name.clone(),
                };
                value.map(|value| without_end_of_line(&value)).ok_or_else(unset)
            }
        }
    }
}

fn read_secret(path: &Path) -> Result<Secret, CredentialsError> {
    let bytes = read_small(path, MAX_BYTES)
        .map_err(|source| CredentialsError::Read { path: path.to_owned(), source })?;
    let text = String::from_utf8(bytes).map_err(|_| CredentialsError::Content {
        path: path.to_owned(),
        what: "it is no text".to_owned(),
    })?;
    Ok(without_end_of_line(&text))
}

/// What was read of a file often ends in a line's end, wherever it was kept meanwhile.
fn without_end_of_line(text: &str) -> Secret {
    Secret(text.trim_end_matches(['\r', '\n']).to_owned())
}

impl Credentials {
    /// What the configuration says. `variable` reads the environment.
    pub fn of_entries(
        entries: &[CredentialEntry],
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<(Self, Vec<String>), CredentialsError> {
        let (mut all, mut warnings) = (Self::default(), Vec::new());
        for entry in entries {
            let secret = entry.secret(variable, &mut warnings)?;
            match &entry.user {
                Some(user) => all.basic(entry.host.clone(), user, &secret)?,
                None => all.bearer(entry.host.clone(), &secret)?,
            }
        }
        Ok((all, warnings))
    }
}
