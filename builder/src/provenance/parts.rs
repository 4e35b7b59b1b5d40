//! What a statement is made of.

use std::collections::BTreeMap;

use aci::ImageId;
use serde::Serialize;
use serde_json::{Map, Value};

use super::resource::{DigestSet, Resource, ResourceUri};
use super::{BUILD_TYPE, collection, put};
use crate::utc_time::UtcTime;

/// A file that was made.
///
/// - has a name, which is not empty
/// - has digests, of the file as it is
#[derive(Debug, Clone, PartialEq)]
pub struct Subject(Resource);

/// A subject without a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a subject needs a name")]
pub struct SubjectError;

impl Subject {
    /// A file of this name with these digests.
    pub fn new(name: impl Into<String>, digest: DigestSet) -> Result<Self, SubjectError> {
        let name = name.into();
        if name.is_empty() {
            return Err(SubjectError);
        }
        Ok(Self(Resource::of_digest(digest).named(name)))
    }

    /// The same where it is an image. Its ID, a digest of the archive and not of the file, stands
    /// in the annotation `imageID`: who verifies the file must not take it for a digest of that.
    pub fn of_image(self, image_id: &ImageId) -> Self {
        Self(self.0.annotated("imageID", image_id.as_str()))
    }

    pub(super) fn name(&self) -> &str {
        self.0.name().unwrap_or_default()
    }

    pub(super) fn json(&self) -> Value {
        self.0.json()
    }
}

/// Parameters of a build: an object of JSON.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters(Map<String, Value>);

/// Why something is no parameters.
#[derive(Debug, thiserror::Error)]
pub enum ParametersError {
    /// It is a list, a number or a text.
    #[error("parameters are an object, each with its name")]
    NoObject,
    /// It cannot be said in JSON.
    #[error("parameters cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Parameters {
    /// The fields of a struct, or the entries of a map.
    pub fn of(parameters: &impl Serialize) -> Result<Self, ParametersError> {
        match serde_json::to_value(parameters)? {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(ParametersError::NoObject),
        }
    }
}

/// What goes into a build.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BuildDefinition {
    /// What the person who builds has chosen: all of it, for whoever verifies looks there.
    pub external_parameters: Parameters,
    /// What the builder has chosen, for whoever looks for a fault; may be empty.
    pub internal_parameters: Parameters,
    /// What the build has read, as far as it is known.
    pub resolved_dependencies: Vec<Resource>,
}

impl BuildDefinition {
    pub(super) fn json(&self) -> Value {
        let mut object = Map::new();
        put(&mut object, "buildType", Some(BUILD_TYPE.into()));
        // Demanded, empty or not.
        put(&mut object, "externalParameters", Some(self.external_parameters.0.clone().into()));
        let internal = Some(&self.internal_parameters.0).filter(|internal| !internal.is_empty());
        put(&mut object, "internalParameters", internal.cloned().map(Value::Object));
        put(&mut object, "resolvedDependencies", collection(&self.resolved_dependencies));
        Value::Object(object)
    }
}

/// Who has built, and what else there is to say of this one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunDetails {
    /// Who has built: the name of a machine or a service that is trusted or not.
    pub builder: ResourceUri,
    /// The versions of what has built, by the names of its parts.
    pub builder_version: BTreeMap<String, String>,
    /// What has built: tools, and the images they came in.
    pub builder_dependencies: Vec<Resource>,
    /// What is different in each run.
    pub metadata: RunMetadata,
    /// What came out besides the subjects: logs, bills of materials.
    pub byproducts: Vec<Resource>,
}

/// What is different in each run: absent, unless somebody wants a statement that is made once
/// only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunMetadata {
    /// The run among those of this builder.
    pub invocation_id: Option<String>,
    /// When it began.
    pub started_on: Option<UtcTime>,
    /// When it ended.
    pub finished_on: Option<UtcTime>,
}

impl RunDetails {
    /// A run of this builder of which nothing else is said.
    pub fn of_builder(builder: ResourceUri) -> Self {
        Self {
            builder,
            builder_version: BTreeMap::new(),
            builder_dependencies: Vec::new(),
            metadata: RunMetadata::default(),
            byproducts: Vec::new(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let mut builder = Map::new();
        put(&mut builder, "id", Some(self.builder.to_string().into()));
        let version = self.builder_version.iter();
        let version: Map<String, Value> =
            version.map(|(part, version)| (part.clone(), version.as_str().into())).collect();
        let version = Some(version).filter(|version| !version.is_empty());
        put(&mut builder, "version", version.map(Value::Object));
        put(&mut builder, "builderDependencies", collection(&self.builder_dependencies));
        let mut object = Map::new();
        put(&mut object, "builder", Some(Value::Object(builder)));
        put(&mut object, "metadata", self.metadata.json());
        put(&mut object, "byproducts", collection(&self.byproducts));
        Value::Object(object)
    }
}

impl RunMetadata {
    fn json(&self) -> Option<Value> {
        let mut object = Map::new();
        let time = |time: Option<UtcTime>| time.map(|time| Value::from(time.to_string()));
        put(&mut object, "invocationId", self.invocation_id.as_deref().map(Value::from));
        put(&mut object, "startedOn", time(self.started_on));
        put(&mut object, "finishedOn", time(self.finished_on));
        (!object.is_empty()).then_some(Value::Object(object))
    }
}
