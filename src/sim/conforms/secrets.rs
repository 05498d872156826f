//! Secrets: the token and the address of a deployment hook stand in nothing that people or programs are shown.

use super::trial::{Tale, Trial};
use super::writes::meets;
use super::{numbered, story};
use crate::lab::{Fault, GUARD_TOKEN, Kind, Target, When};
use crate::sim::course::Event;
use crate::sim::told::PUSHED;

const SECRETS: [&str; 2] = [GUARD_TOKEN, "/deploy/"];

/// Where one of them is told.
pub(super) fn told(tale: &Tale) -> impl Iterator<Item = &'static str> {
    let json = |value: serde_json::Result<String>| value.expect("JSON");
    let timelines: String =
        tale.incidents.iter().map(|(_, timeline, _)| json(serde_json::to_string(timeline))).collect();
    let records: String =
        tale.incidents.iter().map(|(record, ..)| json(serde_json::to_string(record))).collect();
    let statuses: String =
        tale.run.last.iter().map(|(status, _)| json(serde_json::to_string(status))).collect();
    let file = &tale.run.disk.file;
    let journal: Vec<u8> = ["db", "db-wal"]
        .into_iter()
        .flat_map(|ending| std::fs::read(file.with_extension(ending)).unwrap_or_default())
        .collect();
    let places = [
        ("a timeline", timelines),
        ("an incident", records),
        ("the API", statuses),
        ("a metric", tale.run.scraped.clone()),
        ("the log", tale.log.clone()),
        ("the journal", String::from_utf8_lossy(&journal).into_owned()),
    ];
    places
        .into_iter()
        .filter(|(_, text)| SECRETS.iter().any(|secret| text.contains(secret)))
        .map(|(place, _)| place)
}

/// Each write is answered with the token that came with it: in the words of a refusal, as the id of a failed request,
/// and as that of one that was done. So are all reads for a while.
pub(super) fn that_are_quoted(trial: &mut Trial<'_>) {
    for (code, applied) in [(422, false), (500, true), (200, true)] {
        let echo = Kind::Echo { code, applied };
        for (write, nth) in numbered(trial.platform) {
            let what = format!("{echo:?} on {write:?} number {nth}");
            trial.tell(&what, story(trial.platform, vec![meets(write, echo.clone(), nth)]));
        }
        let fault = Fault { on: Target::Reads, app: None, kind: echo, when: When::Every(2) };
        let events = vec![(0, Event::Fault(Box::new(fault))), (PUSHED + 90_000, Event::NoFaults)];
        trial.tell(&format!("{code} on every other read"), story(trial.platform, events));
    }
}
