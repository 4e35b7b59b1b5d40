//! The machine-readable discovery cases, where they are at hand: in the folder
//! `GANTRY_VECTORS` names, or in `../shared/vectors` beside the workspace.

use std::path::{Path, PathBuf};

use aci::{Label, Labels, Name, Reference};
use discovery::html::meta_tags;
use serde_json::Value;
use url::Url;

use super::support::{Reply, World};

/// Where this client means to differ from the reference, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("discovery_template/probe/3", "os and arch that were not given are this machine's"),
    ("discovery_template/probe/4", "an empty os is no os, and cannot be asked for"),
    ("discovery_template/probe/6", "without {ext} image and signature would be one URL"),
    ("discovery_template/probe/18", "a prefix covers whole path segments"),
    ("discovery_template/probe/21", "a prefix covers whole path segments"),
    ("discovery_template/probe/22", "a prefix covers whole path segments"),
    ("discovery_template/probe/25", "only https URLs are used"),
    ("discovery_template/probe/26", "only https URLs are used"),
    (
        "discovery_walk/TestDiscoverEndpoints/8",
        "os and arch that were not given are this machine's",
    ),
    (
        "discovery_walk/TestDiscoverEndpoints/9",
        "os and arch that were not given are this machine's",
    ),
    ("discovery_walk/TestDiscoverEndpoints/10", "no label can be called name (aci.md)"),
    (
        "discovery_walk/TestDiscoverEndpoints/11",
        "os and arch that were not given are this machine's",
    ),
    ("discovery_walk/probe/http-fallback-order", "there is no fallback to http"),
    ("discovery_walk/probe/https-empty-page-no-http", "there is no fallback to http"),
    ("discovery_walk/probe/port", "an image name holds no port; overrides do"),
];

fn cases(suite: &str) -> Vec<Value> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let folder = std::env::var_os("GANTRY_VECTORS").map_or(beside, PathBuf::from);
    let Ok(text) = std::fs::read_to_string(folder.join(suite).with_extension("json")) else {
        println!("skipped: no {suite}.json in {}", folder.display());
        return Vec::new();
    };
    let mut suite: Value = serde_json::from_str(&text).unwrap();
    let Value::Array(cases) = suite["vectors"].take() else { panic!("no vectors") };
    cases
}

fn id(case: &Value) -> &str {
    case["id"].as_str().unwrap()
}

fn differs(case: &Value) -> bool {
    DIFFERENCES.iter().any(|(other, _)| *other == id(case))
}

fn reference(input: &Value) -> Option<Reference> {
    let name: Name = input["name"].as_str().unwrap().parse().unwrap();
    let labels = input["labels"].as_object().unwrap();
    let labels = labels.iter().map(|(label, value)| Label {
        name: label.parse().unwrap(),
        value: value.as_str().unwrap().to_owned(),
    });
    Some(Reference::new(name, Labels::try_from(labels.collect::<Vec<_>>()).ok()?))
}

fn urls<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    // The reference writes them as the template says; on the wire both escape alike.
    values.into_iter().map(|url| normal(url.as_str().unwrap())).collect()
}

fn normal(url: &str) -> String {
    Url::parse(url).map_or(url.to_owned(), Into::into)
}

/// What discovery finds: image URLs, signature URLs, key URLs.
async fn found(world: &World, reference: &Reference) -> [Vec<String>; 3] {
    let images = world.client.find_images(reference).await.map(|found| found.found);
    let keys = world.client.find_keys(reference.name()).await.map(|found| found.found);
    let images = images.unwrap_or_default();
    [
        images.iter().map(|endpoint| endpoint.image.to_string()).collect(),
        images.iter().map(|endpoint| endpoint.signature.to_string()).collect(),
        keys.unwrap_or_default().iter().map(|keys| keys.url.to_string()).collect(),
    ]
}

fn expected(case: &Value) -> [Vec<String>; 3] {
    let none = Vec::new();
    let list = |key: &str| case["expected"][key].as_array().unwrap_or(&none).clone();
    let endpoints = list("endpoints");
    [
        urls(endpoints.iter().map(|e| &e["aci"])),
        urls(endpoints.iter().map(|e| &e["asc"])),
        urls(&list("pubkeys")),
    ]
}

#[test]
fn vectors_meta() {
    for case in cases("discovery_meta") {
        let found: Vec<Value> = meta_tags(case["input"].as_str().unwrap())
            .into_iter()
            .map(|tag| serde_json::json!([tag.name, tag.prefix, tag.value]))
            .collect();
        assert_eq!(Value::Array(found) == case["expected"], !differs(&case), "{}", id(&case));
    }
}

#[tokio::test]
async fn vectors_template() {
    for case in cases("discovery_template") {
        let world = World::new().await;
        world.put("/?ac-discovery=1", Reply::absent());
        let input = &case["input"];
        let Some(reference) = reference(input) else {
            assert!(differs(&case), "{}", id(&case));
            continue;
        };
        let target = format!("/{}?ac-discovery=1", reference.name().path());
        world.put(&target, Reply::ok(input["page"].as_str().unwrap()));
        let found = found(&world, &reference).await;
        assert_eq!(found == expected(&case), !differs(&case), "{}: {found:?}", id(&case));
    }
}

#[tokio::test]
async fn vectors_walk() {
    for case in cases("discovery_walk") {
        let input = &case["input"];
        let world = World::new().await;
        world.put("/?ac-discovery=1", Reply::absent());
        let target =
            |path: &str| format!("{}?ac-discovery=1", if path.is_empty() { "/" } else { path });
        for (path, page) in input["pages"].as_object().unwrap() {
            let reply = page.as_str().map_or(Reply::Close, Reply::ok);
            world.put(&target(path), reply);
        }
        for path in input["connection_error_paths"].as_array().into_iter().flatten() {
            world.put(&target(path.as_str().unwrap()), Reply::Close);
        }
        for (path, status) in input["status"].as_object().into_iter().flatten() {
            let status = status.as_u64().unwrap() as u16;
            world.put(&target(path), Reply::Whole(status, Vec::new()));
        }
        let Some(reference) = reference(input) else {
            assert!(differs(&case), "{}", id(&case));
            continue;
        };
        let found = found(&world, &reference).await;
        let mut requests = urls(case["expected"]["requests_endpoints"].as_array().unwrap());
        requests.extend(urls(case["expected"]["requests_pubkeys"].as_array().unwrap()));
        let asked: Vec<_> = world
            .server
            .targets()
            .into_iter()
            .map(|target| format!("https://example.com{target}"))
            .collect();
        let same = found == expected(&case) && asked == requests;
        assert_eq!(same, !differs(&case), "{}: {found:?} {asked:?}", id(&case));
    }
}

#[test]
fn vectors_differences_name_cases_that_exist() {
    let all: Vec<Value> = ["discovery_meta", "discovery_template", "discovery_walk"]
        .into_iter()
        .flat_map(cases)
        .collect();
    for (difference, _) in DIFFERENCES {
        assert!(all.is_empty() || all.iter().any(|case| id(case) == *difference), "{difference}");
    }
}
