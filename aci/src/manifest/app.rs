//! How to run an image (spec: aci.md, "app").

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::parts::{absolute, unclean};
use crate::isolator::{self, Scope};
use crate::json::{Extra, Spot};
use crate::name::Identifier;
use crate::types::AcName;

/// How to run an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct App {
    /// The program and its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exec: Vec<String>,
    /// A user name, a number, or `/path` for the owner of that file.
    pub user: String,
    /// A group name, a number, or `/path` for the group of that file.
    pub group: String,
    /// More groups, as numbers.
    #[serde(rename = "supplementaryGIDs", skip_serializing_if = "Vec::is_empty")]
    pub supplementary_gids: Vec<u32>,
    /// Programs to run before and after.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub event_handlers: Vec<EventHandler>,
    /// Where the program starts, an absolute path; `/` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Environment variables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<EnvironmentVariable>,
    /// Limits and privileges.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub isolators: Vec<Isolator>,
    /// Where data from outside is mounted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mount_points: Vec<MountPoint>,
    /// Ports the program listens on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// The user's own metadata.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub user_annotations: BTreeMap<String, String>,
    /// The user's own labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub user_labels: BTreeMap<String, String>,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A program to run at an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventHandler {
    /// `pre-start` or `post-stop`.
    pub name: String,
    /// The program and its arguments.
    pub exec: Vec<String>,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnvironmentVariable {
    /// Its name: letters, digits, `_`, `.` and `-`, first a letter or `_`.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A limit or a privilege.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Isolator {
    /// Which one.
    pub name: Identifier,
    /// Its value, whose form depends on the name.
    pub value: Value,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A place where data from outside is mounted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MountPoint {
    /// What it is called.
    pub name: AcName,
    /// Where, inside the rootfs.
    pub path: String,
    /// Whether it may not be written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

/// A port, or a run of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// What it is called.
    pub name: AcName,
    /// `tcp`, `udp`, or another word.
    pub protocol: String,
    /// The first port, from 1.
    pub port: u16,
    /// How many ports, at least one; one where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u16>,
    /// Whether the program expects listening sockets to be passed in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub socket_activated: bool,
    /// Fields the spec does not name.
    #[serde(flatten)]
    pub extra: Extra,
}

const APP: &str = "spec: aci.md, app";
pub(super) const MOUNT_POINTS: &str = "spec: aci.md, app.mountPoints";
pub(super) const PORTS: &str = "spec: aci.md, app.ports";

const APP_KEYS: &[&str] = &[
    "exec",
    "user",
    "group",
    "supplementaryGIDs",
    // The spec's example spells it so; its text spells it as above.
    "supplementaryGids",
    "eventHandlers",
    "workingDirectory",
    "environment",
    "isolators",
    "mountPoints",
    "ports",
    "userAnnotations",
    "userLabels",
];

impl App {
    /// An app that runs as this user and group, and says nothing else.
    pub fn new(user: String, group: String) -> Self {
        Self {
            exec: Vec::new(),
            user,
            group,
            supplementary_gids: Vec::new(),
            event_handlers: Vec::new(),
            working_directory: None,
            environment: Vec::new(),
            isolators: Vec::new(),
            mount_points: Vec::new(),
            ports: Vec::new(),
            user_annotations: BTreeMap::new(),
            user_labels: BTreeMap::new(),
            extra: Extra::default(),
        }
    }

    pub(crate) fn read(spot: &Spot<'_, '_>) -> Option<Self> {
        let fields = spot.fields(APP_KEYS)?;
        let exec = fields.list("exec", |spot| spot.argument());
        let user = fields.required("user", APP, account);
        let group = fields.required("group", APP, account);
        let supplementary_gids = fields.list("supplementaryGIDs", gid);
        let example = fields.optional("supplementaryGids", |spot| spot.list(gid));
        // To Go, the one that comes last counts.
        fields.key("supplementaryGIDs", |_| {
            fields.key("supplementaryGids", |spot| {
                spot.error::<()>("duplicate", "supplementaryGIDs says it already", APP);
            });
        });
        let event_handlers = fields.at("eventHandlers", event_handlers).unwrap_or(Some(Vec::new()));
        let working_directory = fields.optional("workingDirectory", |spot| match spot.text()? {
            "" => Some(String::new()),
            _ => absolute(spot, APP),
        });
        let environment = fields.at("environment", environment).unwrap_or(Some(Vec::new()));
        let isolators = fields
            .at("isolators", |spot| isolator::read(spot, Scope::App))
            .unwrap_or(Some(Vec::new()));
        let mount_points = fields.at("mountPoints", mount_points).unwrap_or(Some(Vec::new()));
        let ports = fields.at("ports", ports).unwrap_or(Some(Vec::new()));
        let user_annotations = fields.at("userAnnotations", |spot| spot.strings());
        let user_labels = fields.at("userLabels", |spot| spot.strings());
        Some(Self {
            exec: exec?,
            user: user?,
            group: group?,
            supplementary_gids: example?.unwrap_or(supplementary_gids?),
            event_handlers: event_handlers?,
            working_directory: working_directory?.filter(|path| !path.is_empty()),
            environment: environment?,
            isolators: isolators?,
            mount_points: mount_points?,
            ports: ports?,
            user_annotations: user_annotations.unwrap_or(Some(BTreeMap::new()))?,
            user_labels: user_labels.unwrap_or(Some(BTreeMap::new()))?,
            extra: fields.extra(),
        })
    }
}

/// A user or a group. Both are free text: what it means is known where the rootfs is.
fn account(spot: &Spot<'_, '_>) -> Option<String> {
    let text = spot.argument()?;
    if text.is_empty() {
        return spot.error("empty", "a name, a number or a path was wanted, not nothing", APP);
    }
    // A number the kernel has no room for, or takes for "nobody in particular".
    let number = text.bytes().all(|b| b.is_ascii_digit());
    if number && !text.parse::<u32>().is_ok_and(|id| id < u32::MAX) {
        let message = format!("{text} is past 4294967294, the last number of a user or group");
        spot.warn("range", message, APP);
    }
    Some(text)
}

fn gid(spot: &Spot<'_, '_>) -> Option<u32> {
    let most = u64::from(u32::MAX - 1);
    spot.integer(0, most, APP).and_then(|gid| u32::try_from(gid).ok())
}

fn event_handlers(spot: &Spot<'_, '_>) -> Option<Vec<EventHandler>> {
    let handlers = spot.items_of(EventHandler::read)?;
    spot.unique(
        &handlers,
        "event handler",
        |handler| &handler.name,
        "spec: aci.md, app.eventHandlers",
    );
    handlers.all()
}

impl EventHandler {
    pub(crate) fn read(spot: &Spot<'_, '_>) -> Option<Self> {
        const RULE: &str = "spec: aci.md, app.eventHandlers";
        let fields = spot.fields(&["name", "exec"])?;
        let name = fields.required("name", RULE, |name| match name.text()? {
            event @ ("pre-start" | "post-stop") => Some(event.to_owned()),
            other => {
                let message = format!("{other:?} is no event: pre-start or post-stop");
                name.error("event", message, RULE)
            }
        });
        let exec = fields.list("exec", |spot| spot.argument());
        fields.warn_absent("exec", RULE);
        Some(Self { name: name?, exec: exec?, extra: fields.extra() })
    }
}

/// A list of environment variables.
pub(crate) fn environment(spot: &Spot<'_, '_>) -> Option<Vec<EnvironmentVariable>> {
    const RULE: &str = "spec: aci.md, app.environment";
    let variable = |spot: &Spot<'_, '_>| {
        let fields = spot.fields(&["name", "value"])?;
        let name = fields.required("name", RULE, |name| {
            let text = name.text()?;
            let first = |c: char| c.is_ascii_alphabetic() || c == '_';
            let other = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            if text.starts_with(first) && text.chars().all(other) {
                return Some(text.to_owned());
            }
            let message = format!(
                "{text:?} is no name of a variable: letters, digits, _ . and -, first a letter or _"
            );
            name.error("environment-name", message, RULE)
        });
        let value = fields.optional("value", |spot| spot.argument());
        fields.warn_absent("value", RULE);
        let (name, value) = (name?, value?.unwrap_or_default());
        Some(EnvironmentVariable { name, value, extra: fields.extra() })
    };
    let variables = spot.items_of(variable)?;
    spot.unique(&variables, "environment variable", |variable| &variable.name, RULE);
    variables.all()
}

/// A list of mount points.
fn mount_points(spot: &Spot<'_, '_>) -> Option<Vec<MountPoint>> {
    let points = spot.items_of(MountPoint::read)?;
    spot.warn_twice(&points, "mount point", |point| &point.name, MOUNT_POINTS);
    points.all()
}

impl MountPoint {
    pub(crate) fn read(spot: &Spot<'_, '_>) -> Option<Self> {
        let fields = spot.fields(&["name", "path", "readOnly"])?;
        let name = fields.required("name", MOUNT_POINTS, |name| name.parsed("name", MOUNT_POINTS));
        let path = fields.required("path", MOUNT_POINTS, |spot| {
            let path = spot.argument()?;
            if path.is_empty() {
                return spot.error("empty", "a path was wanted, not nothing", MOUNT_POINTS);
            }
            if !path.starts_with('/') {
                spot.warn("path-relative", format!("{path:?} is no absolute path"), MOUNT_POINTS);
            }
            unclean(spot, &path, MOUNT_POINTS);
            Some(path)
        });
        let read_only = fields.optional("readOnly", |spot| spot.boolean());
        Some(Self {
            name: name?,
            path: path?,
            read_only: read_only?.unwrap_or_default(),
            extra: fields.extra(),
        })
    }
}

/// A list of ports.
fn ports(spot: &Spot<'_, '_>) -> Option<Vec<Port>> {
    let ports = spot.items_of(Port::read)?;
    spot.warn_twice(&ports, "port", |port| &port.name, PORTS);
    ports.all()
}

impl Port {
    pub(crate) fn read(spot: &Spot<'_, '_>) -> Option<Self> {
        const MOST: u64 = u16::MAX as u64;
        let fields = spot.fields(&["name", "protocol", "port", "count", "socketActivated"])?;
        let small = |number: u64| u16::try_from(number).ok();
        let name = fields.required("name", PORTS, |name| name.parsed("name", PORTS));
        let protocol = fields.required("protocol", PORTS, |spot| match spot.text()? {
            "" => spot.error("empty", "a word such as tcp was wanted, not nothing", PORTS),
            word => Some(word.to_owned()),
        });
        let port =
            fields.required("port", PORTS, |spot| spot.integer(1, MOST, PORTS).and_then(small));
        let count = fields.optional("count", |spot| {
            let count = spot.integer(1, MOST, PORTS).and_then(small)?;
            let last = u64::from(port?) + u64::from(count) - 1;
            if last > MOST {
                let message = format!("the last of {count} ports would be {last}, past {MOST}");
                return spot.error("range", message, PORTS);
            }
            Some(count)
        });
        let socket_activated = fields.optional("socketActivated", |spot| spot.boolean());
        Some(Self {
            name: name?,
            protocol: protocol?,
            port: port?,
            count: count?,
            socket_activated: socket_activated?.unwrap_or_default(),
            extra: fields.extra(),
        })
    }
}
