//! How the image is run, as a recipe says it.

use std::collections::BTreeMap;

use aci::{AcName, Identifier};
use serde::Deserialize;
use serde_json::Value;

use super::command::Exec;
use super::fault::RecipeFault;
use super::text::{Account, Argument, ImagePath, VariableName};
use crate::manifest::Edit;

/// How the image is run. What is not said stays as the base has it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct App {
    /// The program and its arguments.
    pub exec: Option<Exec>,
    /// As whom it runs.
    pub user: Option<Account>,
    /// In which group.
    pub group: Option<Account>,
    /// In which groups besides.
    pub supplementary_groups: Option<Vec<u32>>,
    /// Where it starts.
    pub working_directory: Option<ImagePath>,
    /// Its variables.
    pub environment: BTreeMap<VariableName, Argument>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Where something can be mounted.
    pub mounts: Vec<Mount>,
    /// What it may use, each value as the specification has it.
    pub isolators: BTreeMap<Identifier, IsolatorValue>,
    /// What runs before and after it.
    pub event_handlers: EventHandlers,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Port {
    /// Its name.
    pub name: AcName,
    /// `tcp`, `udp`.
    pub protocol: String,
    /// The first number.
    pub port: u16,
    /// How many numbers.
    #[serde(default = "one")]
    pub count: u16,
    /// Whether the service is given the open socket.
    #[serde(default)]
    pub socket_activated: bool,
}

fn one() -> u16 {
    1
}

/// A mount point.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mount {
    /// Its name.
    pub name: AcName,
    /// Its path.
    pub path: ImagePath,
    /// Whether nothing may be written there.
    #[serde(default)]
    pub read_only: bool,
}

/// What runs at the events of an app.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct EventHandlers {
    /// Before it starts.
    pub pre_start: Option<Exec>,
    /// After it has ended.
    pub post_stop: Option<Exec>,
}

/// The value of an isolator.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct IsolatorValue(Value);

impl IsolatorValue {
    /// The same as a manifest has it.
    pub fn json(&self) -> &Value {
        &self.0
    }
}

impl TryFrom<toml::Value> for IsolatorValue {
    type Error = RecipeFault;

    fn try_from(value: toml::Value) -> Result<Self, RecipeFault> {
        json(value).map(Self)
    }
}

fn json(value: toml::Value) -> Result<Value, RecipeFault> {
    match value {
        toml::Value::String(text) => Ok(text.into()),
        toml::Value::Integer(number) => Ok(number.into()),
        toml::Value::Boolean(is) => Ok(is.into()),
        toml::Value::Array(list) => list.into_iter().map(json).collect(),
        toml::Value::Table(table) => {
            table.into_iter().map(|(key, value)| Ok((key, json(value)?))).collect()
        }
        // Neither has one form in JSON.
        toml::Value::Float(_) | toml::Value::Datetime(_) => Err(RecipeFault::NotJson),
    }
}

impl App {
    /// The edits that say the same, each with its key below `app`.
    pub(super) fn edits(&self) -> Vec<(Vec<String>, Edit)> {
        let mut all = Vec::new();
        let mut add = |key: &[&str], edit| {
            all.push((key.iter().map(|&part| part.to_owned()).collect(), edit));
        };
        if let Some(exec) = &self.exec {
            add(&["exec"], Edit::SetExec(exec.to_strings()));
        }
        if let Some(user) = &self.user {
            add(&["user"], Edit::SetUser(user.to_string()));
        }
        if let Some(group) = &self.group {
            add(&["group"], Edit::SetGroup(group.to_string()));
        }
        if let Some(groups) = &self.supplementary_groups {
            add(&["supplementary-groups"], Edit::SetSupplementaryGroups(groups.clone()));
        }
        if let Some(folder) = &self.working_directory {
            add(&["working-directory"], Edit::SetWorkingDirectory(folder.to_string()));
        }
        for (name, value) in &self.environment {
            let edit = Edit::AddEnvironment(name.to_string(), value.to_string());
            add(&["environment", name.as_str()], edit);
        }
        for (at, mount) in self.mounts.iter().enumerate() {
            add(&["mounts", &at.to_string()], mount.edit());
        }
        for (at, port) in self.ports.iter().enumerate() {
            add(&["ports", &at.to_string()], port.edit());
        }
        for (name, value) in &self.isolators {
            let edit = Edit::AddIsolator(name.to_string(), value.json().to_string());
            add(&["isolators", name.as_str()], edit);
        }
        let EventHandlers { pre_start, post_stop } = &self.event_handlers;
        for (event, exec) in [("pre-start", pre_start), ("post-stop", post_stop)] {
            if let Some(exec) = exec {
                let edit = Edit::SetEventHandler(event.to_owned(), exec.to_strings());
                add(&["event-handlers", event], edit);
            }
        }
        all
    }
}

impl Mount {
    fn edit(&self) -> Edit {
        let Self { name, path, read_only } = self;
        Edit::AddMount { name: name.to_string(), path: path.to_string(), read_only: *read_only }
    }
}

impl Port {
    fn edit(&self) -> Edit {
        Edit::AddPort {
            name: self.name.to_string(),
            protocol: self.protocol.clone(),
            port: self.port,
            count: self.count,
            socket_activated: self.socket_activated,
        }
    }
}
