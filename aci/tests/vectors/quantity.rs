//! The suite of resource quantities (ace.md, Resource Isolators).

use std::cmp::Ordering;

use aci::{Quantity, QuantityError, QuantityParts};
use serde_json::{Value, json};

use super::{Outcome, Refused};

pub(super) fn run(suite: &str, op: &str, input: &Value) -> Option<Outcome> {
    let text = input.as_str().unwrap_or_default();
    Some(match (suite, op) {
        ("quantity", "parse") => read(input).map(|quantity| parsed(&quantity)),
        // The reference reads the text as it stands between the quotes.
        ("quantity", "json") => match serde_json::from_str(text) {
            Ok(value) => Quantity::from_json(&value)
                .map(|read| json!({"canonical": read.to_string()}))
                .map_err(refused),
            Err(error) => Err(Refused::new("json-syntax", error)),
        },
        ("quantity", "cmp") => read(&input[0]).and_then(|a| {
            Ok(json!(match a.cmp(&read(&input[1])?) {
                Ordering::Less => -1,
                Ordering::Equal => 0,
                Ordering::Greater => 1,
            }))
        }),
        ("quantity", "round_up") => {
            let scale = i8::try_from(input["scale"].as_i64().unwrap()).unwrap();
            read(&input["quantity"]).map(|quantity| {
                let (rounded, exact) = quantity.round_up(scale);
                json!({"canonical": rounded.to_string(), "exact": exact})
            })
        }
        ("quantity", "split") => match QuantityParts::split(text) {
            Ok(parts) => Ok(json!({
                "positive": parts.positive, "value": parts.value, "num": parts.numerator,
                "denom": parts.denominator, "suffix": parts.suffix,
            })),
            Err(error) => Err(refused(error)),
        },
        _ => return None,
    })
}

fn parsed(quantity: &Quantity) -> Value {
    let mut found = json!({
        "canonical": quantity.to_string(),
        "decimal": quantity.decimal(),
        "format": quantity.format().to_string(),
    });
    // The reference rounds negative ones wrongly, so that the cases do not give these.
    if !quantity.is_negative() {
        found["ceil_value"] = or_overflow(quantity.whole());
        found["ceil_milli"] = or_overflow(quantity.thousandths());
    }
    found
}

pub(super) fn or_overflow(number: Option<i64>) -> Value {
    number.map_or_else(|| json!("overflow"), |number| json!(number))
}

fn read(value: &Value) -> Result<Quantity, Refused> {
    value.as_str().unwrap().parse().map_err(refused)
}

fn refused(error: QuantityError) -> Refused {
    Refused::new(error.code(), error)
}
