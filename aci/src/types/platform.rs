//! Operating systems and architectures in the spec's words and in others' (spec: aci.md, labels).

use std::fmt;

use crate::labels::LabelError;

/// The pairs of `types.ValidOSArch`, the table the spec points to.
const PLATFORMS: &[(&str, &[&str])] = &[
    (
        "linux",
        &[
            "amd64",
            "i386",
            "aarch64",
            "aarch64_be",
            "armv6l",
            "armv7l",
            "armv7b",
            "ppc64",
            "ppc64le",
            "s390x",
        ],
    ),
    ("freebsd", &["amd64", "i386", "arm"]),
    ("darwin", &["x86_64", "i386"]),
];

/// Checks the labels `os` and `arch`; `arch` alone means nothing.
pub(crate) fn check_platform(os: Option<&str>, arch: Option<&str>) -> Result<(), LabelError> {
    let Some(os) = os else { return Ok(()) };
    let Some((_, allowed)) = PLATFORMS.iter().find(|(known, _)| *known == os) else {
        let lower = os.to_ascii_lowercase();
        let suggest = PLATFORMS.iter().find(|(known, _)| *known == lower).map(|(known, _)| *known);
        let suggest = if lower == "macos" { Some("darwin") } else { suggest };
        return Err(LabelError::Os { found: os.to_owned(), suggest });
    };
    let Some(arch) = arch else { return Ok(()) };
    if allowed.contains(&arch) {
        return Ok(());
    }
    let suggest = alias(os, arch).filter(|name| allowed.contains(name));
    Err(LabelError::Arch { os: os.to_owned(), found: arch.to_owned(), allowed, suggest })
}

/// The spec's word for an architecture that other tools call otherwise.
fn alias(os: &str, arch: &str) -> Option<&'static str> {
    Some(match (os, arch.to_ascii_lowercase().as_str()) {
        ("darwin", "amd64" | "x86-64") => "x86_64",
        (_, "x86_64" | "x86-64" | "x64" | "amd64") => "amd64",
        (_, "386" | "x86" | "i486" | "i586" | "i686") => "i386",
        (_, "arm64" | "arm64v8") => "aarch64",
        ("freebsd", "armv6l" | "armv7l") => "arm",
        (_, "arm" | "armhf" | "armv7" | "arm32v7") => "armv7l",
        (_, "armel" | "armv6" | "arm32v6") => "armv6l",
        (_, "ppc64el" | "powerpc64le") => "ppc64le",
        (_, "powerpc64") => "ppc64",
        _ => return None,
    })
}

/// The `os` and `arch` labels of the machine this program was built for, in the spec's words.
pub fn host_platform() -> (&'static str, &'static str) {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let arch = match std::env::consts::ARCH {
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "aarch64" if cfg!(target_endian = "big") => "aarch64_be",
        "arm" if cfg!(target_endian = "big") => "armv7b",
        other => alias(os, other).unwrap_or(other),
    };
    (os, arch)
}

/// A platform as the Go toolchain names it, and so most download pages: `GOOS`, `GOARCH` and,
/// for 32-bit arm, `GOARM`.
///
/// ```
/// let go = aci::GoPlatform::of("linux", "armv7l").unwrap();
/// assert_eq!(go.to_string(), "linux/arm/7");
/// assert_eq!(go.labels(), Some(("linux", "armv7l")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoPlatform {
    /// `GOOS`.
    pub os: String,
    /// `GOARCH`.
    pub arch: String,
    /// `GOARM`: `5`, `6`, `7`, or empty.
    pub arm: String,
}

/// `GOOS`, `GOARCH` and `GOARM`; the labels `os` and `arch`.
type Row = ((&'static str, &'static str, &'static str), (&'static str, &'static str));

/// Go's words, the spec's words. Of two rows with the spec's, the first is the way back.
const GO: &[Row] = &[
    (("linux", "amd64", ""), ("linux", "amd64")),
    (("linux", "386", ""), ("linux", "i386")),
    (("linux", "arm64", ""), ("linux", "aarch64")),
    (("linux", "arm", "6"), ("linux", "armv6l")),
    (("linux", "arm", ""), ("linux", "armv6l")),
    (("linux", "arm", "7"), ("linux", "armv7l")),
    (("linux", "ppc64", ""), ("linux", "ppc64")),
    (("linux", "ppc64le", ""), ("linux", "ppc64le")),
    (("linux", "s390x", ""), ("linux", "s390x")),
    (("freebsd", "amd64", ""), ("freebsd", "amd64")),
    (("freebsd", "386", ""), ("freebsd", "i386")),
    (("freebsd", "arm", "6"), ("freebsd", "arm")),
    (("freebsd", "arm", ""), ("freebsd", "arm")),
    (("freebsd", "arm", "5"), ("freebsd", "arm")),
    (("freebsd", "arm", "7"), ("freebsd", "arm")),
    (("darwin", "amd64", ""), ("darwin", "x86_64")),
    (("darwin", "386", ""), ("darwin", "i386")),
];

impl GoPlatform {
    /// The Go platform of the labels `os` and `arch`, where Go has one.
    pub fn of(os: &str, arch: &str) -> Option<Self> {
        let ((os, arch, arm), _) = GO.iter().find(|(_, labels)| *labels == (os, arch))?;
        let [os, arch, arm] = [os, arch, arm].map(|word| (*word).to_owned());
        Some(Self { os, arch, arm })
    }

    /// The labels `os` and `arch`, where the spec has them.
    pub fn labels(&self) -> Option<(&'static str, &'static str)> {
        let wanted = (self.os.as_str(), self.arch.as_str(), self.arm.as_str());
        GO.iter().find(|(go, _)| *go == wanted).map(|(_, labels)| *labels)
    }
}

impl fmt::Display for GoPlatform {
    /// `linux/arm/7`, as other tools' `--platform` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)?;
        if self.arm.is_empty() { Ok(()) } else { write!(f, "/{}", self.arm) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platform_table_is_closed() {
        for (_, (os, arch)) in GO {
            assert_eq!(check_platform(Some(os), Some(arch)), Ok(()));
        }
        for (os, arches) in PLATFORMS {
            for arch in *arches {
                let go = GoPlatform::of(os, arch);
                // Go has no big-endian arm.
                assert_eq!(go.is_none(), matches!(*arch, "aarch64_be" | "armv7b"), "{os} {arch}");
                assert!(go.is_none_or(|go| go.labels() == Some((os, arch))), "{os} {arch}");
            }
        }
    }

    #[test]
    fn platform_aliases_are_suggested() {
        for (os, arch, suggestion) in [
            ("linux", "x86_64", "amd64"),
            ("linux", "arm64", "aarch64"),
            ("linux", "386", "i386"),
            ("linux", "i686", "i386"),
            ("linux", "armhf", "armv7l"),
            ("darwin", "amd64", "x86_64"),
            ("freebsd", "armv7l", "arm"),
            ("linux", "AMD64", "amd64"),
        ] {
            let error = check_platform(Some(os), Some(arch)).unwrap_err().to_string();
            assert!(error.ends_with(&format!("did you mean {suggestion:?}?")), "{error}");
        }
        for (os, suggestion) in [("Linux", "linux"), ("macOS", "darwin")] {
            let error = check_platform(Some(os), None).unwrap_err().to_string();
            assert!(error.ends_with(&format!("did you mean {suggestion:?}?")), "{error}");
        }
        assert!(check_platform(Some(""), None).is_err());
        assert!(check_platform(Some("linux"), Some("")).is_err());
        assert_eq!(check_platform(None, Some("whatever")), Ok(()));
    }
}
