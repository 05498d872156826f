//! A day of measured values in bounded room, for what is no plain good or bad: [`super::history`] has the rest.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::history::KEPT;

/// Values that are kept at most, the newest: a day of one every fifteen seconds.
const MOST: usize = 5_760;
/// Rows that are kept at most: what has more gaps than that is known well enough by the newest.
const MOST_ROWS: usize = 512;

/// Values that were set aside count as one row up to a gap of so many milliseconds: their times need not be exact.
const JOINED: i64 = 10 * 60 * 1_000;

/// Values in a row, without a gap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Row {
    /// When the first one was measured, in milliseconds.
    from: i64,
    /// When the last one was.
    to: i64,
    values: VecDeque<u32>,
    /// They say how long trouble lasts here, and nothing of how good the release is.
    #[serde(default)]
    is_aside: bool,
}

/// Values, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Values {
    rows: VecDeque<Row>,
}

impl Values {
    /// Adds one that was measured at `at` milliseconds. They come every `interval` milliseconds, but for gaps; one from
    /// before the last one is left out.
    pub fn add(&mut self, at: i64, value: u32, interval: i64) {
        if self.last().is_some_and(|last| at <= last) {
            return;
        }
        match self.rows.back_mut() {
            // A gap would be spread over the others.
            Some(row) if !row.is_aside && at - row.to <= 2 * interval => {
                row.to = at;
                row.values.push_back(value);
            }
            _ => self.rows.push_back(Row { from: at, to: at, values: [value].into(), is_aside: false }),
        }
        self.forget(at);
    }

    /// When the last one was measured.
    pub fn last(&self) -> Option<i64> {
        self.rows.back().map(|row| row.to)
    }

    /// Forgets what is too old at `now`, and too much.
    fn forget(&mut self, now: i64) {
        #[expect(clippy::cast_possible_truncation, reason = "a day")]
        let horizon = now - (KEPT * 1_000.0) as i64;
        while self.rows.len() > MOST_ROWS {
            self.rows.pop_front();
        }
        let mut excess = self.count().saturating_sub(MOST);
        while let Some(row) = self.rows.front_mut() {
            let old = row.times().take_while(|at| *at < horizon).count();
            let gone = old.max(excess.min(row.values.len()));
            if gone == row.values.len() {
                excess = excess.saturating_sub(gone);
                self.rows.pop_front();
                continue;
            }
            if gone > 0 {
                row.from = row.times().nth(gone).unwrap_or(row.to);
                row.values.drain(..gone);
            }
            return;
        }
    }

    /// Sets aside what was measured at `since` or later: a rule was Bad then, so it is no way for an app to be.
    pub fn set_aside(&mut self, since: i64) {
        for row in self.split_off(since) {
            let row = Row { is_aside: true, ..row };
            match self.rows.back_mut() {
                // Trouble that lasts is set aside value by value, and must not push out what was before it.
                Some(last) if last.is_aside && row.from - last.to <= JOINED => {
                    last.to = row.to;
                    last.values.extend(row.values);
                }
                _ => self.rows.push_back(row),
            }
        }
    }

    /// Forgets what was measured at `from` or later: it was another release's.
    pub fn cut(&mut self, from: i64) {
        self.split_off(from);
    }

    /// Takes away the rows from then on.
    fn split_off(&mut self, from: i64) -> VecDeque<Row> {
        let mut later = VecDeque::new();
        while let Some(mut row) = self.rows.pop_back() {
            let times: Vec<i64> = row.times().collect();
            let kept = times.partition_point(|at| *at < from);
            if kept == times.len() {
                self.rows.push_back(row);
                break;
            }
            let values = row.values.split_off(kept);
            later.push_front(Row { from: times[kept], to: row.to, values, is_aside: row.is_aside });
            if kept > 0 {
                row.to = times[kept - 1];
                self.rows.push_back(row);
                break;
            }
        }
        later
    }

    /// Takes over what `other` has, which came later.
    pub fn append(&mut self, other: Self) {
        self.rows.extend(other.rows);
        if let Some(last) = self.last() {
            self.forget(last);
        }
    }

    /// Takes over what `other` has of times that nothing is known of, `apart` milliseconds or more from what is. What is
    /// known stays as it is. Says how many values came to it.
    pub fn fill(&mut self, other: Self, apart: i64) -> usize {
        let known: Vec<(i64, i64)> = self.rows.iter().map(|row| (row.from - apart, row.to + apart)).collect();
        let is_known = |at: i64| {
            let place = known.partition_point(|(_, to)| *to <= at);
            known.get(place).is_some_and(|(from, _)| *from < at)
        };
        let before = self.count();
        for row in other.rows {
            let mut is_cut = true;
            for (at, value) in row.times().zip(row.values) {
                if is_known(at) {
                    is_cut = true;
                    continue;
                }
                match self.rows.back_mut().filter(|_| !is_cut) {
                    Some(last) => {
                        last.to = at;
                        last.values.push_back(value);
                    }
                    None => {
                        let values = [value].into();
                        self.rows.push_back(Row { from: at, to: at, values, is_aside: row.is_aside });
                    }
                }
                is_cut = false;
            }
        }
        self.rows.make_contiguous().sort_by_key(|row| row.from);
        if let Some(last) = self.last() {
            self.forget(last);
        }
        self.count().saturating_sub(before)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.rows.iter().map(|row| row.values.len()).sum()
    }

    /// All of them with their times in seconds. Within a row they are as far apart as they were on average.
    pub fn all(&self) -> impl Iterator<Item = (f64, u32)> + Clone {
        self.rows.iter().flat_map(Row::timed)
    }

    /// Those that were measured at `since` milliseconds or later and not set aside.
    pub fn of(&self, since: i64) -> impl Iterator<Item = (f64, u32)> + Clone {
        let from = since as f64 / 1_000.0;
        self.rows.iter().filter(|row| !row.is_aside).flat_map(Row::timed).filter(move |(at, _)| *at >= from)
    }
}

impl Row {
    fn timed(&self) -> impl Iterator<Item = (f64, u32)> + Clone {
        self.times().map(|at| at as f64 / 1_000.0).zip(self.values.iter().copied())
    }

    fn times(&self) -> impl Iterator<Item = i64> + Clone + use<> {
        let (from, span, count) = (self.from, self.to - self.from, self.values.len() as i64);
        (0..count).map(move |n| from + span * n / (count.max(2) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One every thirty seconds, from the first second on.
    fn of(values: impl IntoIterator<Item = u32>) -> Values {
        let mut kept = Values::default();
        for (n, value) in (0..).zip(values) {
            kept.add(1_000 + n * 30_000, value, 30_000);
        }
        kept
    }

    fn all(values: &Values) -> Vec<(f64, u32)> {
        values.all().collect()
    }

    #[test]
    fn what_comes_out_is_what_went_in_and_a_gap_stays_one() {
        let mut values = of([3, 3, 9, 1]);
        values.add(500_000, 7, 30_000);
        values.add(500_000, 8, 30_000);
        values.add(400_000, 8, 30_000);
        let expected = [(1.0, 3), (31.0, 3), (61.0, 9), (91.0, 1), (500.0, 7)];
        assert_eq!(all(&values), expected);
        assert_eq!((values.count(), values.is_empty(), Values::default().is_empty()), (5, false, true));
        let text = serde_json::to_string(&values).expect("JSON");
        assert_eq!(serde_json::from_str::<Values>(&text).expect("JSON"), values);
    }

    #[test]
    fn a_day_is_kept_and_no_more_than_there_is_room_for() {
        let values = of(0..2_900);
        assert_eq!(values.count(), 2_881, "one that is a day old still counts");
        assert_eq!(all(&values).first(), Some(&(1.0 + 19.0 * 30.0, 19)));
        let mut often = Values::default();
        let mut seldom = Values::default();
        for n in 0..20_000 {
            often.add(i64::from(n) * 1_000, n, 1_000);
            seldom.add(i64::from(n) * 4_000, n, 1_000);
        }
        assert_eq!(often.count(), 5_760);
        assert_eq!(all(&often).first(), Some(&(14_240.0, 14_240)));
        assert_eq!((seldom.count(), all(&seldom).last().map(|last| last.1)), (512, Some(19_999)));
    }

    #[test]
    fn what_was_set_aside_is_no_way_to_be_and_is_still_known() {
        let mut values = of([1, 2, 3, 4]);
        values.set_aside(31_001);
        values.add(121_000, 5, 30_000);
        let counted = |values: &Values| values.of(0).map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!(counted(&values), [1, 2, 5]);
        assert_eq!(values.of(31_000).count(), 2);
        assert_eq!(all(&values).len(), 5);
        values.set_aside(0);
        assert_eq!((counted(&values).len(), values.count()), (0, 5));
    }

    #[test]
    fn trouble_that_lasts_does_not_push_out_what_was_before_it() {
        let mut values = of([1; 100]);
        for n in 100..2_000 {
            values.add(1_000 + n * 30_000, 2, 30_000);
            values.set_aside(1_000 + 100 * 30_000);
        }
        assert_eq!((values.of(0).count(), values.count(), values.rows.len()), (100, 2_000, 2));
    }

    #[test]
    fn what_was_another_release_s_is_cut_off_and_what_is_taken_over_comes_after() {
        let mut values = of([1, 2, 3, 4]);
        values.add(500_000, 5, 30_000);
        values.cut(61_000);
        assert_eq!(all(&values), [(1.0, 1), (31.0, 2)]);
        let mut later = Values::default();
        later.add(600_000, 9, 30_000);
        values.append(later);
        assert_eq!(all(&values), [(1.0, 1), (31.0, 2), (600.0, 9)]);
        values.cut(0);
        assert!(values.is_empty());
        let mut days_later = Values::default();
        days_later.add(200_000_000, 6, 30_000);
        let mut values = of([1, 2]);
        values.append(days_later);
        assert_eq!(all(&values), [(200_000.0, 6)]);
    }

    #[test]
    fn what_is_filled_in_lies_where_nothing_was_known_and_in_its_order() {
        let mut values = Values::default();
        for at in [100_000, 130_000, 160_000, 400_000, 430_000] {
            values.add(at, 1, 30_000);
        }
        values.set_aside(430_000);
        let mut older = Values::default();
        for n in 0..15 {
            // The scrapes that are known once more, by another clock, among others.
            older.add(10_020 + n * 30_000, 2, 30_000);
        }
        assert_eq!(values.fill(older.clone(), 15_000), 10);
        let times = |value| {
            let at = |(at, it): (f64, u32)| (it == value).then_some(at.round() as i64);
            values.all().filter_map(at).collect::<Vec<_>>()
        };
        assert_eq!(times(2), [10, 40, 70, 190, 220, 250, 280, 310, 340, 370]);
        assert_eq!(times(1), [100, 130, 160, 400, 430]);
        assert!(all(&values).is_sorted_by(|one, next| one.0 < next.0));
        assert_eq!(values.of(0).count(), 14, "what was set aside stays so");
        assert_eq!((values.fill(older, 15_000), values.fill(Values::default(), 15_000)), (0, 0));
        values.add(460_000, 1, 30_000);
        assert_eq!(values.last(), Some(460_000));
    }

    #[test]
    fn what_is_filled_in_takes_no_more_room_than_a_day_has() {
        let mut values = Values::default();
        values.add(90_000_000, 7, 1_000);
        let mut older = Values::default();
        for n in 0..5_760 {
            older.add(80_000_000 + i64::from(n) * 1_000, n, 1_000);
        }
        assert_eq!(values.fill(older, 500), 5_759);
        assert_eq!((values.count(), all(&values).first().map(|first| first.1)), (5_760, Some(1)));
        let mut days_before = Values::default();
        days_before.add(1_000, 3, 1_000);
        assert_eq!(values.fill(days_before, 500), 0);
        assert_eq!(values.count(), 5_760);
    }
}
