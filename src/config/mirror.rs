//! From text to the mirror in `raw`, with every problem of form on the way: the first problem is taken out of the
//! document and the rest is read again, until nothing is wrong with it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_path_to_error::Segment;
use serde_yaml::{Mapping, Value};

use super::problem::{Findings, Part, Path, Problems, Step, shown};
use super::{position, raw, suggest};

/// Keys that are known only to be refused by name; nobody is told to write them.
const NEVER_OFFERED: [&str; 4] = ["token", "admin_token", "secret", "password"];

/// Keys whose values may hold a secret, and are not shown even when they are wrong.
const NEVER_SHOWN: [&str; 16] = [
    "url",
    "api",
    "state",
    "headers",
    "token_file",
    "token_env",
    "admin_token_file",
    "url_file",
    "url_env",
    "secret_file",
    "secret_env",
    "username",
    "password_file",
    "password_env",
    "equals",
    "body_contains",
];

/// The document as values.
pub(super) fn document(file: &str, text: &str) -> Result<Value, Problems> {
    let document: Document = serde_yaml::from_str(text).map_err(|error| {
        let position = error.location().map_or(position::Position::START, |location| position::Position {
            line: location.line().max(1),
            column: location.column().max(1),
        });
        // The reader's own words may quote the file, which may quote a secret.
        Problems::whole(file, position, "cannot be read as YAML; allowed is one YAML document")
    })?;
    Ok(document.0)
}

/// The mirror of the document, without what is wrong in it; none when too much is wrong.
pub(super) fn fill(mut document: Value, findings: &mut Findings) -> Option<raw::File> {
    // Each round takes out a problem and, for one in a list, at most the list around it.
    while !findings.is_full() {
        let error = match serde_path_to_error::deserialize::<_, raw::File>(&document) {
            Ok(file) => return Some(file),
            Err(error) => error,
        };
        let path = path_of(error.path());
        let taken = take(&mut document, &path);
        report(&error.inner().to_string(), &path, taken.as_ref(), findings);
        taken?;
    }
    None
}

/// Says what is wrong, in the configuration's own words: the library's may quote a value.
fn report(message: &str, path: &Path, value: Option<&Value>, findings: &mut Findings) {
    let expected = message.rsplit_once(", expected ").map_or("allowed here", |(_, expected)| expected);
    if message.starts_with("unknown field") {
        let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        return unknown_key(path, &known, findings);
    }
    let hidden = path.0.iter().any(|step| matches!(step, Step::Key(key) if NEVER_SHOWN.contains(&&**key)));
    // Somebody may have written nothing but the URL of a channel, which is a secret.
    let is_channel = path.0.len() <= 2 && matches!(path.0.first(), Some(Step::Key(key)) if key == "notify");
    let hidden = hidden || is_channel;
    let value = match value {
        Some(Value::Sequence(_)) => "a list".to_owned(),
        Some(Value::Mapping(_)) => "a mapping".to_owned(),
        Some(Value::Bool(value)) if !hidden => value.to_string(),
        Some(Value::Number(value)) if !hidden => value.to_string(),
        Some(Value::String(value)) if !hidden => format!("\"{}\"", shown(value)),
        _ => "what stands here".to_owned(),
    };
    findings.add(path.clone(), Part::Value, format!("{value} is not {expected}"));
}

/// Names the key, never its value: that may be a secret.
fn unknown_key(path: &Path, known: &[&str], findings: &mut Findings) {
    let Some(Step::Key(key)) = path.0.last() else {
        return findings.add(path.clone(), Part::Value, "unknown key".to_owned());
    };
    let known: Vec<&str> = known.iter().copied().filter(|key| !NEVER_OFFERED.contains(key)).collect();
    let nearest = suggest::nearest(key, &known);
    let meant = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or(";".to_owned());
    let what = format!("unknown key `{}`{meant} allowed are {}", shown(key), known.join(", "));
    findings.add(path.clone(), Part::Key, what);
    if let Some(nearest) = nearest {
        findings.silence(path.parent().key(nearest));
    }
}

fn path_of(path: &serde_path_to_error::Path) -> Path {
    Path(
        path.iter()
            .filter_map(|segment| match segment {
                Segment::Seq { index } => Some(Step::Index(*index)),
                Segment::Map { key } => Some(Step::Key(key.clone())),
                Segment::Enum { .. } | Segment::Unknown => None,
            })
            .collect(),
    )
}

/// Takes a value out of the document. The other items of a list keep their positions.
fn take(document: &mut Value, path: &Path) -> Option<Value> {
    let (last, before) = path.0.split_last()?;
    let mut parent = document;
    for step in before {
        parent = match (parent, step) {
            (Value::Mapping(mapping), Step::Key(key)) => mapping.get_mut(key.as_str())?,
            (Value::Sequence(items), Step::Index(index)) => items.get_mut(*index)?,
            _ => return None,
        };
    }
    match (parent, last) {
        (Value::Mapping(mapping), Step::Key(key)) => mapping.remove(key.as_str()),
        (Value::Sequence(items), Step::Index(index)) => items.get_mut(*index).map(std::mem::take),
        _ => None,
    }
}

/// Values of a document in which a key may stand twice (`position` reports it) and keys are always text.
struct Document(Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Document(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Sequence(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut mapping = Mapping::new();
        while let Some((Document(key), Document(value))) = entries.next_entry()? {
            let key = match key {
                Value::String(key) => key,
                Value::Bool(key) => key.to_string(),
                Value::Number(key) => key.to_string(),
                _ => "null".to_owned(),
            };
            mapping.insert(Value::String(key), value);
        }
        Ok(Value::Mapping(mapping))
    }
}
