//! How proto3-style JSON is read: what is missing, null or strange has the zero value.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A JSON object. By itself serde would also fill a struct from a list, in the order of its fields.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if !raw.get().starts_with('{') {
            return Err(D::Error::custom("not an object"));
        }
        serde_json::from_str(raw.get()).map(Self).map_err(D::Error::custom)
    }
}

/// The zero value for null and for a wrong type, so that a detail cannot break what it is a detail of.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

/// The same for an object, which serde would also fill from a list.
pub(super) fn detail<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(lenient::<D, Option<Object<T>>>(deserializer)?.map(|Object(detail)| detail).unwrap_or_default())
}

/// An int64, which proto3 JSON writes as a number or as a string.
#[derive(Default, PartialEq)]
pub(super) struct Count(pub(super) i64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let count = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        count.map(Self).ok_or_else(|| D::Error::custom("not an integer"))
    }
}

/// RFC 3339 in milliseconds since the Unix epoch. "Never" is absent or the year 1.
pub(super) fn millis(text: &str) -> Option<i64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(at.as_millisecond()).filter(|millis| *millis > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_is_absent_or_the_year_one_and_fractions_have_up_to_nine_digits() {
        let table = [
            ("2026-11-21T12:00:00Z", Some(1_795_262_400_000)),
            ("2026-11-21T12:00:00.1Z", Some(1_795_262_400_100)),
            ("2026-11-21T12:00:00.123456789Z", Some(1_795_262_400_123)),
            ("2026-11-21T14:00:00+02:00", Some(1_795_262_400_000)),
            ("0001-01-01T00:00:00Z", None),
            ("", None),
            ("yesterday", None),
        ];
        for (text, expected) in table {
            assert_eq!(millis(text), expected, "{text}");
        }
    }
}
