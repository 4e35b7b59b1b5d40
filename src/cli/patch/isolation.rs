//! IsolationEdits of an app's limits and privileges.

use aci::{Document, Identifier};
use anyhow::anyhow;
use serde_json::{Map, Value, json};

use super::Failure;
use crate::cli::Kind;
use builder::manifest::{Editor, named, path};

const CAPABILITIES: [&str; 2] =
    ["os/linux/capabilities-retain-set", "os/linux/capabilities-remove-set"];
const SECCOMP: [&str; 2] = ["os/linux/seccomp-retain-set", "os/linux/seccomp-remove-set"];

#[derive(clap::Args)]
#[command(next_help_heading = "Limits and privileges")]
pub(super) struct IsolationEdits {
    /// Memory limit, as 512M: the isolator resource/memory
    #[arg(long, value_name = "QUANTITY")]
    memory: Option<String>,
    /// CPU limit, as 2 or 500m: the isolator resource/cpu
    #[arg(long, value_name = "QUANTITY")]
    cpu: Option<String>,
    /// Keep these capabilities and no others, in place of what was said of capabilities
    #[arg(long, value_name = "CAP,…", value_delimiter = ',', conflicts_with = "revoke_capability")]
    capability: Vec<String>,
    /// Take these capabilities away, in place of what was said of capabilities
    #[arg(long, value_name = "CAP,…", value_delimiter = ',')]
    revoke_capability: Vec<String>,
    /// Allow (retain) the system calls of --seccomp-set alone, or forbid (remove) them
    #[arg(long, value_name = "retain|remove[,errno=E]", requires = "seccomp_set", value_parser = mode)]
    seccomp_mode: Option<(usize, Option<String>)>,
    /// The system calls, or sets of them such as @appc.io/all
    #[arg(long, value_name = "CALL,…", value_delimiter = ',', requires = "seccomp_mode")]
    seccomp_set: Vec<String>,
    /// Add or replace an isolator: NAME=JSON, or NAME,key=text,… as resource/cpu,limit=100m
    #[arg(long = "isolator", value_name = "ISOLATOR", value_parser = isolator)]
    isolators: Vec<(String, String)>,
    /// The same, several in one text, as actool takes them
    #[arg(long = "isolators", hide = true, value_delimiter = ':', value_parser = isolator)]
    more_isolators: Vec<(String, String)>,
    /// Remove an isolator
    #[arg(long, value_name = "NAME")]
    remove_isolator: Vec<String>,
}

impl IsolationEdits {
    pub(super) fn is_empty(&self) -> bool {
        !self.puts() && self.remove_isolator.is_empty()
    }

    fn puts(&self) -> bool {
        let sets = [&self.capability, &self.revoke_capability, &self.seccomp_set];
        self.memory.is_some()
            || self.cpu.is_some()
            || sets.iter().any(|set| !set.is_empty())
            || !self.isolators.is_empty()
            || !self.more_isolators.is_empty()
    }

    pub(super) fn remove(&self, editor: &mut Editor) -> Result<(), Failure> {
        for name in &self.remove_isolator {
            let what = format!("isolator {name}");
            editor.remove_items(&path(&["app", "isolators"]), &what, named(name))?;
        }
        Ok(())
    }

    pub(super) fn put(&self, editor: &mut Editor) -> Result<(), Failure> {
        if !self.puts() {
            return Ok(());
        }
        let list = editor.app()?.key("isolators");
        let limits = [("resource/memory", &self.memory), ("resource/cpu", &self.cpu)];
        for (name, limit) in limits.into_iter().filter_map(|(name, it)| Some((name, it.as_ref()?)))
        {
            editor.put_in_value(&list, name, "limit", &json!(limit))?;
        }
        let capabilities = [&self.capability, &self.revoke_capability];
        for (name, set) in CAPABILITIES.into_iter().zip(capabilities) {
            if !set.is_empty() {
                let others = |one: &Value| CAPABILITIES.iter().any(|kind| one["name"] == *kind);
                editor.drop_items(&list, others)?;
                editor.put_value(&list, name, &json!({ "set": set }).to_string())?;
            }
        }
        if let Some((kind, errno)) = &self.seccomp_mode {
            let name = SECCOMP.get(*kind).ok_or_else(|| {
                Failure::new(Kind::Usage, anyhow!("there is no such mode of seccomp"))
            })?;
            editor.drop_items(&list, |one| SECCOMP.iter().any(|kind| one["name"] == *kind))?;
            let mut value = json!({ "set": self.seccomp_set });
            if let Some(errno) = errno {
                value["errno"] = json!(errno);
            }
            editor.put_value(&list, name, &value.to_string())?;
        }
        for (name, value) in self.isolators.iter().chain(&self.more_isolators) {
            editor.put_value(&list, name, value)?;
        }
        Ok(())
    }
}

/// `retain|remove[,errno=E]`, as an index into [`SECCOMP`].
fn mode(text: &str) -> Result<(usize, Option<String>), String> {
    let (mode, errno) = match text.split_once(',') {
        None => (text, None),
        Some((mode, rest)) => {
            let errno = rest.strip_prefix("errno=").filter(|errno| !errno.is_empty());
            (mode, Some(errno.ok_or_else(|| format!("{rest:?} is not errno=E"))?.to_owned()))
        }
    };
    match mode {
        "retain" => Ok((0, errno)),
        "remove" => Ok((1, errno)),
        _ => Err(format!("{mode:?} is neither retain nor remove")),
    }
}

/// `NAME=JSON` or `NAME,KEY=TEXT,…`, as name and JSON. That goes into the manifest as it is.
fn isolator(text: &str) -> Result<(String, String), String> {
    let end = text.find(['=', ',']).ok_or("an isolator is NAME=JSON, or NAME,key=text,…")?;
    let (name, rest) = text.split_at(end);
    let name: Identifier = name.parse().map_err(|error: aci::NameError| error.to_string())?;
    let value = if let Some(json) = rest.strip_prefix('=') {
        Document::parse(json.as_bytes()).map_err(|error| format!("{json:?} is {error}"))?;
        json.to_owned()
    } else {
        let mut value = Map::new();
        for part in rest[1..].split(',') {
            let (key, text) =
                part.split_once('=').ok_or_else(|| format!("{part:?} is not KEY=TEXT"))?;
            value.insert(key.to_owned(), text.into());
        }
        Value::from(value).to_string()
    };
    Ok((name.to_string(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isolator_is_read_in_both_forms() {
        for (text, value) in [
            ("resource/cpu,request=50m,limit=100m", r#"{"request":"50m","limit":"100m"}"#),
            ("os/linux/oom-score-adj=100", "100"),
            ("example.com/x={\"a\": 1.50}", "{\"a\": 1.50}"),
            ("os/unix/sysctl={\"net.core.somaxconn\":\"1,2\"}", r#"{"net.core.somaxconn":"1,2"}"#),
        ] {
            let name = text.split(['=', ',']).next().unwrap().to_owned();
            assert_eq!(isolator(text), Ok((name, value.to_owned())), "{text}");
        }
        for bad in [
            "resource/cpu",
            "resource/cpu,limit",
            "resource/cpu={",
            "NO=1",
            ",a=b",
            "a={\"b\":1,\"b\":2}",
        ] {
            assert!(isolator(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seccomp_mode_is_read() {
        assert_eq!(mode("retain"), Ok((0, None)));
        assert_eq!(mode("remove,errno=EPERM"), Ok((1, Some("EPERM".to_owned()))));
        for bad in ["", "keep", "retain,", "retain,errno=", "remove,x=1"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }
}
