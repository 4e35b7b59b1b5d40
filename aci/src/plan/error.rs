//! Everything that can be wrong with a set of images that are to be rendered together.

use crate::archive::PathBytes;
use crate::digest::ImageId;
use crate::refusal::{Refusal, Refuse};

/// Why an image cannot be rendered with its dependencies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No image has the name and the labels of a dependency.
    #[error("{by} depends on {wanted}, which none of the images is{}", near(.found))]
    Missing {
        /// The image with the dependency.
        by: String,
        /// Name and labels of the dependency.
        wanted: String,
        /// Images of that name with other labels.
        found: Vec<String>,
    },
    /// An image has the name and the labels of a dependency, but is not the one that is pinned.
    #[error("{by} depends on {wanted} with the image ID {pinned}, but its image ID is {found}")]
    ImageId {
        /// The image with the dependency.
        by: String,
        /// Name and labels of the dependency.
        wanted: String,
        /// The image ID that is asked for.
        pinned: ImageId,
        /// The image ID of the image that was found by name and labels.
        found: ImageId,
    },
    /// The file of a dependency has another size than it must have.
    #[error("{by} depends on {wanted} of {size} bytes, but its file has {found}")]
    Size {
        /// The image with the dependency.
        by: String,
        /// Name and labels of the dependency.
        wanted: String,
        /// The bytes that are asked for.
        size: u64,
        /// The bytes of the image's file.
        found: u64,
    },
    /// An image depends on itself.
    #[error("the dependencies go round in a circle: {}", .0.join(" → "))]
    Cycle(
        /// Names, from an image to itself.
        Vec<String>,
    ),
    /// A limit was passed.
    #[error("rendering {top} takes more than {allowed} {what}")]
    Limit {
        /// The image that is rendered.
        top: String,
        /// What there is too much of, with its unit.
        what: &'static str,
        /// The limit.
        allowed: u64,
    },
    /// One path twice in one image.
    #[error("{path} is in the archive of {image} twice")]
    Duplicate {
        /// The image.
        image: String,
        /// The path.
        path: PathBytes,
    },
    /// The root of an image's file system is something else than a directory.
    #[error("rootfs is not a directory in the archive of {image}")]
    Rootfs {
        /// The image.
        image: String,
    },
    /// A hard link to nothing, or to something no hard link may name.
    #[error("{path} of {image} is a hard link to {target}, which {fault}")]
    HardLink {
        /// The image.
        image: String,
        /// The link.
        path: PathBytes,
        /// Its target.
        target: PathBytes,
        /// What is wrong with the target.
        fault: &'static str,
    },
}

/// At most this many images are named in a message: a store may hold hundreds of versions.
const SHOWN: usize = 5;

fn near(found: &[String]) -> String {
    match found {
        [] => String::new(),
        _ if found.len() > SHOWN => {
            format!("; there are {} and {} more", found[..SHOWN].join(", "), found.len() - SHOWN)
        }
        _ => format!("; there is {}", found.join(", ")),
    }
}

impl Refuse for PlanError {
    fn refusal(&self) -> Refusal {
        use PlanError as E;
        const MATCHING: &str = "a dependency is found by its name and labels, and where it gives an \
            image ID or a size, those must be the image's too (spec: aci.md, Dependency Matching)";
        const ASK_AUTHOR: &str =
            "do not use this image; fetch it again, or ask its author for a sound one";
        let (code, wanted, rule, next) = match self {
            E::Missing { wanted, .. } => (
                "dependency-missing",
                wanted.clone(),
                MATCHING,
                "fetch the dependency, or correct its name and labels in the manifest",
            ),
            E::ImageId { pinned, .. } => (
                "dependency-image-id",
                pinned.to_string(),
                MATCHING,
                "fetch the image that is pinned, or ask the author for a build on the newer one",
            ),
            E::Size { size, .. } => (
                "dependency-size",
                format!("{size} bytes"),
                MATCHING,
                "fetch the dependency again, or correct its size in the manifest",
            ),
            E::Cycle(_) => (
                "dependency-cycle",
                "dependencies that form a tree, or meet again further down".to_owned(),
                "dependencies are a directed graph without circles (spec: ace.md, Filesystem Setup)",
                "remove one of these dependencies",
            ),
            E::Limit { allowed, what, .. } => (
                "dependencies-too-many",
                format!("at most {allowed} {what}"),
                "everything from outside has a limit",
                "merge images, or raise the limit where you trust their authors",
            ),
            E::Duplicate { .. } => (
                "image-duplicate",
                "each path once".to_owned(),
                "an archive has no duplicate entries (spec: aci.md, Image Archives)",
                ASK_AUTHOR,
            ),
            E::Rootfs { .. } => (
                "image-layout",
                "a directory \"rootfs\"".to_owned(),
                "an image has a directory \"rootfs\" (spec: aci.md, Image Archives)",
                ASK_AUTHOR,
            ),
            E::HardLink { .. } => (
                "image-hard-link",
                "hard links to earlier files of the same image".to_owned(),
                "no link of an image may lead out of it",
                ASK_AUTHOR,
            ),
        };
        Refusal {
            code: code.to_owned(),
            message: "the image cannot be rendered with its dependencies".to_owned(),
            wanted,
            found: self.to_string(),
            rule: rule.to_owned(),
            next: next.to_owned(),
        }
    }
}
