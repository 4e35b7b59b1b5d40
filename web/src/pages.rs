//! The contexts of the pages, and how each is rendered.

use aci::{FileDigest, ImageId, Labels, Name};
use askama::Template;

use crate::RenderError;
use crate::discovery::{Discovery, MetaTag};
use crate::domain::Domain;
use crate::text::{fetch_reference, shell_word, visible};

/// The home page: what is served here.
#[derive(Debug, Clone)]
pub struct HomePage {
    /// The meta tags.
    pub discovery: Discovery,
    /// The domains whose images are listed.
    pub domains: Vec<Domain>,
    /// The names, in alphabetical order.
    pub names: Vec<NameEntry>,
    /// The last name of this page, where more follow.
    pub more_after: Option<Name>,
}

/// One name in a list.
#[derive(Debug, Clone)]
pub struct NameEntry {
    /// The name.
    pub name: Name,
    /// Where its page is: a path on this server.
    pub href: String,
    /// How many images it has.
    pub images: u64,
    /// The day of the newest push: `2026-11-03`.
    pub pushed: String,
}

/// The page of one name: its images, and the names below it.
#[derive(Debug, Clone)]
pub struct NamePage {
    /// The meta tags.
    pub discovery: Discovery,
    /// The name.
    pub name: Name,
    /// Its images, newest version first.
    pub images: Vec<ImageEntry>,
    /// How many images the list leaves out.
    pub left_out: u64,
    /// The names below it.
    pub children: Vec<NameEntry>,
    /// The last of these, where more follow.
    pub more_after: Option<Name>,
}

/// One image on the page of its name.
#[derive(Debug, Clone)]
pub struct ImageEntry {
    /// All its labels.
    pub labels: Labels,
    /// Its image ID.
    pub image_id: ImageId,
    /// SHA-512 of the image file.
    pub file_digest: FileDigest,
    /// Bytes of the image file.
    pub file_bytes: u64,
    /// Fingerprint of the key whose signature was accepted.
    pub signer: String,
    /// The day it was pushed: `2026-11-03`.
    pub pushed: String,
    /// Why its author has withdrawn it, where it was; empty where no reason was given.
    pub withdrawn: Option<String>,
}

/// What stands above an image.
enum Heading {
    /// Its version, as its author wrote it.
    Version(String),
    /// Words of ours, in the place of a version that cannot be shown.
    Words(&'static str),
}

/// What a person sees instead of a page. It has no meta tags.
#[derive(Debug, Clone)]
pub struct ErrorPage {
    /// The HTTP status.
    pub status: u16,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub next: String,
}

impl HomePage {
    /// The page as HTML.
    pub fn render(&self) -> Result<String, RenderError> {
        Ok(HomeTemplate { tags: &self.discovery.tags(), page: self }.render()?)
    }

    fn title(&self) -> String {
        self.domains.iter().map(Domain::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl NamePage {
    /// The page as HTML.
    pub fn render(&self) -> Result<String, RenderError> {
        Ok(NameTemplate { tags: &self.discovery.tags(), page: self }.render()?)
    }

    /// The parents of the name that have a page, from the top: text and path.
    fn crumbs(&self) -> Vec<(String, String)> {
        let mut crumbs: Vec<_> = self
            .name
            .ancestors()
            .skip(1)
            .map(|parent| (parent.last_segment().to_owned(), format!("/{}", parent.path())))
            .collect();
        crumbs.reverse();
        crumbs
    }

    /// Whether its name alone, without a version, leads to an image.
    fn has_newest(&self) -> bool {
        self.left_out > 0 || self.images.iter().any(|image| image.withdrawn.is_none())
    }

    /// What this very image is fetched by, fit for a shell: its name and labels, or its own URL
    /// where these could mean another.
    fn source(&self, image: &ImageEntry) -> String {
        let reference = fetch_reference(&self.name, &image.labels);
        let source = reference.filter(|_| self.is_meant(image)).unwrap_or_else(|| {
            format!("https://{}/-/blobs/{}.aci", self.name.host(), image.image_id)
        });
        shell_word(&source)
    }

    /// Whether its labels mean this image and no other, whoever asks: what they do not say of `os` and
    /// `arch` is taken from the machine that fetches.
    fn is_meant(&self, image: &ImageEntry) -> bool {
        let also = |other: &ImageEntry| match image.has_platform() {
            true => image.labels.first_mismatch(&other.labels).is_none(),
            false => image.labels.value("version") == other.labels.value("version"),
        };
        let others = self.images.iter().filter(|other| other.image_id != image.image_id);
        (image.has_platform() || self.left_out == 0) && !others.into_iter().any(also)
    }

    /// The keys that signed the images of this page, each once.
    fn signers(&self) -> Vec<&str> {
        let mut all: Vec<_> = self.images.iter().map(|image| image.signer.as_str()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl ImageEntry {
    fn has_platform(&self) -> bool {
        ["os", "arch"].iter().all(|label| self.labels.value(label).is_some())
    }

    /// What stands above it: its version, or how it lacks one.
    fn heading(&self) -> Heading {
        match self.labels.value("version") {
            None => Heading::Words("no version"),
            Some("") => Heading::Words("an empty version"),
            Some(version) if version.trim().is_empty() => Heading::Words("a version of blanks"),
            Some(version) => Heading::Version(visible(version)),
        }
    }

    fn other_labels(&self) -> Vec<(String, String)> {
        let rest = self.labels.without("version");
        rest.iter().map(|l| (l.name.to_string(), visible(&l.value))).collect()
    }

    fn size(&self) -> String {
        human(self.file_bytes)
    }
}

impl ErrorPage {
    /// The page as HTML.
    pub fn render(&self) -> Result<String, RenderError> {
        Ok(ErrorTemplate { tags: &[], page: self }.render()?)
    }
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomeTemplate<'a> {
    tags: &'a [MetaTag],
    page: &'a HomePage,
}

#[derive(Template)]
#[template(path = "name.html")]
struct NameTemplate<'a> {
    tags: &'a [MetaTag],
    page: &'a NamePage,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorTemplate<'a> {
    tags: &'a [MetaTag],
    page: &'a ErrorPage,
}

/// Bytes in the unit a person would use: `17.3 MiB`.
fn human(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in UNITS {
        if bytes >= unit {
            // Tenths, cut off: exact to any size, and never more than is there.
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    if bytes == 1 { "1 byte".to_owned() } else { format!("{bytes} bytes") }
}

#[cfg(test)]
mod tests;
