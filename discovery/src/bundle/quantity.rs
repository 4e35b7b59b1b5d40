//! Resource quantities: `128974848`, `125952Ki`, `1.5Gi`, `300m`, `2e3`
//! (spec: ace.md, "Resource Isolators").

/// How many parts one unit has here: quantities are kept to nine decimals, rounded up.
const NANO: u128 = 1_000_000_000;

/// A quantity that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quantity {
    nanos: u128,
}

impl Quantity {
    /// Reads a quantity, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?} is no quantity such as 500m, 128974848 or 1.5Gi");
        let unsigned = text.strip_prefix('+').unwrap_or(text);
        let end =
            unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(fault());
        }
        let (multiply, divide) = scale(suffix).ok_or_else(fault)?;
        let large = || format!("{text:?} is too great a quantity");
        let fraction = fraction.trim_end_matches('0');
        let digits = format!("{whole}{fraction}");
        let digits: u128 =
            if digits.is_empty() { 0 } else { digits.parse().map_err(|_| large())? };
        let decimals = u32::try_from(fraction.len()).map_err(|_| large())?;
        let divide =
            10_u128.checked_pow(decimals).and_then(|d| d.checked_mul(divide)).ok_or_else(large)?;
        let product =
            digits.checked_mul(multiply).and_then(|p| p.checked_mul(NANO)).ok_or_else(large)?;
        Ok(Self { nanos: product.div_ceil(divide) })
    }

    /// In whole units, rounded up; the greatest number where it does not fit.
    pub(super) fn whole(self) -> i64 {
        i64::try_from(self.nanos.div_ceil(NANO)).unwrap_or(i64::MAX)
    }

    /// In thousandths, rounded up; the greatest number where it does not fit.
    pub(super) fn thousandths(self) -> i64 {
        i64::try_from(self.nanos.div_ceil(NANO / 1000)).unwrap_or(i64::MAX)
    }
}

/// What a suffix multiplies with, and divides by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let thousand = |power| (1000_u128.pow(power), 1);
    let binary = |power| (1024_u128.pow(power), 1);
    Some(match suffix {
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => thousand(1),
        "M" => thousand(2),
        "G" => thousand(3),
        "T" => thousand(4),
        "P" => thousand(5),
        "E" => thousand(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E'])?;
            let power: i32 = digits.parse().ok()?;
            let ten = 10_u128.checked_pow(power.unsigned_abs())?;
            if power < 0 { (1, ten) } else { (ten, 1) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::tests::vectors;

    #[test]
    fn quantity_reads_the_specs_examples() {
        for text in ["128974848", "125952Ki", "123Mi"] {
            assert_eq!(Quantity::parse(text).unwrap().whole(), 128_974_848, "{text}");
        }
        assert_eq!(Quantity::parse("0.3").unwrap(), Quantity::parse("300m").unwrap());
        assert_eq!(Quantity::parse("250m").unwrap().thousandths(), 250);
        for bad in
            ["", ".", "-1", "1K", "1ki", "1e", "1Ee3", "1,5", "1Gi ", "1b", "NaN", "1.2.3", "9e99"]
        {
            assert!(Quantity::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn quantity_agrees_with_the_reference_vectors() {
        let Some(all) = vectors("quantity") else { return };
        let mut seen = 0;
        for vector in all.iter().filter(|v| v["op"] == "parse" && v["quirk"].is_null()) {
            let text = vector["input"].as_str().unwrap();
            // Negative ones and those beyond 64 bits are of no use as a limit.
            if text.starts_with('-') {
                continue;
            }
            let found = Quantity::parse(text);
            if vector["expect"] != "ok" {
                assert!(found.is_err(), "{vector}");
                continue;
            }
            let expected = &vector["expected"];
            let (Some(whole), Some(milli)) =
                (expected["ceil_value"].as_i64(), expected["ceil_milli"].as_i64())
            else {
                continue;
            };
            let found = found.unwrap_or_else(|e| panic!("{vector}: {e}"));
            assert_eq!((found.whole(), found.thousandths()), (whole, milli), "{vector}");
            seen += 1;
        }
        assert!(seen > 50, "{seen}");
    }
}
