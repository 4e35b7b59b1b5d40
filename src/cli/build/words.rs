//! Commands that are given by the beginning of their name, and acbuild's codes for bad usage.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// acbuild's own commands. What began one of them still means it.
const COMMANDS: [&str; 26] = [
    "annotation",
    "begin",
    "cat-manifest",
    "copy",
    "copy-to-dir",
    "dependency",
    "end",
    "environment",
    "help",
    "isolator",
    "label",
    "layer",
    "mount",
    "port",
    "replace-manifest",
    "run",
    "script",
    "set-event-handler",
    "set-exec",
    "set-group",
    "set-name",
    "set-supp-groups",
    "set-tag",
    "set-user",
    "set-working-directory",
    "version",
];
const WRITE: &str = "write";
/// Other names of theirs.
const ALIASES: [&str; 3] = ["volume", "set-eh", "set-wd"];
/// Commands that acbuild did not have.
const NEW: [&str; 9] =
    ["remove", "rm", "chown", "chmod", "setcap", "xattr", "shell", "squash", "recipe"];
/// Those with commands of their own.
const NESTED: [&str; 8] =
    ["annotation", "label", "environment", "mount", "volume", "port", "isolator", "dependency"];

/// Options before the command that take a value.
const WITH_VALUE: [&str; 4] = ["--work-path", "--modify", "--modify-appc", "--modify-oci"];

/// Writes out the names of commands. `words` begins behind `build`. An error names what could
/// have been meant.
pub(crate) fn expand(words: &mut [OsString]) -> Result<(), String> {
    let Some(mut at) = command_at(words, 0) else { return Ok(()) };
    // What help is asked about is a command as well.
    if words[at] == "help"
        && let Some(about) = command_at(words, at + 1)
    {
        at = about;
    }
    let Some(word) = words[at].to_str() else { return Ok(()) };
    let own = COMMANDS.iter().chain([&WRITE]).chain(&ALIASES).copied();
    let name = choose(word, own, NEW.iter().copied())?;
    words[at] = name.clone().into();
    if !NESTED.contains(&name.as_str()) {
        return Ok(());
    }
    let Some(at) = command_at(words, at + 1) else { return Ok(()) };
    if let Some(word) = words[at].to_str() {
        words[at] =
            choose(word, ["add", "remove", "rm", "help"].into_iter(), [].into_iter())?.into();
    }
    Ok(())
}

/// Where the next word is that is no option.
fn command_at(words: &[OsString], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(word) = words.get(at) {
        let option = word.as_encoded_bytes().starts_with(b"-");
        if !option {
            return Some(at);
        }
        if word == OsStr::new("--") {
            return None;
        }
        at += if WITH_VALUE.iter().any(|name| word == OsStr::new(name)) { 2 } else { 1 };
    }
    None
}

/// The command of a name.
fn meant(name: &str) -> &str {
    match name {
        "set-wd" => "set-working-directory",
        "set-eh" => "set-event-handler",
        "volume" => "mount",
        "rm" => "remove",
        other => other,
    }
}

/// The command that is meant; the word itself where there is none, for the parser to say so.
fn choose<'n>(
    word: &str,
    own: impl Iterator<Item = &'n str> + Clone,
    new: impl Iterator<Item = &'n str> + Clone,
) -> Result<String, String> {
    if word.is_empty() || own.clone().chain(new.clone()).any(|name| name == word) {
        return Ok(word.to_owned());
    }
    let mut fits: Vec<&str> = own.filter(|name| name.starts_with(word)).collect();
    if fits.is_empty() {
        fits = new.filter(|name| name.starts_with(word)).collect();
    }
    match fits[..] {
        [] => Ok(word.to_owned()),
        [name] => Ok(name.to_owned()),
        // A command, and another name of it.
        [name, ..] if fits.iter().all(|other| meant(other) == meant(name)) => Ok(name.to_owned()),
        _ => Err(format!(
            "unknown command {word:?} for \"acbuild\"\n\nDid you mean one of these?\n    {}",
            fits.join("\n    ")
        )),
    }
}

/// A bool as acbuild took it: Go's `strconv.ParseBool`.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("true or false was wanted".to_owned()),
    }
}

/// acbuild's code for a command line that makes no sense: 3 for commands and options that there
/// are not, and values of options that are none; 1 for words too many and words missing.
pub(crate) fn usage_code(error: &clap::Error) -> u8 {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.first().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    let is_option = text(ContextKind::InvalidArg).starts_with('-');
    match error.kind() {
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::InvalidUtf8 => 1,
        ErrorKind::UnknownArgument
        | ErrorKind::TooFewValues
        | ErrorKind::TooManyValues
        | ErrorKind::WrongNumberOfValues
        | ErrorKind::InvalidValue
        | ErrorKind::ValueValidation
            if !is_option =>
        {
            1
        }
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(line: &str) -> Result<String, String> {
        let mut words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        expand(&mut words)?;
        Ok(words.join(OsStr::new(" ")).into_string().unwrap())
    }

    #[test]
    fn names_are_written_out() {
        for (line, wanted) in [
            ("env add A b", "environment add A b"),
            ("dep a x", "dependency add x"),
            ("anno rm x", "annotation rm x"),
            ("--work-path d --no-history w x.aci", "--work-path d --no-history write x.aci"),
            ("set-w /", "set-working-directory /"),
            ("help lab a", "help label add"),
            ("help", "help"),
            ("re x", "replace-manifest x"),
            ("rem x", "remove x"),
            ("copy a b", "copy a b"),
            ("nothing", "nothing"),
            ("run -- env", "run -- env"),
            ("", ""),
        ] {
            assert_eq!(expanded(line).unwrap(), wanted, "{line}");
        }
        for line in ["set-", "e x", "cop a b", "s"] {
            let told = expanded(line).unwrap_err();
            assert!(told.contains("Did you mean"), "{line}");
            assert_eq!(discovery::printable(&told), told, "{line}");
        }
    }
}
