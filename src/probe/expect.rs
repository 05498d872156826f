//! Whether an answer is what the operator expects.

use serde_json::Value;

use crate::config::{Expect, ExpectJson, ExpectValue, VersionAt};
use crate::decision::version::LONGEST;

/// The most of a body that is read. A health page is a few hundred bytes; this bounds what an app that went mad
/// can cost, in memory and in time.
pub(super) const BODY_MAX: usize = 64 * 1024;

/// Whether the status is an expected one; any 2xx when none is named.
pub(super) fn status(expect: &Expect, status: u16) -> bool {
    if expect.status.is_empty() { (200..300).contains(&status) } else { expect.status.contains(&status) }
}

/// A version as it is kept: in one line, and not longer than any is.
pub(super) fn version(told: &str) -> Option<Box<str>> {
    let told = told.trim();
    let fits = !told.is_empty() && told.len() <= LONGEST && told.chars().all(|c| c.is_ascii_graphic());
    fits.then(|| told.into())
}

/// A body on its way, and what it has to show.
pub(super) struct Body<'a> {
    expect: &'a Expect,
    read: Vec<u8>,
    found: bool,
}

/// What is known after a piece of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All that was expected is there; the rest does not matter.
    Good,
    /// It cannot become good any more.
    Bad,
    /// The next piece is needed.
    More,
}

impl<'a> Body<'a> {
    /// Nothing read yet. [`Progress::Good`] at once when no body is expected.
    pub(super) fn new(expect: &'a Expect) -> (Self, Progress) {
        let found = expect.body_contains.as_ref().is_none_or(String::is_empty);
        let body = Self { expect, read: Vec::new(), found };
        let progress = if found && !body.is_wanted_whole() { Progress::Good } else { Progress::More };
        (body, progress)
    }

    /// Whether it says nothing before its end.
    fn is_wanted_whole(&self) -> bool {
        self.expect.json.is_some() || matches!(self.expect.version, Some(VersionAt::Json(_)))
    }

    /// The version it names, now that it is at its end.
    pub(super) fn version(&self, pointer: &str) -> Option<Box<str>> {
        let body: Value = serde_json::from_slice(&self.read).ok()?;
        match body.pointer(pointer)? {
            Value::String(text) => version(text),
            Value::Number(number) => version(&number.to_string()),
            _ => None,
        }
    }

    /// Adds a piece, of which nothing beyond the first [`BODY_MAX`] bytes of the body is looked at.
    pub(super) fn push(&mut self, piece: &[u8]) -> Progress {
        let taken = piece.len().min(BODY_MAX - self.read.len());
        let before = self.read.len();
        self.read.extend_from_slice(&piece[..taken]);
        if let Some(text) = self.expect.body_contains.as_deref().filter(|_| !self.found) {
            // The text may straddle two pieces.
            let from = (before + 1).saturating_sub(text.len());
            self.found = self.read[from..].windows(text.len()).any(|window| window == text.as_bytes());
        }
        match (self.found, taken < piece.len()) {
            (true, false) if !self.is_wanted_whole() => Progress::Good,
            (_, false) => Progress::More,
            // JSON cut off is not JSON.
            (found, true) if found && self.expect.json.is_none() => Progress::Good,
            (_, true) => Progress::Bad,
        }
    }

    /// Whether the body, now at its end, is a good one.
    pub(super) fn end(&self) -> bool {
        self.found && self.expect.json.as_ref().is_none_or(|expected| json(expected, &self.read))
    }
}

fn json(expected: &ExpectJson, body: &[u8]) -> bool {
    let Ok(found) = serde_json::from_slice::<Value>(body) else { return false };
    found.pointer(&expected.pointer).is_some_and(|value| match &expected.value {
        ExpectValue::Equals(wanted) => same(value, wanted),
        ExpectValue::Within(limits) => value.as_f64().is_some_and(|number| limits.hold(number)),
    })
}

/// Equality as people mean it: 1 is 1.0. A string is never a number, though.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Limits;

    fn contains(text: &str) -> Expect {
        Expect { body_contains: Some(text.to_owned()), ..Expect::default() }
    }

    fn at(pointer: &str, equals: Value) -> Expect {
        let value = ExpectValue::Equals(equals);
        Expect { json: Some(ExpectJson { pointer: pointer.to_owned(), value }), ..Expect::default() }
    }

    fn judge(expect: &Expect, pieces: &[&[u8]]) -> bool {
        let (mut body, mut progress) = Body::new(expect);
        for piece in pieces {
            if progress != Progress::More {
                break;
            }
            progress = body.push(piece);
        }
        match progress {
            Progress::Good => true,
            Progress::Bad => false,
            Progress::More => body.end(),
        }
    }

    #[test]
    fn statuses_are_any_2xx_or_the_named_ones() {
        let named = Expect { status: vec![204, 301, 503], ..Expect::default() };
        for (code, any, name) in [
            (199, false, false),
            (200, true, false),
            (204, true, true),
            (299, true, false),
            (301, false, true),
            (404, false, false),
            (503, false, true),
        ] {
            assert_eq!(status(&Expect::default(), code), any, "{code}");
            assert_eq!(status(&named, code), name, "{code}");
        }
    }

    #[test]
    fn text_is_found_anywhere_in_the_first_64_kib_and_across_pieces() {
        let ok = contains("okay");
        let fill = vec![b'.'; BODY_MAX - 4];
        let table: [(&str, &[&[u8]], bool); 9] = [
            ("alone", &[b"okay"], true),
            ("across pieces", &[b"..o", b"k", b"ay.."], true),
            ("byte by byte", &[b"o", b"k", b"o", b"k", b"a", b"y"], true),
            ("absent", &[b"oka", b"", b"Y"], false),
            ("no body", &[], false),
            ("beside bytes that are no text", &[b"\xff\xfe okay \x80"], true),
            ("at the very end of the limit", &[&fill, b"okay and more"], true),
            ("one byte beyond the limit", &[&fill, b".okay"], false),
            ("in the piece after the limit", &[&fill, b"....", b"okay"], false),
        ];
        for (what, pieces, good) in table {
            assert_eq!(judge(&ok, pieces), good, "{what}");
        }
        assert!(judge(&contains(""), &[]), "nothing is in every body");
        assert!(judge(&Expect::default(), &[]), "no body is needed where none is expected");
    }

    #[test]
    fn json_is_compared_at_its_place() {
        let body: &[u8] = br#"{"status":"up","n":1,"deep":{"a/b":[{"x":null}]},"t":true}"#;
        let table = [
            ("/status", json!("up"), true),
            ("/status", json!("down"), false),
            ("/status", json!(true), false),
            ("/n", json!(1), true),
            ("/n", json!(1.0), true),
            ("/n", json!("1"), false),
            ("/t", json!(true), true),
            ("/t", json!("true"), false),
            ("/deep/a~1b/0/x", json!(null), true),
            ("/deep/a~1b/1/x", json!(null), false),
            ("/absent", json!(null), false),
            ("/deep", json!({"a/b": [{"x": null}]}), true),
        ];
        for (pointer, value, good) in table {
            assert_eq!(
                judge(&at(pointer, value.clone()), &[&body[..9], &body[9..]]),
                good,
                "{pointer} {value}"
            );
        }
        for broken in [&b""[..], b"<html>", b"{\"status\":\"up\"", b"\xff{}"] {
            assert!(!judge(&at("/status", json!("up")), &[broken]));
        }
    }

    #[test]
    fn a_number_is_held_against_its_limits() {
        let within = |at_least, at_most| Expect {
            json: Some(ExpectJson {
                pointer: "/depth".to_owned(),
                value: ExpectValue::Within(Limits { at_least, at_most }),
            }),
            ..Expect::default()
        };
        for (body, at_least, at_most, good) in [
            (r#"{"depth":100}"#, None, Some(100.0), true),
            (r#"{"depth":100.5}"#, None, Some(100.0), false),
            (r#"{"depth":1}"#, Some(1.0), Some(100.0), true),
            (r#"{"depth":0.99}"#, Some(1.0), None, false),
            (r#"{"depth":-1}"#, None, Some(100.0), true),
            (r#"{"depth":"5"}"#, None, Some(100.0), false),
            (r#"{"depth":null}"#, None, Some(100.0), false),
            (r#"{"other":5}"#, None, Some(100.0), false),
        ] {
            assert_eq!(judge(&within(at_least, at_most), &[body.as_bytes()]), good, "{body}");
        }
    }

    #[test]
    fn json_longer_than_the_limit_is_bad_and_text_as_well_as_json_must_be_there() {
        let long = format!(r#"{{"status":"up","fill":"{}"}}"#, "x".repeat(BODY_MAX));
        assert!(!judge(&at("/status", json!("up")), &[long.as_bytes()]));
        let both = Expect { body_contains: Some("fill".to_owned()), ..at("/status", json!("up")) };
        assert!(judge(&both, &[br#"{"status":"up","fill":1}"#]));
        assert!(!judge(&both, &[br#"{"status":"down","fill":1}"#]));
        assert!(!judge(&both, &[br#"{"status":"up"}"#]));
    }
}
