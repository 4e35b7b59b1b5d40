//! What is kept of ACME over a restart.
//!
//! ```text
//! tls/acme/<directory>/account.json       the account with that authority, and its key
//! tls/acme/<directory>/certificate.pem    the certificate with its chain, and before it its key
//! ```
//!
//! Both are the owner's alone. Certificate and key are one file, so they always fit.

use std::io;
use std::path::{Path, PathBuf};

use aci::stage::{self, Existing};
use instant_acme::AccountCredentials;

use super::{AcmeError, Pair, TlsError};
use crate::config::DirectoryUrl;

/// Where what one authority gave is kept.
#[derive(Debug, Clone)]
pub(crate) struct Store(PathBuf);

impl Store {
    /// `folder` is where the registry's own certificates are.
    pub(super) fn of(folder: &Path, directory: &DirectoryUrl) -> Self {
        let url = directory.as_str().trim_start_matches("https://");
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
        Self(folder.join("acme").join(url.chars().map(plain).collect::<String>()))
    }

    pub(super) fn account(&self) -> Result<Option<AccountCredentials>, AcmeError> {
        let path = self.0.join("account.json");
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let account = serde_json::from_slice(&bytes);
        account.map(Some).map_err(|source| AcmeError::Account { path, source })
    }

    pub(super) async fn keep_account(&self, account: &AccountCredentials) -> Result<(), AcmeError> {
        let path = self.0.join("account.json");
        let bytes = serde_json::to_vec(account)
            .map_err(|source| AcmeError::Account { path: path.clone(), source })?;
        Ok(self.write(path, bytes).await?)
    }

    /// The authority does not know the account any more.
    pub(super) fn forget_account(&self) -> Result<(), TlsError> {
        let path = self.0.join("account.json");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(TlsError::Io { path, source: error })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn certificate(&self) -> Result<Option<Pair>, TlsError> {
        let path = self.0.join("certificate.pem");
        let Some(bytes) = read(&path)? else { return Ok(None) };
        Pair::of(&path, &bytes, &path, &bytes).map(Some)
    }

    /// Keeps a certificate and its key, and gives them as a pair that fits.
    pub(super) async fn keep_certificate(&self, key: &str, chain: &str) -> Result<Pair, AcmeError> {
        let path = self.0.join("certificate.pem");
        let both = format!("{key}{chain}").into_bytes();
        // One that does not fit is not kept.
        let pair = Pair::of(&path, &both, &path, &both)?;
        self.write(path, both).await?;
        Ok(pair)
    }

    async fn write(&self, path: PathBuf, bytes: Vec<u8>) -> Result<(), TlsError> {
        let folder = self.0.clone();
        let write = move || {
            stage::create_folders(&folder)
                .and_then(|()| stage::write(&path, &bytes, 0o600, Existing::Replace))
                .map_err(|source| TlsError::Io { path, source })
        };
        tokio::task::spawn_blocking(write).await.map_err(TlsError::Stopped)?
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, TlsError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TlsError::Io { path: path.to_owned(), source }),
    }
}
