//! The same for an image that is not an archive yet: a folder with `manifest` and `rootfs`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Severity, Validated, validate_manifest};
use crate::archive::{ArchiveError, Limited, PathBytes};
use crate::limits::Limits;
use crate::manifest::ImageManifest;

const LAYOUT: &str = "spec: aci.md, Image Layout";

/// Checks an image layout: that `manifest` and `rootfs` are there and nothing else is, and the
/// manifest. What is in the rootfs is judged when it is packed. An error is one of reading.
pub fn validate_layout(folder: &Path, limits: &Limits) -> io::Result<Validated> {
    let mut found = Validated::default();
    let mut others: Vec<_> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .filter(|name| name != "manifest" && name != "rootfs")
        .collect();
    others.sort();
    for name in others {
        let path = PathBytes::from(name.as_encoded_bytes());
        found.push(ArchiveError::TopLevel { path });
    }
    let rootfs = folder.join("rootfs");
    match rootfs.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            let message = "rootfs is no directory".to_owned();
            found.add(Severity::Error, "image-layout", message, LAYOUT);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            found.push(ArchiveError::Absent("rootfs"));
        }
        Err(error) => return Err(error),
    }
    let Some(bytes) = manifest(&folder.join("manifest"), limits, &mut found)? else {
        return Ok(found);
    };
    let (manifest, judged) = validate_manifest(&bytes);
    found.append(judged);
    if let Some(manifest) = manifest
        && manifest.dependencies.is_empty()
    {
        check_exec(&manifest, &rootfs, &mut found);
    }
    Ok(found)
}

/// The bytes of the file `manifest`, unless what is there cannot be one.
fn manifest(path: &Path, limits: &Limits, found: &mut Validated) -> io::Result<Option<Vec<u8>>> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => {
            let message = "manifest is no regular file".to_owned();
            found.add(Severity::Error, "image-layout", message, LAYOUT);
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            found.push(ArchiveError::Absent("manifest"));
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    let mut bytes = Vec::new();
    let allowed = limits.manifest_bytes;
    File::open(path)?.take(allowed.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > allowed {
        found.push(ArchiveError::Limit { what: Limited::ManifestBytes, allowed });
        return Ok(None);
    }
    Ok(Some(bytes))
}

/// Tells where the program is not in the rootfs. Where the kernel cannot say, nothing is told.
fn check_exec(manifest: &ImageManifest, rootfs: &Path, found: &mut Validated) {
    let Some(program) = manifest.app.as_ref().and_then(|app| app.exec.first()) else { return };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let Ok(root) = rustix::fs::open(rootfs, flags | OFlags::DIRECTORY, Mode::empty()) else {
        return;
    };
    if !program.starts_with('/') {
        return;
    }
    // Links are followed as a program in the image would: they cannot lead out of it.
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let opened = rustix::fs::openat2(&root, program.as_str(), flags, Mode::empty(), inside);
    if matches!(opened, Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) {
        let message = format!("exec runs {program}, which is not in the rootfs");
        found.warn("exec-absent", message, "spec: aci.md, app.exec");
    }
}
