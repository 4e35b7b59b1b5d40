//! Counts for Prometheus: what was asked, what came of it, how long it took.
//!
//! One [`Metrics`] per server. No label has a value that a client chooses: routes are
//! templates, methods and codes are words of ours. What the catalogue, the pool and the
//! places know is asked when somebody reads (`page.rs`).

pub(crate) mod page;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use aci::push::Pushed;
use axum::extract::MatchedPath;
use axum::http::{Method, StatusCode};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::connection::Ended;

pub use page::MetricsAccess;

/// From a file in memory to the push of a large image.
const SECONDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0, 600.0];

/// By which protocol an image is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    /// Gantry's own.
    Gantry,
    /// That of the App Container project.
    Acpush,
}

/// What came of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// The image is served from now on.
    Published,
    /// It was there.
    Existed,
    /// A request of it was refused.
    Refused,
    /// The registry failed.
    Failed,
}

impl Outcome {
    pub(crate) fn of(pushed: &Pushed) -> Self {
        if pushed.created { Self::Published } else { Self::Existed }
    }
}

impl Protocol {
    /// The protocol a route is of.
    pub(crate) fn of(route: &str) -> Option<Self> {
        if route.starts_with("/-/api/v1/uploads") || route == "/-/api/v1/commits" {
            Some(Self::Gantry)
        } else {
            route.starts_with("/-/acpush/").then_some(Self::Acpush)
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Gantry => "gantry",
            Self::Acpush => "acpush",
        }
    }
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Existed => "existed",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// The template of a path, which no client chooses; none where nothing is there.
#[derive(Debug, Clone)]
pub(crate) struct Route(pub(crate) Option<MatchedPath>);

impl Route {
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_ref().map_or("none", MatchedPath::as_str)
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Route {}

impl Hash for Route {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: Route,
    method: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Route,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PushLabels {
    protocol: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// The counts of one server.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    pushes: Family<PushLabels, Counter>,
    refusals: Family<RefusalLabels, Counter>,
    closed: Family<ReasonLabels, Counter>,
    now: Now,
}

/// What is so when somebody reads.
#[derive(Clone, Default)]
struct Now {
    connections: Gauge,
    pushes: Family<StateLabels, Gauge>,
    images: Gauge,
    names: Gauge,
    bytes: Gauge,
    database: Family<StateLabels, Gauge>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("gantry");
        let all = Self {
            registry: Arc::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            received: Counter::default(),
            sent: Counter::default(),
            pushes: Family::default(),
            refusals: Family::default(),
            closed: Family::default(),
            now: Now::default(),
        };
        registry.register("requests", "Requests that were answered", all.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "From the headers of a request to the end of its answer",
            Unit::Seconds,
            all.seconds.clone(),
        );
        let received = "Bytes of the bodies of requests";
        registry.register_with_unit("received", received, Unit::Bytes, all.received.clone());
        let sent = "Bytes of the bodies of answers";
        registry.register_with_unit("sent", sent, Unit::Bytes, all.sent.clone());
        registry.register("pushes", "Pushes, by what came of them", all.pushes.clone());
        let refusals = "Requests of pushes that were refused, by the code of the refusal";
        registry.register("push_refusals", refusals, all.refusals.clone());
        let closed = "Connections that have ended, by why";
        registry.register("connections_closed", closed, all.closed.clone());
        let now = &all.now;
        registry.register("connections_open", "Connections now", now.connections.clone());
        let pushes = "Images that are being taken in, and those that wait for it";
        registry.register("pushes_under_way", pushes, now.pushes.clone());
        registry.register("images", "Images that are served", now.images.clone());
        registry.register("names", "Names that have images", now.names.clone());
        let bytes = "Bytes of images and signatures that are served";
        registry.register_with_unit("stored", bytes, Unit::Bytes, now.bytes.clone());
        let database = "Connections to the database";
        registry.register("database_connections", database, now.database.clone());
        Self { registry: Arc::new(registry), ..all }
    }

    /// A request was answered, to the end.
    pub(crate) fn answered(
        &self,
        route: &Route,
        method: &Method,
        status: StatusCode,
        took: Duration,
        bytes: u64,
    ) {
        let labels = RouteLabels { route: route.clone() };
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
        let RouteLabels { route } = labels;
        let labels = RequestLabels { route, method: method_label(method), status: class(status) };
        self.requests.get_or_create(&labels).inc();
        self.sent.inc_by(bytes);
    }

    /// A push has come to this.
    pub(crate) fn pushed(&self, protocol: Protocol, outcome: Outcome) {
        let labels = PushLabels { protocol: protocol.as_str(), outcome: outcome.as_str() };
        self.pushes.get_or_create(&labels).inc();
    }

    /// A request of a push was refused.
    pub(crate) fn refused(&self, protocol: Protocol, code: &str, status: StatusCode) {
        let failed = status.is_server_error();
        self.pushed(protocol, if failed { Outcome::Failed } else { Outcome::Refused });
        self.refusals.get_or_create(&RefusalLabels { code: code.to_owned() }).inc();
    }

    /// A connection has ended.
    pub(crate) fn closed(&self, ended: Ended) {
        self.closed.get_or_create(&ReasonLabels { reason: ended.as_str() }).inc();
    }

    /// All of it, as OpenMetrics text.
    fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// The methods that are words of HTTP; a client may send any other.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500.. => "5xx",
    }
}
