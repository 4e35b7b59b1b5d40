//! As much of JSON Schema as the schema of recipes uses. A keyword that is not known here fails.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

pub(super) struct Schema(Value);

impl Schema {
    pub(super) fn of_recipes() -> Self {
        let text = include_str!("../../../../docs/recipe.schema.json");
        Self(serde_json::from_str(text).unwrap())
    }

    /// Why the schema refuses a value, if it does.
    pub(super) fn refuses(&self, value: &Value) -> Option<String> {
        self.judge(&self.0, value).err()
    }

    /// The names of all properties.
    pub(super) fn keys(&self) -> BTreeSet<String> {
        fn collect(schema: &Value, keys: &mut BTreeSet<String>) {
            match schema {
                Value::Object(object) => {
                    if let Some(Value::Object(properties)) = object.get("properties") {
                        keys.extend(properties.keys().cloned());
                    }
                    object.values().for_each(|value| collect(value, keys));
                }
                Value::Array(list) => list.iter().for_each(|value| collect(value, keys)),
                _ => {}
            }
        }
        let mut keys = BTreeSet::new();
        collect(&self.0, &mut keys);
        keys
    }

    fn judge(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let Some(keywords) = schema.as_object() else {
            assert_eq!(*schema, false, "a schema is an object, or false");
            return Err(format!("{value} is one too many"));
        };
        for (keyword, says) in keywords {
            if !self.fits(keyword, says, schema, value) {
                return Err(format!("{keyword} {says} against {value}"));
            }
        }
        Ok(())
    }

    fn fits(&self, keyword: &str, says: &Value, schema: &Value, value: &Value) -> bool {
        let good = |schema: &Value, value: &Value| self.judge(schema, value).is_ok();
        let all = || says.as_array().unwrap().iter();
        let number = || says.as_i64().unwrap();
        let entries = || value.as_object().into_iter().flatten();
        let has = |key: &str| value.as_object().is_none_or(|object| object.contains_key(key));
        match keyword {
            "$schema" | "$defs" | "title" | "description" | "default" => true,
            "$ref" => {
                let pointer = says.as_str().unwrap().strip_prefix('#').unwrap();
                good(self.0.pointer(pointer).unwrap(), value)
            }
            "type" if says.is_array() => all().any(|one| is_of_type(value, one)),
            "type" => is_of_type(value, says),
            "enum" => all().any(|one| one == value),
            "const" => says == value,
            "pattern" => {
                let pattern = Regex::new(says.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "minLength" => {
                value.as_str().is_none_or(|text| text.chars().count() as i64 >= number())
            }
            "maxLength" => {
                value.as_str().is_none_or(|text| text.chars().count() as i64 <= number())
            }
            "minimum" => value.as_i64().is_none_or(|value| value >= number()),
            "maximum" => value.as_i64().is_none_or(|value| value <= number()),
            "minItems" => value.as_array().is_none_or(|list| list.len() as i64 >= number()),
            "minProperties" => value.as_object().is_none_or(|all| all.len() as i64 >= number()),
            "uniqueItems" => {
                let list = value.as_array().map_or(&[][..], Vec::as_slice);
                (1..list.len()).all(|at| !list[..at].contains(&list[at]))
            }
            "prefixItems" => {
                let items = value.as_array().into_iter().flatten();
                items.zip(all()).all(|(item, schema)| good(schema, item))
            }
            // Those of the recipe fit the first items, too.
            "items" => value.as_array().into_iter().flatten().all(|item| good(says, item)),
            "required" => all().all(|key| has(key.as_str().unwrap())),
            "properties" => {
                entries().all(|(key, value)| says.get(key).is_none_or(|s| good(s, value)))
            }
            "additionalProperties" => {
                let known =
                    |key: &str| schema.get("properties").is_some_and(|p| p.get(key).is_some());
                entries().all(|(key, value)| known(key) || good(says, value))
            }
            "propertyNames" => entries().all(|(key, _)| good(says, &Value::from(key.as_str()))),
            "dependentRequired" => says.as_object().unwrap().iter().all(|(key, needs)| {
                !has(key) || needs.as_array().unwrap().iter().all(|key| has(key.as_str().unwrap()))
            }),
            "dependentSchemas" => {
                says.as_object().unwrap().iter().all(|(key, says)| !has(key) || good(says, value))
            }
            "oneOf" => all().filter(|one| good(one, value)).count() == 1,
            "anyOf" => all().any(|one| good(one, value)),
            "allOf" => all().all(|one| good(one, value)),
            "not" => !good(says, value),
            other => panic!("{other} is not known here"),
        }
    }
}

fn is_of_type(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("{other} is not known here"),
    }
}
