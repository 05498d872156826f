//! Freeze windows, of all apps and of one.

use std::collections::BTreeMap;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use super::{items, name, some};
use crate::config::freeze::{DAYS, FreezeWindow};
use crate::config::leaf::{List, Text, Word};
use crate::config::problem::{Spot, shown};
use crate::config::raw;
use crate::decision::observation::Freeze;

/// The zone of a window that names none.
const ZONE: &str = "UTC";

/// Every window that is right.
pub(super) fn freeze(spot: &Spot, list: Option<&List<raw::Freeze>>) -> Vec<FreezeWindow> {
    let mut taken = BTreeMap::new();
    items(spot, list).into_iter().filter_map(|(spot, raw)| window(&spot, raw, &mut taken)).collect()
}

fn window(spot: &Spot, raw: &raw::Freeze, taken: &mut BTreeMap<String, String>) -> Option<FreezeWindow> {
    let name = name(&spot.key("name"), raw.name.as_ref(), taken);
    let from = moment(&spot.key("from"), raw.from.as_ref(), "00:00 to 23:59");
    let to = moment(&spot.key("to"), raw.to.as_ref(), "00:00 to 24:00");
    let from = from.filter(|from| {
        let is_end = from.ends_the_day;
        if is_end {
            spot.key("from").wrong("is the end of a day; allowed is 00:00 of the next one".to_owned());
        }
        !is_end
    });
    let days = raw.days.as_ref().map(|list| days(&spot.key("days"), list));
    let (zone, zone_name) = zone(&spot.key("zone"), raw.zone.as_ref())?;
    let blocks = blocks(&spot.key("blocks"), raw.blocks.as_ref());
    let (name, from, to) = (name?, from?, to?);
    let (starts, until) = match (from.day, to.day, days) {
        (Some(_), Some(_), Some(_)) => {
            spot.key("days").wrong("goes with times that name no day; allowed is to leave it out".to_owned());
            return None;
        }
        (Some(first), Some(last), None) => {
            let apart = last.since(jiff::civil::Weekday::Monday) - first.since(jiff::civil::Weekday::Monday);
            let apart = apart.rem_euclid(7);
            let is_a_week_later = apart == 0 && !from.is_before(&to);
            (vec![first], if is_a_week_later { 7 } else { apart })
        }
        (None, None, days) => {
            let days = days.unwrap_or_else(|| DAYS.iter().map(|(_, day)| *day).collect());
            (days, i8::from(!from.is_before(&to)))
        }
        _ => {
            let allowed = "allowed is a day before both times or before neither";
            spot.key("to").wrong(format!("only one of from and to names a day; {allowed}"));
            return None;
        }
    };
    // The end of a day is the beginning of the next one.
    let until = if to.ends_the_day && from.is_before(&to) { until + 1 } else { until };
    Some(FreezeWindow { name, blocks, starts, from: from.time, days: until, to: to.time, zone, zone_name })
}

/// A time of day, and the day where one is named.
#[derive(Clone, Copy)]
struct At {
    day: Option<Weekday>,
    time: Time,
    /// It was written as 24:00.
    ends_the_day: bool,
}

impl At {
    fn is_before(&self, other: &Self) -> bool {
        (self.ends_the_day, self.time) < (other.ends_the_day, other.time)
    }
}

fn moment(spot: &Spot, text: Option<&Text>, range: &str) -> Option<At> {
    let allowed = format!("{range}, with or without a day before it as in fri 17:00");
    let Some(Text(text)) = text else {
        spot.missing(&allowed);
        return None;
    };
    let mut words = text.split_whitespace();
    let (first, second, rest) = (words.next(), words.next(), words.next());
    let (day_word, time_word) = match (first, second, rest) {
        (Some(time), None, _) => (None, time),
        (Some(day), Some(time), None) => (Some(day), time),
        _ => ("".into(), ""),
    };
    let day = day_word.map(|word| DAYS.iter().find(|(known, _)| *known == word).map(|(_, day)| *day));
    let ends_the_day = time_word == "24:00";
    let time = if ends_the_day { Some(Time::midnight()) } else { Time::strptime("%H:%M", time_word).ok() };
    match (day, time) {
        (Some(None), _) | (_, None) => {
            spot.wrong(format!("\"{}\" is no time of the week; allowed is {allowed}", shown(text)));
            None
        }
        (day, Some(time)) => Some(At { day: day.flatten(), time, ends_the_day }),
    }
}

fn days(spot: &Spot, list: &List<Text>) -> Vec<Weekday> {
    some(spot, Some(list), "a list of days from mon to sun");
    let mut found = Vec::new();
    for (spot, Text(word)) in items(spot, Some(list)) {
        match DAYS.iter().find(|(known, _)| known == word) {
            Some((_, day)) if !found.contains(day) => found.push(*day),
            Some(_) => spot.wrong(format!("{word} is there already; allowed is once")),
            None => spot.wrong(format!(
                "\"{}\" is no day; allowed are mon, tue, wed, thu, fri, sat and sun",
                shown(word)
            )),
        }
    }
    found
}

fn zone(spot: &Spot, text: Option<&Text>) -> Option<(TimeZone, String)> {
    let name = text.map_or(ZONE, |text| text.0.as_str());
    match TimeZone::get(name) {
        Ok(zone) => Some((zone, name.to_owned())),
        Err(_) => {
            let allowed = "allowed is a name of the IANA time zone database such as Europe/Berlin";
            spot.wrong(format!("\"{}\" is no time zone; {allowed}", shown(name)));
            None
        }
    }
}

/// What is not done; everything where nobody says.
fn blocks(spot: &Spot, list: Option<&List<Word<raw::Block>>>) -> Freeze {
    let Some(list) = list else { return Freeze { rollback: true, commit: true } };
    some(spot, Some(list), "rollback, commit or both");
    let mut blocks = Freeze::default();
    for (_, Word(block)) in items(spot, Some(list)) {
        match block {
            raw::Block::Rollback => blocks.rollback = true,
            raw::Block::Commit => blocks.commit = true,
        }
    }
    blocks
}
