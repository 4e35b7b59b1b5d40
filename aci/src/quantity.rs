//! Resource quantities: `128974848`, `125952Ki`, `1.5Gi`, `300m`, `2e3`
//! (spec: ace.md, "Resource Isolators").
//!
//! The spec gives suffixes and examples; its reference implementation takes the
//! rest from Kubernetes, and so does this module:
//!
//! ```text
//! quantity = [ "+" | "-" ] number suffix
//! number   = digits [ "." [ digits ] ] | "." digits
//! suffix   = "n" | "u" | "m" | "" | "k" | "M" | "G" | "T" | "P" | "E"    × 1000
//!          | "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei"                     × 1024
//!          | ( "e" | "E" ) [ "+" | "-" ] digits                          × 10^digits
//! ```
//!
//! ```
//! let memory: aci::Quantity = "125952Ki".parse()?;
//! assert_eq!(memory.to_string(), "123Mi");
//! assert_eq!(memory.whole(), Some(128_974_848));
//! # Ok::<(), aci::QuantityError>(())
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use num_bigint::{BigInt, BigUint, Sign};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Bytes of text that are read. A longer one is no quantity but an attempt to
/// make the arithmetic slow.
const LONGEST: usize = 512;
/// The greatest power of ten that is read: `1e999999999` would fill the memory.
const GREATEST_POWER: i64 = 999;
/// Divided by ten this often, everything that is read lies below one billionth.
const VANISHED: u32 = 1024;
/// Decimals that are kept.
const DECIMALS: u32 = 9;
/// How many powers of 1024, and of 1000, have a suffix.
const SUFFIXES: u64 = 6;
/// A number of JSON has been a float on its way here; this many digits survive that.
const FLOAT_DIGITS: usize = 15;

/// Why a text or a JSON value is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not a number and a suffix.
    #[error("{0:?} is no quantity such as 500m, 128974848 or 1.5Gi")]
    Form(String),
    /// A sign, a point or a suffix without any digit, which is zero to the reference
    /// implementation: a limit that nobody wrote.
    #[error("{0:?} has no digit, so it is no quantity")]
    NoDigit(String),
    /// There is no such suffix. They are case-sensitive: it is `k` and `Ki`.
    #[error("{text:?} ends in {suffix:?}, which is none of n u m k M G T P E Ki Mi Gi Ti Pi Ei eN")]
    Suffix {
        /// All of it.
        text: String,
        /// What follows the number.
        suffix: String,
    },
    /// Longer than any quantity has to be, or beyond what is computed with.
    #[error("{0:?} is too great or too long for a quantity")]
    Great(String),
    /// A JSON number that has been rounded before it came here.
    #[error("the number {0} has more digits than JSON numbers keep; write it as a text")]
    Digits(String),
    /// A JSON value that is neither text nor number.
    #[error("{0} is neither a text nor a number")]
    Type(&'static str),
}

impl QuantityError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "quantity-form",
            Self::NoDigit(_) => "quantity-no-digit",
            Self::Suffix { .. } => "quantity-suffix",
            Self::Great(_) => "quantity-great",
            Self::Digits(_) => "quantity-rounded",
            Self::Type(_) => "quantity-type",
        }
    }
}

/// How a quantity was written, and is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuantityFormat {
    /// `12M` is 12 × 1000².
    DecimalSi,
    /// `12Mi` is 12 × 1024².
    BinarySi,
    /// `12e6`.
    DecimalExponent,
}

impl fmt::Display for QuantityFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DecimalSi => "DecimalSI",
            Self::BinarySi => "BinarySI",
            Self::DecimalExponent => "DecimalExponent",
        })
    }
}

/// A quantity, computed exactly.
///
/// - Nine decimals are kept; more are rounded away from zero, so that whoever
///   asks for something gets something.
/// - One with a binary suffix is at most 2⁶³−1, in either direction.
/// - Two are equal when their values are, however they were written.
/// - The text is canonical: no fraction, the greatest suffix that loses
///   nothing, of the family that was read.
#[derive(Debug, Clone)]
pub struct Quantity {
    nanos: BigInt,
    format: QuantityFormat,
}

/// The pieces of a quantity's text. Their form is checked, their meaning is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuantityParts<'a> {
    /// Whether there is no `-`.
    pub positive: bool,
    /// Sign, digits and point, as written; `0` where there are only zeros.
    pub value: &'a str,
    /// The digits before the point, without leading zeros; `0` where none is left.
    pub numerator: &'a str,
    /// The digits after the point.
    pub denominator: &'a str,
    /// What follows the number.
    pub suffix: &'a str,
}

impl<'a> QuantityParts<'a> {
    /// Splits a text into sign, digits and suffix.
    pub fn split(text: &'a str) -> Result<Self, QuantityError> {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let positive = !text.starts_with('-');
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let stripped = unsigned.trim_start_matches('0');
        if stripped.is_empty() {
            let (value, numerator) = ("0", "0");
            return Ok(Self { positive, value, numerator, denominator: "", suffix: "" });
        }
        let (numerator, mut suffix) = stripped.split_at(digits(stripped));
        let mut denominator = "";
        if let Some(fraction) = suffix.strip_prefix('.') {
            (denominator, suffix) = fraction.split_at(digits(fraction));
        }
        let letters = suffix.trim_start_matches(|c: char| "eEinumkKMGTP".contains(c));
        let power = letters.strip_prefix(['+', '-']).unwrap_or(letters);
        if !power.bytes().all(|b| b.is_ascii_digit()) {
            return Err(QuantityError::Form(text.to_owned()));
        }
        let value = text.strip_suffix(suffix).unwrap_or(text);
        let numerator = if numerator.is_empty() { "0" } else { numerator };
        Ok(Self { positive, value, numerator, denominator, suffix })
    }
}

/// What a suffix multiplies with.
enum Factor {
    Ten(i64),
    Two(u32),
}

impl Factor {
    fn read(suffix: &str) -> Option<(Self, QuantityFormat)> {
        let decimal = |power| Some((Self::Ten(power), QuantityFormat::DecimalSi));
        let binary = |power| Some((Self::Two(power), QuantityFormat::BinarySi));
        match suffix {
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "" => decimal(0),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(10),
            "Mi" => binary(20),
            "Gi" => binary(30),
            "Ti" => binary(40),
            "Pi" => binary(50),
            "Ei" => binary(60),
            power => {
                let power = power.strip_prefix(['e', 'E'])?.parse().ok()?;
                Some((Self::Ten(power), QuantityFormat::DecimalExponent))
            }
        }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        if text.len() > LONGEST {
            return Err(QuantityError::Great(text.chars().take(32).chain(['…']).collect()));
        }
        let form = || QuantityError::Form(text.to_owned());
        let parts = QuantityParts::split(text)?;
        let number = text.strip_suffix(parts.suffix).unwrap_or(text);
        if !number.contains(|c: char| c.is_ascii_digit()) {
            return Err(QuantityError::NoDigit(text.to_owned()));
        }
        let (factor, mut format) = Factor::read(parts.suffix).ok_or_else(|| {
            let suffix = parts.suffix.to_owned();
            QuantityError::Suffix { text: text.to_owned(), suffix }
        })?;
        let digits: BigUint =
            [parts.numerator, parts.denominator].concat().parse().map_err(|_| form())?;
        let (mut digits, power) = match factor {
            Factor::Ten(power) if power > GREATEST_POWER => {
                return Err(QuantityError::Great(text.to_owned()));
            }
            Factor::Ten(power) => (digits, power),
            Factor::Two(power) => (digits << power, 0),
        };
        let decimals = i64::try_from(parts.denominator.len()).map_err(|_| form())?;
        let shift = power.saturating_add(9).saturating_sub(decimals);
        digits = shift_up(&digits, shift);
        if format == QuantityFormat::BinarySi {
            digits = digits.min(BigUint::from(i64::MAX.unsigned_abs()) * unit());
            if digits != BigUint::ZERO && digits < unit() {
                format = QuantityFormat::DecimalSi;
            }
        }
        // What is read is written with a power and a length that are read again.
        let too_great = digits >= ten(GREATEST_POWER as u32 + 3 + DECIMALS);
        let sign = if parts.positive { Sign::Plus } else { Sign::Minus };
        let quantity = Self { nanos: BigInt::from_biguint(sign, digits), format };
        if too_great || (text.len() + 8 > LONGEST && quantity.to_string().len() > LONGEST) {
            return Err(QuantityError::Great(text.chars().take(32).chain(['…']).collect()));
        }
        Ok(quantity)
    }
}

/// `digits` × 10^`shift`, rounded up.
fn shift_up(digits: &BigUint, shift: i64) -> BigUint {
    let places = u32::try_from(shift.unsigned_abs()).unwrap_or(u32::MAX);
    if shift < 0 {
        return div_up(digits, &ten(places.min(VANISHED)));
    }
    digits * ten(places)
}

fn ten(power: u32) -> BigUint {
    BigUint::from(10_u8).pow(power)
}

/// How many parts one unit has here.
fn unit() -> BigUint {
    ten(DECIMALS)
}

fn div_up(number: &BigUint, divisor: &BigUint) -> BigUint {
    let quotient = number / divisor;
    if number % divisor == BigUint::ZERO { quotient } else { quotient + 1_u8 }
}

impl Quantity {
    /// Reads a quantity as it stands in a manifest: a text, around which blanks
    /// do not matter, or a number.
    pub fn from_json(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) => text.trim().parse(),
            Value::Number(number) => {
                let text = number.to_string();
                let mantissa = text.split(['e', 'E']).next().unwrap_or(&text);
                let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
                if number.is_f64() && digits.trim_matches('0').len() > FLOAT_DIGITS {
                    return Err(QuantityError::Digits(text));
                }
                text.parse()
            }
            Value::Null => Err(QuantityError::Type("null")),
            Value::Bool(_) => Err(QuantityError::Type("a truth value")),
            Value::Array(_) => Err(QuantityError::Type("a list")),
            Value::Object(_) => Err(QuantityError::Type("an object")),
        }
    }

    /// How it was written.
    pub fn format(&self) -> QuantityFormat {
        self.format
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.nanos.sign() == Sign::Minus
    }

    /// In whole units (bytes, cores, operations), rounded up, where 64 bits are enough.
    pub fn whole(&self) -> Option<i64> {
        self.ceil(ten(DECIMALS))
    }

    /// In thousandths of a unit, rounded up, where 64 bits are enough.
    pub fn thousandths(&self) -> Option<i64> {
        self.ceil(ten(DECIMALS - 3))
    }

    fn ceil(&self, parts: BigUint) -> Option<i64> {
        let parts = BigInt::from(parts);
        let remainder = &self.nanos % &parts;
        let up = u8::from(remainder.sign() == Sign::Plus);
        i64::try_from(&self.nanos / &parts + up).ok()
    }

    /// Rounded away from zero to a multiple of 10^`power`, and whether that lost nothing.
    pub fn round_up(&self, power: i8) -> (Self, bool) {
        let Ok(power) = u32::try_from(i64::from(power) + i64::from(DECIMALS)) else {
            return (self.clone(), true);
        };
        let step = ten(power);
        let rounded = div_up(self.nanos.magnitude(), &step) * step;
        let exact = rounded == *self.nanos.magnitude();
        let nanos = BigInt::from_biguint(self.nanos.sign(), rounded);
        (Self { nanos, format: self.format }, exact)
    }

    /// The exact value without a suffix: `0.3`, `102435.84`.
    pub fn decimal(&self) -> String {
        let sign = if self.is_negative() { "-" } else { "" };
        let (whole, nanos) = (self.nanos.magnitude() / unit(), self.nanos.magnitude() % unit());
        let text = format!("{sign}{whole}.{:0>9}", nanos.to_string());
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// The format that shows all of it.
    fn shown_format(&self) -> QuantityFormat {
        let magnitude = self.nanos.magnitude();
        let small = *magnitude < unit() * 1024_u32;
        match self.format {
            QuantityFormat::BinarySi if small || magnitude % unit() != BigUint::ZERO => {
                QuantityFormat::DecimalSi
            }
            format => format,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.nanos.magnitude();
        if *magnitude == BigUint::ZERO {
            return f.write_str("0");
        }
        if self.is_negative() {
            f.write_str("-")?;
        }
        let format = self.shown_format();
        if format == QuantityFormat::BinarySi {
            let whole = magnitude / unit();
            let powers = (whole.trailing_zeros().unwrap_or(0) / 10).min(SUFFIXES);
            let suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
            let suffix = suffixes.iter().zip(0..).find(|(_, power)| *power == powers);
            return write!(f, "{}{}", whole >> (10 * powers), suffix.map_or("", |(s, _)| s));
        }
        let digits = magnitude.to_string();
        let zeros = digits.len() - digits.trim_end_matches('0').len();
        // Thousands that can be taken out of the billionths.
        let thousands = zeros / 3;
        match format {
            QuantityFormat::DecimalExponent => {
                write!(f, "{}", &digits[..digits.len() - 3 * thousands])?;
                let power = 3 * thousands as i64 - i64::from(DECIMALS);
                if power == 0 { Ok(()) } else { write!(f, "e{power}") }
            }
            _ => {
                let suffixes = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
                let thousands = thousands.min(suffixes.len() - 1);
                write!(f, "{}{}", &digits[..digits.len() - 3 * thousands], suffixes[thousands])
            }
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Add for &Quantity {
    type Output = Quantity;

    /// The sum, written as the first is, or as the second where the first is zero.
    fn add(self, other: Self) -> Quantity {
        let format = if self.nanos == BigInt::ZERO { other.format } else { self.format };
        Quantity { nanos: &self.nanos + &other.nanos, format }
    }
}

impl Sub for &Quantity {
    type Output = Quantity;

    /// The difference, written as the first is, or as the second where the first is zero.
    fn sub(self, other: Self) -> Quantity {
        let format = if self.nanos == BigInt::ZERO { other.format } else { self.format };
        Quantity { nanos: &self.nanos - &other.nanos, format }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_json(&value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn quantity_is_written_in_canonical_form() {
        for (text, canonical, decimal) in [
            ("0", "0", "0"),
            ("-0Ki", "0", "0"),
            ("125952Ki", "123Mi", "128974848"),
            ("1.5Gi", "1536Mi", "1610612736"),
            ("00001Gi", "1Gi", "1073741824"),
            ("1023Ki", "1023Ki", "1047552"),
            ("0.5Ki", "512", "512"),
            ("100.035Ki", "102435840m", "102435.84"),
            (".0000001Ki", "102400n", "0.0001024"),
            ("0.3", "300m", "0.3"),
            ("-1.5", "-1500m", "-1.5"),
            ("+1.", "1", "1"),
            ("5000m", "5", "5"),
            ("10.035M", "10035k", "10035000"),
            ("1e14", "100e12", "100000000000000"),
            ("1.2E+3", "1200", "1200"),
            ("1000e-12", "1e-9", "0.000000001"),
            ("1E", "1E", "1000000000000000000"),
            ("1000E", "1000E", "1000000000000000000000"),
            ("1e21", "1e21", "1000000000000000000000"),
        ] {
            let read = quantity(text);
            assert_eq!(read.to_string(), canonical, "{text}");
            assert_eq!(read.decimal(), decimal, "{text}");
            assert_eq!(quantity(canonical), read, "{text}");
        }
    }

    #[test]
    fn quantity_of_more_decimals_is_rounded_away_from_zero() {
        for (text, canonical) in [
            ("3.001n", "4n"),
            ("-3.001n", "-4n"),
            ("1.1E-9", "2e-9"),
            ("1e-999999999999", "1e-9"),
            ("0.000000000001Ki", "2n"),
            ("1.0000000001Ki", "1024000000103n"),
        ] {
            assert_eq!(quantity(text).to_string(), canonical, "{text}");
        }
        for (power, canonical, exact) in [
            (-128, "9010m", true),
            (-2, "9010m", true),
            (-1, "9100m", false),
            (0, "10", false),
            (2, "100", false),
        ] {
            let (rounded, lost_nothing) = quantity("9.01").round_up(power);
            assert_eq!((rounded.to_string().as_str(), lost_nothing), (canonical, exact));
            let (rounded, _) = quantity("-9.01").round_up(power);
            assert_eq!(rounded.to_string(), format!("-{canonical}"));
        }
        assert_eq!(quantity("0").round_up(127).0.to_string(), "0");
    }

    #[test]
    fn quantity_of_binary_form_is_capped_and_of_decimal_form_is_not() {
        for text in ["8Ei", "9Ei", "9223372036854775807Ki"] {
            assert_eq!(quantity(text).whole(), Some(i64::MAX), "{text}");
            assert_eq!(quantity(&format!("-{text}")).whole(), Some(-i64::MAX), "{text}");
        }
        assert_eq!(quantity("7Ei").to_string(), "7Ei");
        assert_eq!(quantity("12E").whole(), None);
        assert_eq!(quantity("9223372036854775807").thousandths(), None);
        let sum = (0..256).fold(quantity("0"), |sum, _| &sum + &quantity("4Ei"));
        assert_eq!(sum.to_string(), "1024Ei");
    }

    #[test]
    fn quantity_counts_units_and_thousandths_rounded_up() {
        for (text, whole, thousandths) in [
            ("250m", 1, 250),
            ("1u", 1, 1),
            ("0", 0, 0),
            ("1.08", 2, 1080),
            ("-1.5", -1, -1500),
            ("-1u", 0, 0),
            ("1Ki", 1024, 1_024_000),
        ] {
            let read = quantity(text);
            assert_eq!((read.whole(), read.thousandths()), (Some(whole), Some(thousandths)));
        }
    }

    #[test]
    fn quantity_that_is_read_prints_as_one_that_is_read() {
        for text in [
            "1e999".to_owned(),
            "1001e998".to_owned(),
            "9".repeat(500) + "e499",
            "9".repeat(500) + ".5",
            "9".repeat(500) + "Ei",
        ] {
            let read: Quantity = text.parse().unwrap();
            assert_eq!(read.to_string().parse::<Quantity>().as_ref(), Ok(&read), "{text}");
        }
        for text in [
            "1e1000".to_owned(),
            format!("1{}7{}e663", "7".repeat(90), "0".repeat(340)),
            "9".repeat(509) + ".5",
        ] {
            assert!(matches!(text.parse::<Quantity>(), Err(QuantityError::Great(_))), "{text}");
        }
    }

    #[test]
    fn quantity_that_is_malformed_is_refused() {
        for text in ["", "+", "-", ".", "-.", "Ki", "e3", "+m", "--1"] {
            let read = text.parse::<Quantity>();
            assert!(matches!(read, Err(QuantityError::NoDigit(_))), "{text:?}");
        }
        for text in [" 1", "1 ", "1,5", "1.2.3", "1b", "1GB"] {
            assert!(matches!(text.parse::<Quantity>(), Err(QuantityError::Form(_))), "{text:?}");
        }
        for text in ["NaN", "inf", "0x10", "1_000", "٣", "1+1.0M", "1e1.5", "1-2-3", "1KI"] {
            assert!(matches!(text.parse::<Quantity>(), Err(QuantityError::Form(_))), "{text:?}");
        }
        for text in ["1K", "1ki", "1e", "1e+", "1Ee3", "0.1mi", "1i", "1Ki3", "1-", "1k3"] {
            let read = text.parse::<Quantity>();
            assert!(matches!(read, Err(QuantityError::Suffix { .. })), "{text:?}");
        }
        for text in ["1e1000", "1e2147483648", "1e9999999999999999", &"1".repeat(513)] {
            assert!(matches!(text.parse::<Quantity>(), Err(QuantityError::Great(_))), "{text:?}");
        }
    }

    #[test]
    fn quantity_from_json_is_a_text_or_a_number() {
        for (value, canonical) in [
            (json!(" 1Gi\n"), "1Gi"),
            (json!(1000), "1k"),
            (json!(-1), "-1"),
            (json!(0.3), "300m"),
            (json!(1e21), "1e21"),
            (json!(u64::MAX), "18446744073709551615"),
        ] {
            assert_eq!(Quantity::from_json(&value).unwrap().to_string(), canonical, "{value}");
        }
        for value in [json!(null), json!(true), json!([1]), json!({"a": 1}), json!("")] {
            assert!(Quantity::from_json(&value).is_err(), "{value}");
        }
        let long: Value = serde_json::from_str("36893488147419103233").unwrap();
        assert!(matches!(Quantity::from_json(&long), Err(QuantityError::Digits(_))));
        let read: Quantity = serde_json::from_str("\"1024Mi\"").unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"1Gi\"");
    }

    #[test]
    fn quantity_sum_is_written_as_the_first_that_is_not_zero() {
        let sum = &quantity("1Gi") + &quantity("1G");
        assert_eq!(
            (sum.decimal().as_str(), sum.format()),
            ("2073741824", QuantityFormat::BinarySi)
        );
        assert_eq!((&quantity("0") + &quantity("1Ki")).to_string(), "1Ki");
        let difference = &quantity("100m") - &quantity("1Ki");
        assert_eq!(difference.to_string(), "-1023900m");
        assert!(quantity("10000T") > quantity("100Gi") && quantity("50m") < quantity("100m"));
        assert_eq!(quantity("1024Mi"), quantity("1073741824"));
    }

    proptest! {
        #[test]
        fn quantity_text_reads_back_as_the_same_value(
            text in "[+-]?[0-9]{1,20}(\\.[0-9]{0,12})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,2})?"
        ) {
            let read: Quantity = text.parse()?;
            let again: Quantity = read.to_string().parse()?;
            prop_assert_eq!(&again, &read);
            prop_assert_eq!(again.to_string(), read.to_string());
            prop_assert_eq!(read.decimal().parse::<Quantity>()?, read);
        }

        #[test]
        fn quantity_of_any_text_is_read_or_refused(text in "[-+.0-9eEinumkKMGTP]{0,24}|.{0,8}") {
            let _ = text.parse::<Quantity>();
        }
    }
}
