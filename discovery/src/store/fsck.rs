//! Reading the whole store again: every file of it against what its name or its record says.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use aci::ImageId;
use aci::archive::{IndexSeal, InspectedImage, inspect_indexed};
use aci::stage::{self, Existing, Hold, StagedFile};
use serde::Serialize;

use super::fold::{ImageFile, UNFOLDABLE_FILE, is_folded};
use super::gc::{needed, remove_file};
use super::import::record_of;
use super::objects::{OBJECTS_LOCK, ObjectName, digest_of};
use super::read::entries;
use super::{
    IMAGE_FILE, INDEX_FILE, MANIFEST_FILE, RECORD_FILE, SIGNATURE_FILE, SKELETON_FILE, USED_FILE,
};
use super::{Origin, Record, Store, StoreError, judged};
use crate::fetch::Trust;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// A stable word: `archive-damaged`, `record-damaged`, `manifest-damaged`,
    /// `signature-absent`, `index-damaged`, `object-damaged`, `unknown-file`.
    pub code: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
    /// Whether it was put right.
    pub repaired: bool,
}

/// What was looked at, and what was found.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fsck {
    /// Images that were read.
    pub images: u64,
    /// Objects that were read.
    pub objects: u64,
    /// Objects that no image needs: `image gc` removes them.
    pub unused_objects: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Fsck {
    /// Whether nothing is wrong, or nothing any more.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.repaired)
    }
}

/// How to put things right.
#[derive(Debug, Clone, Copy)]
pub struct Rebuild<'a> {
    /// Who is trusted: a record is made again only of an image that passes.
    pub trust: &'a Trust,
    /// The time that is now.
    pub now: SystemTime,
}

/// Reads every file of the store. With `rebuild`, makes again what can be made: indexes and
/// records from their images; damaged objects are removed, and come back with the next rendering.
/// A damaged image is only told. Whether signatures are good is for [`verify`](super::verify).
pub fn fsck(store: &Store, rebuild: Option<Rebuild<'_>>) -> Result<Fsck, StoreError> {
    let mut fsck = Fsck::default();
    for shard in entries(&store.images())? {
        let folder = store.images().join(&shard);
        for name in entries(&folder)? {
            match format!("sha512-{name}").parse::<ImageId>() {
                Ok(id) if name.starts_with(&shard) => {
                    fsck.images += 1;
                    Image { store, id, rebuild, findings: &mut fsck.findings }.check()?;
                }
                _ => fsck.unknown(folder.join(name)),
            }
        }
    }
    check_objects(store, rebuild.is_some(), &mut fsck)?;
    Ok(fsck)
}

impl Fsck {
    fn unknown(&mut self, path: PathBuf) {
        let what = "it is no file of the store".to_owned();
        self.findings.push(Finding { code: "unknown-file", path, what, repaired: false });
    }
}

/// One image while it is looked at.
struct Image<'a> {
    store: &'a Store,
    id: ImageId,
    rebuild: Option<Rebuild<'a>>,
    findings: &'a mut Vec<Finding>,
}

impl Image<'_> {
    fn check(mut self) -> Result<(), StoreError> {
        let hold = if self.rebuild.is_some() { Hold::Exclusive } else { Hold::Shared };
        let _lock = self.store.lock(&self.id, hold)?;
        // Removed since it was listed.
        if !self.path("").is_dir() {
            return Ok(());
        }
        let known = [
            IMAGE_FILE,
            SKELETON_FILE,
            UNFOLDABLE_FILE,
            SIGNATURE_FILE,
            MANIFEST_FILE,
            RECORD_FILE,
            INDEX_FILE,
            USED_FILE,
        ];
        for name in entries(&self.path(""))? {
            if !known.contains(&name.as_str()) {
                self.find("unknown-file", &name, "it is no file of an image", false);
            }
        }
        if fs::metadata(self.path(SIGNATURE_FILE)).map_or(0, |found| found.len()) == 0 {
            self.find("signature-absent", SIGNATURE_FILE, "there is no signature", false);
        }
        let Some((found, seal)) = self.check_archive()? else { return Ok(()) };
        self.check_manifest(&found)?;
        self.check_record(&found, seal)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.store.image_folder(&self.id).join(name)
    }

    fn find(&mut self, code: &'static str, name: &str, what: impl ToString, repaired: bool) {
        let (path, what) = (self.path(name), what.to_string());
        self.findings.push(Finding { code, path, what, repaired });
    }

    /// Reads the archive; makes its index on the way and compares it with the one that is there.
    fn check_archive(&mut self) -> Result<Option<(InspectedImage, IndexSeal)>, StoreError> {
        let (path, folder) = (self.path(INDEX_FILE), self.path(""));
        let mut index = StagedFile::new_in(&self.store.root().join("staging"), 0o644)
            .or_else(|_| StagedFile::new_in(&folder, 0o644))
            .map_err(StoreError::io("create a file in", &folder))?;
        let read = self
            .open_file()
            .map_err(aci::archive::ArchiveError::from)
            .and_then(|file| inspect_indexed(file, &judged(), io::BufWriter::new(&mut index)));
        let (found, seal) = match read {
            Err(error) => {
                self.find("archive-damaged", IMAGE_FILE, error, false);
                return Ok(None);
            }
            Ok(read) => read,
        };
        if found.image_id() != &self.id {
            let what = format!("it is the image {}", found.image_id());
            self.find("archive-damaged", IMAGE_FILE, what, false);
            return Ok(None);
        }
        let there = File::open(&path).and_then(digest_of);
        if there.as_ref().ok() != Some(&seal.digest) {
            let what = match there {
                Ok(digest) => format!("its digest is {digest}, not {}", seal.digest),
                Err(error) => error.to_string(),
            };
            if self.rebuild.is_some() {
                index.commit(&path, Existing::Replace).map_err(StoreError::io("write", &path))?;
            }
            self.find("index-damaged", INDEX_FILE, what, self.rebuild.is_some());
        }
        Ok(Some((found, seal)))
    }

    /// The image's file. That of a folded image is put together as its record says.
    fn open_file(&self) -> io::Result<ImageFile> {
        if !is_folded(self.store, &self.id) {
            return ImageFile::open_whole(&self.path(IMAGE_FILE));
        }
        let record = self.store.record(&self.id).map_err(io::Error::other)?;
        let record = record.ok_or(io::ErrorKind::NotFound)?;
        ImageFile::open(self.store, &record)
    }

    fn check_manifest(&mut self, found: &InspectedImage) -> Result<(), StoreError> {
        let path = self.path(MANIFEST_FILE);
        if fs::read(&path).is_ok_and(|bytes| bytes == found.manifest_bytes()) {
            return Ok(());
        }
        if self.rebuild.is_some() {
            stage::write(&path, found.manifest_bytes(), 0o644, Existing::Replace)
                .map_err(StoreError::io("write", &path))?;
        }
        let what = "it is not the manifest in the image";
        self.find("manifest-damaged", MANIFEST_FILE, what, self.rebuild.is_some());
        Ok(())
    }

    fn check_record(&mut self, found: &InspectedImage, seal: IndexSeal) -> Result<(), StoreError> {
        let record = match self.store.record(&self.id) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(()),
            Err(error) => return self.make_record(&error.to_string()),
        };
        if record.file_digest != *found.file_digest() {
            let what = format!("its digest is {}, not the recorded one", found.file_digest());
            self.find("archive-damaged", IMAGE_FILE, what, false);
            return Ok(());
        }
        let manifest = found.manifest();
        let same = record.name == manifest.name
            && record.labels == manifest.labels
            && record.compression == found.compression()
            && (record.file_bytes, record.tar_bytes) == (found.file_bytes(), found.tar_bytes());
        if !same {
            return self.make_record("it does not say what the image is");
        }
        if record.index != Some(seal) {
            let what = "it does not name the image's index";
            if self.rebuild.is_some() {
                self.write_record(&Record { index: Some(seal), ..record })?;
            }
            self.find("index-damaged", RECORD_FILE, what, self.rebuild.is_some());
        }
        Ok(())
    }

    /// Makes a record again, if the image passes under today's trust.
    fn make_record(&mut self, what: &str) -> Result<(), StoreError> {
        let Some(Rebuild { trust, now }) = self.rebuild else {
            self.find("record-damaged", RECORD_FILE, what, false);
            return Ok(());
        };
        let path = self.path(IMAGE_FILE);
        let file = self.open_file().map_err(StoreError::io("open", &path))?;
        let signature = fs::read(self.path(SIGNATURE_FILE)).unwrap_or_default();
        let (keyring, policy) = (&trust.keyring, &trust.policy);
        let verified = keys::receive_indexed(
            file,
            io::sink(),
            io::sink(),
            &mut (),
            &signature,
            keyring,
            policy,
            &judged(),
        );
        let made = match &verified {
            Ok(verified) => match verified.index() {
                Some(seal) => record_of(verified, *seal, Origin::Rebuilt, now)?,
                None => return Ok(()),
            },
            Err(error) => {
                let what = format!("{what}; and the image does not pass: {error}");
                self.find("record-damaged", RECORD_FILE, what, false);
                return Ok(());
            }
        };
        self.write_record(&made)?;
        self.find("record-damaged", RECORD_FILE, what, true);
        Ok(())
    }

    fn write_record(&self, record: &Record) -> Result<(), StoreError> {
        let path = self.path(RECORD_FILE);
        let fault = || StoreError::io("write", &path);
        let mut text =
            serde_json::to_vec_pretty(record).map_err(io::Error::from).map_err(fault())?;
        text.push(b'\n');
        stage::write(&path, &text, 0o644, Existing::Replace).map_err(fault())
    }
}

/// Reads every object. Those that are damaged are removed where that is wanted.
fn check_objects(store: &Store, rebuild: bool, fsck: &mut Fsck) -> Result<(), StoreError> {
    let folder = store.objects();
    if !folder.is_dir() {
        return Ok(());
    }
    let hold = if rebuild { Hold::Exclusive } else { Hold::Shared };
    let _lock = store.named_lock(OBJECTS_LOCK, hold)?;
    let needed = needed(store, &HashSet::new())?.unwrap_or_default();
    for shard in entries(&folder)? {
        for name in entries(&folder.join(&shard))? {
            let path = folder.join(&shard).join(&name);
            let Some(object) = ObjectName::parse(&name).filter(|_| name.starts_with(&shard)) else {
                fsck.unknown(path);
                continue;
            };
            fsck.objects += 1;
            fsck.unused_objects += u64::from(!needed.contains(&object.digest));
            let fault = object.fault(&path).map_err(StoreError::io("read", &path))?;
            if let Some(what) = fault {
                if rebuild {
                    remove_file(&path)?;
                }
                let code = "object-damaged";
                fsck.findings.push(Finding { code, path, what, repaired: rebuild });
            }
        }
    }
    Ok(())
}
