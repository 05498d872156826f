//! The known word nearest to one that is not known.

/// The nearest of `known` to `word`, when it is near enough to be what was meant.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = normal(word);
    let (distance, nearest) = known.iter().map(|known| (distance(&word, &normal(known)), *known)).min()?;
    (distance <= nearest.len().div_ceil(3).min(3)).then_some(nearest)
}

/// Case and the kind of dash are never what was meant to differ.
fn normal(word: &str) -> Vec<char> {
    word.chars().take(64).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let mut best = (row[j] + 1).min(last[j + 1] + 1).min(last[j] + usize::from(from != to));
            if i > 0 && j > 0 && a[i - 1] == *to && *from == b[j - 1] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_word_and_noise_finds_none() {
        let known = ["period", "watch_period", "burst", "url", "on_healthy"];
        let cases = [
            ("perod", Some("period")),
            ("preiod", Some("period")),
            ("Watch-Period", Some("watch_period")),
            ("on_healty", Some("on_healthy")),
            ("ulr", Some("url")),
            ("password", None),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
    }
}
