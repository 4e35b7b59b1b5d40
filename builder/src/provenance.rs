//! How a file was made: an in-toto statement with SLSA provenance.
//!
//! The statement names what came out ([`Subject`]), what it was made from and with which
//! parameters ([`BuildDefinition`]), and who has made it ([`RunDetails`]); whoever signs it
//! stands behind that. Its form is in-toto's `Statement` v1 with a predicate of the type
//! [`PREDICATE_TYPE`].
//!
//! ```
//! use builder::provenance::{
//!     BuildDefinition, DigestSet, Parameters, Provenance, Resource, RunDetails, Subject,
//! };
//!
//! let digest: aci::FileDigest = format!("sha512-{}", "ab".repeat(64)).parse()?;
//! let subject = Subject::new("hello.aci", DigestSet::sha512(&digest))?;
//! let source = DigestSet::git_commit(&"0f".repeat(20).parse()?);
//! let build = BuildDefinition {
//!     external_parameters: Parameters::of(&serde_json::json!({"rootfs": "tree"}))?,
//!     internal_parameters: Parameters::default(),
//!     resolved_dependencies: vec![Resource::of_digest(source).named("source")],
//! };
//! let run = RunDetails::of_builder("urn:example:builder".parse()?);
//! let statement = Provenance::new(vec![subject], build, run)?;
//! let json = String::from_utf8(statement.to_json()?)?;
//! assert!(json.starts_with("{\"_type\":\"https://in-toto.io/Statement/v1\",\"predicate\":{"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reproducible
//!
//! The same parts give the same bytes: JSON without white space, the names of objects in the
//! order of their bytes, subjects and resources in an order of ours. What changes from one run to
//! the next, its times and its ID, is only in the statement where somebody gives it.

mod parts;
mod resource;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

pub use parts::{
    BuildDefinition, Parameters, ParametersError, RunDetails, RunMetadata, Subject, SubjectError,
};
pub use resource::{DigestSet, GitCommit, GitCommitError, Resource, ResourceUri, ResourceUriError};

/// The type of the statement (in-toto attestation framework, "Statement layer specification").
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The type of the predicate (SLSA, "Provenance").
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// How the parameters are to be read: as those of Gantry's builds, first edition. It is a name
/// and no address.
pub const BUILD_TYPE: &str = "urn:gantry:build:v1";

/// A statement of how files were made.
///
/// - at least one subject
/// - no two subjects have one name
#[derive(Debug, Clone, PartialEq)]
pub struct Provenance {
    subjects: Vec<Subject>,
    build: BuildDefinition,
    run: RunDetails,
}

/// Why parts are no statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProvenanceError {
    /// A statement is about something.
    #[error("a statement needs a subject")]
    NoSubject,
    /// Whoever verifies finds a subject by its name.
    #[error("two subjects are called {0:?}")]
    SubjectTwice(String),
}

impl Provenance {
    /// A statement of these parts.
    pub fn new(
        mut subjects: Vec<Subject>,
        build: BuildDefinition,
        run: RunDetails,
    ) -> Result<Self, ProvenanceError> {
        subjects.sort_by(|a, b| a.name().cmp(b.name()));
        if subjects.is_empty() {
            return Err(ProvenanceError::NoSubject);
        }
        match subjects.windows(2).find(|pair| pair[0].name() == pair[1].name()) {
            Some(pair) => Err(ProvenanceError::SubjectTwice(pair[0].name().to_owned())),
            None => Ok(Self { subjects, build, run }),
        }
    }

    /// The statement's bytes: compact JSON, without a newline at its end.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let subjects: Vec<Value> = self.subjects.iter().map(Subject::json).collect();
        let mut statement = json!({
            "_type": STATEMENT_TYPE,
            "subject": subjects,
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "buildDefinition": self.build.json(),
                "runDetails": self.run.json(),
            },
        });
        statement.sort_all_objects();
        serde_json::to_vec(&statement)
    }
}

/// Puts what is there into an object.
fn put(object: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value);
    }
}

/// A collection without an order of its own, each member once; `None` where it has none.
fn collection(resources: &[Resource]) -> Option<Value> {
    let mut all: Vec<(String, Value)> = resources
        .iter()
        .map(|resource| {
            let mut json = resource.json();
            json.sort_all_objects();
            (json.to_string(), json)
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.dedup_by(|a, b| a.0 == b.0);
    let values: Vec<Value> = all.into_iter().map(|(_, json)| json).collect();
    (!values.is_empty()).then_some(Value::Array(values))
}
