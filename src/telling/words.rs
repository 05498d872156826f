//! Reasons, times and numbers as people read them.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use crate::decision::effect::Reason;

/// What a reason means to somebody who has never read the list. A word from a newer daemon stands for itself.
pub(crate) fn reason(word: &str) -> String {
    let text: StrDeserializer<'_, ValueError> = word.into_deserializer();
    Reason::deserialize(text).map_or_else(|_| word.to_owned(), |reason| reason.meaning().to_owned())
}

/// A span in the two largest units that matter.
pub(crate) fn span(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default().as_secs();
    match whole {
        0..10 => format!("{:.1}s", seconds.max(0.0)),
        10..60 => format!("{whole}s"),
        60..3_600 => format!("{}m {:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h {:02}m", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{}d {:02}h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// How long before `now`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", span(now.duration_since(at).as_secs_f64()))
}

/// Until when a person may answer, and how long that is yet.
pub(crate) fn approve_by(at: Timestamp, now: Timestamp) -> String {
    let left = at.duration_since(now).as_secs_f64();
    if left <= 0.0 {
        return format!("{}, which is over: it is being held", clock(at));
    }
    format!("{}, {} left; then it is held", clock(at), span(left))
}

/// How a person says yes and no to an incident: the yes to the target that is shown, and to no other.
pub(crate) fn answers(id: &str, target: Option<&str>) -> [String; 2] {
    let target = target.map_or(String::new(), |target| format!(" --target {target}"));
    [format!("rearguard approve {id}{target}"), format!("rearguard reject {id}")]
}

/// `1 app`, `2 apps`.
pub(crate) fn count(many: usize, noun: &str) -> String {
    if many == 1 { format!("1 {noun}") } else { format!("{many} {noun}s") }
}

/// A wall-clock time to the second, in UTC.
pub(crate) fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_meaning_and_unknown_words_stand_for_themselves() {
        for word in Reason::ALL.iter().map(|reason| reason.word()) {
            assert_ne!(reason(word), word);
        }
        assert_eq!(reason("quarantined"), "quarantined");
    }

    #[test]
    fn spans_keep_two_units() {
        let shown: Vec<String> = [0.04, 9.96, 12.3, 492.0, 3_600.0, 100_000.0, -1.0].map(span).into();
        assert_eq!(shown, ["0.0s", "10.0s", "12s", "8m 12s", "1h 00m", "1d 03h", "0.0s"]);
    }
}
