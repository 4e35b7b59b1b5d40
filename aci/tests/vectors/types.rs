//! The suites of types.md, and of texts a command line takes.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use aci::manifest::{MountPoint, Port, Volume, VolumeKind};
use aci::{
    AcKind, AcName, AcVersion, GoPlatform, Identifier, ImageId, ImageIdPrefix, Label, Labels,
    Reference, Timestamp, Uuid, WebUrl,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use super::{Outcome, Refused};

pub(super) fn run(suite: &str, op: &str, input: &Value) -> Option<Outcome> {
    let text = input.as_str().unwrap_or_default();
    Some(match (suite, op) {
        ("acname", "parse") => parsed::<AcName>("name", text).map(shown),
        ("acname", "json") => string(text).and_then(|t| parsed::<AcName>("name", &t)).map(shown),
        ("acname", "sanitize") => refused("name", AcName::sanitized(text)).map(shown),
        ("acidentifier", "parse") => parsed::<Identifier>("identifier", text).map(shown),
        ("acidentifier", "json") => {
            string(text).and_then(|t| parsed::<Identifier>("identifier", &t)).map(shown)
        }
        ("acidentifier", "sanitize") => {
            refused("identifier", Identifier::sanitized(text)).map(shown)
        }
        ("ackind", "json") => string(text).and_then(|t| parsed::<AcKind>("kind", &t)).map(shown),
        ("date", "json") => string(text).and_then(|t| parsed("date", &t)).map(date),
        ("url", "json") => string(text).and_then(|t| parsed::<WebUrl>("url", &t)).map(shown),
        ("uuid", "parse") => parsed::<Uuid>("uuid", text).map(shown),
        ("semver", "json") => string(text).and_then(|t| parsed("version", &t)).map(version),
        ("hash", "json") => string(text).and_then(|t| parsed::<ImageId>("image-id", &t)).map(shown),
        ("hash", "sha512") => Ok(shown(ImageId::of(Sha512::digest(text).into()))),
        ("hash", "short") => parsed::<ImageIdPrefix>("image-id", text).map(|id| shown(id.short())),
        ("os_arch", "to_appc") => to_appc(input),
        ("os_arch", "to_go") => to_go(input),
        ("labels", "from_map") => from_map(input),
        ("mountpoint", "from_string") => command_line(text, mount_point),
        ("port", "from_string") => command_line(text, port),
        ("volume", "from_string") => command_line(text, volume),
        ("app_image_string", "parse") => parsed("reference", text).map(reference),
        ("app_image_string", "to_string") => to_string(input),
        _ => return None,
    })
}

fn refused<T>(code: &str, result: Result<T, impl Display>) -> Result<T, Refused> {
    result.map_err(|error| Refused::new(code, error))
}

fn parsed<T: FromStr<Err: Display>>(code: &str, text: &str) -> Result<T, Refused> {
    refused(code, text.parse())
}

/// A JSON text that is one string.
fn string(json: &str) -> Result<String, Refused> {
    refused("json", serde_json::from_str(json))
}

fn shown(value: impl Display) -> Value {
    value.to_string().into()
}

fn date(date: Timestamp) -> Value {
    json!({"unix": date.unix(), "nanos": date.nanoseconds(), "string": date.to_string()})
}

fn version(version: AcVersion) -> Value {
    let parts = version.semver();
    json!({"major": parts.major, "minor": parts.minor, "patch": parts.patch,
        "pre": parts.pre.as_str(), "meta": parts.build.as_str(), "string": version.to_string()})
}

fn to_appc(input: &Value) -> Outcome {
    let [os, arch, arm] = [0, 1, 2].map(|at| input[at].as_str().unwrap().to_owned());
    let labels = GoPlatform { os, arch, arm }.labels();
    labels.map(|(os, arch)| json!([os, arch])).ok_or_else(|| Refused::new("platform", "unknown"))
}

fn to_go(input: &Value) -> Outcome {
    let go = GoPlatform::of(input[0].as_str().unwrap(), input[1].as_str().unwrap());
    go.map(|go| json!([go.os, go.arch, go.arm])).ok_or_else(|| Refused::new("platform", "unknown"))
}

fn from_map(input: &Value) -> Outcome {
    let map: BTreeMap<String, String> = serde_json::from_value(input.clone()).unwrap();
    let label =
        |(name, value): (String, String)| Ok(Label { name: parsed("identifier", &name)?, value });
    let labels: Vec<Label> = map.into_iter().map(label).collect::<Result<_, Refused>>()?;
    let labels = refused("label", Labels::try_from(labels))?;
    Ok(labels.iter().map(|l| json!([l.name.to_string(), l.value])).collect())
}

fn command_line<T>(text: &str, show: fn(T) -> Value) -> Outcome
where
    T: FromStr<Err = aci::manifest::TextError> + Display + PartialEq + std::fmt::Debug,
{
    let value: T = text.parse().map_err(|e: T::Err| Refused::new(e.code(), &e))?;
    assert_eq!(value.to_string().parse().ok().as_ref(), Some(&value), "it reads what it prints");
    Ok(show(value))
}

pub(super) fn mount_point(point: MountPoint) -> Value {
    json!({"name": point.name, "path": point.path, "readOnly": point.read_only})
}

pub(super) fn port(port: Port) -> Value {
    json!({"name": port.name, "protocol": port.protocol, "port": port.port,
        "count": port.count.unwrap_or_default(), "socketActivated": port.socket_activated})
}

pub(super) fn volume(volume: Volume) -> Value {
    let string = volume.to_string();
    let empty = volume.kind == VolumeKind::Empty;
    let id = |id: Option<u32>| id.or(empty.then_some(0));
    let mode = volume.mode.or(empty.then(|| "0755".to_owned()));
    json!({"name": volume.name, "kind": volume.kind, "source": volume.source,
        "readOnly": volume.read_only, "recursive": volume.recursive, "mode": mode,
        "uid": id(volume.uid), "gid": id(volume.gid), "string": string})
}

fn reference(reference: Reference) -> Value {
    let labels: BTreeMap<String, String> =
        reference.labels().iter().map(|l| (l.name.to_string(), l.value.clone())).collect();
    json!({"name": reference.name().as_str(), "labels": labels})
}

fn to_string(input: &Value) -> Outcome {
    let map: BTreeMap<String, String> = serde_json::from_value(input["labels"].clone()).unwrap();
    let labels: Vec<Label> =
        map.into_iter().map(|(name, value)| Label { name: name.parse().unwrap(), value }).collect();
    let name = input["name"].as_str().unwrap().parse().unwrap();
    let text = Reference::new(name, Labels::try_from(labels).unwrap()).to_string();
    parsed("reference", &text).map(reference)
}
