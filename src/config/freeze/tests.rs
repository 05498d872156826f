use super::*;

fn window(starts: &[Weekday], from: &str, days: i8, to: &str, zone: &str) -> FreezeWindow {
    FreezeWindow {
        name: "quiet".to_owned(),
        blocks: Freeze { rollback: true, commit: false },
        starts: starts.to_vec(),
        from: from.parse().unwrap(),
        days,
        to: to.parse().unwrap(),
        zone: TimeZone::get(zone).unwrap(),
        zone_name: zone.to_owned(),
    }
}

fn every_day() -> Vec<Weekday> {
    DAYS.iter().map(|(_, day)| *day).collect()
}

/// The moments, minute by minute from `from` for so many hours, at which it begins to be open and closed.
fn edges(window: &FreezeWindow, from: &str, hours: i64) -> Vec<String> {
    let from: Timestamp = from.parse().unwrap();
    let mut was_open = window.open_until(from).is_some();
    let mut edges = Vec::new();
    for minute in 1..=hours * 60 {
        let now = from + Span::new().minutes(minute);
        let is_open = window.open_until(now).is_some();
        if is_open != was_open {
            edges.push(format!("{now} {}", if is_open { "opens" } else { "ends" }));
        }
        was_open = is_open;
    }
    edges
}

#[test]
fn a_weekend_is_frozen_from_its_first_minute_to_its_last() {
    let weekend = window(&[Weekday::Friday], "17:00:00", 3, "08:00:00", "Europe/Berlin");
    // 2026-11-27 is a Friday; Berlin is an hour ahead then.
    let found = edges(&weekend, "2026-11-23T00:00:00Z", 14 * 24);
    assert_eq!(
        found,
        [
            "2026-11-23T07:00:00Z ends",
            "2026-11-27T16:00:00Z opens",
            "2026-11-30T07:00:00Z ends",
            "2026-12-04T16:00:00Z opens"
        ]
    );
    let saturday = "2026-11-28T12:00:00Z".parse().unwrap();
    assert_eq!(weekend.open_until(saturday), Some("2026-11-30T07:00:00Z".parse().unwrap()));
    let frozen = at(&[weekend], saturday);
    assert_eq!((frozen.blocks.rollback, frozen.blocks.commit, frozen.windows.len()), (true, false, 1));
}

#[test]
fn a_night_is_as_long_as_the_clock_on_the_wall_says() {
    let night = window(&every_day(), "22:00:00", 1, "06:00:00", "Europe/Berlin");
    // Put back in the night to 2026-10-25, so it is an hour longer: 22:00 is 20:00Z before and 06:00 is 05:00Z after.
    let found = edges(&night, "2026-10-24T12:00:00Z", 24);
    assert_eq!(found, ["2026-10-24T20:00:00Z opens", "2026-10-25T05:00:00Z ends"]);
    // Put forward in the night to 2026-03-29, so it is an hour shorter.
    let found = edges(&night, "2026-03-28T12:00:00Z", 24);
    assert_eq!(found, ["2026-03-28T21:00:00Z opens", "2026-03-29T04:00:00Z ends"]);
}

#[test]
fn an_edge_that_comes_twice_or_never_leaves_the_window_longer_and_not_shorter() {
    // 02:30 comes twice on 2026-10-25, at 00:30Z and at 01:30Z.
    let from_it = window(&every_day(), "02:30:00", 0, "04:00:00", "Europe/Berlin");
    let found = edges(&from_it, "2026-10-24T22:00:00Z", 8);
    assert_eq!(found, ["2026-10-25T00:30:00Z opens", "2026-10-25T03:00:00Z ends"]);
    let to_it = window(&every_day(), "01:00:00", 0, "02:30:00", "Europe/Berlin");
    let found = edges(&to_it, "2026-10-24T22:00:00Z", 8);
    assert_eq!(found, ["2026-10-24T23:00:00Z opens", "2026-10-25T01:30:00Z ends"]);
    // 02:30 never comes on 2026-03-29: 02:00 is 03:00 at once, at 01:00Z.
    let from_it = window(&every_day(), "02:30:00", 0, "04:00:00", "Europe/Berlin");
    let found = edges(&from_it, "2026-03-28T22:00:00Z", 8);
    assert_eq!(found, ["2026-03-29T00:30:00Z opens", "2026-03-29T02:00:00Z ends"]);
    let to_it = window(&every_day(), "01:00:00", 0, "02:30:00", "Europe/Berlin");
    let found = edges(&to_it, "2026-03-28T22:00:00Z", 8);
    assert_eq!(found, ["2026-03-29T00:00:00Z opens", "2026-03-29T01:30:00Z ends"]);
}

#[test]
fn a_window_of_a_whole_week_is_always_open() {
    let always = window(&[Weekday::Monday], "09:00:00", 7, "09:00:00", "America/New_York");
    assert_eq!(edges(&always, "2026-02-01T00:00:00Z", 70 * 24), [""; 0]);
    assert!(always.open_until("2026-02-01T00:00:00Z".parse().unwrap()).is_some());
}

#[test]
fn of_several_windows_all_count_and_the_first_to_end_is_named() {
    let mut commit = window(&every_day(), "00:00:00", 1, "00:00:00", "UTC");
    commit.blocks = Freeze { rollback: false, commit: true };
    let night = window(&every_day(), "22:00:00", 1, "06:00:00", "UTC");
    let now = "2026-11-27T23:00:00Z".parse().unwrap();
    let frozen = at(&[night.clone(), commit], now);
    assert_eq!(frozen.blocks, Freeze { rollback: true, commit: true });
    assert_eq!(frozen.until, Some("2026-11-28T00:00:00Z".parse().unwrap()));
    assert_eq!(at(&[night], "2026-11-27T12:00:00Z".parse().unwrap()), Frozen::default());
}
