//! The document of the API: it says what the server does, and the copy in `docs/` says the same.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{LazyLock, Mutex};

use reqwest::StatusCode;
use serde_json::Value;

use crate::fixture::*;

/// The copy that people read.
static COPY: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap());

/// Answers that are not in the document.
static UNTOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// The operations: method, path and what is said.
pub(crate) fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let paths = COPY["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, item)| {
        let of = move |method| item.get(method).map(|operation| (method, path.as_str(), operation));
        METHODS.into_iter().filter_map(of)
    })
}

/// A path as the document writes it: OpenAPI has no parameter for the rest of a path.
pub(crate) fn told(route: &str) -> String {
    route.replace("{*", "{")
}

/// How much of a template is said in so many words, where a path is one of it. The last parameter
/// of some holds slashes.
fn fits(template: &str, path: &str) -> Option<usize> {
    let (mut rest, mut said) = (path, 0);
    let mut pieces = template.split('{');
    let first = pieces.next()?;
    rest = rest.strip_prefix(first)?;
    said += first.len();
    for piece in pieces {
        let (_, after) = piece.split_once('}')?;
        let end = if after.is_empty() { rest.len() } else { rest.find('/')? };
        rest = rest.get(end..).filter(|_| end > 0)?.strip_prefix(after)?;
        said += after.len();
    }
    rest.is_empty().then_some(said)
}

/// Every answer of every test is looked at here, as the log has it: whether the document has it, too.
pub(crate) fn saw(line: &str) {
    let value = |key: &str| {
        let (_, rest) = line.split_once(key)?;
        rest.split(['"', ' ', '}', '\n']).next()
    };
    let seen = (value(" method="), value(" path=\""), value(" answered status="));
    let (Some(method), Some(path), Some(status)) = seen else { return };
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_ascii_lowercase() };
    let fitting = operations().filter(|(of, ..)| *of == method);
    let fitting = fitting
        .filter_map(|(_, template, operation)| Some((fits(template, path)?, template, operation)));
    let Some((_, template, operation)) = fitting.max_by_key(|(said, ..)| *said) else { return };
    // What is ours and no route is no page either.
    let page = template == "/{path}" && path.starts_with("/-/");
    // A method that this path does not have, where another path's template fits, too.
    if !page && status != "405" && operation["responses"].get(status).is_none() {
        UNTOLD.lock().unwrap().insert(format!("{method} {template}: {status} ({path})"));
    }
}

/// Whatever a test asked, the document has the answer: looked at when it ends.
pub(crate) struct AllTold;

impl Drop for AllTold {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let untold = UNTOLD.lock().unwrap();
            assert!(untold.is_empty(), "docs/openapi.json does not have these: {untold:#?}");
        }
    }
}

#[tokio::test]
async fn document_is_for_everybody_and_the_copy_is_the_same() {
    let registry = Registry::start().await;
    let response = registry.get("/-/api/v1/openapi.json").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "public, max-age=3600");
    let text = response.text().await.unwrap();
    let copy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    if std::env::var_os("UPDATE_DOCUMENT").is_some() {
        std::fs::write(&copy, &text).unwrap();
    }
    let same = std::fs::read_to_string(&copy).unwrap() == text;
    assert!(
        same,
        "docs/openapi.json is another: UPDATE_DOCUMENT=1 cargo test -p registry --test it document"
    );
}

#[test]
fn document_is_whole() {
    assert_eq!(COPY["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} is the name of two operations");
        assert!(operation["summary"].is_string(), "{method} {path} has no summary");
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let in_path = parameters.filter(|parameter| parameter["in"] == "path");
        let named: BTreeSet<String> = in_path
            .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
            .collect();
        let wanted: BTreeSet<String> =
            path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned).collect();
        assert_eq!(named, wanted, "{method} {path}");
    }
    let mut references = BTreeSet::new();
    collect(&COPY, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(COPY.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for kind in ["schemas", "responses"] {
        for name in COPY["components"][kind].as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(COPY.to_string().contains(&format!("{reference}\"")), "{reference} is unused");
        }
    }
}

fn collect<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|value| collect(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

#[test]
fn document_finds_the_template_of_a_path() {
    for (template, path, said) in [
        ("/", "/", Some(1)),
        ("/", "/a", None),
        ("/{path}", "/a/b", Some(1)),
        ("/a/{id}", "/a/1", Some(3)),
        ("/a/{id}", "/a/", None),
        ("/a/{id}/commit", "/a/1/commit", Some(10)),
        ("/a/{id}/commit", "/a/1/other", None),
    ] {
        assert_eq!(fits(template, path), said, "{template} {path}");
    }
}

/// What the document says of the slashes in names: a generated client escapes them.
#[tokio::test]
async fn document_speaks_the_truth_about_names_in_paths() {
    let (registry, token) = started().await;
    let image = hello();
    registry.publish(&token, &image, team_key()).await;
    for (plain, escaped) in [
        (
            "/-/images/example.com/team/hello:1.0.0.aci",
            "/-/images/example.com%2Fteam%2Fhello%3A1.0.0.aci",
        ),
        ("/-/pubkeys/example.com/team.asc", "/-/pubkeys/example.com%2Fteam.asc"),
        ("/team/hello", "/team%2Fhello"),
    ] {
        let ask = async |path: &str| {
            let response = registry.get(path).await;
            (response.status(), response.bytes().await.unwrap())
        };
        let plain = ask(plain).await;
        assert_eq!(plain.0, StatusCode::OK);
        assert!(ask(escaped).await == plain, "{escaped}");
    }
    let begun = registry.client.post(registry.url("/-/acpush/example.com%2Fteam%2Fhello"));
    let begun = begun.bearer_auth(&token).send().await.unwrap();
    assert_eq!(begun.status(), StatusCode::OK);
}

/// A path that is no UTF-8 is refused in our words, not in those of the framework.
#[tokio::test]
async fn document_has_every_refusal_of_paths() {
    let (registry, token) = started().await;
    for (method, template, _) in operations().filter(|(_, path, _)| path.contains('{')) {
        let (before, rest) = template.split_once('{').unwrap();
        let (_, after) = rest.split_once('}').unwrap();
        let url = registry.url(&format!("{before}%FF{after}"));
        let method = method.to_ascii_uppercase().parse().unwrap();
        let request = registry.client.request(method, url).bearer_auth(&token).body("{}");
        let response = request.send().await.unwrap();
        if template == "/{path}" {
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            let text = response.text().await.unwrap();
            assert!(text.contains("<h1>") && text.contains("nothing at this path"), "{text}");
        } else {
            let (status, code) = refused(response).await;
            assert!(matches!(status, 403 | 404), "{template}: {status} {code}");
        }
    }
}
