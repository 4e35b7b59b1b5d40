//! The suite of resource quantities: [`aci::Quantity`].

use std::cmp::Ordering;

use aci::{Quantity, QuantityParts};
use serde_json::{Value, json};

use super::{Outcome, Refused};

pub(super) fn run(suite: &str, op: &str, input: &Value) -> Option<Outcome> {
    (suite == "quantity").then(|| case(op, input).map_err(|e| Refused::new("quantity", e)))
}

/// What the operation gives, or why it refuses its input.
fn case(op: &str, input: &Value) -> Result<Value, String> {
    match op {
        "parse" => parsed(text(input)?),
        "json" => {
            let read: Quantity = serde_json::from_str(text(input)?).map_err(told)?;
            Ok(json!({"canonical": read.to_string()}))
        }
        "cmp" => {
            let order = read(&input[0])?.cmp(&read(&input[1])?);
            Ok(json!(match order {
                Ordering::Less => -1,
                Ordering::Equal => 0,
                Ordering::Greater => 1,
            }))
        }
        "round_up" => {
            let scale = input["scale"].as_i64().and_then(|scale| i8::try_from(scale).ok());
            let scale = scale.ok_or_else(|| format!("{input} has no scale that fits"))?;
            let (rounded, exact) = read(&input["quantity"])?.round_up(scale);
            Ok(json!({"canonical": rounded.to_string(), "exact": exact}))
        }
        "split" => {
            let parts = QuantityParts::split(text(input)?).map_err(told)?;
            Ok(json!({
                "positive": parts.positive, "value": parts.value, "num": parts.numerator,
                "denom": parts.denominator, "suffix": parts.suffix,
            }))
        }
        other => Err(format!("no operation {other:?}")),
    }
}

fn parsed(text: &str) -> Result<Value, String> {
    let quantity: Quantity = text.parse().map_err(told)?;
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
    Ok(found)
}

fn or_overflow(number: Option<i64>) -> Value {
    number.map_or_else(|| json!("overflow"), |number| json!(number))
}

fn read(value: &Value) -> Result<Quantity, String> {
    text(value)?.parse().map_err(told)
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("{value} is no text"))
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
