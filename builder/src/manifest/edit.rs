//! The edits that acbuild's verbs make.

use aci::manifest::Dependency;
use aci::{Document, ImageId, JsonPath, Label, Labels, Name, Reference};
use serde_json::{Value, json};

use super::editor::{EditFault, Editor, named};
use super::path;

/// One edit of a manifest. Texts are as they were given; what they may be is the manifest's own
/// rules' to say ([`super::check`]).
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Adds an annotation, or replaces its value in its place.
    AddAnnotation(String, String),
    /// Removes an annotation.
    RemoveAnnotation(String),
    /// Adds a label, or replaces its value in its place.
    AddLabel(String, String),
    /// Removes a label.
    RemoveLabel(String),
    /// Adds an environment variable, or replaces its value in its place.
    AddEnvironment(String, String),
    /// Removes an environment variable.
    RemoveEnvironment(String),
    /// Adds a mount point, in the place of those of the same name or path.
    AddMount {
        /// Its name.
        name: String,
        /// Its path in the image.
        path: String,
        /// Whether nothing may be written there.
        read_only: bool,
    },
    /// Removes the mount points of this name or path.
    RemoveMount(String),
    /// Adds a port, in the place of one of the same name.
    AddPort {
        /// Its name.
        name: String,
        /// `tcp`, `udp`.
        protocol: String,
        /// The first number.
        port: u16,
        /// How many numbers.
        count: u16,
        /// Whether the service is given the open socket.
        socket_activated: bool,
    },
    /// Removes the ports of this name, number, or number and protocol (`80/tcp`).
    RemovePort(String),
    /// Adds an isolator, or replaces its value, which is this JSON.
    AddIsolator(String, String),
    /// Removes an isolator.
    RemoveIsolator(String),
    /// Adds a dependency in the place of those of its name; or, where `another` is set, of those of
    /// its name and labels.
    AddDependency {
        /// The dependency.
        dependency: Box<Dependency>,
        /// Whether others of its name stay.
        another: bool,
    },
    /// Removes the dependencies of a name; with labels, those that ask for them.
    RemoveDependency(Reference),
    /// Names the image.
    SetName(String),
    /// Sets program and arguments.
    SetExec(Vec<String>),
    /// Sets the user.
    SetUser(String),
    /// Sets the group.
    SetGroup(String),
    /// Sets the supplementary groups.
    SetSupplementaryGroups(Vec<u32>),
    /// Sets the folder the app starts in.
    SetWorkingDirectory(String),
    /// Sets what runs at an event, `pre-start` or `post-stop`.
    SetEventHandler(String, Vec<String>),
    /// Removes what runs at an event.
    RemoveEventHandler(String),
    /// Adds a path to the whitelist.
    AddToWhitelist(String),
    /// Puts another manifest in the place of this one, whole.
    Replace(Vec<u8>),
}

const MOUNT_POINT: [&str; 3] = ["name", "path", "readOnly"];
const PORT: [&str; 5] = ["name", "protocol", "port", "count", "socketActivated"];

impl Edit {
    /// The manifest after this edit.
    pub fn apply(&self, manifest: &[u8]) -> Result<Vec<u8>, EditFault> {
        if let Self::Replace(bytes) = self {
            Document::parse(bytes)
                .map_err(|error| EditFault::Value(format!("the new manifest is {error}")))?;
            return Ok(bytes.clone());
        }
        let mut editor = Editor::new(manifest)?;
        self.make(&mut editor)?;
        Ok(editor.finish())
    }

    /// Makes this edit among others.
    pub fn make(&self, editor: &mut Editor) -> Result<(), EditFault> {
        let text = |text: &str| json!(text).to_string();
        let list = |name: &str| path(&[name]);
        match self {
            Self::AddAnnotation(name, value) => {
                editor.put_value(&list("annotations"), name, &text(value))
            }
            Self::RemoveAnnotation(name) => editor.remove_items(
                &list("annotations"),
                &format!("annotation {name}"),
                named(name),
            ),
            Self::AddLabel(name, value) => editor.put_value(&list("labels"), name, &text(value)),
            Self::RemoveLabel(name) => {
                editor.remove_items(&list("labels"), &format!("label {name}"), named(name))
            }
            Self::AddDependency { dependency, another } => {
                add_dependency(editor, dependency, *another)
            }
            Self::RemoveDependency(wanted) => {
                let fits = |one: &Value| {
                    let mut labels = wanted.labels().iter();
                    one["imageName"] == wanted.name().as_str()
                        && labels.all(|label| has(one, label))
                };
                let what = format!("dependency {wanted}");
                editor.remove_items(&list("dependencies"), &what, fits)
            }
            Self::SetName(name) => editor.set(&list("name"), &json!(name)),
            Self::AddToWhitelist(path) => editor.put_text(&list("pathWhitelist"), path),
            Self::Replace(_) => Ok(()),
            of_the_app => of_the_app.make_in_app(editor),
        }
    }

    fn make_in_app(&self, editor: &mut Editor) -> Result<(), EditFault> {
        let list = |name: &str| path(&["app", name]);
        match self {
            Self::AddEnvironment(name, value) => {
                let app = editor.app()?;
                editor.put_value(&app.key("environment"), name, &json!(value).to_string())
            }
            Self::RemoveEnvironment(name) => {
                let what = format!("environment variable {name}");
                editor.remove_items(&list("environment"), &what, named(name))
            }
            Self::AddMount { path, .. } if !path.starts_with('/') => {
                Err(EditFault::Value(format!(
                    "{path:?} is no path to mount something at: it begins at the root, with a slash"
                )))
            }
            Self::AddMount { name, path, read_only } => {
                let mut item = json!({ "name": name, "path": path });
                if *read_only {
                    item["readOnly"] = json!(true);
                }
                let same = |one: &Value| one["name"] == *name || one["path"] == *path;
                put_one(editor, "mountPoints", &item, &MOUNT_POINT, same)
            }
            Self::RemoveMount(wanted) => {
                let same = |one: &Value| one["name"] == *wanted || one["path"] == *wanted;
                editor.remove_items(&list("mountPoints"), &format!("mount point {wanted}"), same)
            }
            Self::AddPort { name, protocol, port, count, socket_activated } => {
                let mut item = json!({ "name": name, "protocol": protocol, "port": port });
                if *count != 1 {
                    item["count"] = json!(count);
                }
                if *socket_activated {
                    item["socketActivated"] = json!(true);
                }
                put_one(editor, "ports", &item, &PORT, named(name))
            }
            Self::RemovePort(wanted) => {
                editor.remove_items(&list("ports"), &format!("port {wanted}"), is_port(wanted))
            }
            Self::AddIsolator(name, value) => {
                let app = editor.app()?;
                editor.put_value(&app.key("isolators"), name, value)
            }
            Self::RemoveIsolator(name) => {
                editor.remove_items(&list("isolators"), &format!("isolator {name}"), named(name))
            }
            Self::SetExec(exec) => editor.set_app("exec", &json!(exec)),
            Self::SetUser(user) => editor.set_app("user", &json!(user)),
            Self::SetGroup(group) => editor.set_app("group", &json!(group)),
            Self::SetSupplementaryGroups(gids) => editor.set_app("supplementaryGIDs", &json!(gids)),
            Self::SetWorkingDirectory(folder) => editor.set_app("workingDirectory", &json!(folder)),
            Self::SetEventHandler(event, exec) => {
                let item = json!({ "name": event, "exec": exec });
                put_one(editor, "eventHandlers", &item, &["name", "exec"], named(event))
            }
            Self::RemoveEventHandler(event) => {
                let what = format!("event handler {event}");
                editor.remove_items(&list("eventHandlers"), &what, named(event))
            }
            _ => Ok(()),
        }
    }
}

/// Puts an item in the place of the first that is the same, and drops the others.
fn put_one(
    editor: &mut Editor,
    field: &str,
    item: &Value,
    fields: &[&str],
    same: impl Fn(&Value) -> bool,
) -> Result<(), EditFault> {
    let list = editor.app()?.key(field);
    editor.drop_others(&list, &same)?;
    editor.put(&list, &item.to_string(), fields, same)
}

/// Whether a port is meant: by its name, its number, or number and protocol.
fn is_port(wanted: &str) -> impl Fn(&Value) -> bool + '_ {
    let (number, protocol) = match wanted.split_once('/') {
        Some((number, protocol)) => (number, Some(protocol)),
        None => (wanted, None),
    };
    let number: Option<u16> = number.parse().ok();
    move |one| {
        let is_protocol = protocol.is_none_or(|protocol| one["protocol"] == protocol);
        one["name"] == wanted || number.is_some_and(|number| one["port"] == number && is_protocol)
    }
}

fn add_dependency(
    editor: &mut Editor,
    dependency: &Dependency,
    another: bool,
) -> Result<(), EditFault> {
    let text = serde_json::to_string(dependency).map_err(|e| EditFault::Value(e.to_string()))?;
    let one: Value = serde_json::from_str(&text).map_err(|e| EditFault::Value(e.to_string()))?;
    let same = |other: &Value| {
        if another { same_dependency(&one)(other) } else { other["imageName"] == one["imageName"] }
    };
    let list = JsonPath::default().key("dependencies");
    editor.drop_others(&list, same)?;
    editor.put(&list, &text, &["imageName", "imageID", "labels", "size"], same)
}

/// Whether a dependency asks for this label.
fn has(dependency: &Value, label: &Label) -> bool {
    let mut labels = dependency["labels"].as_array().into_iter().flatten();
    labels.any(|one| one["name"] == label.name.as_str() && one["value"] == label.value.as_str())
}

/// Finds the dependencies of the name and the labels of this one, whatever the order of these.
pub fn same_dependency(one: &Value) -> impl Fn(&Value) -> bool {
    move |other| other["imageName"] == one["imageName"] && labels_of(other) == labels_of(one)
}

/// The labels of a dependency, whatever their order.
fn labels_of(dependency: &Value) -> Vec<String> {
    let labels = dependency["labels"].as_array().into_iter().flatten();
    let mut texts: Vec<String> =
        labels.map(|one| format!("{}={}", one["name"], one["value"])).collect();
    texts.sort();
    texts
}

/// A dependency as acbuild's options say it.
pub fn dependency(
    image: &str,
    image_id: Option<&str>,
    more: &[String],
    size: Option<u64>,
) -> Result<Dependency, EditFault> {
    let value = |error: &dyn std::fmt::Display| EditFault::Value(error.to_string());
    let reference: Reference = image.parse().map_err(|error| value(&error))?;
    let mut labels: Vec<Label> = reference.labels().iter().cloned().collect();
    for text in more {
        let label: Label = text.parse().map_err(|error| value(&error))?;
        if labels.iter().any(|other| other.name == label.name) {
            return Err(EditFault::Value(format!("the label {} is given twice", label.name)));
        }
        labels.push(label);
    }
    let image_id = image_id.map(str::parse::<ImageId>).transpose().map_err(|e| value(&e))?;
    let image_name: Name = reference.name().clone();
    let labels = Labels::try_from(labels).map_err(|error| value(&error))?;
    Ok(Dependency { image_name, image_id, labels, size, extra: Default::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/a"}"#;

    fn all(edits: &[Edit]) -> Value {
        let mut manifest = EMPTY.as_bytes().to_vec();
        for edit in edits {
            manifest = edit.apply(&manifest).unwrap();
        }
        serde_json::from_slice(&manifest).unwrap()
    }

    fn port(name: &str, port: u16) -> Edit {
        let (name, protocol) = (name.to_owned(), "tcp".to_owned());
        Edit::AddPort { name, protocol, port, count: 1, socket_activated: false }
    }

    fn mount(name: &str, path: &str) -> Edit {
        Edit::AddMount { name: name.to_owned(), path: path.to_owned(), read_only: false }
    }

    #[test]
    fn label_that_is_there_keeps_its_place() {
        let label = |name: &str, value: &str| Edit::AddLabel(name.to_owned(), value.to_owned());
        let all = all(&[label("a", "1"), label("b", "2"), label("a", "3")]);
        assert_eq!(
            all["labels"],
            json!([{"name": "a", "value": "3"}, {"name": "b", "value": "2"}])
        );
    }

    #[test]
    fn mount_takes_the_place_of_those_of_its_name_and_path() {
        let all = all(&[mount("a", "/a"), mount("b", "/b"), mount("a", "/b")]);
        assert_eq!(all["app"]["mountPoints"], json!([{"name": "a", "path": "/b"}]));
    }

    #[test]
    fn port_is_found_by_name_number_and_protocol() {
        let ports = [port("a", 80), port("b", 443)];
        for (wanted, left) in [("a", "b"), ("80", "b"), ("80/tcp", "b"), ("443/tcp", "a")] {
            let edits = [&ports[..], &[Edit::RemovePort(wanted.to_owned())]].concat();
            assert_eq!(all(&edits)["app"]["ports"][0]["name"], left, "{wanted}");
        }
        let manifest = port("a", 80).apply(EMPTY.as_bytes()).unwrap();
        let absent = Edit::RemovePort("80/udp".to_owned()).apply(&manifest);
        assert_eq!(absent, Err(EditFault::Absent("port 80/udp".to_owned())));
    }

    #[test]
    fn dependency_replaces_its_name_or_stands_beside_it() {
        let add = |image: &str, another| Edit::AddDependency {
            dependency: Box::new(dependency(image, None, &[], None).unwrap()),
            another,
        };
        let one = all(&[add("example.com/b:1", false), add("example.com/b:2", false)]);
        assert_eq!(one["dependencies"].as_array().unwrap().len(), 1);
        assert_eq!(one["dependencies"][0]["labels"][0]["value"], "2");
        let two = all(&[add("example.com/b:1", false), add("example.com/b:2", true)]);
        assert_eq!(two["dependencies"].as_array().unwrap().len(), 2);
        assert!(dependency("example.com/b:1", None, &["version=2".to_owned()], None).is_err());
    }

    #[test]
    fn replace_leaves_nothing_of_the_old_manifest() {
        let new = r#"{"acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/new"}"#;
        let all = all(&[
            Edit::AddLabel("a".to_owned(), "1".to_owned()),
            Edit::SetExec(vec!["/a".to_owned()]),
            Edit::Replace(new.as_bytes().to_vec()),
        ]);
        assert_eq!(all, serde_json::from_str::<Value>(new).unwrap());
    }
}
