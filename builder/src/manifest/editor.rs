//! Editing the text of a manifest, step by step.

use aci::{Document, EditError, JsonPath};
use serde_json::{Map, Value, json};

/// Why a manifest is not edited. It is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditFault {
    /// What is there is no text that can be edited.
    #[error("the manifest cannot be edited: {0}: replace it whole")]
    Manifest(EditError),
    /// The edit makes no sense where it is to be made.
    #[error("the manifest cannot be edited so: {0}")]
    Edit(#[from] EditError),
    /// What was to be removed is not there.
    #[error("there is no {0}")]
    Absent(String),
    /// A value that cannot be in a manifest.
    #[error("{0}")]
    Value(String),
}

/// A manifest's text under the knife. What no edit names stays as it is, byte for byte.
pub struct Editor {
    document: Document,
}

impl Editor {
    /// Begins with this text.
    pub fn new(manifest: &[u8]) -> Result<Self, EditFault> {
        let document = Document::parse(manifest).map_err(EditFault::Manifest)?;
        Ok(Self { document })
    }

    /// The text after all edits.
    pub fn finish(self) -> Vec<u8> {
        self.document.into_bytes()
    }

    /// Puts a value where there may be one already.
    pub fn set(&mut self, path: &JsonPath, value: &Value) -> Result<(), EditFault> {
        self.set_text(path, &value.to_string())
    }

    /// The same for a value in JSON.
    pub fn set_text(&mut self, path: &JsonPath, json: &str) -> Result<(), EditFault> {
        Ok(self.document.set(path, json)?)
    }

    /// Puts a value into a field of the app, which is made where there is none.
    pub fn set_app(&mut self, field: &str, value: &Value) -> Result<(), EditFault> {
        let app = self.app()?;
        self.set(&app.key(field), value)
    }

    /// The app. A new one runs as root, as one that `gantry pack` makes does.
    pub fn app(&mut self) -> Result<JsonPath, EditFault> {
        let app = JsonPath::default().key("app");
        if self.document.value(&app).is_none_or(|found| found == "null") {
            self.set(&app, &json!({ "user": "0", "group": "0" }))?;
        }
        Ok(app)
    }

    /// The items of a list as they are written.
    pub fn items(&self, list: &JsonPath) -> Vec<&str> {
        self.document.items(list)
    }

    /// Whether there is something at a path.
    pub fn has(&self, path: &JsonPath) -> bool {
        self.document.value(path).is_some()
    }

    /// Adds an item to a list, or gives one that `same` finds the item's fields. Of those, it
    /// loses the ones among `fields` that the item does not have, and keeps all others.
    pub fn put(
        &mut self,
        list: &JsonPath,
        item: &str,
        fields: &[&str],
        same: impl Fn(&Value) -> bool,
    ) -> Result<(), EditFault> {
        let Some(&at) = self.find(list, same).first() else {
            return self.append(list, item);
        };
        let old = list.index(at);
        let new = Document::parse(item.as_bytes())?;
        let keys: Map<String, Value> = serde_json::from_str(item).unwrap_or_default();
        for key in fields.iter().filter(|key| !keys.contains_key(**key)) {
            self.document.remove(&old.key(key))?;
        }
        for key in keys.keys() {
            if let Some(value) = new.value(&JsonPath::default().key(key)) {
                self.set_text(&old.key(key), value)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, list: &JsonPath, item: &str) -> Result<(), EditFault> {
        self.set_text(&list.index(self.document.items(list).len()), item)
    }

    /// Adds a text to a list that has it not.
    pub fn put_text(&mut self, list: &JsonPath, text: &str) -> Result<(), EditFault> {
        match self.find(list, |item| item == text).is_empty() {
            true => self.append(list, &Value::from(text).to_string()),
            false => Ok(()),
        }
    }

    /// Gives the item `name` of a list this `value`, and leaves what else it has.
    pub fn put_value(&mut self, list: &JsonPath, name: &str, value: &str) -> Result<(), EditFault> {
        match self.find(list, named(name)).first() {
            Some(&at) => self.set_text(&list.index(at).key("value"), value),
            None => {
                let item = format!("{{\"name\":{},\"value\":{value}}}", Value::from(name));
                self.append(list, &item)
            }
        }
    }

    /// Gives one field of the value of the item `name`, and leaves the others.
    pub fn put_in_value(
        &mut self,
        list: &JsonPath,
        name: &str,
        field: &str,
        value: &Value,
    ) -> Result<(), EditFault> {
        let is_object = |item: &Value| named(name)(item) && item["value"].is_object();
        match self.find(list, is_object).first() {
            Some(&at) => self.set(&list.index(at).key("value").key(field), value),
            None => self.put_value(list, name, &json!({ field: value }).to_string()),
        }
    }

    /// Removes all items of a list that `which` finds, of which there must be one.
    pub fn remove_items(
        &mut self,
        list: &JsonPath,
        what: &str,
        which: impl Fn(&Value) -> bool,
    ) -> Result<(), EditFault> {
        let found = self.find(list, which);
        if found.is_empty() {
            return Err(EditFault::Absent(what.to_owned()));
        }
        found.iter().rev().try_for_each(|&at| self.unset(&list.index(at)))
    }

    /// The same where there may be none.
    pub fn drop_items(
        &mut self,
        list: &JsonPath,
        which: impl Fn(&Value) -> bool,
    ) -> Result<(), EditFault> {
        self.find(list, which).iter().rev().try_for_each(|&at| self.unset(&list.index(at)))
    }

    /// Removes what is at a path, which must be there.
    pub fn unset(&mut self, path: &JsonPath) -> Result<(), EditFault> {
        if self.document.remove(path)? {
            return Ok(());
        }
        Err(EditFault::Absent(format!("{path} in the manifest")))
    }

    /// Removes all items of a list that `which` finds but the first.
    pub fn drop_others(
        &mut self,
        list: &JsonPath,
        which: impl Fn(&Value) -> bool,
    ) -> Result<(), EditFault> {
        let found = self.find(list, which);
        found.iter().skip(1).rev().try_for_each(|&at| self.unset(&list.index(at)))
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
pub fn named(name: &str) -> impl Fn(&Value) -> bool {
    move |item| item["name"] == name
}
