//! The JSON Schema of the configuration, for editors and for checks before the daemon sees a file.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value};

use super::raw;

/// JSON Schema (draft 2020-12) of the configuration file. It knows form, not meaning: dangling names and windows
/// that cannot be filled are found by `rearguard check` only.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with_transform(RecursiveTransform(without_null))
        .with_transform(RecursiveTransform(in_one_line));
    let mut schema = settings.into_generator().into_root_schema_for::<raw::File>();
    schema.insert("title".to_owned(), "rearguard configuration".into());
    schema.to_value()
}

/// What may be left out may be null as well, but nobody is told to write it.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [kind] = types.as_slice() {
            let kind = kind.clone();
            object.insert("type".to_owned(), kind);
        }
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    if let Some(Value::Array(words)) = object.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    let Some(Value::Array(any)) = object.get_mut("anyOf") else { return };
    any.retain(|schema| schema.get("type").is_none_or(|kind| kind != "null"));
    if let [Value::Object(only)] = any.as_slice() {
        let only: Map<String, Value> = only.clone();
        object.remove("anyOf");
        object.extend(only);
    }
}

/// The comments are broken into lines where the source ends, which is nothing to an editor's tooltip.
fn in_one_line(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}
