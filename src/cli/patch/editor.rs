//! Editing the text of a manifest, step by step.

use aci::{Document, EditError, JsonPath};
use anyhow::anyhow;
use serde_json::{Map, Value, json};

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

    /// Adds an item to a list, or gives one that `same` finds the item's fields. Of those, it
    /// loses the ones among `fields` that the item does not have, and keeps all others.
    pub(super) fn put(
        &mut self,
        list: &JsonPath,
        item: &str,
        fields: &[&str],
        same: impl Fn(&Value) -> bool,
    ) -> Result<(), Failure> {
        let Some(&at) = self.find(list, same).first() else {
            return self.append(list, item);
        };
        let old = list.index(at);
        let new = Document::parse(item.as_bytes()).map_err(cannot)?;
        let keys: Map<String, Value> = serde_json::from_str(item).unwrap_or_default();
        for key in fields.iter().filter(|key| !keys.contains_key(**key)) {
            self.document.remove(&old.key(key)).map_err(cannot)?;
        }
        for key in keys.keys() {
            if let Some(value) = new.value(&JsonPath::default().key(key)) {
                self.set_text(&old.key(key), value)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, list: &JsonPath, item: &str) -> Result<(), Failure> {
        self.set_text(&list.index(self.document.items(list).len()), item)
    }

    /// Adds a text to a list that has it not.
    pub(super) fn put_text(&mut self, list: &JsonPath, text: &str) -> Result<(), Failure> {
        match self.find(list, |item| item == text).is_empty() {
            true => self.append(list, &Value::from(text).to_string()),
            false => Ok(()),
        }
    }

    /// Gives the item `name` of a list this `value`, and leaves what else it has.
    pub(super) fn put_value(
        &mut self,
        list: &JsonPath,
        name: &str,
        value: &str,
    ) -> Result<(), Failure> {
        match self.find(list, named(name)).first() {
            Some(&at) => self.set_text(&list.index(at).key("value"), value),
            None => {
                let item = format!("{{\"name\":{},\"value\":{value}}}", Value::from(name));
                self.append(list, &item)
            }
        }
    }

    /// Gives one field of the value of the item `name`, and leaves the others.
    pub(super) fn put_in_value(
        &mut self,
        list: &JsonPath,
        name: &str,
        field: &str,
        value: &Value,
    ) -> Result<(), Failure> {
        let is_object = |item: &Value| named(name)(item) && item["value"].is_object();
        match self.find(list, is_object).first() {
            Some(&at) => self.set(&list.index(at).key("value").key(field), value),
            None => self.put_value(list, name, &json!({ field: value }).to_string()),
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
        let items = self.document.items(list).into_iter().enumerate();
        items
            .filter(|(_, item)| serde_json::from_str(item).is_ok_and(|item| which(&item)))
            .map(|(at, _)| at)
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
