//! The one error of the HTTP interface, and the one table of its statuses.
//!
//! A refusal tells everything to whoever may know it; a fault of the server's own
//! tells a constant text, and its detail goes to the log, once.

mod push;
mod refusal;

use std::error::Error;
use std::net::IpAddr;
use std::time::SystemTime;

use aci::push::ErrorBody;
use aci::{ImageId, Name, Reference, ReferenceError, Refusal, Refuse as _};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::catalog::CatalogError;
use crate::connection::is_too_slow;
use crate::token::Action;
use crate::trace::Refused;

/// Why a request was not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("no token was given")]
    TokenMissing,
    #[error("the token is not known here")]
    TokenUnknown,
    #[error("the token has expired")]
    TokenExpired(SystemTime),
    #[error("the token was revoked")]
    TokenRevoked,
    #[error("the token does not allow to {0}")]
    TokenAction(Action),
    #[error("the token is for names under {prefix}, not for {name}")]
    TokenPrefix { prefix: Name, name: Name },
    #[error("{name} is under no domain this registry serves")]
    NotServed { name: Name, domains: String },
    #[error("no such upload is open for this token")]
    UploadUnknown,
    #[error("the image has not arrived")]
    UploadIncomplete,
    #[error("{reference} is published already, as another image")]
    VersionExists { reference: Box<Reference>, there: ImageId, pushed: ImageId },
    #[error("the image file is larger than this registry takes")]
    FileTooLarge { limit: u64, found: u64 },
    #[error("the request is larger than this registry reads")]
    BodyTooLarge { limit: u64 },
    #[error("the request cannot be read: {found}")]
    RequestMalformed { wanted: &'static str, found: String },
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
    #[error("no key may sign for {0}")]
    KeysUnknown(Name),
    #[error("the request does not say for which host it is")]
    HostMalformed(&'static str),
    #[error("the counts are not for {0}")]
    MetricsForbidden(IpAddr),
    #[error("this registry does not serve the host {host:?}")]
    Misdirected { host: String, domains: String },
    /// Refused by the verification or the format, with its own words.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    /// Refused by the format's limits, with its own words.
    #[error("{}", .0.message)]
    TooLarge(Box<Refusal>),
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

    /// The table of statuses.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::RequestMalformed { .. }
            | Self::ReferenceMalformed(_)
            | Self::HostMalformed(_)
            | Self::Interrupted => StatusCode::BAD_REQUEST,
            Self::TokenMissing
            | Self::TokenUnknown
            | Self::TokenExpired(_)
            | Self::TokenRevoked => StatusCode::UNAUTHORIZED,
            Self::TokenAction(_) | Self::TokenPrefix { .. } | Self::MetricsForbidden(_) => {
                StatusCode::FORBIDDEN
            }
            Self::UploadUnknown
            | Self::PathUnknown
            | Self::NameUnknown(_)
            | Self::ImageUnknown(_)
            | Self::ImageAmbiguous { .. }
            | Self::BlobUnknown(_)
            | Self::KeysUnknown(_) => StatusCode::NOT_FOUND,
            Self::MethodUnknown(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::VersionExists { .. } | Self::UploadIncomplete => StatusCode::CONFLICT,
            Self::FileTooLarge { .. } | Self::BodyTooLarge { .. } | Self::TooLarge(_) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::UrlTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::Misdirected { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::NotServed { .. } | Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::StorageFull(_) => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        if error.is_full_disk() { Self::StorageFull(error.into()) } else { Self::internal(error) }
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
        let refusal = self.refusal();
        let body = Json(ErrorBody { error: refusal.clone() });
        let mut response = (self.status(), body).into_response();
        response.extensions_mut().insert(Refused(refusal));
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            let basic = HeaderValue::from_static("Basic realm=\"gantry\", charset=\"UTF-8\"");
            headers.append(header::WWW_AUTHENTICATE, basic);
        }
        response
    }
}
