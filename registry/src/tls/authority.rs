//! An authority of the registry's own, for those who have no certificate (yet).
//!
//! ```text
//! tls/ca-key.pem, tls/ca.pem            made once; clients are given ca.pem
//! tls/server-key.pem, tls/server.pem    made anew for other domains, and before they run out
//! ```
//!
//! Each pair is written key first, so a certificate that is there has its key.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aci::stage::{self, Existing};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use x509_parser::prelude::{ASN1Time, FromDer, GeneralName, X509Certificate};

use super::{Pair, TlsError, read};
use crate::config::Domains;

const DAY: Duration = Duration::from_secs(24 * 3600);
const AUTHORITY_DAYS: u32 = 3652;
/// What browsers accept at most.
const SERVER_DAYS: u32 = 397;
/// A server certificate with fewer days left is made anew.
const RENEW_DAYS: u32 = 30;

/// The file clients are to be given.
pub(crate) fn authority_file(folder: &Path) -> PathBuf {
    folder.join("ca.pem")
}

/// The server's certificate and key files, made where needed.
pub(super) fn ensure(
    folder: &Path,
    domains: &Domains,
    now: SystemTime,
) -> Result<(PathBuf, PathBuf), TlsError> {
    let (certificate, key) = (folder.join("server.pem"), folder.join("server-key.pem"));
    let authority = Authority::open(folder, domains, now)?;
    let names = names(domains);
    let good = certificate.exists()
        && key.exists()
        && authority.vouches(&read(&certificate)?, &names, now)
        // A crash between the two files leaves an old certificate with a new key.
        && Pair::read(&certificate, &key).is_ok();
    if !good {
        authority.issue(&names, now, &certificate, &key)?;
    }
    Ok((certificate, key))
}

/// What the certificate is for: the domains, and the names of this machine for itself.
fn names(domains: &Domains) -> BTreeSet<String> {
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    domains.iter().map(ToString::to_string).chain(own).collect()
}

struct Authority {
    pem: String,
    key: String,
}

impl Authority {
    /// The authority of this folder, made where there is none.
    fn open(folder: &Path, domains: &Domains, now: SystemTime) -> Result<Self, TlsError> {
        let (certificate, key) = (authority_file(folder), folder.join("ca-key.pem"));
        if !certificate.exists() {
            Self::make(domains, now, &certificate, &key)?;
        }
        // To make another of its own accord would be to shut out every client that knows this one.
        if !key.exists() {
            return Err(TlsError::AuthorityKey { certificate, key });
        }
        let text = |path: &Path| {
            String::from_utf8(read(path)?)
                .map_err(|_| TlsError::Pem { path: path.to_owned(), wanted: "text" })
        };
        let authority = Self { pem: text(&certificate)?, key: text(&key)? };
        let expires = authority
            .expires()
            .ok_or_else(|| TlsError::Pem { path: certificate.clone(), wanted: "certificate" })?;
        if expires <= now { Err(TlsError::AuthorityExpired(certificate)) } else { Ok(authority) }
    }

    fn make(
        domains: &Domains,
        now: SystemTime,
        certificate: &Path,
        key: &Path,
    ) -> Result<(), TlsError> {
        let pair = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("Gantry registry authority of {domains}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = (now - DAY).into();
        params.not_after = (now + DAY * AUTHORITY_DAYS).into();
        write(key, pair.serialize_pem().as_bytes(), 0o600)?;
        write(certificate, params.self_signed(&pair)?.pem().as_bytes(), 0o644)
    }

    fn expires(&self) -> Option<SystemTime> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(self.pem.as_bytes()).ok()?;
        let (_, certificate) = X509Certificate::from_der(&pem.contents).ok()?;
        Some(validity(&certificate).1)
    }

    /// Whether a server certificate is of this authority, for these names, and has time left.
    fn vouches(&self, server: &[u8], names: &BTreeSet<String>, now: SystemTime) -> bool {
        let check = || {
            let (_, authority) = x509_parser::pem::parse_x509_pem(self.pem.as_bytes()).ok()?;
            let (_, authority) = X509Certificate::from_der(&authority.contents).ok()?;
            let (_, server) = x509_parser::pem::parse_x509_pem(server).ok()?;
            let (_, server) = X509Certificate::from_der(&server.contents).ok()?;
            server.verify_signature(Some(authority.public_key())).ok()?;
            let enough = (now + DAY * RENEW_DAYS).min(validity(&authority).1);
            Some(validity(&server).1 >= enough && alternative_names(&server)? == *names)
        };
        check().unwrap_or(false)
    }

    fn issue(
        &self,
        names: &BTreeSet<String>,
        now: SystemTime,
        certificate: &Path,
        key: &Path,
    ) -> Result<(), TlsError> {
        let issuer = Issuer::from_ca_cert_pem(&self.pem, KeyPair::from_pem(&self.key)?)?;
        let pair = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Gantry registry");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let end = (now + DAY * SERVER_DAYS).min(self.expires().unwrap_or(now));
        params.not_before = (now - DAY).into();
        params.not_after = end.into();
        let signed = params.signed_by(&pair, &issuer)?;
        write(key, pair.serialize_pem().as_bytes(), 0o600)?;
        write(certificate, signed.pem().as_bytes(), 0o644)
    }
}

/// From when and until when a certificate is good.
pub(super) fn validity(certificate: &X509Certificate<'_>) -> (SystemTime, SystemTime) {
    let time = |time: &ASN1Time| {
        let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    };
    let validity = certificate.validity();
    (time(&validity.not_before), time(&validity.not_after))
}

/// The domains and addresses a certificate is for.
pub(super) fn alternative_names(certificate: &X509Certificate<'_>) -> Option<BTreeSet<String>> {
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or(v6).ok().map(|ip| ip.to_string())
        }
        _ => None,
    };
    names.iter().map(name).collect()
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    stage::write(path, bytes, mode, Existing::Replace)
        .map_err(|source| TlsError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn domains(all: &[&str]) -> Domains {
        all.iter().map(|d| d.parse().unwrap()).collect::<Vec<_>>().try_into().unwrap()
    }

    #[test]
    fn server_certificate_is_made_anew_for_other_domains_and_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let ensure = |all: &[&str], now| {
            ensure(folder.path(), &domains(all), now).unwrap();
            let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
            (read("ca.pem"), read("server.pem"))
        };
        let first = ensure(&["example.com"], now);
        assert_eq!(ensure(&["example.com"], now), first, "nothing to do");
        let other = ensure(&["example.com", "example.org"], now);
        assert_eq!(other.0, first.0, "the authority stays");
        assert_ne!(other.1, first.1, "another domain");
        let soon = now + DAY * (SERVER_DAYS - RENEW_DAYS - 1);
        assert_eq!(ensure(&["example.com", "example.org"], soon), other, "time enough");
        let late = now + DAY * (SERVER_DAYS - RENEW_DAYS + 1);
        assert_ne!(ensure(&["example.com", "example.org"], late).1, other.1, "nearly run out");
    }

    #[test]
    fn keys_are_for_the_owner_alone_and_pairs_are_mended() {
        let folder = tempfile::tempdir().unwrap();
        let (now, domains) = (SystemTime::now(), domains(&["example.com"]));
        let (certificate, key) = ensure(folder.path(), &domains, now).unwrap();
        for name in ["ca-key.pem", "server-key.pem"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        // A crash between the two files: a new key beside the old certificate.
        fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        ensure(folder.path(), &domains, now).unwrap();
        assert!(super::Pair::read(&certificate, &key).is_ok());
        // A certificate of another authority is not kept.
        let old = fs::read(&certificate).unwrap();
        fs::remove_file(authority_file(folder.path())).unwrap();
        ensure(folder.path(), &domains, now).unwrap();
        assert_ne!(fs::read(&certificate).unwrap(), old);
    }

    #[test]
    fn authority_without_its_key_is_said_to_be_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let (now, domains) = (SystemTime::now(), domains(&["example.com"]));
        ensure(folder.path(), &domains, now).unwrap();
        fs::remove_file(folder.path().join("ca-key.pem")).unwrap();
        let error = ensure(folder.path(), &domains, now).unwrap_err().to_string();
        assert!(error.contains("ca-key.pem\" is missing"), "{error}");
        let ca = authority_file(folder.path());
        assert!(error.contains(&format!("remove {ca:?}, start again")), "{error}");
        fs::remove_file(ca).unwrap();
        ensure(folder.path(), &domains, now).unwrap();
    }

    #[test]
    fn authority_that_has_run_out_is_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let (now, domains) = (SystemTime::now(), domains(&["example.com"]));
        ensure(folder.path(), &domains, now).unwrap();
        let after = now + DAY * (AUTHORITY_DAYS + 1);
        let error = ensure(folder.path(), &domains, after).unwrap_err();
        assert!(matches!(error, TlsError::AuthorityExpired(_)), "{error}");
    }
}
