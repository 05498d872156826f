//! The entry points on stable Rust: each kept input as it is, and what chance makes of them. `PROPTEST_CASES` in the
//! environment says how many of the latter are tried.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{api, config, journal, platform};

/// A kept input, by name.
type Kept = (String, Vec<u8>);

fn folder(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "fuzz", name].iter().collect()
}

/// The inputs that are kept under a word. What a fuzz run left here has none.
fn corpus(kind: &str) -> Vec<Kept> {
    let files = fs::read_dir(folder("corpus").join(kind)).expect("a corpus");
    let mut kept: Vec<Kept> = files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some())
        .map(|path| (path.display().to_string(), fs::read(&path).expect("read")))
        .collect();
    kept.sort();
    assert!(kept.len() > 3, "the corpus of {kind} is gone");
    kept
}

/// The words of a dictionary: `"text"` in each line, with `\xNN` for what is no text.
fn dictionary(kind: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder("dictionaries").join(format!("{kind}.dict"))).expect("a dictionary");
    let quoted = text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(unescaped).collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => match rest.next() {
                Some(b'x') => {
                    let digits: String = rest.by_ref().take(2).map(char::from).collect();
                    bytes.push(u8::from_str_radix(&digits, 16).expect("two digits"));
                }
                plain => bytes.extend(plain),
            },
            plain => bytes.push(plain),
        }
    }
    bytes
}

/// What chance does to an input. Places are shares of its length.
#[derive(Clone, Debug)]
enum Change {
    /// What stands after a colon becomes a word.
    Value(f64, usize),
    /// A word more.
    Insert(f64, usize),
    /// Bytes become others.
    Overwrite(f64, Vec<u8>),
    /// So many bytes fewer.
    Remove(f64, usize),
    /// So many bytes once more.
    Repeat(f64, usize),
    /// From here on it is another input.
    Splice(f64, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let place = || 0.0..1.0_f64;
    prop_oneof![
        4 => (place(), any::<usize>()).prop_map(|(at, word)| Change::Value(at, word)),
        2 => (place(), any::<usize>()).prop_map(|(at, word)| Change::Insert(at, word)),
        2 => (place(), vec(any::<u8>(), 1..5)).prop_map(|(at, bytes)| Change::Overwrite(at, bytes)),
        1 => (place(), 1..200_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => (place(), 1..200_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
        1 => (place(), any::<usize>()).prop_map(|(at, other)| Change::Splice(at, other)),
    ]
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place within the input")]
fn change_it(input: &mut Vec<u8>, change: &Change, kept: &[Kept], words: &[Vec<u8>]) {
    let place = |at: f64| (at * input.len() as f64) as usize;
    let range = |at: f64, length: usize| place(at)..(place(at) + length).min(input.len());
    let word = |number: usize| words[number % words.len()].iter().copied();
    match change {
        Change::Value(at, number) => {
            let value = value_from(input, place(*at));
            input.splice(value, word(*number)).for_each(drop);
        }
        Change::Insert(at, number) => input.splice(range(*at, 0), word(*number)).for_each(drop),
        Change::Overwrite(at, bytes) => {
            input.splice(range(*at, bytes.len()), bytes.iter().copied()).for_each(drop);
        }
        Change::Remove(at, length) => input.drain(range(*at, *length)).for_each(drop),
        Change::Repeat(at, length) => {
            let again = input[range(*at, *length)].to_vec();
            input.splice(range(*at, 0), again).for_each(drop);
        }
        Change::Splice(at, number) => {
            let other = &kept[number % kept.len()].1;
            let from = (at * other.len() as f64) as usize;
            input.truncate(place(*at));
            input.extend_from_slice(&other[from..]);
        }
    }
}

/// The next value after `from`: JSON, YAML and HTTP all write it after a colon.
fn value_from(input: &[u8], from: usize) -> Range<usize> {
    let Some(colon) = input[from..].iter().position(|byte| *byte == b':') else { return from..from };
    let begin = from + colon + 1;
    let end = input[begin..].iter().position(|byte| b",}]\n".contains(byte)).unwrap_or(0);
    begin..begin + end
}

/// Every kept input, then `cases` of them changed.
fn try_all(kind: &str, entry: fn(&[u8]), cases: u32) {
    let kept = corpus(kind);
    let broken = kept.iter().filter(|(_, input)| std::panic::catch_unwind(|| entry(input)).is_err());
    let broken: Vec<&str> = broken.map(|(name, _)| name.as_str()).collect();
    assert!(broken.is_empty(), "a promise is broken by {broken:#?}");
    let words = dictionary(kind);
    let said = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let settings = Config {
        cases: said.unwrap_or(cases),
        // A finding is kept in the corpus, where the fuzz targets find it too.
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let changed = (any::<usize>(), vec(change(), 1..5)).prop_map(|(number, changes)| {
        let mut input = kept[number % kept.len()].1.clone();
        changes.iter().for_each(|change| change_it(&mut input, change, &kept, &words));
        input
    });
    let changed = changed.prop_map(|input| input.escape_ascii().to_string());
    let tried = TestRunner::new(settings).run(&changed, |input| {
        entry(&unescaped(&unnamed(&input)));
        Ok(())
    });
    tried.unwrap_or_else(|broken| panic!("{broken}"));
}

/// Rust's names of bytes as `\xNN`.
fn unnamed(text: &str) -> String {
    text.replace("\\n", "\\x0a").replace("\\r", "\\x0d").replace("\\t", "\\x09")
}

#[test]
fn a_configuration_fits_or_has_problems_that_are_placed_and_give_nothing_away() {
    try_all("config", config, 1500);
}

#[test]
fn a_platforms_answer_is_believed_as_far_as_it_says_so() {
    try_all("platform", platform, 5000);
}

#[test]
fn a_journal_is_read_as_it_is_or_refused_with_a_remedy() {
    try_all("journal", journal, 800);
}

#[test]
fn a_client_gets_bounded_answers_and_changes_nothing_without_the_token() {
    try_all("api", api, 2000);
}

#[test]
fn what_follows_a_colon_is_a_value() {
    assert_eq!(value_from(b"{\"a\":1,\"b\":{}}", 0), 5..6);
    assert_eq!(value_from(b"date: x\nz", 2), 5..7);
    assert_eq!(value_from(b"none", 1), 1..1);
    assert_eq!(unescaped("a\\x0a\\\"\\\\"), b"a\n\"\\");
}
