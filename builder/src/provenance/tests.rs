//! Statements whole.

use std::collections::BTreeMap;

use super::*;
use crate::utc_time::UtcTime;

fn digest(byte: u8) -> DigestSet {
    DigestSet::sha256(&aci::ContentDigest::of([byte; 32]))
}

fn subject(name: &str) -> Subject {
    Subject::new(name, digest(1)).unwrap()
}

fn run() -> RunDetails {
    RunDetails::of_builder("urn:example:builder".parse().unwrap())
}

fn statement(subjects: Vec<Subject>, build: BuildDefinition, run: RunDetails) -> String {
    let statement = Provenance::new(subjects, build, run).unwrap();
    String::from_utf8(statement.to_json().unwrap()).unwrap()
}

#[test]
fn statement_of_little_has_what_is_demanded_and_no_more() {
    let digits = "01".repeat(32);
    assert_eq!(
        statement(vec![subject("a.aci")], BuildDefinition::default(), run()),
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","predicate":{{"buildDefinition":{{"buildType":"urn:gantry:build:v1","externalParameters":{{}}}},"runDetails":{{"builder":{{"id":"urn:example:builder"}}}}}},"predicateType":"https://slsa.dev/provenance/v1","subject":[{{"digest":{{"sha256":"{digits}"}},"name":"a.aci"}}]}}"#
        )
    );
}

#[test]
fn statement_of_everything_has_it_in_its_place() {
    let id = aci::ImageId::of([2; 64]);
    let file = aci::FileDigest::of([3; 64]);
    let subject = Subject::new("a.aci", digest(1).and(DigestSet::sha512(&file))).unwrap();
    let build = BuildDefinition {
        external_parameters: Parameters::of(&json!({"z": [1, {"b": 1, "a": 2}], "a": "x"}))
            .unwrap(),
        internal_parameters: Parameters::of(&json!({"threads": 4})).unwrap(),
        resolved_dependencies: vec![
            Resource::of_uri("https://example.com/src".parse().unwrap())
                .with_digest(DigestSet::git_commit(&"ab".repeat(20).parse().unwrap())),
            Resource::of_digest(DigestSet::archive(&id)).named("example.com/base"),
        ],
    };
    let time = |seconds: i64| Some(UtcTime::try_from(seconds).unwrap());
    let run = RunDetails {
        builder_version: BTreeMap::from([("gantry".to_owned(), "0.1.0".to_owned())]),
        builder_dependencies: vec![Resource::of_digest(digest(9))],
        metadata: RunMetadata {
            invocation_id: Some("7".to_owned()),
            started_on: time(0),
            finished_on: time(1),
        },
        byproducts: vec![
            Resource::of_digest(digest(8))
                .named("a.aci.spdx.json")
                .of_type("application/spdx+json")
                .annotated("lines", 1),
        ],
        ..run()
    };
    let json = statement(vec![subject.of_image(&id)], build, run);
    let value: Value = serde_json::from_str(&json).unwrap();
    let subject = &value["subject"][0];
    assert_eq!(subject["digest"]["sha512"], "03".repeat(64));
    assert_eq!(subject["digest"]["sha256"], "01".repeat(32));
    assert_eq!(subject["annotations"]["imageID"], id.as_str());
    let build = &value["predicate"]["buildDefinition"];
    assert_eq!(build["externalParameters"]["z"][1]["a"], 2);
    assert!(json.contains(r#""externalParameters":{"a":"x","z":[1,{"a":2,"b":1}]}"#), "{json}");
    assert_eq!(build["internalParameters"]["threads"], 4);
    // In an order of ours: that of their text.
    assert_eq!(build["resolvedDependencies"][0]["digest"]["gitCommit"], "ab".repeat(20));
    assert_eq!(build["resolvedDependencies"][0]["uri"], "https://example.com/src");
    assert_eq!(build["resolvedDependencies"][1]["digest"]["sha512"], id.digits());
    let run = &value["predicate"]["runDetails"];
    assert_eq!(run["builder"]["version"]["gantry"], "0.1.0");
    assert_eq!(run["builder"]["builderDependencies"][0]["digest"]["sha256"], "09".repeat(32));
    assert_eq!(run["metadata"]["invocationId"], "7");
    assert_eq!(run["metadata"]["startedOn"], "1970-01-01T00:00:00Z");
    assert_eq!(run["metadata"]["finishedOn"], "1970-01-01T00:00:01Z");
    assert_eq!(run["byproducts"][0]["mediaType"], "application/spdx+json");
    assert_eq!(run["byproducts"][0]["annotations"]["lines"], 1);
}

#[test]
fn statement_does_not_depend_on_the_order_of_its_parts() {
    let resources = [Resource::of_digest(digest(1)), Resource::of_digest(digest(2))];
    let of = |subjects: [&str; 2], resources: Vec<Resource>| {
        let build = BuildDefinition { resolved_dependencies: resources, ..Default::default() };
        statement(subjects.map(subject).to_vec(), build, run())
    };
    let [one, two] = resources;
    let first = of(["a", "b"], vec![one.clone(), two.clone()]);
    assert_eq!(first, of(["b", "a"], vec![two, one.clone(), one]));
}

#[test]
fn statement_needs_subjects_that_can_be_told_apart() {
    let new = |subjects| Provenance::new(subjects, BuildDefinition::default(), run());
    assert_eq!(new(vec![]), Err(ProvenanceError::NoSubject));
    let twice = vec![subject("a"), subject("b"), subject("a")];
    assert_eq!(new(twice), Err(ProvenanceError::SubjectTwice("a".to_owned())));
    assert_eq!(Subject::new("", digest(1)), Err(SubjectError));
}

#[test]
fn parameters_are_an_object() {
    for other in [json!([1]), json!("a"), Value::Null] {
        let refused = Parameters::of(&other);
        assert!(matches!(refused, Err(ParametersError::NoObject)), "{other}");
    }
}

#[test]
fn uri_and_commit_have_their_form() {
    for good in ["urn:a:b", "https://example.com/a?b#c", "git+https://example.com/x@v1", "a:b"] {
        assert_eq!(good.parse::<ResourceUri>().unwrap().to_string(), good);
    }
    for bad in ["", ":", "a:", ":a", "1a:b", "a b:c", "a:b c", "a:é", "a:<b>", "example.com"] {
        assert!(bad.parse::<ResourceUri>().is_err(), "{bad}");
    }
    for bad in ["", &"ab".repeat(21), &"AB".repeat(20), &"g".repeat(40)] {
        assert!(bad.parse::<GitCommit>().is_err(), "{bad}");
    }
    assert!("ab".repeat(32).parse::<GitCommit>().is_ok());
}
