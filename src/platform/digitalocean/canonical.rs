//! An app spec's identity: a digest that does not depend on the order of keys or on white space.

use std::collections::VecDeque;

use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 in hex, each empty when there is nothing to digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Digests {
    /// Of the whole spec.
    pub(super) whole: String,
    /// Of its jobs that run with every deployment, sorted by name.
    pub(super) migrations: String,
}

/// The digests of a spec, given as JSON. What is not an object counts as no spec.
fn spec(json: &str) -> Digests {
    match serde_json::from_str::<Value>(json) {
        Ok(spec @ Value::Object(_)) => {
            Digests { whole: hex(&canonical(&spec)), migrations: migrations(&spec).unwrap_or_default() }
        }
        Ok(_) => Digests::default(),
        // Nested too deep. It is a spec all the same, and perhaps one with a migration: unlike any other.
        Err(_) => Digests { whole: hex(json), migrations: hex(json) },
    }
}

/// How many specs are kept: as many as a small account or an incident has in turn.
const KEPT: usize = 16;

/// The digests of specs that are read again and again: most deployments of an app have the same one, and most reads of
/// an app show what the one before showed.
#[derive(Debug, Default)]
pub(super) struct Specs {
    /// The newest last.
    kept: VecDeque<(Box<str>, Digests)>,
}

impl Specs {
    /// As [`spec`].
    pub(super) fn digests(&mut self, json: &str) -> Digests {
        if let Some((_, digests)) = self.kept.iter().rev().find(|(kept, _)| **kept == *json) {
            return digests.clone();
        }
        let digests = spec(json);
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((json.into(), digests.clone()));
        digests
    }
}

fn migrations(spec: &Value) -> Option<String> {
    let jobs: Vec<&Value> = spec.get("jobs")?.as_array()?.iter().filter(|job| deploys(job)).collect();
    if jobs.is_empty() {
        return None;
    }
    // Encrypted values may be encrypted anew with every update: a migration is what is run, not with which secret.
    let mut jobs: Vec<Value> = jobs.into_iter().cloned().collect();
    jobs.iter_mut().for_each(hide_secrets);
    let mut jobs: Vec<&Value> = jobs.iter().collect();
    jobs.sort_by_cached_key(|job| {
        (job.get("name").and_then(Value::as_str).map(str::to_owned), canonical(job))
    });
    let list: Vec<String> = jobs.into_iter().map(canonical).collect();
    Some(hex(&format!("[{}]", list.join(","))))
}

/// Third parties and the control panel show encrypted values as `EV[...]`.
fn hide_secrets(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("EV[") => text.truncate(2),
        Value::Array(items) => items.iter_mut().for_each(hide_secrets),
        Value::Object(fields) => fields.values_mut().for_each(hide_secrets),
        _ => {}
    }
}

/// Whether the job runs with every deployment. Without a kind it does: "UNSPECIFIED: Default job type, will
/// auto-complete to POST_DEPLOY kind" (OpenAPI, `app_job_spec.kind`).
fn deploys(job: &Value) -> bool {
    match job.get("kind") {
        None | Some(Value::Null) => job.is_object(),
        Some(kind) => matches!(kind.as_str(), Some("PRE_DEPLOY" | "POST_DEPLOY" | "UNSPECIFIED" | "")),
    }
}

/// JSON without white space, with the keys of every object in order. Whether serde_json keeps them in order by
/// itself depends on what other crates ask of it.
fn canonical(value: &Value) -> String {
    serde_json::to_string(&Ordered(value)).expect("what was read as JSON can be written as JSON")
}

/// A value that is written in that order.
struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Array(items) => serializer.collect_seq(items.iter().map(Ordered)),
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(key, _)| *key);
                serializer.collect_map(fields.into_iter().map(|(key, field)| (key, Ordered(field))))
            }
            plain => plain.serialize(serializer),
        }
    }
}

fn hex(text: &str) -> String {
    let digits = Sha256::digest(text).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_specs_are_kept_and_no_more_of_them() {
        let mut specs = Specs::default();
        let text = |n: usize| format!(r#"{{"name":"app-{n}"}}"#);
        for n in 0..3 * KEPT {
            let first = specs.digests(&text(n));
            assert_eq!((first.clone(), first), (spec(&text(n)), specs.digests(&text(n))), "{n}");
        }
        assert_eq!(specs.kept.len(), KEPT, "a list of ten thousand apps is not kept whole");
        assert!(specs.kept.iter().zip(2 * KEPT..).all(|((kept, _), n)| **kept == *text(n)));
    }

    #[test]
    fn the_order_of_keys_and_white_space_do_not_matter_and_everything_else_does() {
        let one = spec(r#"{"name":"a","services":[{"name":"w","envs":[{"key":"K","value":"1"}]}]}"#);
        let same = spec(
            "{ \"services\": [{\"envs\":[{\"value\":\"1\",\"key\":\"K\"}],\"name\":\"w\"}],\n\"name\":\"a\"}",
        );
        let other = spec(r#"{"name":"a","services":[{"name":"w","envs":[{"key":"K","value":"2"}]}]}"#);
        assert_eq!(one, same);
        assert_ne!(one.whole, other.whole);
        assert_eq!(one.whole.len(), 64);
        // printf '{"name":"a"}' | sha256sum
        assert_eq!(
            spec(r#" { "name" : "a" } "#).whole,
            "d9d719b27480b55cd4918020e7473e716ed3569c8adafe926cf9b10b4f8ef064"
        );
    }

    #[test]
    fn migrations_are_the_jobs_that_run_with_a_deployment_in_whatever_order() {
        let digest = |jobs: &str| spec(&format!(r#"{{"name":"a","jobs":{jobs}}}"#)).migrations;
        let migrate = r#"{"name":"migrate","kind":"PRE_DEPLOY","run_command":"up"}"#;
        let seed = r#"{"name":"seed","kind":"POST_DEPLOY"}"#;
        let failed = r#"{"name":"tell","kind":"FAILED_DEPLOY"}"#;
        assert_eq!(digest("[]"), "");
        assert_eq!(digest("null"), "");
        assert_eq!(digest("7"), "");
        assert_eq!(digest(&format!("[{failed}]")), "");
        assert_eq!(digest(&format!("[{migrate},{seed}]")), digest(&format!("[{seed},{failed},{migrate}]")));
        assert_ne!(digest(&format!("[{migrate}]")), digest(&format!("[{migrate},{seed}]")));
        assert_ne!(digest(r#"[{"name":"seed"}]"#), "", "no kind means after the deployment");
        assert_ne!(digest(&format!("[{}]", migrate.replace("up", "down"))), digest(&format!("[{migrate}]")));
    }

    #[test]
    fn what_is_no_spec_has_no_digest_and_one_too_deep_is_like_no_other() {
        for nothing in ["null", "\"x\"", "[]", "7"] {
            assert_eq!(spec(nothing), Digests::default());
        }
        let deep = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_ne!(spec(&deep(5000)).whole, spec(&deep(5001)).whole);
        assert_ne!(spec(&deep(5000)).migrations, "");
    }
}
