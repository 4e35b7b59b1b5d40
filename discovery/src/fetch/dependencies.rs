//! The images that an image needs, fetched side by side.

use std::collections::{BTreeMap, VecDeque};

use aci::Reference;
use aci::manifest::Dependency;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::graph::Graph;
use super::{Arrival, Fetch, FetchError, Fetched, State, Wish};
use crate::store::Imported;

impl Fetch<'_> {
    /// Fetches all that `top` needs, and then lets everything into the store, what is
    /// needed before what needs it. An image without needs of its own enters at once.
    pub(super) async fn with_dependencies(&self, mut top: Arrival) -> Result<Fetched, FetchError> {
        let warnings = std::mem::take(&mut top.warnings);
        if !self.options.dependencies {
            let imported = self.settle(top).await?;
            return Ok(Fetched { imported, warnings, dependencies: Vec::new() });
        }
        let limits = self.limits();
        let mut graph = Graph::new(top.reference.to_string(), top.image_id.clone(), limits);
        let mut arrivals = BTreeMap::new();
        let mut waiting: VecDeque<(usize, Dependency)> = VecDeque::new();
        let mut running = FuturesUnordered::new();
        let mut warnings = warnings;
        waiting.extend(owned(graph.expand(0, &top.dependencies)?));
        loop {
            while running.len() < self.options.parallel.get()
                && let Some((node, dependency)) = waiting.pop_front()
            {
                running.push(async move { (node, self.dependency(&dependency).await) });
            }
            let Some((node, result)) = running.next().await else { break };
            let in_chain = |error: FetchError| FetchError::Dependency {
                chain: graph.chain(node),
                source: Box::new(error),
            };
            let mut arrival = result.map_err(in_chain)?;
            warnings.append(&mut arrival.warnings);
            if graph.arrived(node, &arrival.image_id)? {
                continue;
            }
            waiting.extend(owned(graph.expand(node, &arrival.dependencies)?));
            if arrival.dependencies.is_empty() {
                let (reference, image_id) = (arrival.reference.clone(), arrival.image_id.clone());
                let imported = self.settle(arrival).await?;
                let state = State::Done(imported);
                let dependencies = Vec::new();
                arrival =
                    Arrival { image_id, reference, dependencies, warnings: Vec::new(), state };
            }
            arrivals.insert(node, arrival);
        }
        drop(running);
        let mut dependencies = Vec::new();
        for node in graph.order() {
            if let Some(arrival) = arrivals.remove(&node) {
                dependencies.push(self.settle(arrival).await?);
            }
        }
        // The image that was asked for needs all others.
        let imported = self.settle(top).await?;
        Ok(Fetched { imported, warnings, dependencies })
    }

    async fn dependency(&self, dependency: &Dependency) -> Result<Arrival, FetchError> {
        let reference = Reference::new(dependency.image_name.clone(), dependency.labels.clone());
        self.in_time(self.by_name(&reference, Wish::from(dependency), None)).await
    }

    /// Lets an image into the store, where it is not there.
    async fn settle(&self, arrival: Arrival) -> Result<Imported, FetchError> {
        match arrival.state {
            State::There(record) => Ok(Imported { record, new: false }),
            State::Done(imported) => Ok(imported),
            State::Held(held) => self.import(*held).await,
        }
    }
}

fn owned(new: Vec<(usize, &Dependency)>) -> impl Iterator<Item = (usize, Dependency)> {
    new.into_iter().map(|(node, dependency)| (node, dependency.clone()))
}
