//! Where this key store means to differ from rkt's, and why.

use serde_json::Value;

use super::{Case, Outcome};

type Differs = fn(&Case, &Outcome) -> bool;

/// What differs, and how such a case is known.
const DIFFERENCES: &[(&str, Differs)] = &[
    ("a prefix covers whole segments of a name, never a part of one", |case, got| {
        refused(got, &["signer-not-trusted", "signer-wrong-prefix"]) && covered_as_text(case)
    }),
    ("a key that had expired when it signed is refused", |_, got| refused(got, &["key-expired"])),
    ("a file that is no key is passed over, and does not disable the others", |case, got| {
        got.is_ok() && files(case).any(|(_, content)| is_bad(content))
    }),
    ("one good signature of several is enough, whatever place it has in the file", |case, got| {
        let form = case.input["signature_form"].as_str().unwrap_or_default();
        got.is_ok() && form.starts_with("armored-twice")
    }),
    ("no segment of a name is made of dots alone: names are paths and URLs", |case, got| {
        let dots = |segment: &str| !segment.is_empty() && segment.chars().all(|c| c == '.');
        let image = case.input["image"].as_str().unwrap_or_default();
        refused(got, &["name-invalid"]) && image.split('/').any(dots)
    }),
    ("a key whose trust was taken away is not there", |case, got| {
        matches!(got, Ok(Value::Bool(false))) && files(case).any(|(_, content)| content.is_empty())
    }),
];

/// Why our answer to a case may differ, where it may.
pub(super) fn reason(case: &Case, got: &Outcome) -> Option<&'static str> {
    DIFFERENCES.iter().find(|(_, differs)| differs(case, got)).map(|(reason, _)| *reason)
}

fn refused(got: &Outcome, codes: &[&str]) -> bool {
    matches!(got, Err(refused) if codes.contains(&refused.code.as_str()))
}

fn files(case: &Case) -> impl Iterator<Item = (&str, &str)> {
    let files = case.input["files"].as_object().into_iter().flatten();
    files.map(|(path, content)| (path.as_str(), content.as_str().unwrap_or_default()))
}

fn is_bad(content: &str) -> bool {
    !content.is_empty() && !content.starts_with("key:") && !content.starts_with("two:")
}

/// Whether the image's name begins like a prefix that a key is trusted for, in the middle of a
/// segment.
fn covered_as_text(case: &Case) -> bool {
    let image = case.input["image"].as_str().unwrap_or_default();
    files(case).any(|(path, _)| {
        let below = path.split_once("prefix.d/").map_or("", |(_, below)| below);
        let prefix = below.rsplit_once('/').map_or("", |(prefix, _)| prefix);
        let rest = image.strip_prefix(prefix).filter(|_| !prefix.is_empty());
        rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
    })
}
