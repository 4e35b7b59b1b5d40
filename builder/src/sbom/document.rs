//! An inventory becomes an SPDX document.

use std::collections::BTreeMap;

use aci::archive::{InspectedImage, PathBytes};
use aci::manifest::Dependency;

use super::files::FileRecord;
use super::inventory::Inventory;
use super::license::License;
use super::package::Package;
use super::spdx::{self, Checksum, DOCUMENT, ExternalRef, IMAGE, Relationship};
use super::sums::{hex, token, verification_code};
use crate::utc_time::UtcTime;

/// The tool that makes the document, with its version.
const TOOL: &str = concat!("Tool: gantry-", env!("CARGO_PKG_VERSION"));

const IMAGE_COMMENT: &str = "The checksum is the image ID: SHA-512 of the uncompressed archive.";
const CODE_COMMENT: &str =
    " The verification code is that of all regular files of the image, those of packages too.";

const LICENSE_COMMENT: &str = "What the package says of its licence.";

pub(super) fn document(
    image: &InspectedImage,
    inventory: &Inventory,
    created: UtcTime,
) -> spdx::Document {
    let manifest = image.manifest();
    let version = manifest.labels.value("version");
    let dependencies = dependencies(&manifest.dependencies);
    let mut packages = vec![root(image, inventory)];
    let mut relationships = vec![related(DOCUMENT, "DESCRIBES", IMAGE)];
    for dependency in dependencies {
        relationships.push(related(IMAGE, "DEPENDS_ON", &dependency.id));
        packages.push(dependency);
    }
    relationships
        .extend(inventory.files_of_nobody().map(|file| related(IMAGE, "CONTAINS", &file_id(file))));
    let mut licenses = BTreeMap::new();
    for (at, package) in inventory.packages.iter().enumerate() {
        let described = described(inventory, at, package, &mut licenses);
        relationships.push(related(IMAGE, "CONTAINS", &described.id));
        relationships.extend(
            owned(inventory, at).map(|file| related(&described.id, "CONTAINS", &file_id(file))),
        );
        packages.push(described);
    }
    spdx::Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: DOCUMENT,
        name: version
            .map_or_else(|| manifest.name.to_string(), |text| format!("{}:{text}", manifest.name)),
        document_namespace: namespace(image, inventory),
        creation_info: spdx::CreationInfo {
            created: created.to_string(),
            creators: [TOOL.to_owned()],
        },
        packages,
        files: inventory.files().iter().map(file).collect(),
        has_extracted_licensing_infos: licenses.into_values().collect(),
        relationships,
        annotations: annotations(inventory, created),
    }
}

/// A name for the document that no other one has. It is no address: nobody can say what the
/// host of the image's name serves.
fn namespace(image: &InspectedImage, inventory: &Inventory) -> String {
    let content = if inventory.files.is_some() { "files" } else { "packages" };
    format!("urn:gantry:sbom:v1:{}:{}:{content}", image.manifest().name, image.image_id())
}

/// The image, which everything else is in.
fn root(image: &InspectedImage, inventory: &Inventory) -> spdx::Package {
    let manifest = image.manifest();
    let files = inventory.files();
    let code = (!files.is_empty()).then(|| code(files.iter()));
    let mut comment = IMAGE_COMMENT.to_owned();
    if code.is_some() {
        comment.push_str(CODE_COMMENT);
    }
    if !manifest.labels.is_empty() {
        comment.push_str(&format!(" Labels: {}", manifest.labels.canonical()));
    }
    spdx::Package {
        version_info: manifest.labels.value("version").map(ToOwned::to_owned),
        checksums: vec![sha512(image.image_id())],
        comment: Some(comment),
        primary_package_purpose: Some("CONTAINER"),
        ..spdx::Package::new(IMAGE.to_owned(), manifest.name.to_string()).analyzed(code)
    }
}

/// The images below this one, each once, in the order of their IDs.
fn dependencies(all: &[Dependency]) -> Vec<spdx::Package> {
    let dependency = |dependency: &Dependency| {
        let name = dependency.image_name.to_string();
        let labels = dependency.labels.canonical();
        let image_id = dependency.image_id.as_ref();
        let digits = image_id.map_or("", |id| id.digits());
        let unique = token(&[name.as_bytes(), labels.as_bytes(), digits.as_bytes()]);
        let id = format!("SPDXRef-Dependency-{}-{unique}", id_part(&name));
        let asked = (!labels.is_empty()).then(|| format!("An image with the labels {labels}."));
        let package = spdx::Package {
            version_info: dependency.labels.value("version").map(ToOwned::to_owned),
            checksums: image_id.map(sha512).into_iter().collect(),
            comment: asked,
            primary_package_purpose: Some("CONTAINER"),
            ..spdx::Package::new(id.clone(), name)
        };
        (id, package)
    };
    all.iter().map(dependency).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// A package of a distribution. Its licence is put into `licenses` where SPDX has no name for it.
fn described(
    inventory: &Inventory,
    at: usize,
    package: &Package,
    licenses: &mut BTreeMap<String, spdx::ExtractedLicense>,
) -> spdx::Package {
    let license = package.license.as_deref().map(|text| License::of(package.manager, text));
    let (license, references) = license
        .map_or_else(Default::default, |license| (Some(license.expression), license.references));
    for (id, text) in references {
        licenses.entry(id.clone()).or_insert_with(|| spdx::ExtractedLicense {
            license_id: id,
            extracted_text: text,
            comment: LICENSE_COMMENT,
        });
    }
    let has_files = !inventory.files_of(at).is_empty();
    let new = spdx::Package::new(package_id(package), package.name.clone());
    spdx::Package {
        version_info: Some(package.full_version()),
        supplier: package.supplier.as_ref().map(|supplier| supplier.spdx()),
        source_info: package.source.as_ref().map(|source| format!("built from {source}")),
        license_declared: license.unwrap_or_else(|| spdx::NO_ASSERTION.to_owned()),
        external_refs: vec![ExternalRef {
            reference_category: "PACKAGE-MANAGER",
            reference_type: "purl",
            reference_locator: package.purl(&inventory.system),
        }],
        ..new.analyzed(has_files.then(|| code(owned(inventory, at))))
    }
}

fn owned(inventory: &Inventory, package: usize) -> impl Iterator<Item = &FileRecord> {
    let files = inventory.files();
    inventory.files_of(package).iter().filter_map(|file| files.get(*file as usize))
}

fn code<'a>(files: impl Iterator<Item = &'a FileRecord>) -> String {
    verification_code(files.map(|file| file.sums.sha1))
}

fn file(record: &FileRecord) -> spdx::File {
    let checksum = |algorithm, digits| Checksum { algorithm, checksum_value: digits };
    spdx::File {
        id: file_id(record),
        file_name: format!("./{}", PathBytes::from(record.path.as_slice())),
        checksums: [
            checksum("SHA1", hex(&record.sums.sha1)),
            checksum("SHA256", hex(&record.sums.sha256)),
        ],
    }
}

fn file_id(file: &FileRecord) -> String {
    format!("SPDXRef-File-{}", token(&[&file.path]))
}

/// The name for whoever reads, and digits that no other package has.
fn package_id(package: &Package) -> String {
    let supplier = package.supplier.as_ref().map(|supplier| supplier.spdx());
    let kind = package.manager.purl_type();
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let unique = [
        package.name.clone(),
        package.full_version(),
        optional(&package.architecture),
        optional(&supplier),
        optional(&package.source),
        optional(&package.license),
    ];
    let unique: Vec<&[u8]> = unique.iter().map(String::as_bytes).collect();
    format!("SPDXRef-Package-{kind}-{}-{}", id_part(&package.name), token(&unique))
}

/// Letters, digits, dots and dashes: all that an ID may have.
fn id_part(name: &str) -> String {
    const LONGEST: usize = 64;
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    name.chars().map(allowed).take(LONGEST).collect()
}

fn sha512(id: &aci::ImageId) -> Checksum {
    Checksum { algorithm: "SHA512", checksum_value: id.digits().to_owned() }
}

fn related(element: &str, relation: &'static str, other: &str) -> Relationship {
    Relationship {
        spdx_element_id: element.to_owned(),
        relationship_type: relation,
        related_spdx_element: other.to_owned(),
    }
}

/// What is not in the document, said in the document.
fn annotations(inventory: &Inventory, created: UtcTime) -> Vec<spdx::Annotation> {
    let annotation = |warning: &super::SbomWarning| spdx::Annotation {
        annotation_date: created.to_string(),
        annotation_type: "OTHER",
        annotator: TOOL.to_owned(),
        comment: warning.to_string(),
    };
    inventory.warnings.iter().map(annotation).collect()
}
