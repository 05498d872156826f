//! Files that nobody would write on purpose, or somebody would: arbitrary, mutated, endless, with a secret in them.

use proptest::prelude::*;

use super::*;

#[test]
fn files_that_cannot_be_read_are_problems_with_a_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.yaml");
    let load = || load(&path).unwrap_err().to_string();
    assert!(load().contains("f.yaml:1:1: (document): cannot be read (No such file"));
    std::fs::write(&path, b"a: b\nc: \xff\n").unwrap();
    assert!(load().contains("f.yaml:2:4: (document): is not UTF-8 here"));
    std::fs::write(&path, "#".repeat(16 * 1024 * 1024 + 1)).unwrap();
    assert!(load().contains("is larger than 16 MiB"));
    let error = super::load(directory.path()).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
}

#[test]
fn a_file_of_nothing_but_mistakes_ends_the_list_somewhere() {
    let text: String = (0..300).map(|n| format!("key{n}: 1\n")).collect();
    assert_eq!(problems(&text).lines().count(), 100);
}

#[test]
fn text_from_the_file_cannot_make_lines_of_its_own() {
    let found = problems("\"a\\nf.yaml:1:1: x: y\\u202e\": 1\n");
    assert_eq!(found.lines().count(), 3, "{found}");
    assert!(!found.contains('\u{202e}'), "{found}");
    assert!(found.contains("unknown key `a\u{fffd}f.yaml:1:1: x: y\u{fffd}`"), "{found}");
}

/// The lines of the full file in another order, with pieces cut out, doubled or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(String::new()),
        Just("[".to_owned()),
        Just(": ".to_owned()),
        Just("- ".to_owned()),
        Just("{a: &a [*a]}".to_owned()),
        Just("!x".to_owned()),
        Just("|\n".to_owned()),
        Just("\t".to_owned()),
        Just("~".to_owned()),
        Just("-1e999".to_owned()),
        ".{0,8}",
    ];
    let edit = (0..FULL.len(), 0..60_usize, piece);
    proptest::collection::vec(edit, 1..6).prop_map(|edits| {
        edits.into_iter().fold(FULL.to_owned(), |text, (at, length, piece)| {
            let chars: Vec<char> = text.chars().collect();
            let at = at.min(chars.len());
            let end = (at + length).min(chars.len());
            chars[..at].iter().chain(&piece.chars().collect::<Vec<_>>()).chain(&chars[end..]).collect()
        })
    })
}

/// The full file with an unknown key after one of its lines, as deep as that line.
fn with_a_secret() -> impl Strategy<Value = String> {
    let secret = prop_oneof![
        Just("s3cr3tvalue"),
        Just("\"s3cr3tvalue\""),
        Just("[s3cr3tvalue]"),
        Just("{ inner: s3cr3tvalue }"),
        Just("!!int s3cr3tvalue"),
        Just("!tag s3cr3tvalue"),
        Just("https://user:s3cr3tvalue@host/"),
        Just("&s3cr3t s3cr3tvalue"),
        Just("'s3cr3tvalue"),
    ];
    let key = prop_oneof![Just("api_token"), Just("password"), Just("token"), Just("headers"), Just("url")];
    (0..FULL.lines().count(), key, secret).prop_map(|(after, key, secret)| {
        let mut text = String::new();
        for (n, line) in FULL.lines().enumerate() {
            text.push_str(line);
            text.push('\n');
            if n == after {
                let indent = line.len() - line.trim_start_matches([' ', '-']).len();
                text.push_str(&format!("{}{key}: {secret}\n", " ".repeat(indent)));
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_is_refused_and_nothing_more(text in "(?s).{0,200}") {
        prop_assert!(parse("f.yaml", &text).is_err());
    }

    #[test]
    fn a_mutated_file_is_understood_or_refused_line_by_line(text in mutated()) {
        match parse("f.yaml", &text) {
            Ok(config) => prop_assert!(!summary(&config).is_empty()),
            Err(problems) => {
                for line in problems.to_string().lines() {
                    prop_assert!(line.starts_with("f.yaml:"), "{}", line);
                    prop_assert!(!line.contains("cannot be understood"), "{}", text);
                }
            }
        }
    }

    #[test]
    fn a_planted_secret_is_never_shown(text in with_a_secret()) {
        if let Err(problems) = parse("f.yaml", &text) {
            prop_assert!(!problems.to_string().contains("s3cr3tvalue"), "{}", problems);
        }
    }
}

#[test]
fn files_that_are_made_to_be_slow_are_refused() {
    let nasty = [
        "[".repeat(1_000_000),
        "{a: ".repeat(200_000),
        "- ".repeat(500_000),
        "? ".repeat(500_000),
        "&a ".repeat(300_000),
        "--- ".repeat(200_000),
        "%TAG ! a\n".repeat(50_000),
        format!("{}: a", "x".repeat(1_000_000)),
        format!("apps: [{}]", "{},".repeat(100_000)),
        format!("x: &a [1]\ny: [{}]", "*a,".repeat(60_000)),
    ];
    for text in nasty {
        let problems = problems(&text);
        assert!(problems.len() < 40_000, "{}", problems.len());
    }
}

#[test]
fn a_long_text_that_is_repeated_counts_by_its_length() {
    let long = "x".repeat(100_000);
    let texts = [
        format!("a: &a {long}\nb: [{}]\n", "*a, ".repeat(2_000)),
        format!("a: &a {{ {}: 1 }}\nb: [{}]\n", "long-key-".repeat(100), "*a, ".repeat(100_000)),
    ];
    for text in texts {
        let problems = parse("f.yaml", &text).unwrap_err().to_string();
        assert!(problems.contains("stands for too many values"), "{problems}");
    }
    let once = format!("a: {long}\n");
    assert!(parse("f.yaml", &once).unwrap_err().to_string().contains("unknown key `a`"));
}
