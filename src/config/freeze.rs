//! Freeze windows: times of the week in which nothing is rolled back, or nothing is committed, unless a person orders it.
//!
//! A window is written in the time of a zone, by days and times of day as a clock on the wall there shows them. Where that
//! clock is put forward or back within a window, the window begins at the earlier and ends at the later of two moments that
//! its words can mean.

use std::fmt;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{Disambiguation, TimeZone};
use jiff::{Span, Timestamp};

use crate::decision::observation::Freeze;

/// A time of the week that comes again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct FreezeWindow {
    /// Its name.
    pub name: String,
    /// What is not done in it.
    pub blocks: Freeze,
    /// The days on which it begins.
    pub starts: Vec<Weekday>,
    /// When, on such a day.
    pub from: Time,
    /// So many days later it ends.
    pub days: i8,
    /// When, on that day.
    pub to: Time,
    /// Whose clock shows that.
    pub zone: TimeZone,
    /// The zone's name.
    pub zone_name: String,
}

/// What freeze windows come to at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frozen {
    /// What is not done.
    pub blocks: Freeze,
    /// The names of the windows that are open.
    pub windows: Vec<String>,
    /// When the first of them ends.
    pub until: Option<Timestamp>,
}

/// What `windows` come to at `now`.
pub fn at(windows: &[FreezeWindow], now: Timestamp) -> Frozen {
    let mut frozen = Frozen::default();
    for window in windows {
        let Some(end) = window.open_until(now) else { continue };
        frozen.blocks.rollback |= window.blocks.rollback;
        frozen.blocks.commit |= window.blocks.commit;
        frozen.windows.push(window.name.clone());
        frozen.until = Some(frozen.until.map_or(end, |first| first.min(end)));
    }
    frozen
}

impl FreezeWindow {
    /// When it ends, if it is open at `now`.
    pub fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        let today = self.zone.to_datetime(now).date();
        // One more day back: a clock that was put back may show yesterday's time again.
        (0..=i64::from(self.days) + 1).find_map(|back| {
            let date = today.checked_sub(Span::new().days(back)).ok()?;
            let (start, end) = self.on(date)?;
            (start <= now && now < end).then_some(end)
        })
    }

    /// The window that begins on `date`, if one does.
    fn on(&self, date: Date) -> Option<(Timestamp, Timestamp)> {
        if !self.starts.contains(&date.weekday()) {
            return None;
        }
        let last = date.checked_add(Span::new().days(i64::from(self.days))).ok()?;
        let moment = |date: Date, time: Time, which| {
            let shown = self.zone.to_ambiguous_zoned(date.to_datetime(time)).disambiguate(which);
            Some(shown.ok()?.timestamp())
        };
        let start = moment(date, self.from, Disambiguation::Earlier)?;
        Some((start, moment(last, self.to, Disambiguation::Later)?))
    }
}

impl fmt::Display for FreezeWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: Time| time.strftime("%H:%M").to_string();
        let (from, to) = (time(self.from), time(self.to));
        let what = match (self.blocks.rollback, self.blocks.commit) {
            (true, true) => "no restart, rollback, revert or commit",
            (true, false) => "no restart, rollback or revert",
            _ => "no commit",
        };
        let Self { name, zone_name, days, .. } = self;
        match self.starts.as_slice() {
            [start] => {
                let end = start.wrapping_add(*days);
                write!(f, "{name}: {} {from} to {} {to} {zone_name}: {what}", day(*start), day(end))
            }
            starts => {
                let which = match starts.len() {
                    7 => "every day".to_owned(),
                    _ => starts.iter().map(|start| day(*start)).collect::<Vec<_>>().join(", "),
                };
                write!(f, "{name}: {which} {from} to {to} {zone_name}: {what}")
            }
        }
    }
}

/// The days' words, Monday first.
pub(super) const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

fn day(of: Weekday) -> &'static str {
    DAYS.iter().find(|(_, day)| *day == of).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests;
