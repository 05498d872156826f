//! What the rule that fired measured, over the time of its incident: a line to be drawn against the threshold.

mod measured;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::durations::event;
use super::evidence::{Unit, accusing};
use super::recorded::Recorded;
use crate::clock::Moment;
use crate::decision::effect::Effect;
use crate::decision::rule::Verdict;
use crate::decision::story::Event;
use crate::ids::{ProbeName, RuleName};
use crate::journal::{IncidentRecord, TimelineEntry};
use measured::Measure;

/// Points that are kept, at the most: more are not seen in a picture.
const MOST_POINTS: usize = 480;

/// Samples that are so many times further apart than usual were not recorded in between.
const GAP: f64 = 5.0;
/// The time shown before the release went live.
const LEAD_LEAST: Duration = Duration::from_secs(10);
const LEAD_MOST: Duration = Duration::from_secs(10 * 60);

/// A measurement over time, and the threshold it is held against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Signal {
    /// The rule.
    pub rule: RuleName,
    /// The probe; of a rule with several tests that of the first one that was Bad.
    pub probe: ProbeName,
    /// What is measured, in words.
    pub measure: String,
    /// In what.
    pub unit: Unit,
    /// From where on it is too much.
    #[schemars(with = "Option<f64>")] // what is not finite is null
    pub threshold: f64,
    /// Oldest first. Where there were too many, the worst of each few.
    pub points: Vec<Point>,
    /// What happened meanwhile, oldest first.
    pub marks: Vec<Mark>,
}

/// One sample, and what the measure came to with it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// When the sample was sent.
    pub at: Timestamp,
    /// What was measured as of then; none where nothing was.
    pub value: Option<f64>,
    /// The sample itself: good; bad, where it failed or was slower than the threshold; unknown, where nobody can tell.
    pub verdict: Verdict,
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Marked,
}

/// What can happen in an incident that a picture shows. An open set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Marked {
    /// The accused deployment went live.
    Live,
    /// The rule fired.
    Fired,
    /// The rollback was asked for.
    RollbackAsked,
    /// The rollback was live.
    LiveAgain,
    /// The commit was asked for.
    Commit,
    /// The revert was asked for.
    Revert,
    /// The incident was closed.
    Closed,
    /// What only a newer daemon knows.
    #[serde(other)]
    Other,
}

impl Marked {
    /// As people read it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Live => "release live",
            Self::Fired => "rule fired",
            Self::RollbackAsked => "rollback asked for",
            Self::LiveAgain => "rolled back",
            Self::Commit => "commit",
            Self::Revert => "revert",
            Self::Closed => "closed",
            Self::Other => "",
        }
    }
}

impl Signal {
    /// From the first to the last of what there is to show.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let points = self.points.iter().map(|point| point.at);
        let all = points.chain(self.marks.iter().map(|mark| mark.at));
        Some((all.clone().min()?, all.max()?))
    }

    /// The longest time between samples that belong together, in seconds; what is further apart was not recorded.
    pub(super) fn usual_step(&self) -> f64 {
        let mut steps: Vec<f64> = self.points.windows(2).map(|two| two[0].until(&two[1])).collect();
        steps.sort_by(f64::total_cmp);
        steps.get(steps.len() / 2).map_or(f64::MAX, |middle| (middle * GAP).max(3.0))
    }
}

impl Point {
    /// Seconds from this one to a later one.
    pub(super) fn until(&self, later: &Self) -> f64 {
        later.at.duration_since(self.at).as_secs_f64()
    }
}

/// The signal, as far as the decisions' samples show it.
pub(super) fn signal(
    record: &IncidentRecord,
    timeline: &[TimelineEntry],
    decisions: &[Recorded],
) -> Option<Signal> {
    let first = decisions.first()?;
    let clock = Wall::of(record, first);
    let (reading, ..) = accusing(record, timeline)?;
    let measure = Measure::of(first, record.rule.as_ref()?, &reading)?;
    let live = first.live_since(|id| *id == record.bad_deployment);
    let again = |id: &_| record.rollback_deployment.as_ref() == Some(id);
    let live_again = decisions.iter().rev().find_map(|decision| decision.live_since(again));
    let all = measure.points(decisions, live, live_again);
    let last = all.last().map(|(at, ..)| *at)?;
    let begin = live.into_iter().chain(reading.first_failure_at).min().unwrap_or(all.first()?.0);
    // As much of the time before as lets the line be seen to be usual.
    let lead = last.since(begin).div_f64(4.0).clamp(LEAD_LEAST, LEAD_MOST);
    let shown = all.into_iter().filter(|(at, ..)| *at >= begin - lead);
    let points = shown.map(|(at, value, verdict)| Point { at: clock.at(at), value, verdict }).collect();
    let lives = [(live, Marked::Live), (live_again, Marked::LiveAgain)];
    let lives = lives.into_iter().filter_map(|(at, what)| Some(Mark { at: clock.at(at?), what }));
    let marks = marks(record, timeline, lives.collect());
    Some(Signal {
        rule: record.rule.clone()?,
        probe: measure.probe.name.clone(),
        measure: measure.text(),
        unit: measure.unit,
        threshold: measure.threshold,
        points: thin(points),
        marks,
    })
}

/// Moments as people read them: the incident's opening is known on both clocks.
#[derive(Clone, Copy)]
struct Wall {
    opened: Moment,
    opened_at: Timestamp,
}

impl Wall {
    fn of(record: &IncidentRecord, first: &Recorded) -> Self {
        let opened = first.incident().map_or(first.seen.at, |incident| incident.opened_at);
        Self { opened, opened_at: record.opened_at }
    }

    fn at(self, moment: Moment) -> Timestamp {
        let after = SignedDuration::from_millis(moment.as_millis().saturating_sub(self.opened.as_millis()));
        self.opened_at.checked_add(after).unwrap_or(self.opened_at)
    }
}

/// What happened, with what the decisions know better than the timeline.
fn marks(record: &IncidentRecord, timeline: &[TimelineEntry], mut marks: Vec<Mark>) -> Vec<Mark> {
    marks.push(Mark { at: record.opened_at, what: Marked::Fired });
    let mut add = |at, what| {
        if marks.iter().all(|mark| mark.what != what) {
            marks.push(Mark { at, what });
        }
    };
    for entry in timeline {
        match event(entry) {
            Some(Event::Call { call: Effect::CreateRollback { .. }, .. }) => {
                add(entry.at, Marked::RollbackAsked)
            }
            Some(Event::Call { call: Effect::Commit { .. }, .. }) => add(entry.at, Marked::Commit),
            Some(Event::Call { call: Effect::Revert { .. }, .. }) => add(entry.at, Marked::Revert),
            Some(Event::SoakBegan { .. }) => add(entry.at, Marked::LiveAgain),
            Some(Event::Closed { .. }) => add(entry.at, Marked::Closed),
            _ => {}
        }
    }
    marks.sort_by_key(|mark| mark.at);
    marks
}

/// The worst of each few, where there are too many.
fn thin(points: Vec<Point>) -> Vec<Point> {
    let few = points.len().div_ceil(MOST_POINTS).max(1);
    let badness = |point: &Point| (point.verdict == Verdict::Bad, point.value.unwrap_or(f64::NEG_INFINITY));
    let worst = |some: &[Point]| {
        some.iter().copied().reduce(|worst, next| {
            let is_worse = badness(&next).partial_cmp(&badness(&worst)) == Some(std::cmp::Ordering::Greater);
            if is_worse { next } else { worst }
        })
    };
    points.chunks(few).filter_map(worst).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_points_the_worst_are_kept_and_in_order() {
        let point = |n: i64, value: f64, verdict| Point {
            at: Timestamp::from_second(n).unwrap(),
            value: Some(value),
            verdict,
        };
        let mut points: Vec<Point> = (0..5_000).map(|n| point(n, 0.0, Verdict::Good)).collect();
        points[1_234] = point(1_234, 0.5, Verdict::Bad);
        points[4_321] = point(4_321, 7.0, Verdict::Good);
        let kept = thin(points);
        assert!(kept.len() <= MOST_POINTS, "{}", kept.len());
        assert!(kept.windows(2).all(|two| two[0].at < two[1].at));
        assert!(kept.contains(&point(1_234, 0.5, Verdict::Bad)));
        assert!(kept.contains(&point(4_321, 7.0, Verdict::Good)));
        assert_eq!(thin(kept.clone()), kept);
    }
}
