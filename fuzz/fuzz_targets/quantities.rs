//! Quantities: what is accepted prints as a text that is the same quantity and prints alike, serde
//! goes through the same door, and arithmetic and order are those of numbers.
#![no_main]

use aci::{Quantity, QuantityParts};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let (one, other) = text.split_once('\n').unwrap_or((text, "1.5Gi"));
    let (Some(one), Some(other)) = (read(one), read(other)) else { return };
    assert_eq!(&(&one + &other) - &other, one);
    assert_eq!(&one + &other, &other + &one);
    assert_eq!(one < other, (&one - &other).is_negative());
    assert_eq!(one == other, one.decimal() == other.decimal());
});

fn read(text: &str) -> Option<Quantity> {
    let _ = QuantityParts::split(text);
    let json = Value::String(text.to_owned());
    let by_json = Quantity::from_json(&json);
    assert_eq!(by_json, text.trim().parse());
    assert_eq!(serde_json::from_value::<Quantity>(json).ok(), by_json.ok());

    let quantity: Quantity = text.parse().ok()?;
    let printed = quantity.to_string();
    // A text of 512 digits may be one of more when its suffix is written out.
    if let Ok(again) = printed.parse::<Quantity>() {
        assert_eq!(again, quantity, "printed as {printed}");
        assert_eq!(again.to_string(), printed);
    } else {
        assert!(printed.len() > 512, "printed as {printed}");
    }
    let decimal = quantity.decimal();
    if decimal.len() <= 512 {
        assert_eq!(decimal.parse::<Quantity>().as_ref(), Ok(&quantity), "{decimal}");
    }
    for power in [-9, -3, 0, 3] {
        let (rounded, exact) = quantity.round_up(power);
        assert_eq!(exact, rounded == quantity);
        let away = if quantity.is_negative() { rounded <= quantity } else { rounded >= quantity };
        assert!(away, "{printed} is rounded to {rounded}");
    }
    if let (Some(whole), Some(thousandths)) = (quantity.whole(), quantity.thousandths()) {
        let (whole, thousandths) = (i128::from(whole) * 1000, i128::from(thousandths));
        assert!(whole >= thousandths && whole - thousandths < 1000);
    }
    Some(quantity)
}
