//! Durations in words: `1h 30m`, as people write them in the file.

use std::time::Duration;

/// The units, longest first, each from when on it is used: people say 24h, but 90d. No weeks, months or years: nobody agrees on their length.
const UNITS: [(u128, u128, &str); 5] = [
    (86_400_000, 3 * 86_400_000, "d"),
    (3_600_000, 3_600_000, "h"),
    (60_000, 60_000, "m"),
    (1_000, 1_000, "s"),
    (1, 1, "ms"),
];

/// The duration in the words of the configuration, to the millisecond. What comes out can be read again.
pub(crate) fn spoken(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut words = Vec::new();
    for (unit, from, name) in UNITS {
        if rest >= from {
            words.push(format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    if words.is_empty() { "0s".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_are_written() {
        for text in ["0s", "5ms", "2s", "1s 500ms", "10m", "1h 30m", "24h", "90d"] {
            let duration = humantime::parse_duration(text).unwrap();
            let spoken = spoken(duration);
            assert_eq!(spoken, text);
            assert_eq!(humantime::parse_duration(&spoken).unwrap(), duration);
        }
    }
}
