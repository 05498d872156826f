//! The values a configuration is written in. Each says of itself what is allowed, in the words of a problem's
//! line: what comes after "is not".

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, SeqAccess, Unexpected, Visitor};

use super::notify::{ChannelKind, SmtpTls};
use super::raw::Block;
use super::{Absent, Figure, PlatformKind};
use crate::decision::policy::{Action, Mode, OnHealthy, OnMigrations, OnUnhealthy, OnWarnings, Signal};
use crate::notify::event::Kind;

/// What a duration looks like, loosely: the schema helps while typing, the daemon judges.
const DURATION_PATTERN: &str = r"^\s*\d+\s*[a-zA-Zµ]+(\s*\d+\s*[a-zA-Zµ]+)*\s*$";

/// Text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text(pub(super) String);

/// A humantime duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

/// A whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count(pub(super) u64);

/// A share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share(pub(super) f64);

/// A number, of any size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number(pub(super) f64);

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

/// One of a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<T>(pub(super) T);

/// A list. An item is `None` where the file has nothing, or something wrong that was taken out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct List<T>(pub(super) Vec<Option<T>>);

/// Something that is not looked at, because the key alone is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unread;

/// A JSON value, null too.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Json(pub(super) serde_json::Value);

/// A closed set of words.
pub(super) trait Wording: Copy + Sized + 'static {
    /// What a word of the set is, and which words there are.
    const EXPECTED: &'static str;
    /// The words.
    const WORDS: &'static [(&'static str, Self)];
}

impl Wording for Absent {
    const EXPECTED: &'static str = "what an absent value means; allowed are unknown, good and bad";
    const WORDS: &'static [(&'static str, Self)] =
        &[("unknown", Self::Unknown), ("good", Self::Good), ("bad", Self::Bad)];
}

impl Wording for Figure {
    const EXPECTED: &'static str = "a figure of a platform; allowed are health, restart_count, cpu_percentage and memory_percentage on digitalocean, and status_codes_5xx, response_time, exit_codes, cpu_usage and memory_usage on sevalla";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("health", Self::Health),
        ("restart_count", Self::RestartCount),
        ("cpu_percentage", Self::CpuPercentage),
        ("memory_percentage", Self::MemoryPercentage),
        ("status_codes_5xx", Self::ServerErrors),
        ("response_time", Self::ResponseTime),
        ("exit_codes", Self::ExitCodes),
        ("cpu_usage", Self::CpuUsage),
        ("memory_usage", Self::MemoryUsage),
    ];
}

impl Wording for PlatformKind {
    const EXPECTED: &'static str = "a kind of platform; allowed are digitalocean and sevalla";
    const WORDS: &'static [(&'static str, Self)] =
        &[("digitalocean", Self::DigitalOcean), ("sevalla", Self::Sevalla)];
}

impl Wording for ChannelKind {
    const EXPECTED: &'static str = "a kind of channel; allowed are webhook, slack, alertmanager and smtp";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("webhook", Self::Webhook),
        ("slack", Self::Slack),
        ("alertmanager", Self::Alertmanager),
        ("smtp", Self::Smtp),
    ];
}

impl Wording for SmtpTls {
    const EXPECTED: &'static str = "a way to keep mail secret; allowed are starttls, implicit and none";
    const WORDS: &'static [(&'static str, Self)] =
        &[("starttls", Self::Starttls), ("implicit", Self::Implicit), ("none", Self::None)];
}

impl Wording for Kind {
    const EXPECTED: &'static str = "a kind of event; allowed are fired, asked, approval_needed, rollback_requested, rollback_created, rollback_live, restored, wrong_target, held, closed, noticed, deployment_failed, storm, app_gone and pushes_paused";
    const WORDS: &'static [(&'static str, Self)] = Self::WORDS;
}

impl Wording for Mode {
    const EXPECTED: &'static str = "a mode; allowed are observe, approve and enforce";
    const WORDS: &'static [(&'static str, Self)] =
        &[("observe", Self::Observe), ("approve", Self::Approve), ("enforce", Self::Enforce)];
}

impl Wording for Block {
    const EXPECTED: &'static str = "what a freeze window keeps from; allowed are rollback and commit";
    const WORDS: &'static [(&'static str, Self)] = &[("rollback", Self::Rollback), ("commit", Self::Commit)];
}

impl Wording for Action {
    const EXPECTED: &'static str = "an action; allowed are notify, approve and rollback";
    const WORDS: &'static [(&'static str, Self)] =
        &[("notify", Self::Notify), ("approve", Self::Approve), ("rollback", Self::Rollback)];
}

impl Wording for Signal {
    const EXPECTED: &'static str = "what is compared; allowed are failures and latency";
    const WORDS: &'static [(&'static str, Self)] =
        &[("failures", Self::Failures), ("latency", Self::Latency)];
}

impl Wording for OnWarnings {
    const EXPECTED: &'static str = "a policy for warnings; allowed are refuse and accept";
    const WORDS: &'static [(&'static str, Self)] = &[("refuse", Self::Refuse), ("accept", Self::Accept)];
}

impl Wording for OnMigrations {
    const EXPECTED: &'static str = "a policy for migrations; allowed are hold and allow";
    const WORDS: &'static [(&'static str, Self)] = &[("hold", Self::Hold), ("allow", Self::Allow)];
}

impl Wording for OnHealthy {
    const EXPECTED: &'static str = "an end of a healthy soak; allowed are commit and hold";
    const WORDS: &'static [(&'static str, Self)] = &[("commit", Self::Commit), ("hold", Self::Hold)];
}

impl Wording for OnUnhealthy {
    const EXPECTED: &'static str = "an end of an unhealthy soak; allowed are revert and hold";
    const WORDS: &'static [(&'static str, Self)] = &[("revert", Self::Revert), ("hold", Self::Hold)];
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "text; allowed is text, in quotes where it looks like something else";
        deserializer.deserialize_any(Scalar { expected, read: |text: &str| Some(Self(text.into())) })
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a duration; allowed is a humantime duration such as 30s, 10m or 1h 30m";
        let read = |text: &str| humantime::parse_duration(text).ok().filter(|_| !is_torn(text)).map(Self);
        deserializer.deserialize_any(Scalar { expected, read })
    }
}

/// Whether a space stands in a number. humantime reads over it: `1 0m` would be ten minutes.
fn is_torn(text: &str) -> bool {
    let digit = |character: char| character.is_ascii_digit();
    let words: Vec<&str> = text.split_whitespace().collect();
    words.windows(2).any(|pair| pair[0].ends_with(digit) && pair[1].starts_with(digit))
}

impl<'de, T: Wording> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let find = |word: &str| T::WORDS.iter().find(|known| known.0 == word).map(|known| Self(known.1));
        deserializer.deserialize_any(Scalar { expected: T::EXPECTED, read: find })
    }
}

/// Reads what is written as text.
struct Scalar<F> {
    expected: &'static str,
    read: F,
}

impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for Scalar<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        let expected = self.expected;
        (self.read)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &expected))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Whole).map(Self)
    }
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count; allowed is a positive whole number, without quotes")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YesOrNo).map(Self)
    }
}

struct YesOrNo;

impl Visitor<'_> for YesOrNo {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flag; allowed are true and false, without quotes")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Fraction("a share; allowed is a number such as 0.2")).map(Self)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Fraction("a number; allowed is one such as 0.05, without quotes"))
            .map(Self)
    }
}

/// Reads a number, and says what it is.
struct Fraction(&'static str);

impl Visitor<'_> for Fraction {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody writes a limit of sixteen digits")]
    fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "only 0 and 1 are near anything allowed")]
    fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Items(PhantomData))
    }
}

struct Items<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list; allowed is a list, each item after a dash")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(List(list))
    }
}

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IgnoredAny).map(|_| Self)
    }
}

impl Json {
    /// For an `Option` that is `Some(null)` when null is written.
    pub(super) fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        serde_json::Value::deserialize(deserializer).map(|value| Some(Self(value)))
    }
}

macro_rules! schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

schema!(Text, "Text", { "type": "string" });
schema!(Span, "Duration", { "type": "string", "pattern": DURATION_PATTERN });
schema!(Count, "Count", { "type": "integer", "minimum": 0 });
schema!(Flag, "Flag", { "type": "boolean" });
schema!(Number, "Number", { "type": "number" });
schema!(Share, "Share", { "type": "number", "minimum": 0 });
schema!(Json, "Json", {});

impl<T: Wording> JsonSchema for Word<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = T::WORDS.iter().map(|word| word.0).collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("List_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<T>() })
    }
}
