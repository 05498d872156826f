//! What can be made to go wrong between the platform and its caller.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ledger::Operation;

/// A fault that lies in wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What it meets.
    pub on: Target,
    /// Only for this app, by name. `list_apps` belongs to no app.
    #[serde(default)]
    pub app: Option<String>,
    /// What it does.
    pub kind: Kind,
    /// How often.
    #[serde(default)]
    pub when: When,
}

impl Fault {
    /// A fault that meets every matching request until it is removed.
    pub fn on(on: Target, kind: Kind) -> Self {
        Self { on, app: None, kind, when: When::Always }
    }

    /// The same for one app.
    pub fn of_app(mut self, app: &str) -> Self {
        self.app = Some(app.to_owned());
        self
    }

    /// The same, that often.
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }
}

/// What a fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// One call of the API.
    Call(Operation),
    /// The API's reads, validation among them.
    Reads,
    /// The API's writes.
    Writes,
    /// Every call of the API.
    Api,
    /// The apps' sites.
    Site,
    /// The control probe's `/up`.
    Up,
}

/// The request that a fault may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    Call(Operation),
    Site,
    Up,
}

impl Target {
    fn meets(self, met: Met) -> bool {
        match (self, met) {
            (Self::Call(this), Met::Call(that)) => this == that,
            (Self::Reads, Met::Call(call)) => call.is_read(),
            (Self::Writes, Met::Call(call)) => !call.is_read(),
            (Self::Api, Met::Call(_)) | (Self::Site, Met::Site) | (Self::Up, Met::Up) => true,
            _ => false,
        }
    }
}

/// How often a fault strikes, counted over the requests that match it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Every time.
    #[default]
    Always,
    /// The first so many times.
    First(u64),
    /// Every so many times, beginning with that one.
    Every(u64),
    /// That one time, counted from 1.
    Nth(u64),
}

impl When {
    /// Whether it strikes the `nth` match, counted from 1.
    fn strikes(self, nth: u64) -> bool {
        match self {
            Self::Always => true,
            Self::First(count) => nth <= count,
            Self::Every(count) => count > 0 && nth.is_multiple_of(count),
            Self::Nth(which) => nth == which,
        }
    }
}

/// What a fault does. "Applied": the platform does what was asked; otherwise it never hears of it.
/// On a site there is nothing to apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An error in the platform's own form.
    Status {
        /// The status.
        code: u16,
        /// Whether the platform did it all the same.
        #[serde(default)]
        applied: bool,
    },
    /// 429 with a `retry-after` of any form, or without one. Not applied.
    TooManyRequests {
        /// The header's value.
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// An answer that quotes the request: the words of the error, and the id that every answer has, are the caller's
    /// token. With a status of success only the id is, and the rest is as it should be.
    Echo {
        /// The status.
        code: u16,
        /// Whether the platform did it.
        #[serde(default)]
        applied: bool,
    },
    /// A load balancer's page. Not applied.
    Html {
        /// The status.
        code: u16,
    },
    /// A redirect to the same place, for ever. Not applied.
    RedirectLoop,
    /// No answer.
    Hang {
        /// Whether the platform did it all the same.
        #[serde(default)]
        applied: bool,
    },
    /// No answer, and the platform does it later.
    AppliedLate {
        /// How much later.
        after_ms: u64,
    },
    /// The connection is closed without an answer.
    Reset {
        /// Whether the platform did it all the same.
        #[serde(default)]
        applied: bool,
    },
    /// The right answer, late. Applied.
    Delay {
        /// How late.
        ms: u64,
    },
    /// The right answer, broken off half way. Applied.
    Truncated,
    /// The right answer behind this many bytes of white space. Applied.
    Huge {
        /// How many.
        bytes: u64,
    },
    /// The right answer, a byte at a time. Applied.
    SlowLoris {
        /// The pause before each byte.
        every_ms: u64,
    },
    /// 200 and nothing. Applied.
    Empty,
    /// 204. Applied.
    NoContent,
    /// Bytes that are no text. Applied.
    InvalidUtf8,
    /// Texts are numbers, numbers are texts, lists are objects. Applied.
    WrongTypes,
    /// Fields nobody has heard of, everywhere. Applied.
    UnknownFields,
    /// Where one of a few words is expected, one that nobody has heard of. Applied.
    UnknownWords,
    /// No `id` anywhere. Applied.
    MissingIds,
    /// Lists back to front. Applied.
    Reordered,
    /// Every element of a list twice. Applied.
    Duplicated,
    /// `meta.total` counts one more than there is. Applied.
    WrongTotal,
}

impl Kind {
    /// Whether the platform carries out at once what was asked.
    pub(crate) fn applies(&self) -> bool {
        match self {
            Self::Status { applied, .. }
            | Self::Echo { applied, .. }
            | Self::Hang { applied }
            | Self::Reset { applied } => *applied,
            Self::TooManyRequests { .. }
            | Self::Html { .. }
            | Self::RedirectLoop
            | Self::AppliedLate { .. } => false,
            _ => true,
        }
    }

    /// Its name in the ledger.
    pub(crate) fn name(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            Ok(value) => value.to_string(),
            Err(_) => String::new(),
        }
    }
}

/// The faults that lie in wait.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    next_id: u64,
    waiting: Vec<Waiting>,
    /// How often each kind struck, by its word.
    struck: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    fault: Fault,
    met: u64,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) -> u64 {
        self.next_id += 1;
        self.waiting.push(Waiting { id: self.next_id, fault, met: 0 });
        self.next_id
    }

    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.id != id);
        self.waiting.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    pub(crate) fn list(&self) -> Vec<(u64, Fault)> {
        self.waiting.iter().map(|waiting| (waiting.id, waiting.fault.clone())).collect()
    }

    /// What strikes this request: the first fault that does. Every fault that matches counts it.
    pub(crate) fn strike(&mut self, met: Met, app: Option<&str>) -> Option<Kind> {
        let mut struck = None;
        for waiting in &mut self.waiting {
            let fault = &waiting.fault;
            if !fault.on.meets(met) || fault.app.as_deref().is_some_and(|only| Some(only) != app) {
                continue;
            }
            waiting.met += 1;
            if struck.is_none() && fault.when.strikes(waiting.met) {
                struck = Some(fault.kind.clone());
            }
        }
        if let Some(kind) = &struck {
            let said = format!("{kind:?}");
            let word = said.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
            *self.struck.entry(word.to_owned()).or_default() += 1;
        }
        struck
    }

    pub(crate) fn struck(&self) -> BTreeMap<String, usize> {
        self.struck.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_as_often_as_it_was_told() {
        let struck = |when| -> Vec<u64> {
            let mut faults = Faults::default();
            faults.add(Fault::on(Target::Reads, Kind::Empty).when(when));
            (1..=6).filter(|_| faults.strike(Met::Call(Operation::GetApp), None).is_some()).collect()
        };
        assert_eq!(struck(When::Always), [1, 2, 3, 4, 5, 6]);
        assert_eq!(struck(When::First(2)), [1, 2]);
        assert_eq!(struck(When::Every(3)), [3, 6]);
        assert_eq!(struck(When::Nth(4)), [4]);
        assert_eq!(struck(When::Every(0)), [] as [u64; 0]);
    }

    #[test]
    fn a_fault_of_one_app_spares_the_others() {
        let mut faults = Faults::default();
        let id = faults.add(Fault::on(Target::Site, Kind::Empty).of_app("shop"));
        assert_eq!(faults.strike(Met::Site, Some("blog")), None);
        assert_eq!(faults.strike(Met::Up, Some("shop")), None);
        assert_eq!(faults.strike(Met::Site, Some("shop")), Some(Kind::Empty));
        assert!(faults.remove(id));
        assert_eq!(faults.strike(Met::Site, Some("shop")), None);
    }

    #[test]
    fn faults_are_written_the_way_the_control_api_documents_them() {
        let read = |text: &str| serde_json::from_str::<Fault>(text).expect("fault");
        assert_eq!(
            read(r#"{"on":{"call":"create_rollback"},"kind":{"hang":{"applied":true}},"when":{"first":1}}"#),
            Fault::on(Target::Call(Operation::CreateRollback), Kind::Hang { applied: true })
                .when(When::First(1))
        );
        assert_eq!(
            read(r#"{"on":"site","app":"shop","kind":{"status":{"code":503}}}"#),
            Fault::on(Target::Site, Kind::Status { code: 503, applied: false }).of_app("shop")
        );
    }
}
