//! What the document of the API says of every file.

use std::collections::BTreeMap;

use utoipa::openapi::{Content, RefOr, Response, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses};

use crate::document::text_header;

/// The headers that ask for a part, or for news alone.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the document alone")]
pub(super) struct Conditions {
    /// Some of the file, also in several ranges (RFC 9110, 14.2).
    #[param(rename = "Range")]
    range: Option<String>,
    /// Only of this file (RFC 9110, 13.1.5).
    #[param(rename = "If-Range")]
    if_range: Option<String>,
    /// Only where it is none of these (RFC 9110, 13.1.2).
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
    /// Only where it is one of these (RFC 9110, 13.1.1).
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// Only where it is newer (RFC 9110, 13.1.3).
    #[param(rename = "If-Modified-Since")]
    if_modified_since: Option<String>,
    /// Only where it is not newer (RFC 9110, 13.1.4).
    #[param(rename = "If-Unmodified-Since")]
    if_unmodified_since: Option<String>,
}

/// What is answered where there is a file.
pub(super) struct FileAnswers;

impl IntoResponses for FileAnswers {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let file = ["application/octet-stream", "application/pgp-signature"];
        let parts = [file[0], file[1], "multipart/byteranges"];
        [
            ("200", "The file.", &file[..], HEADERS),
            ("206", "Some of it, in one part or several.", &parts[..], HEADERS),
            ("304", "The client has it.", &[], HEADERS),
            ("412", "It is not what the client has.", &[], HEADERS),
            ("416", "It has no such part.", &[], &[("Content-Range", "How many bytes it has.")]),
        ]
        .into_iter()
        .map(|(status, about, types, headers)| {
            let mut response = ResponseBuilder::new().description(about);
            for content_type in types {
                response = response.content(*content_type, Content::builder().build());
            }
            for (name, about) in headers {
                response = response.header(*name, text_header(about));
            }
            (status.to_owned(), response.build().into())
        })
        .collect()
    }
}

const HEADERS: &[(&str, &str)] = &[
    ("ETag", "The digest of the file."),
    ("Last-Modified", "When it was published."),
    ("Cache-Control", "By content, for ever; by name, ask each time."),
    ("Accept-Ranges", "`bytes`."),
    ("Content-Location", "The same file by content."),
    ("Gantry-Image-ID", "The image ID."),
    ("Gantry-Version", "The label `version`, where the image has one that a header can hold."),
    ("Gantry-Yanked", "Where the statement is by which its author has withdrawn it."),
];
