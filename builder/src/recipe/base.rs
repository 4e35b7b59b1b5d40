//! What a recipe begins with.

use aci::{ImageId, Reference};
use serde::Deserialize;

use super::fault::RecipeFault;
use super::metadata::SourceOwner;
use super::text::{Digest, SourcePath, Text};

/// What a recipe begins with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BaseFields")]
pub enum Base {
    /// An image that is fetched and verified.
    Image {
        /// Which.
        reference: Reference,
        /// The ID it has to have.
        id: Option<ImageId>,
    },
    /// An image file on disk.
    Aci {
        /// Where it is.
        file: SourcePath,
        /// The ID it has to have.
        id: Option<ImageId>,
    },
    /// A root file system in an archive on disk.
    Tar {
        /// Where it is.
        file: SourcePath,
        /// The digest the file has to have.
        digest: Option<Digest>,
    },
    /// A root file system in a folder on disk.
    Directory {
        /// Where it is.
        path: SourcePath,
        /// Whose the files are.
        owner: SourceOwner,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct BaseFields {
    image: Option<Text<Reference>>,
    aci: Option<SourcePath>,
    tar: Option<SourcePath>,
    directory: Option<SourcePath>,
    id: Option<ImageId>,
    digest: Option<Digest>,
    owner: Option<SourceOwner>,
}

/// The keys of which one is given, each with the one that may stand beside it.
const KINDS: [(&str, &str); 4] =
    [("image", "id"), ("aci", "id"), ("tar", "digest"), ("directory", "owner")];

impl TryFrom<BaseFields> for Base {
    type Error = RecipeFault;

    fn try_from(fields: BaseFields) -> Result<Self, RecipeFault> {
        let given = [
            fields.image.is_some(),
            fields.aci.is_some(),
            fields.tar.is_some(),
            fields.directory.is_some(),
        ];
        let mut kinds = KINDS.iter().zip(given).filter(|(_, given)| *given).map(|(kind, _)| kind);
        let Some((kind, allowed)) = kinds.next() else {
            return Err(RecipeFault::OneOf(KINDS.iter().map(|(kind, _)| *kind).collect()));
        };
        if let Some((other, _)) = kinds.next() {
            return Err(RecipeFault::Both(kind, other));
        }
        let beside = [
            ("id", fields.id.is_some()),
            ("digest", fields.digest.is_some()),
            ("owner", fields.owner.is_some()),
        ];
        if let Some((key, _)) = beside.iter().find(|(key, given)| *given && key != allowed) {
            return Err(RecipeFault::Beside { key, beside: kind });
        }
        let owner = fields.owner.unwrap_or_default();
        match fields {
            BaseFields { image: Some(Text(reference)), id, .. } => {
                Ok(Self::Image { reference, id })
            }
            BaseFields { aci: Some(file), id, .. } => Ok(Self::Aci { file, id }),
            BaseFields { tar: Some(file), digest, .. } => Ok(Self::Tar { file, digest }),
            BaseFields { directory: Some(path), .. } => Ok(Self::Directory { path, owner }),
            _ => Err(RecipeFault::OneOf(KINDS.iter().map(|(kind, _)| *kind).collect())),
        }
    }
}
