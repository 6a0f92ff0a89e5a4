//! Whole numbers as JSON Schema means them: `1.0` is one, too.

use serde::{Deserialize as _, Deserializer, de::Error as _};
use serde_json::Number;

/// Reads a whole number.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    whole(&Number::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Reads a whole number, or null.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    let number = Option::<Number>::deserialize(deserializer)?;
    number
        .map(|number| whole(&number).map_err(D::Error::custom))
        .transpose()
}

fn whole(number: &Number) -> Result<u64, String> {
    let refused = || format!("{number} is no whole number from 0 on");
    if let Some(whole) = number.as_u64() {
        return Ok(whole);
    }
    let float = number.as_f64().ok_or_else(refused)?;
    // Above that not every whole number is one of these.
    if float.fract() != 0.0 || !(0.0..=9_007_199_254_740_992.0).contains(&float) {
        return Err(refused());
    }
    Ok(float as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::Number;

    use super::whole;

    #[test]
    fn a_number_without_a_fraction_is_whole_however_it_is_written() {
        let read = |text: &str| whole(&text.parse::<Number>().expect("it is a number"));
        assert_eq!(read("474"), Ok(474));
        assert_eq!(read("474.0"), Ok(474));
        assert_eq!(read("18446744073709551615"), Ok(u64::MAX));
        for wrong in ["474.5", "-1", "-1.0", "1e300"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
