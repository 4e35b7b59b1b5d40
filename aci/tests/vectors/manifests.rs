//! The suites of aci.md and pods.md: manifests, and parts of them put into a manifest.

use aci::manifest::{Extra, Outline};
use aci::{GoPlatform, ImageManifest, ManifestError, PodManifest};
use serde_json::{Value, json};

use super::{Outcome, Refused};
use crate::types;

pub(super) fn run(suite: &str, op: &str, input: &Value) -> Option<Outcome> {
    let text = input.as_str().unwrap_or_default();
    Some(match (suite, op) {
        ("image_manifest", "json") => image(text).map(|manifest| written(&manifest.to_json())),
        ("pod_manifest", "json") => pod(text).map(|manifest| written(&manifest.to_json())),
        ("app", "json") => app(text),
        ("exec", "json") => of_app("exec", text).map(|app| app["exec"].clone()).map(list),
        ("event_handler", "json") => {
            of_app("eventHandlers", &format!("[{text}]")).map(|app| app["eventHandlers"][0].clone())
        }
        ("environment", "json") => {
            of_app("environment", text).map(|app| pairs(&app["environment"]))
        }
        ("mountpoint", "json") => {
            one_of(text, "mountPoints", |mut app| types::mount_point(app.mount_points.remove(0)))
        }
        ("port", "json") => one_of(text, "ports", |mut app| {
            let mut port = app.ports.remove(0);
            // In JSON one port is the default; on a command line it stays open.
            port.count = port.count.or(Some(1));
            types::port(port)
        }),
        ("volume", "json") => volume(text),
        ("annotations", "json") => with("annotations", text).map(|m| pairs(&m["annotations"])),
        ("labels", "json") => labels(text),
        ("dependencies", "json") => {
            with("dependencies", &format!("[{text}]")).map(|m| m["dependencies"][0].clone())
        }
        ("lastditch", "image") => outline(Outline::image(text.as_bytes())).map(image_outline),
        ("lastditch", "pod") => outline(Outline::pod(text.as_bytes())).map(|outline| {
            let apps: Vec<Value> = outline.apps.into_iter().map(app_outline).collect();
            json!({"acKind": "PodManifest", "acVersion": outline.version, "apps": apps})
        }),
        _ => return None,
    })
}

fn refused(error: &ManifestError) -> Refused {
    let first = &error.findings()[0];
    Refused::new(first.code, error)
}

fn image(text: &str) -> Result<ImageManifest, Refused> {
    let mut manifest = ImageManifest::from_json(text.as_bytes()).map_err(|e| refused(&e))?;
    // The reference drops what it does not know.
    manifest.extra = Extra::default();
    if let Some(app) = &mut manifest.app {
        app.extra = Extra::default();
    }
    Ok(manifest)
}

fn pod(text: &str) -> Result<PodManifest, Refused> {
    PodManifest::from_json(text.as_bytes()).map_err(|error| refused(&error))
}

fn written(json: &serde_json::Result<Vec<u8>>) -> Value {
    serde_json::from_slice(json.as_ref().unwrap()).unwrap()
}

/// A manifest in which the field `key` is `text`, acceptable JSON or not.
fn manifest(key: &str, text: &str) -> Result<ImageManifest, Refused> {
    image(&format!(
        r#"{{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a","{key}":{text}}}"#
    ))
}

fn with(key: &str, text: &str) -> Outcome {
    manifest(key, text).map(|manifest| written(&manifest.to_json()))
}

/// An object as `app`. `null`, as an absent one, would be no app.
fn app(text: &str) -> Outcome {
    let manifest = with("app", text)?;
    manifest.get("app").cloned().ok_or_else(|| Refused::new("required", "there is no app"))
}

/// An app in which the field `key` is `text`.
fn of_app(key: &str, text: &str) -> Outcome {
    app(&format!(r#"{{"user":"0","group":"0","{key}":{text}}}"#))
}

fn one_of(text: &str, key: &str, show: fn(aci::manifest::App) -> Value) -> Outcome {
    let app = format!(r#"{{"user":"0","group":"0","{key}":[{text}]}}"#);
    manifest("app", &app).map(|manifest| show(manifest.app.unwrap()))
}

fn volume(text: &str) -> Outcome {
    let pod = pod(&format!(
        r#"{{"acKind":"PodManifest","acVersion":"0.8.11","apps":[],"volumes":[{text}]}}"#
    ))?;
    Ok(types::volume(pod.volumes[0].clone()))
}

fn labels(text: &str) -> Outcome {
    let manifest = manifest("labels", text)?;
    let value = |name: &str| manifest.labels.value(name).unwrap_or_default();
    let go = GoPlatform::of(value("os"), value("arch"))
        .map_or_else(|| json!(["", "", ""]), |go| json!([go.os, go.arch, go.arm]));
    let labels: Vec<Value> =
        manifest.labels.iter().map(|l| json!([l.name.to_string(), l.value])).collect();
    Ok(json!({"labels": labels, "go": go}))
}

/// `[{name, value}]` as `[[name, value]]`.
fn pairs(list: &Value) -> Value {
    list.as_array().into_iter().flatten().map(|item| json!([item["name"], item["value"]])).collect()
}

/// An absent list is an empty one.
fn list(value: Value) -> Value {
    if value.is_null() { json!([]) } else { value }
}

fn outline(result: Result<Outline, ManifestError>) -> Result<Outline, Refused> {
    result.map_err(|error| refused(&error))
}

fn named(labels: &[(String, String)]) -> Value {
    labels.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn image_outline(outline: Outline) -> Value {
    json!({"acKind": "ImageManifest", "acVersion": outline.version, "name": outline.name,
        "labels": named(&outline.labels)})
}

fn app_outline(app: Outline) -> Value {
    json!({"name": app.name,
        "image": {"name": app.image, "id": app.id, "labels": named(&app.labels)}})
}
