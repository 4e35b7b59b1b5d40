//! What acbuild notes in an image: the commands that made it, as annotations.
//!
//! acbuild left the options out of its notes, and put every secret in. Here a command is noted as
//! it was given, options among it, but for what is nobody else's business: the values of
//! environment variables, what looks like a secret on a command line, and the folders of the
//! machine in which a file was found.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::editor::{EditFault, Editor};
use super::path;

/// The names of the notes end in a number.
const PREFIX: &str = "appc.io/acbuild/command-";
/// What later versions of acbuild wrote; it counts for the numbers.
const OTHER: &str = "coreos.com/acbuild/command-";

/// Notes are counted on from the highest number below this: anybody may have written one.
const COUNTED: u64 = 1 << 32;

/// One word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// As it is.
    Word(String),
    /// A file of the host: without its folders, where they begin at the root.
    HostPath(String),
    /// A value that is not noted.
    Secret,
    /// A word of somebody's command line, which may hold a secret.
    Argument(String),
}

/// Adds a note of a command.
pub fn record(manifest: &[u8], command: &[Recorded]) -> Result<Vec<u8>, EditFault> {
    let mut editor = Editor::new(manifest)?;
    let annotations = path(&["annotations"]);
    let number = |item: &str| -> Option<u64> {
        let item: Value = serde_json::from_str(item).ok()?;
        let name = item["name"].as_str()?;
        name.strip_prefix(PREFIX).or_else(|| name.strip_prefix(OTHER))?.parse().ok()
    };
    let taken: BTreeSet<u64> = editor.items(&annotations).into_iter().filter_map(number).collect();
    let last = taken.range(..COUNTED).next_back().copied().unwrap_or_default();
    let next = (last + 1..).find(|next| !taken.contains(next)).unwrap_or_default();
    let name = format!("{PREFIX}{next}");
    editor.put_value(&annotations, &name, &json!(text(command)).to_string())?;
    Ok(editor.finish())
}

/// `acbuild label add "version" "1.0.0"`: words that hold nothing special stand as they are.
fn text(command: &[Recorded]) -> String {
    let mut text = String::from("acbuild");
    let mut secret_follows = false;
    for word in command {
        let shown = match word {
            Recorded::Word(word) => quoted(word),
            Recorded::HostPath(path) => quoted(below_root(path)),
            Recorded::Secret => "***".to_owned(),
            Recorded::Argument(_) if secret_follows => "***".to_owned(),
            Recorded::Argument(word) => argument(word),
        };
        secret_follows = matches!(word, Recorded::Argument(word)
            if word.starts_with('-') && !word.contains('=') && names_secret(word));
        text.push(' ');
        text.push_str(&shown);
    }
    text
}

fn below_root(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    match trimmed.starts_with('/') {
        true => trimmed.rsplit('/').next().unwrap_or(trimmed),
        false => path,
    }
}

/// `PASSWORD=…`, `--token=…` and `https://user:…@host` lose what is not named here.
fn argument(word: &str) -> String {
    if let Some((name, _)) = word.split_once('=')
        && names_secret(name)
        && !name.contains(char::is_whitespace)
    {
        return quoted(&format!("{name}=***"));
    }
    if let Some((scheme, rest)) = word.split_once("://")
        && let Some((user, host)) = rest.split('/').next().unwrap_or(rest).rsplit_once('@')
    {
        let after = &rest[user.len() + 1 + host.len()..];
        return quoted(&format!("{scheme}://***@{host}{after}"));
    }
    // A script in one word: where it speaks of a secret, what it says is not noted.
    if word.contains(char::is_whitespace) && names_secret(word) {
        return "***".to_owned();
    }
    quoted(word)
}

fn names_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    [
        "secret",
        "passw",
        "token",
        "credential",
        "api-key",
        "apikey",
        "api_key",
        "authorization",
        "bearer",
    ]
    .iter()
    .any(|word| text.contains(word))
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        json!(word).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<Recorded> {
        words.iter().map(|word| Recorded::Argument((*word).to_owned())).collect()
    }

    #[test]
    fn secrets_and_folders_of_the_host_are_not_noted() {
        let command = [
            Recorded::Word("environment".to_owned()),
            Recorded::Word("SECRET".to_owned()),
            Recorded::Secret,
            Recorded::HostPath("/srv/checkout/site".to_owned()),
            Recorded::HostPath("../site".to_owned()),
        ];
        assert_eq!(text(&command), "acbuild environment SECRET *** site ../site");
        let run = words(&[
            "curl",
            "--password",
            "hunter2",
            "--token=hunter2",
            "https://me:hunter2@example.com/x",
            "PASSWORD=hunter2",
            "-H",
            "Authorization: Bearer hunter2",
            "a b",
        ]);
        assert_eq!(
            text(&run),
            "acbuild curl --password *** \"--token=***\" \"https://***@example.com/x\" \
             \"PASSWORD=***\" -H *** \"a b\""
        );
    }

    #[test]
    fn notes_are_counted_on_from_the_highest() {
        let manifest = br#"{"annotations":[{"name":"coreos.com/acbuild/command-7","value":"x"}]}"#;
        let new = record(manifest, &words(&["end"])).unwrap();
        let new: Value = serde_json::from_slice(&new).unwrap();
        assert_eq!(new["annotations"][1]["name"], "appc.io/acbuild/command-8");
        assert_eq!(new["annotations"][1]["value"], "acbuild end");
    }

    #[test]
    fn note_takes_the_place_of_no_other() {
        for (there, wanted) in [
            ([u64::MAX, 3], "appc.io/acbuild/command-4"),
            ([COUNTED - 1, COUNTED], "appc.io/acbuild/command-4294967297"),
        ] {
            let notes = there.map(|n| json!({"name": format!("{PREFIX}{n}"), "value": "kept"}));
            let manifest = json!({ "annotations": notes }).to_string();
            let new = record(manifest.as_bytes(), &words(&["end"])).unwrap();
            let new: Value = serde_json::from_slice(&new).unwrap();
            assert_eq!(new["annotations"][2]["name"], wanted);
            assert_eq!(new["annotations"][0]["value"], "kept");
            assert_eq!(new["annotations"][1]["value"], "kept");
        }
    }
}
