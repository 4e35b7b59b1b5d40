//! What each refusal says: wanted, found, rule, next.

use aci::{Refusal, Refuse};

use super::{ApiError, listed};
use crate::access::JobFault;
use crate::pages::day;

/// How a client finds what there is.
pub(super) const SEE_PAGE: &str =
    "open the name's page on this host in a browser: it lists every image with its labels";
const SIGN: &str = "sign again: `gantry sign FILE`, or `gpg --armor --detach-sign FILE`";
const NEW_TOKEN: &str = "ask the registry's administrator for a token: `gantry registry token create --prefix PREFIX --allow push` makes one for pushing, `--allow read` one for fetching";

/// How many images are named that a reference could mean.
const NAMED: usize = 16;

/// The first of them, and how many more there are.
fn some(candidates: &[String]) -> String {
    let named = candidates.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
    match candidates.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// Code, wanted, found, rule, next.
pub(super) type Parts = (&'static str, String, String, &'static str, String);

pub(super) fn parts(
    code: &'static str,
    wanted: impl Into<String>,
    found: impl Into<String>,
    rule: &'static str,
    next: impl Into<String>,
) -> Parts {
    (code, wanted.into(), found.into(), rule, next.into())
}

fn job_code(fault: &JobFault) -> &'static str {
    match fault {
        JobFault::Malformed => "job-malformed",
        JobFault::Issuer => "job-issuer",
        JobFault::Algorithm => "job-algorithm",
        JobFault::Key => "job-key",
        JobFault::Signature => "job-signature",
        JobFault::Expired => "job-expired",
        JobFault::Early => "job-early",
        JobFault::Audience => "job-audience",
        JobFault::Rule => "job-rule",
    }
}

impl Refuse for ApiError {
    fn refusal(&self) -> Refusal {
        let (code, wanted, found, rule, next) = match self {
            Self::Refused(refusal) | Self::TooLarge(refusal) => return (**refusal).clone(),
            Self::OneOfGroup { error, .. } => {
                let refusal = error.refusal();
                return Refusal { message: format!("{self}: {}", refusal.message), ..refusal };
            }
            Self::Unfit(unfit) => return unfit.refusal(),
            Self::Upload(error) => error.about(),
            Self::CredentialsMissing
            | Self::UserUnknown
            | Self::Job(_)
            | Self::TokenUnknown
            | Self::TokenExpired(_)
            | Self::TokenRevoked
            | Self::CredentialsEnded
            | Self::ActionMissing(_)
            | Self::OtherNames { .. } => self.about_caller(),
            Self::BlobDeleted(_)
            | Self::ImageReplaced(_)
            | Self::ImageDeleted(_)
            | Self::ImageYanked(_)
            | Self::YankMalformed(_)
            | Self::YankOfAnother { .. }
            | Self::YankStale
            | Self::YankUnknown(_) => self.about_withdrawal(),
            Self::NotServed { .. }
            | Self::LabelsTooLong { .. }
            | Self::UploadUnknown
            | Self::UploadIncomplete
            | Self::VersionExists { .. }
            | Self::VersionDeleted { .. }
            | Self::FileTooLarge { .. }
            | Self::BodyTooLarge { .. }
            | Self::SignatureMissing
            | Self::SignatureNotArmored
            | Self::Interrupted
            | Self::TooSlow => self.about_push(),
            _ => self.about_request(),
        };
        let message = self.to_string();
        Refusal { code: code.to_owned(), message, wanted, found, rule: rule.to_owned(), next }
    }
}

impl ApiError {
    fn about_caller(&self) -> Parts {
        match self {
            Self::TokenUnknown => parts(
                "token-unknown",
                "a token this registry has given out",
                "a token it does not know",
                "a registry knows the tokens that it has made, and no others",
                NEW_TOKEN,
            ),
            Self::TokenExpired(when) => parts(
                "token-expired",
                "a token that is still good",
                format!("a token that was good until {}", day(*when)),
                "a token is good until the time given when it was made",
                NEW_TOKEN,
            ),
            Self::TokenRevoked => parts(
                "token-revoked",
                "a token that is still good",
                "a token that was revoked",
                "a revoked token never works again",
                NEW_TOKEN,
            ),
            Self::UserUnknown => parts(
                "user-unknown",
                "a user of this registry and the user's password, or a token as the password",
                "another user or password",
                "whether a user exists is not told to who does not know the password",
                "check both; the registry's administrator sets a password: `gantry registry user passwd NAME`",
            ),
            Self::Job(fault) => parts(
                job_code(fault),
                "an ID token that a rule of this registry is for",
                format!("one that is not taken: {fault}"),
                "a job is who its issuer says, in a token made for this registry",
                "check the audience and the claims that the CI system puts into the token; the \
                 registry's administrator adds a rule: `gantry registry oidc add`",
            ),
            Self::CredentialsEnded => parts(
                "credentials-ended",
                "a token, a user or a job that is known until the end of the request",
                "one that expired, was revoked or was changed in between",
                "what is given is asked for once more when something is changed",
                "ask again, with what is good now",
            ),
            Self::ActionMissing(action) => parts(
                "action-not-allowed",
                format!("a caller who may {action}"),
                "one who may not",
                "a token, a user or a job may do what it was made for and no more",
                "ask the registry's administrator: `--allow` says what is allowed when one is made",
            ),
            Self::OtherNames { prefixes, name } => parts(
                "name-not-allowed",
                format!("a name at or under {}", listed(prefixes)),
                name.to_string(),
                "what is allowed is so for the names under a prefix, by whole path segments",
                format!("ask with a token for {name}; or, of an image, give it another name"),
            ),
            _ => parts(
                "credentials-missing",
                "the header `Authorization: Bearer TOKEN`, or a user and a password, once",
                "no such header, or one that cannot be read",
                "this is not for everybody",
                format!(
                    "give the token with --token-file or GANTRY_TOKEN, or for fetching in auth.d; \
                     without one, {NEW_TOKEN}"
                ),
            ),
        }
    }

    fn about_push(&self) -> Parts {
        match self {
            Self::NotServed { name, domains } => parts(
                "domain-not-served",
                format!("a name under {domains}"),
                format!("{name}, the name in the image's manifest"),
                "a registry serves the names of its own domains only",
                format!(
                    "push to the registry of {}, or give the image a name under {domains}",
                    name.host()
                ),
            ),
            Self::LabelsTooLong { limit, found } => parts(
                "labels-too-long",
                format!("labels whose names and values have at most {limit} bytes together"),
                format!("{found} bytes"),
                "labels stand in headers and on pages; this registry's limit",
                "say it in an annotation, which may be longer",
            ),
            Self::VersionExists { reference, there, pushed } => parts(
                "version-exists",
                format!("a name and labels no other image has, or the image {there}"),
                format!("{reference} in the manifest of {pushed}"),
                "what was published under a name and labels never changes",
                "give the image another version and push that",
            ),
            Self::VersionDeleted { reference, there } => parts(
                "version-deleted",
                "a name and labels that no image ever had",
                format!("{reference}, which was {there} until that was deleted"),
                "what was published under a name and labels never becomes something else",
                "give the image another version and push that",
            ),
            Self::FileTooLarge { limit, found } => parts(
                "image-too-large",
                format!("an image file of at most {limit} bytes"),
                format!("{found} bytes"),
                "this registry's limit on image files",
                "make the image smaller, or ask the registry's administrator to raise the limit",
            ),
            Self::BodyTooLarge { what: "signature", limit } => parts(
                "signature-too-large",
                format!("a signature of at most {limit} bytes"),
                "more",
                "a signature is detached: the image is not in it",
                SIGN,
            ),
            Self::BodyTooLarge { what, limit } => parts(
                "request-too-large",
                format!("a {what} of at most {limit} bytes"),
                "more",
                "this registry's limit on it",
                format!(
                    "send a smaller {what}, or ask the registry's administrator to raise the limit"
                ),
            ),
            Self::SignatureMissing => parts(
                "signature-missing",
                "a detached signature, before the image",
                "none that was taken",
                "an image is checked with its signature while it arrives",
                "send the signature, then the image",
            ),
            Self::SignatureNotArmored => parts(
                "signature-not-armored",
                "-----BEGIN PGP SIGNATURE-----",
                "a binary signature",
                "signatures are served as they were pushed, as ASCII-armored .asc files (discovery.md)",
                SIGN,
            ),
            Self::UploadIncomplete => parts(
                "upload-incomplete",
                "a signature and an image before the end of an upload",
                "an end without an image",
                "an upload is complete when its image was verified",
                "push again",
            ),
            Self::Interrupted => parts(
                "upload-interrupted",
                "all of it",
                "an upload that ended early",
                "an image is published whole or not; what came of one whose size was announced is held for a day",
                "push again: `gantry push` goes on where it broke off",
            ),
            Self::TooSlow => parts(
                "upload-too-slow",
                "a request that arrives at this registry's least rate, or recovers soon",
                "one that stayed below it for too long",
                "who sends slowly holds a place that others wait for",
                "push again over a better connection",
            ),
            _ => parts(
                "upload-unknown",
                "the ID of an upload this caller opened in the last 24 hours",
                "an ID that is not, or of another caller",
                "an upload belongs to who opened it",
                "push again from the start: `gantry push` opens a new upload",
            ),
        }
    }

    fn about_request(&self) -> Parts {
        match self {
            Self::RequestMalformed { wanted, found } => parts(
                "request-malformed",
                *wanted,
                found.clone(),
                "the API, as the registry's documentation has it",
                "use a client that speaks it, such as `gantry push` or `gantry registry`",
            ),
            Self::ReferenceMalformed(error) => parts(
                "reference-malformed",
                "NAME[:VERSION][,LABEL=VALUE…].aci or .aci.asc",
                error.to_string(),
                "the image reference of the App Container specification (discovery.md)",
                SEE_PAGE,
            ),
            Self::NameUnknown(name) => parts(
                "name-unknown",
                "a name at or above a published image's",
                name.to_string(),
                "a name has a page once an image at or below it is published",
                "look for it on the home page, at /",
            ),
            Self::ImageUnknown(reference) => parts(
                "image-unknown",
                "a name and labels of a published image",
                format!("{reference}, which no image matches"),
                "every label asked for must be a label of the image (discovery.md)",
                SEE_PAGE,
            ),
            Self::ImageAmbiguous { candidates, .. } => parts(
                "image-ambiguous",
                "labels that only one image has",
                format!("labels that fit each of: {}", some(candidates)),
                "the registry does not choose between images that differ in labels nobody asked for",
                "name the labels that tell them apart, such as os and arch",
            ),
            Self::BlobUnknown(id) => parts(
                "image-unknown",
                "the ID of a published image",
                id.to_string(),
                "images are found by the ID of their content, whole",
                SEE_PAGE,
            ),
            Self::KeysUnknown(name) => parts(
                "keys-unknown",
                "a prefix with a key of its own or of a parent",
                format!("{name}, for which no key is known"),
                "a registry serves the keys its administrator added",
                "`gantry registry keys add --prefix PREFIX FILE` adds one",
            ),
            Self::HostMalformed(found) => parts(
                "host-malformed",
                "one host: in the URL, or in one Host header",
                *found,
                "RFC 9112, 3.2, and RFC 9113, 8.3.1",
                "use a client that speaks HTTP as they say",
            ),
            Self::Misdirected { host, domains } => parts(
                "host-not-served",
                domains.clone(),
                host.clone(),
                "a registry answers for its own domains and for localhost (RFC 9110, 15.5.20)",
                "ask by one of its domains, or start the registry with this one as --domain",
            ),
            Self::OtherSite(from) => parts(
                "other-site",
                "a request of a program, or of a page of this registry's",
                format!("one of a browser, from {from}"),
                "a browser sends the password it knows whoever's page has it ask (Fetch Metadata; RFC 6454)",
                "use a program, as `gantry push`, which says neither Origin nor Sec-Fetch-Site",
            ),
            Self::MetricsForbidden(peer) => parts(
                "metrics-forbidden",
                "a reader on the registry's own machine, or at an address it was told",
                peer.to_string(),
                "what a registry counts is for those who keep it",
                "ask from there, or give the registry this address as one that may",
            ),
            Self::UrlTooLong { limit, found } => parts(
                "url-too-long",
                format!("a URL of at most {limit} bytes"),
                format!("{found} bytes"),
                "this registry's limit on URLs; no image name comes near it",
                "check the URL",
            ),
            Self::PlainHttp(peer) => parts(
                "plain-http",
                "HTTPS, or a request by way of a trusted proxy",
                format!("HTTP from {peer}"),
                "without TLS, a registry answers its own proxies, or this machine where it has none",
                "ask for the same by https://; an administrator names proxies in `trusted-proxies`",
            ),
            Self::MethodUnknown(method) => parts(
                "method-not-allowed",
                "a method this path has",
                method.clone(),
                "RFC 9110, 15.5.6",
                "use GET for files and pages",
            ),
            Self::MediaType { found } => parts(
                "media-type",
                "the header `Content-Type: application/json`",
                if found.is_empty() { "no such header" } else { found },
                "a form of a foreign page, sent by a browser that knows a password, cannot say so",
                "send JSON, and say that it is",
            ),
            Self::Occupied => parts(
                "occupied",
                "nobody else who removes images or files",
                "a node, or a command, that is at it",
                "one at a time does this",
                "try again in a minute",
            ),
            Self::Busy => parts(
                "busy",
                "the image's files to be kept",
                "the same files, which are being removed",
                "what is being removed is kept again only once it is gone",
                "push again in a minute",
            ),
            Self::QuotaExceeded { quota, images, bytes, .. } => parts(
                "quota-exceeded",
                quota.clone(),
                format!("{bytes} bytes and {images} images, with what was pushed"),
                "what there may be below a prefix is set by the registry's administrator",
                "delete images that nobody needs, or ask the registry's administrator for more",
            ),
            Self::ReadOnly => parts(
                "read-only",
                "a registry that takes images in",
                "one that was told not to, for a while",
                "its administrator has made it read-only; what is published is served",
                "try again in a minute or more",
            ),
            Self::FileLost => parts(
                "file-lost",
                "the file as it was published",
                "none, or one that is damaged",
                "what is served is what was signed, and nothing else",
                "push the same image again, which brings it back; or tell the registry's administrator",
            ),
            Self::IssuerDown(_) => parts(
                "issuer-down",
                "the keys of the ID token's issuer",
                "no answer that could be used; the registry's log has the details",
                "an ID token is checked with the keys that its issuer publishes",
                "try again in a minute; if it stays, tell the registry's administrator",
            ),
            Self::TooManyRequests(wait) => parts(
                "too-many-requests",
                "requests at this registry's pace",
                "more in a short time",
                "so many requests of one address, and of one caller, are answered in a second",
                format!("ask again in {} s", wait.as_secs() + 1),
            ),
            Self::TooManyFailures(wait) => parts(
                "too-many-failures",
                "a password after some time",
                "one soon after others from this address that were wrong",
                "each wrong password makes the next one wait longer",
                format!("check the password, and try again in {} s", wait.as_secs() + 1),
            ),
            Self::TooManyLogins => parts(
                "too-many-logins",
                "a turn for comparing a password",
                "more passwords to compare than this registry can in some seconds",
                "a password is compared at a cost, and few at a time",
                "try again in a minute; a token costs nothing to compare",
            ),
            Self::StorageFull(_) => parts(
                "storage-full",
                "room for the image",
                "a full disk",
                "nothing is kept of an image that could not be stored whole",
                "tell the registry's administrator, and push again later",
            ),
            Self::Internal(_) => parts(
                "internal",
                "an answer",
                "a fault of the registry's own; its log has the details",
                "faults are not shown to clients",
                "try again; if it stays, tell the registry's administrator",
            ),
            _ => parts(
                "path-unknown",
                "a path of this registry",
                "another one",
                "reserved paths begin with /-/, all others are image names",
                "see the home page at /",
            ),
        }
    }
}
