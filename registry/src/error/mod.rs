//! The one error of the HTTP interface, and the one table of its statuses.
//!
//! A refusal tells everything to whoever may know it; a fault of the server's own
//! tells a constant text, and its detail goes to the log, once.

mod push;
mod refusal;
mod upload;
mod withdrawal;

use std::error::Error;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aci::push::ErrorBody;
use aci::{ImageId, Name, Reference, ReferenceError, Refusal, Refuse as _};
use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::access::{Action, JobFault};
use crate::admin::{AdminError, Unfit};
use crate::catalog::CatalogError;
use crate::connection::is_too_slow;
use crate::token::UploadId;
use crate::trace::Refused;

pub(crate) use upload::UploadError;

/// Why a request was not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("no token, user or password was given")]
    CredentialsMissing,
    #[error("there is no such user, or the password is another one")]
    UserUnknown,
    #[error("the ID token was not taken: {0}")]
    Job(#[from] JobFault),
    #[error("the issuer of the ID token could not be asked for its keys")]
    IssuerDown(#[source] Box<dyn Error + Send + Sync>),
    #[error("too many requests")]
    TooManyRequests(Duration),
    #[error("too many wrong passwords from this address")]
    TooManyFailures(Duration),
    #[error("too many passwords are being compared")]
    TooManyLogins,
    #[error("the token is not known here")]
    TokenUnknown,
    #[error("the token has expired")]
    TokenExpired(SystemTime),
    #[error("the token was revoked")]
    TokenRevoked,
    #[error("what was given stopped being good meanwhile")]
    CredentialsEnded,
    #[error("the caller may not {0}")]
    ActionMissing(Action),
    #[error("the caller may do so under {}, not for {name}", listed(.prefixes))]
    OtherNames { prefixes: Vec<Name>, name: Name },
    #[error("{name} is under no domain this registry serves")]
    NotServed { name: Name, domains: String },
    #[error("the labels of the image are longer than this registry takes")]
    LabelsTooLong { limit: usize, found: usize },
    #[error("no such upload is open for this caller")]
    UploadUnknown,
    #[error("the image has not arrived")]
    UploadIncomplete,
    #[error("{reference} is published already, as another image")]
    VersionExists { reference: Box<Reference>, there: ImageId, pushed: ImageId },
    #[error("{reference} was published once, and deleted")]
    VersionDeleted { reference: Box<Reference>, there: ImageId },
    #[error("the image file is larger than this registry takes")]
    FileTooLarge { limit: u64, found: u64 },
    #[error("the {what} is larger than this registry reads")]
    BodyTooLarge { what: &'static str, limit: u64 },
    #[error("the image came without a signature")]
    SignatureMissing,
    #[error("the signature is not ASCII-armored")]
    SignatureNotArmored,
    #[error("the request cannot be read: {found}")]
    RequestMalformed { wanted: &'static str, found: String },
    #[error("the request does not say that it is JSON")]
    MediaType { found: String },
    #[error(transparent)]
    ReferenceMalformed(#[from] ReferenceError),
    #[error("the upload stopped arriving before its end")]
    Interrupted,
    #[error("the request arrived too slowly")]
    TooSlow,
    #[error("the URL is longer than this registry reads")]
    UrlTooLong { limit: usize, found: usize },
    #[error("there is nothing at this path")]
    PathUnknown,
    #[error("this path is not for the method {0}")]
    MethodUnknown(String),
    #[error("there is nothing called {0}")]
    NameUnknown(Name),
    #[error("there is no image {0}")]
    ImageUnknown(Box<Reference>),
    #[error("{reference} names several images")]
    ImageAmbiguous { reference: Box<Reference>, candidates: Vec<String> },
    #[error("there is no image with the ID {0}")]
    BlobUnknown(ImageId),
    #[error("the image {0} was deleted")]
    BlobDeleted(ImageId),
    #[error("the image {0} was published, and another has taken its place since")]
    ImageReplaced(ImageId),
    #[error("{0} was deleted")]
    ImageDeleted(Box<Reference>),
    #[error("every image that {0} could mean was withdrawn by its author")]
    ImageYanked(Box<Reference>),
    #[error("the statement cannot be read: {0}")]
    YankMalformed(String),
    #[error("the statement is about another image: {found}")]
    YankOfAnother { wanted: String, found: String },
    #[error("there is a later statement about this image")]
    YankStale,
    #[error("its author has said nothing of the image {0}")]
    YankUnknown(ImageId),
    #[error("no key may sign for {0}")]
    KeysUnknown(Name),
    #[error("the request does not say for which host it is")]
    HostMalformed(&'static str),
    #[error("a page of another site has asked for this")]
    OtherSite(String),
    #[error("the counts are not for {0}")]
    MetricsForbidden(IpAddr),
    #[error("this registry does not serve the host {host:?}")]
    Misdirected { host: String, domains: String },
    #[error("requests without TLS are not taken from {0}")]
    PlainHttp(IpAddr),
    /// Refused by the verification or the format, with its own words.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// Refused by the format's limits, with its own words.
    #[error("{}", .0.message)]
    TooLarge(Box<Refusal>),
    /// What an administrator names is not there, or is there already.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Refused by the push protocol's own rules.
    #[error(transparent)]
    Upload(#[from] UploadError),
    #[error("none of the images was published")]
    OneOfGroup {
        upload: UploadId,
        #[source]
        error: Box<ApiError>,
    },
    #[error("the registry is busy with files of this image")]
    Busy,
    #[error("somebody else is doing that just now")]
    Occupied,
    #[error("there would be more than there may be: {quota}")]
    QuotaExceeded { prefix: Name, quota: String, images: u64, bytes: u64 },
    #[error("the registry takes nothing in just now")]
    ReadOnly,
    #[error("a file of this image is lost or damaged")]
    FileLost,
    #[error("the registry's disk is full")]
    StorageFull(#[source] Box<dyn Error + Send + Sync>),
    #[error("the registry failed")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}

impl ApiError {
    /// Why a request's body could not be read to its end.
    pub(crate) fn unread(error: &(dyn Error + 'static)) -> Self {
        if is_too_slow(error) { Self::TooSlow } else { Self::Interrupted }
    }

    /// A fault that is not the client's.
    pub(crate) fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }

    /// How long to wait, where asking too often is why.
    fn wait(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests(wait) | Self::TooManyFailures(wait) => Some(*wait),
            _ => None,
        }
    }

    /// Whether asking too often is why.
    pub(crate) fn is_rate(&self) -> bool {
        self.wait().is_some()
    }

    /// Asks for credentials, where the lack of them is why; says how long to wait, where that
    /// helps.
    pub(crate) fn challenge(&self, headers: &mut HeaderMap) {
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            let basic = HeaderValue::from_static("Basic realm=\"gantry\", charset=\"UTF-8\"");
            headers.append(header::WWW_AUTHENTICATE, basic);
        }
        if let Some(wait) = self.wait() {
            // Whole seconds, and not too few.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
    }

    /// The table of statuses.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::RequestMalformed { .. }
            | Self::ReferenceMalformed(_)
            | Self::HostMalformed(_)
            | Self::Interrupted => StatusCode::BAD_REQUEST,
            Self::CredentialsMissing
            | Self::UserUnknown
            | Self::Job(_)
            | Self::TokenUnknown
            | Self::TokenExpired(_)
            | Self::TokenRevoked
            | Self::CredentialsEnded => StatusCode::UNAUTHORIZED,
            Self::ActionMissing(_)
            | Self::OtherNames { .. }
            | Self::MetricsForbidden(_)
            | Self::OtherSite(_)
            | Self::PlainHttp(_)
            | Self::QuotaExceeded { .. } => StatusCode::FORBIDDEN,
            Self::UploadUnknown
            | Self::PathUnknown
            | Self::NameUnknown(_)
            | Self::ImageUnknown(_)
            | Self::ImageAmbiguous { .. }
            | Self::BlobUnknown(_)
            | Self::YankUnknown(_)
            | Self::KeysUnknown(_) => StatusCode::NOT_FOUND,
            Self::BlobDeleted(_) | Self::ImageDeleted(_) | Self::ImageYanked(_) => StatusCode::GONE,
            Self::Unfit(unfit) if unfit.exists() => StatusCode::CONFLICT,
            Self::Unfit(_) => StatusCode::NOT_FOUND,
            Self::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::MethodUnknown(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::VersionExists { .. }
            | Self::VersionDeleted { .. }
            | Self::ImageReplaced(_)
            | Self::YankStale
            | Self::UploadIncomplete => StatusCode::CONFLICT,
            Self::FileTooLarge { .. } | Self::BodyTooLarge { .. } | Self::TooLarge(_) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::UrlTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::TooManyRequests(_) | Self::TooManyFailures(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Misdirected { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::NotServed { .. }
            | Self::LabelsTooLong { .. }
            | Self::SignatureMissing
            | Self::SignatureNotArmored
            | Self::Refused(_)
            | Self::YankMalformed(_)
            | Self::YankOfAnother { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Upload(error) => error.status(),
            Self::OneOfGroup { error, .. } => error.status(),
            Self::Busy
            | Self::Occupied
            | Self::FileLost
            | Self::ReadOnly
            | Self::TooManyLogins
            | Self::IssuerDown(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::StorageFull(_) => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

/// Names, between commas.
fn listed(names: &[Name]) -> String {
    if names.is_empty() {
        return "no name".to_owned();
    }
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::CallerEnded => Self::CredentialsEnded,
            error if error.is_full_disk() => Self::StorageFull(error.into()),
            error => Self::internal(error),
        }
    }
}

impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Catalog(error) => error.into(),
            AdminError::Expiry => {
                let wanted = "a lifetime that ends before the year 10000";
                Self::RequestMalformed { wanted, found: "a longer one".to_owned() }
            }
            other => Self::internal(other),
        }
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            Self::StorageFull(error.into())
        } else {
            Self::internal(error)
        }
    }
}

impl From<tokio::task::JoinError> for ApiError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::internal(error)
    }
}

impl From<web::RenderError> for ApiError {
    fn from(error: web::RenderError) -> Self {
        Self::internal(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status().is_server_error() {
            tracing::error!(error = &self as &dyn Error, "a request failed");
        }
        let upload = match &self {
            Self::OneOfGroup { upload, .. } => Some(upload.as_str().to_owned()),
            _ => None,
        };
        let refusal = self.refusal();
        let body = Json(ErrorBody { error: refusal.clone(), upload });
        let mut response = (self.status(), body).into_response();
        response.extensions_mut().insert(Refused(refusal));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(self, Self::Busy | Self::Occupied | Self::ReadOnly) {
            let minute = HeaderValue::from_static("60");
            response.headers_mut().insert(header::RETRY_AFTER, minute);
        }
        self.challenge(response.headers_mut());
        response
    }
}
