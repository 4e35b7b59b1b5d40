//! Whether a server could run with a configuration, as far as that can be told without running it.

use std::path::PathBuf;

use aci::{Refusal, Refuse};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Acme, Config, Tls};
use crate::access::{Access, AccessError};
use crate::catalog::CatalogError;
use crate::tls::TlsError;

/// Why a server could not run with a configuration that is in order by itself.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The certificate, or its key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The roots for issuers of jobs' ID tokens.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The file with the database's password.
    #[error(transparent)]
    Database(#[from] CatalogError),
    /// The root of the certificate authority.
    #[error("{path:?} cannot be read: {source}")]
    Root {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file that holds no root.
    #[error("{0:?} holds no certificate in PEM")]
    NoRoot(PathBuf),
}

impl Config {
    /// Whether a server could run with it: reads the files it names, and changes nothing.
    pub fn check(&self) -> Result<(), CheckError> {
        crate::tls::check(&self.tls, self.clock.now())?;
        if let Tls::Acme(Acme { ca_file: Some(path), .. }) = &self.tls {
            let pem = std::fs::read(path)
                .map_err(|source| CheckError::Root { path: path.clone(), source })?;
            if !matches!(CertificateDer::pem_slice_iter(&pem).next(), Some(Ok(_))) {
                return Err(CheckError::NoRoot(path.clone()));
            }
        }
        Access::new(self.issuer_ca.as_deref())?;
        if let Some(database) = &self.database {
            database.check()?;
        }
        Ok(())
    }
}

impl Refuse for CheckError {
    fn refusal(&self) -> Refusal {
        let (message, wanted, rule, next) = match self {
            Self::Tls(TlsError::Expired { .. }) => (
                "the certificate that is configured has run out",
                "a certificate that is good today",
                "clients refuse a certificate that has run out",
                "renew it; a running registry takes the new one up within seconds",
            ),
            Self::Tls(_) => (
                "the certificate that is configured cannot be used",
                "a certificate with its chain, and the private key that is its own, in PEM",
                "a registry shows no certificate without its key",
                "see that both files are there, that they can be read, and that they were made \
                 together",
            ),
            Self::Access(_) => (
                "the roots for issuers cannot be used",
                "a file with certificates in PEM",
                "a registry that is told of roots does not start without them",
                "correct `issuer-ca-file` in the section [access], or leave it out",
            ),
            Self::Database(_) => (
                "the database's password cannot be had",
                "a file with the password that can be read",
                "a registry does not start without its catalogue",
                "correct `password-file` in the section [database], or mend its rights",
            ),
            Self::Root { .. } | Self::NoRoot(_) => (
                "the root of the certificate authority cannot be used",
                "a file with a certificate in PEM",
                "nothing is asked of an authority that cannot be told from another",
                "correct `ca-file` in the section [acme], or leave it out",
            ),
        };
        Refusal {
            code: "configuration-invalid".to_owned(),
            message: message.to_owned(),
            wanted: wanted.to_owned(),
            found: self.to_string(),
            rule: rule.to_owned(),
            next: next.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use crate::config::{Clock, ConfigFile};

    #[test]
    fn certificate_that_has_run_out_is_not_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let pair = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["example.com".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2044, 3, 30);
        std::fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        let at = |month, day| {
            let mut file = ConfigFile::default();
            file.server.data = Some(folder.path().to_owned());
            file.server.domains = Some(vec!["example.com".parse().unwrap()]);
            (file.tls.certificate, file.tls.key) = (Some(certificate.clone()), Some(key.clone()));
            let now = SystemTime::from(rcgen::date_time_ymd(2044, month, day));
            file.resolve(Clock::new(move || now)).unwrap().check()
        };
        at(3, 29).unwrap();
        let refusal = aci::Refuse::refusal(&at(3, 31).unwrap_err());
        assert!(refusal.found.contains("ran out on 2044-03-30"), "{refusal}");
        assert!(refusal.next.contains("renew it"), "{refusal}");
    }
}
