//! How a platform's JSON is read: a detail that is missing, null or strange has the zero value, one strange thing in a
//! list does not hide the others, and an error says where it went wrong and never what stood there.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::http::{Reply, Unreadable};

/// The body as a JSON object.
pub(super) fn parse<'a, T: Deserialize<'a>>(reply: &'a Reply) -> Result<T, Unreadable> {
    read(reply, '{', "not a JSON object")
}

/// The body as a JSON list, each item still to be read.
pub(super) fn list(reply: &Reply) -> Result<Vec<&RawValue>, Unreadable> {
    read(reply, '[', "not a JSON list")
}

fn read<'a, T: Deserialize<'a>>(reply: &'a Reply, opening: char, otherwise: &str) -> Result<T, Unreadable> {
    if reply.body.is_empty() {
        return Err(missing("a body"));
    }
    let text = std::str::from_utf8(&reply.body).map_err(|_| Unreadable("not UTF-8".to_owned()))?;
    if !text.trim_start().starts_with(opening) {
        return Err(Unreadable(otherwise.to_owned()));
    }
    serde_json::from_str(text).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Data => "not the shape documented",
            serde_json::error::Category::Eof => "JSON that breaks off",
            _ => "not JSON",
        };
        Unreadable(format!("{kind}, at line {} column {}", error.line(), error.column()))
    })
}

pub(super) fn missing(what: &str) -> Unreadable {
    Unreadable(format!("it lacks {what}"))
}

/// What can be read of a list. The rest is skipped, so that one strange thing does not hide the others.
pub(super) fn each<'a, W: Deserialize<'a>, T>(
    items: &[&'a RawValue],
    what: &str,
    mut seen: impl FnMut(W) -> Option<T>,
) -> Vec<T> {
    let readable: Vec<T> = items.iter().filter_map(|item| object(item).and_then(&mut seen)).collect();
    if readable.len() < items.len() {
        tracing::debug!(what, skipped = items.len() - readable.len(), "unreadable or without an id");
    }
    readable
}

/// What can be read of an object; `None` for anything else, and where something in it may not be odd and is.
pub(super) fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    raw.get().starts_with('{').then(|| serde_json::from_str(raw.get()).ok()).flatten()
}

/// A JSON object. By itself serde would also fill a struct from a list, in the order of its fields.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        if !raw.get().starts_with('{') {
            return Err(D::Error::custom("not an object"));
        }
        serde_json::from_str(raw.get()).map(Self).map_err(D::Error::custom)
    }
}

/// The zero value for null and for a wrong type, so that a detail cannot break what it is a detail of.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

/// The same for an object, which serde would also fill from a list.
pub(super) fn detail<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(object(<&RawValue>::deserialize(deserializer)?).unwrap_or_default())
}

/// The same for a text. Most are meant as they stand there, and need not be copied to be read.
pub(super) fn text<'de, D: Deserializer<'de>, T: From<Cow<'de, str>>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    let quoted = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    Ok(T::from(match quoted {
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        Some(_) => Cow::Owned(serde_json::from_str(raw).unwrap_or_default()),
        None => Cow::default(),
    }))
}

/// An int64, which proto3-style JSON writes as a number or as a string.
#[derive(Default, PartialEq)]
pub(super) struct Count(pub(super) i64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let count = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        count.map(Self).ok_or_else(|| D::Error::custom("not an integer"))
    }
}

/// A finite number, which some write as a string.
pub(super) fn number(value: &serde_json::Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()));
    number.filter(|number| number.is_finite())
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
