//! What these tests share: images of trees, and documents as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use aci::archive::Compression;
use builder::sbom::{Sbom, SbomLimits, SbomOptions};
use builder::{Ignore, Overrides, Owner, PackOptions};
use serde_json::Value;

const MANIFEST: &[u8] = br#"{"acKind": "ImageManifest", "acVersion": "0.8.11",
    "name": "example.com/system", "labels": [{"name": "version", "value": "1"}]}"#;

/// What a tree holds, packed and read back.
pub(crate) struct Document {
    pub(crate) sbom: Sbom,
    json: Value,
}

impl Document {
    /// Of a tree, which must be read without a warning.
    pub(crate) fn of(root: &Path) -> Self {
        let mut image = Vec::new();
        let options = PackOptions {
            rootfs: root,
            manifest: MANIFEST,
            owner: &Owner::Fixed { uid: 0, gid: 0 },
            overrides: &Overrides(Vec::new()),
            recorded: None,
            ignore: &Ignore::default(),
            keeps_ignore_file: false,
            source_date_epoch: Some(0),
            skip_sockets: true,
            one_file_system: true,
            compression: Compression::Gzip,
            threads: NonZeroUsize::MIN,
            kept: None,
            file_digest: true,
            progress: &(),
        };
        builder::pack(&mut image, &options).unwrap();
        let options = SbomOptions { created: 0.try_into().unwrap(), files: true };
        let limits = SbomLimits::default();
        let sbom = Sbom::of_image(image.as_slice(), &limits, &options).unwrap();
        assert_eq!(sbom.warnings(), []);
        let json = serde_json::from_slice(&sbom.to_json().unwrap()).unwrap();
        Self { sbom, json }
    }

    fn list(&self, name: &str) -> &[Value] {
        self.json[name].as_array().unwrap()
    }

    /// Name and version of each package, `name version`, without the image itself.
    pub(crate) fn versions(&self) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let described =
            |one: &Value| format!("{} {}", text(&one["name"]), text(&one["versionInfo"]));
        let mut all: Vec<String> = self.list("packages")[1..].iter().map(described).collect();
        all.sort();
        all
    }

    pub(crate) fn package(&self, name: &str) -> &Value {
        self.list("packages").iter().find(|package| package["name"] == name).unwrap()
    }

    pub(crate) fn purl(&self, name: &str) -> &str {
        self.package(name)["externalRefs"][0]["referenceLocator"].as_str().unwrap()
    }

    /// The paths of a package's files.
    pub(crate) fn files_of(&self, name: &str) -> BTreeSet<&str> {
        let files = self.list("files").iter();
        let paths: BTreeMap<_, _> =
            files.map(|file| (file["SPDXID"].as_str(), file["fileName"].as_str())).collect();
        let id = &self.package(name)["SPDXID"];
        let relations = self.list("relationships").iter();
        relations
            .filter(|one| one["spdxElementId"] == *id && one["relationshipType"] == "CONTAINS")
            .filter_map(|one| paths.get(&one["relatedSpdxElement"].as_str()).copied().flatten())
            .collect()
    }

    /// The digest of a file by this algorithm.
    pub(crate) fn digest(&self, path: &str, algorithm: &str) -> &str {
        let file = self.list("files").iter().find(|file| file["fileName"] == path).unwrap();
        let mut checksums = file["checksums"].as_array().unwrap().iter();
        let checksum = checksums.find(|checksum| checksum["algorithm"] == algorithm).unwrap();
        checksum["checksumValue"].as_str().unwrap()
    }
}

/// Whether all of these tools can be called; if not, says so.
pub(crate) fn there(tools: &[&str]) -> bool {
    let missing = tools.iter().find(|tool| Command::new(tool).arg("--version").output().is_err());
    if let Some(missing) = missing {
        println!("skipped: {missing} is not installed");
    }
    missing.is_none()
}

/// What a command that must succeed has printed.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Copies a file of this machine to the same place in a tree.
pub(crate) fn copy(from: &str, root: &Path) {
    let to = root.join(from.trim_start_matches('/'));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

pub(crate) fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}
