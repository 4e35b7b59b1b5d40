//! `GET /-/metrics`: for those who may look.

use std::net::IpAddr;

use axum::Extension;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::metrics::gauge::Gauge;

use super::{Now, StateLabels};
use crate::client_address::ClientAddress;
use crate::error::ApiError;
use crate::state::{Shared, State as Registry};

/// How the text is to be read (OpenMetrics 1.0, "Overall Structure").
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Who may read the counts: this machine itself, and these addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsAccess {
    /// Addresses beside those of the machine's own loopback.
    pub addresses: Vec<IpAddr>,
}

impl MetricsAccess {
    fn allows(&self, reader: IpAddr) -> bool {
        let reader = reader.to_canonical();
        reader.is_loopback()
            || self.addresses.iter().any(|address| address.to_canonical() == reader)
    }
}

#[utoipa::path(
    get,
    path = "/-/metrics",
    operation_id = "metrics",
    tag = "about",
    summary = "What it counts, for Prometheus",
    description = "For readers on the registry's own machine, and at the addresses it was told.",
    responses((status = 200, description = "OpenMetrics.", body = String,
        content_type = "application/openmetrics-text")),
)]
pub(crate) async fn show(
    State(state): State<Shared>,
    Extension(ClientAddress(reader)): Extension<ClientAddress>,
) -> Result<Response, ApiError> {
    if !state.config().metrics.allows(reader) {
        return Err(ApiError::MetricsForbidden(reader));
    }
    let metrics = &state.serving.metrics;
    metrics.now.ask(&state).await?;
    let text = metrics.text().map_err(ApiError::internal)?;
    let headers = [(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, text).into_response())
}

impl Now {
    async fn ask(&self, state: &Registry) -> Result<(), ApiError> {
        let serving = &state.serving;
        let set = |gauge: &Gauge, count: usize| gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        set(&self.connections, serving.lines.open());
        let state_of = |state| StateLabels { state };
        // Who waits for memory has a place.
        let (taken, starved) = (serving.pushes.taken(), serving.decoders.waiting());
        set(&self.pushes.get_or_create(&state_of("running")), taken.saturating_sub(starved));
        set(&self.pushes.get_or_create(&state_of("waiting")), serving.pushes.waiting() + starved);
        let totals = state.catalog.totals().await?;
        self.images.set(totals.images);
        self.names.set(totals.names);
        self.bytes.set(totals.bytes);
        let (open, idle) = state.catalog.connections();
        set(&self.database.get_or_create(&state_of("used")), open.saturating_sub(idle));
        set(&self.database.get_or_create(&state_of("idle")), idle);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::Request;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::client_address::Arrival;
    use crate::config::Config;
    use crate::connection::ConnectionLimits;
    use crate::router::router;

    /// The status for a reader at this address, or for whom that vouches.
    async fn status(peer: &str, client: Option<&str>, addresses: &[&str]) -> u16 {
        let folder = tempfile::tempdir().unwrap();
        let limits = ConnectionLimits::default();
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let metrics = MetricsAccess { addresses };
        let adjust = |config: &mut Config| {
            config.metrics = metrics;
            config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        };
        let state = Registry::in_folder(folder.path(), adjust).await;
        let server = TowerToHyperService::new(router(Arc::new(state), &limits));
        let mut request = Request::get("/-/metrics");
        if let Some(client) = client {
            request = request.header("x-forwarded-for", client);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request
            .extensions_mut()
            .insert(Arrival { peer: (peer.parse::<IpAddr>().unwrap(), 1).into(), plain: false });
        server.call(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn metrics_are_for_this_machine_and_whom_it_was_told() {
        for (peer, addresses, wanted) in [
            ("127.0.0.1", &[][..], 200),
            ("127.8.8.8", &[], 200),
            ("::1", &[], 200),
            ("::ffff:127.0.0.1", &[], 200),
            ("192.0.2.7", &[], 403),
            ("2001:db8::7", &["192.0.2.7"], 403),
            ("192.0.2.8", &["192.0.2.7"], 403),
            ("192.0.2.7", &["192.0.2.7"], 200),
            ("::ffff:192.0.2.7", &["2001:db8::7", "192.0.2.7"], 200),
        ] {
            assert_eq!(status(peer, None, addresses).await, wanted, "{peer} {addresses:?}");
        }
        // A proxy of this machine reads them for others.
        assert_eq!(status("127.0.0.1", Some("192.0.2.7"), &[]).await, 403);
        assert_eq!(status("127.0.0.1", Some("192.0.2.7"), &["192.0.2.7"]).await, 200);
        assert_eq!(status("192.0.2.7", Some("127.0.0.1"), &[]).await, 403);
    }
}
