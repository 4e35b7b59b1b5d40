//! Which distribution an image is made of: `/etc/os-release`, or the vendor's own in `/usr/lib`.

use super::lines::{Lines, text};

/// What counts of the file (`os-release(5)`).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct OsRelease {
    /// `ID`: `debian`.
    pub(super) id: Option<String>,
    /// `VERSION_ID`: `12`.
    version: Option<String>,
}

/// No value that counts is longer.
const LINE_BYTES: usize = 4096;

impl OsRelease {
    /// Reads what can be read; a broken line says nothing.
    pub(super) fn parse(content: &[u8]) -> Self {
        let mut found = Self::default();
        let mut lines = Lines::new(content, LINE_BYTES);
        while let Ok(Some(line)) = lines.next() {
            let Some(equals) = line.iter().position(|&byte| byte == b'=') else { continue };
            let value = || Some(unquoted(&line[equals + 1..])).filter(|value| !value.is_empty());
            match line[..equals].trim_ascii() {
                b"ID" => found.id = value().map(|id| id.to_ascii_lowercase()),
                b"VERSION_ID" => found.version = value(),
                _ => {}
            }
        }
        found
    }

    /// The distribution with its version: `debian-12`.
    pub(super) fn distribution(&self) -> Option<String> {
        let id = self.id.as_ref()?;
        Some(self.version.as_ref().map_or_else(|| id.clone(), |version| format!("{id}-{version}")))
    }
}

/// A value as a shell reads it: quotes off, backslashes taken.
fn unquoted(value: &[u8]) -> String {
    let value = value.trim_ascii();
    let inner = |quote: &[u8]| value.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(plain) = inner(b"'") {
        return text(plain);
    }
    let mut plain = Vec::new();
    let mut bytes = inner(b"\"").unwrap_or(value).iter();
    while let Some(byte) = bytes.next() {
        plain.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    text(&plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read_as_a_shell_does() {
        let told = |content: &str| OsRelease::parse(content.as_bytes()).distribution();
        assert_eq!(told("NAME=x\nID=debian\nVERSION_ID=\"12\""), Some("debian-12".into()));
        assert_eq!(told("VERSION_ID='3.20.1'\nID=alpine\n"), Some("alpine-3.20.1".into()));
        assert_eq!(told("ID=\"a\\\"b\"\n"), Some("a\"b".into()));
        assert_eq!(told("ID=arch"), Some("arch".into()));
        assert_eq!(told("# ID=x\nid=y\nID=\nVERSION_ID=1\n"), None);
        assert_eq!(told(&format!("ID=a\nX={}\nVERSION_ID=1", "x".repeat(9999))), Some("a".into()));
    }
}
