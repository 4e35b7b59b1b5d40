//! The suite of image archives (spec: aci.md, "Image Layout").

use aci::Limits;
use aci::archive::{Compression, inspect};
use base64::Engine;
use serde_json::{Value, json};

use super::{Outcome, Refused};

pub(super) fn run(suite: &str, op: &str, input: &Value) -> Option<Outcome> {
    Some(match (suite, op) {
        ("aci_layout", "detect") => detect(input.as_str().unwrap()),
        ("aci_layout", "validate_archive") => image_name(input).map(|_| Value::Null),
        ("aci_layout", "read_manifest") => image_name(input),
        _ => return None,
    })
}

fn detect(base64: &str) -> Outcome {
    let head = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
    let name = match Compression::detect(&head) {
        // What else it may be does not matter to an image tool.
        None => return Ok(json!({"readable_as_image": false})),
        Some(Compression::None) => "tar",
        Some(Compression::Bzip2) => "bz2",
        Some(Compression::Gzip) => "gz",
        Some(other) => other.as_str(),
    };
    Ok(json!({"readable_as_image": true, "type": name}))
}

/// The name of the image that these entries make.
fn image_name(entries: &Value) -> Outcome {
    let entries = entries.as_array().unwrap();
    let archive = if entries.is_empty() { Vec::new() } else { archive(entries) };
    let inspected = inspect(archive.as_slice(), &Limits::default())
        .map_err(|error| Refused::new("archive", error))?;
    Ok(inspected.manifest().name.to_string().into())
}

fn archive(entries: &[Value]) -> Vec<u8> {
    let mut archive = Vec::new();
    for entry in entries {
        let text = |key: &str| entry[key].as_str().unwrap_or_default();
        let (kind, mode) = match text("type") {
            "file" => (tar::EntryType::Regular, 0o644),
            "dir" => (tar::EntryType::Directory, 0o755),
            "symlink" => (tar::EntryType::Symlink, 0o777),
            "hardlink" => (tar::EntryType::Link, 0o644),
            "char" => (tar::EntryType::Char, 0o644),
            "block" => (tar::EntryType::Block, 0o644),
            "fifo" => (tar::EntryType::Fifo, 0o644),
            other => panic!("a kind of entry that the suite did not have: {other}"),
        };
        let data = text("data").as_bytes();
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..text("name").len()].copy_from_slice(text("name").as_bytes());
        header.as_mut_bytes()[157..][..text("link").len()].copy_from_slice(text("link").as_bytes());
        header.set_entry_type(kind);
        header.set_mode(entry["mode"].as_u64().and_then(|m| u32::try_from(m).ok()).unwrap_or(mode));
        header.set_size(data.len() as u64);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        if matches!(text("type"), "char" | "block") {
            // A device that is no whiteout of an overlay.
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(data);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}
