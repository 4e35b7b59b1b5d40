//! Refusals about images that were deleted or withdrawn.

use super::ApiError;
use super::refusal::{Parts, SEE_PAGE, parts};

impl ApiError {
    pub(super) fn about_withdrawal(&self) -> Parts {
        match self {
            Self::BlobDeleted(id) => parts(
                "image-deleted",
                "the ID of a published image",
                format!("{id}, which was published once, and deleted"),
                "what was deleted does not come back under its name and labels",
                SEE_PAGE,
            ),
            Self::ImageReplaced(id) => parts(
                "image-replaced",
                "an image that is still there",
                format!("{id}, which is no longer: its name and labels are another's"),
                "below a prefix that allows overwriting, the last push counts",
                "push it again, if it is to be what its name and labels mean",
            ),
            Self::ImageDeleted(reference) => parts(
                "image-deleted",
                "a name and labels of a published image",
                format!("{reference}, which was published once, and deleted"),
                "what was deleted does not come back under its name and labels",
                SEE_PAGE,
            ),
            Self::ImageYanked(reference) => parts(
                "image-yanked",
                "an image that its author stands by",
                format!("{reference}, which only withdrawn images match"),
                "a withdrawn image is no longer the newest; by its version or ID it is still there",
                "ask for the version that you want; the name's page lists them, and why each was \
                 withdrawn",
            ),
            Self::YankMalformed(_) => parts(
                "yank-malformed",
                "a statement as `gantry yank` makes it",
                self.to_string(),
                "a statement is JSON, of known fields alone",
                "make it with `gantry yank`",
            ),
            Self::YankOfAnother { wanted, found } => parts(
                "yank-of-another",
                wanted.clone(),
                found.clone(),
                "a statement is about the image that it names, by name and ID",
                "send it to the path of that image",
            ),
            Self::YankStale => parts(
                "yank-stale",
                "a statement later than the last one about this image",
                "one that was issued before, or at the same moment",
                "the latest statement counts, and none is said twice",
                "make a new one; where it is new, check the clock of the machine that made it",
            ),
            _ => parts(
                "yank-unknown",
                "an image about which its author has said something",
                "one about which nothing was said",
                "what an author says is handed out as it was signed",
                SEE_PAGE,
            ),
        }
    }
}
