//! Editing the text of a manifest, step by step.

use aci::{Document, EditError, JsonPath};
use anyhow::anyhow;
use serde_json::{Value, json};

use super::super::{Failure, Kind};

/// A manifest's text under the knife. What no edit names stays as it is, byte for byte.
pub(super) struct Editor {
    document: Document,
}

impl Editor {
    pub(super) fn new(manifest: &[u8]) -> Result<Self, Failure> {
        let document = Document::parse(manifest).map_err(|error| {
            Failure::new(
                Kind::Refused,
                anyhow!(
                    "the manifest cannot be edited: {error}: --manifest FILE replaces it whole"
                ),
            )
        })?;
        Ok(Self { document })
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.document.into_bytes()
    }

    /// Puts a value where there may be one already.
    pub(super) fn set(&mut self, path: &JsonPath, value: &Value) -> Result<(), Failure> {
        self.set_text(path, &value.to_string())
    }

    pub(super) fn set_text(&mut self, path: &JsonPath, json: &str) -> Result<(), Failure> {
        self.document.set(path, json).map_err(cannot)
    }

    /// Puts a value into a field of the app, which is made where there is none.
    pub(super) fn set_app(&mut self, field: &str, value: &Value) -> Result<(), Failure> {
        let app = self.app()?;
        self.set(&app.key(field), value)
    }

    /// The app. A new one runs as root, as one that `gantry pack` makes does.
    pub(super) fn app(&mut self) -> Result<JsonPath, Failure> {
        let app = JsonPath::default().key("app");
        if self.document.value(&app).is_none_or(|found| found == "null") {
            self.set(&app, &json!({ "user": "0", "group": "0" }))?;
        }
        Ok(app)
    }

    /// Whether there is something at a path.
    pub(super) fn has(&self, path: &JsonPath) -> bool {
        self.document.value(path).is_some()
    }

    /// Adds an item to a list, in place of one that `same` finds.
    pub(super) fn put(
        &mut self,
        list: &JsonPath,
        item: &Value,
        same: impl Fn(&Value) -> bool,
    ) -> Result<(), Failure> {
        let at = self.find(list, same).first().copied();
        let at = at.unwrap_or_else(|| self.document.length(list).unwrap_or_default());
        self.set(&list.index(at), item)
    }

    /// Gives the item `name` of a list this `value`, and leaves what else it has.
    pub(super) fn put_value(
        &mut self,
        list: &JsonPath,
        name: &str,
        value: &Value,
    ) -> Result<(), Failure> {
        match self.find(list, named(name)).first() {
            Some(&at) => self.set(&list.index(at).key("value"), value),
            None => self.put(list, &json!({ "name": name, "value": value }), |_| false),
        }
    }

    /// Removes all items of a list that `which` finds, of which there must be one.
    pub(super) fn remove_items(
        &mut self,
        list: &JsonPath,
        what: &str,
        which: impl Fn(&Value) -> bool,
    ) -> Result<(), Failure> {
        let found = self.find(list, which);
        if found.is_empty() {
            return Err(absent(format!("there is no {what}")));
        }
        found.iter().rev().try_for_each(|&at| self.unset(&list.index(at)))
    }

    /// The same where there may be none.
    pub(super) fn drop_items(
        &mut self,
        list: &JsonPath,
        which: impl Fn(&Value) -> bool,
    ) -> Result<(), Failure> {
        self.find(list, which).iter().rev().try_for_each(|&at| self.unset(&list.index(at)))
    }

    /// Removes what is at a path, which must be there.
    pub(super) fn unset(&mut self, path: &JsonPath) -> Result<(), Failure> {
        if self.document.remove(path).map_err(cannot)? {
            return Ok(());
        }
        Err(absent(format!("there is no {path} in the manifest")))
    }

    /// Where in a list the items are that `which` finds.
    fn find(&self, list: &JsonPath, which: impl Fn(&Value) -> bool) -> Vec<usize> {
        let value = |at: usize| -> Option<Value> {
            serde_json::from_str(self.document.value(&list.index(at))?).ok()
        };
        (0..self.document.length(list).unwrap_or_default())
            .filter(|&at| value(at).is_some_and(|value| which(&value)))
            .collect()
    }
}

/// Finds the item of this name.
pub(super) fn named(name: &str) -> impl Fn(&Value) -> bool {
    move |item| item["name"] == name
}

fn cannot(error: EditError) -> Failure {
    Failure::new(Kind::Usage, anyhow!("the manifest cannot be edited so: {error}"))
}

/// Nothing is written where what was to be removed is not there.
fn absent(message: String) -> Failure {
    Failure::new(Kind::Absent, anyhow!(message))
}
