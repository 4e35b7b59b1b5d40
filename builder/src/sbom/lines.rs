//! The lines of a text database.

use aci::archive::PathBytes;

use super::fault::DatabaseFault;

/// Goes through lines, counting them; each is without its newline, and not too long.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    number: u64,
    allowed: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a [u8], allowed: usize) -> Self {
        Self { rest: text, number: 0, allowed }
    }

    /// The number of the line last returned, counted from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn next(&mut self) -> Result<Option<&'a [u8]>, DatabaseFault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let line = &self.rest[..end.unwrap_or(self.rest.len())];
        // A line without an end would be a name of hundreds of megabytes.
        if line.len() > self.allowed {
            return Err(DatabaseFault::Line { line: self.number, allowed: self.allowed });
        }
        self.rest = end.map_or(&[], |end| &self.rest[end + 1..]);
        Ok(Some(line))
    }
}

/// Bytes as text, whatever they are: what is not UTF-8 or not printable is escaped.
pub(super) fn text(bytes: &[u8]) -> String {
    PathBytes::from(bytes.trim_ascii()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_limited() {
        let mut lines = Lines::new(b"ab\n\nc", 2);
        assert_eq!(lines.next(), Ok(Some(&b"ab"[..])));
        assert_eq!(lines.next(), Ok(Some(&b""[..])));
        assert_eq!((lines.next(), lines.number()), (Ok(Some(&b"c"[..])), 3));
        assert_eq!(lines.next(), Ok(None));
        let mut endless = Lines::new(b"ab\nabc", 2);
        assert_eq!(endless.next(), Ok(Some(&b"ab"[..])));
        assert_eq!(endless.next(), Err(DatabaseFault::Line { line: 2, allowed: 2 }));
    }
}
