//! Where this crate means to differ from the reference tools, and the section that says so.
//!
//! Each line names cases by the beginning of their id, and which answer of ours it explains:
//! a difference of another kind in the same case still fails.

use serde_json::Value;

use super::{Case, Outcome};

/// Which answer of ours is meant.
enum Ours {
    /// A refusal with this code, where the reference accepts.
    Refusal(&'static str),
    /// A value, where the reference has another one, or refuses.
    Value,
}

use Ours::{Refusal, Value as Answer};

/// Beginning of the id, our answer, reason.
const DIFFERENCES: &[(&str, Ours, &str)] = &[
    ("", Refusal("key-duplicate"), "RFC 8259, section 4: names within an object are unique"),
    (
        "",
        Refusal("key-case"),
        "aci.md and pods.md name the fields; RFC 8259, section 8.3: case counts",
    ),
    ("", Refusal("required"), "aci.md and pods.md: fields marked as required"),
    ("", Refusal("empty"), "aci.md and pods.md: fields marked as required"),
    ("", Refusal("range"), "aci.md, app.ports and supplementaryGIDs; pods.md, ports and volumes"),
    ("", Refusal("identifier"), "types.md, AC Identifier Type: the regular expression"),
    ("", Refusal("reference"), "types.md, AC Identifier Type: the regular expression"),
    ("", Refusal("name"), "types.md, AC Name Type: the regular expression"),
    ("", Refusal("image-id"), "types.md, Image ID Type: hex digits, of SHA-512 128"),
    (
        "",
        Refusal("version"),
        "types.md, AC Version Type: Semantic Versioning 2.0.0, items 2, 9 and 10",
    ),
    ("", Refusal("date"), "types.md, Timestamps Type: RFC 3339, section 5.6"),
    ("", Refusal("url"), "aci.md, annotations; RFC 3986, section 2"),
    ("", Refusal("path-relative"), "aci.md, pathWhitelist: absolute paths"),
    (
        "",
        Refusal("isolator-conflict"),
        "ace.md, os/linux/capabilities-remove-set: one set or the other",
    ),
    ("quantity/", Refusal("quantity"), "ace.md, Resource Isolators: a quantity has digits"),
    ("", Refusal("nul"), "POSIX exec: arguments end at a NUL"),
    ("acname/sanitize", Answer, "types.md, AC Name Type: the regular expression"),
    ("acidentifier/sanitize", Answer, "types.md, AC Identifier Type: the regular expression"),
    (
        "labels/",
        Answer,
        "aci.md, labels: darwin/x86_64, darwin/i386 and freebsd/i386 are platforms",
    ),
    (
        "os_arch/",
        Answer,
        "aci.md, labels: darwin/x86_64, darwin/i386 and freebsd/i386 are platforms",
    ),
    (
        "aci_layout/",
        Refusal("archive"),
        "aci.md, Image Layout: manifest and rootfs, each once, and nothing else",
    ),
    (
        "acirenderer/probe/dependency-by-id",
        Refusal("dependency-missing"),
        "aci.md, Dependency Matching: name and labels first, then the image ID",
    ),
    ("aci_layout/detect", Answer, "zstd is an extension of ours, outside aci.md, Image Archives"),
];

/// Why our answer to a case may differ, where it may.
pub(super) fn reason(case: &Case, got: &Outcome) -> Option<&'static str> {
    let explains = |ours: &Ours| match (ours, got) {
        (Refusal(code), Err(refused)) => case.wanted.is_some() && refused.code == *code,
        (Answer, Ok(value)) => is_meant(case, value),
        _ => false,
    };
    DIFFERENCES
        .iter()
        .find(|(id, ours, _)| case.id.starts_with(id) && explains(ours))
        .map(|(_, _, reason)| *reason)
}

/// Whether the answer is of the kind that the list's reason is about.
fn is_meant(case: &Case, got: &Value) -> bool {
    let wanted = case.wanted.as_ref();
    match case.op.as_str() {
        // The reference's own answer is none.
        "sanitize" => {
            let text = wanted.and_then(Value::as_str).unwrap_or_default();
            let runs = |pair: &[u8]| pair.iter().all(|b| b"-._~/".contains(b)) && pair != b"/~";
            text.as_bytes().windows(2).any(runs)
        }
        "detect" => got["type"] == "zstd",
        // The reference's table has no way back for these.
        "json" | "to_go" => {
            let go = if case.op == "json" { &got["go"] } else { got };
            let labels = wanted.map(|w| &w["labels"]);
            let rest = labels.is_none_or(|labels| *labels == got["labels"]);
            rest && (go[0] == "darwin" || (go[0] == "freebsd" && go[1] == "386"))
        }
        _ => false,
    }
}
