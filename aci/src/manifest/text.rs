//! Mount points, ports and volumes as a command line has them: `NAME,KEY=VALUE,…`
//! (rkt's `--volume`, `--mount` and `--port`; acbuild's `mount add` and `port add`).

use std::fmt;
use std::str::FromStr;

use super::app::{MountPoint, Port};
use super::pod::{Volume, VolumeKind};
use crate::finding::Severity;
use crate::json::{Reader, Spot};

/// A text is no `NAME,KEY=VALUE,…` of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {form}: {fault}")]
pub struct TextError {
    text: String,
    form: &'static str,
    fault: String,
    code: &'static str,
}

impl TextError {
    /// The stable word for programs, as of a [`crate::Finding`].
    pub fn code(&self) -> &'static str {
        self.code
    }
}

/// How the value of a key is written in JSON.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Text,
    Boolean,
    Number,
}

/// Turns the text into the JSON object it stands for and reads that, so that there is one set
/// of rules for both.
fn parse<T>(
    text: &str,
    form: &'static str,
    keys: &[(&str, Form)],
    read: fn(&Spot<'_, '_>) -> Option<T>,
) -> Result<T, TextError> {
    let error = |code, fault: String| TextError { text: text.to_owned(), form, fault, code };
    let mut object = serde_json::Map::new();
    for (at, part) in text.split(',').enumerate() {
        let (key, value) = match at {
            0 => ("name", part),
            _ => part
                .split_once('=')
                .ok_or_else(|| error("form", format!("{part:?} has no KEY=")))?,
        };
        let form = match at {
            0 => Form::Text,
            _ => keys
                .iter()
                .find(|(known, _)| *known == key)
                .map(|(_, form)| *form)
                .ok_or_else(|| error("key-unknown", format!("{key:?} is no key here")))?,
        };
        let value = match form {
            Form::Text => value.into(),
            Form::Boolean => boolean(value)
                .ok_or_else(|| error("type", format!("{key}={value} is neither true nor false")))?
                .into(),
            Form::Number => value
                .parse::<i64>()
                .map_err(|_| error("type", format!("{key}={value} is no integer")))?
                .into(),
        };
        if object.insert(key.to_owned(), value).is_some() {
            return Err(error("duplicate", format!("{key} is given twice")));
        }
    }
    let json = serde_json::Value::Object(object).to_string();
    let checked = Reader::check(json.as_bytes(), read);
    let fault = checked.findings.into_iter().find(|found| found.severity == Severity::Error);
    checked.value.ok_or_else(|| {
        let (code, path, message) =
            fault.map_or(("form", String::new(), String::new()), |f| (f.code, f.path, f.message));
        let path = if path.is_empty() { path } else { path + ": " };
        error(code, path + &message)
    })
}

/// Whatever Go's `strconv.ParseBool` takes, as rkt and acbuild do.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl FromStr for MountPoint {
    type Err = TextError;

    /// `NAME,path=PATH[,readOnly=true]`
    fn from_str(text: &str) -> Result<Self, TextError> {
        const FORM: &str = "mount point (NAME,path=PATH[,readOnly=true])";
        parse(text, FORM, &[("path", Form::Text), ("readOnly", Form::Boolean)], Self::read)
    }
}

impl FromStr for Port {
    type Err = TextError;

    /// `NAME,protocol=WORD,port=N[,count=N][,socketActivated=true]`
    fn from_str(text: &str) -> Result<Self, TextError> {
        const FORM: &str = "port (NAME,protocol=tcp,port=N[,count=N][,socketActivated=true])";
        let keys = [
            ("protocol", Form::Text),
            ("port", Form::Number),
            ("count", Form::Number),
            ("socketActivated", Form::Boolean),
        ];
        parse(text, FORM, &keys, Self::read)
    }
}

impl FromStr for Volume {
    type Err = TextError;

    /// `NAME,kind=host,source=PATH[,readOnly=true][,recursive=false]` or
    /// `NAME,kind=empty[,readOnly=true][,mode=0755][,uid=N][,gid=N]`
    fn from_str(text: &str) -> Result<Self, TextError> {
        const FORM: &str = "volume (NAME,kind=host,source=PATH or NAME,kind=empty)";
        let keys = [
            ("kind", Form::Text),
            ("source", Form::Text),
            ("readOnly", Form::Boolean),
            ("recursive", Form::Boolean),
            ("mode", Form::Text),
            ("uid", Form::Number),
            ("gid", Form::Number),
        ];
        parse(text, FORM, &keys, Self::read)
    }
}

impl fmt::Display for MountPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},path={}", self.name, self.path)?;
        if self.read_only { f.write_str(",readOnly=true") } else { Ok(()) }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},protocol={},port={}", self.name, self.protocol, self.port)?;
        if let Some(count) = self.count {
            write!(f, ",count={count}")?;
        }
        if self.socket_activated { f.write_str(",socketActivated=true") } else { Ok(()) }
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            VolumeKind::Empty => "empty",
            VolumeKind::Host => "host",
        };
        write!(f, "{},kind={kind}", self.name)?;
        let fields: [(&str, Option<String>); 6] = [
            ("source", self.source.clone()),
            ("readOnly", self.read_only.map(|value| value.to_string())),
            ("recursive", self.recursive.map(|value| value.to_string())),
            ("mode", self.mode.clone()),
            ("uid", self.uid.map(|value| value.to_string())),
            ("gid", self.gid.map(|value| value.to_string())),
        ];
        for (key, value) in fields {
            if let Some(value) = value {
                write!(f, ",{key}={value}")?;
            }
        }
        Ok(())
    }
}
