//! AppEdits of how an image is run.

use aci::JsonPath;
use aci::manifest::{MountPoint, Port};
use serde_json::{Value, json};

use super::Failure;
use crate::cli::files::pair;
use builder::manifest::{Editor, named, path};

#[derive(clap::Args)]
#[command(next_help_heading = "The app")]
pub(super) struct AppEdits {
    /// The program and its arguments; write arguments that begin with a dash as --exec=-x, or after --
    #[arg(long, value_name = "ARG", num_args = 1.., conflicts_with = "command")]
    exec: Vec<String>,
    /// The program and its arguments, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Run as this user: a name, a number, or /path for the owner of that file
    #[arg(long)]
    user: Option<String>,
    /// Run as this group
    #[arg(long)]
    group: Option<String>,
    /// Run with these groups, too, in place of those there are
    #[arg(long, value_name = "GID,…", value_delimiter = ',', alias = "supplementary-groups")]
    supplementary_gids: Option<Vec<u32>>,
    /// Run in this directory
    #[arg(long, value_name = "PATH")]
    working_dir: Option<String>,
    /// Add or replace an environment variable
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = pair::<String>)]
    environment: Vec<(String, String)>,
    /// Remove an environment variable
    #[arg(long, value_name = "NAME")]
    remove_env: Vec<String>,
    /// Run this before (pre-start) or after (post-stop): EVENT=/program, or EVENT=["/program","-x"]
    #[arg(long = "event-handler", value_name = "EVENT=EXEC", value_parser = handler)]
    event_handlers: Vec<(String, Value)>,
    /// Remove an event handler
    #[arg(long, value_name = "EVENT")]
    remove_event_handler: Vec<String>,
    /// Add or replace a mount point: NAME,path=PATH[,readOnly=true]
    #[arg(long = "mount", value_name = "MOUNT")]
    mounts: Vec<MountPoint>,
    /// The same, several in one text, as actool takes them
    #[arg(long = "mounts", hide = true, value_delimiter = ':')]
    more_mounts: Vec<MountPoint>,
    /// Remove a mount point
    #[arg(long, value_name = "NAME")]
    remove_mount: Vec<String>,
    /// Add or replace a port: NAME,protocol=tcp,port=N[,count=N][,socketActivated=true]
    #[arg(long = "port", value_name = "PORT")]
    ports: Vec<Port>,
    /// The same, several in one text, as actool takes them
    #[arg(long = "ports", hide = true, value_delimiter = ':')]
    more_ports: Vec<Port>,
    /// Remove a port
    #[arg(long, value_name = "NAME")]
    remove_port: Vec<String>,
    /// Add or replace an annotation of the user's own
    #[arg(long = "user-annotation", value_name = "NAME=VALUE", value_parser = pair::<String>)]
    user_annotations: Vec<(String, String)>,
    /// Remove an annotation of the user's own
    #[arg(long, value_name = "NAME")]
    remove_user_annotation: Vec<String>,
    /// Add or replace a label of the user's own
    #[arg(long = "user-label", value_name = "NAME=VALUE", value_parser = pair::<String>)]
    user_labels: Vec<(String, String)>,
    /// Remove a label of the user's own
    #[arg(long, value_name = "NAME")]
    remove_user_label: Vec<String>,
}

impl AppEdits {
    pub(super) fn is_empty(&self) -> bool {
        !self.removes() && !self.puts()
    }

    fn removes(&self) -> bool {
        let lists = [
            &self.remove_env,
            &self.remove_event_handler,
            &self.remove_mount,
            &self.remove_port,
            &self.remove_user_annotation,
            &self.remove_user_label,
        ];
        lists.iter().any(|list| !list.is_empty())
    }

    fn puts(&self) -> bool {
        let pairs = [&self.environment, &self.user_annotations, &self.user_labels];
        !self.exec().is_empty()
            || self.user.is_some()
            || self.group.is_some()
            || self.supplementary_gids.is_some()
            || self.working_dir.is_some()
            || pairs.iter().any(|list| !list.is_empty())
            || !self.event_handlers.is_empty()
            || self.mounts().next().is_some()
            || self.ports().next().is_some()
    }

    fn exec(&self) -> &[String] {
        if self.exec.is_empty() { &self.command } else { &self.exec }
    }

    fn mounts(&self) -> impl Iterator<Item = &MountPoint> {
        self.mounts.iter().chain(&self.more_mounts)
    }

    fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter().chain(&self.more_ports)
    }

    pub(super) fn remove(&self, editor: &mut Editor) -> Result<(), Failure> {
        for (list, what, names) in [
            ("environment", "environment variable", &self.remove_env),
            ("eventHandlers", "event handler", &self.remove_event_handler),
            ("mountPoints", "mount point", &self.remove_mount),
            ("ports", "port", &self.remove_port),
        ] {
            for name in names {
                let what = format!("{what} {name}");
                editor.remove_items(&path(&["app", list]), &what, named(name))?;
            }
        }
        for (object, names) in [
            ("userAnnotations", &self.remove_user_annotation),
            ("userLabels", &self.remove_user_label),
        ] {
            names.iter().try_for_each(|name| editor.unset(&path(&["app", object, name])))?;
        }
        Ok(())
    }

    pub(super) fn put(&self, editor: &mut Editor) -> Result<(), Failure> {
        if !self.puts() {
            return Ok(());
        }
        let app = editor.app()?;
        if !self.exec().is_empty() {
            editor.set_app("exec", &json!(self.exec()))?;
        }
        let texts =
            [("user", &self.user), ("group", &self.group), ("workingDirectory", &self.working_dir)];
        for (field, value) in
            texts.into_iter().filter_map(|(field, it)| Some((field, it.as_ref()?)))
        {
            editor.set_app(field, &json!(value))?;
        }
        if let Some(gids) = &self.supplementary_gids {
            // The spec's example spells it otherwise than its text.
            let example = editor.has(&app.key("supplementaryGids"));
            let field = if example { "supplementaryGids" } else { "supplementaryGIDs" };
            editor.set_app(field, &json!(gids))?;
        }
        for (event, exec) in &self.event_handlers {
            let handler = json!({ "name": event, "exec": exec }).to_string();
            editor.put(&app.key("eventHandlers"), &handler, &[], named(event))?;
        }
        for (name, value) in &self.environment {
            editor.put_value(&app.key("environment"), name, &json!(value).to_string())?;
        }
        for one in self.mounts() {
            put_named(editor, &app.key("mountPoints"), &json!(one), &["readOnly"])?;
        }
        for one in self.ports() {
            put_named(editor, &app.key("ports"), &json!(one), &["count", "socketActivated"])?;
        }
        for (object, pairs) in
            [("userAnnotations", &self.user_annotations), ("userLabels", &self.user_labels)]
        {
            for (name, value) in pairs {
                editor.set(&app.key(object).key(name), &json!(value))?;
            }
        }
        Ok(())
    }
}

/// Adds an item to a list, in place of the one of its name. Of that, fields stay that nobody
/// knows; `optional` are those that may be absent.
fn put_named(
    editor: &mut Editor,
    list: &JsonPath,
    item: &Value,
    optional: &[&str],
) -> Result<(), Failure> {
    Ok(editor.put(list, &item.to_string(), optional, |other| other["name"] == item["name"])?)
}

/// `EVENT=EXEC`, where EXEC is a list of words in JSON, or one program without arguments.
fn handler(text: &str) -> Result<(String, Value), String> {
    let (event, exec): (_, String) = pair(text)?;
    if !exec.starts_with('[') {
        return Ok((event, json!([exec])));
    }
    let words: Vec<String> = serde_json::from_str(&exec)
        .map_err(|error| format!("{exec:?} is no JSON list of words: {error}"))?;
    Ok((event, json!(words)))
}
