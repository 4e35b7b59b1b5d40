//! Text from images, made fit to be looked at and to be copied into a shell.

use aci::{Labels, Name, Reference};

/// The text with what cannot be seen, or turns the reading direction, written out.
///
/// A label value is any text. One with a line break or a bidirectional override
/// could make a page show something other than what is there.
pub fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let hidden = c.is_control()
                || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
                || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
            let (plain, escaped) =
                if hidden { (None, Some(c.escape_unicode())) } else { (Some(c), None) };
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

/// The text as one word of a POSIX shell.
///
/// People copy commands from a page without reading them; a version called
/// `$(…)` must stay a version.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/:,=+-@%~".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with(['~', '-']) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The reference that these labels are, where a person can be told to ask for it: a label
/// value with a comma or a colon cannot stand in a reference, and one that cannot be seen
/// should not stand in a command. Of one with a segment `.` or `..` no template makes a URL. Without a version, or with `latest`, a reference means the
/// newest image, whichever that will be.
pub fn fetch_reference(name: &Name, labels: &Labels) -> Option<String> {
    if matches!(labels.value("version"), None | Some("" | "latest")) {
        return None;
    }
    let climbs = |value: &str| {
        let mut between = value.split('/');
        // The first and the last are joined with what stands beside them in a URL.
        let _ = (between.next(), between.next_back());
        between.any(|segment| matches!(segment, "." | ".."))
    };
    if labels.iter().any(|label| climbs(&label.value)) {
        return None;
    }
    let reference = Reference::new(name.clone(), labels.clone());
    let text = reference.to_string();
    let again: Reference = text.parse().ok()?;
    let same = again.name() == name && again.labels().canonical() == labels.canonical();
    (same && visible(&text) == text).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let all: Vec<aci::Label> = pairs
            .iter()
            .map(|(name, value)| aci::Label {
                name: name.parse().unwrap(),
                value: (*value).to_owned(),
            })
            .collect();
        all.try_into().unwrap()
    }

    #[test]
    fn visible_writes_out_what_hides() {
        assert_eq!(visible("1.0 ä <b>"), "1.0 ä <b>");
        assert_eq!(visible("a\u{202e}b\n"), "a\\u{202e}b\\u{a}");
    }

    #[test]
    fn shell_word_keeps_a_hostile_value_one_word() {
        assert_eq!(shell_word("example.com/a:1.0.0,os=linux"), "example.com/a:1.0.0,os=linux");
        for hostile in ["a b", "$(reboot)", "`x`", "a;b", "a'b", "", "~root", "-rf", "a\nb", "a\\"]
        {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", shell_word(hostile))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), hostile);
        }
    }

    #[test]
    fn fetch_reference_stands_only_where_it_reads_back() {
        let name: Name = "example.com/a".parse().unwrap();
        assert_eq!(
            fetch_reference(&name, &labels(&[("os", "linux"), ("version", "1")])).as_deref(),
            Some("example.com/a:1,os=linux")
        );
        for value in ["1,os=linux", "a:b", "a\u{202e}b"] {
            assert_eq!(fetch_reference(&name, &labels(&[("version", value)])), None, "{value:?}");
        }
        for (value, there) in [("1/..", true), ("../2", true), ("1/../2", false), ("1/./2", false)]
        {
            let found = fetch_reference(&name, &labels(&[("version", "1"), ("channel", value)]));
            assert_eq!(found.is_some(), there, "{value}");
        }
        // These would mean the newest image.
        for newest in [&[][..], &[("os", "linux")], &[("version", "")], &[("version", "latest")]] {
            assert_eq!(fetch_reference(&name, &labels(newest)), None, "{newest:?}");
        }
    }
}
