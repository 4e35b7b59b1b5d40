//! Which image needs which: each once, in no circle, and not too many.

use std::collections::BTreeMap;

use aci::manifest::Dependency;
use aci::{ImageId, Limits};

use super::FetchError;

/// One request for an image, and what came of it.
#[derive(Debug)]
struct Node {
    /// As a person reads it.
    said: String,
    /// Who asked first; the image that was asked for has nobody.
    by: Option<usize>,
    depth: usize,
    needs: Vec<usize>,
    /// The node of the same image that came before.
    same_as: Option<usize>,
}

/// The images that are needed, from the one that was asked for down.
#[derive(Debug)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    /// What was asked, so that nothing is asked twice.
    asked: BTreeMap<String, usize>,
    images: BTreeMap<ImageId, usize>,
    limits: Limits,
}

impl Graph {
    pub(super) fn new(top: String, image_id: ImageId, limits: &Limits) -> Self {
        let top = Node { said: top, by: None, depth: 0, needs: Vec::new(), same_as: None };
        let images = BTreeMap::from([(image_id, 0)]);
        Self { nodes: vec![top], asked: BTreeMap::new(), images, limits: limits.clone() }
    }

    /// Notes what an image needs. Gives those that are still to be fetched, each with its number.
    pub(super) fn expand<'d>(
        &mut self,
        of: usize,
        dependencies: &'d [Dependency],
    ) -> Result<Vec<(usize, &'d Dependency)>, FetchError> {
        let mut new = Vec::new();
        for dependency in dependencies {
            let asked = key(dependency);
            let node = match self.asked.get(&asked) {
                Some(node) => *node,
                None => {
                    let node = self.add(of, dependency)?;
                    self.asked.insert(asked, node);
                    new.push((node, dependency));
                    node
                }
            };
            self.connect(of, node)?;
        }
        Ok(new)
    }

    fn add(&mut self, by: usize, dependency: &Dependency) -> Result<usize, FetchError> {
        let said = aci::Reference::new(dependency.image_name.clone(), dependency.labels.clone());
        let depth = self.nodes[by].depth + 1;
        let node =
            Node { said: said.to_string(), by: Some(by), depth, needs: Vec::new(), same_as: None };
        self.nodes.push(node);
        let node = self.nodes.len() - 1;
        if depth > self.limits.dependency_depth {
            let limit = self.limits.dependency_depth;
            return Err(FetchError::TooDeep { chain: self.chain(node), limit });
        }
        let limit = self.limits.dependencies;
        if self.nodes.len() as u64 - 1 > limit {
            return Err(FetchError::TooManyDependencies { chain: self.chain(node), limit });
        }
        Ok(node)
    }

    /// An image has come. Whether another request has led to it already.
    pub(super) fn arrived(&mut self, node: usize, image_id: &ImageId) -> Result<bool, FetchError> {
        let Some(&first) = self.images.get(image_id) else {
            self.images.insert(image_id.clone(), node);
            return Ok(false);
        };
        self.nodes[node].same_as = Some(first);
        for by in 0..self.nodes.len() {
            if self.nodes[by].needs.contains(&node) {
                self.connect(by, first)?;
            }
        }
        Ok(true)
    }

    fn connect(&mut self, by: usize, node: usize) -> Result<(), FetchError> {
        let node = self.nodes[node].same_as.unwrap_or(node);
        if let Some(path) = self.path(node, by) {
            let mut cycle: Vec<_> =
                path.into_iter().map(|node| self.nodes[node].said.clone()).collect();
            cycle.push(self.nodes[node].said.clone());
            return Err(FetchError::Cycle { cycle });
        }
        if !self.nodes[by].needs.contains(&node) {
            self.nodes[by].needs.push(node);
        }
        Ok(())
    }

    /// How one image needs another, where it does.
    fn path(&self, from: usize, to: usize) -> Option<Vec<usize>> {
        let mut came_from = BTreeMap::from([(from, from)]);
        let mut waiting = vec![from];
        while let Some(node) = waiting.pop() {
            if node == to {
                let mut path = vec![node];
                let mut node = node;
                while node != from {
                    node = *came_from.get(&node)?;
                    path.push(node);
                }
                path.reverse();
                return Some(path);
            }
            for &next in &self.nodes[node].needs {
                if let std::collections::btree_map::Entry::Vacant(entry) = came_from.entry(next) {
                    entry.insert(node);
                    waiting.push(next);
                }
            }
        }
        None
    }

    /// Who needs a node, from the image that was asked for down to it.
    pub(super) fn chain(&self, node: usize) -> Vec<String> {
        let mut chain = Vec::new();
        let mut next = Some(node);
        while let Some(node) = next {
            chain.push(self.nodes[node].said.clone());
            next = self.nodes[node].by;
        }
        chain.reverse();
        chain
    }

    /// The nodes of distinct images, each after all that it needs.
    pub(super) fn order(&self) -> Vec<usize> {
        let mut order = Vec::new();
        let mut open = vec![(0, false)];
        let mut seen = vec![false; self.nodes.len()];
        while let Some((node, left)) = open.pop() {
            if left {
                order.push(node);
            } else if !std::mem::replace(&mut seen[node], true) {
                open.push((node, true));
                let needs = self.nodes[node].needs.iter();
                let distinct = needs.filter(|next| self.nodes[**next].same_as.is_none());
                open.extend(distinct.map(|next| (*next, false)));
            }
        }
        order
    }
}

/// What makes two dependencies one request.
fn key(dependency: &Dependency) -> String {
    let Dependency { image_name, image_id, labels, size, .. } = dependency;
    let id = image_id.as_ref().map_or("", ImageId::as_str);
    format!("{image_name} {} {id} {size:?}", labels.canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(name: &str) -> Dependency {
        let manifest = format!(
            r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/x","dependencies":[{{"imageName":"example.com/{name}"}}]}}"#
        );
        aci::ImageManifest::from_json(manifest.as_bytes()).unwrap().dependencies.remove(0)
    }

    fn id(digit: char) -> ImageId {
        format!("sha512-{}", String::from(digit).repeat(128)).parse().unwrap()
    }

    fn graph(limits: &Limits) -> Graph {
        Graph::new("example.com/a".to_owned(), id('a'), limits)
    }

    #[test]
    fn graph_asks_once_and_orders_what_is_needed_first() {
        let mut graph = graph(&Limits::default());
        let top = [need("b"), need("c")];
        let new: Vec<_> = graph.expand(0, &top).unwrap().iter().map(|(node, _)| *node).collect();
        assert_eq!(new, [1, 2]);
        assert!(!graph.arrived(1, &id('b')).unwrap());
        assert_eq!(graph.expand(1, &[need("d")]).unwrap().len(), 1);
        assert!(!graph.arrived(2, &id('c')).unwrap());
        assert!(graph.expand(2, &[need("d")]).unwrap().is_empty(), "asked already");
        assert!(!graph.arrived(3, &id('d')).unwrap());
        assert_eq!(graph.chain(3), ["example.com/a", "example.com/b", "example.com/d"]);
        let order = graph.order();
        assert_eq!(order.len(), 4);
        let at = |node| order.iter().position(|other| *other == node).unwrap();
        assert!(at(3) < at(1) && at(3) < at(2) && at(1) < at(0) && at(2) < at(0), "{order:?}");
    }

    #[test]
    fn graph_names_a_cycle_by_name_and_by_image() {
        let mut by_name = graph(&Limits::default());
        by_name.expand(0, &[need("b")]).unwrap();
        by_name.arrived(1, &id('b')).unwrap();
        by_name.expand(1, &[need("c")]).unwrap();
        by_name.arrived(2, &id('c')).unwrap();
        let Err(FetchError::Cycle { cycle }) = by_name.expand(2, &[need("b")]) else { panic!() };
        assert_eq!(cycle, ["example.com/b", "example.com/c", "example.com/b"]);
        // The second name leads to the image that was asked for.
        let mut by_image = graph(&Limits::default());
        by_image.expand(0, &[need("b")]).unwrap();
        by_image.arrived(1, &id('b')).unwrap();
        by_image.expand(1, &[need("z")]).unwrap();
        let Err(FetchError::Cycle { cycle }) = by_image.arrived(2, &id('a')) else { panic!() };
        assert_eq!(cycle, ["example.com/a", "example.com/b", "example.com/a"]);
        // And one that names itself.
        let mut itself = graph(&Limits::default());
        itself.expand(0, &[need("b")]).unwrap();
        assert!(itself.arrived(1, &id('a')).is_err());
    }

    #[test]
    fn graph_counts_and_measures() {
        let few = Limits { dependencies: 2, dependency_depth: 2, ..Limits::default() };
        let error = graph(&few).expand(0, &[need("b"), need("c"), need("d")]).unwrap_err();
        assert!(matches!(error, FetchError::TooManyDependencies { limit: 2, .. }), "{error:?}");
        let mut graph = graph(&Limits { dependencies: 9, ..few });
        graph.expand(0, &[need("b")]).unwrap();
        graph.expand(1, &[need("c")]).unwrap();
        let error = graph.expand(2, &[need("d")]).unwrap_err();
        assert!(matches!(error, FetchError::TooDeep { limit: 2, .. }), "{error:?}");
    }
}
